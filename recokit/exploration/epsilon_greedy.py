"""EpsilonGreedy: mostly the best, sometimes any."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit._utils.options import between, check_options
from recokit.exploration._draws import POOL, Around, AroundState, checked_objective
from recokit.typing import BoolArray, FloatArray, IntArray

_COIN, _CANDIDATE = 20, 21


class EpsilonGreedy(Around):
    """Objective that fills each place with the best candidate, or with probability ``epsilon`` with any allowed one.

    Parameters
    ----------
    objective : Objective, optional
        Gives the order of the best, such as ``diversity.MMR()``; by default the ranker's score.
    epsilon : float, default 0.1
        Probability that a place is drawn at random, from 0 to 1.
    pool : int, default 100
        Candidates with the best scores that may be drawn; others have no chance, unless limits leave the list short.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the objective draws itself.

    Notes
    -----
    With n allowed candidates, the best has the probability ``1 - epsilon + epsilon / n``, any other ``epsilon / n``.
    Draws depend on the request's seed alone: pass another seed with every request of a user.

    Examples
    --------
    >>> from recokit.data import Candidates, Requests
    >>> from recokit.slates import select
    >>> batch = Candidates.from_lists([[7, 8]], scores=[[0.9, 0.1]], requests=Requests.build(np.array([1]), seed=5))
    >>> found = select(batch, np.array([2]), objective=EpsilonGreedy(epsilon=0.2))
    >>> batch.item[found.index].tolist(), found.propensity.tolist()
    ([7, 8], [0.9, 1.0])
    """

    def __init__(self, objective: Any = None, *, epsilon: float = 0.1, pool: int = 100) -> None:
        self.objective, self.epsilon, self.pool = checked_objective(objective), epsilon, pool
        check_options(self, {"epsilon": between(0, 1), **POOL})

    def gain(self, state: AroundState) -> FloatArray:
        """Return the objective's gains, or random numbers in rows that explore at this place, (B, W)."""
        explores = state.draws.row(_COIN) < self.epsilon
        return np.where(explores[:, None], state.draws.each(_CANDIDATE), state.base)

    def propensity(self, state: AroundState, chosen: IntArray, allowed: BoolArray) -> FloatArray:
        """Return the probability of each choice, (B,)."""
        share = 1.0 / np.maximum(allowed.sum(axis=1), 1)
        return np.asarray(self.epsilon * share + (1 - self.epsilon) * is_best(state.base, chosen, allowed))


def is_best(gain: Any, chosen: IntArray, allowed: BoolArray) -> BoolArray:
    """Tell whether the chosen candidate is the first of the allowed ones with the largest gain, (B,)."""
    return np.asarray(np.where(allowed, gain, -np.inf).argmax(axis=1) == chosen)
