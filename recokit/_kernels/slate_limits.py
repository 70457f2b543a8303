"""Caps on padded windows: the one place that tells whether a cap holds, for lists that grow and finished ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recokit.typing import BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class CapArrays:
    """One cap on windows of W candidates.

    Parameters
    ----------
    groups : tuple of ndarray of int64, each (B, W)
        Group codes; a candidate in several groups has one in each array. Negative is no group.
    maximum : ndarray of int64, shape (B,), optional
        Most items of a group.
    minimum : int, default 0
        Fewest items of every group that the row has a candidate of.
    within : int, optional
        The cap holds in the first ``within`` places, or with ``sliding`` in every run of so many places.
    sliding : bool
    """

    groups: tuple[IntArray, ...]
    maximum: IntArray | None = None
    minimum: int = 0
    within: int | None = None
    sliding: bool = False

    def rows(self, rows: IntArray | slice) -> CapArrays:
        """Return the cap for some rows."""
        maximum = None if self.maximum is None else self.maximum[rows]
        return replace(self, groups=tuple(group[rows] for group in self.groups), maximum=maximum)


class Limits:
    """What caps leave open at each place while the lists of a batch grow.

    Parameters
    ----------
    caps : sequence of CapArrays
    valid : ndarray of bool, shape (B, W)
        False where a window is padded.
    k : ndarray of int64, shape (B,)
        Places of each row: minimums are due by its last one.
    start : ndarray of int64, shape (B, K)
        Window positions that stand in the list already, at any place; -1 where it is open. They count from the first
        place on.
    place : int, default 0
        Where to begin.
    """

    def __init__(
        self, caps: Sequence[CapArrays], valid: BoolArray, k: IntArray, start: IntArray, place: int = 0
    ) -> None:
        counted = [cap for cap in caps if cap.maximum is not None and not cap.sliding]
        sliding = [cap for cap in caps if cap.maximum is not None and cap.sliding]
        needed = [cap for cap in caps if cap.minimum]
        standing = start >= 0
        self.available = valid.copy()
        self._flat, self._first = self.available.reshape(-1), np.arange(len(valid)) * valid.shape[1]
        self._prefix = PrefixCaps(counted, self.available, start.shape[1]) if counted else None
        self._sliding = SlidingCaps(sliding, start, place) if sliding else None
        self._quotas = Quotas(needed, valid, k, standing) if needed else None
        for at in np.flatnonzero(standing.any(axis=0)).tolist():
            rows = np.flatnonzero(standing[:, at])
            self.available[rows, start[rows, at]] = False
            for caps_before in (self._prefix, self._quotas):
                if caps_before is not None:
                    caps_before.add(at, start[:, at], standing[:, at])

    def allowed(self, place: int) -> BoolArray:
        """Return what is available and keeps every maximum at a place, (B, W)."""
        allowed = self.available if self._prefix is None else self._prefix.open(place)
        return allowed if self._sliding is None else allowed & self._sliding.open()

    def open(self, place: int, early: int = 0) -> tuple[BoolArray, BoolArray | None]:
        """Return what may stand at a place, and the rows that can keep their minimums no more, None for no row.

        Minimums are served so many places before they have to be as ``early`` says.
        """
        allowed = self.allowed(place)
        return (allowed, None) if self._quotas is None else self._quotas.urgent(allowed, place, early)

    def add(self, place: int, chosen: IntArray, active: BoolArray | None) -> None:
        """Count the candidates chosen at a place in the active rows, None for all, and move on to the next place."""
        self._flat[self._first + chosen] = False
        for caps in (self._prefix, self._sliding, self._quotas):
            if caps is not None:
                caps.add(place, chosen, active)


def broken(picked: IntArray, valid: BoolArray, cap: CapArrays) -> BoolArray:
    """Tell for each row whether its list breaks a cap.

    Parameters
    ----------
    picked : ndarray of int64, shape (B, K)
        Window positions, -1 after a row's end.
    valid : ndarray of bool, shape (B, W)
        False where a window is padded.
    cap : CapArrays

    Returns
    -------
    ndarray of bool, shape (B,)
    """
    n_rows, n_places = picked.shape
    found = np.zeros(n_rows, np.bool_)
    if cap.maximum is not None:
        layers = _Layers([cap], n_places)
        codes = layers.listed(picked)
        place = np.arange(n_places)
        back = place[:, None] - place
        near = (back >= 0) & ((back if cap.sliding else place[:, None]) < layers.ends[0])
        count = (layers.same(codes[..., None], codes[..., None, :]) & near).sum(axis=3)
        found |= ((count > layers.maximum[:, :, None]) & (codes >= 0)).any(axis=(0, 2))
    if cap.minimum:
        quotas = Quotas([cap], valid, np.full(n_rows, n_places), np.zeros(picked.shape, np.bool_))
        for at in range(n_places):
            quotas.add(at, picked[:, at], picked[:, at] >= 0)
        found |= quotas.lacking
    return found


#: Group of a candidate in none, and a maximum that is never reached.
_NO_GROUP, _UNLIMITED = -2, np.iinfo(np.int32).max


class _Layers:
    """Groups of several caps, stacked: a step costs the same few operations for all of them."""

    def __init__(self, caps: Sequence[CapArrays], n_places: int) -> None:
        layers = [(cap, group) for cap in caps for group in cap.groups]
        self.groups = np.stack([group for _, group in layers])
        self.groups[self.groups < 0] = _NO_GROUP
        self.maximum = np.stack([cap.maximum for cap, _ in layers if cap.maximum is not None])
        self.ends = np.array([n_places if cap.within is None else cap.within for cap, _ in layers])
        self.rows = np.arange(self.groups.shape[1])
        #: Codes of what is chosen, by place; -1 before a choice.
        self.codes = np.full((*self.groups.shape[:2], n_places), -1, np.int64)
        # A candidate in several groups: each of its layers meets each layer of what is chosen.
        self.layers = [[i for i, (other, _) in enumerate(layers) if other is cap] for cap, _ in layers]
        self.crossed = [(i, j) for i, mine in enumerate(self.layers) for j in mine if i != j]

    def chosen(self, chosen: IntArray, active: BoolArray | None) -> IntArray:
        """Return the codes of what is chosen, (layers, B); -1 in rows that are not active."""
        codes = self.groups[:, self.rows, chosen]
        return codes if active is None else np.where(active, codes, -1)

    def listed(self, picked: IntArray) -> IntArray:
        """Return the codes of whole lists (B, K), (layers, B, K); -1 after a row's end."""
        return np.where(picked >= 0, self.groups[:, self.rows[:, None], picked], -1)

    def same(self, mine: IntArray, theirs: IntArray) -> BoolArray:
        """Tell where codes (layers, B, ...) are of one group, across the layers of a cap."""
        same = np.asarray(mine == theirs)
        for one, other in self.crossed:
            same[one] |= mine[one] == theirs[other]
        return same


class PrefixCaps(_Layers):
    """The maximums that count from the first place on.

    Candidates are closed when a group of theirs becomes full, not looked at in every step.
    """

    def __init__(self, caps: Sequence[CapArrays], available: BoolArray, n_places: int) -> None:
        super().__init__(caps, n_places)
        self.available, self.first_end = available, int(self.ends.min())
        self.closed: dict[int, BoolArray] = {}
        self.kept: BoolArray | None = None
        for layer in np.flatnonzero((self.maximum <= 0).any(axis=1)).tolist():
            none = (self.groups[layer] >= 0) & (self.maximum[layer] <= 0)[:, None]
            self._close(layer, none)

    def open(self, place: int) -> BoolArray:
        """Return what is available and in no full group."""
        if self.closed and min(self.closed) <= place:
            self.closed = {end: closed for end, closed in self.closed.items() if end > place}
            self.kept = None
        if self.kept is None:
            self.kept = np.ones_like(self.available)
            for closed in self.closed.values():
                self.kept &= ~closed
        return self.available & self.kept

    def add(self, place: int, chosen: IntArray, active: BoolArray | None) -> None:
        """Count what is chosen, and close the groups that are full."""
        codes = self.chosen(chosen, active)
        if place >= self.first_end:
            codes[self.ends <= place] = -1
        same = self.same(codes[:, :, None], self.codes)
        np.copyto(self.codes[:, :, place], codes, where=codes != -1)  # what stood there stays counted
        full = (same.sum(axis=2) + 1 >= self.maximum) & (codes >= 0)
        if full.any():
            for layer in np.flatnonzero(full.any(axis=1)).tolist():
                code = np.where(full[layer], codes[layer], -1)[:, None]
                for other in self.layers[layer]:
                    self._close(layer, self.groups[other] == code)

    def _close(self, layer: int, candidates: BoolArray) -> None:
        end = int(self.ends[layer])
        self.closed[end] = self.closed[end] | candidates if end in self.closed else candidates
        if self.kept is not None:
            self.kept &= ~candidates


class SlidingCaps(_Layers):
    """The maximums in every run of so many places."""

    def __init__(self, caps: Sequence[CapArrays], start: IntArray, place: int) -> None:
        super().__init__(caps, start.shape[1])
        self.reach = self.ends - 1
        self.layer = np.arange(len(self.ends))
        self.limit = np.where(self.groups >= 0, self.maximum[:, :, None], _UNLIMITED)
        self.count = np.zeros(self.groups.shape, np.int32)
        self.stands: BoolArray = np.asarray((start >= 0).any(axis=0))
        for other in np.flatnonzero(self.stands).tolist():
            # What stands counts from the moment on that it comes into reach.
            self.codes[:, :, other] = self.chosen(start[:, other], start[:, other] >= 0)
            near = (abs(other - place) <= self.reach)[:, None]
            self._count(np.where(near, self.codes[:, :, other], -1), 1)

    def open(self) -> BoolArray:
        """Return what the places before and what stands in those after allow at this one, (B, W)."""
        return np.asarray((self.count < self.limit).all(axis=0))

    def add(self, place: int, chosen: IntArray, active: BoolArray | None) -> None:
        """Count the candidates chosen and move on by one place: some come into reach, some leave it."""
        codes = self.chosen(chosen, active)
        np.copyto(self.codes[:, :, place], codes, where=codes != -1)
        self._count(codes, 1)
        leaving = place - self.reach
        self._count(
            np.where((leaving >= 0)[:, None], self.codes[self.layer, :, np.maximum(leaving, 0)], -1), -1
        )
        if self.stands[place + 1 :].any():
            coming = place + 1 + self.reach
            there = coming < len(self.stands)
            coming = np.where(there, coming, 0)
            stands = there & self.stands[coming] & (coming > place)
            self._count(np.where(stands[:, None], self.codes[self.layer, :, coming], -1), 1)

    def _count(self, codes: IntArray, step: int) -> None:
        same = self.same(self.groups, codes[:, :, None])
        if step > 0:
            self.count += same
        else:
            self.count -= same


class Quotas:
    """The minimums: what each group still lacks, and which rows have no place to lose."""

    def __init__(self, caps: Sequence[CapArrays], valid: BoolArray, k: IntArray, standing: BoolArray) -> None:
        self.caps, self.rows = caps, np.arange(len(valid))
        self.ends = [k if cap.within is None else np.minimum(cap.within, k) for cap in caps]
        self.lack = [
            np.stack([np.where((group >= 0) & valid, cap.minimum, 0) for group in cap.groups]) for cap in caps
        ]
        self.total = [cap.minimum * _n_groups(cap, valid) for cap in caps]
        #: Places before each one at which nothing stands yet.
        self.before = np.zeros((len(valid), standing.shape[1] + 1), np.int64)
        np.cumsum(~standing, axis=1, out=self.before[:, 1:])
        #: For the end of each cap, ascending: the caps due by then, and the row's places up to there.
        spans = [np.inf if cap.within is None else cap.within for cap in caps]
        self.due = [
            ([i for i, span in enumerate(spans) if span <= end], self.ends[spans.index(end)])
            for end in sorted(set(spans))
        ]

    @property
    def lacking(self) -> BoolArray:
        """The rows whose lists lack a minimum, (B,)."""
        return np.asarray(np.sum(self.total, axis=0) > 0)

    def urgent(self, allowed: BoolArray, place: int, early: int) -> tuple[BoolArray, BoolArray]:
        """Return what may stand at a place, and the rows that can keep their minimums no more.

        In rows with no place to lose it is only what serves the minimums most.
        """
        lost = np.zeros(len(self.rows), np.bool_)
        for due, end in self.due:
            lacking = np.sum([self.total[i] for i in due], axis=0)
            left = self.before[self.rows, end] - self.before[:, place]
            now = (lacking > 0) & (lacking >= left - early)
            if not now.any():
                continue
            lost |= now & (left < 1)
            serves = np.sum([(self.lack[i] > 0).sum(axis=0) for i in due], axis=0)
            largest = np.where(allowed, serves, 0).max(axis=1, initial=0)
            # At its last place a minimum has to be met; early, what serves nothing may come where nothing serves it.
            enough = np.where(left <= 1, np.maximum(largest, lacking), np.maximum(largest, 1))
            enough = np.where((lacking < left) & (largest == 0), 0, enough)
            allowed = np.where(now[:, None], allowed & (serves >= enough[:, None]), allowed)
        return allowed, lost

    def add(self, place: int, chosen: IntArray, active: BoolArray | None) -> None:
        """Count the candidates chosen for the groups that they serve."""
        active = np.ones(len(self.rows), np.bool_) if active is None else active
        for cap, end, lack, total in zip(self.caps, self.ends, self.lack, self.total, strict=True):
            served = lack[:, self.rows, chosen]
            mine = [group[self.rows, chosen] for group in cap.groups]
            for layer, codes in enumerate(mine):
                serves = active & (served[layer] > 0) & (place < end)
                for before in mine[:layer]:
                    serves &= before != codes  # a group that an item is in twice counts once
                if serves.any():
                    total -= serves
                    code = np.where(serves, codes, -2)[:, None]
                    for other, groups in enumerate(cap.groups):
                        lack[other] -= groups == code


def _n_groups(cap: CapArrays, valid: BoolArray) -> IntArray:
    """Return the number of groups that each row has a candidate of."""
    codes = np.sort(np.concatenate([np.where(valid, group, -1) for group in cap.groups], axis=1), axis=1)
    new = codes >= 0
    new[:, 1:] &= codes[:, 1:] != codes[:, :-1]
    return np.asarray(new.sum(axis=1))
