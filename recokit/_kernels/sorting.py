"""Sorting by several keys packed into one int64: about ten times faster than ``np.lexsort``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit._kernels.segments import counts_to_offsets, offsets_to_rows
from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.errors import DataError
from recokit.typing import AnyArray, Float32Array, IntArray

_SCORE_BITS = 32
#: Up to so many elements are sorted in C; more are sorted faster as packed keys, by numpy's vectors.
_SHORT = 1 << 12
_SIGN = np.uint32(0x8000_0000)
_ALL = np.uint32(0xFFFF_FFFF)


def bits_for(largest: int) -> int:
    """Return how many bits the numbers from 0 to ``largest`` need."""
    return int(largest).bit_length()


def require_bits(needed: int, what: str) -> None:
    """Check that a packed key fits into a non-negative int64.

    Raises
    ------
    DataError
        If it needs more than 63 bits.
    """
    if needed > 63:
        raise DataError(
            f"found {what}, whose sort keys need {needed} bits; expected at most 63; "
            "hint: run the requests in smaller batches"
        )


def sort_packed(key: IntArray, bits: int) -> IntArray:
    """Return non-negative keys of so many bits, sorted."""
    if bits > 32:
        return np.sort(key)
    return np.sort(key.astype(np.uint32)).astype(np.int64)  # half the width, twice the speed


@dataclass(frozen=True, eq=False)
class Pairs:
    """Distinct items of each of B ragged rows of N elements.

    Parameters
    ----------
    order : ndarray of int64, shape (N,)
        Positions that put the elements of each row in the order of their items, ties by position.
    starts : ndarray of int64, shape (M,)
        Where each distinct item starts in ``order``.
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the rows of distinct items.
    """

    order: IntArray
    starts: IntArray
    offsets: IntArray

    @property
    def first(self) -> IntArray:
        """Position of the first element of each distinct item, (M,)."""
        return np.asarray(self.order[self.starts])

    @property
    def last(self) -> IntArray:
        """Position of the last element of each distinct item, (M,)."""
        ends = np.append(self.starts, len(self.order))[1:]
        return np.asarray(self.order[ends - 1])

    def sum(self, weight: AnyArray) -> AnyArray:
        """Sum weights (N,) over each distinct item, (M,)."""
        if not len(self.starts):
            return np.zeros(0, weight.dtype)
        return np.asarray(np.add.reduceat(weight[self.order], self.starts))


def group_pairs(offsets: IntArray, item: IntArray) -> Pairs:
    """Group the elements of ragged rows by item.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the rows.
    item : ndarray of int64, shape (N,)
        Not negative, in any order, repeats allowed.

    Raises
    ------
    DataError
        If row, item and position in the row need more than 63 bits together.

    Examples
    --------
    >>> pairs = group_pairs(np.array([0, 3]), np.array([7, 5, 7]))
    >>> pairs.first.tolist(), pairs.sum(np.array([1.0, 2.0, 4.0])).tolist()
    ([1, 0], [2.0, 5.0])
    """
    counts = np.diff(offsets)
    item_bits, place_bits = bits_for(item.max(initial=0)), bits_for(counts.max(initial=0))
    needed = bits_for(max(len(counts) - 1, 0)) + item_bits + place_bits
    require_bits(needed, f"{len(item)} items in {len(counts)} rows")
    # Element p of row b has the place p - offsets[b] in its row: one constant for each row holds both.
    of_row = (np.arange(len(counts)) << (item_bits + place_bits)) - offsets[:-1]
    key = np.repeat(of_row, counts)
    key += np.arange(len(item))
    key += item << place_bits
    key = sort_packed(key, needed)
    pair = key >> place_bits
    new = np.ones(len(item), np.bool_)
    np.not_equal(pair[1:], pair[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    order = (key & ((1 << place_bits) - 1)) + np.repeat(offsets[:-1], counts)
    return Pairs(order, starts, np.searchsorted(starts, offsets))


def top_by_score(
    offsets: IntArray, score: Float32Array, code: IntArray, k: int
) -> tuple[IntArray, IntArray, Float32Array]:
    """Pick the k best of every ragged row: score descending, non-finite last, ties by code ascending.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the rows.
    score : ndarray of float32, shape (N,)
    code : ndarray of int64, shape (N,)
        Not negative, distinct within a row.
    k : int
        A shorter row keeps all that it has.

    Returns
    -------
    new_offsets : ndarray of int64, shape (B + 1,)
    code : ndarray of int64
        Best first within each row.
    score : ndarray of float32
        Of those codes; NaN where it is not finite.

    Raises
    ------
    DataError
        If there are so many that they are sorted by packed keys, and row, score (32 bits) and code need more than 63
        bits together.

    Examples
    --------
    >>> scores = np.array([0.5, 2.0, -1.0], np.float32)
    >>> top_by_score(np.array([0, 3]), scores, np.array([4, 5, 6]), 2)[1].tolist()
    [5, 4]
    """
    k = min(max(k, 0), len(code))
    native = kernels()
    if native is None or len(code) > _SHORT or not len(offsets) or len(score) != len(code):
        return _top_by_numpy(offsets, score, code, k)
    ends, best = np.empty(len(offsets), np.int64), np.empty(len(code), np.int64)
    value = np.empty(len(code), np.float32)
    check(
        native.rk_top_by_score(
            arrays.int64.of(offsets),
            len(offsets) - 1,
            len(code),
            arrays.float32.of(score),
            arrays.int64.of(code),
            k,
            arrays.int64.out(ends),
            arrays.int64.out(best),
            arrays.float32.out(value),
        )
    )
    n = int(ends[-1])
    return ends, best[:n], value[:n]


def _top_by_numpy(
    offsets: IntArray, score: Float32Array, code: IntArray, k: int
) -> tuple[IntArray, IntArray, Float32Array]:
    counts = np.diff(offsets)
    if (
        offsets[:1].sum()
        or offsets[-1:].sum() != len(code)
        or counts.min(initial=0) < 0
        or len(score) != len(code)
    ):
        raise IndexError(f"found offsets that do not ascend from 0 to {len(code)}, with {len(score)} scores")
    if code.min(initial=0) < 0:
        raise DataError(f"found code {code.min()}; expected codes from 0")
    code_bits = bits_for(code.max(initial=0))
    needed = bits_for(max(len(counts) - 1, 0)) + _SCORE_BITS + code_bits
    require_bits(needed, f"{len(code)} scores in {len(counts)} rows")
    row = offsets_to_rows(offsets)
    key = sort_packed((((row << _SCORE_BITS) | _descending(score)) << code_bits) | code, needed)
    kept = np.minimum(counts, k)
    new_offsets = counts_to_offsets(kept)
    if new_offsets[-1] < len(key):
        key = key[np.arange(len(key)) - offsets[row] < kept[row]]
    return new_offsets, key & ((1 << code_bits) - 1), _score_of(key >> code_bits)


def _descending(score: Float32Array) -> IntArray:
    """Map scores to 32-bit integers that ascend as the scores descend, non-finite ones last."""
    bits = (score.astype(np.float32, copy=False) + np.float32(0.0)).view(
        np.uint32
    )  # adding zero makes -0.0 equal to 0.0
    ascending = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return np.where(np.isfinite(score), ~ascending, _ALL).astype(np.int64)


def _score_of(descending: IntArray) -> Float32Array:
    ascending = ~(descending & 0xFFFF_FFFF).astype(np.uint32)
    return np.where(ascending & _SIGN, ascending ^ _SIGN, ~ascending).view(np.float32)
