"""Alerts: each rule raises what it is for, keeps quiet without, and says when it cannot tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import monitoring
from recokit.data import Dataset, load_state, save_state
from recokit.errors import ConfigurationError
from recokit.monitoring import Alerts, Reading
from recokit.trace import Trace

DAY = 86_400.0
START = 20_087 * DAY

Make = Callable[..., Trace]


class Said:
    """A rule that says what it is told."""

    def __init__(self, *states: str, every: float = 0.0, name: str = "Said") -> None:
        self.name, self.every, self.raise_after, self.clear_after = name, every, 2, 3
        self.states = list(states)

    def read(self, now: float) -> Iterable[Reading]:
        return [Reading("it", self.states.pop(0), "found it")]  # type: ignore[arg-type]


def changes(*states: str) -> list[str]:
    """Return what each check changed, as one letter."""
    alerts = Alerts([Said(*states)])
    found = []
    for i in range(len(states)):
        changed = alerts.check(float(i))
        found.append("".join("r" if alert.cleared is None else "c" for alert in changed) or ".")
    return found


def test_it_takes_some_bad_readings_to_raise_and_some_good_ones_to_clear() -> None:
    assert changes("bad", "ok", "bad", "bad", "bad") == [".", ".", ".", "r", "."]
    assert changes("bad", "bad", "ok", "ok", "bad", "ok", "ok", "ok") == [".", "r", *".....", "c"]
    assert changes("bad", "cannot tell", "bad", "between", "ok", "ok", "ok") == [
        ".",
        ".",
        "r",
        ".",
        ".",
        ".",
        "c",
    ]
    assert changes("bad", "bad", "ok", "ok", "between", "ok", "ok", "ok") == [".", "r", *".....", "c"]


def test_a_rule_is_read_as_often_as_it_wants() -> None:
    rule = Said("bad", "bad", every=3600.0)
    alerts = Alerts([rule])
    for minute in range(60):
        assert alerts.check(START + 60 * minute) == []
    assert len(rule.states) == 1
    (raised,) = alerts.check(START + 3600)
    assert alerts.active == (raised,)
    assert str(raised) == "Said (it) raised: found it"


def test_names_are_distinct_and_alerts_survive_a_restart(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="Said"):
        Alerts([Said(), Said()])
    alerts = Alerts([Said("bad", "bad", "ok", "ok", "ok")])
    alerts.check(0.0)
    alerts.check(1.0)
    save_state(tmp_path / "alerts", alerts.state())
    again = Alerts([Said("ok", "ok", "ok")])
    again.load_state(load_state(tmp_path / "alerts")[0])
    assert [alert.since for alert in again.active] == [1.0]
    assert [len(again.check(float(now))) for now in (2, 3, 4)] == [0, 0, 1]


# -- within minutes --------------------------------------------------------------------------------


def serve(
    monitors: list[Any], alerts: Alerts, make: Make, start: float, seconds: int, rate: int = 3, **changed: Any
) -> list[tuple[float, str, str]]:
    """Serve at an even pace, check each 15 seconds, and return what was raised, with the delay."""
    rng = np.random.default_rng(int(start))
    raised = []
    slow = changed.pop("slow", 1.0)
    for i in range(seconds * rate):
        now = start + i / rate
        if i % (15 * rate) == 0:
            raised += [(now - start, a.name, a.subject) for a in alerts.check(now) if a.cleared is None]
        trace = make(f"user-{i % 15 + 1}", now=now, slow=slow * math.exp(rng.normal(0, 0.2)), **changed)
        for monitor in monitors:
            monitor.observe(trace)
    return raised


@pytest.fixture
def watched(make_trace: Make) -> tuple[list[Any], Alerts]:
    monitors: list[Any] = [
        monitoring.LatencyMonitor(),
        monitoring.FunnelMonitor(),
        monitoring.HealthMonitor(),
    ]
    serve(monitors, Alerts([]), make_trace, START, 120)
    monitors[0].set_baseline()
    alerts = Alerts(monitoring.standard_rules(monitors))
    assert serve(monitors, alerts, make_trace, START + 120, 180) == []
    return monitors, alerts


def test_latency_is_raised_within_two_minutes_and_cleared(watched: Any, make_trace: Make) -> None:
    monitors, alerts = watched
    raised = serve(monitors, alerts, make_trace, START + 300, 120, slow=30.0)
    assert ("SlowStage", "total") in {(name, subject) for delay, name, subject in raised if delay <= 120}
    serve(monitors, alerts, make_trace, START + 420, 240)
    assert not alerts.active


def test_a_dead_source_is_raised_within_a_minute(watched: Any, make_trace: Make) -> None:
    monitors, alerts = watched
    raised = serve(
        monitors, alerts, make_trace, START + 300, 75, **{"merge.popular": {"n_out": 0, "n_in": 0}}
    )
    ((delay, name, subject),) = raised
    assert (name, subject) == ("DeadSource", "merge.popular")
    assert delay <= 60


def test_errors_and_fallbacks_are_raised(watched: Any, make_trace: Make) -> None:
    monitors, alerts = watched
    failed = {"error": "OSError: gone", "failed_rows": np.array([0])}
    raised = serve(monitors, alerts, make_trace, START + 300, 120, item=failed)
    assert {(name, subject) for _, name, subject in raised} == {("ShareAbove", "error: item")}
    for i in range(200):
        monitors[2].observe(
            replace(make_trace(now=START + 430 + i / 10), status=np.array([2 if i % 5 else 0]))
        )
    for later in (455.0, 470.0):
        alerts.check(START + later)
    assert "fallback" in {alert.subject for alert in alerts.active}


def test_few_requests_cannot_tell(make_trace: Make) -> None:
    monitors: list[Any] = [
        monitoring.LatencyMonitor(),
        monitoring.FunnelMonitor(),
        monitoring.HealthMonitor(),
    ]
    for i in range(9):
        for monitor in monitors:
            monitor.observe(make_trace(now=START + i))
    monitors[0].set_baseline()
    alerts = Alerts(monitoring.standard_rules(monitors))
    alerts.check(START + 10)
    assert {reading.state for reading in alerts.readings.values()} == {"cannot tell"}


def test_a_feature_that_goes_missing_and_one_that_is_old(
    make_trace: Make, pipeline: rk.Pipeline, toy: Dataset
) -> None:
    monitor = monitoring.FeatureMonitor(stages={"item": pipeline["item"]})
    trace = make_trace("user-1")
    ranked = trace.ranked
    assert ranked is not None
    gone = ranked.features.copy()
    gone[:, ranked.feature_names.index("item_price")] = np.nan
    rule = monitoring.FeatureTrouble(monitor)

    def states(now: float) -> dict[str, str]:
        return {reading.subject: reading.state for reading in rule.read(now)}

    for i in range(400):
        monitor.observe(make_trace("user-1", now=toy.until + 60 * i))
    assert set(states(toy.until + 60 * 400).values()) == {"ok"}
    for i in range(130):
        changed = replace(ranked, features=gone)
        monitor.observe(replace(make_trace("user-1", now=toy.until + 60 * (400 + i)), ranked=changed))
    found = states(toy.until + 60 * 530)
    assert found["missing: item_price"] == "bad"
    assert found["age: item"] == "ok"
    assert states(toy.until + 2 * DAY)["age: item"] == "bad"


# -- within days -----------------------------------------------------------------------------------


def test_a_collapse_of_coverage_is_raised_at_the_end_of_its_day(toy: Dataset, make_trace: Make) -> None:
    lists = monitoring.ListMonitor(monitoring.Catalog.of(toy))
    alerts = Alerts(monitoring.standard_rules([lists]))
    for day in range(7):
        for i in range(30):
            trace = make_trace(f"user-{i + 1}", now=START + day * DAY + i * 600)
            if day == 6:  # the same two items for everybody
                same = make_trace("user-1").selected
                trace = replace(trace, selected=same.compress(np.arange(len(same)) < 2))
            lists.observe(trace)
        raised = [alert.subject for alert in alerts.check(START + (day + 1) * DAY)]
        assert day == 6 or not raised
    assert "catalogue" in raised
    assert "found" in str(alerts.active[0])


def click(outcomes: monitoring.OutcomeMonitor, trace: Trace, share: float, rng: np.random.Generator) -> None:
    outcomes.observe(trace)
    items = trace.item_ids.ids[trace.selected.item - 1]  # type: ignore[union-attr]
    for item in items[rng.random(len(items)) < share].tolist():
        outcomes.record(trace.users[0], item, timestamp=float(trace.requests.now[0]) + 1)  # type: ignore[index]


def named(trace: Trace, name: str) -> Trace:
    return replace(trace, users=np.array([name], object))


@pytest.mark.parametrize(
    ("share", "lists", "state"), [(0.3, 1500, "ok"), (0.22, 1500, "bad"), (0.27, 40, "cannot tell")]
)
def test_an_arm_that_is_clicked_less(
    toy: Dataset, make_trace: Make, share: float, lists: int, state: str
) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy))
    rng = np.random.default_rng(1)
    for i in range(2 * lists):
        group = "AB"[i % 2]
        trace = make_trace(f"user-{i % 15 + 1}", now=START + i * DAY / lists / 2.1, group=group)
        click(outcomes, named(trace, f"{group}-{i % 997}"), 0.3 if group == "A" else share, rng)
    (reading,) = monitoring.OutcomeDrop(outcomes).read(START + DAY)
    assert (reading.subject, reading.state) == ("B", state), reading.message
    if state == "cannot tell":
        assert "would tell" in reading.message
    assert not list(monitoring.OutcomeDrop(outcomes, control="C").read(START + DAY))
    assert not list(monitoring.OutcomeDrop(outcomes).read(START))


def test_cold_users_who_are_clicked_less(toy: Dataset, make_trace: Make) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(toy))
    rng, rule = np.random.default_rng(2), monitoring.SegmentDrop(outcomes)
    found = []
    for day in range(7):
        for i in range(500):
            cold = i % 2 == 0
            trace = make_trace(None if cold else "user-1", now=START + day * DAY + i * 100)
            share = 0.15 if cold and day == 6 else 0.3
            click(outcomes, named(trace, f"visitor-{i}"), share, rng)
        found.append({reading.subject: reading.state for reading in rule.read(START + (day + 1) * DAY)})
    assert found[2]["cold users"] == "cannot tell"  # three days before are needed
    assert "bad" not in {states["cold users"] for states in found[:6]}
    assert found[6]["cold users"] == "bad"
