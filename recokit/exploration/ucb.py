"""UCB: the candidate with the largest upper bound of its success rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit._utils.options import check_options, finite
from recokit.data import Live, Window
from recokit.exploration._draws import POOL, Draws, Policy
from recokit.exploration.statistics import Statistics, checked_statistics, context_of, erase_label
from recokit.typing import BoolArray, FloatArray, IntArray

_CANDIDATE = 23
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class _State:
    draws: Draws
    rank: IntArray


class UCB(Policy):
    """Objective that takes the candidate with the largest upper confidence bound of its success rate (UCB1).

    The bound is ``rate + confidence * sqrt(2 * log(N) / n)`` with n trials of the item and N of all (Auer, Cesa-Bianchi
    and Fischer, 2002). Items never tried come first. Equal bounds are drawn with equal probability; all else is
    certain, so its logs tell little about other policies: prefer :class:`ThompsonSampling` where they are to be
    evaluated.

    Parameters
    ----------
    statistics : Statistics or Live of them
        Trials and successes by item, and by context where they have a column.
    confidence : float, default 1.0
        Width of the bound, at least 0; 1 is UCB1.
    pool : int, default 100
        Candidates with the best scores that are compared.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or there are no statistics.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> known = Statistics.empty(3).updated([1, 1, 2], [1.0, 0.0, 1.0])
    >>> batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.9, 0.8, 0.7]])
    >>> found = select(batch, np.array([3]), objective=UCB(known))
    >>> batch.item[found.index].tolist(), found.propensity.tolist()
    ([3, 2, 1], [1.0, 1.0, 1.0])
    """

    def __init__(
        self, statistics: Statistics | Live[Statistics], *, confidence: float = 1.0, pool: int = 100
    ) -> None:
        self.statistics: Any = checked_statistics(statistics)
        self.confidence, self.pool = confidence, pool
        check_options(self, {"confidence": finite(0), **POOL})

    @property
    def requires(self) -> tuple[str, ...]:
        """The context column of the statistics."""
        return context_of(self.statistics)

    def erase_user(self, user: Any) -> int:
        """Take out the trials of a user who is a label of the statistics' context column; return how many."""
        return erase_label(self, user)

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        known: Statistics = window.candidates.requests.read(self.statistics)
        trials, successes, total = known.in_window(window)
        tried = np.maximum(trials, 1.0)
        width = np.sqrt(2 * np.log(np.maximum(total, 1.0)) / tried)
        bound = np.where(trials > 0, successes / tried + self.confidence * width, np.inf)
        bound = np.where(window.valid, bound, -np.inf)
        return _State(Draws.of(window), _dense_rank(bound))

    def gain(self, state: _State) -> FloatArray:
        """Return the rank of each bound with noise that decides among equal ones, (B, W)."""
        return np.asarray(state.draws.each(_CANDIDATE) - state.rank)

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        return replace(state, draws=state.draws.after(active))

    def propensity(self, state: _State, chosen: IntArray, allowed: BoolArray) -> FloatArray:
        """Return the probability of each choice, (B,): one over the number of equal bounds."""
        rank = np.where(allowed, state.rank, _LAST)
        best = allowed & (rank == rank.min(axis=1, initial=_LAST)[:, None])
        return np.asarray(best[np.arange(len(chosen)), chosen] / np.maximum(best.sum(axis=1), 1))


def _dense_rank(values: FloatArray) -> IntArray:
    """Return the rank of each value in its row, equal ones alike, 0 the largest."""
    order = np.argsort(-values, axis=1, kind="stable")
    falling = np.take_along_axis(values, order, axis=1)
    steps = np.zeros(values.shape, np.int64)
    steps[:, 1:] = np.cumsum(falling[:, 1:] < falling[:, :-1], axis=1)
    rank = np.empty(values.shape, np.int64)
    np.put_along_axis(rank, order, steps, axis=1)
    return rank
