"""Events of one keyspace, sorted by one integer key, and what they tell as of any time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np

from recokit._kernels.membership import locate_sorted, search
from recokit.data.events.distinct import DistinctCounts
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import BoolArray, FloatArray, IntArray

#: What a keyspace can sum.
SUMS = ("value", "valued", "value_squared", "weight")

#: Of what distinct ones are counted, and in which window in seconds, None for ever.
Distinct: TypeAlias = tuple[str, float | None]


@dataclass(frozen=True)
class Keyspace:
    """Which events to index, by what, and what to add up.

    Parameters
    ----------
    entity : tuple of str
        Up to two of ``"user"``, ``"item"``, ``"session"``, ``"price_band"`` (see :func:`price_bands`), and categorical
        columns such as ``"item.category"`` or ``"user.region"``; none for all events as one entity.
    event : str, optional
        Only events of this type; by default all but those against an item, such as refunds.
    half_lives : tuple of float
        Half-lives in seconds of the decayed weights.
    sums : tuple of str
        What is summed: ``"value"`` (unknown values count 0), ``"valued"`` (events with a known value),
        ``"value_squared"`` and ``"weight"``.
    distinct : tuple of (str, float or None)
        Of what distinct ones are counted, such as ``("user", None)``, and in which window in seconds, None for ever.

    Examples
    --------
    >>> Keyspace(("user", "item.category")).name
    'user*item.category'
    """

    entity: tuple[str, ...]
    event: str | None = None
    half_lives: tuple[float, ...] = ()
    sums: tuple[str, ...] = ()
    distinct: tuple[Distinct, ...] = ()

    def __post_init__(self) -> None:
        if len(self.entity) > 2:
            raise ConfigurationError(f"found the entity {self.entity!r}; expected at most two parts")
        unknown = [name for name in self.sums if name not in SUMS]
        if unknown:
            raise ConfigurationError(f"found no sum {unknown[0]!r}; {did_you_mean(unknown[0], SUMS)}")

    @cached_property
    def name(self) -> str:
        """The key in the index, such as ``"user*item"`` or ``"item:purchase"``."""
        return ("*".join(self.entity) or "all") + (f":{self.event}" if self.event is not None else "")


class QueryTimes:
    """Times to ask about, shared by many queries: ``now[row]`` is the time of each.

    Parameters
    ----------
    times : ndarray of float64, shape (T,)
        Distinct times of the indexed events, ascending.
    now : ndarray of float64, shape (B,)
        Distinct or repeated request times.
    row : ndarray of int64, shape (N,), optional
        Which request time each query asks about; by default each its own (N = B).
    """

    def __init__(self, times: FloatArray, now: FloatArray, row: IntArray | None = None) -> None:
        self.times, self.now, self.row = times, now, row
        self._ranks: dict[float, IntArray] = {}

    def of(self, row: IntArray) -> QueryTimes:
        """Return the times of other queries about the same request times."""
        other = QueryTimes(self.times, self.now, row)
        other._ranks = self._ranks  # each is looked up once for all of them
        return other

    @cached_property
    def each(self) -> FloatArray:
        """Time of each query, (N,) float64."""
        return self.now if self.row is None else self.now[self.row]

    def rank(self, back: float = 0.0) -> IntArray:
        """Return how many distinct event times lie strictly before each time minus ``back`` seconds, (N,) int64."""
        if back not in self._ranks:
            self._ranks[back] = search(self.times, self.now - back)
        rank = self._ranks[back]
        return rank if self.row is None else rank[self.row]


@dataclass(frozen=True, eq=False)
class KeyedEvents:
    """Events of one keyspace, sorted by entity, then time.

    Parameters
    ----------
    times : ndarray of float64, shape (T,)
        Distinct times of the indexed events, shared by all keyspaces.
    keys : ndarray of int64, shape (M,)
        ``entity * T + rank``, ascending; events with an unknown part are left out.
    offsets : ndarray of int64, shape (E + 2,)
        Events of entity ``e`` are ``offsets[e]:offsets[e + 1]``; entity 0 has none.
    codes : ndarray of int64, shape (E,), optional
        Codes of entities 1..E, ascending: for two parts ``first * width + second``; None where codes are entities.
    width : int
        Number of codes of the second part, 0 where there is none.
    sums : mapping of str to ndarray of int64, shape (M + 1,)
        Prefix sums in fixed point.
    exponents : mapping of str to int
        Binary digits after the point of each sum.
    decays : mapping of float to ndarray of float64, shape (M + 1,)
        For each half-life, the decayed weight right after the event before each position.
    distinct_counts : mapping of (str, float or None) to DistinctCounts
        How many distinct ones each entity met.
    """

    times: FloatArray
    keys: IntArray
    offsets: IntArray
    codes: IntArray | None = None
    width: int = 0
    sums: Mapping[str, IntArray] = field(default_factory=dict)
    exponents: Mapping[str, int] = field(default_factory=dict)
    decays: Mapping[float, FloatArray] = field(default_factory=dict)
    distinct_counts: Mapping[Distinct, DistinctCounts] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, the shared times not counted."""
        parts = [self.keys, self.offsets, *self.sums.values(), *self.decays.values()]
        parts += [] if self.codes is None else [self.codes]
        counts = self.distinct_counts.values()
        return sum(part.nbytes for part in parts) + sum(count.nbytes for count in counts)

    def entities(self, first: IntArray, second: IntArray | None = None) -> IntArray:
        """Return the entity of each code, or pair of codes, (N,) int64; 0 where there are no events at all."""
        code = first if second is None else np.where(second < self.width, first * self.width + second, 0)
        if self.codes is None:
            return np.where(code < len(self.offsets) - 1, code, 0)
        position, found = locate_sorted(self.codes, code)
        return np.where(found, position + 1, 0)

    def as_of(self, when: QueryTimes | FloatArray, first: IntArray, second: IntArray | None = None) -> AsOf:
        """Return what happened to entities strictly before given times.

        Parameters
        ----------
        when : QueryTimes or ndarray of float64, shape (N,)
            The times.
        first, second : ndarray of int64, shape (N,)
            Codes of the entity's parts; ``second`` only for pairs.
        """
        times = when if isinstance(when, QueryTimes) else QueryTimes(self.times, np.asarray(when, np.float64))
        return AsOf(self, self.entities(first, second), times)


class AsOf:
    """What happened to N entities strictly before N times.

    Parameters
    ----------
    events : KeyedEvents
    entity : ndarray of int64, shape (N,)
        Entities as of :meth:`KeyedEvents.entities`.
    when : QueryTimes
        A time for each.

    Notes
    -----
    A window of ``w`` seconds covers events from ``t - w`` (included) to ``t`` (excluded).
    """

    def __init__(self, events: KeyedEvents, entity: IntArray, when: QueryTimes) -> None:
        self._events, self._when, self._entity = events, when, entity
        self._base = entity * len(events.times)
        self._start = events.offsets[entity]
        self._stop = events.offsets[entity + 1]
        self._present = np.flatnonzero(self._stop > self._start)
        if len(when.now) and len(events.times) and float(when.now.min()) <= events.times[-1]:
            self._stop = self._first_from(when.rank())
            self._present = np.flatnonzero(self._stop > self._start)

    def __len__(self) -> int:
        return len(self._start)

    @property
    def any(self) -> BoolArray:
        """Whether there was an event, (N,) bool."""
        return self._stop > self._start

    def count(self, window: float | None = None) -> IntArray:
        """Return the number of events, (N,) int64; in the last ``window`` seconds, if given."""
        return self._stop - (self._start if window is None else self._first_from(self._when.rank(window)))

    def counts(self, windows: Sequence[float]) -> IntArray:
        """Return the number of events in each of several windows, (W, N) int64."""
        ranks = np.zeros((len(windows), len(self._start)), np.int64)
        for place, window in enumerate(windows):
            ranks[place] = self._when.rank(window)
        return self._stop - self._first_from(ranks)

    def last(self) -> FloatArray:
        """Return the time of the last event, (N,) float64; NaN if there was none."""
        return self._time(self._stop - 1)

    def first(self) -> FloatArray:
        """Return the time of the first event, (N,) float64; NaN if there was none."""
        return self._time(self._start)

    def recency(self) -> FloatArray:
        """Return the seconds since the last event, (N,) float64; NaN if there was none."""
        return self._recency

    @cached_property
    def _recency(self) -> FloatArray:
        return self._when.each - self.last()

    def age(self) -> FloatArray:
        """Return the seconds since the first event, (N,) float64; NaN if there was none."""
        return self._when.each - self.first()

    def sum(self, name: str, window: float | None = None) -> FloatArray:
        """Return a declared sum, (N,) float64; over the last ``window`` seconds, if given."""
        if name not in self._events.sums:
            raise _undeclared(self._events.sums, name, "sum")
        prefix = self._events.sums[name]
        start = self._start if window is None else self._first_from(self._when.rank(window))
        total = prefix[self._stop] - prefix[start]
        return np.ldexp(total.astype(np.float64), -self._events.exponents[name])

    def distinct(self, of: str, window: float | None = None) -> IntArray:
        """Return the number of declared distinct ones, (N,) int64; in the last ``window`` seconds, if given."""
        if (of, window) not in self._events.distinct_counts:
            raise _undeclared(self._events.distinct_counts, (of, window), "distinct count")
        counts = self._events.distinct_counts[of, window]
        when = self._when
        if counts.times is not self._events.times:
            when = QueryTimes(counts.times, when.now, when.row)
        return counts.count(self._entity, when.rank(), when.rank(window or 0.0))

    def decayed(self, half_life: float) -> FloatArray:
        """Return the sum of weights halved every ``half_life`` seconds, (N,) float64."""
        if half_life not in self._events.decays:
            raise _undeclared(self._events.decays, half_life, "half-life")
        state = self._events.decays[half_life]
        decayed = np.zeros(len(self._start))
        present = self._present
        decayed[present] = state[self._stop[present]] * np.exp2(-self._recency[present] / half_life)
        return decayed

    def _time(self, position: IntArray) -> FloatArray:
        present = self._present
        time = np.full(len(position), np.nan)
        time[present] = self._events.times[self._events.keys[position[present]] - self._base[present]]
        return time

    def _first_from(self, rank: IntArray) -> IntArray:
        """Return the position of each entity's first event of at least that time rank, at most the current stop.

        Ranks are (N,), or (W, N) of several windows.
        """
        present, keys = self._present, self._events.keys
        wanted = (self._base + rank)[..., present]
        # Most entities have no event in a short window, or none at all: only the others are worth a search.
        late = keys[self._stop[present] - 1] >= wanted
        first = np.empty(wanted.shape, np.int64)
        first[...] = self._stop[present]
        first[late] = search(keys, wanted[late])
        position = np.empty(rank.shape, np.int64)
        position[...] = self._stop
        position[..., present] = first
        return position


def _undeclared(parts: Iterable[object], name: object, what: str) -> ConfigurationError:
    hint = did_you_mean(str(name), map(str, parts))
    return ConfigurationError(
        f"found no {what} {name!r} in this keyspace; {hint}; it must be declared when built"
    )
