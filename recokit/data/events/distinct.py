"""Distinct counts: how many others an entity met in a trailing window, as steps up and down.

A pair (entity, other) is active at t in a window of w seconds if it had an event in [t - w, t). Events of a pair no
more than w apart make one interval, from its first event to its last: active as of t means the first lies before t, and
the last not before t - w. So the number of active pairs is the number of intervals begun before t, less the number of
intervals whose last event lies before t - w: two searches, at any time. Without a window nothing ever ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit._kernels.membership import search
from recokit._kernels.segments import counts_to_offsets, multi_arange, stable_order
from recokit.errors import ConfigurationError
from recokit.typing import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Meetings:
    """When entities met others: single events, or runs of them.

    Parameters
    ----------
    entity, other : ndarray of int64, shape (M,)
        Codes, from 1.
    first, last : ndarray of float64, shape (M,)
        Times of the first and the last event; the same for a single one.
    """

    entity: IntArray
    other: IntArray
    first: FloatArray
    last: FloatArray

    def joined(self, others: Meetings) -> Meetings:
        """Return these, then the others."""
        return Meetings(
            np.concatenate([self.entity, others.entity]),
            np.concatenate([self.other, others.other]),
            np.concatenate([self.first, others.first]),
            np.concatenate([self.last, others.last]),
        )


@dataclass(frozen=True, eq=False)
class StepCounts:
    """Counts of many entities that go up and down by one at given times.

    Parameters
    ----------
    keys : ndarray of int64, shape (S,)
        ``entity * T + rank of the time`` of each step, ascending.
    offsets : ndarray of int64, shape (E + 2,)
        Steps of entity ``e`` are ``offsets[e]:offsets[e + 1]``.
    total : ndarray of int64, shape (S + 1,), optional
        Prefix sums of the steps; by default each is one up.
    """

    keys: IntArray
    offsets: IntArray
    total: IntArray | None = None

    @classmethod
    def difference(cls, up: StepCounts, down: StepCounts) -> StepCounts:
        """Return the steps of one, less those of the other, for the same entities and times."""
        keys = np.concatenate([up.keys, down.keys])
        order = np.argsort(keys, kind="stable")
        total = np.zeros(len(keys) + 1, np.int64)
        np.cumsum(np.repeat([1, -1], [len(up.keys), len(down.keys)])[order], out=total[1:])
        return cls(keys[order], up.offsets + down.offsets, total)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.keys.nbytes + self.offsets.nbytes + (0 if self.total is None else self.total.nbytes)

    def before(self, entity: IntArray, key: IntArray) -> IntArray:
        """Return the sum of each entity's steps before its key, (N,) int64."""
        start, stop = self.offsets[entity], search(self.keys, key)
        stop = np.clip(stop, start, self.offsets[entity + 1])
        return stop - start if self.total is None else self.total[stop] - self.total[start]


@dataclass(frozen=True, eq=False)
class ActiveIntervals:
    """Runs of events of pairs (entity, other), in the order of the pairs.

    Parameters
    ----------
    pair : ndarray of int64, shape (I,)
        ``entity * width + other``, ascending; a pair has one interval or more.
    first, last : ndarray of float64, shape (I,)
        Times of the first and the last event.
    width : int
        Number of codes of the other part.
    """

    pair: IntArray
    first: FloatArray
    last: FloatArray
    width: int

    @classmethod
    def merge(cls, meetings: Meetings, window: float, width: int) -> ActiveIntervals:
        """Merge meetings of the same pair that lie no more than ``window`` seconds apart."""
        pair = meetings.entity * width + meetings.other
        order = np.lexsort((meetings.first, pair))
        pair, first, last = pair[order], meetings.first[order], meetings.last[order]
        begins = np.ones(len(pair), np.bool_)
        begins[1:] = pair[1:] != pair[:-1]
        reach = _running_max(last, begins)
        begins[1:] |= reach[:-1] < first[1:] - window
        start = np.flatnonzero(begins)
        end = np.append(start[1:], len(pair))[: len(start)] - 1
        return cls(pair[start], first[start], reach[end], width)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.pair.nbytes + self.first.nbytes + self.last.nbytes

    def of(self, entity: IntArray, other: IntArray) -> tuple[IntArray, IntArray]:
        """Return which intervals belong to given pairs: for each one the pair's place, and the interval's."""
        known = np.flatnonzero((entity > 0) & (other < self.width))
        wanted = entity[known] * self.width + other[known]
        start = np.searchsorted(self.pair, wanted)
        counts = np.searchsorted(self.pair, wanted, side="right") - start
        return np.repeat(known, counts), multi_arange(start, counts)


@dataclass(frozen=True, eq=False)
class DistinctCounts:
    """How many distinct others each entity met, as of any time.

    Parameters
    ----------
    times : ndarray of float64, shape (T,)
        Distinct times of the steps, ascending.
    began : StepCounts
        Where intervals begin.
    ended : StepCounts, optional
        Where their last events lie; None without a window, when nothing ends.
    intervals : ActiveIntervals, optional
        The runs of events behind the steps; None where no events will come later.
    """

    times: FloatArray
    began: StepCounts
    ended: StepCounts | None
    intervals: ActiveIntervals | None = None

    @classmethod
    def of_events(
        cls,
        events: Meetings,
        keys: IntArray,
        times: FloatArray,
        *,
        window: float,
        width: int,
        n_entities: int,
    ) -> DistinctCounts:
        """Find the intervals of single events; :meth:`of_intervals` would, of any order, but sorts more.

        Parameters
        ----------
        events : Meetings
            In the order of the keys.
        keys : ndarray of int64, shape (M,)
            ``entity * T + rank of the time`` of each event, ascending.
        times : ndarray of float64, shape (T,)
            Distinct times, ascending.
        window : float
            The window in seconds, ``inf`` for none.
        width : int
            Number of codes of the other part.
        n_entities : int
        """
        pair = events.entity * width + events.other
        order = stable_order(pair)
        pair, time = pair[order], events.first[order]
        begins = np.ones(len(pair), np.bool_)
        begins[1:] = (pair[1:] != pair[:-1]) | (time[:-1] < time[1:] - window)
        ends = np.append(begins[1:], np.ones(min(len(pair), 1), np.bool_))

        def steps(chosen: BoolArray) -> StepCounts:
            here = np.zeros(len(keys), np.bool_)
            here[order[chosen]] = True
            counts = np.bincount(events.entity[here], minlength=n_entities + 1)
            return StepCounts(keys[here], counts_to_offsets(counts))

        ended = steps(ends) if window < np.inf else None
        return cls(
            times, steps(begins), ended, ActiveIntervals(pair[begins], time[begins], time[ends], width)
        )

    @classmethod
    def of_intervals(
        cls, times: FloatArray, intervals: ActiveIntervals, window: float, n_entities: int
    ) -> DistinctCounts:
        """Turn intervals into steps; ``times`` holds all their times."""
        entity = intervals.pair // intervals.width
        offsets = counts_to_offsets(np.bincount(entity, minlength=n_entities + 1))

        def steps(when: FloatArray) -> StepCounts:
            return StepCounts(np.sort(entity * len(times) + np.searchsorted(times, when)), offsets)

        ended = steps(intervals.last) if window < np.inf else None
        return cls(times, steps(intervals.first), ended, intervals)

    def with_events(
        self, events: Meetings, known: IntArray, *, window: float, n_entities: int
    ) -> DistinctCounts:
        """Return what further events add to this, as steps that may also go down.

        Parameters
        ----------
        events : Meetings
            Single events, of the answer's entities.
        known : ndarray of int64, shape (M,)
            The entity of each event here, 0 if it had none.
        window : float
            The window in seconds, ``inf`` for none.
        n_entities : int
            Entities in the answer.
        """
        if self.intervals is None:
            raise ConfigurationError(
                "found an index built without a horizon; expected one, since events are to come later"
            )
        width = max(self.intervals.width, int(events.other.max(initial=0)) + 1)
        _, once = np.unique(events.entity * width + events.other, return_index=True)
        place, index = self.intervals.of(known[once], events.other[once])
        earlier = Meetings(
            events.entity[once][place],
            events.other[once][place],
            self.intervals.first[index],
            self.intervals.last[index],
        )
        both = events.joined(earlier)
        times = np.unique(np.concatenate([both.first, both.last]))
        after, before = (
            DistinctCounts.of_intervals(
                times, ActiveIntervals.merge(meetings, window, width), window, n_entities
            )
            for meetings in (both, earlier)
        )
        ended = None
        if after.ended is not None and before.ended is not None:
            ended = StepCounts.difference(after.ended, before.ended)
        return DistinctCounts(times, StepCounts.difference(after.began, before.began), ended)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, the times not counted."""
        return sum(part.nbytes for part in (self.began, self.ended, self.intervals) if part is not None)

    def count(self, entity: IntArray, rank: IntArray, rank_back: IntArray) -> IntArray:
        """Return the number of others met, (N,) int64.

        Parameters
        ----------
        entity : ndarray of int64, shape (N,)
        rank, rank_back : ndarray of int64, shape (N,)
            How many of the times lie strictly before each query's, and before that less the window.
        """
        base = entity * len(self.times)
        count = self.began.before(entity, base + rank)
        return count if self.ended is None else count - self.ended.before(entity, base + rank_back)


def _running_max(values: FloatArray, begins: BoolArray) -> FloatArray:
    """Return the running maximum of each run; a run starts where ``begins`` is set."""
    distinct, rank = np.unique(values, return_inverse=True)
    base = (np.cumsum(begins) - 1) * len(distinct)
    return np.asarray(distinct[np.maximum.accumulate(base + rank) - base])
