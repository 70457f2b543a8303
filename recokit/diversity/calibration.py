"""Calibration: lists whose labels are those of the user's history, in proportion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recokit._kernels.slate_arrays import Kind
from recokit._utils.options import check_options, share
from recokit.data import Window
from recokit.diversity._aspects import Aspected, InWindow
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class _State:
    """Labels of the list so far, (B, L + 1), and its labelled items, (B, 1): written into, each run has its own."""

    labels: InWindow
    held: FloatArray
    count: FloatArray


class Calibration(Aspected):
    """Objective of calibrated recommendations (Steck, 2018): the list has each label as often as the user's past has.

    A list is worth ``t * sum of relevance - (1 - t) * KL(p, q)``: p are the labels' shares in the target, q those
    in the list, smoothed by a hundredth of p (Steck's alpha). The next item is the one with which that is most.

    Parameters
    ----------
    by : str or ndarray of labels, shape (n_items + 1,)
        An item column, such as ``"category"``, or labels by item code.
    trade_off : float, default 0.7
        ``t``: 1 is relevance alone, 0 calibration alone. Steck's lambda is ``1 - t``.
    separator : str, optional
        Where items have several labels: what stands between them, such as ``"|"``. Each counts as an equal share of its
        item.
    target : {"history", "candidates"} or mapping of label to share, default "history"
        What the list should be like: the user's history, the row's candidates weighted by relevance, or the same shares
        for all. A user without a history gets that of the candidates.
    smoothing : float, default 0.01
        Steck's alpha, above 0 and below 1.
    pool : int, default 100
        The list is chosen from so many candidates with the best scores; more only where limits leave it short.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or there is no such column or label.

    Notes
    -----
    An item without a label is neither favoured nor punished: what it adds counts as the mean of the row's other
    candidates. Gains leave out what all candidates of a row have in common.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> labels = np.array(["", "war", "war", "war", "love"])
    >>> batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.9, 0.8, 0.7, 0.1]])
    >>> half = Calibration(labels, 0.1, target={"war": 0.5, "love": 0.5})
    >>> batch.item[select(batch, np.array([2]), objective=half).index].tolist()
    [1, 4]
    """

    kernel: ClassVar[Kind] = "calibration"

    def __init__(
        self,
        by: str | AnyArray,
        trade_off: float = 0.7,
        *,
        separator: str | None = None,
        target: str | Mapping[str, float] = "history",
        smoothing: float = 0.01,
        pool: int = 100,
    ) -> None:
        super().__init__(by, trade_off, separator=separator, target=target, pool=pool)
        self.smoothing = smoothing
        check_options(self, {"smoothing": share})

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        labels = self.labels_of(window)
        return _State(labels, np.zeros_like(labels.target), np.zeros((len(labels.target), 1)))

    def gain(self, state: _State) -> Float32Array:
        """Return ``t * relevance`` less ``1 - t`` of what is left of KL with the candidate in the list, (B, W)."""
        labels = state.labels
        target, held = labels.at(labels.target), labels.at(state.held)
        own = (1 - self.smoothing) / (state.count + 1)[:, :, None]
        # An entry without a label has no weight, and its target is 0: its logarithm must only be finite.
        floor = np.where(target > 0, self.smoothing * target, 1)
        closer = target * (np.log(own * (held + labels.weight) + floor) - np.log(own * held + floor))
        return labels.gain((1 - self.trade_off) * closer.sum(axis=2))

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        labels = state.labels
        counted = np.flatnonzero(labels.known.note(chosen, active))
        code, weight = labels.code[counted, chosen[counted]], labels.weight[counted, chosen[counted]]
        np.add.at(state.held, (counted[:, None], code), weight)
        state.count[counted] += 1
        return state
