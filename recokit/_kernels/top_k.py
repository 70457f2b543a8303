"""The one ordering of scores: descending, non-finite last, ties by position."""

from __future__ import annotations

import numpy as np

from recokit._kernels.segments import counts_to_offsets, rows_to_offsets
from recokit._kernels.sorting import top_by_score
from recokit.typing import AnyArray, Float32Array, IntArray

#: Groups of columns for each wanted one in the first pass of top_k_dense: fewer make it faster, its floor lower.
_GROUPS_FOR_EACH = 8


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


def top_k_dense(scores: Float32Array, k: int) -> tuple[IntArray, IntArray, Float32Array]:
    """Pick the k best columns of every row of a dense score matrix; what is not finite is never picked.

    Parameters
    ----------
    scores : ndarray of float32, shape (B, M)
    k : int
        A row with fewer finite scores keeps all of those.

    Returns
    -------
    offsets : ndarray of int64, shape (B + 1,)
    column : ndarray of int64
        Best first within each row, ties by column.
    score : ndarray of float32

    Examples
    --------
    >>> offsets, column, score = top_k_dense(np.array([[1, np.nan, 3], [2, 2, 2]], np.float32), 2)
    >>> offsets.tolist(), column.tolist()
    ([0, 2, 4], [2, 0, 0, 1])
    """
    scores = np.ascontiguousarray(scores)
    rows, width = scores.shape
    hits = np.flatnonzero(scores >= _floors(scores, k)[:, None]) if k and width else np.zeros(0, np.int64)
    value = scores.reshape(-1)[hits]
    if not (value < np.inf).all():
        hits, value = hits[value < np.inf], value[value < np.inf]
    row = hits // max(width, 1)
    return top_by_score(rows_to_offsets(row, rows), value, hits - row * width, k)


def _floors(scores: Float32Array, k: int) -> Float32Array:
    """Return for each row a score that at least k finite ones reach, or the lowest finite one there is.

    The columns are dealt into groups: the k-th largest of the groups' best is such a score, and hardly more than k
    reach it. It costs one pass over the matrix, where a partition of each row costs ten.
    """
    rows, width = scores.shape
    lowest = np.full(rows, np.finfo(np.float32).min, np.float32)
    depth = width // (_GROUPS_FOR_EACH * k)
    if depth < 2:
        return lowest
    groups = width // depth
    best = scores[:, : groups * depth].reshape(rows, depth, groups).max(axis=1)
    if not (best < np.inf).all():
        # NaN or infinity would pass for a good score here.
        best = np.where(np.isfinite(scores), scores, -np.inf)[:, : groups * depth]
        best = best.reshape(rows, depth, groups).max(axis=1)
    return np.maximum(lowest, np.partition(best, groups - k, axis=1)[:, groups - k])
