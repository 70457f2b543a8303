"""Intervals of quantiles, such as the p99 of latency."""

from __future__ import annotations

import numpy as np

from recokit.errors import DataError
from recokit.evaluation.intervals import check_confidence
from recokit.typing import FloatArray

__all__ = ["quantile_interval"]


def quantile_interval(values: FloatArray, q: float, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return a quantile and the ends of its interval, which needs no assumption on the distribution.

    Values below the true quantile are binomial in number, so the ends are order statistics (Conover, *Practical
    nonparametric statistics*, 1999). They are infinite where too few values were measured: the high end of a p99 at
    95% needs 368.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        Independent measurements.
    q : float
        Between 0 and 1.
    confidence : float, default 0.95
        Share of such intervals that hold the true quantile, at least.

    Returns
    -------
    value, low, high : float

    Raises
    ------
    DataError
        Without values, or with NaN among them.

    Examples
    --------
    >>> quantile_interval(np.arange(1.0, 1001.0), 0.99)
    (990.0, 983.0, 997.0)
    """
    check_confidence(confidence)
    if not len(values) or np.isnan(values).any():
        raise DataError(f"found {len(values)} values, or NaN among them; expected numbers only")
    from scipy.stats import binom

    n, tail = len(values), (1 - confidence) / 2
    ordered = np.concatenate([[-np.inf], np.sort(values), [np.inf]])
    below, above = int(binom.ppf(tail, n, q)), int(binom.ppf(1 - tail, n, q)) + 1
    value = float(ordered[max(1, int(np.ceil(n * q - 1e-9)))])
    return value, float(ordered[below]), float(ordered[above])
