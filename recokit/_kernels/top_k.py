"""The one ordering of scores: descending, non-finite last, ties by position."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from recokit._kernels.segments import counts_to_offsets, rows_to_offsets
from recokit._kernels.sorting import top_by_score
from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.errors import ContractError
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

#: Rows and columns of a product at a time: what BLAS makes is still in the cache when it is read.
_TILE_ROWS, _TILE_COLUMNS = 384, 512
#: Scores in memory at once without compiled kernels: 32 MB, within a tenth of the best of 2 to 64 MB.
_BLOCK = 1 << 23
#: Lists of columns, as offsets and columns.
_Lists: TypeAlias = tuple[IntArray, IntArray]


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


def top_k_dense(
    scores: Float32Array, k: int, *, usable: BoolArray | None = None, exclude: _Lists | None = None
) -> tuple[IntArray, IntArray, Float32Array]:
    """Pick the k best columns of every row of a dense score matrix; what is not finite is never picked.

    Parameters
    ----------
    scores : ndarray of float32, shape (B, M)
        May be written to where ``exclude`` is given.
    k : int
        A row with fewer finite scores keeps all of those.
    usable : ndarray of bool, shape (M,), optional
        Columns that can be picked; all by default.
    exclude : tuple of ndarray, optional
        Offsets (B + 1,) and columns that each row passes over; those beyond the last one exclude nothing.

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
    rows, width = scores.shape
    _check(rows, width, usable, exclude)
    if kernels() is None:
        return _plain(scores, k, usable, exclude)
    scores = np.require(scores, np.float32, ["C", "ALIGNED", "WRITEABLE"])
    best = _Best(rows, min(k, width))
    best.offer(scores, 0, usable, exclude, last=True)
    return best.lists()


def top_k_products(
    queries: Float32Array,
    vectors: Float32Array,
    k: int,
    *,
    usable: BoolArray | None = None,
    exclude: _Lists | None = None,
) -> tuple[IntArray, IntArray, Float32Array]:
    """Pick the k vectors (M, D) of the largest inner product with each query (B, D), see :func:`top_k_dense`."""
    _check(len(queries), len(vectors), usable, exclude)
    native = kernels() is not None
    step = _TILE_ROWS if native else max(_BLOCK // max(len(vectors), 1), 1)
    # Few rows have wide tiles: each has its own cost.
    columns = _TILE_COLUMNS * max(_TILE_ROWS // max(len(queries), 1), 1)
    buffer = np.empty(min(step, len(queries)) * min(columns, len(vectors)) * native, np.float32)
    parts = []
    for first in range(0, len(queries), step):
        rows = queries[first : first + step]
        out = None if exclude is None else (exclude[0][first : first + step + 1], exclude[1])
        if not native:
            parts.append(_plain(np.asarray(rows @ vectors.T), k, usable, out))
            continue
        best = _Best(len(rows), min(k, len(vectors)))
        for start in range(0, len(vectors), columns):
            part = vectors[start : start + columns]
            tile = buffer[: len(rows) * len(part)].reshape(len(rows), len(part))
            best.offer(
                np.matmul(rows, part.T, out=tile), start, usable, out, last=start + columns >= len(vectors)
            )
        parts.append(best.lists())
    return _joined(parts)


def _check(rows: int, width: int, usable: BoolArray | None, exclude: _Lists | None) -> None:
    if usable is not None and (usable.shape != (width,) or usable.dtype != np.bool_):
        raise ContractError(
            f"found usable of {usable.dtype}, shape {usable.shape}; expected bool, shape ({width},)"
        )
    if exclude is None:
        return
    offsets, item = exclude
    ends = np.concatenate([[0], offsets, [len(item)]])
    if len(offsets) != rows + 1 or (ends[1:] < ends[:-1]).any() or item.dtype != np.int64 or item.ndim != 1:
        raise ContractError(
            f"found offsets of {len(offsets) - 1} rows, from {min(ends)} to {max(ends)}, and items of {item.dtype}; "
            f"expected {rows} rows that ascend from 0 to {len(item)} at most, and int64"
        )


class _Best:
    """The k best columns of each row so far."""

    def __init__(self, rows: int, k: int) -> None:
        self.k = max(k, 0)
        self.column = np.empty((rows, self.k), np.int64)
        self.score = np.empty((rows, self.k), np.float32)
        self.size = np.zeros(rows, np.int64)

    def offer(
        self,
        scores: Float32Array,
        start: int,
        usable: BoolArray | None,
        exclude: _Lists | None,
        *,
        last: bool,
    ) -> None:
        """Take in the scores (B, W) of the columns from ``start`` on."""
        nothing = arrays.null()
        offsets, item = (nothing, nothing) if exclude is None else map(arrays.int64, exclude)
        arguments = (
            *(arrays.float32.out(scores), *scores.shape, start),
            *(nothing if usable is None else arrays.boolean(usable), offsets, item),
            *(0 if exclude is None else len(exclude[1]), self.k, int(last)),
            *(arrays.int64.out(self.column), arrays.float32.out(self.score), arrays.int64.out(self.size)),
        )
        check(kernels().rk_top_k_tile(*arguments))

    def lists(self) -> tuple[IntArray, IntArray, Float32Array]:
        """Return offsets, columns and scores, best first."""
        kept = np.arange(self.k) < self.size[:, None]
        return counts_to_offsets(self.size), self.column[kept], self.score[kept]


def _plain(
    scores: Float32Array, k: int, usable: BoolArray | None, exclude: _Lists | None
) -> tuple[IntArray, IntArray, Float32Array]:
    scores = np.where(np.isfinite(scores), scores, -np.inf)
    if usable is not None:
        scores[:, ~usable] = -np.inf
    if exclude is not None:
        offsets, item = exclude
        row, item = np.repeat(np.arange(len(scores)), np.diff(offsets)), item[offsets[0] : offsets[-1]]
        inside = (item >= 0) & (item < scores.shape[1])
        scores[row[inside], item[inside]] = -np.inf
    rows, width = scores.shape
    k = min(k, width)
    if k < 1:
        return top_by_score(np.zeros(rows + 1, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64), 0)
    floor = np.partition(scores, width - k, axis=1)[:, width - k, None]
    row, column = np.nonzero((scores >= floor) & (scores > -np.inf))
    return top_by_score(rows_to_offsets(row, rows), scores[row, column], column, k)


def _joined(
    parts: list[tuple[IntArray, IntArray, Float32Array]],
) -> tuple[IntArray, IntArray, Float32Array]:
    counts = [np.diff(offsets) for offsets, _, _ in parts]
    return (
        counts_to_offsets(np.concatenate([np.zeros(0, np.int64), *counts])),
        np.concatenate([np.zeros(0, np.int64), *(column for _, column, _ in parts)]),
        np.concatenate([np.zeros(0, np.float32), *(score for _, _, score in parts)]),
    )
