"""Operations on ragged rows given as CSR offsets: ``offsets[b]:offsets[b + 1]`` is row ``b``."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

_FEW = 32


def any_true(mask: BoolArray) -> bool:
    """Tell whether any element is set: for few, as those of one request, in a tenth of numpy's time."""
    return True in mask.tolist() if len(mask) < _FEW else bool(mask.any())


def bounds(values: AnyArray) -> tuple[Any, Any]:
    """Return the lowest and the highest of some values, of at least one: for few in a tenth of numpy's time."""
    few = values.tolist() if len(values) < _FEW else values
    return (min(few), max(few)) if few is not values else (values.min(), values.max())


def counts_to_offsets(counts: AnyArray) -> IntArray:
    """Turn row lengths (B,) into CSR offsets (B + 1,)."""
    if len(counts) == 1:  # one request, the usual case: a third of the time
        return np.array([0, counts[0]], np.int64)
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def offsets_to_rows(offsets: IntArray) -> IntArray:
    """Return the row index of every element, (N,) int64, for CSR offsets (B + 1,)."""
    if len(offsets) == 2:
        return np.zeros(offsets[1] - offsets[0], np.int64)
    return np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), offsets[1:] - offsets[:-1])


def rows_to_offsets(row: IntArray, n_rows: int) -> IntArray:
    """Return CSR offsets (n_rows + 1,) of row indices (N,) that are sorted ascending."""
    if n_rows == 1:
        return np.array([0, len(row)], np.int64)
    return counts_to_offsets(np.bincount(row, minlength=n_rows))


def multi_arange(starts: IntArray, counts: IntArray) -> IntArray:
    """Concatenate ``arange(s, s + c)`` for each pair of a start and a count.

    Examples
    --------
    >>> multi_arange(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    return spans(starts, counts)[1]


def spans(starts: IntArray, counts: IntArray) -> tuple[IntArray, IntArray]:
    """Return CSR offsets (B + 1,) of so many elements each, and the positions from each start on."""
    offsets = counts_to_offsets(counts)
    if len(counts) == 1:
        return offsets, np.arange(starts[0], starts[0] + counts[0], dtype=np.int64)
    return offsets, np.arange(offsets[-1], dtype=np.int64) + np.repeat(starts - offsets[:-1], counts)


def gather_segments(offsets: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Pick rows of a ragged array: new offsets, and the index of every element picked.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the ragged array.
    rows : ndarray of int64, shape (R,)
        Rows to pick, in any order, repeats allowed.

    Returns
    -------
    new_offsets : ndarray of int64, shape (R + 1,)
    index : ndarray of int64
        Positions of the picked elements in the ragged array's values.
    """
    starts = offsets[rows]
    return spans(starts, offsets[rows + 1] - starts)


def stable_order(keys: IntArray) -> IntArray:
    """Return the order that sorts keys of at least 0, (N,) int64; equal keys keep their order.

    Sorting plain values is several times faster than sorting positions: the position goes into the low digits of the
    key where both fit into 63 bits.
    """
    n = len(keys)
    if n == 0 or int(keys.max()) >= 2**63 // n - 1:
        return np.argsort(keys, kind="stable")
    return np.asarray(np.sort(keys * n + np.arange(n)) % n)


def rank_in_row(row: IntArray, offsets: IntArray) -> IntArray:
    """Return every element's 0-based position within its row, (N,) int64."""
    place = np.arange(len(row), dtype=np.int64)
    return place if len(offsets) == 2 else place - offsets[row]


def segment_sum(values: AnyArray | BoolArray, row: IntArray, n_rows: int) -> FloatArray:
    """Sum values (N,) by row index (N,) into (n_rows,) float64."""
    return np.bincount(row, weights=values, minlength=n_rows).astype(np.float64, copy=False)
