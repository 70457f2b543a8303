"""Solver: the greedy choice on one window, around what stands in the lists already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from recokit._kernels.slate_arrays import CapArrays
from recokit._kernels.slate_greedy import Chooser, greedy
from recokit._kernels.slate_limits import Limits, broken, maximums
from recokit._utils.copies import frozen, with_fields
from recokit.data import Cap, Window
from recokit.protocols import DrawsAtRandom
from recokit.slates.objective import BoundObjective
from recokit.slates.window import SlateProblem, cap_arrays
from recokit.typing import BoolArray, FloatArray, IntArray

#: Candidates that are chosen from side by side: what an objective holds of them stays small.
BLOCK = 1 << 16


@frozen
class Lists:
    """The lists of B rows on a window.

    Parameters
    ----------
    picked : ndarray of int64, shape (B, K)
        Window positions; -1 where a place is open.
    repaired : ndarray of bool, shape (B,)
        Whether a repair chose the items.
    drawn : ndarray of float64, shape (B, K), optional
        Probability of each place, NaN where a draw alone does not explain it; None for an objective that does not draw.
    hurried : ndarray of bool, shape (B,)
        Whether the time ran out before a search for a longer list was over.
    """

    picked: IntArray
    repaired: BoolArray
    drawn: FloatArray | None
    hurried: BoolArray

    @property
    def length(self) -> IntArray:
        """Places taken, (B,)."""
        return np.asarray((self.picked >= 0).sum(axis=1))

    def take(self, rows: IntArray | slice) -> Lists:
        """Return the lists of some rows."""
        drawn = None if self.drawn is None else self.drawn[rows]
        return Lists(self.picked[rows], self.repaired[rows], drawn, self.hurried[rows])

    def replace(self, rows: IntArray, other: Lists) -> Lists:
        """Return the lists with those of some rows, none longer than K, put in their place."""
        picked, repaired, drawn = self.picked.copy(), self.repaired.copy(), self.drawn
        width = other.picked.shape[1]
        picked[rows, :width], picked[rows, width:] = other.picked, -1
        repaired[rows] = other.repaired
        hurried = self.hurried.copy()
        hurried[rows] |= other.hurried
        if drawn is not None and other.drawn is not None:
            drawn = drawn.copy()
            drawn[rows, :width] = other.drawn
        return Lists(picked, repaired, drawn, hurried)

    def without_draws(self, rows: IntArray | BoolArray) -> Lists:
        """Return the lists, of some rows without probabilities: a draw alone does not explain them."""
        if self.drawn is None:
            return self
        drawn = self.drawn.copy()
        drawn[rows] = np.nan
        return replace(self, drawn=drawn)


@frozen
class Solver:
    """A selection on its window."""

    problem: SlateProblem
    window: Window

    def rows(self, rows: IntArray | slice) -> Solver:
        """Return the solver of some rows."""
        problem = replace(self.problem, k=self.problem.k[rows], placed=self.problem.placed[rows])
        return Solver(problem, self.window.rows(rows))

    def arrays(self, caps: Sequence[Cap], length: IntArray) -> tuple[CapArrays, ...]:
        """Return caps on the window, shares counted for lists of the given lengths (B,)."""
        return cap_arrays(caps, self.window.index, length)

    def run(
        self,
        caps: Sequence[CapArrays],
        k: IntArray,
        start: Lists,
        *,
        valid: BoolArray | None = None,
        chooser: Chooser | None = None,
        early: int = 0,
    ) -> Lists:
        """Choose greedily around the lists to start with; by the objective, where no other chooser is given."""
        valid = self.window.valid if valid is None else valid
        if chooser is not None or self.problem.objective is None:
            picked = greedy(valid, k, caps, chooser, start=start.picked, early=early)
            return with_fields(start, picked=picked)
        n_rows = max(BLOCK // valid.shape[1], 1)
        drawn = None if start.drawn is None else start.drawn.copy()
        picked = np.empty_like(start.picked)
        for first in range(0, len(valid), n_rows):
            rows = slice(first, first + n_rows)
            whole = n_rows >= len(valid)
            picked[rows] = greedy(
                valid[rows],
                k[rows],
                caps if whole else [cap.rows(rows) for cap in caps],
                BoundObjective(
                    self.problem.objective,
                    self.window if whole else self.window.rows(rows),
                    None if drawn is None else drawn[rows],
                ),
                start=start.picked[rows],
                early=early,
            )
        return with_fields(start, picked=picked, drawn=drawn)

    def placed(self, length: IntArray) -> Lists:
        """Return the lists of what is placed already: the window has it in front."""
        picked = np.full((len(length), int(self.problem.k.max(initial=0))), -1)
        if not self.problem.free:
            place = np.arange(picked.shape[1])
            picked = np.where(place < np.minimum(self.problem.placed, length)[:, None], place, -1)
        kind: Any = type(self.problem.objective)
        drawn = np.full(picked.shape, np.nan) if _draws(kind) else None
        return Lists(picked, np.zeros(len(picked), np.bool_), drawn, np.zeros(len(picked), np.bool_))

    def standing(self, length: IntArray) -> Lists:
        """Return the lists before the first choice: what is placed, then pins that hard caps allow."""
        lists = self.placed(length)
        if not self.problem.pins:
            return lists
        hard = maximums(self.arrays([cap for cap in self.problem.caps if cap.hard], length))
        picked = lists.picked.copy()
        # A place that one item is pinned to comes before those that several may take.
        for shared, position in product((False, True), self._positions()):
            for wanted in _places(position, picked.shape[1]):
                member = position == wanted
                mine = (member.sum(axis=1) > 1) == shared
                rows = np.flatnonzero(mine & (wanted <= length) & (picked[:, wanted - 1] < 0))
                limits = Limits(hard, self.window.valid, self.problem.k, picked)
                free = (member & limits.open(wanted - 1)[0])[rows]
                kept = free.any(axis=1)
                picked[rows[kept], wanted - 1] = free.argmax(axis=1)[kept]
        drawn = None if lists.drawn is None else np.where(picked != lists.picked, 1.0, lists.drawn)
        return replace(lists, picked=picked, drawn=drawn)

    def broken(self, lists: Lists) -> dict[str, BoolArray]:
        """Return for each soft cap and each pin the rows whose list breaks it, where there are any."""
        picked, length = lists.picked, lists.length
        found: list[tuple[str, BoolArray]] = []
        soft = [cap for cap in self.problem.caps if not cap.hard]
        for cap, arrays in zip(soft, self.arrays(soft, length), strict=True):
            found.append((cap.name, broken(picked, self.window.valid, arrays) & (length > 0)))
        rows = np.arange(len(picked))
        for pin, position in zip(self.problem.pins, self._positions(), strict=False):
            unkept = np.zeros(len(picked), np.bool_)
            for wanted in _places(position, picked.shape[1]):
                kept = position[rows, picked[:, wanted - 1]] == wanted
                unkept |= (position == wanted).any(axis=1) & (wanted <= length) & ~kept
            found.append((pin.name, unkept))
        names: dict[str, BoolArray] = {}
        for name, mask in found:
            if mask.any():
                names[name] = names[name] | mask if name in names else mask
        return names

    def _positions(self) -> list[IntArray]:
        """Return the place that each pin gives each candidate of the window, 1-based, 0 for none."""
        if not len(self.window.candidates):
            return []
        return [np.where(self.window.valid, pin.position[self.window.index], 0) for pin in self.problem.pins]


@lru_cache(maxsize=64)
def _draws(objective: type) -> bool:
    """Tell whether an objective of a class draws its choices."""
    return issubclass(objective, DrawsAtRandom)


def _places(position: IntArray, n_places: int) -> list[int]:
    """Return the places of lists that some candidate is pinned to, 1-based, ascending."""
    found: list[int] = np.unique(position[(position > 0) & (position <= n_places)]).tolist()
    return found
