"""Population stability index: how far a distribution has moved, by counts in bins.

The training report and the drift monitor both say it of the same features, so there is one definition. Each bin counts
half a row more on either side (Jeffreys' prior). The other custom, a floor under the share of an empty bin, makes an
index of samples: with a floor of 0.0001 the first empty tenth of 40 rows alone gives 0.69, where 0.25 is said to be
another population, and it gives the same for 40 rows as for 40,000. Half a row gives 0.20 of 40 rows and 0.90 of
40,000: the customary limits, made for large samples, keep their meaning for small ones.
"""

from __future__ import annotations

import numpy as np

from recokit.typing import AnyArray, FloatArray


def population_stability_index(
    reference: AnyArray, current: AnyArray, *, n_bins: int = 10, reference_weight: AnyArray | None = None
) -> float:
    """Return the population stability index of a feature, 0 for equal distributions.

    The bins are the reference's quantiles; missing values are a bin of their own. Usual reading: below 0.1 stable, 0.1
    to 0.25 moved, above that another population. On n values of the same distribution its expectation is about
    ``bins * (1 / n_reference + 1 / n_current)``. The index is that of :class:`~recokit.monitoring.DriftMonitor`, see
    :func:`stability_index`, which tests missing values apart.

    Parameters
    ----------
    reference, current : ndarray of float, shapes (n,) and (m,)
    n_bins : int, default 10
        Quantile bins; repeated quantiles merge.
    reference_weight : ndarray of float, shape (n,), optional
        Only what they are in relation to each other counts.

    Examples
    --------
    >>> x = np.arange(1000.0)
    >>> round(population_stability_index(x, x), 6), population_stability_index(x, x + 500) > 0.25
    (0.0, True)
    """
    values = np.asarray(reference, np.float64)
    weight = np.ones(len(values)) if reference_weight is None else np.asarray(reference_weight, np.float64)
    known = np.isfinite(values) & (weight > 0)
    edges = quantile_edges(values[known], weight[known], n_bins)
    squares = float(weight @ weight)
    # Weighted rows tell as much as Kish's effective number of them.
    rows = float(weight.sum()) ** 2 / squares if squares > 0 else 0.0
    now = np.asarray(current, np.float64)
    return stability_index(
        _shares(values, weight, edges), rows, _shares(now, np.ones(len(now)), edges), float(len(now))
    )


def quantile_edges(values: FloatArray, weight: FloatArray, n_bins: int) -> FloatArray:
    """Return the weighted quantiles that part known values (n,) in so many bins; equal ones merge, (B,) ascending.

    A value equal to an edge lies in the bin that ends there, so one that repeats is one bin.
    """
    if not len(values):
        return np.zeros(0)
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weight[order])
    at = np.searchsorted(cumulative, cumulative[-1] * np.arange(1, n_bins) / n_bins)
    return np.unique(values[order[np.minimum(at, len(values) - 1)]])


def stability_index(
    reference: FloatArray, n_reference: float, current: FloatArray, n_current: float
) -> float:
    """Return the index of two distributions over the same bins.

    ``sum((q - p) * log(q / p))``, the symmetric divergence of Kullback and Leibler, *On information and sufficiency*,
    1951, where p and q are the shares with half a row more in each bin.

    Parameters
    ----------
    reference, current : ndarray of float, shape (B,)
        Share of each bin.
    n_reference, n_current : float
        Independent rows that the shares are of.

    Examples
    --------
    >>> round(stability_index(np.array([0.5, 0.5]), 999, np.array([0.9, 0.1]), 999), 2)
    0.88
    """
    p, q = _smoothed(reference, n_reference), _smoothed(current, n_current)
    return float(((q - p) * np.log(q / p)).sum())


def chance_of_index(reference: FloatArray, n_reference: float, n_current: float, chance: float) -> float:
    """Return the index that two samples of one distribution exceed with this chance.

    The index is nearly chi-squared with one degree of freedom less than filled bins, scaled by both sizes.

    Examples
    --------
    >>> round(chance_of_index(np.full(10, 0.1), 100, 100, chance=0.001), 2)
    0.56
    """
    from scipy.special import chdtri

    free = max(int(np.count_nonzero(reference > 0)) - 1, 1)
    return float(chdtri(free, chance) * (1 / n_reference + 1 / n_current))


def _smoothed(shares: FloatArray, rows: float) -> FloatArray:
    return (shares * rows + 0.5) / (rows + len(shares) / 2)


def _shares(values: FloatArray, weight: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the share of each bin between edges (B,), and of missing values, (B + 2,)."""
    bins = np.searchsorted(edges, values, side="left")
    bins[np.isnan(values)] = len(edges) + 1
    counts = np.bincount(bins, weights=weight, minlength=len(edges) + 2)
    return np.asarray(counts / max(counts.sum(), 1e-300))
