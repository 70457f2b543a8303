"""Group sequential tests: how far from 0 a statistic must be at each look, so that all looks together err by alpha.

Lan and DeMets, *Discrete sequential boundaries for clinical trials*, 1983: a function says how much of alpha may be
spent by a share of the planned information. The chance of crossing is computed by the recursion of Armitage, McPherson
and Rowe, *Repeated significance tests on accumulating data*, 1969, on the score scale.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from recokit._utils.options import one_of, require, share
from recokit.errors import DataError
from recokit.typing import FloatArray

Spending = Literal["obrien_fleming", "pocock"]

#: Standard deviations beyond which a path has no weight.
_FAR = 9.0
#: Points of the grid for each standard deviation of a step, and the most of them.
_FINE, _MOST = 12.0, 3001
#: A boundary that nothing crosses: where there is nothing to spend.
_NEVER = 38.0


def spent(information: float, alpha: float, spending: Spending = "obrien_fleming") -> float:
    """Return how much of a two-sided alpha may be spent by a share of the information.

    Computed with survival functions: at little information a difference from 1 would be 0 by rounding.

    Examples
    --------
    >>> round(spent(0.5, 0.05), 5), round(spent(0.5, 0.05, "pocock"), 4), spent(0.07, 0.05) > 0
    (0.00305, 0.031, True)
    """
    from scipy.special import ndtr, ndtri

    t = min(max(information, 0.0), 1.0)
    if t <= 0:
        return 0.0
    if spending == "pocock":
        return alpha * math.log(1.0 + (math.e - 1.0) * t)
    # Each side has half of alpha: 2 sf(z / sqrt(t)) of it, and as much on the other side.
    return float(4.0 * ndtr(ndtri(alpha / 4.0) / math.sqrt(t)))


def boundaries(
    information: Sequence[float], alpha: float = 0.05, spending: Spending = "obrien_fleming"
) -> FloatArray:
    """Return for each look how many standard errors from 0 are needed to stop, (K,).

    Parameters
    ----------
    information : sequence of float, length K
        Share of the planned information at each look, ascending, above 0; what is beyond 1 counts as 1.
    alpha : float, default 0.05
        Two-sided.
    spending : {"obrien_fleming", "pocock"}, default "obrien_fleming"

    Raises
    ------
    DataError
        If the information does not ascend from above 0.
    ConfigurationError
        For an alpha outside 0 to 1, or another spending function.

    Examples
    --------
    >>> boundaries([0.2, 0.4, 0.6, 0.8, 1.0]).round(3).tolist()
    [4.877, 3.357, 2.68, 2.29, 2.031]
    """
    require(share, alpha=alpha)
    require(one_of("obrien_fleming", "pocock"), spending=spending)
    t = [min(float(one), 1.0) for one in information]
    if not t or t[0] <= 0 or any(b <= a for a, b in pairwise(t)):
        raise DataError(f"found information {t[:8]}; expected shares that ascend from above 0")
    return np.array(_boundaries(tuple(t), alpha, spending))


@functools.lru_cache(maxsize=512)
def _boundaries(t: tuple[float, ...], alpha: float, spending: Spending) -> tuple[float, ...]:
    paths, found, before = _Paths(0.0), list[float](), 0.0
    for at in t:
        now = spent(at, alpha, spending)
        bound = paths.bound(at, (now - before) / 2.0)
        paths.stop(at, bound)
        found.append(bound)
        before = now
    return tuple(found)


def crossing(information: Sequence[float], bounds: Sequence[float], drift: float) -> FloatArray:
    """Return the chance to have crossed a boundary by each look, (K,), for a true effect.

    Parameters
    ----------
    information, bounds : sequence of float, length K
    drift : float
        The true effect in standard errors of the full information.

    Examples
    --------
    >>> looks = [0.5, 1.0]
    >>> crossing(looks, boundaries(looks), 0.0).round(3).tolist()
    [0.003, 0.05]
    """
    paths, total, found = _Paths(drift), 0.0, list[float]()
    for at, bound in zip(information, bounds, strict=True):
        total += paths.tail(at, bound) + paths.tail(at, bound, below=True)
        paths.stop(at, bound)
        found.append(total)
    return np.array(found)


class _Paths:
    """The density of Brownian motion with drift on the paths that have not stopped yet."""

    def __init__(self, drift: float) -> None:
        self.drift, self.t = drift, 0.0
        self.points, self.weights = np.zeros(1), np.ones(1)

    def tail(self, t: float, bound: float, *, below: bool = False) -> float:
        """Return the chance to be beyond a boundary at t, on one side, for the first time."""
        from scipy.special import ndtr

        step = math.sqrt(t - self.t)
        ends = self.points + self.drift * (t - self.t)
        edge = bound * math.sqrt(t)
        beyond = (-edge - ends) / step if below else (ends - edge) / step
        return float(self.weights @ ndtr(beyond))

    def bound(self, t: float, chance: float) -> float:
        """Return the boundary that is crossed with this chance on the upper side."""
        from scipy.optimize import brentq

        if not chance > 0 or not self.tail(t, 0.0) > chance:
            return _NEVER if not chance > 0 else 0.0
        if self.tail(t, _NEVER) >= chance:
            return _NEVER
        # By logarithms: early chances are smaller than any absolute tolerance.
        goal = math.log(chance)

        def miss(bound: float) -> float:
            return math.log(max(self.tail(t, bound), 1e-320)) - goal

        return float(brentq(miss, 0.0, _NEVER, xtol=1e-10))

    def stop(self, t: float, bound: float) -> None:
        """Go on with the paths that are inside the boundary at t."""
        step = math.sqrt(t - self.t)
        centre = self.drift * t
        low = max(-bound * math.sqrt(t), centre - _FAR * math.sqrt(t))
        high = min(bound * math.sqrt(t), centre + _FAR * math.sqrt(t))
        if high <= low:
            self.t, self.points, self.weights = t, np.zeros(1), np.zeros(1)
            return
        n = min(max(101, 2 * math.ceil(_FINE * (high - low) / step / 2) + 1), _MOST)
        points = np.linspace(low, high, n)
        moved = self.points + self.drift * (t - self.t)
        density: Any = np.exp(-0.5 * ((points[:, None] - moved[None, :]) / step) ** 2) @ self.weights
        simpson = np.where(np.arange(n) % 2 == 1, 4.0, 2.0)
        simpson[[0, -1]] = 1.0
        area = (high - low) / (n - 1) / 3.0
        self.t, self.points = t, points
        self.weights = density * simpson * area / (step * math.sqrt(2 * math.pi))


def sequential_p_value(
    information: Sequence[float], z: Sequence[float], spending: Spending = "obrien_fleming"
) -> float:
    """Return the smallest alpha at which one of the looks would have crossed; exact between the ends of a grid.

    Parameters
    ----------
    information, z : sequence of float, length K
        Shares of information, and the statistic at each look.

    Examples
    --------
    >>> round(sequential_p_value([0.5, 1.0], [1.0, 2.5]), 3)
    0.012
    """
    t = tuple(min(float(one), 1.0) for one in information)
    levels = np.geomspace(1e-6, 0.98, 25)
    # At each look the boundary falls as alpha grows: what |z| would have needed.
    table = np.array([_boundaries(t, float(level), spending) for level in levels])
    found = 1.0
    for at, value in enumerate(np.abs(np.asarray(z, np.float64)).tolist()):
        if value == value:
            needed = table[::-1, at]
            found = min(found, float(np.exp(np.interp(value, needed, np.log(levels[::-1]), left=0.0))))
    return found
