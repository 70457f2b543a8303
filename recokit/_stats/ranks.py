"""Ranks: how well one column orders another, fast over many pairs of columns, or within many rows."""

from __future__ import annotations

import numpy as np

from recokit._kernels.segments import rank_in_row, rows_to_offsets
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Rows that rank correlations are taken of: at 0.97 their standard error is below 0.001.
_MAX_ROWS = 5_000

#: Fewer pairs have no rank correlation to speak of.
_MIN_PAIRS = 5


def mid_ranks(values: AnyArray, row: IntArray | None = None) -> FloatArray:
    """Return each value's place among all, from 1, or among those of its row; ties share their mean, NaN is largest.

    Examples
    --------
    >>> mid_ranks(np.array([5.0, 3.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    >>> mid_ranks(np.array([5.0, 3.0, 5.0]), np.array([1, 0, 1])).tolist()
    [1.5, 1.0, 1.5]
    """
    order = np.argsort(values, kind="stable") if row is None else np.lexsort((values, row))
    ordered = values[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    place = np.arange(len(order))
    if row is not None:
        owner = row[order]
        new[1:] |= owner[1:] != owner[:-1]
        place = rank_in_row(owner, rows_to_offsets(owner, 0))
    first = np.flatnonzero(new)
    size = np.diff(np.append(first, len(order)))
    ranks = np.empty(len(order))
    ranks[order] = np.repeat(place[first] + (size + 1) / 2.0, size)
    return ranks


def areas_under_curve(row: IntArray, score: FloatArray, positive: BoolArray, n_rows: int) -> FloatArray:
    """Return for each row the chance that a positive of it scores above a negative, (n_rows,); ties count half.

    NaN for rows of one kind only. By ranks: Mann and Whitney, 1947.
    """
    return _area(mid_ranks(score, row), row, positive, n_rows)


def area_under_curve(score: FloatArray, positive: BoolArray) -> float:
    """Return the chance that a positive scores above a negative; ties count half. NaN if there is one kind only."""
    return float(_area(mid_ranks(score), np.zeros(len(score), np.int64), positive, 1)[0])


def _area(rank: FloatArray, row: IntArray, positive: BoolArray, n_rows: int) -> FloatArray:
    n_positive = np.bincount(row[positive], minlength=n_rows).astype(np.float64)
    n_negative = np.bincount(row, minlength=n_rows) - n_positive
    total = np.bincount(row[positive], rank[positive], minlength=n_rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((total - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative))


def rank_correlation(a: AnyArray, b: AnyArray) -> float:
    """Return Spearman's correlation of two score vectors, ties sharing a rank; NaN for fewer than 5, or flat ones."""
    x, y = _scaled_ranks(a), _scaled_ranks(b)
    return float(x @ y) if len(a) >= _MIN_PAIRS and x.any() and y.any() else float("nan")


class Correlations:
    """Spearman's correlations of named columns; a column's ranks among the same rows are computed once."""

    def __init__(self) -> None:
        self._ranked: dict[tuple[str, bytes], FloatArray] = {}

    def between(self, a: str, x: FloatArray, b: str, y: FloatArray, *, rows: BoolArray) -> float:
        """Return the correlation over the rows (n,) where the mask is set; 0 where one is constant."""
        key = rows.tobytes()
        for name, values in ((a, x), (b, y)):
            if (name, key) not in self._ranked:
                self._ranked[name, key] = _scaled_ranks(values[rows])
        return float(self._ranked[a, key] @ self._ranked[b, key])


def _scaled_ranks(values: AnyArray) -> FloatArray:
    """Return ranks with mean 0 and length 1, whose product is the correlation; 0 where all values are equal."""
    ranks = mid_ranks(values) - (len(values) + 1) / 2.0
    length = float(np.sqrt(ranks @ ranks))
    return ranks / length if length > 0 else ranks


def spread_rows(n: int, most: int = _MAX_ROWS) -> IntArray:
    """Return all of n rows, or some spread evenly where there are many."""
    rows: IntArray = np.linspace(0, n - 1, min(n, most)).astype(np.int64)
    return rows


def distinct_pairs(a: FloatArray, b: FloatArray) -> int:
    """Return how many different pairs of values there are: rows with the same pair tell nothing new."""
    return len(np.unique(np.stack([a, b]), axis=1).T) if len(a) else 0
