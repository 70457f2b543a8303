"""Limits on a list as constraints state them, and the window that selection chooses a list from."""

from __future__ import annotations

from dataclasses import dataclass

from recokit._kernels.segments import gather_segments
from recokit._utils.copies import with_fields
from recokit.data.candidates import Candidates
from recokit.typing import BoolArray, Float32Array, IntArray


@dataclass(frozen=True, eq=False)
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

    def take(self, index: IntArray) -> Cap:
        """Return the cap on the elements at some positions (M,): of items its groups by code, of candidates a part."""
        if self.offsets is None:
            return with_fields(self, group=self.group[index])
        offsets, inside = gather_segments(self.offsets, index)
        return with_fields(self, group=self.group[inside], offsets=offsets)


@dataclass(frozen=True, eq=False)
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

    def take(self, index: IntArray) -> Pin:
        """Return the pin on the elements at some positions (M,)."""
        return with_fields(self, position=self.position[index])


@dataclass(frozen=True, eq=False)
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
