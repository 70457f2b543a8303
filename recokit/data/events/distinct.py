"""Presence: how many distinct others an entity met in a trailing window, as steps up and down.

A pair (entity, other) is present at t in a window of w seconds if it had an event in [t - w, t). Events of a pair no
more than w apart make one span, from its first event to its last: present as of t means the first lies before t, and
the last not before t - w. So the number of pairs present is the number of spans begun before t, less the number of
spans whose last event lies before t - w: two searches, at any time. Without a window nothing ever ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit._kernels.membership import search
from recokit._kernels.segments import counts_to_offsets, multi_arange, stable_order
from recokit.errors import ConfigurationError
from recokit.typing import BoolArray, FloatArray, IntArray

__all__ = ["Presence", "Spans", "Steps"]


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps of many entities over time.

    Parameters
    ----------
    keys : ndarray of int64, shape (S,)
        ``entity * T + rank of the time``, ascending.
    offsets : ndarray of int64, shape (E + 2,)
        Steps of entity ``e`` are ``offsets[e]:offsets[e + 1]``.
    total : ndarray of int64, shape (S + 1,), optional
        Prefix sums of the steps; by default each is one up.
    """

    keys: IntArray
    offsets: IntArray
    total: IntArray | None = None

    @classmethod
    def difference(cls, up: Steps, down: Steps) -> Steps:
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
class Spans:
    """Runs of events of pairs (entity, other), in the order of the pairs.

    Parameters
    ----------
    pair : ndarray of int64, shape (I,)
        ``entity * width + other``, ascending; a pair has one span or more.
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
    def merge(
        cls, entity: IntArray, other: IntArray, first: FloatArray, last: FloatArray, window: float, width: int
    ) -> Spans:
        """Merge spans of the same pair that lie no more than ``window`` seconds apart."""
        pair = entity * width + other
        order = np.lexsort((first, pair))
        pair, first, last = pair[order], first[order], last[order]
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
        """Return which spans belong to given pairs: for each span found the pair's place, and the span's."""
        known = np.flatnonzero((entity > 0) & (other < self.width))
        wanted = entity[known] * self.width + other[known]
        start = np.searchsorted(self.pair, wanted)
        counts = np.searchsorted(self.pair, wanted, side="right") - start
        return np.repeat(known, counts), multi_arange(start, counts)


@dataclass(frozen=True, eq=False)
class Presence:
    """How many distinct others each entity met, as of any time.

    Parameters
    ----------
    times : ndarray of float64, shape (T,)
        Distinct times of the steps, ascending.
    began : Steps
        Where spans begin.
    ended : Steps, optional
        Where their last events lie; None without a window, when nothing ends.
    spans : Spans, optional
        The runs of events behind the steps; None where no events will come later.
    """

    times: FloatArray
    began: Steps
    ended: Steps | None
    spans: Spans | None = None

    @classmethod
    def of_events(
        cls,
        times: FloatArray,
        keys: IntArray,
        entity: IntArray,
        other: IntArray,
        time: FloatArray,
        *,
        window: float,
        width: int,
        n_entities: int,
    ) -> Presence:
        """Find the spans of events.

        Parameters
        ----------
        times : ndarray of float64, shape (T,)
            Distinct times, ascending.
        keys : ndarray of int64, shape (M,)
            ``entity * T + rank of the time`` of each event, ascending.
        entity, other : ndarray of int64, shape (M,)
        time : ndarray of float64, shape (M,)
        window : float
            The window in seconds, ``inf`` for none.
        width : int
            Number of codes of the other part.
        n_entities : int
        """
        pair = entity * width + other
        order = stable_order(pair)
        pair, time = pair[order], time[order]
        begins = np.ones(len(pair), np.bool_)
        begins[1:] = (pair[1:] != pair[:-1]) | (time[:-1] < time[1:] - window)
        ends = np.append(begins[1:], np.ones(min(len(pair), 1), np.bool_))

        def steps(chosen: BoolArray) -> Steps:
            there = np.zeros(len(keys), np.bool_)
            there[order[chosen]] = True
            return Steps(keys[there], counts_to_offsets(np.bincount(entity[there], minlength=n_entities + 1)))

        ended = steps(ends) if window < np.inf else None
        return cls(times, steps(begins), ended, Spans(pair[begins], time[begins], time[ends], width))

    @classmethod
    def of_spans(cls, times: FloatArray, spans: Spans, n_entities: int, window: float) -> Presence:
        """Turn spans into steps; ``times`` holds all their times."""
        entity = spans.pair // spans.width
        offsets = counts_to_offsets(np.bincount(entity, minlength=n_entities + 1))

        def steps(when: FloatArray) -> Steps:
            return Steps(np.sort(entity * len(times) + np.searchsorted(times, when)), offsets)

        return cls(times, steps(spans.first), steps(spans.last) if window < np.inf else None, spans)

    def with_events(
        self,
        known: IntArray,
        entity: IntArray,
        other: IntArray,
        time: FloatArray,
        window: float,
        n_entities: int,
    ) -> Presence:
        """Return what further events add to this, as steps that may also go down.

        Parameters
        ----------
        known : ndarray of int64, shape (M,)
            The entity of each event here, 0 if it had none.
        entity : ndarray of int64, shape (M,)
            The entity of each event in the answer, from 1.
        other : ndarray of int64, shape (M,)
        time : ndarray of float64, shape (M,)
        window : float
            The window in seconds, ``inf`` for none.
        n_entities : int
            Entities in the answer.
        """
        if self.spans is None:
            raise ConfigurationError(
                "found an index built without a horizon; expected one, since events are to come later"
            )
        width = max(self.spans.width, int(other.max(initial=0)) + 1)
        _, once = np.unique(entity * width + other, return_index=True)
        place, found = self.spans.of(known[once], other[once])
        pair_entity, pair_other = entity[once][place], other[once][place]
        first, last = self.spans.first[found], self.spans.last[found]
        before = Spans.merge(pair_entity, pair_other, first, last, window, width)
        both = Spans.merge(
            np.concatenate([entity, pair_entity]),
            np.concatenate([other, pair_other]),
            np.concatenate([time, first]),
            np.concatenate([time, last]),
            window,
            width,
        )
        times = np.unique(np.concatenate([time, first, last]))
        after, earlier = (Presence.of_spans(times, spans, n_entities, window) for spans in (both, before))
        ended = None
        if after.ended is not None and earlier.ended is not None:
            ended = Steps.difference(after.ended, earlier.ended)
        return Presence(times, Steps.difference(after.began, earlier.began), ended)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, the times not counted."""
        return sum(part.nbytes for part in (self.began, self.ended, self.spans) if part is not None)

    def count(self, entity: IntArray, rank: IntArray, rank_back: IntArray) -> IntArray:
        """Return the number of others present, (N,) int64.

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
    if not len(values):
        return values
    distinct, rank = np.unique(values, return_inverse=True)
    run = np.cumsum(begins) - 1
    return np.asarray(distinct[np.maximum.accumulate(run * len(distinct) + rank) - run * len(distinct)])
