"""EventIndex: what had happened to an entity strictly before any time, for many entities and times at once.

Events of each keyspace (users, items, pairs of them, pairs with a category) are sorted by one integer key,
``entity * T + rank of the time``, so the events of an entity before a time end at one binary search. Counts are
differences of two positions; sums are differences of int64 fixed-point prefix sums, exact where float prefix sums are
wrong in the last digits; decays are a recurrence along each entity's events, stored after every event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._ops.segments import counts_to_offsets
from recokit.data.interactions import Interactions
from recokit.data.keyed_events import AsOf, KeyedEvents, Keyspace, Moments
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from recokit.data.dataset import Dataset

__all__ = ["AsOf", "EventIndex", "KeyedEvents", "Keyspace", "Moments"]

#: Bits of a fixed-point total; one more is the sign, and one is headroom for rounding.
_TOTAL_BITS = 61


@dataclass(frozen=True, eq=False)
class EventIndex:
    """Indexed events of several keyspaces, asked as of any time; arrays only, never changed.

    Parameters
    ----------
    keyed : mapping of str to KeyedEvents
        By :attr:`Keyspace.name`.
    codes : mapping of str to ndarray of int64 (n + 1,)
        Label codes of the categorical columns used, by entity code.
    times : ndarray of float64, shape (T,)
        Distinct times of the indexed events.
    until : float
        Until when the events are known.

    Notes
    -----
    A keyspace takes 8 bytes an event for the keys, and 8 for each sum and half-life; a pair keyspace takes up to 16
    more for each distinct pair.

    Examples
    --------
    >>> from recokit.data import Dataset
    >>> log = {"user_id": [7, 7, 8], "item_id": [1, 1, 1], "timestamp": [10.0, 20.0, 30.0]}
    >>> index = EventIndex.build(Dataset.from_frame(log), [Keyspace(("item",)), Keyspace(("user", "item"))])
    >>> index["item"].as_of(np.array([20.0, 31.0]), np.array([1, 1])).count().tolist()
    [1, 3]
    >>> view = index["user*item"].as_of(np.array([40.0]), np.array([1]), np.array([1]))
    >>> view.count(25.0).tolist(), view.recency().tolist()
    ([1], [20.0])
    """

    keyed: Mapping[str, KeyedEvents]
    codes: Mapping[str, IntArray]
    times: FloatArray
    until: float

    @classmethod
    def build(cls, dataset: Dataset, keyspaces: Iterable[Keyspace]) -> EventIndex:
        """Index a dataset's events.

        Parameters
        ----------
        dataset : Dataset
            Events, and tables for categorical parts.
        keyspaces : iterable of Keyspace
            What to index; those of one name are merged.

        Raises
        ------
        ConfigurationError
            For an event type or column that the dataset lacks.
        """
        merged = _merge(keyspaces)
        log = dataset.interactions
        times, rank = np.unique(log.timestamp, return_inverse=True)
        parts = {part for keyspace in merged for part in keyspace.entity}
        codes = {part: _codes(dataset, part) for part in sorted(parts) if "." in part}
        sizes = {"user": dataset.n_users + 1, "item": dataset.n_items + 1}
        sizes |= {part: _n_labels(dataset, part) + 1 for part in codes}
        columns = {part: _event_codes(log, part, codes) for part in parts}
        keyed = {keyspace.name: _index(keyspace, log, columns, sizes, times, rank) for keyspace in merged}
        return cls(keyed, codes, times, dataset.until)

    def __getitem__(self, name: str) -> KeyedEvents:
        if name not in self.keyed:
            raise ConfigurationError(f"found no keyspace {name!r}; {did_you_mean(name, self.keyed)}")
        return self.keyed[name]

    def moments(self, now: FloatArray) -> Moments:
        """Return request times, to be translated once for all queries about them."""
        return Moments(self.times, now)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.times.nbytes + sum(events.nbytes for events in self.keyed.values())


def _merge(keyspaces: Iterable[Keyspace]) -> list[Keyspace]:
    merged: dict[str, Keyspace] = {}
    for keyspace in keyspaces:
        before = merged.get(keyspace.name, keyspace)
        merged[keyspace.name] = Keyspace(
            keyspace.entity,
            keyspace.event,
            tuple(sorted({*before.half_lives, *keyspace.half_lives})),
            tuple(sorted({*before.sums, *keyspace.sums})),
        )
    return list(merged.values())


def _codes(dataset: Dataset, part: str) -> IntArray:
    entity, _, column = part.partition(".")
    if entity not in ("user", "item"):
        raise ConfigurationError(
            f"found the entity {part!r}; expected 'user', 'item', 'user.COLUMN' or 'item.COLUMN'"
        )
    table = dataset.users if entity == "user" else dataset.items
    table.labels(column)
    return table.column(column)


def _n_labels(dataset: Dataset, part: str) -> int:
    entity, _, column = part.partition(".")
    return len((dataset.users if entity == "user" else dataset.items).labels(column))


def _event_codes(log: Interactions, part: str, codes: Mapping[str, IntArray]) -> IntArray:
    entity = part.partition(".")[0]
    if entity not in ("user", "item"):
        raise ConfigurationError(
            f"found the entity {part!r}; expected 'user', 'item', 'user.COLUMN' or 'item.COLUMN'"
        )
    code = log.user if entity == "user" else log.item
    return codes[part][code] if part in codes else code


def _index(
    keyspace: Keyspace,
    log: Interactions,
    columns: Mapping[str, IntArray],
    sizes: Mapping[str, int],
    times: FloatArray,
    rank: IntArray,
) -> KeyedEvents:
    code = [columns[part] for part in keyspace.entity]
    known = np.logical_and.reduce([part > 0 for part in code])
    if keyspace.event is not None:
        if keyspace.event not in log.event_names:
            hint = did_you_mean(keyspace.event, log.event_names)
            raise ConfigurationError(f"found no event type {keyspace.event!r}; {hint}")
        known &= log.event == log.event_names.index(keyspace.event)
    picked = np.flatnonzero(known)
    if len(keyspace.entity) == 2:
        width = sizes[keyspace.entity[1]]
        pairs, entity = np.unique(code[0][picked] * width + code[1][picked], return_inverse=True)
        entity, n_entities = entity + 1, len(pairs)
    else:
        width, pairs, entity, n_entities = 0, None, code[0][picked], sizes[keyspace.entity[0]] - 1
    order = np.argsort(entity, kind="stable")
    picked, entity = picked[order], entity[order]
    sums, exponents = _sums(keyspace.sums, log, known, picked)
    time, weight = log.timestamp[picked], log.weight[picked].astype(np.float64)
    return KeyedEvents(
        times=times,
        keys=entity * len(times) + rank[picked],
        offsets=counts_to_offsets(np.bincount(entity, minlength=n_entities + 1)),
        pairs=pairs,
        width=width,
        sums=sums,
        exponents=exponents,
        decays={
            half_life: _decay_states(entity, time, weight, half_life) for half_life in keyspace.half_lives
        },
    )


def _sums(
    names: Sequence[str], log: Interactions, known: BoolArray, picked: IntArray
) -> tuple[dict[str, IntArray], dict[str, int]]:
    sums: dict[str, IntArray] = {}
    exponents: dict[str, int] = {}
    for name in names:
        values = _summand(name, log, known)[picked]
        total = float(np.abs(values).sum())
        # A power of two scales floats without rounding; flags are whole numbers already.
        exponents[name] = 0 if values.dtype.kind == "b" else min(_TOTAL_BITS - int(np.frexp(total)[1]), 52)
        sums[name] = np.zeros(len(values) + 1, np.int64)
        np.cumsum(
            np.rint(np.ldexp(values.astype(np.float64), exponents[name])).astype(np.int64), out=sums[name][1:]
        )
    return sums, exponents


def _summand(name: str, log: Interactions, known: BoolArray) -> AnyArray:
    if name == "value":
        return np.nan_to_num(log.value, nan=0.0)
    if name == "valued":
        return ~np.isnan(log.value)
    if name == "weight":
        return log.weight
    if name == "new_pair":
        return _first_of(log.user, log.item, known)
    if log.session is None:
        return np.zeros(len(log), np.bool_)
    return _first_of(log.user, log.session, known & (log.session > 0))


def _first_of(major: IntArray, minor: IntArray, known: BoolArray) -> BoolArray:
    """Tell which known events are the first of their (major, minor) pair."""
    first = np.zeros(len(major), np.bool_)
    position = np.flatnonzero(known)
    width = int(minor.max(initial=0)) + 1
    _, index = np.unique(major[position] * width + minor[position], return_index=True)
    first[position[index]] = True
    return first


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
