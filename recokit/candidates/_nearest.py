"""The items of the largest inner product with each request's vector, the whole catalogue compared."""

from __future__ import annotations

import numpy as np

from recokit._ops.segments import counts_to_offsets
from recokit._ops.topk import top_k_dense
from recokit.data import Requests, Retrieved
from recokit.typing import BoolArray, Float32Array

__all__ = ["nearest"]

#: Scores in memory at once.
_BLOCK = 1 << 23


def nearest(
    requests: Requests,
    limit: int,
    queries: Float32Array,
    vectors: Float32Array,
    known: BoolArray,
    usable: BoolArray,
) -> Retrieved:
    """Return the ``limit`` best items of each known row, best first, ties by code; none that ``exclude`` lists.

    Parameters
    ----------
    requests : Requests
    limit : int
    queries : ndarray of float32, shape (B, D)
    vectors : ndarray of float32, shape (n_items + 1, D)
    known : ndarray of bool, shape (B,)
        Rows that have a query; the others get nothing.
    usable : ndarray of bool, shape (n_items + 1,)
        Items that can be returned.
    """
    counts = np.zeros(len(requests), np.int64)
    items, scores = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    rows = np.flatnonzero(known)
    exclude, never = requests.lists("exclude"), np.flatnonzero(~usable)
    size = max(_BLOCK // len(vectors), 1)
    for start in range(0, len(rows), size):
        here = rows[start : start + size]
        score = queries[here] @ vectors.T
        score[:, never] = -np.inf
        excluded = exclude.take(here)
        inside = excluded.values < len(vectors)
        score[excluded.rows[inside], excluded.values[inside]] = -np.inf
        offsets, item, value = top_k_dense(score, limit)
        counts[here] = np.diff(offsets)
        items.append(item)
        scores.append(value)
    return Retrieved(counts_to_offsets(counts), np.concatenate(items), np.concatenate(scores))
