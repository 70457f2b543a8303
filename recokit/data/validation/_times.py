"""Checks of the timestamps: unit, future, freshness, missing days, gaps."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

import numpy as np

from recokit.data.interactions import Interactions
from recokit.data.times import DAY, seconds
from recokit.data.validation.limits import ValidationLimits
from recokit.data.validation.report import Check, Status
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

_HOUR = 3600.0
_UNITS = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))
#: With fewer days a missing day cannot be told from the log's usual course.
_MIN_DAYS = 5
#: Weekdays are told apart from so many days on: each has its own median.
_WEEKDAY_DAYS = 28
#: A day is compared with the days at most so far away, so that growth is no gap.
_AROUND = 28
_AROUND_SHORT = 7


def stamps(log: Interactions, now: float, skew: float, earliest: float) -> tuple[Check, Check, Check]:
    """Check for times in another unit, in the future, and implausibly long ago."""
    time = log.timestamp
    ahead = time > now + skew
    unit, wrong = _wrong_unit(time, ahead, now + skew, earliest)
    ahead &= ~wrong
    past = time < earliest
    return (
        _stamp_check(
            "time.units",
            wrong,
            f"found {wrong.sum():,} of {len(log):,} times that are {unit}, not seconds"
            if wrong.any()
            else "all times are plausible as seconds",
            "seconds since 1970",
            f"divide them by {dict(_UNITS)[unit]:,.0f}" if wrong.any() else "",
        ),
        _stamp_check(
            "time.future",
            ahead,
            f"found {ahead.sum():,} of {len(log):,} events after {_moment(now)}, "
            f"the latest at {_moment(time[ahead].max())}"
            if ahead.any()
            else f"no event lies after {_moment(now)}",
            f"events of at most {skew:g} s after it",
            "a wrong time zone or clock, or an event that was planned and did not happen; if training is meant "
            "for a later time, pass now=",
        ),
        _stamp_check(
            "time.past",
            past,
            f"found {past.sum():,} of {len(log):,} events before {_moment(earliest)}"
            if past.any()
            else f"no event lies before {_moment(earliest)}",
            "plausible times",
            "times that were divided once too often, or 0 for missing ones",
            worst="warn",
        ),
    )


def _wrong_unit(time: FloatArray, ahead: BoolArray, latest: float, earliest: float) -> tuple[str, BoolArray]:
    """Return the unit that makes sense of the times ahead, and which these are; the most frequent, if several."""
    found = [(name, ahead & (time / scale >= earliest) & (time / scale <= latest)) for name, scale in _UNITS]
    return max(found, key=lambda pair: int(pair[1].sum()))


def _stamp_check(
    name: str, bad: BoolArray, message: str, expected: str, hint: str, *, worst: Status = "fail"
) -> Check:
    if not bad.any():
        return Check(name, "pass", message, expected)
    rows = np.flatnonzero(bad)
    return Check(name, worst, message, expected, hint, rows=rows, evidence={"events": len(rows)})


def freshness(log: Interactions, now: float, max_age: float, skew: float) -> Check:
    """Check that the newest event is younger than ``max_age``; events from the future do not count."""
    expected = f"an event less than {max_age / _HOUR:g} h before training"
    usable = log.timestamp[log.timestamp <= now + skew]
    if not len(usable):
        return Check("freshness", "not checked", "found no event before training", expected)
    newest = float(usable.max())
    age = max(now - newest, 0.0)
    found = (
        f"the newest event is of {_moment(newest)}, {age / _HOUR:,.1f} h before training at {_moment(now)}"
    )
    evidence = {"newest": newest, "now": now, "age_s": age, "max_age_s": max_age}
    if age < max_age:
        return Check("freshness", "pass", found, expected, evidence=evidence)
    hint = "is the log's export late? for data that ends earlier on purpose, pass now="
    return Check("freshness", "fail", found, expected, hint, evidence=evidence)


def missing_times(
    log: Interactions, now: float, closed: Collection[float], limits: ValidationLimits
) -> tuple[Check, Check]:
    """Check for days without events, and for other spans without any, where events are usual.

    Counted are arrivals, a user's first event in an hour: events come in sessions, so their own number would make
    chance gaps look impossible. Without an arrival for a time in which 30 are usual, chance has e**-30.
    """
    # a single stray stamp, decades off, must not stretch the calendar
    time = log.timestamp
    plausible = (time > -1e11) & (time < 1e11)
    inside = plausible & (time <= now + DAY)
    if inside.any():
        low = np.quantile(time[inside], 0.001) - 30 * DAY
        inside &= time >= low
    user, time = log.user[inside], time[inside]
    first, days, hourly = _arrivals(user, time)
    n_days = len(hourly)
    if n_days < _MIN_DAYS:
        reason = f"the log spans {n_days} days; expected {_MIN_DAYS} or more"
        return Check("time.days", "not checked", reason), Check("time.gaps", "not checked", reason)
    daily = hourly.sum(axis=1)
    usual = _usual(daily)
    quiet = np.isin(first + days * DAY, list(closed))
    low_days = (daily <= limits.day_share * usual) & (usual >= limits.day_arrivals) & ~quiet
    low_days[[0, -1]] = False  # cut off at an unknown hour
    gap = _gaps(time, first, hourly, usual=usual, known=low_days | quiet, limits=limits)
    return _day_check(first, daily, usual, low_days, limits), gap


def _arrivals(user: IntArray, time: FloatArray) -> tuple[float, AnyArray, AnyArray]:
    """Return the first day, day numbers, and arrivals by day and hour, (D, 24)."""
    if not len(time):
        return 0.0, np.zeros(0), np.zeros((0, 24))
    first = float(np.floor(time.min() / DAY) * DAY)
    hour = ((time - first) // _HOUR).astype(np.int64)
    n_days = int(hour.max()) // 24 + 1
    pairs = np.unique(hour * (int(user.max()) + 1) + user)
    counts = np.bincount(pairs // (int(user.max()) + 1), minlength=n_days * 24)
    return first, np.arange(n_days), counts.reshape(n_days, 24).astype(np.float64)


def _usual(daily: FloatArray) -> FloatArray:
    """Return what each day usually has: the median of its neighbours, of the same weekday in a log of four weeks."""
    n = len(daily)
    step, reach = (7, _AROUND) if n >= _WEEKDAY_DAYS else (1, _AROUND_SHORT)
    shifts = np.array([s for s in range(-reach, reach + 1, step) if s])
    at = np.arange(n)[:, None] + shifts
    around = np.where((at >= 0) & (at < n), daily[np.clip(at, 0, n - 1)], np.nan)
    usual: FloatArray = np.nanmedian(around, axis=1)
    return usual


def _gaps(
    time: FloatArray,
    first: float,
    hourly: FloatArray,
    *,
    usual: FloatArray,
    known: BoolArray,
    limits: ValidationLimits,
) -> Check:
    """Check for spans between consecutive events in which many arrivals are usual."""
    n_days = len(hourly)
    weekday = np.arange(n_days) % 7 if n_days >= _WEEKDAY_DAYS else np.zeros(n_days, np.int64)
    rate = np.zeros_like(hourly)
    for day in np.unique(weekday).tolist():
        course = hourly[weekday == day].sum(axis=0)
        rate[weekday == day] = course / max(course.sum(), 1.0)
    rate *= np.minimum(usual, _raised(hourly.sum(axis=1)))[:, None]
    rate[known] = 0.0  # reported as missing days, or closed
    total = np.concatenate([[0.0], np.cumsum(rate.ravel())])
    expected_by = np.interp(time, first + _HOUR * np.arange(len(total)), total)
    missed = np.diff(expected_by)
    min_arrivals, shortest = limits.gap_arrivals, seconds(limits.min_gap)
    bad = np.flatnonzero((missed >= min_arrivals) & (np.diff(time) >= shortest))
    expected = f"no {shortest / _HOUR:g} h without events where {min_arrivals:g} or more arrivals are usual"
    if not len(bad):
        return Check("time.gaps", "pass", "events run without a gap", expected)
    worst = bad[np.argmax(missed[bad])]
    spans = [(float(time[i]), float(time[i + 1])) for i in bad[:20]]
    return Check(
        "time.gaps",
        "warn",
        f"found {len(bad)} gaps, the worst from {_moment(time[worst])} to {_moment(time[worst + 1])} "
        f"({(time[worst + 1] - time[worst]) / _HOUR:.1f} h, {missed[worst]:.0f} arrivals are usual)",
        expected,
        "did the collection of events stop? load what is missing",
        evidence={"gaps": spans},
    )


def _raised(daily: FloatArray) -> FloatArray:
    """Return the most that a day could have, by the busier of its neighbours: an edge of the log is no gap."""
    padded = np.concatenate([daily[:1], daily, daily[-1:]])
    highest: FloatArray = np.maximum(np.maximum(padded[:-2], padded[2:]), daily)
    return highest


def _day_check(
    first: float, daily: FloatArray, usual: FloatArray, low: BoolArray, limits: ValidationLimits
) -> Check:
    expected = f"more than {limits.day_share:.0%} of what is usual, every day"
    days = np.flatnonzero(low)
    if not len(days):
        if usual.max(initial=0.0) < limits.day_arrivals:
            reason = f"at most {usual.max(initial=0.0):.0f} arrivals a day; too few to miss a day"
            return Check("time.days", "not checked", reason, expected)
        return Check("time.days", "pass", f"found events on all {len(daily)} days", expected)
    names = [datetime.fromtimestamp(first + day * DAY, UTC).date().isoformat() for day in days.tolist()]
    shown = ", ".join(
        f"{name} ({daily[day]:.0f} arrivals, usually {usual[day]:.0f})"
        for name, day in zip(names[:5], days.tolist(), strict=False)
    )
    return Check(
        "time.days",
        "fail",
        f"found {len(days)} days missing: {shown}{', ...' if len(days) > 5 else ''}",
        expected,
        "load the days again; for days that were closed, pass closed=",
        evidence={"days": names, "arrivals": daily[days].tolist(), "usual": usual[days].tolist()},
    )


def _moment(when: float) -> str:
    try:
        return datetime.fromtimestamp(float(when), UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{float(when):.0f}"
