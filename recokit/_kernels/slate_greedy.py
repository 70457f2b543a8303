"""Greedy slate selection under limits, for a batch of padded windows. Loops run over places, never candidates."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Protocol

import numpy as np

from recokit._kernels.slate_limits import CapArrays, Limits
from recokit._kernels.slate_order import MAX_PLACES, choose_in_order
from recokit.typing import AnyArray, BoolArray, IntArray

_LOWEST = np.float32(-3e38)


class Chooser(Protocol):
    """Gains of the candidates of a window, by which each place is chosen."""

    def gain(self) -> AnyArray: ...

    def update(self, chosen: IntArray, active: BoolArray, allowed: BoolArray) -> None: ...

    def best(self, allowed: BoolArray, first: IntArray) -> tuple[IntArray, BoolArray | None]:
        """Return the allowed candidate of each row with the largest gain, and whether there is one, None for all."""
        return best_allowed(allowed, self.gain(), first)


def greedy(
    valid: BoolArray,
    k: IntArray,
    caps: Sequence[CapArrays],
    chooser: Chooser | None,
    *,
    start: IntArray,
    early: int = 0,
) -> IntArray:
    """Choose up to k candidates of each row, one place after the other.

    Parameters
    ----------
    valid : ndarray of bool, shape (B, W)
        False where a window is padded.
    k : ndarray of int64, shape (B,)
        Places of each row.
    caps : sequence of CapArrays
        Kept at every place, except by what stands there already. A row ends where nothing is allowed, and where a
        minimum can no longer be met.
    chooser : Chooser, optional
        None takes the candidates in the order of the window.
    start : ndarray of int64, shape (B, K)
        Window positions that stand in the list already, at any place; -1 where it is open.
    early : int, default 0
        Minimums are served so many places before they have to be.

    Returns
    -------
    ndarray of int64, shape (B, K)
        Window positions in list order; -1 after a row's end.
    """
    n_places = start.shape[1]
    if not start.size or not valid.size:
        return np.full(start.shape, -1, np.int64)
    if chooser is None and not (start >= 0).any():
        if not caps:
            # Nothing to decide: the window is in order, its padding last.
            ends = np.minimum(k, valid.sum(axis=1))[:, None]
            return np.asarray(np.where(np.arange(n_places) < ends, np.arange(n_places), -1))
        if n_places <= MAX_PLACES and not any(cap.minimum for cap in caps):
            return choose_in_order(valid, k, caps, n_places)
    return _one_by_one(Limits(caps, valid, k, start), k, chooser, start, early)


def _one_by_one(
    limits: Limits, k: IntArray, chooser: Chooser | None, start: IntArray, early: int
) -> IntArray:
    """Choose one place after the other; a row goes on until nothing is allowed, or it has k items."""
    n_rows, width = limits.available.shape
    picked, first = np.full(start.shape, -1, np.int64), np.arange(n_rows) * width
    standing = start >= 0
    stands = [bool(stands) for stands in np.any(standing, axis=0)]
    going, shortest = k > 0, int(k.min())
    everyone = bool(going.all())
    for place in range(min(start.shape[1], int(k.max()))):
        allowed, lost = limits.open(place, early)
        active: BoolArray | None
        if chooser is not None:
            chosen, active = chooser.best(allowed, first)
        else:
            chosen = allowed.argmax(axis=1)
            active = allowed.reshape(-1)[first + chosen]
        if stands[place]:
            here = standing[:, place]
            chosen = np.where(here, start[:, place], chosen)
            active = None if active is None else active | here
        if active is not None or lost is not None or place >= shortest:
            going = going & (place < k)
            going &= True if active is None else active
            going &= True if lost is None else ~lost
            everyone = bool(going.all())
            if not everyone and not going.any():
                break
        picked[:, place] = chosen if everyone else np.where(going, chosen, -1)
        if chooser is not None:
            chooser.update(chosen, going, allowed)
        limits.add(place, chosen, going & ~here if stands[place] else None if everyone else going)
    return picked


def best_allowed(allowed: BoolArray, gain: AnyArray, first: IntArray) -> tuple[IntArray, BoolArray | None]:
    """Return the allowed candidate of each row with the largest gain, and whether there is one, None for all.

    Parameters
    ----------
    allowed : ndarray of bool, shape (B, W)
    gain : ndarray of float, shape (B, W)
    first : ndarray of int64, shape (B,)
        Where each row begins in the arrays laid flat.
    """
    if len(gain) == 1 and allowed[0, one := gain.argmax()] and isfinite(gain[0, one]):
        return np.array([one]), None  # numbers in place of arrays: .93 in place of 1.10 ms for 50 places
    chosen = gain.argmax(axis=1)
    at = first + chosen
    # What is best of all needs no mask, where it is allowed and a number.
    active = allowed.reshape(-1).take(at)
    active &= np.isfinite(gain.reshape(-1).take(at))
    if np.count_nonzero(active) == len(active):
        return chosen, None
    rows = np.flatnonzero(~active)
    # Gains that are no numbers lose against those that are, and win against what is not allowed.
    masked = np.where(allowed[rows], np.fmax(gain[rows], _LOWEST), -np.inf)
    chosen[rows] = masked.argmax(axis=1)
    active[rows] = masked[np.arange(len(rows)), chosen[rows]] > -np.inf
    return chosen, active
