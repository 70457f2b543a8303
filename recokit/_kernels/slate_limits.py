"""Limits on padded windows: what is full, too recent or lacking while lists grow, and what finished lists break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recokit.typing import BoolArray, IntArray

__all__ = ["CapArrays", "FullGroups", "LackingGroups", "RecentGroups", "fits", "violations"]


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


class FullGroups(_Layers):
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

    @classmethod
    def of(cls, caps: Sequence[CapArrays], available: BoolArray, n_places: int) -> FullGroups | None:
        """Return the state for the caps with a maximum that do not slide, None without any."""
        counted = [cap for cap in caps if cap.maximum is not None and not cap.sliding]
        return cls(counted, available, n_places) if counted else None

    def open(self, place: int) -> BoolArray:
        """Return what is available and in no full group."""
        if place in self.closed:
            del self.closed[place]
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
        same = self.codes == codes[:, :, None]
        for mine, theirs in self.crossed:
            same[mine] |= self.codes[theirs] == codes[mine][:, None]
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


class RecentGroups(_Layers):
    """The maximums in every run of so many places."""

    def __init__(self, caps: Sequence[CapArrays], start: IntArray) -> None:
        super().__init__(caps, start.shape[1])
        self.reach = self.ends - 1
        self.layer = np.arange(len(self.ends))
        self.most = np.where(self.groups >= 0, self.maximum[:, :, None], _UNLIMITED)
        self.count = np.zeros(self.groups.shape, np.int32)
        self.stands: BoolArray = np.asarray((start >= 0).any(axis=0))
        for place in np.flatnonzero(self.stands).tolist():
            # What stands counts from the moment on that it comes into reach.
            self.codes[:, :, place] = self.chosen(start[:, place], start[:, place] >= 0)
            self._count(np.where((place <= self.reach)[:, None], self.codes[:, :, place], -1), 1)

    @classmethod
    def of(cls, caps: Sequence[CapArrays], start: IntArray) -> RecentGroups | None:
        """Return the state for the caps that slide, None without any."""
        sliding = [cap for cap in caps if cap.maximum is not None and cap.sliding]
        return cls(sliding, start) if sliding else None

    def open(self) -> BoolArray:
        """Return what the places before and what stands in those after allow at this one, (B, W)."""
        return np.asarray((self.count < self.most).all(axis=0))

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
        same = self.groups == codes[:, :, None]
        for mine, theirs in self.crossed:
            same[mine] |= self.groups[mine] == codes[theirs][:, None]
        if step > 0:
            self.count += same
        else:
            self.count -= same


class LackingGroups:
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

    @classmethod
    def of(
        cls, caps: Sequence[CapArrays], valid: BoolArray, k: IntArray, standing: BoolArray
    ) -> LackingGroups | None:
        """Return the state for the caps with a minimum, None without any."""
        needed = [cap for cap in caps if cap.minimum]
        return cls(needed, valid, k, standing) if needed else None

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
            most = np.where(allowed, serves, 0).max(axis=1, initial=0)
            # At its last place a minimum has to be met; early, what serves nothing may come where nothing serves it.
            enough = np.where(left <= 1, np.maximum(most, lacking), np.maximum(most, 1))
            enough = np.where((lacking < left) & (most == 0), 0, enough)
            allowed = np.where(now[:, None], allowed & (serves >= enough[:, None]), allowed)
        return allowed, lost

    def add(self, place: int, chosen: IntArray, active: BoolArray | None) -> None:
        """Count the candidates chosen for the groups that they serve."""
        active = np.ones(len(self.rows), np.bool_) if active is None else active
        for cap, end, lack, total in zip(self.caps, self.ends, self.lack, self.total, strict=True):
            served = lack[:, self.rows, chosen]
            for layer, group in enumerate(cap.groups):
                serves = active & (served[layer] > 0) & (place < end)
                if serves.any():
                    total -= serves
                    code = np.where(serves, group[self.rows, chosen], -2)[:, None]
                    for other, codes in enumerate(cap.groups):
                        lack[other] -= codes == code


def _n_groups(cap: CapArrays, valid: BoolArray) -> IntArray:
    """Return the number of groups that each row has a candidate of."""
    codes = np.sort(np.concatenate([np.where(valid, group, -1) for group in cap.groups], axis=1), axis=1)
    new = codes >= 0
    new[:, 1:] &= codes[:, 1:] != codes[:, :-1]
    return np.asarray(new.sum(axis=1))


def violations(picked: IntArray, valid: BoolArray, cap: CapArrays) -> BoolArray:
    """Tell for each row whether its list breaks a cap: an independent check, by counting.

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
    rows, span = np.arange(len(picked))[:, None], cap.within or picked.shape[1]
    if cap.sliding:
        codes = np.stack([np.where(picked >= 0, group[rows, picked], -1) for group in cap.groups])
    else:
        first = picked[:, :span]
        codes = np.stack([np.where(first >= 0, group[rows, first], -1) for group in cap.groups])
    place = np.arange(codes.shape[2])
    # A run that holds too many of a group can be moved to begin with one of them.
    ahead = place - place[:, None]
    reach = (ahead >= 0) & (ahead < span) if cap.sliding else np.ones_like(ahead, np.bool_)
    broken, served = np.zeros(len(picked), np.bool_), np.zeros(len(picked), np.int64)
    for layer, code in enumerate(codes):
        same = (code[:, :, None] == codes[:, :, None, :]).any(axis=0)
        count = (same & reach).sum(axis=2)
        if cap.maximum is not None:
            broken |= ((code >= 0) & (count > cap.maximum[:, None])).any(axis=1)
        if cap.minimum:
            # Each group is judged where it stands first.
            before = (same & (ahead < 0)).any(axis=2) | (codes[:layer] == code).any(axis=0)
            served += ((code >= 0) & ~before & (count >= cap.minimum)).sum(axis=1)
    return broken | (served < _n_groups(cap, valid)) if cap.minimum else broken


def fits(standing: IntArray, place: int, cap: CapArrays) -> BoolArray:
    """Tell which candidates a maximum allows at a place beside what stands already, (B, W).

    Parameters
    ----------
    standing : ndarray of int64, shape (B, K)
        Window positions, -1 where a place is open.
    place : int
        0-based.
    cap : CapArrays
    """
    allowed = np.ones(cap.groups[0].shape, np.bool_)
    if cap.maximum is None or (cap.within is not None and not cap.sliding and place >= cap.within):
        return allowed
    rows = np.arange(len(standing))
    counts = [np.zeros(group.shape, np.int32) for group in cap.groups]
    for other in np.flatnonzero((standing >= 0).any(axis=0)).tolist():
        if cap.within is not None and (abs(other - place) if cap.sliding else other) >= cap.within:
            continue
        there = standing[:, other]
        codes = [np.where(there >= 0, group[rows, there], -1) for group in cap.groups]
        for group, count in zip(cap.groups, counts, strict=True):
            same = [(group == code[:, None]) & (code >= 0)[:, None] for code in codes]
            count += np.any(same, axis=0)
    for group, count in zip(cap.groups, counts, strict=True):
        allowed &= (count < cap.maximum[:, None]) | (group < 0)
    return allowed
