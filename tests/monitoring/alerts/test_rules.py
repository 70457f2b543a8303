"""Alert rules on counts that are written down here: on both sides of each limit."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from recokit import monitoring
from recokit._stats.intervals import student_quantile
from recokit.monitoring.alerts.rules import (
    CoverageDrop,
    DeadSource,
    FeatureTrouble,
    OutcomeDrop,
    SegmentDrop,
    ShareAbove,
    SlowStage,
    standard_rules,
)
from recokit.monitoring.counters import Counters
from recokit.monitoring.rates import Rates, difference

DAY = 86_400.0
NOW = 1_000 * DAY + 5.0  # yesterday is day 999


class Windows:
    """A monitor whose recent counts are the window asked for, and its total the word."""

    def __init__(self, **parts: Any) -> None:
        vars(self).update(parts)

    def recent(self, now: float, seconds: float) -> Any:
        assert now == NOW
        return seconds

    def total(self) -> Any:
        return "total"


def only(readings: Any) -> Any:
    (reading,) = readings
    return reading


# -- latency


def slow(n: float, **recent: float) -> Any:
    usual = {"p50": 0.01, "p95": 0.02, "p99": 0.03}
    figures = {60.0: {"rank": {"n": n, **usual, **recent}}}
    return Windows(baseline={"rank": usual}, quantiles=figures.__getitem__)


@pytest.mark.parametrize(
    ("n", "recent", "state"),
    [
        (49, {"p50": 1.0}, "cannot tell"),
        (50, {"p50": 0.0201}, "bad"),
        (50, {"p50": 0.02}, "between"),
        (50, {"p50": 0.0151}, "between"),
        (50, {"p50": 0.015}, "ok"),
        (199, {"p95": 1.0}, "ok"),  # too few runs for a p95
        (200, {"p95": 0.0401}, "bad"),
        (999, {"p99": 1.0}, "ok"),
        (1000, {"p99": 0.0601}, "bad"),
    ],
)
def test_a_stage_is_slow_above_twice_its_baseline(n: float, recent: dict[str, float], state: str) -> None:
    reading = only(SlowStage(slow(n, **recent)).read(NOW))
    assert (reading.subject, reading.state) == ("rank", state)
    if state == "cannot tell":
        assert reading.message == "found 49 runs in 60 s; expected 50"
    if state == "bad":
        ((name, seconds),) = recent.items()
        assert reading.value == seconds
        assert f"found {name} of {1e3 * seconds:.3g} ms in {n:.0f} runs" in reading.message


def test_a_millisecond_more_is_no_slowness_and_the_worst_quantile_is_judged() -> None:
    usual = {"p50": 0.0001, "p95": 0.0004}

    def read(**recent: float) -> Any:
        monitor = Windows(
            baseline={"rank": usual}, quantiles={60.0: {"rank": {"n": 500, **recent}}}.__getitem__
        )
        return only(SlowStage(monitor).read(NOW))

    assert read(p50=0.0011, p95=0.0004).state == "ok"
    assert read(p50=0.00111, p95=0.0004).state == "bad"
    worst = read(p50=0.0002, p95=0.0009)
    assert worst.value == 0.0009 and worst.limit == 0.0008
    assert "the baseline is 0.4 ms, expected at most 2 times as much" in worst.message
    silent = Windows(baseline={"rank": usual}, quantiles={60.0: {}}.__getitem__)
    assert only(SlowStage(silent).read(NOW)).message == "found 0 runs in 60 s; expected 50"
    assert list(SlowStage(Windows(baseline=None, quantiles=lambda window: {})).read(NOW)) == []
    assert only(SlowStage(slow(60, p50=0.021), factor=3.0).read(NOW)).state == "ok"


# -- sources


@pytest.mark.parametrize(
    ("hits", "calls", "state"),
    [(5, 12, "bad"), (6, 12, "ok"), (0, 11, "cannot tell"), (12, 12, "ok"), (0, 12, "bad")],
)
def test_a_source_is_dead_when_half_of_its_calls_find_nothing(hits: int, calls: int, state: str) -> None:
    answers = {30.0: {"knn": (hits, calls)}, "total": {"knn": (100, 100)}}
    reading = only(DeadSource(Windows(answered=answers.__getitem__)).read(NOW))
    assert reading.state == state
    if state == "cannot tell":
        assert reading.message == "found 11 calls in 30 s, too few to tell"
    else:
        assert reading.message == f"found candidates in {hits / calls:.0%} of 12 calls; 100% so far"
        assert (reading.value, reading.limit) == (hits / calls, 0.5)


def test_a_source_that_rarely_answers_needs_more_calls() -> None:
    def read(hits: float, calls: float) -> str:
        answers = {30.0: {"knn": (hits, calls)}, "total": {"knn": (50, 100)}}
        return only(DeadSource(Windows(answered=answers.__getitem__)).read(NOW)).state

    # Half of 148 calls are 12 of their standard errors, sqrt(148 / 4 + 1).
    assert [read(0, 147), read(0, 148), read(37, 148), read(36, 148)] == ["cannot tell", "bad", "ok", "bad"]
    both = {30.0: {"b": (0, 12)}, "total": {"a": (50, 100), "b": (100, 100)}}
    readings = DeadSource(Windows(answered=both.__getitem__)).read(NOW)
    assert [(reading.subject, reading.state) for reading in readings] == [("a", "cannot tell"), ("b", "bad")]
    gone = {30.0: {}, "total": {"knn": (50, 100)}}
    assert only(DeadSource(Windows(answered=gone.__getitem__)).read(NOW)).state == "cannot tell"


# -- shares


@pytest.mark.parametrize(
    ("kind", "name", "limit"),
    [
        ("status", "fallback", 0.05),
        ("status", "empty", 0.01),
        ("status", "failed", 0.001),
        ("error", "rank", 0.01),
        ("miss", "store", 0.5),
    ],
)
def test_a_share_is_bad_four_standard_errors_above_its_limit(kind: str, name: str, limit: float) -> None:
    n = 1_000
    edge = n * limit + 4 * math.sqrt(n * limit * (1 - limit) + 1)

    def read(x: float, n: float = n, **options: Any) -> Any:
        found = {("status", "ok"): (n, n), (kind, name): (x, n)}
        shares = {300.0: found, "total": found}
        readings = list(ShareAbove(Windows(shares=shares.__getitem__), **options).read(NOW))
        assert len(readings) <= 1  # answers that are fine have no limit
        return readings[0] if readings else None

    assert read(math.floor(edge)).state == "ok"
    bad = read(math.ceil(edge))
    assert bad.state == "bad" and bad.subject == (name if kind == "status" else f"{kind}: {name}")
    assert bad.message == f"found {math.ceil(edge) / n:.1%} of 1000; expected at most {limit:.1%}"
    assert (read(49, 49).state, read(50, 50).state) == ("cannot tell", "bad")
    assert read(49, 49).message == "found 49 in 300 s; expected 50"
    assert read(1_000, limits={"other": 0.5}) is None


def test_a_trouble_that_is_over_is_none_of_the_recent_requests() -> None:
    shares = {
        300.0: {("status", "ok"): (60.0, 60.0)},
        "total": {
            ("status", "ok"): (1.0, 1.0),
            ("miss", "store"): (9.0, 100.0),
            ("error", "rank"): (9.0, 100.0),
        },
    }
    readings = {
        reading.subject: reading for reading in ShareAbove(Windows(shares=shares.__getitem__)).read(NOW)
    }
    assert (readings["error: rank"].state, readings["error: rank"].value) == ("ok", 0.0)
    assert readings["miss: store"].state == "cannot tell"  # no row was read


# -- days


class Days:
    """A monitor whose days are numbers; coverage and rates of a day are looked up by its number."""

    def __init__(self, days: dict[int, Any], **parts: Any) -> None:
        self._days = days
        vars(self).update(parts)

    def days(self) -> dict[int, Any]:
        return self._days


def coverage(last: tuple[float, float] | None, *before: tuple[float, float]) -> list[Any]:
    days = {999 - i: pair for i, pair in enumerate((last, *before)) if pair is not None}
    monitor = Days(days, coverage=lambda pair: {("all", "all"): pair[0], ("all", "new"): pair[1]})
    return list(CoverageDrop(monitor).read(NOW))  # type: ignore[arg-type]


def test_coverage_is_held_against_the_median_of_the_days_before() -> None:
    usual = [(0.5, 0.2), (0.4, 0.2), (0.6, 0.1)]
    whole, new = coverage((0.35, 0.14), *usual)
    assert [whole.state, new.state] == ["ok", "ok"]
    assert (whole.subject, new.subject) == ("catalogue", "new items")
    assert (whole.value, whole.limit) == (0.35, 0.7 * 0.5) and new.limit == pytest.approx(0.14)
    assert whole.message == "found 35.0% of the items shown; 50.0% is usual"
    assert [reading.state for reading in coverage((0.349, 0.13), *usual)] == ["bad", "bad"]


def test_coverage_needs_yesterday_and_three_days_before_of_the_last_seven() -> None:
    usual = [(0.5, 0.5)] * 3
    for readings in (coverage(None, *usual), coverage((0.1, 0.1), *usual[:2])):
        reading = only(readings)
        assert reading.state == "cannot tell" and reading.subject == "catalogue"
    assert reading.message == "found 2 whole days before; expected 3"
    # The eighth day before is too old: with it the median would be another.
    old = coverage((0.4, 0.4), *[(0.5, 0.5)] * 3, *[(0.6, 0.6)] * 4, *[(9.0, 9.0)] * 9)
    assert old[0].limit == pytest.approx(0.7 * 0.6)


def rates(ctr: float, error: float, impressions: int = 10_000) -> Rates:
    rest = dict.fromkeys(Rates.__dataclass_fields__, math.nan)
    return Rates(**{**rest, "impressions": impressions, "ctr": ctr, "ctr_error": error})  # type: ignore[arg-type]


def outcome(first: Rates, *others: Rates, **options: Any) -> dict[str, Any]:
    groups = {"A": first} | dict(zip("BCD", others, strict=False))
    monitor = Days({999: groups}, rates=lambda counters: counters)
    return {reading.subject: reading for reading in OutcomeDrop(monitor, **options).read(NOW)}  # type: ignore[arg-type]


def test_a_group_is_bad_if_its_click_rate_is_surely_below_the_controls() -> None:
    t = -student_quantile(1e-3, 31)
    control = rates(0.10, 0.0)
    # A relative change of -8% with errors on both sides of certainty.
    sure, unsure = 0.08 / t * 0.99, 0.08 / t * 1.01
    readings = [outcome(control, rates(0.092, 0.1 * error))["B"] for error in (sure, unsure)]
    assert [reading.state for reading in readings] == ["bad", "cannot tell"]
    assert readings[0].value == pytest.approx(-0.08) and readings[0].limit == -0.1
    assert "9.20% in 10000 impressions; 10.00% in A; a change of -8.0%" in readings[0].message
    needed = 10_000 * (t * unsure / 0.1) ** 2
    assert f"some {needed:.0f} impressions would tell" in readings[1].message
    # Nothing lost: fine as soon as a drop of a tenth is excluded.
    fine, vague = 0.1 / t * 0.99, 0.1 / t * 1.01
    states = [outcome(control, rates(0.10, 0.1 * error))["B"].state for error in (fine, vague)]
    assert states == ["ok", "cannot tell"]
    assert outcome(control, rates(0.10, 0.1 * vague), drop=0.2)["B"].state == "ok"


def test_more_groups_are_judged_more_strictly_and_the_control_can_be_named() -> None:
    one, two = -student_quantile(1e-3, 31), -student_quantile(5e-4, 31)
    between = 0.1 * 0.08 * (1 / one + 1 / two) / 2
    control, other = rates(0.10, 0.0), rates(0.092, between)
    assert outcome(control, other)["B"].state == "bad"
    assert outcome(control, other, control)["B"].state == "cannot tell"
    named = outcome(other, control, control="B")
    assert list(named) == ["A"] and named["A"].state == "bad"
    assert outcome(control, other, control="nobody") == {}
    assert list(OutcomeDrop(Days({998: {}})).read(NOW)) == []  # type: ignore[arg-type]
    for bad in (rates(math.nan, math.nan), rates(0.1, 0.0)):
        reading = outcome(rates(0.1, 0.0), bad)["B"]
        assert reading.state == "cannot tell" and reading.message.endswith("; too few clicks to compare")


def segment(monkeypatch: pytest.MonkeyPatch, days: dict[int, float], error: float = 1e-4) -> dict[str, Any]:
    """Return the readings where each day has a click rate, and those of several days are their mean."""
    monkeypatch.setattr(Counters, "sum_of", classmethod(lambda cls, parts: list(parts)))

    def mean(parts: list[float], by: str) -> dict[str, Rates]:
        label = {"users": "cold", "items": "new"}[by]
        return {label: rates(sum(parts) / len(parts), error / len(parts) ** 0.5)}

    rule = SegmentDrop(Days(days, rates=mean))  # type: ignore[arg-type]
    return {reading.subject: reading for reading in rule.read(NOW)}


def test_cold_users_and_new_items_are_held_against_their_own_days_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = dict.fromkeys((996, 997, 998), 0.1)
    readings = segment(monkeypatch, {**usual, 999: 0.05})
    assert {subject: reading.state for subject, reading in readings.items()} == {
        "cold users": "bad",
        "new items": "bad",
    }
    assert "10.00% on the 3 days before" in readings["new items"].message
    assert segment(monkeypatch, {**usual, 999: 0.1})["cold users"].state == "ok"
    few = segment(monkeypatch, {997: 0.1, 998: 0.1, 999: 0.05})
    assert list(few) == ["cold users"] and few["cold users"].state == "cannot tell"
    assert "found 2 whole days before; expected 3" in few["cold users"].message


def test_two_days_together_tell_what_one_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    t = -student_quantile(5e-4, 31)
    # One day at half the rate is within t errors of the usual one; two days are not.
    error = 0.1 * 0.5 / t
    usual = dict.fromkeys((994, 995, 996, 997), 0.1)
    both = segment(monkeypatch, {**usual, 998: 0.05, 999: 0.05}, error)["cold users"]
    assert both.state == "bad" and "on the 4 days before" in both.message
    short = segment(monkeypatch, {996: 0.1, 997: 0.1, 998: 0.05, 999: 0.05}, error)["cold users"]
    assert short.state == "cannot tell"


def test_a_segment_that_was_not_shown_cannot_tell() -> None:
    days = {day: Counters() for day in range(996, 1000)}
    monitor = Days(days, rates=lambda counters, by: {})
    reading = next(iter(SegmentDrop(monitor).read(NOW)))  # type: ignore[arg-type]
    assert (reading.state, reading.message) == ("cannot tell", "found no impressions of cold users")


# -- features


def feature_rule(recent: dict[str, float], usual: dict[str, float], **parts: Any) -> dict[str, Any]:
    figures = {1800.0: {"missing": recent}, "total": {"missing": usual}}
    monitor = Windows(
        figures=figures.__getitem__,
        ages=lambda now: parts.get("ages", {}),
        drift=lambda: parts.get("drift"),
    )
    return {reading.subject: reading for reading in FeatureTrouble(monitor).read(NOW)}  # type: ignore[arg-type]


def test_features_are_held_against_their_past_their_age_and_training() -> None:
    usual = {"price": 0.25, "stock": 0.25, "gone": 0.0}
    readings = feature_rule({"price": 0.45, "stock": 0.46}, usual, ages={"a": DAY, "b": DAY + 1})
    assert {subject: reading.state for subject, reading in readings.items()} == {
        "missing: price": "ok",
        "missing: stock": "bad",
        "age: a": "ok",
        "age: b": "bad",
    }
    assert readings["missing: stock"].message == "found 46% missing; 25% so far"
    assert readings["age: b"].message == "found data 24.0 h old; expected at most 24 h"
    assert (readings["age: b"].value, readings["age: b"].limit) == (DAY + 1, DAY)
    checks = [
        SimpleNamespace(subject="price", message="first"),
        SimpleNamespace(subject="price", message="second"),
    ]
    report = SimpleNamespace(findings=checks, figures={"price": {}, "stock": {}})
    readings = feature_rule({}, {}, drift=report)
    assert (readings["drift: price"].state, readings["drift: price"].message) == ("bad", "first")
    assert (readings["drift: stock"].state, readings["drift: stock"].message) == ("ok", "as in training")


# -- all


def test_each_monitor_has_its_rules_with_names_of_their_own() -> None:
    catalog = SimpleNamespace(n_items=0, information=[0], popularity=[0], new_item=[True])
    monitors = [
        monitoring.LatencyMonitor(),
        monitoring.HealthMonitor(),
        monitoring.FunnelMonitor(),
        monitoring.ListMonitor(catalog),  # type: ignore[arg-type]
        monitoring.FeatureMonitor(),
        monitoring.OutcomeMonitor(catalog),  # type: ignore[arg-type]
    ]
    rules = standard_rules(monitors)
    habits = {rule.name: (rule.every, rule.raise_after, rule.clear_after) for rule in rules}
    assert habits == {
        "SlowStage": (0.0, 2, 4),
        "ShareAbove": (0.0, 2, 4),
        "DeadSource": (0.0, 1, 4),
        "CoverageDrop": (3600.0, 1, 1),
        "FeatureTrouble": (60.0, 2, 4),
        "OutcomeDrop": (3600.0, 1, 1),
        "SegmentDrop": (3600.0, 1, 1),
    }


def test_a_relative_change_has_the_error_of_a_ratio() -> None:
    change, error = difference((0.1, 0.01), (0.05, 0.02))
    assert change == pytest.approx(-0.5)
    assert error == pytest.approx(0.5 * math.hypot(0.02 / 0.05, 0.01 / 0.1))
    assert all(map(math.isnan, difference((0.0, 0.01), (0.05, 0.02))))
