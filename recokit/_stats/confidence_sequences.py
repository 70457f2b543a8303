"""Confidence sequences: intervals that hold at every time at once, however often one looks.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, *Time-uniform central limit theory and asymptotic confidence
sequences*, 2024: a mean of n draws with standard error ``s`` is within
``s sqrt(2 (n r + 1) / (n r) log(sqrt(n r + 1) / alpha))`` of the truth at all n, with r the square of rho there, a
number chosen beforehand.
"""

from __future__ import annotations

import math


def best_rho(n: float, alpha: float = 0.05) -> float:
    """Return the square of rho for which the sequence is narrowest at about n draws.

    Examples
    --------
    >>> round(best_rho(5_000) * 5_000, 2)
    7.94
    """
    log = -2.0 * math.log(alpha)
    return (log + math.log(log + 1.0)) / n


def anytime_reach(n: float, rho: float, alpha: float = 0.05) -> float:
    """Return how many standard errors the sequence reaches to each side at n draws.

    Parameters
    ----------
    n : float
    rho : float
        From :func:`best_rho`.
    alpha : float, default 0.05

    Examples
    --------
    >>> round(anytime_reach(5_000, best_rho(5_000)), 2)
    3.04
    """
    grown = n * rho
    if not grown > 0:
        return math.inf
    return math.sqrt(2.0 * (grown + 1.0) / grown * (0.5 * math.log(grown + 1.0) - math.log(alpha)))


def anytime_p_value(z: float, n: float, rho: float) -> float:
    """Return the smallest alpha at which the sequence leaves 0 out, for a mean z standard errors from it.

    Examples
    --------
    >>> rho = best_rho(5_000)
    >>> round(anytime_p_value(anytime_reach(5_000, rho), 5_000, rho), 6)
    0.05
    """
    grown = n * rho
    if not grown > 0 or math.isnan(z):
        return 1.0
    log = 0.5 * math.log(grown + 1.0) - 0.5 * z * z * grown / (grown + 1.0)
    return math.exp(min(log, 0.0))
