"""What each monitor counts of a run, from runs that are written down here."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recokit import monitoring
from recokit.monitoring.counters import Counters
from recokit.trace import Status

OK, DEGRADED, FALLBACK, EMPTY, FAILED = (
    Status.OK,
    Status.DEGRADED,
    Status.FALLBACK,
    Status.EMPTY,
    Status.FAILED,
)


def event(name: str, role: str = "scorer", **parts: Any) -> Any:
    values = {"seconds": 0.0, "n_in": 0, "n_out": 0, "n_rows": 1, "error": "", "skipped": "", "detail": {}}
    return SimpleNamespace(**{"name": name, "role": role, "failed_rows": (), **values, **parts})


def run(*events: Any, status: Any = (OK,), reasons: Any = None, items: int = 3, **parts: Any) -> Any:
    values = {"seconds": 0.01, "budget": math.inf, "overruns": {}, "fingerprint": "model"}
    return SimpleNamespace(
        events=events,
        status=np.array(status, np.int64),
        reasons=reasons or [()] * len(status),
        requests=SimpleNamespace(now=np.full(len(status), 100.0)),
        selected=range(items),
        **{**values, **parts},
    )


def counted(monitor: monitoring.Monitor, *runs: Any) -> dict[tuple[str, ...], float]:
    for one in runs:
        monitor.observe(one)
    return {
        (name.removeprefix("recokit_"), *labels): n for (name, *labels), n in monitor.total().counts.items()
    }


# -- health


def test_answers_are_counted_by_status_and_errors_by_their_type() -> None:
    failing = [
        event("a", error="ValueError: bad", failed_rows=np.arange(2)),
        event("b", error="something broke"),
        event("c", error="store.Timeout: late"),
        event("d", error="ValueError without a colon"),
        event("e", skipped="no time"),
        event("f", detail={"part_errors": ["x"]}, n_rows=4),
    ]
    counts = counted(monitoring.HealthMonitor(), run(*failing), run(status=(OK, EMPTY, EMPTY)))
    assert counts == {
        ("requests", "ok"): 2,
        ("requests", "empty"): 2,
        ("runs",): 2,
        ("stage_errors", "a", "ValueError"): 2,
        ("stage_errors", "b", "error"): 1,
        ("stage_errors", "c", "store.Timeout"): 1,
        ("stage_errors", "d", "error"): 1,
        ("stage_errors", "f", "part"): 4,
        ("stage_skipped", "e"): 1,
    }


def test_a_reason_of_a_stage_without_an_error_is_a_degraded_row() -> None:
    events = [event("a"), event("b", error="E: x"), event("fallback.popular"), event("c")]
    reasons = [
        ("a: stale", "a: again", "b: failed", "nobody: x"),
        ("fallback.popular: used",),
        ("c: x",),
        ("a: y",),
    ]
    counts = counted(
        monitoring.HealthMonitor(),
        run(*events, status=(DEGRADED, FALLBACK, FAILED, FALLBACK), reasons=reasons),
    )
    assert {key[1:]: n for key, n in counts.items() if key[0] == "stage_errors"} == {
        ("a", "degraded"): 2,
        ("b", "E"): 1,
    }


def test_stores_are_counted_from_when_the_monitor_began() -> None:
    store = SimpleNamespace(counts={"rows": 10, "missing": 1, "expired": 2, "failed": 3})
    health = monitoring.HealthMonitor(stores={"s": store})
    assert ("cache_reads", "s") not in counted(health, run())
    store.counts = {"rows": 14, "missing": 1, "expired": 5, "failed": 4}
    counts = counted(health, run(), run())
    assert {key[1:]: n for key, n in counts.items() if key[0] == "cache_misses"} == {
        ("s", "expired"): 3,
        ("s", "failed"): 1,
    }
    assert counts["cache_reads", "s"] == 4
    assert health.shares(health.total())["miss", "s"] == (4, 4)
    assert health.figures(health.total())["cache_misses"] == {"s": 1.0}


def test_shares_are_of_all_requests_whatever_the_reason() -> None:
    health = monitoring.HealthMonitor()
    counted(health, run(event("a", error="E: x")), run(event("a", error="F: x")), run(status=(FALLBACK,)))
    assert health.shares(health.total()) == {
        ("status", "ok"): (2, 3),
        ("status", "fallback"): (1, 3),
        ("error", "a"): (2, 3),
    }
    figures = health.figures(health.total())
    assert figures["errors"] == {"a": {"E": 1, "F": 1}} and figures["status"]["ok"] == pytest.approx(2 / 3)
    assert (figures["requests"], figures["runs"]) == (3, 3)


# -- funnel


def test_the_funnel_counts_leaves_rules_and_relaxed_limits() -> None:
    events = [
        event("merge.a", "source", n_out=5),
        event("merge.b", "source"),
        event("merge.c", "source", n_out=9, skipped="no time"),
        event("again", "source", n_in=4),
        event("merge", "source", n_out=7, detail={"by_source": {}}),
        event("f", "filter", n_in=7, n_out=4),
        event("g", "filter", n_in=4, n_out=4),
        event("h", "annotator", n_in=4, n_out=3),
        event("rank", "scorer", n_in=3, n_out=3),
        event("selection", "selection", n_in=3, n_out=2, detail={"relaxed": {"cap": 2}}),
    ]
    funnel = monitoring.FunnelMonitor()
    counts = counted(funnel, run(*events, items=2))
    assert counts == {
        ("source_calls", "merge.a"): 1,
        ("source_calls", "merge.b"): 1,
        ("source_calls", "again"): 1,
        ("source_answers", "merge.a"): 1,
        ("source_answers", "again"): 1,
        ("source_candidates", "merge.a"): 5,
        ("source_candidates", "again"): 4,
        ("rule_candidates", "f"): 7,
        ("rule_candidates", "g"): 4,
        ("rule_candidates", "h"): 4,
        ("rule_removed", "f"): 3,
        ("rule_removed", "h"): 1,
        ("ranked_candidates",): 3,
        ("limits_relaxed", "cap"): 2,
        ("items_shown",): 2,
    }
    assert funnel.answered(funnel.total()) == {"merge.a": (1, 1), "merge.b": (0, 1), "again": (1, 1)}
    figures = funnel.figures(funnel.total())
    assert figures["sources"]["merge.b"] == {"calls": 1, "answered": 0.0, "candidates": 0}
    assert figures["rules"]["g"] == {"candidates": 4, "removed": 0}
    assert (figures["relaxed"], figures["ranked"], figures["items"]) == ({"cap": 2}, 3, 2)
    nothing = funnel.figures(Counters())
    assert nothing == {"sources": {}, "rules": {}, "relaxed": {}, "ranked": 0, "items": 0}


# -- latency


def test_a_run_is_slow_above_twice_the_p95_of_its_baseline() -> None:
    baseline = {"a": {"p95": 0.01}, "b": {"p50": 0.01}, "total": {"p95": 0.02}}
    latency = monitoring.LatencyMonitor(baseline=baseline)
    edge = run(event("b", seconds=9.0, skipped="no time"), event("a", seconds=0.02), seconds=0.04)
    assert ("slow_runs", "a") not in counted(latency, edge)
    counts = counted(latency, run(event("a", seconds=0.0201), event("b", seconds=1.0), seconds=0.0401))
    assert {key: n for key, n in counts.items() if key[0] == "slow_runs"} == {
        ("slow_runs", "a"): 1,
        ("slow_runs", "total"): 1,
    }
    quantiles = latency.quantiles(latency.total())
    assert (quantiles["a"]["n"], quantiles["b"]["n"], quantiles["total"]["n"]) == (2, 1, 2)
    assert quantiles["b"] == pytest.approx({"n": 1, "p50": 1.0, "p95": 1.0, "p99": 1.0}, rel=0.01)
    spread = monitoring.LatencyMonitor()
    counted(spread, *(run(seconds=n / 1000) for n in range(1, 1001)))
    shown = {name: spread.quantiles(spread.total())["total"][name] for name in ("p50", "p95", "p99")}
    assert shown == pytest.approx({"p50": 0.5, "p95": 0.95, "p99": 0.99}, rel=0.01)
    assert latency.gauges(0.0) == {
        ("recokit_baseline_duration_seconds", "a", "p95"): 0.01,
        ("recokit_baseline_duration_seconds", "b", "p50"): 0.01,
        ("recokit_baseline_duration_seconds", "total", "p95"): 0.02,
    }
    assert latency.counters(Counters()) == {("recokit_slow_runs", "a"): 0, ("recokit_slow_runs", "total"): 0}


@pytest.mark.parametrize(
    ("scale", "over"),
    [(1.0, set()), (1.001, {"candidates", "features", "ranking", "post", "total"})],
)
def test_phases_are_over_their_shares_of_a_run_without_a_budget(scale: float, over: set[str]) -> None:
    spent = {
        "source": 0.006,
        "hydrator": 0.004,
        "featurizer": 0.005,
        "scorer": 0.015,
        "filter": 0.004,
        "other": 0.001,
    }
    events = [event(role, role, seconds=scale * seconds) for role, seconds in spent.items()]
    latency = monitoring.LatencyMonitor()
    counts = counted(latency, run(*events, seconds=0.1 * scale))
    assert {key[1] for key in counts if key[0] == "budget_overruns"} == over
    half = counted(monitoring.LatencyMonitor(budget_ms=50), run(*events, seconds=0.05))
    assert ("budget_overruns", "features") in half and ("budget_overruns", "total") not in half


def test_a_budget_of_the_request_has_its_own_overruns() -> None:
    latency = monitoring.LatencyMonitor()
    counts = counted(
        latency, run(seconds=9.0, budget=10.0, overruns={"ranking": 1.0}), run(seconds=9.0, budget=10.0)
    )
    assert {key[1]: n for key, n in counts.items() if key[0] == "budget_overruns"} == {"ranking": 1}
    assert latency.figures(latency.total())["overruns"] == {"ranking": 1}


# -- labels and lines


def test_a_label_has_a_hundred_values_and_other() -> None:
    funnel = monitoring.FunnelMonitor()
    counts = counted(funnel, *(run(event(f"s{i}", "source")) for i in (*range(103), 0)))
    calls = {key[1]: n for key, n in counts.items() if key[0] == "source_calls"}
    assert len(calls) == 101 and calls["other"] == 3 and calls["s0"] == 2 and calls["s99"] == 1


def test_a_line_of_json_has_the_statuses_reasons_and_seconds(tmp_path: Any) -> None:
    lines = monitoring.JsonLines(tmp_path / "runs.jsonl")

    class Requests:
        now = np.array([1.0, 7.0])

        def __len__(self) -> int:
            return 2

    funnel = [{"name": "a", "ms": 1.5}]
    trace = run(status=(EMPTY, EMPTY), reasons=[("b", "a"), ("a",)], overruns={"post": 0.5})
    trace.requests, trace.funnel = Requests(), lambda: funnel
    lines.observe(trace)
    record = json.loads(lines.path.read_text())
    assert (record["time"], record["status"], record["reasons"]) == (7.0, {"empty": 2}, ["a", "b"])
    assert (record["requests"], record["items"], record["overruns"]) == (2, 3, {"post": 0.5})
    assert record["stages"][0]["seconds"] == 0.0015
