"""BoundObjective: an objective inside one greedy selection."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from recokit._kernels.slate_arrays import Gains
from recokit._kernels.slate_greedy import Chooser
from recokit.data import Window
from recokit.protocols import Objective
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray


class BoundObjective(Chooser):
    """An objective with its state. What has no finite score comes last, however different it is."""

    def __init__(self, objective: Objective, window: Window, drawn: FloatArray | None = None) -> None:
        self.objective, self.window, self.drawn, self.place = objective, window, drawn, 0
        scores = window.candidates.score[window.index] if window.candidates.item.size else window.relevance
        finite = np.isfinite(scores)
        self.finite = None if finite.all() else finite

    @cached_property
    def state(self) -> Any:
        """State of the objective, from the first choice on."""
        return self.objective.start(self.window)

    def compiled(self) -> Gains | None:
        """Return the objective's gains as arrays, where its class has a kernel for them."""
        objective: Any = self.objective
        kind: Any = type(objective)
        gains: Gains | None = objective.as_arrays(self.window) if _has_kernel(kind) else None
        return gains if gains is None or self.finite is None else replace(gains, finite=self.finite)

    def gain(self) -> AnyArray:
        """Return the gains (B, W), NaN where a candidate has no finite score."""
        gain = self.objective.gain(self.state)
        return gain if self.finite is None else np.where(self.finite, gain, np.nan)

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


@lru_cache(maxsize=64)
def _has_kernel(kind: type) -> bool:
    """Tell whether a class is :class:`recokit.protocols.Compiled`, and its methods those that the kernel is of."""
    depth = {name: depth for depth, base in reversed([*enumerate(kind.__mro__)]) for name in vars(base)}
    methods = min(depth[name] for name in ("start", "gain", "update"))
    return "as_arrays" in depth and depth.get("kernel", len(kind.__mro__)) <= methods
