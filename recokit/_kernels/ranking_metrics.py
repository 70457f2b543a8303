"""Judging ranked lists against what was relevant: one search for all users, then sums over the hits alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._kernels.segments import (
    counts_to_offsets,
    offsets_to_rows,
    rank_in_row,
    rows_to_offsets,
    segment_sum,
    stable_order,
)
from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.typing import AnyArray, FloatArray, IntArray

_LARGEST_KEY = 2**62
#: Knuth's multiplicative hash: the golden ratio of 2**64, made odd.
_HASH = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class Hits:
    """The relevant items of U lists, in list order.

    Parameters
    ----------
    n_rows : int
        Number of lists, U.
    row : ndarray of int64, shape (H,)
        List of each hit, ascending.
    rank : ndarray of int64, shape (H,)
        1-based place in its list, ascending within a list.
    gain : ndarray of float64, shape (H,)
        How relevant the item is.
    """

    n_rows: int
    row: IntArray
    rank: IntArray
    gain: FloatArray

    def within(self, k: int) -> Hits:
        """Return the hits in the first k places."""
        top = self.rank <= k
        return self if top.all() else Hits(self.n_rows, self.row[top], self.rank[top], self.gain[top])


def distinct_truth(
    offsets: IntArray, item: IntArray, gain: AnyArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Make a truth canonical: items ascend within a row, each once with its largest gain, gains above 0 only.

    Parameters
    ----------
    offsets : ndarray of int64, shape (U + 1,)
        CSR offsets of the rows.
    item : ndarray of int64, shape (M,)
        Relevant items, at least 0. A 0 is an item outside the catalogue: each counts as one of its own.
    gain : ndarray of float, shape (M,)
        At least 0; an item with gain 0 is not relevant.

    Returns
    -------
    offsets, item, gain : ndarray
        The same as CSR, canonical.

    Examples
    --------
    >>> items, gains = np.array([7, 3, 7, 0, 0]), np.array([1, 1, 2, 1, 1])
    >>> offsets, item, gain = distinct_truth(np.array([0, 3, 5]), items, gains)
    >>> offsets.tolist(), item.tolist(), gain.tolist()
    ([0, 2, 4], [3, 7, 0, 0], [1.0, 2.0, 1.0, 1.0])
    """
    n_rows = len(offsets) - 1
    row = offsets_to_rows(offsets)
    gain = np.asarray(gain, np.float64)
    relevant = gain > 0
    if not relevant.all():
        row, item, gain = row[relevant], item[relevant], gain[relevant]
    (key,) = _keys(n_rows, (row, item))
    if not (key[1:] > key[:-1]).all():
        order = stable_order(key)
        key, row, item, gain = key[order], row[order], item[order], gain[order]
        first = np.flatnonzero(np.concatenate([[True], (key[1:] > key[:-1]) | (item[1:] == 0)]))
        row, item, gain = row[first], item[first], np.maximum.reduceat(gain, first)
    return rows_to_offsets(row, n_rows), item, gain


def find_hits(
    list_offsets: IntArray,
    list_item: IntArray,
    truth_offsets: IntArray,
    truth_item: IntArray,
    truth_gain: FloatArray,
) -> Hits:
    """Find the relevant items of each list; an item that stands twice in a list is a hit the first time only.

    Parameters
    ----------
    list_offsets, list_item : ndarray of int64, shapes (U + 1,) and (N,)
        The lists, best first. Item 0 is never relevant.
    truth_offsets, truth_item, truth_gain : ndarray
        A canonical truth for the same U rows, see :func:`distinct_truth`.

    Raises
    ------
    IndexError
        If offsets do not ascend from 0 to the number of items, rows differ in number, or the truth is not canonical.

    Examples
    --------
    >>> truth = distinct_truth(np.array([0, 2]), np.array([5, 8]), np.ones(2))
    >>> find_hits(np.array([0, 4]), np.array([1, 8, 8, 5]), *truth).rank.tolist()
    [2, 4]
    """
    if len(list_offsets) != len(truth_offsets) or not len(list_offsets) or len(truth_item) != len(truth_gain):
        raise IndexError(
            "found lists and truths of different lengths; expected one truth a list, one gain an item"
        )
    form = _hits_by_numpy if kernels() is None else _hits_natively
    row, rank, position = form(list_offsets, list_item, truth_offsets, truth_item)
    return Hits(len(list_offsets) - 1, row, rank, truth_gain[position])


def _hits_natively(
    list_offsets: IntArray, list_item: IntArray, truth_offsets: IntArray, truth_item: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    row, rank, position = np.empty((3, len(truth_item)), np.int64)
    found: int = kernels().rk_find_hits(
        arrays.int64.of(list_offsets),
        len(list_offsets) - 1,
        arrays.int64.of(list_item),
        len(list_item),
        arrays.int64.of(truth_offsets),
        arrays.int64.of(truth_item),
        len(truth_item),
        arrays.int64.out(row),
        arrays.int64.out(rank),
        arrays.int64.out(position),
    )
    check(min(found, 0))
    return row[:found], rank[:found], position[:found]


def _hits_by_numpy(
    list_offsets: IntArray, list_item: IntArray, truth_offsets: IntArray, truth_item: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Return row, rank and place in the truth of each hit, in list order."""
    _require_rising(list_offsets, len(list_item))
    _require_rising(truth_offsets, len(truth_item))
    row, truth_row = offsets_to_rows(list_offsets), offsets_to_rows(truth_offsets)
    wanted, keys = _keys(len(list_offsets) - 1, (row, list_item), (truth_row, truth_item))
    if truth_item.min(initial=0) < 0 or not ((keys[1:] > keys[:-1]) | (truth_item[1:] == 0)).all():
        raise IndexError(
            "found a truth whose items do not ascend from 0 in its rows; expected that of distinct_truth"
        )
    maybe = _may_be_among(keys, wanted)
    position, found = locate_sorted(keys, wanted[maybe])
    found &= list_item[maybe] > 0
    hit, position = maybe[found], position[found]
    # Of repeated indices numpy keeps the last assignment: assigned backwards, the first occurrence stays.
    first = np.zeros(len(truth_item), np.int64)
    first[position[::-1]] = hit[::-1]
    once = first[position] == hit
    hit, position = hit[once], position[once]
    row = row[hit]
    return row, hit - list_offsets[row] + 1, position


def _require_rising(offsets: IntArray, n: int) -> None:
    if offsets[0] != 0 or offsets[-1] != n or np.diff(offsets).min(initial=0) < 0:
        raise IndexError(f"found offsets that do not ascend from 0 to {n}, the number of items")


def _may_be_among(keys: IntArray, wanted: IntArray) -> IntArray:
    """Return positions of wanted values that may be among the keys: all that are, and about one in sixteen others.

    Most of what is shown is not relevant. A table of hashes that stays in the cache says so several times faster than
    a search does.
    """
    bits = max(4, len(keys).bit_length() + 4)
    shift = np.uint64(64 - bits)
    present = np.zeros(1 << bits, np.bool_)
    present[((keys.view(np.uint64) * _HASH) >> shift).view(np.int64)] = True
    slot = wanted.astype(np.uint64)
    slot *= _HASH
    slot >>= shift
    return np.flatnonzero(present[slot.view(np.int64)])


def _keys(n_rows: int, *pairs: tuple[IntArray, IntArray]) -> list[IntArray]:
    """Pack pairs of a row and an item in one int64 each, in the order of (row, item)."""
    width = max((int(item.max(initial=0)) for _, item in pairs)) + 1
    if n_rows * width > _LARGEST_KEY:  # codes that are hashes: number them anew, in the same order
        items = [item for _, item in pairs]
        code = np.unique(np.concatenate(items), return_inverse=True)[1]
        width = len(code) + 1
        parts = np.split(code, np.cumsum([len(item) for item in items])[:-1])
        pairs = tuple((row, part) for (row, _), part in zip(pairs, parts, strict=True))
    return [row * width + item for row, item in pairs]


def discount(rank: IntArray) -> FloatArray:
    """Return ``1 / log2(rank + 1)`` for 1-based ranks (Jarvelin and Kekalainen, 2002)."""
    return np.asarray(1.0 / np.log2(rank + 1.0))


def discounted_gain(hits: Hits, weight: FloatArray) -> FloatArray:
    """Sum each list's gains, each by the weight (H,) of its place, (U,) float64."""
    return segment_sum(hits.gain * weight, hits.row, hits.n_rows)


def ideal_order(offsets: IntArray, gain: FloatArray) -> Hits:
    """Return the hits of the best possible list of each row: all its relevant items, largest gain first."""
    row = offsets_to_rows(offsets)
    order = np.lexsort((-gain, row))
    return Hits(len(offsets) - 1, row, rank_in_row(row, offsets) + 1, gain[order])


def hit_counts(hits: Hits) -> IntArray:
    """Count each list's hits, (U,) int64."""
    return np.bincount(hits.row, minlength=hits.n_rows)


def average_precision(hits: Hits, n_best: IntArray) -> FloatArray:
    """Sum the precision at each hit and divide by the most hits that were possible, (U,) float64.

    Parameters
    ----------
    hits : Hits
        Hits in the first k places.
    n_best : ndarray of int64, shape (U,)
        ``min(k, n_relevant)``; NaN results where it is 0.
    """
    nth = rank_in_row(hits.row, counts_to_offsets(hit_counts(hits))) + 1
    with np.errstate(invalid="ignore"):
        return segment_sum(nth / hits.rank, hits.row, hits.n_rows) / n_best


def reciprocal_rank(hits: Hits) -> FloatArray:
    """Return 1 over the rank of each list's first hit, 0 without one, (U,) float64."""
    best = np.zeros(hits.n_rows)
    best[hits.row[::-1]] = 1.0 / hits.rank[::-1]  # of repeated rows the last assignment, the first hit, stays
    return best


def cascade_gain(hits: Hits, stop: FloatArray) -> FloatArray:
    """Sum 1 / rank over the hits, each by the probability that it is where the user stops, (U,) float64.

    Parameters
    ----------
    hits : Hits
        Hits in the first k places.
    stop : ndarray of float64, shape (H,)
        Probability that a user who sees the hit is satisfied and stops there.
    """
    total, alone = np.zeros(hits.n_rows), np.ones(hits.n_rows)
    nth = rank_in_row(hits.row, counts_to_offsets(hit_counts(hits)))
    order = stable_order(nth)
    counts = np.bincount(nth)
    for now in np.split(
        order, np.cumsum(counts)[:-1]
    ):  # the n-th hit of every list that has one: each row once
        row = hits.row[now]
        total[row] += alone[row] * stop[now] / hits.rank[now]
        alone[row] *= 1.0 - stop[now]
    return total


def misses_above(hits: Hits) -> FloatArray:
    """Sum, over each list's hits, the places above that are no hits, (U,) float64."""
    nth = rank_in_row(hits.row, counts_to_offsets(hit_counts(hits)))
    return segment_sum(hits.rank - 1.0 - nth, hits.row, hits.n_rows)
