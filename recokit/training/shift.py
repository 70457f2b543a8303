"""Population stability index: how far a feature moved."""

from __future__ import annotations

import numpy as np

from recokit.data import Candidates, RankingData
from recokit.typing import AnyArray, FloatArray

__all__ = ["feature_shift", "population_stability_index"]

#: Share that an empty bin counts as, so that the index stays finite.
_FLOOR = 1e-4


def population_stability_index(
    reference: AnyArray, current: AnyArray, *, n_bins: int = 10, reference_weight: AnyArray | None = None
) -> float:
    """Return the population stability index of a feature, 0 for equal distributions.

    The bins are the reference's quantiles; missing values are a bin of their own. Usual reading: below 0.1 stable, 0.1
    to 0.25 moved, above that another population. On n values of the same distribution its expectation is about
    ``bins * (1 / n_reference + 1 / n_current)``.

    Parameters
    ----------
    reference, current : ndarray of float, shapes (n,) and (m,)
    n_bins : int, default 10
        Quantile bins; repeated quantiles merge.
    reference_weight : ndarray of float, shape (n,), optional

    Examples
    --------
    >>> x = np.arange(1000.0)
    >>> round(population_stability_index(x, x), 6), population_stability_index(x, x + 500) > 0.25
    (0.0, True)
    """
    weight = np.ones(len(reference)) if reference_weight is None else np.asarray(reference_weight, np.float64)
    edges = _quantiles(np.asarray(reference, np.float64), weight, n_bins)
    expected = _shares(reference, weight, edges)
    found = _shares(current, np.ones(len(current)), edges)
    return float(((found - expected) * np.log(found / expected)).sum())


def _quantiles(values: FloatArray, weight: FloatArray, n_bins: int) -> FloatArray:
    known = np.isfinite(values) & (weight > 0)
    if not known.any():
        return np.zeros(0)
    order = np.argsort(values[known], kind="stable")
    ordered, share = values[known][order], np.cumsum(weight[known][order])
    at = np.searchsorted(share, share[-1] * np.arange(1, n_bins) / n_bins)
    edges: FloatArray = np.unique(ordered[np.minimum(at, len(ordered) - 1)])
    return edges


def _shares(values: AnyArray, weight: FloatArray, edges: FloatArray) -> FloatArray:
    # side="left": a value equal to an edge lies in the bin that ends there, so a value that repeats is one bin.
    bins = np.searchsorted(edges, values, side="left")
    bins[np.isnan(values)] = len(edges) + 1
    counts = np.bincount(bins, weights=weight, minlength=len(edges) + 2)
    shares: FloatArray = np.maximum(counts / max(counts.sum(), 1e-300), _FLOOR)
    return shares


def feature_shift(reference: RankingData, current: Candidates) -> dict[str, float]:
    """Return each feature's population stability index between training rows and candidates as served now."""
    place = {name: i for i, name in enumerate(current.feature_names)}
    return {
        name: population_stability_index(
            reference.features[:, i], current.features[:, place[name]], reference_weight=reference.weight
        )
        for i, name in enumerate(reference.feature_names)
        if name in place
    }
