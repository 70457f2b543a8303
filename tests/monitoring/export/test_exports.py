"""Exports: Prometheus' own parser and promtool read them, and no exporter can harm a request."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

import recokit as rk
from recokit import monitoring
from recokit.data import Dataset
from recokit.errors import ConfigurationError
from recokit.monitoring.export.grafana import names_in, served_by
from recokit.monitoring.export.prometheus import series_names
from recokit.trace import Trace

DAY = 86_400.0
START = 20_087 * DAY
Make = Callable[..., Trace]

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here; Debian's package prometheus has it"
)


def run_promtool(*args: str, text: str = "") -> str:
    done = subprocess.run(["promtool", *args], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def filled(monitors: list[monitoring.Monitor], make_trace: Make) -> list[monitoring.Monitor]:
    failed = {"error": "TimeoutError: 17 ms", "failed_rows": np.array([0])}
    for i in range(60):
        trace = make_trace(
            f"user-{i % 30 + 1}",
            now=START + 2000.0 * i,
            group="AB"[i % 2],
            item=failed if i % 9 == 0 else None,
        )
        for monitor in monitors:
            monitor.observe(trace)
        item = trace.item_ids.decode(trace.selected.item)[0]
        monitors[5].record(f"user-{i % 30 + 1}", item, timestamp=START + 2000.0 * i + 5)  # type: ignore[attr-defined]
    monitors[0].set_baseline()  # type: ignore[attr-defined]
    return monitors


def test_text_is_read_by_its_own_parsers(filled: list[monitoring.Monitor]) -> None:
    collector = monitoring.PrometheusCollector(filled, clock=lambda: START + 2 * DAY)
    plain = {family.name: family for family in prometheus(collector.text())}
    modern = {family.name for family in openmetrics(collector.text(openmetrics=True))}
    declared = {metric.name for monitor in filled for metric in monitor.metrics}
    assert set(plain) == modern == declared
    for monitor in filled:
        for metric in monitor.metrics:
            assert plain[metric.name].type == metric.kind
            labels = set(metric.labels) | ({"le"} if metric.kind == "histogram" else set())
            for sample in plain[metric.name].samples:
                assert set(sample.labels) - {"le"} <= labels
    (bucket,) = [s for s in plain["recokit_request_duration_seconds"].samples if s.labels.get("le") == "+Inf"]
    assert bucket.value == 60


def test_buckets_hold_what_they_say(make_trace: Make) -> None:
    latency = monitoring.LatencyMonitor()
    taken = [0.004, 0.005, 0.0051, 0.01, 0.0149, 0.015, 0.09, 0.1, 0.11]
    for seconds in taken:
        latency.observe(replace(make_trace(), seconds=seconds))
    (family,) = [
        family
        for family in prometheus(monitoring.PrometheusCollector([latency]).text())
        if family.name == "recokit_request_duration_seconds"
    ]
    found = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("bucket")}
    for edge in ("0.005", "0.01", "0.015", "0.1"):
        assert found[edge] == sum(seconds <= float(edge) for seconds in taken)
    assert [s.value for s in family.samples if s.name.endswith("_sum")] == [pytest.approx(sum(taken))]


def test_users_make_no_series(filled: list[monitoring.Monitor], make_trace: Make) -> None:
    collector = monitoring.PrometheusCollector(filled, clock=lambda: START + 2 * DAY)

    def series() -> set[tuple[Any, ...]]:
        return {
            (sample.name, *sorted(sample.labels.items()))
            for family in prometheus(collector.text())
            for sample in family.samples
        }

    before = series()
    rng = np.random.default_rng(0)
    trace = make_trace("user-3", now=START + 130_000)
    for name in rng.integers(0, 2**40, 10_000).tolist():
        users = np.array([f"u{name}"], object)
        stranger = replace(trace, users=users)
        for monitor in filled:
            monitor.observe(stranger)
    assert series() == before


def test_a_real_registry_takes_the_collector(filled: list[monitoring.Monitor]) -> None:
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(monitoring.PrometheusCollector(filled))
    assert b"recokit_runs_total 60.0" in generate_latest(registry)
    with pytest.raises(ConfigurationError, match="merge"):
        monitoring.PrometheusCollector([filled[0], monitoring.LatencyMonitor()])


@promtool
def test_promtool_takes_the_metrics(filled: list[monitoring.Monitor]) -> None:
    assert run_promtool("check", "metrics", text=monitoring.PrometheusCollector(filled).text()) == ""


def test_every_panel_reads_metrics_that_exist(filled: list[monitoring.Monitor]) -> None:
    board = json.loads(json.dumps(monitoring.dashboard(filled), allow_nan=False))
    exported = {
        sample.name
        for family in prometheus(monitoring.PrometheusCollector(filled, clock=lambda: START + 2 * DAY).text())
        for sample in family.samples
    }
    # what only shows where something went wrong, or with a store or a profile
    rare = {"recokit_stage_skipped", "recokit_cache", "recokit_feature_psi", "recokit_features_drifted"}
    rare |= {"recokit_outcomes_unjoined", "recokit_converted", "recokit_revenue", "recokit_budget_overruns"}
    graphs = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len(graphs) >= 20
    for panel in graphs:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            names = names_in(target["expr"])
            assert names, target["expr"]
            assert names <= served_by(filled), target["expr"]
            assert {name for name in names if not name.startswith(tuple(rare))} <= exported, target["expr"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in board["panels"]}
    assert len(places) == len(board["panels"])


def test_a_dashboard_leaves_out_what_nobody_counts(filled: list[monitoring.Monitor]) -> None:
    for monitor in filled:
        board = monitoring.dashboard([monitor])
        graphs = [panel for panel in board["panels"] if panel["type"] != "row"]
        queries = [target["expr"] for panel in graphs for target in panel["targets"]]
        assert queries
        assert set().union(*map(names_in, queries)) <= served_by([monitor])
        assert names_in(monitoring.prometheus_rules([monitor])) <= served_by([monitor])


@promtool
def test_promtool_takes_the_queries_of_the_dashboard(
    filled: list[monitoring.Monitor], tmp_path: Path
) -> None:
    queries = [t["expr"] for p in monitoring.dashboard(filled)["panels"] for t in p.get("targets", ())]
    rules = [
        f"      - record: query_{i}\n        expr: {json.dumps(query.replace('$__rate_interval', '1m'))}"
        for i, query in enumerate(queries)
    ]
    (tmp_path / "queries.yml").write_text("\n".join(["groups:", "  - name: q", "    rules:", *rules]) + "\n")
    run_promtool("check", "rules", str(tmp_path / "queries.yml"))


@promtool
def test_every_query_of_the_dashboard_finds_data_and_the_labels_of_its_legend(
    filled: list[monitoring.Monitor], make_trace: Make, tmp_path: Path
) -> None:
    now = START + 130_000
    bought = make_trace("user-1", now=now)
    for monitor in filled:
        monitor.observe(bought)
        monitor.observe(make_trace(None, now=now))
    item = bought.item_ids.decode(bought.selected.item)[0]
    filled[5].record("user-1", item, event="purchase", timestamp=now, value=3.0)  # type: ignore[attr-defined]
    families = prometheus(monitoring.PrometheusCollector(filled, clock=lambda: START + 2 * DAY).text())
    samples = [(one.name, one.labels, one.value) for family in families for one in family.samples]
    known = {name for name, _, _ in samples}
    # What did not happen in this traffic, such as an overrun, happens to one value of each label.
    samples += [
        (name, dict.fromkeys(metric.labels, "one"), 1.0)
        for monitor in filled
        for metric in monitor.metrics
        for name in series_names(metric)
        if name not in known
    ]
    series = [
        {
            "series": name
            + "{"
            + ",".join(f"{key}={json.dumps(text)}" for key, text in labels.items())
            + "}",
            "values": f"0+{abs(value):f}x40",
        }
        for name, labels, value in samples
    ]
    asked = [
        (f"count by ({labels}) ({expr}) > bool 0", labels)
        for panel in monitoring.dashboard(filled)["panels"]
        for target in panel.get("targets", ())
        for expr in [target["expr"].replace("$__rate_interval", "1m")]
        for labels in [", ".join(re.findall(r"{{(\w+)}}", target["legendFormat"]))]
    ]
    assert len(asked) >= 25
    found = "".join(
        f"  - {{record: 'query:{i}', expr: {json.dumps(expr)}}}\n" for i, (expr, _) in enumerate(asked)
    )
    rules = "groups:\n- name: q\n  rules:\n" + found
    (tmp_path / "queries.yml").write_text(rules)
    # An answer without one of the labels would be a group in which it is empty.
    missing = [
        {"expr": f'query:{i}{{{label}=""}}', "eval_time": "9m", "exp_samples": []}
        for i, (_, labels) in enumerate(asked)
        for label in labels.split(", ")
        if label
    ]
    there = [
        {"expr": f"max(query:{i})", "eval_time": "9m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for i in range(len(asked))
    ]
    test = {"interval": "15s", "input_series": series, "promql_expr_test": [*there, *missing]}
    (tmp_path / "test.yml").write_text(
        json.dumps({"rule_files": ["queries.yml"], "evaluation_interval": "15s", "tests": [test]})
    )
    run_promtool("test", "rules", str(tmp_path / "test.yml"))


@promtool
def test_promtool_takes_the_rules_and_they_fire(filled: list[monitoring.Monitor], tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(monitoring.prometheus_rules(filled))
    run_promtool("check", "rules", str(rules))
    case = {
        "rule_files": [str(rules)],
        "evaluation_interval": "15s",
        "tests": [slow(), healthy(), dead(), failing()],
    }
    (tmp_path / "test.yml").write_text(json.dumps(case))  # JSON is YAML
    run_promtool("test", "rules", str(tmp_path / "test.yml"))


def histogram(name: str, labels: str, le: str, counts: str) -> dict[str, str]:
    return {"series": f'{name}_bucket{{{labels}{"," if labels else ""}le="{le}"}}', "values": counts}


def latency_series(runs: str, slow: str) -> list[dict[str, str]]:
    """Runs each 15 s, and how many of them are slow: of the whole and of a stage."""
    return [
        {"series": "recokit_request_duration_seconds_count", "values": runs},
        {"series": 'recokit_stage_duration_seconds_count{stage="mmr"}', "values": runs},
        {"series": 'recokit_slow_runs_total{stage="total"}', "values": slow},
        {"series": 'recokit_slow_runs_total{stage="mmr"}', "values": slow},
    ]


def expectation(name: str, at: str, *labels: dict[str, str], summary: str = "") -> dict[str, Any]:
    return {
        "eval_time": at,
        "alertname": name,
        "exp_alerts": [{"exp_labels": one, "exp_annotations": {"summary": summary}} for one in labels],
    }


def slow() -> dict[str, Any]:
    """From the fifth minute on a tenth of the runs are slow; one in a hundred always was."""
    return {
        "interval": "15s",
        "input_series": latency_series("0+100x40", "0+1x20 30+10x20"),
        "alert_rule_test": [
            expectation("RecokitSlowRun", "5m"),
            expectation(
                "RecokitSlowRun",
                "7m",
                {"severity": "page"},
                summary="10% of the runs take more than twice the baseline's p95",
            ),
            expectation(
                "RecokitSlowStage",
                "7m",
                {"severity": "page", "stage": "mmr"},
                summary="mmr takes more than twice its baseline's p95 in 10% of the runs",
            ),
        ],
    }


def healthy() -> dict[str, Any]:
    return {
        "interval": "15s",
        "input_series": [
            *latency_series("0+20x40", "0+0x40"),
            {"series": 'recokit_requests_total{status="ok"}', "values": "0+100x40"},
            {"series": 'recokit_requests_total{status="fallback"}', "values": "0+2x40"},
            {"series": 'recokit_source_calls_total{source="popular"}', "values": "0+100x40"},
            {"series": 'recokit_source_answers_total{source="popular"}', "values": "0+95x40"},
            {
                "series": 'recokit_catalog_coverage_ratio{period="day",users="all",items="all"}',
                "values": "0.4x40",
            },
        ],
        "alert_rule_test": [
            expectation(name, "9m")
            for name in ("RecokitSlowRun", "RecokitFallback", "RecokitDeadSource", "RecokitCoverageDrop")
        ],
    }


def dead() -> dict[str, Any]:
    return {
        "interval": "15s",
        "input_series": [
            {"series": 'recokit_source_calls_total{source="popular"}', "values": "0+100x200"},
            {"series": 'recokit_source_answers_total{source="popular"}', "values": "0+95x160 15200+0x40"},
        ],
        "alert_rule_test": [
            expectation("RecokitDeadSource", "40m"),
            expectation(
                "RecokitDeadSource",
                "41m",
                {"severity": "page", "source": "popular"},
                summary="popular finds candidates in 0% of the calls only",
            ),
        ],
    }


def failing() -> dict[str, Any]:
    return {
        "interval": "15s",
        "input_series": [
            {"series": 'recokit_requests_total{status="ok"}', "values": "0+80x40"},
            {"series": 'recokit_requests_total{status="empty"}', "values": "0+20x40"},
            {"series": 'recokit_stage_errors_total{stage="item",reason="TimeoutError"}', "values": "0+5x40"},
        ],
        "alert_rule_test": [
            expectation(
                "RecokitEmpty",
                "9m",
                {"severity": "page"},
                summary="20% of the requests were answered with nothing",
            ),
            expectation(
                "RecokitStageErrors",
                "9m",
                {"severity": "page", "stage": "item"},
                summary="item failed on 5% of the requests",
            ),
        ],
    }


# -- harm ------------------------------------------------------------------------------------------


class Broken:
    def observe(self, trace: Trace) -> None:
        raise OSError("no such host")


class Stuck:
    """An exporter that hangs at its first trace until it is let go."""

    def __init__(self) -> None:
        self.started, self.let_go = threading.Event(), threading.Event()

    def observe(self, trace: Trace) -> None:
        self.started.set()
        assert self.let_go.wait(60)


def test_a_broken_or_stuck_exporter_harms_no_request(toy: Dataset, pipeline: rk.Pipeline) -> None:
    exporter = Stuck()
    stuck, broken = monitoring.Background(exporter, capacity=3), monitoring.Background(Broken())
    observers = [stuck, broken, Broken()]
    watched = rk.Pipeline(pipeline.stages, fallback=pipeline.fallback, observers=observers).fit(toy)
    for n in range(10):
        assert len(watched.recommend(["user-1"], k=5, now=toy.until).ids(0)) == 5
        assert n or exporter.started.wait(60)
    # One hangs, three wait, and the rest are lost.
    assert (stuck.seen, stuck.dropped, stuck.errors) == (0, 6, 0)
    exporter.let_go.set()
    stuck.close()
    broken.close()
    assert (stuck.seen, stuck.dropped, stuck.errors) == (4, 6, 0)
    assert (broken.seen, broken.dropped, broken.errors) == (0, 0, 10)
    assert "4 seen, 6 dropped, 0 errors" in repr(stuck)
    stuck.close()  # closed already
    with pytest.raises(ConfigurationError, match="capacity=0; expected a whole number of at least 1"):
        monitoring.Background(Broken(), capacity=0)


def test_a_full_queue_is_not_waited_for_at_the_end(make_trace: Callable[..., Trace]) -> None:
    exporter = Stuck()
    background = monitoring.Background(exporter, capacity=1)
    trace = make_trace()
    background.observe(trace)
    assert exporter.started.wait(60)
    background.observe(trace)
    background.close(timeout=0.01)
    exporter.let_go.set()
    assert background.errors == 0


def test_a_broken_store_or_stage_harms_no_request(toy: Dataset, pipeline: rk.Pipeline) -> None:
    class Store:
        calls = 0

        @property
        def counts(self) -> dict[str, int]:
            self.calls += 1
            if self.calls > 1:
                raise OSError("gone")
            return {"rows": 0, "missing": 0, "expired": 0, "failed": 0}

    health = monitoring.HealthMonitor(stores={"store": Store()})
    watched = rk.Pipeline(pipeline.stages, observers=[health]).fit(toy)
    assert len(watched.recommend(["user-1"], k=5, now=toy.until).ids(0)) == 5


def test_spans_have_the_times_of_the_requests(make_trace: Make) -> None:
    spans: list[dict[str, Any]] = []

    class Span:
        def __init__(self, name: str, **options: Any) -> None:
            self.record = {"name": name, "status": None, **options}
            spans.append(self.record)

        def set_status(self, status: Any, text: str) -> None:
            self.record["status"] = text

        def end(self, end_time: int) -> None:
            self.record["end"] = end_time

    class Tracer:
        start_span = Span

    trace = make_trace(now=START, item={"error": "OSError: gone", "failed_rows": np.array([0])})
    monitoring.Spans(Tracer()).observe(replace(trace, status=np.array([4]), reasons=(("item: gone",),)))
    run, *stages = spans
    assert run["end"] - run["start_time"] == pytest.approx(1e9 * trace.seconds, abs=2000)
    assert run["start_time"] == int(START * 1e9)
    assert run["status"] == "item: gone"
    assert [stage["attributes"]["recokit.stage"] for stage in stages] == [
        event.name for event in trace.events
    ]
    assert {stage["attributes"]["recokit.stage"]: stage["status"] for stage in stages}[
        "item"
    ] == "OSError: gone"
    assert all(run["start_time"] <= stage["start_time"] <= stage["end"] for stage in stages)
    assert all(
        "user" not in str(span["attributes"]) or "user_history" in str(span["attributes"]) for span in spans
    )


def test_lines_are_json_without_ids(make_trace: Make, tmp_path: Path) -> None:
    lines = monitoring.JsonLines(tmp_path / "runs.jsonl")
    with monitoring.Background(lines) as background:
        for user in ("user-1", "user-2"):
            background.observe(make_trace(user, now=START))
    read = [json.loads(line) for line in lines.path.read_text().splitlines()]
    assert [line["time"] for line in read] == [START, START]
    assert read[0]["stages"][0].keys() >= {"name", "role", "n_in", "n_out", "seconds", "error"}
    assert "user-1" not in lines.path.read_text()


def test_a_span_names_what_was_skipped_and_nothing_else(make_trace: Make) -> None:
    started: list[dict[str, Any]] = []

    class Span:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *args, **options: None

    class Tracer:
        def start_span(self, name: str, **options: Any) -> Span:
            started.append(options["attributes"])
            return Span()

    trace = make_trace()
    first = trace.events[0].name
    skipped = replace(trace, events=(replace(trace.events[0], skipped="no time"), *trace.events[1:]))
    for observed, expected in ((trace, {}), (skipped, {first: "no time"})):
        started.clear()
        monitoring.Spans(Tracer()).observe(observed)
        found = {one["recokit.stage"]: one["recokit.skipped"] for one in started if "recokit.skipped" in one}
        assert found == expected
        assert started[0]["recokit.requests"] == 1 and started[0]["recokit.items"] == 8


@pytest.mark.parametrize(
    "monitors", [monitoring.LatencyMonitor(), "latency", [monitoring.LatencyMonitor], None]
)
def test_what_is_no_list_of_monitors_is_refused(monitors):
    with pytest.raises(ConfigurationError, match="expected a list of monitors"):
        monitoring.PrometheusCollector(monitors)
