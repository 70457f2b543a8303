"""XQuAD: lists that cover what the user is interested in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recokit._kernels.slate_arrays import Kind
from recokit.data import Window
from recokit.diversity._aspects import Aspected, InWindow
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class _State:
    """How well each item covers each of its labels, (B, W, m), and how little of a label is covered, (B, L + 1)."""

    labels: InWindow
    covers: FloatArray
    missing: FloatArray


class XQuAD(Aspected):
    """Objective of explicit aspect coverage: xQuAD (Santos, Macdonald and Ounis, 2010).

    The next item has the largest ``t * relevance + (1 - t) * sum over its labels of P(label) * P(item | label) *
    product over what is chosen of (1 - P(chosen | label))``: P(label) is the label's share in the target, P(item |
    label) the item's relevance where it has the label, else 0.

    Parameters
    ----------
    by, separator, target, pool
        As for :class:`Calibration`. Each of an item's labels is covered by the whole item.
    trade_off : float, default 0.7
        ``t``: 1 is relevance alone, 0 coverage alone.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or there is no such column or label.

    Notes
    -----
    An item without a label is neither favoured nor punished: its coverage is the mean of the row's other candidates'.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> labels = np.array(["", "war", "war", "love", "love"])
    >>> batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.9, 0.8, 0.7, 0.1]])
    >>> wide = XQuAD(labels, 0.2, target="candidates")
    >>> batch.item[select(batch, np.array([2]), objective=wide).index].tolist()
    [1, 3]
    """

    kernel: ClassVar[Kind] = "xquad"

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        labels = self.labels_of(window)
        return _State(labels, labels.covers(window).astype(np.float64), np.ones_like(labels.target))

    def gain(self, state: _State) -> Float32Array:
        """Return ``t * relevance + (1 - t) * coverage added``, (B, W)."""
        wanted = state.labels.at(state.labels.target * state.missing)
        return state.labels.gain((1 - self.trade_off) * (wanted * state.covers).sum(axis=2))

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        counted = np.flatnonzero(state.labels.known.note(chosen, active))
        code = state.labels.code[counted, chosen[counted]]
        np.multiply.at(state.missing, (counted[:, None], code), 1 - state.covers[counted, chosen[counted]])
        return state
