"""BoundObjective: an objective inside one greedy selection."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit._kernels.slate_greedy import Chooser, best_allowed
from recokit.data import Window
from recokit.protocols import Objective
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray


class BoundObjective(Chooser):
    """An objective with its state. What has no finite score comes last, however different it is."""

    def __init__(self, objective: Objective, window: Window, drawn: FloatArray | None = None) -> None:
        bounded: Any = objective
        # Bounds serve as gains where the objective can make exact what is chosen by them.
        self.settle = getattr(bounded, "settle", None)
        self.objective = objective
        self.state = objective.start(window) if self.settle is None else bounded.start_bounded(window)
        scores = window.candidates.score[window.index] if window.candidates.item.size else window.relevance
        finite = np.isfinite(scores)
        self.finite = None if finite.all() else finite
        self.drawn, self.place = drawn, 0

    def gain(self) -> AnyArray:
        """Return the gains (B, W), NaN where a candidate has no finite score."""
        gain = self.objective.gain(self.state)
        return gain if self.finite is None else np.where(self.finite, gain, np.nan)

    def best(self, allowed: BoolArray, first: IntArray) -> tuple[IntArray, BoolArray | None]:
        """Return the allowed candidate of each row with the largest exact gain."""
        chosen, active = best_allowed(allowed, self.gain(), first)
        while self.settle is not None and self.settle(self.state, chosen):
            chosen, active = best_allowed(allowed, self.gain(), first)
        return chosen, active

    def update(self, chosen: IntArray, active: BoolArray, allowed: BoolArray) -> None:
        """Tell the objective what was chosen, and note how probable that was."""
        if self.drawn is not None:
            self._note_propensity(self.drawn, chosen, active, allowed)
        self.place += 1
        self.state = self.objective.update(self.state, chosen, active)

    def _note_propensity(
        self, drawn: FloatArray, chosen: IntArray, active: BoolArray, allowed: BoolArray
    ) -> None:
        rows = np.arange(len(chosen))
        choice = active & allowed[rows, chosen]  # what stands there already was not drawn now
        options = allowed if self.finite is None else allowed & self.finite
        # Among items without a finite score the first is taken, and only where nothing else is allowed.
        forced = ~options[rows, chosen]
        objective: Any = self.objective
        probability = objective.propensity(self.state, chosen, options)
        drawn[choice, self.place] = np.where(forced, 1.0, probability)[choice]
