"""Softmax: each candidate in proportion to the exponential of its gain."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit._utils.options import above, check_options
from recokit.exploration._draws import POOL, Around, AroundState, checked_objective, gumbel, share_of_allowed
from recokit.typing import BoolArray, FloatArray, IntArray

_CANDIDATE = 22


class Softmax(Around):
    """Objective that draws each place in proportion to ``exp(gain / temperature)``: the Plackett-Luce model.

    Parameters
    ----------
    objective : Objective, optional
        Gives the worth of a candidate, such as ``diversity.MMR()``; by default the ranker's score, scaled to 0..1
        within the row.
    temperature : float, default 0.1
        Above 0. Small ones keep close to the best; at 0.1, the best of a row is drawn 22,000 times as often as the
        worst.
    pool : int, default 100
        Candidates with the best scores that may be drawn; others have no chance, unless limits leave the list short.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the objective draws itself.

    Notes
    -----
    Drawn by Gumbel noise (Gumbel top-k; Kool, van Hoof and Welling, 2019), anew at each place, so that limits change
    what is allowed and not how the rest is drawn. Draws depend on the request's seed alone: pass another seed with
    every request of a user.

    Examples
    --------
    >>> from recokit.data import Candidates, Requests
    >>> from recokit.slates import select
    >>> batch = Candidates.from_lists([[7, 8]], scores=[[0.9, 0.1]], requests=Requests.build(np.array([1]), seed=5))
    >>> found = select(batch, np.array([2]), objective=Softmax(temperature=1.0))
    >>> batch.item[found.index].tolist(), found.propensity.round(3).tolist()
    ([7, 8], [0.731, 1.0])
    """

    def __init__(self, objective: Any = None, *, temperature: float = 0.1, pool: int = 100) -> None:
        self.objective, self.temperature, self.pool = checked_objective(objective), temperature, pool
        check_options(self, {"temperature": above(0), **POOL})

    def gain(self, state: AroundState) -> FloatArray:
        """Return the objective's gains over the temperature with Gumbel noise, (B, W)."""
        return self._logits(state) + gumbel(state.draws.each(_CANDIDATE))

    def propensity(self, state: AroundState, chosen: IntArray, allowed: BoolArray) -> FloatArray:
        """Return the probability of each choice, (B,)."""
        return share_of_allowed(self._logits(state), chosen, allowed)

    def _logits(self, state: AroundState) -> FloatArray:
        return np.asarray(state.base, np.float64) / self.temperature
