"""MMR: maximal marginal relevance."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from recokit._kernels.slate_arrays import Kind
from recokit.data import Window
from recokit.diversity._similarity import GainState, Incremental, weighted
from recokit.typing import BoolArray, IntArray


class MMR(Incremental):
    """Objective of maximal marginal relevance (Carbonell and Goldstein, 1998).

    The next item of a list has the largest ``t * relevance - (1 - t) * likeness``: its relevance is the ranker's score
    scaled to 0..1 within the row, its likeness that to the most similar item already chosen.

    Parameters
    ----------
    trade_off : float, default 0.7
        ``t``: 1 is relevance alone, 0 difference alone.
    vectors : ndarray of float, shape (n_items + 1, D), optional
        Likeness is the cosine of these. A row of zeros is an item without a vector.
    columns : sequence of str, optional
        Without vectors, likeness is the share of these item columns in which two items agree; a missing value agrees
        with nothing. All categorical columns by default.
    similarity : ndarray or sparse matrix (n_items + 1, n_items + 1), or callable, optional
        Any other likeness, from 0 to 1; a callable gets two arrays of item ids (M,) and returns (M,). An item whose
        row has nothing but zeros is one of which nothing is known.
    pool : int, default 100
        The list is chosen from so many candidates with the best scores; more only where limits leave it short.
    codes : bool, default False
        Whether a callable gets item codes. Used without a pipeline, which would bind it, it gets them anyway.

    Raises
    ------
    ConfigurationError
        If an option is out of range, more than one thing to compare by is given, or there is none.

    Notes
    -----
    An item without a vector, or without any label, is neither favoured nor punished: its likeness is the mean of the
    row's other candidates'. What is chosen without one says nothing about the others.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> vectors = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.9, 0.8, 0.5]])
    >>> batch.item[select(batch, np.array([2]), objective=MMR(0.5, vectors=vectors)).index].tolist()
    [1, 3]
    """

    kernel: ClassVar[Kind] = "mmr"

    def start(self, window: Window) -> GainState:
        """Return the state before the first choice."""
        relevance = weighted(self.trade_off, window.relevance)
        # Nothing is less like anything than by -1: the same for all, until there is a first choice.
        return GainState(self.content(window), relevance, relevance + np.float32(1 - self.trade_off))

    def update(self, state: GainState, chosen: IntArray, active: BoolArray) -> GainState:
        """Return the state after each active row chose a candidate."""
        counted = state.content.known.note(chosen, active)
        gain = state.relevance + np.float32(self.trade_off - 1) * state.content.likeness(chosen)
        state.gain[counted] = np.minimum(state.gain, gain)[counted]
        return state
