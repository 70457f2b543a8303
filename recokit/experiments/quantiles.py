"""Quantiles of values that come in clusters, with a standard error."""

from __future__ import annotations

import numpy as np

from recokit._kernels.segments import segment_sum
from recokit._stats.moments import Estimate
from recokit.typing import FloatArray, IntArray

#: Standard errors between which the density is measured.
_REACH = 1.96


def clustered_quantile(values: FloatArray, cluster: IntArray, q: float) -> Estimate:
    """Return a quantile of values (N,) whose clusters (N,) are independent, such as the requests of users.

    The share of values below the quantile has a variance by the delta method; how far the quantile moves with that
    share is read off the values around it (Deng, Knoblich and Lu, *Applying the delta method in metric analytics*,
    2018). NaN where there are fewer than two clusters.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=10_000)
    >>> found = clustered_quantile(values, np.arange(10_000), 0.5)
    >>> 0.01 < found.error < 0.016  # sqrt(pi / 2) / 100 is 0.0125
    True
    """
    if not len(values):
        return Estimate(np.nan, np.nan, 0)
    ordered = np.sort(values)
    value = float(np.quantile(ordered, q))
    distinct, code = np.unique(cluster, return_inverse=True)
    n = len(distinct)
    if n < 2:
        return Estimate(value, np.nan, n)
    below = (values <= value) - q
    sums = segment_sum(below, code.astype(np.int64), n)
    sums -= sums.mean()
    # Of a ratio: clusters have different numbers of values.
    spread = float(np.sqrt(n / (n - 1) * (sums @ sums))) / len(values)
    low, high = np.quantile(ordered, np.clip([q - _REACH * spread, q + _REACH * spread], 0.0, 1.0))
    return Estimate(value, float(high - low) / (2 * _REACH), n)
