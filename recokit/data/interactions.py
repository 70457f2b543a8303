"""Interactions: the event log as columns of codes, sorted by time."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.segments import counts_to_offsets
from recokit.data.event_types import codes_of, negative_names, taken_back
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class Interactions:
    """M events, sorted by time; events of one moment keep the order they came in.

    Parameters
    ----------
    user, item : ndarray of int64, shape (M,)
        Codes.
    timestamp : ndarray of float64, shape (M,)
        Seconds since 1970.
    event : ndarray of int64, shape (M,)
        Code of the event type in ``event_names``.
    weight : ndarray of float32, shape (M,)
        Strength of the signal: a rating or count where the data has one, else the event's weight.
    value : ndarray of float32, shape (M,)
        Money, such as the price paid; NaN where unknown.
    event_names : tuple of str
        Event types, weakest first.
    session, impression, position : ndarray of int64, shape (M,), optional
        Session or basket; the impression that led here; 1-based place shown. 0 where an event has none.
    propensity : ndarray of float64, shape (M,), optional
        Probability with which the item was shown there.
    """

    user: IntArray
    item: IntArray
    timestamp: FloatArray
    event: IntArray
    weight: Float32Array
    value: Float32Array
    event_names: tuple[str, ...] = ("purchase",)
    session: IntArray | None = None
    impression: IntArray | None = None
    position: IntArray | None = None
    propensity: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def take(self, index: IntArray | slice) -> Interactions:
        """Return the events at the given positions, which must ascend."""
        columns = {part.name: getattr(self, part.name) for part in fields(self)}
        return self.replace(
            **{name: column[index] for name, column in columns.items() if isinstance(column, np.ndarray)}
        )

    def between(self, start: float, end: float) -> Interactions:
        """Return the events from ``start`` (included) to ``end`` (excluded)."""
        first, last = np.searchsorted(self.timestamp, [start, end])
        return self.take(slice(int(first), int(last)))

    def of(self, *events: str) -> Interactions:
        """Return the events of the named types, or of the kinds that the names stand for; none where there are none."""
        return self.take(np.flatnonzero(np.isin(self.event, codes_of(self.event_names, events))))

    @cached_property
    def counted(self) -> BoolArray:
        """Which events are a signal, (M,): of a weight above 0, and not taken back later, as a refund does."""
        counted: BoolArray = self.weight > 0
        if not negative_names(self.event_names):
            return counted
        group = self.user * (int(self.item.max(initial=0)) + 1) + self.item
        group = np.where((self.user > 0) & (self.item > 0), group, -1)
        taken = taken_back(self.event_names, group, self.timestamp, self.event, self.weight)
        return counted if taken is None else counted & ~taken

    @property
    def signals(self) -> Interactions:
        """The events that are a signal, see :attr:`counted`. The others only say what a user has seen."""
        return self if self._signals is None else self._signals

    @property
    def personal(self) -> Interactions:
        """The signals of known users: what a model of users learns from. Popularity has the anonymous ones too."""
        return self.signals if self._personal is None else self._personal

    # None stands for all: an object that held itself would be a circle to whoever walks it.
    @cached_property
    def _signals(self) -> Interactions | None:
        return None if self.counted.all() else self.take(np.flatnonzero(self.counted))

    @cached_property
    def _personal(self) -> Interactions | None:
        log = self.signals
        return None if (log.user > 0).all() else log.take(np.flatnonzero(log.user > 0))

    def repeats(self, within: float | None, ids: IntArray | None = None) -> BoolArray:
        """Tell which events were sent before, (M,).

        Parameters
        ----------
        within : float, optional
            Seconds: an event of the same user, item and type so soon after another is the same.
        ids : ndarray of int64, shape (M,), optional
            Ids of the events, 0 for none; of events of one id only the first counts.
        """
        again = np.zeros(len(self), np.bool_)
        if within is not None:
            order = np.lexsort((self.timestamp, self.event, self.item, self.user))
            before, after = order[:-1], order[1:]
            same = self.timestamp[after] - self.timestamp[before] <= within
            for column in (self.user, self.item, self.event):
                same &= column[after] == column[before]
            same &= self.user[after] > 0  # anonymous users may be several
            again[after[same]] = True
        if ids is not None:
            known = np.flatnonzero(ids > 0)
            first = known[np.unique(ids[known], return_index=True)[1]]
            again[np.setdiff1d(known, first)] = True
        return again

    @cached_property
    def by_user(self) -> tuple[IntArray, IntArray]:
        """CSR view by user code: offsets (max code + 2,) and positions, each user's events in time order."""
        return _group(self.user)

    @cached_property
    def by_item(self) -> tuple[IntArray, IntArray]:
        """CSR view by item code, like :attr:`by_user`."""
        return _group(self.item)

    def matrix(self, n_users: int, n_items: int) -> csr_matrix:
        """Return summed weights as a scipy CSR matrix, (n_users + 1, n_items + 1) float32; 0 is unknown."""
        from scipy.sparse import coo_matrix

        shape = (n_users + 1, n_items + 1)
        return coo_matrix((self.weight, (self.user, self.item)), shape=shape, dtype=np.float32).tocsr()

    def replace(self, **changes: object) -> Interactions:
        """Return a copy with some columns replaced."""
        return replace(self, **changes)  # type: ignore[arg-type]  # columns are fields


def _group(codes: IntArray) -> tuple[IntArray, IntArray]:
    return counts_to_offsets(np.bincount(codes, minlength=1)), np.argsort(codes, kind="stable")
