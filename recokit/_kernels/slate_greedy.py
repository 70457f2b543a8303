"""Greedy slate selection under limits, for a batch of padded windows. Loops run over places, never candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from recokit._kernels.slate_arrays import CapArrays, Gains
from recokit._kernels.slate_compiled import chosen_lists
from recokit._kernels.slate_limits import Limits
from recokit._native.library import kernels
from recokit.typing import AnyArray, BoolArray, IntArray

_LOWEST = np.float32(-3e38)


class Chooser(Protocol):
    """Gains of the candidates of a window, by which each place is chosen."""

    def compiled(self) -> Gains | None:
        """Return the gains as arrays, from which whole lists are chosen; None where only ``gain`` can tell."""
        return None

    def gain(self) -> AnyArray: ...

    def update(self, chosen: IntArray, active: BoolArray, allowed: BoolArray) -> None: ...


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
    if not start.size or not valid.size:
        return np.full(start.shape, -1, np.int64)
    if kernels() is not None:
        gains = Gains("in_order") if chooser is None else chooser.compiled()
        if gains is not None:
            return chosen_lists(caps, valid, k, start, gains, early=early)
    return _place_by_place(Limits(caps, valid, k, start), k, chooser, start, early)


def _place_by_place(
    limits: Limits, k: IntArray, chooser: Chooser | None, start: IntArray, early: int
) -> IntArray:
    """Choose one place after the other; a row goes on until nothing is allowed, or it has k items."""
    picked, going, rows = np.full(start.shape, -1, np.int64), k > 0, np.arange(len(k))
    for place in range(min(start.shape[1], int(k.max()))):
        allowed, lost = limits.open(place, early)
        chosen = allowed.argmax(axis=1) if chooser is None else _best_allowed(allowed, chooser.gain())
        stands = start[:, place] >= 0
        chosen = np.where(stands, start[:, place], chosen)
        going = going & (place < k) & ~lost & (stands | allowed[rows, chosen])
        if not going.any():
            break
        picked[going, place] = chosen[going]
        if chooser is not None:
            chooser.update(chosen, going, allowed)
        limits.add(place, chosen, going)
    return picked


def _best_allowed(allowed: BoolArray, gain: AnyArray) -> IntArray:
    """Return the allowed candidate (B,) of each row with the largest gain (B, W); any where nothing is allowed.

    Gains that are no numbers lose against those that are, and win against what is not allowed.
    """
    return np.asarray(np.where(allowed, np.fmax(gain, _LOWEST), -np.inf).argmax(axis=1))
