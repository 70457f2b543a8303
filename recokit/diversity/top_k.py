"""TopK: the best by score, under whatever limits there are."""

from __future__ import annotations

from typing import ClassVar

from recokit._kernels.slate_arrays import Gains, Kind
from recokit.compose.alone.lists import AloneObjective
from recokit.data import Window
from recokit.typing import BoolArray, Float32Array, IntArray


class TopK(AloneObjective):
    """Objective that takes the candidates in the order of their scores; what a pipeline without an objective does.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> batch = Candidates.from_lists([[7, 8, 9]], scores=[[0.1, 0.9, 0.5]])
    >>> batch.item[select(batch, np.array([2]), objective=TopK()).index].tolist()
    [8, 9]
    """

    kernel: ClassVar[Kind] = "relevance"

    def as_arrays(self, window: Window) -> Gains:
        """Return the relevance, for the compiled kernel."""
        return Gains(self.kernel, relevance=window.relevance)

    def start(self, window: Window) -> Float32Array:
        """Return the relevance, which is all there is to know."""
        return window.relevance

    def gain(self, state: Float32Array) -> Float32Array:
        """Return the relevance, (B, W)."""
        return state

    def update(self, state: Float32Array, chosen: IntArray, active: BoolArray) -> Float32Array:
        """Return the same state: a choice changes nothing."""
        return state
