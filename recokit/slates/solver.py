"""Solver: the greedy choice on one window, and what follows where it ends early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from recokit._kernels.slate_greedy import Steering, greedy
from recokit._kernels.slate_limits import CapArrays, fits, violations
from recokit.data import Cap, Window
from recokit.slates.objective import Steered
from recokit.slates.window import Task, cap_arrays
from recokit.typing import BoolArray, FloatArray, IntArray

__all__ = ["Solver"]

#: Candidates that are chosen from side by side: what an objective reads at every place stays in the cache.
BLOCK = 16_000


@dataclass(frozen=True, eq=False)
class Solver:
    """One task on its window."""

    task: Task
    window: Window
    #: Probability of each place (B, max k), written as an objective draws it; None for one that does not.
    drawn: FloatArray | None = None

    @classmethod
    def of(cls, task: Task, window: Window) -> Solver:
        """Return the solver of a task, ready to note what its objective draws."""
        drawn = None
        if hasattr(task.objective, "propensity"):
            drawn = np.full((len(task.k), int(task.k.max(initial=0))), np.nan)
        return cls(task, window, drawn)

    def arrays(self, caps: Sequence[Cap], length: IntArray) -> tuple[CapArrays, ...]:
        """Return caps on the window, shares counted for lists of the given lengths (B,)."""
        return tuple(cap_arrays(cap, self.window.index, length) for cap in caps)

    def run(
        self,
        arrays: Sequence[CapArrays],
        k: IntArray,
        start: IntArray,
        *,
        valid: BoolArray | None = None,
        steering: Steering | None = None,
        early: int = 0,
    ) -> IntArray:
        """Choose greedily around what stands."""
        valid = self.window.valid if valid is None else valid
        if steering is None and self.task.objective is not None:
            n_rows = max(BLOCK // valid.shape[1], 1)
            if len(valid) > n_rows:
                blocks = [slice(first, first + n_rows) for first in range(0, len(valid), n_rows)]
                return np.concatenate([self._block(rows, arrays, k, start, valid, early) for rows in blocks])
            steering = Steered(self.task.objective, self.window, self.drawn)
        return greedy(valid, k, arrays, steering, start=start, early=early)

    def _block(
        self,
        rows: slice,
        arrays: Sequence[CapArrays],
        k: IntArray,
        start: IntArray,
        valid: BoolArray,
        early: int,
    ) -> IntArray:
        caps = [cap.rows(rows) for cap in arrays]
        return self.only(rows).run(caps, k[rows], start[rows], valid=valid[rows], early=early)

    def placed(self, length: IntArray) -> IntArray:
        """Return what the lists begin with, (B, max k): the window has it in front."""
        n_places = int(self.task.k.max(initial=0))
        if not np.count_nonzero(self.task.placed):
            return np.full((len(length), n_places), -1)
        place = np.arange(n_places)
        return np.asarray(np.where(place < np.minimum(self.task.placed, length)[:, None], place, -1))

    def standing(self, length: IntArray) -> IntArray:
        """Return what stands before the first choice, (B, max k): what is placed, then pins that hard caps allow."""
        start = self.placed(length)
        if not self.task.pins:
            return start
        hard = self.arrays([cap for cap in self.task.caps if cap.hard], length)
        rows = np.arange(len(start))
        # A place that one item is pinned to comes before those that several may take.
        for shared, position in product((False, True), self._positions()):
            for wanted in np.unique(position[(position > 0) & (position <= start.shape[1])]).tolist():
                member = position == wanted
                mine = (member.sum(axis=1) > 1) == shared
                free = member & (mine & (wanted <= length) & (start[:, wanted - 1] < 0))[:, None]
                standing, where = np.nonzero(start >= 0)
                free[standing, start[standing, where]] = False
                for cap in hard:
                    free &= fits(start, wanted - 1, cap)
                chosen = free.argmax(axis=1)
                taken = free[rows, chosen]
                start[taken, wanted - 1] = chosen[taken]
        if self.drawn is not None:
            self.drawn[(start >= 0) & (np.arange(start.shape[1]) >= self.task.placed[:, None])] = 1.0
        return start

    def _positions(self) -> list[IntArray]:
        if not len(self.window.candidates):
            return []
        return [np.where(self.window.valid, pin.position[self.window.index], 0) for pin in self.task.pins]

    def unkept(self, picked: IntArray) -> dict[str, BoolArray]:
        """Return for each soft cap and each pin the rows whose list breaks it, where there are any."""
        length = (picked >= 0).sum(axis=1)
        found: list[tuple[str, BoolArray]] = []
        soft = [cap for cap in self.task.caps if not cap.hard]
        for cap, arrays in zip(soft, self.arrays(soft, length), strict=True):
            found.append((cap.name, violations(picked, self.window.valid, arrays) & (length > 0)))
        rows = np.arange(len(picked))
        for pin, position in zip(self.task.pins, self._positions(), strict=False):
            broken = np.zeros(len(picked), np.bool_)
            for wanted in np.unique(position[(position > 0) & (position <= picked.shape[1])]).tolist():
                kept = position[rows, picked[:, wanted - 1]] == wanted
                broken |= (position == wanted).any(axis=1) & (wanted <= length) & ~kept
            found.append((pin.name, broken))
        names: dict[str, BoolArray] = {}
        for name, broken in found:
            if broken.any():
                names[name] = names[name] | broken if name in names else broken
        return names

    def only(self, rows: IntArray | slice) -> Solver:
        """Return the solver of some rows."""
        window = self.window
        part = Window(window.candidates, window.index[rows], window.valid[rows], window.relevance[rows])
        task = replace(self.task, k=self.task.k[rows], placed=self.task.placed[rows])
        drawn = None if self.drawn is None else self.drawn[rows, : int(task.k.max(initial=0))]
        return Solver(task, part, drawn)

    def note(self, rows: IntArray, drawn: FloatArray | float | None) -> None:
        """Take over what was drawn for some rows; NaN for lists that a draw alone does not explain."""
        if self.drawn is not None and drawn is not None:
            self.drawn[rows, : np.shape(drawn)[-1] if np.ndim(drawn) else None] = drawn
