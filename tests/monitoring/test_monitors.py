"""Monitors: what they count against the traces, over time, threads and processes."""

from __future__ import annotations

import math
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

import recokit as rk
from recokit import candidates, features, metrics, monitoring
from recokit._utils.params import get_params
from recokit.data import Dataset, load_state, save_state
from recokit.errors import ConfigurationError, DataError
from recokit.stores import Resident
from recokit.trace import Trace

DAY = 86_400.0
START = 20_087 * DAY  # a Monday

Make = Callable[..., Trace]


def plain(monitor: monitoring.Monitor) -> tuple[Any, ...]:
    return (
        monitor.figures(monitor.total()),
        monitor.daily(),
        monitor.weekly(),
        monitor.gauges(START + 9 * DAY),
    )


def fill(
    monitor: monitoring.Monitor, make: Make, times: list[float], users: tuple[Any, ...] = ("user-1", "user-7")
) -> None:
    for i, now in enumerate(times):
        monitor.observe(make(users[i % len(users)], now=now))


def test_latency_gives_the_quantiles_of_each_stage(make_trace: Make) -> None:
    latency = monitoring.LatencyMonitor()
    traces = [make_trace(now=START + i, slow=1 + i / 100) for i in range(300)]
    for trace in traces:
        latency.observe(trace)
    found = latency.quantiles(latency.total())
    for stage in ("merge.popular", "weighted"):
        true = [trace.of(stage)[0].seconds for trace in traces]
        exact = np.quantile(true, [0.5, 0.95, 0.99], method="lower")
        np.testing.assert_allclose([found[stage][p] for p in ("p50", "p95", "p99")], exact, rtol=0.006)
    assert found["total"]["n"] == 300
    # the last minute only
    recent = latency.quantiles(latency.recent(START + 299, 60))["total"]
    assert 60 <= recent["n"] <= 70
    assert recent["p50"] > found["total"]["p50"]


def test_latency_counts_what_is_over_its_budget(make_trace: Make) -> None:
    latency = monitoring.LatencyMonitor()
    latency.observe(make_trace(weighted={"seconds": 0.016}))
    latency.observe(make_trace(weighted={"seconds": 0.014}, slow=0.01))
    latency.observe(replace(make_trace(), budget=0.05, overruns={"features": 0.004}))
    latency.observe(replace(make_trace(slow=0.01), seconds=0.101))
    over = latency.figures(latency.total())["overruns"]
    assert over["ranking"] == 1
    assert over["total"] == 1
    assert over["features"] >= 1


def test_health_counts_answers_errors_and_skips(make_trace: Make) -> None:
    health = monitoring.HealthMonitor()
    failed = {"error": "TimeoutError: user-1 after 17 ms", "failed_rows": np.array([0])}
    health.observe(make_trace(**{"merge.popular": failed}))
    health.observe(
        replace(
            make_trace(weighted={"skipped": "no time"}),
            status=np.array([1]),
            reasons=(("weighted: skipped",),),
        )
    )
    health.observe(replace(make_trace(), status=np.array([1]), reasons=(("item: 3 of 20 ids unread",),)))
    health.observe(replace(make_trace(), status=np.array([2]), reasons=(("fallback.popular: filled up",),)))
    figures = health.figures(health.total())
    assert figures["errors"] == {"merge.popular": {"TimeoutError": 1}, "item": {"degraded": 1}}
    assert figures["skipped"] == {"weighted": 1}
    assert figures["status"] == {"ok": 0.25, "degraded": 0.5, "fallback": 0.25}


def test_health_counts_what_a_store_misses(toy: Dataset) -> None:
    store = Resident(["clicks"], ttl="1h")
    store.write(toy.item_ids.ids[:10].tolist(), np.ones((10, 1)), at=toy.until)
    health = monitoring.HealthMonitor(stores={"clicks": store})
    stages = [candidates.Popular(), features.FromStore(store)]
    pipeline = rk.Pipeline(stages, observers=[health]).fit(toy)
    for later in (10.0, 20.0):
        pipeline.recommend(["user-1"], now=toy.until + later)
    counts = store.counts
    assert counts["missing"] > 0
    assert health.figures(health.total())["cache_misses"] == {"clicks": counts["missing"] / counts["rows"]}
    pipeline.recommend(["user-1"], now=toy.until + 7200)
    assert health.total().counts["recokit_cache_misses", "clicks", "expired"] == store.counts["expired"] > 0


def test_funnel_counts_sources_and_rules(make_trace: Make) -> None:
    funnel = monitoring.FunnelMonitor()
    trace = make_trace()
    dead = make_trace(**{"merge.history": {"n_out": 0}})
    funnel.observe(trace)
    funnel.observe(dead)
    figures = funnel.figures(funnel.total())
    assert set(figures["sources"]) == {"merge.item_knn", "merge.history", "merge.popular"}
    assert figures["sources"]["merge.history"] == {
        "calls": 2, "answered": 0.5, "candidates": trace.of("merge.history")[0].n_out,
    }  # fmt: skip
    removed = trace.of("in_stock")[0].removed
    assert removed > 0
    assert figures["rules"]["in_stock"]["removed"] == 2 * removed
    assert figures["items"] == len(trace.selected) * 2


def test_lists_agree_with_the_metrics(toy: Dataset, pipeline: rk.Pipeline) -> None:
    catalog = monitoring.Catalog.of(toy)
    batch, single = monitoring.ListMonitor(catalog), monitoring.ListMonitor(catalog)
    users = [*toy.user_ids.ids.tolist(), None, "nobody"]
    answer = pipeline.recommend(users, k=6, now=toy.until)
    batch.observe(answer.trace)
    for user in users:
        single.observe(pipeline.recommend([user], k=6, now=toy.until).trace)
    figures = batch.figures(batch.total())
    lists = [toy.item_ids.encode(answer.ids(row)) for row in range(len(users))]
    codes = toy.items.categorical["category"]
    assert figures["diversity"] == pytest.approx(metrics.IntraListDiversity(6, by=codes)(lists))
    shown = np.unique(np.concatenate(lists))
    assert figures["coverage"]["all"] == len(shown) / toy.n_items
    events = np.bincount(toy.interactions.item, minlength=toy.n_items + 1)
    new = (events < 5)[1:]
    assert figures["coverage"]["new items"] == (events[shown] < 5).sum() / new.sum()
    active = np.bincount(toy.interactions.user, minlength=toy.n_users + 1)
    cold = sum(active[code] < 5 or code == 0 for code in [*range(1, toy.n_users + 1), 0, 0])
    assert figures["lists"] == {"cold": cold, "warm": len(users) - cold}
    of_warm = [items for row, items in enumerate(lists) if row < toy.n_users and active[row + 1] >= 5]
    bits = -np.log2(np.maximum(events, 0.5) / events.sum())[np.concatenate(of_warm)]
    assert figures["novelty"]["warm"] == pytest.approx(bits.mean())
    theirs = single.figures(single.total())
    assert theirs["coverage"] == figures["coverage"]
    assert theirs["items"] == figures["items"]
    assert theirs["diversity"] == pytest.approx(figures["diversity"])


def test_a_model_with_other_codes_is_counted_by_ids(toy: Dataset, make_trace: Make) -> None:
    order = np.argsort([str(i)[::-1] for i in range(toy.n_items)])
    ids = toy.item_ids.ids
    other = rk.Dataset.from_frame(
        {"user_id": ["x"] * len(ids), "item_id": [*ids[order]], "timestamp": np.arange(len(ids))}
    )
    trace = make_trace("user-1")
    same, foreign = (monitoring.Catalog.of(data) for data in (toy, other))
    mine = same.item_ids.decode(same.items_of(trace)).tolist()
    assert mine == foreign.item_ids.decode(foreign.items_of(trace)).tolist()
    assert not same.cold_of(trace)[0]
    assert foreign.cold_of(trace)[0]


def test_coverage_gauges_are_of_whole_periods(toy: Dataset, make_trace: Make) -> None:
    lists = monitoring.ListMonitor(monitoring.Catalog.of(toy))
    lists.observe(make_trace(now=START + 10))
    assert not lists.gauges(START + 20)
    lists.observe(make_trace(now=START + DAY + 10))
    assert {key[1] for key in lists.gauges(START + DAY + 20)} == {"day"}
    assert {key[1] for key in lists.gauges(START + 7 * DAY)} == {
        "week"
    }  # nothing was shown on the day before


def test_features_missing_old_and_drifted(toy: Dataset, make_trace: Make, pipeline: rk.Pipeline) -> None:
    trace = make_trace("user-1")
    ranked = trace.ranked
    assert ranked is not None
    columns = dict(zip(ranked.feature_names, np.tile(ranked.features.T, 30), strict=True))
    profile = monitoring.ReferenceProfile.of(columns)
    item = pipeline["item"]
    monitor = monitoring.FeatureMonitor(profile, stages={"item": item}, every=1.0)
    place = ranked.feature_names.index("item_price")
    bad = ranked.features.copy()
    bad[:, place] = bad[:, place] * 100
    bad[::2, 1] = np.nan
    for i in range(200):
        monitor.observe(replace(make_trace("user-1", now=START + i), ranked=replace(ranked, features=bad)))
    report = monitor.drift()
    assert report is not None
    assert "item_price" in report.drifted
    missing = monitor.figures(monitor.total())["missing"]
    sampled = bad[:: max(len(bad) // 20, 1)]
    assert missing == dict(zip(ranked.feature_names, np.isnan(sampled).mean(axis=0).tolist(), strict=True))
    gauges = monitor.gauges(START)
    assert gauges["recokit_feature_age_seconds", "item"] == START - min(item.freshness().values())
    assert gauges["recokit_feature_psi", "item_price"] > 1


def test_slow_runs_are_those_beyond_twice_the_baseline_wherever_buckets_end(make_trace: Make) -> None:
    latency = monitoring.LatencyMonitor()
    taken = np.random.default_rng(0).uniform(0.00105, 0.0012, 400)  # a bucket ends at 1 ms, the next at 2.5

    def counted() -> dict[str, float]:
        counts = latency.counters(latency.total())
        return {key[1]: n for key, n in counts.items() if key[0] == "recokit_slow_runs"}

    def serve(times: float) -> None:
        for seconds in taken.tolist():
            trace = make_trace()
            events = tuple(replace(event, seconds=times * seconds) for event in trace.events)
            latency.observe(replace(trace, seconds=times * seconds, events=events))

    serve(1.0)
    assert counted() == {}
    latency.set_baseline()
    stages = {event.name for event in make_trace().events}
    assert counted() == dict.fromkeys({"total", *stages}, 0)
    serve(1.0)
    assert counted() == dict.fromkeys({"total", *stages}, 0)
    serve(2.2)
    limit = 2 * float(np.quantile(taken, 0.95))
    share = {name: n / len(taken) for name, n in counted().items()}
    assert share == dict.fromkeys({"total", *stages}, pytest.approx((2.2 * taken > limit).mean(), abs=0.03))
    again = pickle.loads(pickle.dumps(latency))
    assert again.counters(again.total()) == latency.counters(latency.total())


def rated(outcomes: monitoring.OutcomeMonitor, by: str, label: str, **options: Any) -> monitoring.Rates:
    return outcomes.rates(outcomes.total(), by, **options)[label]  # type: ignore[arg-type]


def test_outcomes_are_joined_once_to_the_latest_list(toy: Dataset, make_trace: Make) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy))
    first, second = (
        make_trace("user-1", now=START, group="A"),
        make_trace("user-1", now=START + 60, group="B"),
    )
    item = first.item_ids.decode(first.selected.item)[0]
    outcomes.observe(first)
    assert not outcomes.record("user-1", item, timestamp=START - 1)  # before it was shown
    assert outcomes.record("user-1", item, timestamp=START + 5)
    outcomes.observe(second)
    assert outcomes.record("user-1", item, timestamp=START + 65)
    assert outcomes.record("user-1", item, timestamp=START + 66)  # again: counts once
    assert outcomes.record("user-1", item, event="purchase", timestamp=START + 70, value=12.5)
    assert not outcomes.record("user-2", item, timestamp=START + 70)
    assert not outcomes.record("user-1", "no such item", event="purchase", timestamp=START + 70)
    assert not outcomes.record("user-1", item, timestamp=START + 2 * DAY)  # too late
    assert not outcomes.record("user-1", item, event="view", timestamp=START + 70)
    a, b = rated(outcomes, "group", "A"), rated(outcomes, "group", "B")
    shown = len(first.selected)
    assert (a.impressions, a.clicks, a.sessions, a.purchases) == (shown, 1, 1, 0)
    assert (b.impressions, b.clicks, b.sessions, b.revenue) == (shown, 1, 0, 12.5)
    assert a.conversion == 1.0  # the session began in A
    assert math.isnan(b.revenue_per_session)
    counts = outcomes.counters(outcomes.total())
    assert counts["recokit_outcomes_unjoined", "click"] == 3
    assert counts["recokit_outcomes_unjoined", "purchase"] == 1


def test_ndcg_by_clicks_is_that_of_scikit_learn_over_lists_with_a_click(
    toy: Dataset, make_trace: Make
) -> None:
    random = np.random.default_rng(0)
    catalog = monitoring.Catalog.of(toy, new=20)  # so that lists hold new items and established ones
    outcomes = monitoring.OutcomeMonitor(catalog)
    expected: dict[str, list[float]] = {"all": [], "new": [], "established": []}
    for i, user in enumerate(toy.user_ids.ids.tolist()):
        trace = make_trace(user, now=START + 60 * i)
        outcomes.observe(trace)
        items = trace.item_ids.decode(trace.selected.item)
        new = catalog.new_item[catalog.items_of(trace)]
        clicked = random.random(len(items)) < 0.3
        for place in random.permutation(np.flatnonzero(clicked)).tolist():
            for _ in range(2):  # a second click on the same item is none
                outcomes.record(user, items[place], timestamp=START + 60 * i + 5)
        for kind, gains in (("all", clicked), ("new", clicked & new), ("established", clicked & ~new)):
            if gains.any():
                places = -np.arange(len(items), dtype=float)
                expected[kind].append(ndcg_score([gains.astype(float)], [places]))
    for kind in ("new", "established"):
        found = rated(outcomes, "items", kind)
        assert (found.judged, found.ndcg) == (len(expected[kind]), pytest.approx(np.mean(expected[kind])))
    whole = rated(outcomes, "group", "A")
    assert (whole.judged, whole.ndcg) == (len(expected["all"]), pytest.approx(np.mean(expected["all"])))
    by_users = outcomes.rates(outcomes.total(), "users")
    assert sum(one.judged for one in by_users.values()) == len(expected["all"])
    assert set(outcomes.rates(outcomes.total(), "items")) == {"new", "established"}
    assert 0 < whole.ndcg_error < 0.2
    assert outcomes.figures(outcomes.total())["items"]["new"]["ndcg"] == pytest.approx(
        np.mean(expected["new"])
    )


def test_sessions_end_with_a_pause(toy: Dataset, make_trace: Make) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy))
    for minute in (0, 20, 40, 71, 102):  # 31 minutes are a pause
        outcomes.observe(make_trace("user-1", now=START + 60 * minute))
    assert rated(outcomes, "group", "A").sessions == 3


def test_outcomes_of_anonymous_users(toy: Dataset, make_trace: Make) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy))
    trace = make_trace(None)
    outcomes.observe(trace)
    assert outcomes.total().counts["recokit_lists_unjoinable",] == 1
    columns = {**trace.requests.columns, "visitor_id": np.array(["cookie-7"], object)}
    outcomes.observe(replace(trace, requests=replace(trace.requests, columns=columns)))
    item = trace.item_ids.decode(trace.selected.item)[2]
    assert outcomes.record("cookie-7", item, timestamp=START + 1)
    assert rated(outcomes, "users", "cold").clicks == 1


def test_outcomes_forget_when_full_and_say_so(toy: Dataset, make_trace: Make) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy), capacity=5)
    users = toy.user_ids.ids[:8].tolist()
    for i, user in enumerate(users):
        outcomes.observe(make_trace(user, now=START + i))
    item = make_trace(users[0]).item_ids.decode(make_trace(users[0]).selected.item)[0]
    assert not outcomes.record(users[0], item, timestamp=START + 20)
    assert outcomes.total().counts["recokit_lists_evicted",] == 3
    outcomes.observe(make_trace(users[0], now=START + 3 * DAY))
    assert outcomes.total().counts["recokit_lists_evicted",] == 3  # that one's time was over


def test_many_events_at_once(toy: Dataset, make_trace: Make) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy))
    trace = make_trace("user-1")
    outcomes.observe(trace)
    items = trace.item_ids.decode(trace.selected.item)[:2].tolist()
    events = {
        "user_id": ["user-1"] * 2,
        "item_id": items,
        "event": ["click", "purchase"],
        "timestamp": [START + 1] * 2,
    }
    assert outcomes.record_many({**events, "value": [0.0, 9.0]}) == 2
    assert rated(outcomes, "group", "A").revenue == 9.0
    with pytest.raises(DataError, match="timestamp"):
        outcomes.record_many({"user_id": [], "item_id": [], "event": []})
    with pytest.raises(DataError, match="lengths"):
        outcomes.record_many({**events, "event": ["click"]})


def test_errors_of_rates_know_that_users_are_alike() -> None:
    """Random groups against the spread over many draws, where each user clicks all or little."""
    rng = np.random.default_rng(0)
    found, errors = [], []
    for _ in range(200):
        taste = rng.beta(0.3, 1.2, 400)
        clicks = rng.binomial(20, taste)
        bucket = rng.integers(0, 32, 400)
        by_bucket = np.bincount(bucket, clicks, 32), 20.0 * np.bincount(bucket, minlength=32)
        names = ("impressions", "clicks", "purchases", "revenue", "sessions", "converted", "gained", "judged")
        counts = {name: np.zeros(32) for name in names}
        rates = monitoring.Rates.of({**counts, "clicks": by_bucket[0], "impressions": by_bucket[1]})
        found.append(rates.ctr)
        errors.append(rates.ctr_error)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.15)
    binomial = math.sqrt(0.2 * 0.8 / 8000)
    assert np.mean(errors) > 2.5 * binomial


# -- time, threads, processes ----------------------------------------------------------------------


def test_days_and_weeks_add_up(monitors: list[monitoring.Monitor], make_trace: Make) -> None:
    times = [START + 3600 * hour for hour in range(0, 24 * 9, 7)]
    for monitor in monitors:
        fill(monitor, make_trace, times)
        days, weeks = monitor.daily(), monitor.weekly()
        assert list(days)[:2] == ["2024-12-30", "2024-12-31"]
        assert list(weeks) == ["2024-12-30", "2025-01-06"]
        total = sum(monitor.counters(monitor.total()).values())
        for parts in (monitor.days(), monitor.weeks()):
            assert sum(sum(monitor.counters(tally).values()) for tally in parts.values()) == pytest.approx(
                total
            )


def test_late_times_go_to_their_day(make_trace: Make) -> None:
    health = monitoring.HealthMonitor()
    for now in (START + DAY + 100, START + DAY + 50, START + 5, START + DAY + 101):
        health.observe(make_trace(now=now))
    assert [figures["requests"] for figures in health.daily().values()] == [1, 3]
    assert health.figures(health.total())["requests"] == 4


def test_only_the_last_five_weeks_are_kept(make_trace: Make) -> None:
    health = monitoring.HealthMonitor()
    for day in range(50):
        health.observe(make_trace(now=START + day * DAY))
    assert len(health.days()) in (35, 36)
    assert health.figures(health.total())["requests"] == 50


@pytest.mark.parametrize("place", range(6))
def test_processes_merge_to_what_one_would_have_counted(
    monitors: list[monitoring.Monitor], make_trace: Make, place: int
) -> None:
    one = monitors[place]
    parts = [type(one)(**get_params(one)) for _ in range(3)]
    for i, now in enumerate(START + 977.0 * np.arange(300)):
        trace = make_trace(f"user-{i % 12 + 1}", now=now)
        one.observe(trace)
        parts[i % 12 % 3].observe(trace)
    parts[0].merge(parts[1])
    parts[0].merge(pickle.loads(pickle.dumps(parts[2])))
    now = START + 977.0 * 299
    for read in (lambda m: m.total(), lambda m: m.recent(now, 3000), lambda m: m.days()[20_089]):
        mine, theirs = (dict(monitor.counters(read(monitor))) for monitor in (parts[0], one))
        assert mine == pytest.approx(theirs)
    assert parts[0].daily().keys() == one.daily().keys()


def test_merging_refuses_another_kind(monitors: list[monitoring.Monitor]) -> None:
    with pytest.raises(ConfigurationError, match="same options"):
        monitors[0].merge(monitors[1])


@pytest.mark.parametrize("place", range(6))
def test_saved_and_loaded(monitors: list[monitoring.Monitor], make_trace: Make, place: int, tmp_path) -> None:
    monitor = monitors[place]
    if isinstance(monitor, monitoring.FeatureMonitor):
        monitor = monitoring.FeatureMonitor()
    fill(monitor, make_trace, [START + 500.0 * i for i in range(400)])
    save_state(tmp_path / "monitor", monitor)
    for twin in (load_state(tmp_path / "monitor")[0], pickle.loads(pickle.dumps(monitor))):
        assert str(plain(twin)) == str(plain(monitor))
        before = len(twin.days())
        twin.observe(make_trace(now=START + 30 * DAY))
        assert len(twin.days()) == before + 1


def test_joins_go_on_after_a_restart(toy: Dataset, make_trace: Make, tmp_path) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy))
    trace = make_trace("user-1")
    outcomes.observe(trace)
    save_state(tmp_path / "outcomes", outcomes)
    again = load_state(tmp_path / "outcomes")[0]
    item = trace.item_ids.decode(trace.selected.item)[0]
    assert again.record("user-1", item, timestamp=START + 9)
    other = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy))
    other.merge(outcomes)
    assert other.record("user-1", item, timestamp=START + 9)
    assert outcomes.record("user-1", item, timestamp=START + 9)  # what was merged was copied


def test_all_monitors_in_a_pipeline_under_two_threads(
    toy: Dataset, pipeline: rk.Pipeline, monitors: list[monitoring.Monitor]
) -> None:
    watched = rk.Pipeline(pipeline.stages, fallback=pipeline.fallback, observers=monitors).fit(toy)
    users = toy.user_ids.ids.tolist()
    failures: list[Exception] = []

    def serve(part: list[str]) -> None:
        try:
            for i, user in enumerate(part * 8):
                answer = watched.recommend([user], k=5, now=toy.until + i)
                monitors[5].record(user, answer.ids(0)[0], timestamp=toy.until + i + 1)  # type: ignore[attr-defined]
                for monitor in monitors:
                    monitor.recent(toy.until + i, 60)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=serve, args=(users[i::2],)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    n = 8 * len(users)
    latency, health, funnel, lists, feature, outcomes = monitors
    assert latency.figures(latency.total())["seconds"]["total"]["n"] == n
    assert health.figures(health.total())["requests"] == n
    assert funnel.figures(funnel.total())["items"] == 5 * n
    assert sum(lists.figures(lists.total())["lists"].values()) == n
    assert feature.counters(feature.total())["recokit_feature_rows", "item_price"] >= 5 * n
    assert rated(outcomes, "group", "all").impressions == 5 * n  # type: ignore[arg-type]


def test_labels_are_bounded(toy: Dataset, make_trace: Make) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy))
    for i in range(300):
        outcomes.observe(make_trace("user-1", now=START + i, group=f"group-{i}"))
    assert len(outcomes.rates(outcomes.total())) == 101
    assert rated(outcomes, "group", "other").impressions == 200 * len(make_trace("user-1").selected)
    assert sum(rates.impressions for rates in outcomes.rates(outcomes.total()).values()) == 300 * len(
        make_trace("user-1").selected
    )


def test_options_are_checked(toy: Dataset) -> None:
    catalog = monitoring.Catalog.of(toy)
    for build, text in (
        (lambda: monitoring.LatencyMonitor(budget_ms=0), "budget_ms"),
        (lambda: monitoring.FeatureMonitor(rows=0), "rows"),
        (lambda: monitoring.OutcomeMonitor(catalog, capacity=0), "capacity"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            build()


def test_names_of_stages_without_end_are_not_kept(make_trace: Make) -> None:
    latency = monitoring.LatencyMonitor()
    trace = make_trace()
    for i in range(1005):
        latency.observe(replace(trace, events=(replace(trace.events[0], name=f"stage_{i}"),)))
    assert len(latency._keys) == 1000
    figures = latency.quantiles(latency.total())
    assert figures["total"]["n"] == 1005
    assert sum(figures[name]["n"] for name in figures if name != "total") == 1005


@pytest.mark.parametrize(("hours", "seen"), [(0, 1.0), (23, 1.0), (24, 0.0), (40, 0.0)])
def test_outcomes_are_kept_by_hours_for_a_day(
    toy: Dataset, make_trace: Make, hours: int, seen: float
) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy))
    outcomes.observe(make_trace(now=START))
    later = START + hours * 3600.0
    outcomes.observe(make_trace("user-2", now=later))
    recent = outcomes.recent(later, 100 * 3600.0)
    lists = outcomes.rates(recent)["A"].impressions / 8
    assert lists == 1.0 + seen
    # An hour is the least that can be told apart.
    last = outcomes.rates(outcomes.recent(later + 3599.0, 60.0))["A"].impressions / 8
    assert last == (2.0 if hours == 0 else 1.0)
