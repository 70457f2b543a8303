"""Limits on a list as constraints state them, and the window that selection chooses a list from."""

from __future__ import annotations

import numpy as np

from recokit._kernels.segments import gather_segments
from recokit._utils.copies import frozen, with_fields
from recokit.data.candidates import Candidates
from recokit.typing import BoolArray, Float32Array, IntArray


@frozen
class Cap:
    """At most, or at least, so many items of one group.

    At most one of ``maximum`` and ``share`` is set; without either, ``minimum`` is.

    Parameters
    ----------
    name : str
        How traces and reports name the limit.
    group : ndarray of int64, shape (M,)
        Group codes of the candidates, or of all items by code. 0, unknown, is a group like any other: unknown
        items are limited together. A negative code is no group: such a candidate is not limited.
    offsets : ndarray of int64, shape (N + 1,), optional
        Where given, candidate ``i`` is in groups ``group[offsets[i]:offsets[i + 1]]``; else M = N, one group
        each.
    item : ndarray of int64, shape (N,), optional
        Where given, ``group`` and ``offsets`` are those of all items by code, and candidate ``i`` is in the groups of
        item ``item[i]``: only those of candidates that get into a window are looked up.
    maximum : int, optional
        Most items of a group in the list.
    share : float, optional
        Largest share of a group, as ``max(1, floor(share * delivered length))``.
    within : int, optional
        The limit holds in the first ``within`` places; None for the whole list.
    sliding : bool, default False
        The maximum holds in every run of ``within`` consecutive places.
    hard : bool, default False
        A hard limit is never broken: the list ends early, or is empty where it lacks a minimum. A soft one is
        relaxed, and recorded, to fill k.
    relax_order : int, default 0
        Soft limits with a lower number are relaxed first; equal numbers in order of declaration, last first.
    minimum : int, default 0
        Fewest items of every group that the row has a candidate of.
    """

    name: str
    group: IntArray
    offsets: IntArray | None = None
    maximum: int | None = None
    share: float | None = None
    within: int | None = None
    sliding: bool = False
    hard: bool = False
    relax_order: int = 0
    minimum: int = 0
    item: IntArray | None = None

    def __len__(self) -> int:
        """Return the number of candidates."""
        if self.item is not None:
            return len(self.item)
        return len(self.group) if self.offsets is None else len(self.offsets) - 1

    def of_items(self, item: IntArray) -> Cap:
        """Return a cap on all items by code as one on candidates, (N,) item codes."""
        return with_fields(self, item=item)

    def take(self, index: IntArray) -> Cap:
        """Return the cap on the candidates at some positions (M,), with their own groups."""
        index = index if self.item is None else self.item[index]
        if self.offsets is None:
            return with_fields(self, group=self.group[index], item=None)
        offsets, inside = gather_segments(self.offsets, index)
        return with_fields(self, group=self.group[inside], offsets=offsets, item=None)

    def layers(self, index: IntArray) -> tuple[IntArray, ...]:
        """Return the groups of the candidates at some positions: arrays of that shape, -1 where one has no more."""
        if not len(self.group) or not len(self):  # nobody has a group, or there is nobody
            return (np.full(index.shape, -1, np.int64),)
        index = index if self.item is None else self.item[index]
        if self.offsets is None:
            return (self.group[index],)
        start, counts = self.offsets[index], self.offsets[index + 1] - self.offsets[index]
        layers = []
        for layer in range(max(int(counts.max(initial=0)), 1)):
            inside = np.minimum(start + layer, len(self.group) - 1)
            layers.append(np.where(counts > layer, self.group[inside], -1))
        return tuple(layers)


@frozen
class Pin:
    """Fixed places for some candidates, unless a hard cap forbids them.

    Soft caps yield to a pin. A place beyond the end of the list is none. Where several candidates have the same
    place, the one with the best score that hard caps allow takes it, and the others are free: a slot.

    Parameters
    ----------
    name : str
        How traces and reports name the limit.
    position : ndarray of int64, shape (N,)
        1-based place of each candidate, 0 for none.
    """

    name: str
    position: IntArray

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.position)

    def take(self, index: IntArray) -> Pin:
        """Return the pin on the elements at some positions (M,)."""
        return with_fields(self, position=self.position[index])


@frozen
class Window:
    """Padded view of each row's best candidates, inside slate selection only.

    Parameters
    ----------
    candidates : Candidates
        The batch the window looks into.
    index : ndarray of int64, shape (B, W)
        Positions in ``candidates``, best score first; padding repeats position 0.
    valid : ndarray of bool, shape (B, W)
        False where padded.
    relevance : ndarray of float32, shape (B, W)
        The ranker's score scaled to 0..1 within each row (all equal scores give 1; not finite or padded gives
        0).
    """

    candidates: Candidates
    index: IntArray
    valid: BoolArray
    relevance: Float32Array

    def rows(self, rows: IntArray | slice) -> Window:
        """Return the window of some rows."""
        return Window(self.candidates, self.index[rows], self.valid[rows], self.relevance[rows])
