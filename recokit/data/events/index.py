"""EventIndex: what had happened to an entity strictly before any time, for many entities and times at once.

Events of each keyspace (users, items, pairs of them, pairs with a category) are sorted by one integer key,
``entity * T + rank of the time``, so the events of an entity before a time end at one binary search. Counts are
differences of two positions; sums are differences of int64 fixed-point prefix sums, exact where float prefix sums are
wrong in the last digits; decays are a recurrence along each entity's events, stored after every event; distinct counts
are steps up and down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.segments import counts_to_offsets, stable_order
from recokit._utils.moved import moved_attribute
from recokit.data.dataset import Dataset
from recokit.data.event_types import codes_of, negative_names, require_types
from recokit.data.events.distinct import DistinctCounts, Meetings
from recokit.data.events.keyed import Distinct, KeyedEvents, Keyspace, QueryTimes
from recokit.data.events.keys import event_codes, identities, part_codes, part_sets, part_sizes
from recokit.data.interactions import Interactions
from recokit.data.ragged import Ragged
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import AnyArray, FloatArray, IntArray, UInt64Array

#: Bits of a fixed-point total; one more is the sign, and one is headroom for rounding.
_TOTAL_BITS = 61


@dataclass(frozen=True, eq=False)
class Known:
    """What an index knows of its events beyond the counts, so that later ones can be told from them.

    Parameters
    ----------
    user_ids, item_ids : Vocabulary
        What its codes mean.
    event_names : tuple of str
        Event types by code.
    session_ids : ndarray or None
        External ids of sessions, ascending; code 1 is the first.
    since : float
        Events before this time are not remembered.
    recent : ndarray of uint64
        Identities of the events since then, ascending.
    """

    user_ids: Vocabulary
    item_ids: Vocabulary
    event_names: tuple[str, ...]
    session_ids: AnyArray | None
    since: float
    recent: UInt64Array

    @classmethod
    def of(cls, dataset: Dataset, horizon: float) -> Known:
        """Remember the dataset's last ``horizon`` seconds."""
        since = dataset.until - horizon
        log = dataset.interactions.between(since, np.inf)
        return cls(
            user_ids=dataset.user_ids,
            item_ids=dataset.item_ids,
            event_names=dataset.interactions.event_names,
            session_ids=dataset.session_ids,
            since=since,
            recent=np.sort(identities(log.user, log.item, log.event, log.timestamp)),
        )


@dataclass(frozen=True, eq=False)
class EventIndex:
    """Indexed events of several keyspaces, asked as of any time; arrays only, never changed.

    Parameters
    ----------
    keyed : mapping of str to KeyedEvents
        By :attr:`Keyspace.name`.
    keyspaces : mapping of str to Keyspace
        What was asked for, by name.
    codes : mapping of str to ndarray of int64 (n + 1,)
        Label codes of the categorical columns used, by entity code.
    sizes : mapping of str to int
        Number of codes of each part.
    times : ndarray of float64, shape (T,)
        Distinct times of the indexed events.
    until : float
        Until when the events are known.
    known : Known, optional
        Where events are to come later: what tells them from those that are here.
    sets : mapping of str to Ragged
        Single labels by entity code, of the parts that hold several: an event counts for each of its item's.

    Notes
    -----
    A keyspace takes 8 bytes an event for the keys, and 8 for each sum, half-life and count of distinct ones (16 in a
    window); a pair keyspace takes up to 16 more for each distinct pair. Where events are to come later, a distinct
    count takes up to 24 more, and each recent event 8.

    Examples
    --------
    >>> from recokit.data import Dataset
    >>> log = {"user_id": [7, 7, 8], "item_id": [1, 1, 1], "timestamp": [10.0, 20.0, 30.0]}
    >>> spaces = [Keyspace(("item",), distinct=(("user", None),)), Keyspace(("user", "item"))]
    >>> index = EventIndex.build(Dataset.from_frame(log), spaces)
    >>> view = index["item"].as_of(np.array([20.0, 31.0]), np.array([1, 1]))
    >>> view.count().tolist(), view.distinct("user").tolist()
    ([1, 3], [1, 2])
    >>> view = index["user*item"].as_of(np.array([40.0]), np.array([1]), np.array([1]))
    >>> view.count(25.0).tolist(), view.recency().tolist()
    ([1], [20.0])
    """

    keyed: Mapping[str, KeyedEvents]
    keyspaces: Mapping[str, Keyspace]
    codes: Mapping[str, IntArray]
    sizes: Mapping[str, int]
    times: FloatArray
    until: float
    known: Known | None = field(default=None, repr=False)
    sets: Mapping[str, Ragged] = field(default_factory=dict)

    @classmethod
    def build(
        cls, dataset: Dataset, keyspaces: Iterable[Keyspace], *, horizon: float | None = None
    ) -> EventIndex:
        """Index a dataset's events.

        Parameters
        ----------
        dataset : Dataset
            Events, and tables for categorical parts.
        keyspaces : iterable of Keyspace
            What to index; those of one name are merged.
        horizon : float, optional
            Where events are to come later: how late, in seconds, one may still be told from those that are here.

        Raises
        ------
        ConfigurationError
            For an event type or column that the dataset lacks.
        """
        spaces = _merge(keyspaces)
        log = dataset.interactions
        for space in spaces.values():
            if space.event is not None:
                require_types(log.event_names, [space.event])
        codes = part_codes(dataset, _parts(spaces.values()))
        index = cls(
            keyed={},
            keyspaces=spaces,
            codes=codes,
            sizes=part_sizes(dataset, codes),
            times=np.zeros(0),
            until=dataset.until,
            known=None if horizon is None else Known.of(dataset, horizon),
            sets=part_sets(dataset, codes),
        )
        return index._filled(log, log.event_names, None)

    def with_events(self, log: Interactions, event_names: Sequence[str]) -> EventIndex:
        """Return an index of further events: what it answers is what they add to this one.

        Parameters
        ----------
        log : Interactions
            Events that are not here yet, in this index's codes, sorted by time.
        event_names : sequence of str
            Event types by code.
        """
        return self._filled(log, event_names, self)

    def _filled(self, log: Interactions, event_names: Sequence[str], base: EventIndex | None) -> EventIndex:
        times, rank = np.unique(log.timestamp, return_inverse=True)
        indexing = _Indexing(
            log=log,
            event_names=tuple(event_names),
            columns={part: event_codes(log, part, self.codes) for part in _parts(self.keyspaces.values())},
            sizes=self.sizes,
            sets=self.sets,
            times=times,
            rank=rank,
            to_come=self.known is not None,
        )
        keyed = {
            name: indexing.keyed(space, None if base is None else base.keyed[name])
            for name, space in self.keyspaces.items()
        }
        return replace(self, keyed=keyed, times=times)

    def __getitem__(self, name: str) -> KeyedEvents:
        if name not in self.keyed:
            raise ConfigurationError(f"found no keyspace {name!r}; {did_you_mean(name, self.keyed)}")
        return self.keyed[name]

    def query_times(self, now: FloatArray) -> QueryTimes:
        """Return request times, to be translated once for all queries about them."""
        return QueryTimes(self.times, now)

    if not TYPE_CHECKING:
        moments = moved_attribute("query_times")

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        recent = 0 if self.known is None else self.known.recent.nbytes
        return self.times.nbytes + recent + sum(events.nbytes for events in self.keyed.values())


def _merge(keyspaces: Iterable[Keyspace]) -> dict[str, Keyspace]:
    merged: dict[str, Keyspace] = {}
    for space in keyspaces:
        before = merged.get(space.name, space)
        merged[space.name] = Keyspace(
            space.entity,
            space.event,
            tuple(sorted({*before.half_lives, *space.half_lives})),
            tuple(sorted({*before.sums, *space.sums})),
            tuple(sorted({*before.distinct, *space.distinct}, key=lambda one: (one[0], one[1] or 0.0))),
        )
    return merged


def _parts(keyspaces: Iterable[Keyspace]) -> set[str]:
    parts: set[str] = set()
    for space in keyspaces:
        parts.update(space.entity, (of for of, _ in space.distinct))
    return parts


@dataclass(frozen=True, eq=False)
class _Ordered:
    """Events of one keyspace, in the order of their entities."""

    event: IntArray
    entity: IntArray
    keys: IntArray
    codes: IntArray | None
    n_entities: int


@dataclass(frozen=True, eq=False)
class _Indexing:
    """One log, on the way to its keyspaces."""

    log: Interactions
    event_names: tuple[str, ...]
    columns: Mapping[str, IntArray]
    sizes: Mapping[str, int]
    sets: Mapping[str, Ragged]
    times: FloatArray
    rank: IntArray
    to_come: bool

    def keyed(self, space: Keyspace, base: KeyedEvents | None) -> KeyedEvents:
        """Index one keyspace; that of further events lists its entities, so that no array is as long as the base's."""
        width = self.sizes[space.entity[1]] if len(space.entity) == 2 else 0
        rows = self._ordered(space, width, listed=base is not None)
        time = self.log.timestamp[rows.event]
        weight = self.log.weight[rows.event].astype(np.float64)
        sums, exponents = _sums(space.sums, self.log, rows.event)
        return KeyedEvents(
            times=self.times,
            keys=rows.keys,
            offsets=counts_to_offsets(np.bincount(rows.entity, minlength=rows.n_entities + 1)),
            codes=rows.codes,
            width=width,
            sums=sums,
            exponents=exponents,
            decays={
                half_life: _decay_states(rows.entity, time, weight, half_life)
                for half_life in space.half_lives
            },
            distinct_counts={one: self._distinct_counts(one, rows, base) for one in space.distinct},
        )

    def _ordered(self, space: Keyspace, width: int, *, listed: bool) -> _Ordered:
        event = self._events_of(space)
        event, parts = self._codes_of(space, event)
        code = parts[0] if parts else np.ones(len(event), np.int64)
        if width:
            code = code * width + parts[1]
        order = stable_order(code)
        event, entity = event[order], code[order]
        codes: IntArray | None = None
        n_entities = self.sizes[space.entity[0]] - 1 if parts else 1
        if width or listed:
            first = np.ones(len(entity), np.bool_)
            first[1:] = entity[1:] != entity[:-1]
            codes, entity = entity[first], np.cumsum(first)
            n_entities = len(codes)
        return _Ordered(event, entity, entity * len(self.times) + self.rank[event], codes, n_entities)

    def _codes_of(self, space: Keyspace, event: IntArray) -> tuple[IntArray, list[IntArray]]:
        """Return events, once for each label that they count for, and their codes in each part of the entity."""
        parts = [self.columns[part] for part in space.entity]
        several = next((place for place, part in enumerate(space.entity) if part in self.sets), None)
        if several is None:
            return event, [codes[event] for codes in parts]
        part = space.entity[several]
        entity = self.log.user if part.partition(".")[0] == "user" else self.log.item
        labels = self.sets[part].take(entity[event])
        event = np.repeat(event, labels.counts)
        return event, [
            labels.values if place == several else codes[event] for place, codes in enumerate(parts)
        ]

    def _events_of(self, space: Keyspace) -> IntArray:
        """Return the positions of a keyspace's events of known entities: of its type, or of all but negative ones."""
        known = np.ones(len(self.log), np.bool_)
        for part in space.entity:
            known &= self.columns[part] > 0
        if space.event is not None:
            known &= np.isin(self.log.event, codes_of(self.event_names, [space.event]))
        elif against := negative_names(self.event_names):
            known &= ~(np.isin(self.log.event, codes_of(self.event_names, against)) & (self.log.weight <= 0))
        return np.flatnonzero(known)

    def _distinct_counts(
        self, distinct: Distinct, rows: _Ordered, base: KeyedEvents | None
    ) -> DistinctCounts:
        of, window = distinct
        other = self.columns[of][rows.event]
        met = np.flatnonzero(other > 0)
        time = self.log.timestamp[rows.event[met]]
        events = Meetings(rows.entity[met], other[met], time, time)
        reach = np.inf if window is None else window
        if base is not None and rows.codes is not None:
            known = base.entities(rows.codes)[events.entity - 1]
            return base.distinct_counts[distinct].with_events(
                events, known, window=reach, n_entities=rows.n_entities
            )
        counts = DistinctCounts.of_events(
            events,
            rows.keys[met],
            self.times,
            window=reach,
            width=self.sizes[of],
            n_entities=rows.n_entities,
        )
        return counts if self.to_come else replace(counts, intervals=None)


def _sums(
    names: Sequence[str], log: Interactions, picked: IntArray
) -> tuple[dict[str, IntArray], dict[str, int]]:
    sums: dict[str, IntArray] = {}
    exponents: dict[str, int] = {}
    for name in names:
        values = _summand(name, log)[picked]
        total = float(np.abs(values).sum())
        # A power of two scales floats without rounding; flags are whole numbers already.
        exponents[name] = 0 if values.dtype.kind == "b" else min(_TOTAL_BITS - int(np.frexp(total)[1]), 52)
        sums[name] = np.zeros(len(values) + 1, np.int64)
        np.cumsum(
            np.rint(np.ldexp(values.astype(np.float64), exponents[name])).astype(np.int64), out=sums[name][1:]
        )
    return sums, exponents


def _summand(name: str, log: Interactions) -> AnyArray:
    if name == "weight":
        return log.weight
    if name == "valued":
        return ~np.isnan(log.value)
    value = np.nan_to_num(log.value, nan=0.0)
    return value if name == "value" else value.astype(np.float64) ** 2


def _decay_states(entity: IntArray, time: FloatArray, weight: FloatArray, half_life: float) -> FloatArray:
    """Return the decayed weight of each entity right after each of its events, shifted by one, (M + 1,).

    ``state[i] = weight[i] + state[i - 1] * keep[i]`` by doubling: log2(longest history) passes over all events. All
    terms are positive, so nothing cancels, and the order of additions depends on an event's place within its entity
    only: the same events give the same bits in any index.
    """
    state = np.zeros(len(entity) + 1)
    state[1:] = weight
    keep = np.zeros(len(entity))
    same = entity[1:] == entity[:-1]
    keep[1:][same] = np.exp2(-np.diff(time)[same] / half_life)
    total, longest = state[1:], int(np.bincount(entity).max(initial=0))
    step = 1
    while step < longest:
        total[step:] += keep[step:] * total[:-step]
        keep[step:] *= keep[:-step]
        step *= 2
    return state
