"""Caps on padded windows: the one place that tells whether a cap holds, for lists that grow and finished ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from recokit._kernels.slate_arrays import CapArrays
from recokit._kernels.slate_compiled import allowed_at
from recokit._native.library import kernels
from recokit.typing import AnyArray, BoolArray, IntArray


def maximums(caps: Sequence[CapArrays]) -> list[CapArrays]:
    """Return the caps that have a maximum, without their minimums."""
    return [replace(cap, minimum=0) for cap in caps if cap.maximum is not None]


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
        Window positions that stand in the list already, at any place; -1 where it is open.

    Attributes
    ----------
    picked : ndarray of int64, shape (B, K)
        What stands at each place so far. All that is told follows from it.
    """

    def __init__(self, caps: Sequence[CapArrays], valid: BoolArray, k: IntArray, start: IntArray) -> None:
        self.caps, self.valid, self.k, self.picked = caps, valid, k, np.array(start, np.int64)

    def open(self, place: int, early: int = 0) -> tuple[BoolArray, BoolArray]:
        """Return what may stand at a place, (B, W), and the rows that can keep their minimums no more, (B,).

        In rows with no place to lose it is only what serves the minimums most. Minimums are served so many places
        before they have to be as ``early`` says.
        """
        if kernels() is not None:
            return allowed_at(self.caps, self.valid, self.k, self.picked, place, early=early)
        allowed = self.valid.copy()
        rows, places = np.nonzero(self.picked >= 0)
        allowed[rows, self.picked[rows, places]] = False
        for cap in self._counted:
            allowed &= ~cap.full(self.picked, place)
        return self._serving(allowed, place, early)

    def add(self, place: int, chosen: IntArray, active: BoolArray) -> None:
        """Note the candidates chosen at a place in the active rows."""
        self.picked[active, place] = chosen[active]

    @cached_property
    def _counted(self) -> list[_Counted]:
        return [_Counted(cap, self.valid) for cap in self.caps]

    def _serving(self, allowed: BoolArray, place: int, early: int) -> tuple[BoolArray, BoolArray]:
        lost = np.zeros(len(allowed), np.bool_)
        needed = [cap for cap in self._counted if cap.minimum]
        for within in sorted({cap.within for cap in needed}):
            due = [cap for cap in needed if cap.within <= within]
            end = np.minimum(within, self.k)[:, None]
            places = np.arange(self.picked.shape[1])
            left = ((places >= place) & (places < end) & (self.picked < 0)).sum(axis=1)
            lack = [cap.lack(self.picked, self.k) for cap in due]
            lacking = np.sum([each.sum(axis=1) for each in lack], axis=0)
            now = (lacking > 0) & (early >= left - lacking)
            serves = np.sum(
                [cap.at(each > 0).sum(axis=0) for cap, each in zip(due, lack, strict=True)], axis=0
            )
            largest = np.where(allowed, serves, 0).max(axis=1, initial=0)
            # At its last place a minimum has to be met; early, what serves nothing may come where nothing serves it.
            enough = np.where(left <= 1, np.maximum(largest, lacking), np.maximum(largest, 1))
            enough = np.where((lacking < left) & (largest == 0), 0, enough)
            allowed = np.where(now[:, None], allowed & (serves >= enough[:, None]), allowed)
            lost |= now & (left < 1)
        return allowed, lost


class _Counted:
    """A cap whose items are counted by group: its groups as codes 1 to G of the batch, 0 for none."""

    def __init__(self, cap: CapArrays, valid: BoolArray) -> None:
        # No list is so long: a larger minimum can be met no more, and sums of it would overflow.
        self.maximum, self.minimum, self.sliding = cap.maximum, min(cap.minimum, 1 << 31), cap.sliding
        self.within = np.inf if cap.within is None else cap.within
        groups = np.maximum(np.stack(cap.groups), -1)
        codes, code = np.unique(np.append(groups.ravel(), -1), return_inverse=True)
        self.code, self.n = code[:-1].reshape(groups.shape), len(codes)
        for layer in range(len(groups)):  # a group that an item is in twice counts once
            self.code[layer, (self.code[:layer] == self.code[layer]).any(axis=0)] = 0
        self.rows, width = np.arange(len(valid))[:, None], valid.shape[1]
        self.there = self.held(np.where(valid, np.arange(width), -1)) > 0

    def at(self, table: AnyArray) -> AnyArray:
        """Return the values of a table (B, G + 1) at every candidate's groups, (layers, B, W)."""
        return np.asarray(table[self.rows, self.code])

    def full(self, picked: IntArray, place: int) -> BoolArray:
        """Tell which candidates (B, W) the maximum keeps from a place beside what stands at others."""
        if self.maximum is None or (not self.sliding and place >= self.within):
            return np.zeros(self.code.shape[1:], np.bool_)
        there = np.arange(picked.shape[1])
        counts = (np.abs(there - place) if self.sliding else there) < self.within
        full = self.held(np.where(counts & (there != place), picked, -1)) >= self.maximum[:, None]
        full[:, 0] = False
        return np.asarray(self.at(full).any(axis=0))

    def lack(self, picked: IntArray, k: IntArray) -> IntArray:
        """Return how many items each group lacks of the minimum, (B, G + 1)."""
        counts = np.arange(picked.shape[1]) < np.minimum(self.within, k)[:, None]
        lack = np.where(self.there, self.minimum - self.held(np.where(counts, picked, -1)), 0)
        return np.maximum(lack, 0)

    def held(self, picked: IntArray) -> IntArray:
        """Return how many of the items at window positions (B, n), -1 for none, are in each group, (B, G + 1)."""
        held = np.zeros((len(picked), self.n), np.int64)
        for code in self.code:
            np.add.at(held, (self.rows, np.where(picked >= 0, code[self.rows, picked], 0)), 1)
        held[:, 0] = 0
        return held


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
    found, rows = np.zeros(n_rows, np.bool_), np.arange(n_rows)
    if cap.maximum is not None and not cap.sliding:
        counted = _Counted(cap, valid)
        held = counted.held(np.where(np.arange(n_places) < counted.within, picked, -1))
        found |= (held > cap.maximum[:, None]).any(axis=1)
    limits = Limits(maximums([cap]), valid, np.full(n_rows, n_places), np.full(picked.shape, -1))
    for place in range(n_places if cap.sliding and limits.caps else 0):
        chosen, listed = picked[:, place], picked[:, place] >= 0
        found |= listed & ~limits.open(place)[0][rows, chosen]
        limits.add(place, chosen, listed)
    if cap.minimum:
        needed = replace(cap, maximum=None)
        found |= Limits([needed], valid, np.full(n_rows, n_places), picked).open(n_places)[1]
    return found
