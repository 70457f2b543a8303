"""Means of a utility at the top of the lists, and the multiplier that keeps a bound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recokit.data import RankingData
from recokit.errors import DataError
from recokit.rankers._losses import Groups, weighted_ranks
from recokit.typing import AnyArray, BoolArray, FloatArray

#: Doublings from a millionth of the scale at which both parts of a utility vary alike, and halvings after that.
_DOUBLINGS, _HALVINGS = 50, 40


def top_mean(data: RankingData, score: AnyArray, observed: AnyArray, k: int) -> float:
    """Return the mean of what was observed (N,) over the first k places of every request.

    A sampled negative takes as many places as the rows that it stands for.

    Examples
    --------
    >>> data = RankingData(np.zeros((3, 0), np.float32), (), np.zeros(3, np.float32), np.array([1, 3, 1], np.float32),
    ...                    np.array([0, 3]), np.ones(3, np.int64), np.arange(1, 4), np.zeros(3))
    >>> top_mean(data, np.array([0.9, 0.5, 0.1]), np.array([1.0, 0.0, 1.0]), k=2)
    0.5
    """
    groups = Groups(np.zeros(len(data)), data.weight.astype(np.float64), data.offsets)
    rank = weighted_ranks(groups, np.asarray(score, np.float64))
    places = np.clip(k + 1.0 - rank, 0.0, groups.weight)
    total = groups.sum(places)
    filled = total > 0
    if not filled.any():
        return float("nan")
    return float(np.mean(groups.sum(places * observed)[filled] / total[filled]))


def smallest_multiplier(reached: Callable[[float], float], bound: float, scale: float, term: str) -> float:
    """Return the smallest multiplier of at least 0, by bisection, with which a bound is reached.

    Parameters
    ----------
    reached : callable
        The mean that a multiplier brings about.
    bound : float
    scale : float
        Multiplier with which both parts of the utility count alike.
    term : str
        For the error.

    Raises
    ------
    DataError
        If no multiplier reaches it.

    Examples
    --------
    >>> round(smallest_multiplier(lambda x: min(x, 5.0), 3.0, 1.0, "x"), 6)
    3.0
    """
    if reached(0.0) >= bound:
        return 0.0
    low, high = 0.0, scale * 1e-6
    for _ in range(_DOUBLINGS):
        if reached(high) >= bound:
            break
        low, high = high, 2.0 * high
    else:
        raise DataError(
            f"found a mean {term} of {reached(high):.6g} on top at most, ranked by it alone; "
            f"expected at least {bound:g}; hint: a lower bound"
        )
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if reached(middle) >= bound:
            high = middle
        else:
            low = middle
    return high


def pareto_front(values: FloatArray) -> BoolArray:
    """Tell which rows (M, T), larger being better, no other row beats: nowhere worse, somewhere better; (M,) bool.

    Examples
    --------
    >>> pareto_front(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]])).tolist()
    [True, True, False]
    """
    no_worse = (values[:, None] >= values[None]).all(axis=2)
    better = (values[:, None] > values[None]).any(axis=2)
    return np.asarray(~(no_worse & better).any(axis=0))
