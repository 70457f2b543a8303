"""Membership of (row, item) pairs in ragged sets."""

from __future__ import annotations

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit.typing import AnyArray, BoolArray, IntArray

#: Up to so many pairs of a row and an item, a table of them all is cheaper than a sort.
_DENSE = 1 << 17


def locate_sorted(keys: AnyArray, wanted: AnyArray) -> tuple[IntArray, BoolArray]:
    """Locate values in sorted keys.

    Parameters
    ----------
    keys : ndarray, shape (K,)
        Sorted.
    wanted : ndarray, shape (N,)
        Values to look up.

    Returns
    -------
    position : ndarray of int64, shape (N,)
        First position in ``keys``; 0 where absent, so it is always safe to index with (unless K is 0).
    found : ndarray of bool, shape (N,)
    """
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    position = search(keys, wanted)
    position[position == len(keys)] = 0
    found = keys[position] == wanted
    position[~found] = 0
    return position, found


def pairs_in_sets(row: IntArray, item: IntArray, offsets: IntArray, values: IntArray) -> BoolArray:
    """Tell for each (row, item) whether the item is in that row's ragged set.

    Parameters
    ----------
    row, item : ndarray of int64, shape (N,)
        The pairs.
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the sets.
    values : ndarray of int64
        Items of the sets, in any order, repeats allowed.

    Returns
    -------
    ndarray of bool, shape (N,)

    Examples
    --------
    >>> pairs_in_sets(np.array([0, 0, 1]), np.array([3, 4, 3]), np.array([0, 1, 1]), np.array([3])).tolist()
    [True, False, False]
    """
    if not len(values) or not len(item):
        return np.zeros(len(item), np.bool_)
    width, n_rows = int(max(values.max(), item.max())) + 1, len(offsets) - 1
    if n_rows * width <= _DENSE:
        member = np.zeros(n_rows * width, np.bool_)
        member[_keys(offsets, width, values)] = True
        return np.asarray(member.take(item if n_rows == 1 else row * width + item))
    keys = _keys(offsets, width, values).copy()
    keys.sort()
    wanted = item if n_rows == 1 else row * width + item
    return np.asarray(keys.take(keys.searchsorted(wanted), mode="clip") == wanted)


def _keys(offsets: IntArray, width: int, values: IntArray) -> IntArray:
    """Return one number for each row and value, below ``width``."""
    return values if len(offsets) == 2 else offsets_to_rows(offsets) * width + values


#: Below these sizes the keys stay in the cache, and sorting what is wanted costs more than it saves.
_MANY_WANTED, _MANY_KEYS = 4096, 1 << 16


def search(keys: AnyArray, wanted: AnyArray) -> IntArray:
    """Return where each wanted value would be inserted, before equal ones; ``np.searchsorted`` for many values.

    Parameters
    ----------
    keys : ndarray, shape (K,)
        Ascending.
    wanted : ndarray, shape (N,)
        In any order: many values are sorted first, so that neighbours walk the same path through memory.

    Returns
    -------
    ndarray of int64, shape (N,)

    Examples
    --------
    >>> search(np.array([1, 3, 3]), np.array([3, 0, 4])).tolist()
    [1, 0, 3]
    """
    if len(wanted) < _MANY_WANTED or len(keys) < _MANY_KEYS:
        return np.searchsorted(keys, wanted)
    order = np.argsort(wanted)
    position = np.empty(len(wanted), np.int64)
    position[order] = np.searchsorted(keys, wanted[order])
    return position
