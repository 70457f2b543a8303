"""Fusion of ranked lists: which items, in which order, and where each list had them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from recokit._kernels.segments import counts_to_offsets, multi_arange, offsets_to_rows, rank_in_row
from recokit._kernels.sorting import bits_for, require_bits, sort_packed
from recokit.typing import Float32Array, IntArray, UInt64Array

Fusion: TypeAlias = Literal["interleave", "rrf", "quota"]

#: Constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009).
RRF_K = 60
#: Reciprocal ranks are summed in fixed point, so that the order of the lists cannot change a tie.
_FIXED_POINT = float(1 << 40)


@dataclass(frozen=True, eq=False)
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
    DataError
        If row, item, list and rank need more than 63 bits together.
    """
    if len(offsets) == 1:
        return _one_list(offsets[0], item[0], score[0], limit)
    counts = np.concatenate([part[1:] - part[:-1] for part in offsets])
    n_rows, n_lists, items = len(offsets[0]) - 1, len(offsets), np.concatenate(item)
    if not len(items):
        return _nothing(n_rows, n_lists)
    bits = PackedKey.of(items, counts, n_rows, n_lists)
    starts = counts_to_offsets(counts)[:-1]
    key = bits.sorted_keys(items, counts, starts, n_rows)
    pair = key >> bits.low
    new = np.ones(len(key), np.bool_)
    np.not_equal(pair[1:], pair[:-1], out=new[1:])
    first = np.flatnonzero(new)
    row = pair[first] >> bits.item
    source, rank = bits.source_of(key), bits.rank_of(key)

    order = _fusion_order(bits, row, source=source, rank=rank, first=first, by=by, limit=limit, shares=shares)
    found = np.bincount(row, minlength=n_rows)
    kept = np.minimum(found, limit)
    if (found > limit).any():
        order = order[multi_arange(counts_to_offsets(found)[:-1], kept)]

    # Where each element goes in the fused lists; what was cut goes to one more column, which is dropped.
    n_kept = len(order)
    place = np.full(len(first), n_kept, np.int64)
    place[order] = np.arange(n_kept)
    cell = place[np.cumsum(new) - 1] + source * (n_kept + 1)
    ranks, scores = np.full((2, n_lists * (n_kept + 1)), np.nan, np.float32)
    ranks[cell] = rank + 1
    scores[cell] = np.concatenate(score)[starts[source * n_rows + (pair >> bits.item)] + rank]
    rank_of, score_of = ranks.reshape(n_lists, -1)[:, :n_kept], scores.reshape(n_lists, -1)[:, :n_kept]
    flags = np.uint64(1) << np.arange(n_lists, dtype=np.uint64)
    return Fused(
        offsets=counts_to_offsets(kept),
        row=row[order],
        item=pair[first[order]] & ((1 << bits.item) - 1),
        sources=np.bitwise_or.reduce(np.where(np.isnan(rank_of), np.uint64(0), flags[:, None]), axis=0),
        rank=rank_of,
        score=score_of,
    )


@dataclass(frozen=True)
class PackedKey:
    """Bits of the parts of a sort key: an element's row, item, list and rank, from the highest to the lowest.

    Parameters
    ----------
    item, source, rank : int
    position : int
        Of an element among all, in keys of the fusion order.
    total : int
        Of the widest key.
    """

    item: int
    source: int
    rank: int
    position: int
    total: int

    @classmethod
    def of(cls, items: IntArray, counts: IntArray, n_rows: int, n_lists: int) -> PackedKey:
        """Return the widths for the lists of so many rows.

        Raises
        ------
        DataError
            If a key needs more than 63 bits.
        """
        item, source, rank = bits_for(items.max()), bits_for(n_lists - 1), bits_for(counts.max() - 1)
        position = bits_for(len(items))
        total = bits_for(n_rows - 1) + source + rank + max(item, position + 1)
        require_bits(total, f"{len(items)} items of {n_lists} sources in {n_rows} rows")
        return cls(item, source, rank, position, total)

    @property
    def low(self) -> int:
        """Bits of list and rank together."""
        return self.source + self.rank

    def sorted_keys(self, items: IntArray, counts: IntArray, starts: IntArray, n_rows: int) -> IntArray:
        """Return the keys of all elements, sorted: the lists that have an item stand together."""
        segment = np.arange(len(counts))
        row, source = segment % n_rows, segment // n_rows
        key = np.repeat((row << (self.item + self.low)) + (source << self.rank) - starts, counts)
        key += np.arange(len(items))
        key += items << self.low
        return sort_packed(key, self.total)

    def source_of(self, key: IntArray) -> IntArray:
        """Return the list of each key."""
        return (key >> self.rank) & ((1 << self.source) - 1)

    def rank_of(self, key: IntArray) -> IntArray:
        """Return the 0-based rank of each key."""
        return key & ((1 << self.rank) - 1)


def _fusion_order(
    bits: PackedKey,
    row: IntArray,
    *,
    source: IntArray,
    rank: IntArray,
    first: IntArray,
    by: Fusion,
    limit: int,
    shares: Sequence[float],
) -> IntArray:
    """Return the order of the distinct items of each row, whose elements begin at ``first``."""
    priority = (rank << bits.source) | source
    if by == "quota":
        within = np.floor(limit * np.asarray(shares) + 1e-9).astype(np.int64)
        priority |= (rank >= within[source]).astype(np.int64) << bits.low
    best = np.minimum.reduceat(priority, first)
    if by == "rrf":
        gain = np.rint(_FIXED_POINT / (RRF_K + 1 + rank)).astype(np.int64)
        return np.lexsort((best, -np.add.reduceat(gain, first), row))
    by_priority = (((row << (bits.low + 1)) | best) << bits.position) | np.arange(len(first))
    return sort_packed(by_priority, bits.total) & ((1 << bits.position) - 1)


def _one_list(offsets: IntArray, item: IntArray, score: Float32Array, limit: int) -> Fused:
    """Return a list by itself, as a copy: by any rule its own order holds."""
    counts = offsets[1:] - offsets[:-1]
    if counts.max(initial=0) > limit:
        kept = np.minimum(counts, limit)
        index = multi_arange(offsets[:-1], kept)
        offsets, item, score = counts_to_offsets(kept), item[index], score[index]
    else:
        offsets, item, score = offsets.copy(), item.copy(), score.copy()
    row = offsets_to_rows(offsets)
    rank = (rank_in_row(row, offsets) + 1).astype(np.float32)
    return Fused(offsets, row, item, sources=np.ones(len(row), np.uint64), rank=rank[None], score=score[None])


def _nothing(n_rows: int, n_lists: int) -> Fused:
    none = np.zeros(0, np.int64)
    blank = np.zeros((n_lists, 0), np.float32)
    return Fused(
        np.zeros(n_rows + 1, np.int64),
        none,
        none,
        sources=none.astype(np.uint64),
        rank=blank,
        score=blank,
    )
