"""The alert rules that come with recokit; each knows when it is too early to tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Literal

import numpy as np

from recokit._stats.intervals import student_quantile
from recokit._utils.params import Configured
from recokit.data.times import DAY
from recokit.monitoring.alerts.alerts import AlertRule, Reading, State
from recokit.monitoring.counters import Counters
from recokit.monitoring.feature_monitor import FeatureMonitor
from recokit.monitoring.funnel import FunnelMonitor
from recokit.monitoring.health import HealthMonitor
from recokit.monitoring.latency import QUANTILES, LatencyMonitor
from recokit.monitoring.lists import ListMonitor
from recokit.monitoring.monitor import Monitor
from recokit.monitoring.outcomes import OutcomeMonitor
from recokit.monitoring.rates import BUCKETS, Rates, difference

#: Requests in a window below which a rule cannot tell.
_MIN_REQUESTS = 50
#: Whole days below which a rule cannot tell what is usual.
_MIN_DAYS = 3


class SlowStage(Configured):
    """A stage, or the whole run, takes twice as long as in the baseline.

    Judged over the last minute by each quantile that has enough runs: 50 for p50, 200 for p95, 1,000 for p99.

    Parameters
    ----------
    monitor : LatencyMonitor
        With a baseline, without which there is no reading.
    factor : float, default 2.0
        An alert is taken back below three quarters of it.
    window : float, default 60
        Seconds.
    least : float, default 0.001
        Seconds by which a stage must have become slower to matter.
    """

    name, every, raise_after, clear_after = "SlowStage", 0.0, 2, 4

    def __init__(
        self, monitor: LatencyMonitor, *, factor: float = 2.0, window: float = 60.0, least: float = 1e-3
    ) -> None:
        self.monitor, self.factor, self.window, self.least = monitor, factor, window, least

    def read(self, now: float) -> Iterator[Reading]:
        """Judge each stage of the baseline."""
        recent = self.monitor.quantiles(self.monitor.recent(now, self.window))
        for stage, usual in (self.monitor.baseline or {}).items():
            yield self._reading(stage, usual, recent.get(stage, {"n": 0.0}))

    def _reading(self, stage: str, usual: Mapping[str, float], recent: Mapping[str, float]) -> Reading:
        n = recent["n"]
        names = [
            name for name, q in QUANTILES.items() if n >= max(_MIN_REQUESTS, 10 / (1 - q)) and name in usual
        ]
        if not names:
            message = f"found {n:.0f} runs in {self.window:.0f} s; expected {_MIN_REQUESTS}"
            return Reading(stage, "cannot tell", message)
        worst = max(names, key=lambda name: recent[name] / max(usual[name], 1e-9))
        value, base = recent[worst], usual[worst]
        limit = max(self.factor * base, base + self.least)
        good = value <= max(0.75 * self.factor * base, base + self.least)
        state: State = "bad" if value > limit else "ok" if good else "between"
        message = (
            f"found {worst} of {1e3 * value:.3g} ms in {n:.0f} runs; the baseline is {1e3 * base:.3g} ms, "
            f"expected at most {self.factor:g} times as much"
        )
        return Reading(stage, state, message, value, self.factor * base)


class DeadSource(Configured):
    """A source that used to answer finds nothing any more, in half of the calls at least.

    Judged over the last half minute against all calls so far, by a binomial test of six standard errors.

    Parameters
    ----------
    monitor : FunnelMonitor
    window : float, default 30
        Seconds.
    """

    name, every, raise_after, clear_after = "DeadSource", 0.0, 1, 4

    def __init__(self, monitor: FunnelMonitor, *, window: float = 30.0) -> None:
        self.monitor, self.window = monitor, window

    def read(self, now: float) -> Iterator[Reading]:
        """Judge each source that was ever called."""
        recent = self.monitor.answered(self.monitor.recent(now, self.window))
        for source, (hits, calls) in self.monitor.answered(self.monitor.total()).items():
            usual = hits / calls
            answered, n = recent.get(source, (0.0, 0.0))
            error = math.sqrt(n * usual * (1 - usual) + 1.0)
            if usual * n < 12 * error:  # half of the calls would not stand out
                message = f"found {n:.0f} calls in {self.window:.0f} s, too few to tell"
                yield Reading(source, "cannot tell", message)
                continue
            share = answered / n
            bad = share < usual / 2 and answered < usual * n - 6 * error
            message = f"found candidates in {share:.0%} of {n:.0f} calls; {usual:.0%} so far"
            yield _reading(source, bad, message, share, usual / 2)


class ShareAbove(Configured):
    """More requests than allowed fall back, stay empty, fail or meet an error; or a store misses too much.

    Parameters
    ----------
    monitor : HealthMonitor
    limits : mapping of str to float, optional
        Largest share of requests by ``"fallback"``, ``"empty"`` and ``"failed"``, by ``"error"`` for each stage, and of
        rows by ``"miss"`` for each store.
    window : float, default 300
        Seconds.
    """

    name, every, raise_after, clear_after = "ShareAbove", 0.0, 2, 4
    #: The customary limits for paging somebody.
    LIMITS: Mapping[str, float] = {
        "fallback": 0.05,
        "empty": 0.01,
        "failed": 0.001,
        "error": 0.01,
        "miss": 0.5,
    }

    def __init__(
        self, monitor: HealthMonitor, *, limits: Mapping[str, float] | None = None, window: float = 300.0
    ) -> None:
        self.monitor, self.limits, self.window = monitor, limits, window

    def read(self, now: float) -> Iterator[Reading]:
        """Judge each share that has a limit."""
        limits = self.LIMITS if self.limits is None else self.limits
        shares = self.monitor.shares(self.monitor.recent(now, self.window))
        ever = self.monitor.shares(self.monitor.total())
        n_requests = next((n for (kind, _), (_, n) in shares.items() if kind == "status"), 0.0)
        for kind, name in ever:
            limit = limits.get(name if kind == "status" else kind)
            if limit is None:
                continue
            x, n = shares.get((kind, name), (0.0, 0.0 if kind == "miss" else n_requests))
            subject = name if kind == "status" else f"{kind}: {name}"
            if n < _MIN_REQUESTS:
                message = f"found {n:.0f} in {self.window:.0f} s; expected {_MIN_REQUESTS}"
                yield Reading(subject, "cannot tell", message)
                continue
            above = (x - n * limit) / math.sqrt(n * limit * (1 - limit) + 1.0)
            message = f"found {x / n:.1%} of {n:.0f}; expected at most {limit:.1%}"
            yield _reading(subject, above > 4, message, x / n, limit)


class CoverageDrop(Configured):
    """Fewer items of the catalogue were shown yesterday than on the days before.

    Parameters
    ----------
    monitor : ListMonitor
    drop : float, default 0.3
        Share of the median of up to seven days before that may be lost.
    """

    name, every, raise_after, clear_after = "CoverageDrop", 3600.0, 1, 1

    def __init__(self, monitor: ListMonitor, *, drop: float = 0.3) -> None:
        self.monitor, self.drop = monitor, drop

    def read(self, now: float) -> Iterator[Reading]:
        """Judge the last whole day, of all items and of new ones."""
        last, before = _days(self.monitor, now)
        if last is None or len(before) < _MIN_DAYS:
            yield _too_few_days("catalogue", before)
            return
        coverage = self.monitor.coverage(last)
        past = [self.monitor.coverage(counters) for counters in before]
        for subject, key in (("catalogue", ("all", "all")), ("new items", ("all", "new"))):
            usual = median(day[key] for day in past)
            limit = (1 - self.drop) * usual
            message = f"found {coverage[key]:.1%} of the items shown; {usual:.1%} is usual"
            yield _reading(subject, coverage[key] < limit, message, coverage[key], limit)


class OutcomeDrop(Configured):
    """An experiment group's click rate is below that of the control group.

    Judged on the last whole day. "Cannot tell" says that a drop of ``drop`` may be there or not, and how many
    impressions would tell.

    Parameters
    ----------
    monitor : OutcomeMonitor
    control : str, optional
        The group to compare with; by default the first by name.
    drop : float, default 0.1
        Relative drop that must not be missed.
    false_alarms : float, default 0.001
        Chance of an alarm on a day on which nothing differs, for all groups together.
    """

    name, every, raise_after, clear_after = "OutcomeDrop", 3600.0, 1, 1

    def __init__(
        self,
        monitor: OutcomeMonitor,
        *,
        control: str | None = None,
        drop: float = 0.1,
        false_alarms: float = 1e-3,
    ) -> None:
        self.monitor, self.control, self.drop, self.false_alarms = monitor, control, drop, false_alarms

    def read(self, now: float) -> Iterator[Reading]:
        """Judge each group but the control."""
        last, _ = _days(self.monitor, now)
        rates = {} if last is None else self.monitor.rates(last)
        control = min(rates, default="") if self.control is None else self.control
        if control not in rates:
            return
        t = -student_quantile(self.false_alarms / max(len(rates) - 1, 1), BUCKETS - 1)
        for group, rate in rates.items():
            if group != control:
                yield _compare(group, rates[control], rate, drop=self.drop, t=t, where=f"in {control}")


class SegmentDrop(Configured):
    """Cold users, or new items, are clicked less than on the days before.

    Judged on the last whole day, and on the last two where one cannot tell, against up to seven days before.

    Parameters
    ----------
    monitor : OutcomeMonitor
    drop, false_alarms : float
        As for :class:`OutcomeDrop`.
    """

    name, every, raise_after, clear_after = "SegmentDrop", 3600.0, 1, 1

    def __init__(self, monitor: OutcomeMonitor, *, drop: float = 0.1, false_alarms: float = 1e-3) -> None:
        self.monitor, self.drop, self.false_alarms = monitor, drop, false_alarms

    def read(self, now: float) -> Iterator[Reading]:
        """Judge cold users and new items."""
        last, before = _days(self.monitor, now)
        if last is None or len(before) < _MIN_DAYS:
            yield _too_few_days("cold users", before)
            return
        for subject in _SEGMENTS:
            reading = self._reading(subject, [last], before)
            if reading.state == "cannot tell" and len(before) > _MIN_DAYS:
                reading = self._reading(subject, [last, before[-1]], before[:-1])
            yield reading

    def _reading(self, subject: str, now: Sequence[Counters], before: Sequence[Counters]) -> Reading:
        by, label = _SEGMENTS[subject]
        rates, usual = (self.monitor.rates(Counters.sum_of(days), by).get(label) for days in (now, before))
        if rates is None or usual is None:
            return Reading(subject, "cannot tell", f"found no impressions of {subject}")
        t = -student_quantile(self.false_alarms / len(_SEGMENTS), BUCKETS - 1)
        where = f"on the {len(before)} days before"
        return _compare(subject, usual, rates, drop=self.drop, t=t, where=where)


#: The label by which outcomes are counted, and its value, of each segment.
_SEGMENTS: Mapping[str, tuple[Literal["users", "items"], str]] = {
    "cold users": ("users", "cold"),
    "new items": ("items", "new"),
}


class FeatureTrouble(Configured):
    """A feature is missing more often than before, is too old, or has drifted.

    Parameters
    ----------
    monitor : FeatureMonitor
    rise : float, default 0.2
        By how much the share of missing values in the last hour may exceed that of all time.
    max_age : float, default 86,400
        Seconds.
    """

    name, every, raise_after, clear_after = "FeatureTrouble", 60.0, 2, 4

    def __init__(self, monitor: FeatureMonitor, *, rise: float = 0.2, max_age: float = DAY) -> None:
        self.monitor, self.rise, self.max_age = monitor, rise, max_age

    def read(self, now: float) -> Iterator[Reading]:
        """Judge each feature and each stage that tells its age."""
        recent = self.monitor.figures(self.monitor.recent(now, 1800.0))["missing"]
        for name, usual in self.monitor.figures(self.monitor.total())["missing"].items():
            if name in recent:
                limit = usual + self.rise
                message = f"found {recent[name]:.0%} missing; {usual:.0%} so far"
                yield _reading(f"missing: {name}", recent[name] > limit, message, recent[name], limit)
        for stage, age in self.monitor.ages(now).items():
            message = f"found data {age / 3600:.1f} h old; expected at most {self.max_age / 3600:g} h"
            yield _reading(f"age: {stage}", age > self.max_age, message, age, self.max_age)
        report = self.monitor.drift()
        if report is None:
            return
        messages = {check.subject: check.message for check in reversed(report.findings)}
        for name in report.figures:
            message = messages.get(name, "as in training")
            yield Reading(f"drift: {name}", "bad" if name in messages else "ok", message)


def standard_rules(monitors: Iterable[Monitor]) -> list[AlertRule]:
    """Return the rules for these monitors, with their defaults.

    Examples
    --------
    >>> from recokit.monitoring import HealthMonitor, LatencyMonitor
    >>> [rule.name for rule in standard_rules([LatencyMonitor(), HealthMonitor()])]
    ['SlowStage', 'ShareAbove']
    """
    rules: list[AlertRule] = []
    for monitor in monitors:
        rules += [rule(monitor) for rule in _RULES.get(type(monitor), ())]
    return rules


_RULES: Mapping[type, tuple[Any, ...]] = {
    LatencyMonitor: (SlowStage,),
    HealthMonitor: (ShareAbove,),
    FunnelMonitor: (DeadSource,),
    ListMonitor: (CoverageDrop,),
    FeatureMonitor: (FeatureTrouble,),
    OutcomeMonitor: (OutcomeDrop, SegmentDrop),
}


def _days(monitor: Monitor, now: float) -> tuple[Counters | None, list[Counters]]:
    """Return the last whole day, and up to seven days with traffic before it."""
    yesterday = int(now // DAY) - 1
    days = monitor.days()
    return days.get(yesterday), [
        counters for day, counters in days.items() if yesterday - 7 <= day < yesterday
    ]


def _reading(subject: str, bad: bool, message: str, value: float, limit: float) -> Reading:
    return Reading(subject, "bad" if bad else "ok", message, value, limit)


def _too_few_days(subject: str, before: Sequence[Counters]) -> Reading:
    return Reading(subject, "cannot tell", f"found {len(before)} whole days before; expected {_MIN_DAYS}")


def _compare(subject: str, usual: Rates, rates: Rates, *, drop: float, t: float, where: str) -> Reading:
    """Judge a click rate against another: bad if it is surely below, open if it may be below by ``drop``."""
    change, error = difference((usual.ctr, usual.ctr_error), (rates.ctr, rates.ctr_error))
    message = (
        f"found a click rate of {rates.ctr:.2%} in {rates.impressions} impressions; {usual.ctr:.2%} {where}"
    )
    if not np.isfinite(change) or not error > 0:
        return Reading(subject, "cannot tell", f"{message}; too few clicks to compare")
    low, high = change - t * error, change + t * error
    message += f"; a change of {change:+.1%} [{low:+.1%}, {high:+.1%}]"
    if high < 0 or low > -drop:
        return _reading(subject, high < 0, message, change, -drop)
    needed = rates.impressions * (t * error / drop) ** 2
    message += f"; some {needed:.0f} impressions would tell"
    return Reading(subject, "cannot tell", message, change, -drop)
