"""Features that are read rather than computed, each block written into its columns of a wider matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.typing import Float32Array, FloatArray, IntArray


def take_rows(table: Float32Array, index: IntArray, out: Float32Array, start: int) -> None:
    """Write rows of a table into some columns of a matrix.

    Parameters
    ----------
    table : ndarray of float32, shape (M, F)
    index : ndarray of int64, shape (N,)
        Rows of the table, from 0.
    out : ndarray of float32, shape (N, W)
        Written from column ``start`` on.
    start : int

    Raises
    ------
    IndexError
        If the table has no such row, or the matrix is too narrow or has another length.
    """
    _, width = table.shape
    _require_room(out, len(index), start, width)
    native = kernels()
    if native is None or table.dtype != np.float32 or not (table.flags.c_contiguous and table.flags.aligned):
        if index.min(initial=0) < 0:
            raise IndexError(f"found row {index.min()}; expected rows from 0")
        out[:, start : start + width] = table.take(index, axis=0)
        return
    check(
        native.rk_take_rows(
            arrays.float32(table),
            len(table),
            width,
            arrays.int64.of(index),
            len(index),
            arrays.float32.out(out),
            out.shape[1],
            start,
        )
    )


def source_features(
    rank: Sequence[Float32Array],
    score: Sequence[Float32Array],
    offsets: IntArray,
    out: Float32Array,
    start: int,
) -> None:
    """Write how each of S sources ranked and scored each candidate into some columns of a matrix.

    Parameters
    ----------
    rank, score : sequences of S arrays of float32, shape (N,)
        NaN where the source did not find the candidate.
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the rows.
    out : ndarray of float32, shape (N, W)
        Written from column ``start`` on: for each source 1 / rank (0 without one) and the score scaled to 0..1 within
        the row (1 where all are equal, NaN where it is not finite); for two sources or more how many have a rank.
    start : int

    Raises
    ------
    IndexError
        If offsets do not ascend from 0 to N, or the matrix is too narrow or has another length.
    """
    n, n_sources = len(out), len(rank)
    _require_room(out, n, start, 2 * n_sources + (n_sources > 1))
    if not len(offsets) or len(score) != n_sources or {n, *map(len, rank), *map(len, score)} != {n}:
        raise IndexError(f"found columns of other lengths; expected {n}, one value for each candidate")
    native = kernels()
    if native is None:
        _source_features_by_numpy(rank, score, offsets, out, start)
        return
    check(
        native.rk_source_features(
            arrays.float32.each(rank),
            arrays.float32.each(score),
            n_sources,
            arrays.int64.of(offsets),
            len(offsets) - 1,
            n,
            arrays.float32.out(out),
            out.shape[1],
            start,
        )
    )


def _source_features_by_numpy(
    rank: Sequence[Float32Array],
    score: Sequence[Float32Array],
    offsets: IntArray,
    out: Float32Array,
    start: int,
) -> None:
    counts = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(out) or counts.min(initial=0) < 0:
        raise IndexError("found offsets that do not ascend from 0 to the number of candidates")
    for source, (places, values) in enumerate(zip(rank, score, strict=True)):
        missing = np.isnan(places)
        out[:, start + 2 * source] = np.where(missing, 0, 1 / np.where(missing, 1, places))
        out[:, start + 2 * source + 1] = _scaled(values, offsets)
    if len(rank) > 1:
        out[:, start + 2 * len(rank)] = sum(~np.isnan(places) for places in rank)


def _scaled(score: Float32Array, offsets: IntArray) -> FloatArray:
    """Scale scores to 0..1 within each row; what is not finite has no value."""
    scaled = score.astype(np.float64)
    scaled[np.isinf(scaled)] = np.nan
    filled = np.flatnonzero(np.diff(offsets))
    if not len(filled):
        return scaled
    low, high = np.full((2, len(offsets) - 1), np.nan)
    low[filled] = np.fmin.reduceat(scaled, offsets[filled])
    high[filled] = np.fmax.reduceat(scaled, offsets[filled])
    # Where all scores are equal they are all the best there is.
    flat = high == low
    row = offsets_to_rows(offsets)
    return (scaled - np.where(flat, low - 1.0, low)[row]) / np.where(flat, 1.0, high - low)[row]


def _require_room(out: Float32Array, n: int, start: int, width: int) -> None:
    if out.ndim != 2 or len(out) != n or start < 0 or start + width > out.shape[1]:
        raise IndexError(f"found a matrix {out.shape}; expected {n} rows and room for {width} from {start}")
