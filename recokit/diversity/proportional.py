"""Proportional: places of a list shared out among labels, as seats are among parties."""

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
    """Places that each label has, (B, L + 1): written into, each run has its own."""

    labels: InWindow
    places: FloatArray


class Proportional(Aspected):
    """Objective that shares out the places of a list among labels in proportion (PM-2; Dang and Croft, 2012).

    The claim of a label is ``share / (2 * places + 1)``, the quotient of Sainte-Laguë's method of seats; the next item
    has the largest ``t * relevance + (1 - t) * claim of its labels``, claims as parts of the largest in the row.

    Parameters
    ----------
    by, separator, target, pool
        As for :class:`Calibration`.
    trade_off : float, default 0.7
        ``t``: 1 is relevance alone; at 0 the places are shared out exactly, each going to the best item of its label.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or there is no such column or label.

    Notes
    -----
    An item without a label is neither favoured nor punished: its claim is the mean of the row's other candidates'.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> labels = np.array(["", "war", "war", "war", "love"])
    >>> batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.9, 0.8, 0.7, 0.1]])
    >>> fair = Proportional(labels, 0.0, target={"war": 0.7, "love": 0.3})
    >>> batch.item[select(batch, np.array([3]), objective=fair).index].tolist()
    [1, 4, 2]
    """

    kernel: ClassVar[Kind] = "proportional"

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        labels = self.labels_of(window)
        return _State(labels, np.zeros_like(labels.target))

    def gain(self, state: _State) -> Float32Array:
        """Return ``t * relevance + (1 - t) * claim``, (B, W)."""
        claim = state.labels.target / (2 * state.places + 1)
        claim /= np.maximum(claim.max(axis=1, keepdims=True), 1e-300)
        novelty = (state.labels.at(claim) * state.labels.weight).sum(axis=2)
        return state.labels.gain((1 - self.trade_off) * novelty)

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        labels = state.labels
        counted = np.flatnonzero(labels.known.note(chosen, active))
        code, weight = labels.code[counted, chosen[counted]], labels.weight[counted, chosen[counted]]
        np.add.at(state.places, (counted[:, None], code), weight)
        return state
