"""Counters of a period, and the periods: a few seconds, days, weeks. Time comes from the requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from recokit._stats.quantile_sketch import QuantileSketch
from recokit.data.times import DAY
from recokit.typing import AnyArray, BoolArray, FloatArray

#: Name of a metric and the values of its labels.
Key = tuple[str, ...]

#: 1970-01-01 was a Thursday; weeks begin on Monday.
_MONDAY = 3


@dataclass(frozen=True)
class MetricSpec:
    """Name, kind and labels of a metric.

    Parameters
    ----------
    name : str
        Prometheus name without the suffixes ``_total``, ``_sum``, ``_count`` and ``_bucket``; base units.
    kind : {"counter", "gauge", "summary", "histogram"}
    help : str
        One sentence.
    labels : tuple of str
        Names of the labels; each has a bounded number of values.
    """

    name: str
    kind: Literal["counter", "gauge", "summary", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


@dataclass(eq=False)
class Counters:
    """Sums of one period: they add up over time, over threads, over processes."""

    counts: dict[Key, float] = field(default_factory=dict)
    arrays: dict[Key, FloatArray] = field(default_factory=dict)
    sketches: dict[Key, QuantileSketch] = field(default_factory=dict)
    marks: dict[Key, BoolArray] = field(default_factory=dict)

    def add(self, key: Key, n: float = 1.0) -> None:
        """Add to a count."""
        self.counts[key] = self.counts.get(key, 0.0) + n

    def add_array(self, key: Key, values: AnyArray) -> None:
        """Add to an array of counts."""
        mine = self.arrays.get(key)
        if mine is None:
            self.arrays[key] = values.astype("float64")
        else:
            mine += values

    def mark(self, key: Key, places: AnyArray, size: int) -> None:
        """Mark some of ``size`` places as seen."""
        mine = self.marks.get(key)
        if mine is None:
            mine = self.marks[key] = np.zeros(size, np.bool_)
        mine[places] = True

    def merge(self, other: Counters) -> None:
        """Add other counters to these."""
        for key, n in other.counts.items():
            self.add(key, n)
        for key, values in other.arrays.items():
            self.add_array(key, values)
        for key, sketch in other.sketches.items():
            if key not in self.sketches:
                self.sketches[key] = sketch.empty()
            self.sketches[key].merge(sketch)
        for key, seen in other.marks.items():
            self.mark(key, seen, len(seen))

    @classmethod
    def sum_of(cls, periods: Iterable[Counters]) -> Counters:
        """Return the sums of several periods."""
        total = cls()
        for counters in periods:
            total.merge(counters)
        return total


class Timeline:
    """Counters of the newest slots of some seconds, of the newest days, and of all time.

    Parameters
    ----------
    slot : float
        Seconds of a slot; a whole number of slots makes a day.
    n_slots, n_days : int
        How many to keep.
    """

    def __init__(self, slot: float, n_slots: int, n_days: int) -> None:
        self.slot, self.n_slots, self.n_days = slot, n_slots, n_days
        self._index = -1
        self._open = Counters()
        self._slots: deque[tuple[int, Counters]] = deque()
        self._days: dict[int, Counters] = {}
        self._closed = Counters()
        self._late: dict[int, Counters] = {}

    def at(self, now: float) -> Counters:
        """Return the counters to add to at a time.

        Times move on: one that is earlier than the newest goes to its own day, or to the open slot on the same day.
        """
        index = int(now // self.slot)
        return self._open if index == self._index else self._turn(index, int(now // DAY))

    def past(self, now: float) -> Counters:
        """Return the counters to add to for what happened at an earlier time, which never moves the timeline on."""
        return self.at(now) if self._index < 0 or now // self.slot < self._index else self._open

    def _turn(self, index: int, day: int) -> Counters:
        if index < self._index:
            return self._open if day == self._day(self._index) else self._late.setdefault(day, Counters())
        if self._index >= 0:
            self._slots.append((self._index, self._open))
            self._close(self._day(self._index), self._open)
        self._settle()
        while self._slots and self._slots[0][0] <= index - self.n_slots:
            self._slots.popleft()
        self._index, self._open = index, Counters()
        return self._open

    def _day(self, index: int) -> int:
        return int(index * self.slot // DAY)

    def _close(self, day: int, counters: Counters) -> None:
        self._closed.merge(counters)
        self._add_day(day, counters)

    def _add_day(self, day: int, counters: Counters) -> None:
        self._days.setdefault(day, Counters()).merge(counters)
        while len(self._days) > self.n_days:
            del self._days[min(self._days)]

    def _settle(self) -> None:
        """Close what came late, so that reading sees it."""
        for day, counters in self._late.items():
            self._close(day, counters)
        self._late.clear()

    def recent(self, now: float, seconds: float) -> Counters:
        """Return the sum of the slots that reach into the last so many seconds."""
        first, last = (now - seconds) // self.slot, now // self.slot
        slots = (*self._slots, (self._index, self._open))
        return Counters.sum_of(counters for index, counters in slots if first <= index <= last and index >= 0)

    def total(self) -> Counters:
        """Return the sum of all time."""
        self._settle()
        return Counters.sum_of((self._closed, self._open))

    def days(self) -> dict[int, Counters]:
        """Return the sums of the kept days, oldest first, by the number of the day since 1970."""
        self._settle()
        days = dict(self._days)
        if self._index >= 0:
            today = self._day(self._index)
            days[today] = Counters.sum_of((days.get(today, Counters()), self._open))
        return dict(sorted(days.items()))

    def weeks(self) -> dict[int, Counters]:
        """Return the sums of the weeks that the kept days make, by the day they begin on, a Monday."""
        weeks: dict[int, Counters] = {}
        for day, counters in self.days().items():
            weeks.setdefault(day - (day + _MONDAY) % 7, Counters()).merge(counters)
        return weeks

    def merge(self, other: Timeline) -> None:
        """Add another timeline of the same slots, and take its periods over: it is not to be used again."""
        other._settle()
        for day, counters in other._days.items():
            self._add_day(day, counters)
        self._closed.merge(other._closed)
        slots = list(other._slots)
        if other._index > self._index:
            self._turn(other._index, self._day(other._index))
        if other._index == self._index:
            self._open.merge(other._open)
        elif other._index >= 0:
            self._close(self._day(other._index), other._open)
            slots.append((other._index, other._open))
        by_slot: dict[int, Counters] = {}
        for index, counters in (*self._slots, *slots):
            if index > self._index - self.n_slots:
                by_slot.setdefault(index, Counters()).merge(counters)
        self._slots = deque(sorted(by_slot.items()))

    def state(self) -> dict[str, Any]:
        """Return the periods, for saving."""
        self._settle()
        return {
            "index": self._index,
            "open": self._open,
            "slots": list(self._slots),
            "days": dict(self._days),
            "closed": self._closed,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up periods that :meth:`state` gave."""
        self._index, self._open, self._closed = state["index"], state["open"], state["closed"]
        self._slots = deque((index, counters) for index, counters in state["slots"])
        self._days, self._late = dict(state["days"]), {}
