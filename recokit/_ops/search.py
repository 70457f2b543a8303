"""Binary search of many values at once."""

from __future__ import annotations

import numpy as np

from recokit.typing import AnyArray, IntArray

__all__ = ["search"]

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
