"""Weighted sums of rows."""

from __future__ import annotations

import numpy as np

from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.typing import Float32Array, IntArray


def weighted_sums(rows: Float32Array, place: IntArray, weight: Float32Array) -> Float32Array:
    """Return the weighted sum of some columns of each row; a product that is NaN counts 0.

    Parameters
    ----------
    rows : ndarray of float32, shape (N, F)
    place : ndarray of int64, shape (W,)
        Columns, from 0.
    weight : ndarray of float32, shape (W,)

    Returns
    -------
    ndarray of float32, shape (N,)

    Raises
    ------
    IndexError
        If there is no such column, or not one weight for each.

    Examples
    --------
    >>> rows = np.array([[1, 2], [np.nan, 4]], np.float32)
    >>> weighted_sums(rows, np.array([1, 0]), np.array([1, 10], np.float32)).tolist()
    [12.0, 4.0]
    """
    if len(place) != len(weight):
        raise IndexError(f"found {len(weight)} weights; expected {len(place)}, one for each column")
    native = kernels()
    if native is None:
        return _sums_by_numpy(rows, place, weight)
    out = np.empty(len(rows), np.float32)
    check(
        native.rk_weighted_sums(
            arrays.float32.of(rows, 2),
            len(rows),
            rows.shape[1],
            arrays.int64.of(place),
            arrays.float32.of(weight),
            len(place),
            arrays.float32.out(out),
        )
    )
    return out


def _sums_by_numpy(rows: Float32Array, place: IntArray, weight: Float32Array) -> Float32Array:
    if place.min(initial=0) < 0:
        raise IndexError(f"found column {place.min()}; expected columns from 0")
    parts = rows.take(place, axis=1) * weight
    parts[np.isnan(parts)] = 0.0
    total: Float32Array = parts.sum(axis=1, dtype=np.float32)
    return total
