"""The one ordering of scores: descending, non-finite last, ties by position."""

from __future__ import annotations

import numpy as np

from recokit._ops.segments import counts_to_offsets
from recokit.typing import AnyArray, IntArray

__all__ = ["order_by_score", "sort_key", "top_k", "top_k_dense"]


def sort_key(score: AnyArray) -> AnyArray:
    """Return a key that sorts ascending into the order of recommendations.

    ``+inf`` is as broken as NaN: a score that is not finite never wins a place, it sinks to the end.
    """
    return np.where(np.isfinite(score), -score, np.inf)


def order_by_score(row: IntArray, score: AnyArray) -> IntArray:
    """Order elements by row, then by score.

    Parameters
    ----------
    row : ndarray of int64, shape (N,)
        Row index of each element, sorted ascending.
    score : ndarray of float, shape (N,)
        Score of each element, any scale.

    Returns
    -------
    ndarray of int64, shape (N,)
        A permutation: rows stay together, scores descend within a row, non-finite last, ties by position.

    Examples
    --------
    >>> order_by_score(np.array([0, 0, 0, 1]), np.array([1.0, np.nan, 3.0, 2.0])).tolist()
    [2, 0, 1, 3]
    """
    key = sort_key(score)
    if len(row) and row[0] == row[-1]:
        return np.argsort(key, kind="stable")
    return np.lexsort((key, row))


def top_k(offsets: IntArray, score: AnyArray, k: int | IntArray) -> tuple[IntArray, IntArray]:
    """Pick the k best of every ragged row.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the rows.
    score : ndarray of float, shape (N,)
        Score of each element, any scale.
    k : int or ndarray of int64, shape (B,)
        How many to keep of each row; a shorter row keeps all that it has.

    Returns
    -------
    new_offsets : ndarray of int64, shape (B + 1,)
    index : ndarray of int64
        Positions of the picked elements, best first within each row.
    """
    counts = np.diff(offsets)
    kept = np.minimum(counts, k)
    row = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    order = order_by_score(row, score)
    rank = np.arange(len(score), dtype=np.int64) - offsets[row]
    return counts_to_offsets(kept), order[rank < kept[row]]


def top_k_dense(scores: AnyArray, k: int) -> IntArray:
    """Pick the k best columns of every row of a dense score matrix (B, M); (B, min(k, M)) int64, best first.

    Exactly the order of :func:`order_by_score`: descending, non-finite last, ties by position.
    """
    key = sort_key(scores)
    k = min(k, scores.shape[1])
    if k == 0:
        return np.zeros((len(scores), 0), np.int64)
    if k < scores.shape[1]:
        columns = _k_smallest(key, k)
        order = np.argsort(np.take_along_axis(key, columns, axis=1), axis=1, kind="stable")
        return np.take_along_axis(columns, order, axis=1)
    return np.argsort(key, axis=1, kind="stable")


def _k_smallest(key: AnyArray, k: int) -> IntArray:
    """Return the columns of the k smallest keys of every row, (B, k), in position order; ties by position."""
    # A partition breaks ties arbitrarily: take all below the k-th value, and as many equals as are due.
    threshold = np.partition(key, k - 1, axis=1)[:, k - 1 : k]
    picked = key <= threshold
    tied = np.flatnonzero(np.count_nonzero(picked, axis=1) > k)
    if len(tied):
        below = key[tied] < threshold[tied]
        equal = key[tied] == threshold[tied]
        due = k - np.count_nonzero(below, axis=1)[:, None]
        picked[tied] = below | (equal & (np.cumsum(equal, axis=1) <= due))
    return np.nonzero(picked)[1].reshape(len(key), k)
