"""Layers: an index and what later events add to it, asked as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from recokit.data.events.index import EventIndex
from recokit.data.events.keyed import AsOf, KeyedEvents, QueryTimes
from recokit.data.ragged import Ragged
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

P = ParamSpec("P")
Answer = TypeVar("Answer", bound=AnyArray)


@dataclass(frozen=True, eq=False)
class LayeredQueryTimes:
    """Times of queries, in both layers' terms; see :class:`QueryTimes`."""

    base: QueryTimes
    added: QueryTimes

    def of(self, row: IntArray) -> LayeredQueryTimes:
        """Return the times of other queries about the same request times."""
        return LayeredQueryTimes(self.base.of(row), self.added.of(row))


@dataclass(frozen=True, eq=False)
class LayeredIndex:
    """An index and later events; answers as one index of all their events would.

    Parameters
    ----------
    base : EventIndex
    added : EventIndex
        As :meth:`EventIndex.with_events` of the base returns it.
    """

    base: EventIndex
    added: EventIndex

    @property
    def codes(self) -> Mapping[str, IntArray]:
        """Label codes of the categorical columns, by entity code."""
        return self.base.codes

    @property
    def sets(self) -> Mapping[str, Ragged]:
        """Single labels by entity code, of the columns that hold several."""
        return self.base.sets

    def __getitem__(self, name: str) -> LayeredEvents:
        return LayeredEvents(self.base[name], self.added[name])

    def query_times(self, now: FloatArray) -> LayeredQueryTimes:
        """Return request times, to be translated once for all queries about them."""
        return LayeredQueryTimes(self.base.query_times(now), self.added.query_times(now))


@dataclass(frozen=True, eq=False)
class LayeredEvents:
    """One keyspace of both layers."""

    base: KeyedEvents
    added: KeyedEvents

    def as_of(self, when: LayeredQueryTimes, first: IntArray, second: IntArray | None = None) -> LayeredAsOf:
        """Return what happened to entities strictly before given times; see :meth:`KeyedEvents.as_of`."""
        return LayeredAsOf(
            self.base.as_of(when.base, first, second), self.added.as_of(when.added, first, second)
        )


def _both(
    query: Callable[Concatenate[AsOf, P], Answer], combine: np.ufunc
) -> Callable[Concatenate[LayeredAsOf, P], Answer]:
    def combined(self: LayeredAsOf, /, *args: P.args, **options: P.kwargs) -> Answer:
        answer: Any = combine(query(self.base, *args, **options), query(self.added, *args, **options))
        return answer  # type: ignore[no-any-return]  # a ufunc keeps the kind of its inputs

    combined.__name__, combined.__doc__ = query.__name__, query.__doc__
    return combined


@dataclass(frozen=True, eq=False)
class LayeredAsOf:
    """What happened to N entities strictly before N times, in both layers; answers as :class:`AsOf` does."""

    base: AsOf
    added: AsOf

    def __len__(self) -> int:
        return len(self.base)

    @property
    def any(self) -> BoolArray:
        """Whether there was an event, (N,) bool."""
        return self.base.any | self.added.any

    count = _both(AsOf.count, np.add)
    counts = _both(AsOf.counts, np.add)
    sum = _both(AsOf.sum, np.add)
    distinct = _both(AsOf.distinct, np.add)
    decayed = _both(AsOf.decayed, np.add)
    # NaN in one layer is no event there: fmin and fmax leave it out.
    first = _both(AsOf.first, np.fmin)
    last = _both(AsOf.last, np.fmax)
    recency = _both(AsOf.recency, np.fmin)
    age = _both(AsOf.age, np.fmax)
