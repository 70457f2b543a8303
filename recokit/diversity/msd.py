"""MSD: max-sum dispersion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit.data import Window
from recokit.diversity._compared import Compared, weighted
from recokit.diversity._content import Content
from recokit.typing import BoolArray, Float32Array, IntArray

__all__ = ["MSD"]


@dataclass(frozen=True, eq=False)
class _State:
    """Weighted relevance and gain so far, (B, W): the gain is written into, each run has its own."""

    content: Content
    relevance: Float32Array
    gain: Float32Array


class MSD(Compared):
    """Objective of max-sum dispersion (Gollapudi and Sharma, 2009; Borodin, Lee and Ye, 2012).

    A list is worth ``t * sum of relevance + (1 - t) * sum of the distances of all pairs``; the next item is the one
    that adds most to it. A distance is 1 less the likeness.

    Parameters
    ----------
    trade_off : float, default 0.7
        ``t``: 1 is relevance alone, 0 difference alone. Distances add up over pairs: in long lists they outweigh
        relevance, and ``t`` has to be closer to 1 than for :class:`MMR`.
    vectors, columns, similarity, pool
        As for :class:`MMR`.

    Raises
    ------
    ConfigurationError
        If an option is out of range, more than one thing to compare by is given, or there is none.

    Notes
    -----
    An item without a vector, or without any label, is neither favoured nor punished: its distances count as the mean of
    the row's other candidates'. What is chosen without one says nothing about the others. Gains leave out what all
    candidates of a row have in common.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> vectors = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.9, 0.8, 0.5]])
    >>> batch.item[select(batch, np.array([2]), objective=MSD(0.5, vectors=vectors)).index].tolist()
    [1, 3]
    """

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        relevance = weighted(self.trade_off, window.relevance)
        return _State(self.content(window), relevance, relevance.copy())

    def gain(self, state: _State) -> Float32Array:
        """Return ``t * relevance - (1 - t) * sum of likeness to what is chosen``, (B, W)."""
        if state.content.known.all:
            return state.gain
        return state.relevance + state.content.known.neutral(state.gain - state.relevance)

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        told = state.content.known.told(chosen, active)
        likeness = state.content.likeness(chosen, 1 - self.trade_off)
        if not told.all():
            likeness[~told] = 0
        np.subtract(state.gain, likeness, out=state.gain)
        return state
