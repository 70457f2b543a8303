"""Layers: an index and what later events add to it, asked as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recokit.data.events.index import EventIndex
from recokit.data.events.keyed import AsOf, KeyedEvents, Moments
from recokit.typing import BoolArray, FloatArray, IntArray

__all__ = ["LayeredAsOf", "LayeredEvents", "LayeredIndex", "LayeredMoments"]


@dataclass(frozen=True, eq=False)
class LayeredMoments:
    """Times to ask about, in both layers' terms; see :class:`Moments`."""

    base: Moments
    tail: Moments

    def of(self, row: IntArray) -> LayeredMoments:
        """Return the moments of other queries about the same request times."""
        return LayeredMoments(self.base.of(row), self.tail.of(row))


@dataclass(frozen=True, eq=False)
class LayeredIndex:
    """An index with a tail; answers what one index of all their events would.

    Parameters
    ----------
    base : EventIndex
    tail : EventIndex
        What :meth:`EventIndex.with_events` of the base returned.
    """

    base: EventIndex
    tail: EventIndex

    @property
    def codes(self) -> Mapping[str, IntArray]:
        """Label codes of the categorical columns, by entity code."""
        return self.base.codes

    def __getitem__(self, name: str) -> LayeredEvents:
        return LayeredEvents(self.base[name], self.tail[name])

    def moments(self, now: FloatArray) -> LayeredMoments:
        """Return request times, to be translated once for all queries about them."""
        return LayeredMoments(self.base.moments(now), self.tail.moments(now))


@dataclass(frozen=True, eq=False)
class LayeredEvents:
    """One keyspace of both layers."""

    base: KeyedEvents
    tail: KeyedEvents

    def as_of(self, when: LayeredMoments, first: IntArray, second: IntArray | None = None) -> LayeredAsOf:
        """Return what happened to entities strictly before given times; see :meth:`KeyedEvents.as_of`."""
        return LayeredAsOf(
            self.base.as_of(when.base, first, second), self.tail.as_of(when.tail, first, second)
        )


class LayeredAsOf:
    """What happened to N entities strictly before N times, in both layers; see :class:`AsOf`."""

    def __init__(self, base: AsOf, tail: AsOf) -> None:
        self._base, self._tail = base, tail

    def __len__(self) -> int:
        return len(self._base)

    @property
    def any(self) -> BoolArray:
        """Whether there was an event, (N,) bool."""
        return self._base.any | self._tail.any

    def count(self, window: float | None = None) -> IntArray:
        """Return the number of events, (N,) int64; in the last ``window`` seconds, if given."""
        return self._base.count(window) + self._tail.count(window)

    def last(self) -> FloatArray:
        """Return the time of the last event, (N,) float64; NaN if there was none."""
        return np.fmax(self._base.last(), self._tail.last())

    def first(self) -> FloatArray:
        """Return the time of the first event, (N,) float64; NaN if there was none."""
        return np.fmin(self._base.first(), self._tail.first())

    def recency(self) -> FloatArray:
        """Return the seconds since the last event, (N,) float64; NaN if there was none."""
        return np.fmin(self._base.recency(), self._tail.recency())

    def age(self) -> FloatArray:
        """Return the seconds since the first event, (N,) float64; NaN if there was none."""
        return np.fmax(self._base.age(), self._tail.age())

    def sum(self, name: str, window: float | None = None) -> FloatArray:
        """Return a declared sum, (N,) float64; over the last ``window`` seconds, if given."""
        return self._base.sum(name, window) + self._tail.sum(name, window)

    def distinct(self, of: str, window: float | None = None) -> IntArray:
        """Return the number of declared distinct ones, (N,) int64; in the last ``window`` seconds, if given."""
        return self._base.distinct(of, window) + self._tail.distinct(of, window)

    def decayed(self, half_life: float) -> FloatArray:
        """Return the sum of weights halved every ``half_life`` seconds, (N,) float64."""
        return self._base.decayed(half_life) + self._tail.decayed(half_life)
