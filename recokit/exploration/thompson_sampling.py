"""ThompsonSampling: each candidate as often as it is the best, by its posterior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from recokit._utils.options import Rule, above, check_options, finite
from recokit.data import Live, Window
from recokit.exploration._draws import POOL, Draws, Policy, gumbel, share_of_allowed
from recokit.exploration.statistics import Statistics, checked_statistics, context_of, erase_label
from recokit.typing import BoolArray, FloatArray, IntArray

_CANDIDATE = 24
#: Steps of the numerical integral over success rates.
_STEPS = 64
#: Standard deviations that the integral reaches below the safest and above the boldest candidate.
_BELOW, _ABOVE = 4.0, 5.0
#: The least weight of a candidate, so that where only hopeless ones are allowed they can be drawn.
_MIN_WEIGHT = 1e-12

_OPTIONS = {
    "prior": Rule(
        "successes and failures above 0", lambda value: len(value) == 2 and all(map(above(0).holds, value))
    ),
    "score_trials": finite(0),
    **POOL,
}


@dataclass(frozen=True, eq=False)
class _State:
    """Mean and deviation of the log odds of success (B, W), and which candidates are left."""

    draws: Draws
    mean: FloatArray
    deviation: FloatArray
    left: BoolArray

    @cached_property
    def log_weight(self) -> FloatArray:
        """Logarithm of the probability that each candidate is the best of those left, (B, W)."""
        return np.log(np.maximum(_best_of(self.mean, self.deviation, self.left), _MIN_WEIGHT))


class ThompsonSampling(Policy):
    """Objective that draws each candidate with the probability that its success rate is the highest.

    Rates have Beta posteriors: ``prior`` plus successes and failures (Thompson, 1933; Chapelle and Li, 2011).

    Parameters
    ----------
    statistics : Statistics or Live of them
        Trials and successes by item, and by context where they have a column.
    prior : tuple of float, default (1.0, 1.0)
        Successes and failures that every item starts with; (1, 1) is the uniform prior.
    score_trials : float, default 0.0
        So many trials whose success rate is the ranker's score: for rankers whose scores are probabilities, such as
        ``rankers.Calibrated``. What is known of a user then counts, most where little is known of the item.
    pool : int, default 100
        Candidates with the best scores that may be drawn; others have no chance, unless limits leave the list short.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or there are no statistics.

    Notes
    -----
    The usual way draws a rate for every candidate and takes the highest; how probable that choice was is then an
    integral that can only be estimated. Here the integral comes first: the probability of being the best of those left
    is computed (log odds of a Beta variable taken as normal with its mean and variance, 64 steps), and the place is
    drawn by it among those that the limits allow. What is logged is exactly what was drawn by. Draws depend on the
    request's seed alone: pass another seed with every request of a user.

    Examples
    --------
    >>> from recokit.data import Candidates, Requests
    >>> from recokit.slates import select
    >>> known = Statistics.empty(2).updated([1] * 20, [1.0] * 10 + [0.0] * 10)
    >>> batch = Candidates.from_lists([[1, 2]], scores=[[0.9, 0.1]], requests=Requests.build(np.array([1]), seed=4))
    >>> found = select(batch, np.array([2]), objective=ThompsonSampling(known))
    >>> found.propensity.round(2).tolist()
    [0.5, 1.0]
    """

    def __init__(
        self,
        statistics: Statistics | Live[Statistics],
        *,
        prior: tuple[float, float] = (1.0, 1.0),
        score_trials: float = 0.0,
        pool: int = 100,
    ) -> None:
        self.statistics: Any = checked_statistics(statistics)
        self.prior, self.score_trials, self.pool = prior, score_trials, pool
        check_options(self, _OPTIONS)

    @property
    def requires(self) -> tuple[str, ...]:
        """The context column of the statistics."""
        return context_of(self.statistics)

    def erase_user(self, user: Any) -> int:
        """Take out the trials of a user who is a label of the statistics' context column; return how many."""
        return erase_label(self, user)

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        from scipy.special import digamma, polygamma

        batch = window.candidates
        known: Statistics = batch.requests.read(self.statistics)
        trials, successes, _ = known.in_window(window)
        score = batch.score[window.index] if len(batch) else window.relevance
        scored = np.isfinite(score)
        share = np.clip(np.where(scored, score, 0.0), 0.0, 1.0).astype(np.float64)
        wins = self.prior[0] + successes + self.score_trials * share
        losses = self.prior[1] + trials - successes + self.score_trials * (1 - share)
        deviation = np.sqrt(polygamma(1, wins) + polygamma(1, losses))
        return _State(Draws.of(window), digamma(wins) - digamma(losses), deviation, window.valid & scored)

    def gain(self, state: _State) -> FloatArray:
        """Return the logarithm of each probability with Gumbel noise, (B, W)."""
        return state.log_weight + gumbel(state.draws.each(_CANDIDATE))

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        left = state.left.copy()
        rows = np.flatnonzero(active)
        left[rows, chosen[rows]] = False
        return replace(state, draws=state.draws.after(active), left=left)

    def propensity(self, state: _State, chosen: IntArray, allowed: BoolArray) -> FloatArray:
        """Return the probability of each choice, (B,)."""
        return share_of_allowed(state.log_weight, chosen, allowed)


def _best_of(mean: FloatArray, deviation: FloatArray, left: BoolArray) -> FloatArray:
    """Return the probability that each candidate is the highest of those left, (B, W)."""
    from scipy.special import ndtr

    if not mean.size:
        return np.zeros(mean.shape)
    # Between the lowest that the highest can be, and the highest that any can be; finer where the safe ones are.
    low = np.where(left, mean - _BELOW * deviation, -np.inf).max(axis=1)
    high = np.where(left, mean + _ABOVE * deviation, -np.inf).max(axis=1)
    some = np.isfinite(low)
    low, high = np.where(some, low, 0.0), np.where(some, high, 1.0)
    step = np.linspace(0.0, 1.0, _STEPS) ** 2
    grid = low[:, None] + (high - low)[:, None] * step
    below = ndtr((grid[:, None, :] - mean[:, :, None]) / deviation[:, :, None])
    edges = np.concatenate([np.zeros((*mean.shape, 1)), below, np.ones((*mean.shape, 1))], axis=2)
    inside = np.diff(edges, axis=2)
    lower = np.log(np.maximum((edges[:, :, 1:] + edges[:, :, :-1]) / 2, 1e-300))
    lower = np.where(left[:, :, None], lower, 0.0)
    others = np.exp(lower.sum(axis=1)[:, None, :] - lower)
    return np.where(left, (inside * others).sum(axis=2), 0.0)
