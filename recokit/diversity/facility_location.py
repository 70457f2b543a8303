"""FacilityLocation: lists that stand for all candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recokit._kernels.slate_arrays import Kind
from recokit.data import Window
from recokit.diversity._content import Content
from recokit.diversity._similarity import Compared, weighted
from recokit.typing import BoolArray, Float32Array, IntArray


@dataclass(frozen=True, eq=False)
class _State:
    """Likeness of all pairs, (B, W, W), and to the nearest item chosen, (B, W): written into, each run has its own."""

    content: Content
    relevance: Float32Array
    pairs: Float32Array
    covered: Float32Array


class FacilityLocation(Compared):
    """Objective of coverage: a list stands for all candidates of its row, each by the chosen item most like it.

    A list is worth ``t * sum of relevance + (1 - t) * mean over the candidates of the likeness to the nearest item
    chosen`` (facility location; Lin and Bilmes, 2011). The next item is the one that adds most to it. A likeness below
    0 counts as 0.

    Parameters
    ----------
    trade_off : float, default 0.7
        ``t``: 1 is relevance alone, 0 coverage alone.
    vectors, columns, similarity
        As for :class:`MMR`.
    codes : bool, default False
        As for :class:`MMR`.
    pool : int, default 100
        As for :class:`MMR`. It is also what is to be covered; work grows with its square.

    Raises
    ------
    ConfigurationError
        If an option is out of range, more than one thing to compare by is given, or there is none.

    Notes
    -----
    An item without a vector, or without any label, is neither favoured nor punished: what it adds counts as the mean of
    the row's other candidates.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> vectors = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.9, 0.8, 0.5]])
    >>> cover = FacilityLocation(0.1, vectors=vectors)
    >>> batch.item[select(batch, np.array([2]), objective=cover).index].tolist()
    [2, 3]
    """

    kernel: ClassVar[Kind] = "facility"

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        content = self.content(window)
        pairs = np.maximum(content.pairs(), 0)
        counts = window.valid & content.known.mask
        # What does not count is covered from the start; the mean is over what does.
        pairs /= np.maximum(counts.sum(axis=1), 1)[:, None, None].astype(np.float32)
        covered = np.where(counts, 0, np.inf).astype(np.float32)
        return _State(content, weighted(self.trade_off, window.relevance), pairs, covered)

    def gain(self, state: _State) -> Float32Array:
        """Return ``t * relevance + (1 - t) * coverage added``, (B, W)."""
        added = np.maximum(state.pairs - state.covered[:, :, None], 0).sum(axis=1)
        added *= np.float32(1 - self.trade_off)
        return state.relevance + state.content.known.neutral(added)

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        counted = np.flatnonzero(state.content.known.note(chosen, active))
        state.covered[counted] = np.maximum(state.covered[counted], state.pairs[counted, :, chosen[counted]])
        return state
