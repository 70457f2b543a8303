"""Fusion of ranked lists: which items, in which order, and where each list had them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from recokit._kernels.segments import offsets_to_rows, rank_in_row, rows_to_offsets
from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit._utils.copies import frozen
from recokit.typing import Float32Array, IntArray, UInt64Array

Fusion: TypeAlias = Literal["interleave", "rrf", "quota"]

#: Constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009).
RRF_K = 60
#: Reciprocal ranks are summed in fixed point, so that the order of the lists cannot change a tie.
_FIXED_POINT = float(1 << 40)
_ALL = np.iinfo(np.int64).max


@frozen
class Fused:
    """N distinct items of B rows, in fusion order, with what each of S lists knew of them.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
    row, item : ndarray of int64, shape (N,)
    sources : ndarray of uint64, shape (N,)
        Bit ``s`` is set where list ``s`` has the item.
    rank, score : ndarray of float32, shape (S, N)
        1-based rank and score in each list, NaN where it lacks the item.
    """

    offsets: IntArray
    row: IntArray
    item: IntArray
    sources: UInt64Array
    rank: Float32Array
    score: Float32Array


def fuse_lists(
    offsets: Sequence[IntArray],
    item: Sequence[IntArray],
    score: Sequence[Float32Array],
    *,
    by: Fusion,
    limit: int,
    shares: Sequence[float],
) -> Fused:
    """Fuse S ranked lists of each of B rows into one, without repeats.

    Parameters
    ----------
    offsets, item, score : sequences of S arrays
        The lists as CSR, best first, distinct items within a row.
    by : {"interleave", "rrf", "quota"}
        See :class:`recokit.compose.Merge`.
    limit : int
        Most items of each row.
    shares : sequence of S floats
        For ``"quota"``: each list's share of the limit.

    Raises
    ------
    IndexError
        If offsets do not ascend from 0 to the number of items.
    """
    within = [_ALL] * len(offsets)
    if by == "quota":
        if len(shares) != len(offsets) or not np.isfinite(shares).all():
            raise IndexError(f"found shares {shares}; expected a number for each of {len(offsets)} lists")
        within = np.floor(limit * np.asarray(shares) + 1e-9).astype(np.int64).tolist()
    form = _fused_by_numpy if kernels() is None else _fused_natively
    return form(offsets, item, score, within=within, by_ranks=by == "rrf", limit=max(limit, 0))


def _fused_natively(
    offsets: Sequence[IntArray],
    item: Sequence[IntArray],
    score: Sequence[Float32Array],
    *,
    within: Sequence[int],
    by_ranks: bool,
    limit: int,
) -> Fused:
    n_rows, n_lists = len(offsets[0]) - 1, len(offsets)
    lengths = list(map(len, item))
    ends = [n_rows + 1] * len(lengths)
    if n_rows < 0 or list(map(len, offsets)) != ends or list(map(len, score)) != lengths:
        raise IndexError("found lists of different lengths; expected one offset a row, one score an item")
    total = sum(lengths)
    limit = min(limit, total)
    capacity = min(total, n_rows * limit)
    row, found = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    kept, sources = np.empty(n_rows + 1, np.int64), np.empty(capacity, np.uint64)
    rank, score_of = np.empty((2, n_lists, capacity), np.float32)
    check(
        kernels().rk_fuse(
            n_rows,
            n_lists,
            arrays.int64.each(offsets),
            arrays.int64.each(item),
            arrays.float32.each(score),
            lengths,
            by_ranks,
            _FIXED_POINT,
            RRF_K,
            within,
            limit,
            capacity,
            arrays.int64.out(kept),
            arrays.int64.out(row),
            arrays.int64.out(found),
            arrays.uint64.out(sources),
            arrays.float32.out(rank),
            arrays.float32.out(score_of),
        )
    )
    n = int(kept[-1])
    return Fused(
        offsets=kept,
        row=row[:n],
        item=found[:n],
        sources=sources[:n],
        rank=rank[:, :n],
        score=score_of[:, :n],
    )


def _fused_by_numpy(
    offsets: Sequence[IntArray],
    item: Sequence[IntArray],
    score: Sequence[Float32Array],
    *,
    within: Sequence[int],
    by_ranks: bool,
    limit: int,
) -> Fused:
    n_rows, n_lists = len(offsets[0]) - 1, len(offsets)
    rows = [offsets_to_rows(starts) for starts in offsets]
    row, items, first = np.concatenate(rows), np.concatenate(item), np.asarray(within)
    rank = np.concatenate([rank_in_row(*part) for part in zip(rows, offsets, strict=True)])
    source = np.repeat(np.arange(n_lists), [len(part) for part in rows])
    # The best element of each item first: its priority is the item's.
    order = np.lexsort((source, rank, rank >= first[source], items, row))
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(items[order]) != 0) | (np.diff(row[order]) != 0)
    best, entry = order[new], np.empty(len(order), np.int64)
    entry[order] = np.cumsum(new) - 1
    gain = np.zeros(len(best), np.int64)
    if by_ranks:
        np.add.at(gain, entry, np.rint(_FIXED_POINT / (RRF_K + 1 + rank)).astype(np.int64))
    by_place = np.lexsort((source[best], rank[best], (rank >= first[source])[best], -gain, row[best]))
    fused_rows = row[best][by_place]
    kept = rank_in_row(fused_rows, rows_to_offsets(fused_rows, n_rows)) < limit
    by_place = by_place[kept]
    place = np.full(len(best), -1)
    place[by_place] = np.arange(len(by_place))
    cell = (source, place[entry])
    inside = cell[1] >= 0
    # One column more, for what was cut.
    ranks, scores = np.full((2, n_lists, len(by_place) + 1), np.nan, np.float32)
    ranks[cell], scores[cell] = rank + 1, np.concatenate(score)
    sources = np.zeros(len(by_place), np.uint64)
    np.bitwise_or.at(sources, cell[1][inside], np.uint64(1) << source[inside].astype(np.uint64))
    return Fused(
        rows_to_offsets(fused_rows[kept], n_rows),
        fused_rows[kept],
        items[best][by_place],
        sources,
        rank=ranks[:, :-1],
        score=scores[:, :-1],
    )


def lists_hold(offsets: IntArray, item: IntArray, *, highest: int, limit: int) -> bool:
    """Tell whether the lists of a source keep its contract.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        They must ascend from 0 to the number of items.
    item : ndarray of int64, shape (N,)
        Codes from 1 to ``highest``, none twice in a row.
    highest : int
        The largest code.
    limit : int
        Most items of a row.

    Examples
    --------
    >>> lists_hold(np.array([0, 2]), np.array([4, 2]), highest=9, limit=2)
    True
    >>> lists_hold(np.array([0, 2]), np.array([4, 4]), highest=9, limit=2)
    False
    """
    rows, native = len(offsets) - 1, kernels()
    if rows < 0:
        return False
    if native is None:
        return _hold_by_numpy(offsets, item, highest, limit)
    lists = arrays.int64.of(offsets), rows, arrays.int64.of(item), len(item)
    held: int = native.rk_lists_hold(*lists, min(highest, _ALL), min(limit, _ALL))
    if held < 0:
        check(held)
    return held == 1


def _hold_by_numpy(offsets: IntArray, item: IntArray, highest: int, limit: int) -> bool:
    counts = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(item) or counts.min(initial=0) < 0:
        return False
    if counts.max(initial=0) > limit or (len(item) and (item.min() < 1 or item.max() > highest)):
        return False
    row = offsets_to_rows(offsets)
    order = np.lexsort((item, row))
    return not ((np.diff(item[order]) == 0) & (np.diff(row[order]) == 0)).any()
