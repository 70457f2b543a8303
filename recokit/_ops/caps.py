"""Caps on a list, as arrays over the padded windows of slate selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = ["CapArrays", "CountStack", "crowding", "same_group", "share_of"]

#: Guards the floor of a share against the last digit: 0.29 * 100 is 28.999999999999996.
_EPSILON = 1e-9
_UNLIMITED = np.iinfo(np.int32).max


def share_of(share: float, length: AnyArray) -> IntArray:
    """Return the most items that a share of a list allows: ``max(1, floor(share * length))``."""
    return np.maximum(np.floor(share * np.asarray(length) + _EPSILON).astype(np.int64), 1)


@dataclass(frozen=True, eq=False)
class CapArrays:
    """One cap over windows (B, W).

    Parameters
    ----------
    group : ndarray of int64, shape (M, B, W)
        Groups of each candidate; a candidate in fewer than M groups repeats none: the rest are values of its
        own.
    maximum, share, within, sliding, hard
        As in :class:`recokit.data.Cap`.
    """

    group: IntArray
    maximum: int | None = None
    share: float | None = None
    within: int | None = None
    sliding: bool = False
    hard: bool = False

    def take(self, rows: IntArray) -> CapArrays:
        """Return the cap over the given rows."""
        return replace(self, group=self.group[:, rows])

    def limit(self, length: IntArray) -> IntArray:
        """Return the most items of a group that a list of each length (B,) may have, (B,)."""
        if self.share is None:
            assert self.maximum is not None
            return np.full(len(length), self.maximum, np.int64)
        return share_of(self.share, length if self.within is None else np.minimum(length, self.within))


def same_group(group: IntArray, picks: IntArray) -> BoolArray:
    """Tell which candidates share a group with the items picked.

    Parameters
    ----------
    group : ndarray of int64, shape (M, B, W)
        Groups of each candidate.
    picks : ndarray of int64, shape (P, B)
        Window positions; negative for none, which shares no group with any.

    Returns
    -------
    ndarray of bool, shape (M, P, B, W)
        For each of the M groups of a candidate whether the pick is in that group.
    """
    picked = group[:, np.arange(group.shape[1]), picks]
    same: BoolArray = group[:, None] == picked[:, :, :, None]
    for shift in range(1, len(group)):
        same |= group[:, None] == np.roll(picked, shift, axis=0)[:, :, :, None]
    same &= (picks >= 0)[:, :, None]
    return same


def crowding(same: BoolArray, place: int, within: int) -> IntArray:
    """Count, in the fullest run of ``within`` places that covers one place, the others of the same group.

    Parameters
    ----------
    same : ndarray of bool, shape (M, K, B, W)
        Whether the item at each of K places shares a group with the candidate.
    place : int
        The place in question; what stands there does not count.
    within : int
        Length of the runs.

    Returns
    -------
    ndarray of int64, shape (M, B, W)
    """
    low, high = max(place - within + 1, 0), min(place + within, same.shape[1])
    sums = np.zeros((same.shape[0], high - low + 1, *same.shape[2:]), np.int64)
    np.cumsum(same[:, low:high], axis=1, out=sums[:, 1:])
    if low <= place < high:
        sums[:, place - low + 1 :] -= same[:, place, None]
    starts = np.arange(place - within + 1, place + 1)
    first = np.maximum(starts, low) - low
    last = np.minimum(starts + within, high) - low
    return np.asarray((sums[:, last] - sums[:, first]).max(axis=1))


@dataclass(frozen=True, eq=False)
class CountStack:
    """All caps that count from the first place on, stacked so that one step costs a few array operations.

    Parameters
    ----------
    caps : sequence of CapArrays
        All caps; the sliding ones are left out.
    """

    caps: Sequence[CapArrays]

    @cached_property
    def numbers(self) -> list[int]:
        """Which of the caps are in the stack."""
        return [c for c, cap in enumerate(self.caps) if not cap.sliding]

    @cached_property
    def owner(self) -> IntArray:
        """The cap of each of the A layers."""
        return np.repeat(
            np.array(self.numbers, np.int64), [len(self.caps[c].group) for c in self.numbers]
        ).astype(np.int64)

    @cached_property
    def group(self) -> IntArray:
        """Groups, (A, B, W): a cap has as many layers as a candidate has groups at most."""
        parts = [self.caps[c].group for c in self.numbers]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @cached_property
    def prefix(self) -> IntArray:
        """Places that each layer counts in, (A,)."""
        within = [self.caps[c].within for c in self.owner.tolist()]
        return np.array([_UNLIMITED if places is None else places for places in within], np.int64)

    @cached_property
    def hard(self) -> BoolArray:
        """Whether each layer's cap is hard, (A,)."""
        return np.array([self.caps[c].hard for c in self.owner.tolist()], np.bool_)

    @cached_property
    def _shifts(self) -> list[tuple[IntArray, IntArray]]:
        """Pairs of layers of one cap: where candidates are in several groups, each meets each."""
        pairs = []
        sizes = [len(self.caps[c].group) for c in self.numbers]
        starts = np.cumsum([0, *sizes])
        for shift in range(1, max(sizes)):
            mine = [int(s) + i for s, m in zip(starts, sizes, strict=False) if shift < m for i in range(m)]
            theirs = [
                int(s) + (i + shift) % m
                for s, m in zip(starts, sizes, strict=False)
                if shift < m
                for i in range(m)
            ]
            pairs.append((np.array(mine, np.int64), np.array(theirs, np.int64)))
        return pairs

    def maximum(self, limit: IntArray) -> AnyArray:
        """Return the caps' limits (C, B) by layer, (A, B, 1) int32."""
        return np.minimum(limit[self.owner], _UNLIMITED).astype(np.int32)[:, :, None]

    def expire(self, maximum: AnyArray, place: int) -> None:
        """Lift the limits that end before a place, in place."""
        maximum[self.prefix == place] = _UNLIMITED

    def same(self, flat: IntArray) -> BoolArray:
        """Tell which candidates share a group with the ones chosen, (A, B, W), by flat positions (B,)."""
        picked = self.group.reshape(len(self.group), -1)[:, flat]
        same: BoolArray = self.group == picked[:, :, None]
        for mine, theirs in self._shifts:
            same[mine] |= self.group[mine] == picked[theirs][:, :, None]
        return same
