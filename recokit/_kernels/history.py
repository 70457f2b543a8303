"""A user's own items with what is left of their weights."""

from __future__ import annotations

import numpy as np

from recokit._kernels.segments import offsets_to_rows, rows_to_offsets
from recokit._kernels.sorting import group_pairs
from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.typing import Float32Array, FloatArray, IntArray


def weighted_items(
    offsets: IntArray,
    item: IntArray,
    *,
    weight: Float32Array | None = None,
    time: FloatArray | None = None,
    half_life: float | None = None,
) -> tuple[IntArray, IntArray, FloatArray]:
    """Sum the weights of each row's events over its distinct items, the last taken first.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the rows.
    item : ndarray of int64, shape (N,)
        Items of the events, oldest first; those that are not above 0 are left out.
    weight : ndarray of float32, shape (N,), optional
        1 by default, and where it is NaN.
    time : ndarray of float64, shape (N,), optional
        Seconds; an event whose time is NaN counts as the row's newest.
    half_life : float, optional
        Seconds after which an event counts half, as of the row's newest.

    Returns
    -------
    offsets : ndarray of int64, shape (B + 1,)
    item : ndarray of int64, shape (M,)
    weight : ndarray of float64, shape (M,)

    Raises
    ------
    IndexError
        If offsets do not ascend from 0 to N, or a column has another length.

    Examples
    --------
    >>> offsets, item, weight = weighted_items(np.array([0, 4]), np.array([7, 5, 7, 0]))
    >>> item.tolist(), weight.tolist()
    ([7, 5], [2.0, 1.0])
    """
    columns = [column for column in (weight, time) if column is not None]
    if not len(offsets) or {len(item), *map(len, columns)} != {len(item)}:
        raise IndexError("found columns of different lengths; expected one value for each event")
    if half_life is None:
        time = None
    elif not half_life > 0:
        raise ValueError(f"found half_life {half_life}; expected seconds above 0")
    native = kernels()
    if native is None:
        return _weighted_items_by_numpy(offsets, item, weight, time, half_life)
    n, null = len(item), arrays.null()
    kept, found, left = np.empty(len(offsets), np.int64), np.empty(n, np.int64), np.empty(n)
    check(
        native.rk_weighted_items(
            arrays.int64.of(offsets),
            len(offsets) - 1,
            n,
            arrays.int64.of(item),
            null if weight is None else arrays.float32.of(weight),
            null if time is None else arrays.float64.of(time),
            half_life or 0.0,
            arrays.int64.out(kept),
            arrays.int64.out(found),
            arrays.float64.out(left),
        )
    )
    n_found = int(kept[-1])
    return kept, found[:n_found], left[:n_found]


def _weighted_items_by_numpy(
    offsets: IntArray,
    item: IntArray,
    weight: Float32Array | None,
    time: FloatArray | None,
    half_life: float | None,
) -> tuple[IntArray, IntArray, FloatArray]:
    if offsets[0] != 0 or offsets[-1] != len(item) or np.diff(offsets).min(initial=0) < 0:
        raise IndexError("found offsets that do not ascend from 0 to the number of events")
    kept = item > 0
    row, item = offsets_to_rows(offsets)[kept], item[kept]
    offsets = rows_to_offsets(row, len(offsets) - 1)
    left = np.ones(len(item))
    if weight is not None:
        left = np.where(np.isnan(weight[kept]), 1.0, weight[kept].astype(np.float64))
    if time is not None and half_life is not None:
        left *= np.exp2(-np.maximum(_before_newest(time[kept], offsets), 0.0) / half_life)
    pairs = group_pairs(offsets, item)
    # Mirror the positions within each row, so that the last event comes first.
    last = pairs.last
    order = np.argsort(offsets[row[last]] + offsets[row[last] + 1] - last)
    return pairs.offsets, item[last[order]], pairs.sum(left)[order]


def _before_newest(time: FloatArray, offsets: IntArray) -> FloatArray:
    """Return how long before its row's newest event each event was; 0 where its time is missing."""
    some = np.flatnonzero(np.diff(offsets))
    newest = np.fmax.reduceat(time, offsets[some]) if len(some) else time
    return np.nan_to_num(np.repeat(newest, np.diff(offsets)[some]) - time, nan=0.0)
