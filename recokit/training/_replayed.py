"""Statistics recomputed for each row: what was known at its request, and what only the whole log knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recokit.data import DAY, Dataset, Interactions, RankingData
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Days of the windows before and after a request.
_WINDOWS = (1, 2, 3, 5, 7, 10, 14, 21, 28, 30)
#: Columns of labels that counts are made of: with more, the statistics would be too many.
_MAX_COLUMNS = 4
_MAX_EVENTS = 4


class Replayed(NamedTuple):
    """A statistic of each row, (N,), its name, and the codes it is of."""

    name: str
    values: FloatArray
    key: IntArray


@dataclass(frozen=True)
class _Key:
    """What events and rows have in common, such as a user and an item; codes of events and of rows."""

    name: str
    of_log: IntArray
    of_row: IntArray


class _Clock:
    """The times of a log as places in their order, so that strictly before is exact."""

    def __init__(self, log: Interactions) -> None:
        self.times = np.unique(log.timestamp)
        self.place = np.searchsorted(self.times, log.timestamp)

    def before(self, moment: FloatArray) -> IntArray:
        """Return the number of different times strictly before moments."""
        return np.asarray(np.searchsorted(self.times, moment, side="left"), np.int64)


class _Counter:
    """How many events of a key, and how much weight, lie before a moment."""

    def __init__(self, key: _Key, clock: _Clock, log: Interactions, chosen: BoolArray | None = None) -> None:
        at = np.arange(len(log.item)) if chosen is None else np.flatnonzero(chosen)
        self._size, self._clock, self._row = len(clock.times) + 1, clock, key.of_row
        composite = key.of_log[at] * self._size + clock.place[at]
        order = np.argsort(composite, kind="stable")
        self._composite, self._time = composite[order], log.timestamp[at][order]
        self._when = log.timestamp[at]
        self._weight = np.concatenate(
            [[0.0], np.cumsum(np.maximum(log.weight[at][order], 0.0, dtype=np.float64))]
        )
        self._start = np.searchsorted(self._composite, key.of_row * self._size)
        self._stop = np.searchsorted(self._composite, (key.of_row + 1) * self._size)

    def _at(self, moment: FloatArray) -> IntArray:
        wanted = self._row * self._size + self._clock.before(moment)
        return np.asarray(np.searchsorted(self._composite, wanted), np.int64)

    def number(self, moment: FloatArray) -> FloatArray:
        return (self._at(moment) - self._start).astype(np.float64)

    def weight(self, moment: FloatArray) -> FloatArray:
        return np.asarray(self._weight[self._at(moment)] - self._weight[self._start])

    def share(self, moment: FloatArray) -> FloatArray:
        """Return the number as a share of that of all keys, which does not grow with the log."""
        everyone = np.searchsorted(self._when, moment, side="left")
        return np.asarray(self.number(moment) / np.maximum(everyone, 1))

    def ever(self) -> FloatArray:
        return (self._stop - self._start).astype(np.float64)

    def weight_ever(self) -> FloatArray:
        return np.asarray(self._weight[self._stop] - self._weight[self._start])

    def last(self, moment: FloatArray | None = None) -> FloatArray:
        """Return the time of the last event before moments, or at all; NaN without one."""
        stop = self._stop if moment is None else self._at(moment)
        found = np.full(len(stop), np.nan)
        there = stop > self._start
        found[there] = self._time[stop[there] - 1]
        return found


def replayed(
    data: RankingData, events: Dataset, *, deep: bool = True
) -> tuple[list[Replayed], list[Replayed]]:
    """Return the statistics that were known at the requests, and those that were not.

    Counts of items, users, pairs, labels of items, and users with labels, in windows and at all, and times since the
    last event; of items and users alone unless ``deep``.
    """
    log = events.interactions
    clock = _Clock(log)
    known: list[Replayed] = []
    unknown: list[Replayed] = []
    for key in _keys(data, events):
        single = key.name in ("item", "user")
        if not (deep or single):
            continue
        for event, chosen in _kinds(log) if single else [("", None)]:
            counter = _Counter(key, clock, log, chosen)
            then, not_then = _statistics(f"{key.name}'s", f"{event} events".strip(), key, counter, data.now)
            known += then
            unknown += not_then
    return known, unknown


def _kinds(log: Interactions) -> Iterator[tuple[str, BoolArray | None]]:
    yield "", None
    if len(log.event_names) > 1:
        for code, name in enumerate(log.event_names[:_MAX_EVENTS]):
            yield name, log.event == code


def _keys(data: RankingData, events: Dataset) -> Iterator[_Key]:
    log = events.interactions
    yield _Key("item", log.item, data.item)
    yield _Key("user", log.user, data.user)
    n_items = int(max(log.item.max(initial=0), data.item.max(initial=0))) + 1
    yield _pair("pair of user and item", log.user * n_items + log.item, data.user * n_items + data.item)
    for name in list(events.items.categorical)[:_MAX_COLUMNS]:
        label: AnyArray = np.asarray(events.items.column(name), np.int64)
        n = int(label.max(initial=0)) + 1
        yield _Key(f"item.{name}", label[log.item], label[data.item])
        of_log, of_row = log.user * n + label[log.item], data.user * n + label[data.item]
        yield _pair(f"pair of user and item.{name}", of_log, of_row)


def _pair(name: str, of_log: IntArray, of_row: IntArray) -> _Key:
    """Return a key of small codes."""
    code = np.unique(np.concatenate([of_log, of_row]), return_inverse=True)[1].ravel()
    return _Key(name, code[: len(of_log)], code[len(of_log) :])


def _statistics(
    whose: str, what: str, key: _Key, counter: _Counter, now: FloatArray
) -> tuple[list[Replayed], list[Replayed]]:
    number = counter.number(now)
    last = now - counter.last(now)
    past = np.where(np.isnan(last), np.nanmax(last, initial=0.0) + DAY, last)
    known = [
        Replayed(f"{whose} number of {what}", number, key.of_row),
        Replayed(f"{whose} share of all {what}", counter.share(now), key.of_row),
        Replayed(f"{whose} weight of {what}", counter.weight(now), key.of_row),
        Replayed(f"{whose} time since the last of its {what}", past, key.of_row),
    ]
    unknown = [
        Replayed(f"{whose} number of {what} in the whole log", counter.ever(), key.of_row),
        Replayed(f"{whose} weight of {what} in the whole log", counter.weight_ever(), key.of_row),
        Replayed(f"{whose} time since the last of its {what} at the log's end", -counter.last(), key.of_row),
    ]
    for days in _WINDOWS:
        span = days * DAY
        before = Replayed(f"{whose} {what} of {days} days", number - counter.number(now - span), key.of_row)
        after = counter.number(now + span) - number
        known.append(before)
        unknown.append(
            Replayed(f"{whose} number of {what} in the {days} days after the request", after, key.of_row)
        )
    return known, unknown
