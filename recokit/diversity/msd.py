"""MSD: max-sum dispersion."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from recokit._kernels.slate_arrays import Kind
from recokit.data import Window
from recokit.diversity._similarity import GainState, Incremental, weighted
from recokit.typing import BoolArray, IntArray


class MSD(Incremental):
    """Objective of max-sum dispersion (Gollapudi and Sharma, 2009; Borodin, Lee and Ye, 2012).

    A list is worth ``t * sum of relevance + (1 - t) * sum of the distances of all pairs``; the next item is the one
    that adds most to it. A distance is 1 less the likeness.

    Parameters
    ----------
    trade_off : float, default 0.7
        ``t``: 1 is relevance alone, 0 difference alone. Distances add up over pairs: in long lists they outweigh
        relevance, and ``t`` has to be closer to 1 than for :class:`MMR`.
    vectors, columns, similarity, pool, codes
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

    kernel: ClassVar[Kind] = "msd"

    def start(self, window: Window) -> GainState:
        """Return the state before the first choice."""
        relevance = weighted(self.trade_off, window.relevance)
        return GainState(self.content(window), relevance, relevance.copy())

    def update(self, state: GainState, chosen: IntArray, active: BoolArray) -> GainState:
        """Return the state after each active row chose a candidate."""
        counted = state.content.known.note(chosen, active)
        likeness = np.float32(1 - self.trade_off) * state.content.likeness(chosen)
        state.gain[counted] -= likeness[counted]
        return state
