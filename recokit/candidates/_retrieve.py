"""The best of each row: of scores for the whole catalogue, of vectors, and of ragged lists, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from recokit._kernels.segments import counts_to_offsets
from recokit._kernels.sorting import bits_for, top_by_score
from recokit._kernels.top_k import top_k_dense, top_k_products
from recokit._utils.threads import map_parts
from recokit.data import Ragged, Requests, Retrieved
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

#: Scores in memory at once, of each thread: 32 MB as float32. The best of 8 to 64 MB for 41,000 items.
_BLOCK = 1 << 23
#: Queries of one part of a product.
_QUERIES = 768
#: Scores that are sorted together.
_SORT_BLOCK = 1 << 20


def retrieve_scored(
    requests: Requests,
    limit: int,
    n_codes: int,
    score: Callable[[IntArray], Float32Array],
    *,
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
    usable = _usable(n_codes, usable)
    rows = np.flatnonzero(known)
    exclude = requests.ragged.get("exclude")

    def best(here: IntArray) -> tuple[IntArray, IntArray, Float32Array]:
        return top_k_dense(score(here), limit, usable=usable, exclude=_lists(exclude, here))

    step = max(_BLOCK // n_codes, 1)
    return _spread(
        len(requests), rows, map_parts(best, [rows[i : i + step] for i in range(0, len(rows), step)])
    )


def retrieve_nearest(
    requests: Requests,
    limit: int,
    queries: Float32Array,
    vectors: Float32Array,
    *,
    known: BoolArray | None = None,
    usable: BoolArray | None = None,
) -> Retrieved:
    """Return the ``limit`` items of the largest inner product with each known row's query.

    Parameters
    ----------
    requests, limit, usable
        As in :func:`retrieve_scored`.
    queries : ndarray of float32, shape (B, D)
    vectors : ndarray of float32, shape (n_codes, D)
        By item code.
    known : ndarray of bool, shape (B,), optional
        Rows that have a query; by default those whose query is not all zeros.
    """
    if known is None:
        known = np.asarray(queries.any(axis=1))

    usable = _usable(len(vectors), usable)
    rows = np.flatnonzero(known)
    exclude = requests.ragged.get("exclude")
    vectors = np.asarray(vectors, np.float32)

    def best(here: IntArray) -> tuple[IntArray, IntArray, Float32Array]:
        wanted = np.asarray(queries[here], np.float32)
        return top_k_products(wanted, vectors, limit, usable=usable, exclude=_lists(exclude, here))

    parts = [rows[i : i + _QUERIES] for i in range(0, len(rows), _QUERIES)]
    return _spread(len(requests), rows, map_parts(best, parts))


def _usable(n_codes: int, usable: BoolArray | None) -> BoolArray:
    """Return the items that can be returned; code 0 by default is none."""
    return np.arange(n_codes) > 0 if usable is None else usable


def _lists(exclude: Ragged | None, rows: IntArray) -> tuple[IntArray, IntArray] | None:
    if exclude is None:
        return None
    out = exclude.take(rows)
    return out.offsets, out.values


def _spread(n: int, rows: IntArray, parts: list[tuple[IntArray, IntArray, Float32Array]]) -> Retrieved:
    """Return the answers of some of n rows; the others have none."""
    lists = joined(parts)
    counts = np.zeros(n, np.int64)
    counts[rows] = np.diff(lists.offsets)
    return Retrieved(counts_to_offsets(counts), lists.item, lists.score)


def similar_directions(vectors: Float32Array, items: IntArray, k: int) -> Retrieved:
    """Return the k items of the largest cosine with each item, itself left out.

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
    known = inside & usable[code]
    return retrieve_nearest(requests, k, directions[code], directions, known=known, usable=usable)


def similar_by_history(source: Any, items: IntArray, k: int) -> Retrieved:
    """Return the k items that a source finds for each item as the only one of a history, itself left out."""
    one = Ragged(np.arange(len(items) + 1), np.asarray(items, np.int64))
    requests = Requests.build(np.zeros(len(items), np.int64), ragged={"history": one, "exclude": one})
    lists: Retrieved = source.retrieve(requests, k)
    return lists


def cost_blocks(cost: AnyArray, budget: int, n_codes: int) -> Iterator[tuple[int, int]]:
    """Cut rows into blocks whose cost is within the budget, or of one row.

    A block has no more rows than a packed sort key has room for beside a score (32 bits) and an item code.
    """
    max_rows = 1 << max(31 - bits_for(n_codes), 0)
    total = np.cumsum(cost)
    start, done = 0, 0.0
    while start < len(cost):
        stop = int(np.searchsorted(total, done + budget, side="right"))
        stop = min(max(stop, start + 1), start + max_rows)
        yield start, stop
        start, done = stop, float(total[stop - 1])


def best_of_rows(
    offsets: IntArray, score: Float32Array, item: IntArray, limit: int, *, n_codes: int
) -> Retrieved:
    """Return the ``limit`` best of each row, ties by code, whatever the number of rows and of codes."""
    parts = []
    for first, last in cost_blocks(np.diff(offsets), _SORT_BLOCK, n_codes):
        here = slice(offsets[first], offsets[last])
        parts.append(top_by_score(offsets[first : last + 1] - offsets[first], score[here], item[here], limit))
    return joined(parts)


def joined(parts: list[tuple[IntArray, IntArray, Float32Array]]) -> Retrieved:
    """Return the answers of consecutive rows, each offsets, items and scores, as one."""
    if len(parts) == 1:
        return Retrieved(*parts[0])
    if not parts:
        return Retrieved.empty(0)
    counts = np.concatenate([np.diff(offsets) for offsets, _, _ in parts])
    return Retrieved(
        counts_to_offsets(counts),
        np.concatenate([item for _, item, _ in parts]),
        np.concatenate([score for _, _, score in parts]),
    )
