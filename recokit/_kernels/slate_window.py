"""The window that a list is chosen from: each row's best candidates, padded to the same width."""

from __future__ import annotations

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit._kernels.top_k import order_by_score
from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.errors import ContractError
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

Windows = tuple[IntArray, BoolArray, Float32Array]


def best_window(offsets: IntArray, score: AnyArray, width: IntArray) -> Windows:
    """Return the best candidates of each row, best first.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the rows.
    score : ndarray of float32, shape (N,)
        Scores that are not finite come last, ties go by position.
    width : ndarray of int64, shape (B,)
        So many of each row.

    Returns
    -------
    index : ndarray of int64, shape (B, W)
        Positions; padding repeats position 0.
    valid : ndarray of bool, shape (B, W)
        False where padded.
    relevance : ndarray of float32, shape (B, W)
        See :func:`relevance_of`.
    """
    if width.shape != (len(offsets) - 1,):
        raise ContractError(f"found widths of shape {width.shape}; expected one for {len(offsets) - 1} rows")
    if kernels() is None or score.dtype != np.float32:
        order = order_by_score(offsets_to_rows(offsets), score)
        return window_of(offsets, order, width, score)
    counts = np.minimum(offsets[1:] - offsets[:-1], width)
    # No row has more candidates than there are, whatever its offsets claim before they are checked.
    shape = (len(counts), max(min(int(counts.max(initial=0)), len(score)), 1))
    index, valid, relevance = (
        np.empty(shape, np.int64),
        np.empty(shape, np.bool_),
        np.empty(shape, np.float32),
    )
    n, rows, integers = len(score), len(counts), arrays.int64
    out = integers.out(index), arrays.boolean.out(valid), arrays.float32.out(relevance)
    pointers = arrays.float32.of(score), n, integers.of(offsets), rows, integers.of(width), shape[1]
    check(kernels().rk_slate_window(*pointers, *out))
    return index, valid, relevance


def window_of(offsets: IntArray, order: IntArray, width: IntArray, score: AnyArray) -> Windows:
    """Return the window of candidates in a given order, rows of it by offsets; results as of :func:`best_window`."""
    counts = np.minimum(offsets[1:] - offsets[:-1], width)
    place = np.arange(max(int(counts.max(initial=0)), 1))
    valid = place < counts[:, None]
    position = np.where(valid, offsets[:-1, None] + place, 0)
    index = np.where(valid, order[position], 0) if len(order) else np.zeros_like(position)
    return index, valid, relevance_of(score, index, valid)


def relevance_of(score: AnyArray, index: IntArray, valid: BoolArray) -> Float32Array:
    """Return scores scaled to 0..1 within each row; all equal give 1, what is not finite or padded 0."""
    if not score.size:
        return np.zeros(index.shape, np.float32)
    score = score[index]
    finite = np.isfinite(score) & valid
    lowest = np.where(finite, score, np.inf).min(axis=1, keepdims=True)
    score = np.where(finite, score, np.where(np.isfinite(lowest), lowest, 0))
    low = score.min(axis=1, keepdims=True)
    spread = score.max(axis=1, keepdims=True) - low
    differ = spread > 0
    return np.asarray(np.where(differ, (score - low) / np.where(differ, spread, 1), finite), np.float32)
