"""What models that score the whole catalogue share: histories as a matrix, and the best of each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.segments import counts_to_offsets
from recokit._kernels.top_k import top_k_dense
from recokit._utils.threads import map_parts
from recokit.candidates._shared import Duration, distinct_history
from recokit.data import Ragged, Requests, Retrieved
from recokit.typing import BoolArray, Float32Array, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["history_matrix", "retrieve_nearest", "retrieve_scored", "similar_directions"]

#: Scores in memory at once, of each thread: 32 MB as float32. The best of 8 to 64 MB for 41,000 items.
_BLOCK = 1 << 23


def history_matrix(
    requests: Requests, n_codes: int, *, half_life: Duration | None = None, most: int | None = None
) -> csr_matrix:
    """Return the weighted distinct items of each row's history.

    Parameters
    ----------
    requests : Requests
        With the list ``history``; unknown items in it (code 0) are ignored.
    n_codes : int
        Columns, the model's items + 1. Items that the model does not know, added since, are ignored.
    half_life : duration, optional
        Half-life of a weight, as of each request's own time.
    most : int, optional
        Only this many of the most recent events of each row.

    Returns
    -------
    scipy.sparse.csr_matrix of float32, shape (B, n_codes)
        Columns are item codes, sorted within each row.
    """
    from scipy.sparse import csr_matrix

    offsets, item, weight = distinct_history(requests, half_life=half_life, most=most)
    inside = item < n_codes
    if not inside.all():
        total = np.concatenate([[0], np.cumsum(inside)])
        offsets, item, weight = total[offsets], item[inside], weight[inside]
    matrix = csr_matrix((weight.astype(np.float32), item, offsets), shape=(len(requests), n_codes))
    matrix.sort_indices()
    return matrix


def retrieve_scored(
    requests: Requests,
    limit: int,
    n_codes: int,
    score: Callable[[IntArray], Float32Array],
    known: BoolArray,
    usable: BoolArray | None = None,
) -> Retrieved:
    """Return the ``limit`` best items of each known row, best first, ties by code.

    Parameters
    ----------
    requests : Requests
        Items in its list ``exclude`` are passed over, so that they use up no place.
    limit : int
    n_codes : int
        Items of the model + 1.
    score : callable
        From row numbers, (b,) int64, to a fresh (b, n_codes) float32 array, which is written to here. What is not
        finite is no candidate, and neither is code 0. Called from several threads.
    known : ndarray of bool, shape (B,)
        Rows that have what a score needs; the others get nothing.
    usable : ndarray of bool, shape (n_codes,), optional
        Items that can be returned, False for code 0; all by default.
    """
    never = np.zeros(1, np.int64) if usable is None else np.flatnonzero(~usable)
    rows = np.flatnonzero(known)
    exclude = requests.ragged.get("exclude")

    def best(here: IntArray) -> tuple[IntArray, IntArray, Float32Array]:
        found = score(here)
        found[:, never] = -np.inf
        if exclude is not None:
            out = exclude.take(here)
            inside = out.values < n_codes
            found[out.rows[inside], out.values[inside]] = -np.inf
        return top_k_dense(found, limit)

    parts = map_parts(best, list(_blocks(rows, max(_BLOCK // n_codes, 1))))
    counts = np.zeros(len(requests), np.int64)
    if parts:
        counts[rows] = np.concatenate([np.diff(offsets) for offsets, _, _ in parts])
    return Retrieved(
        counts_to_offsets(counts),
        np.concatenate([np.zeros(0, np.int64), *(item for _, item, _ in parts)]),
        np.concatenate([np.zeros(0, np.float32), *(value for _, _, value in parts)]),
    )


def retrieve_nearest(
    requests: Requests,
    limit: int,
    queries: Float32Array,
    vectors: Float32Array,
    known: BoolArray,
    usable: BoolArray | None = None,
) -> Retrieved:
    """Return the ``limit`` items of the largest inner product with each known row's query.

    Parameters
    ----------
    requests, limit, known, usable
        As in :func:`retrieve_scored`.
    queries : ndarray of float32, shape (B, D)
    vectors : ndarray of float32, shape (n_codes, D)
        By item code.
    """

    def score(rows: IntArray) -> Float32Array:
        return np.asarray(queries[rows] @ vectors.T)

    return retrieve_scored(requests, limit, len(vectors), score, known, usable)


def similar_directions(vectors: Float32Array, items: IntArray, k: int) -> Retrieved:
    """Return the k items of the largest cosine with each given item, itself left out.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_codes, D)
        By item code; zeros for items that have no place in it.
    items : ndarray of int64, shape (B,)
    k : int
    """
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)
    usable = norm[:, 0] > 0
    inside = (items > 0) & (items < len(vectors))
    code = np.where(inside, items, 0)
    requests = Requests.build(
        np.zeros(len(items), np.int64), ragged={"exclude": Ragged(np.arange(len(items) + 1), code)}
    )
    return retrieve_nearest(requests, k, directions[code], directions, inside & usable[code], usable)


def _blocks(rows: IntArray, size: int) -> Iterator[IntArray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
