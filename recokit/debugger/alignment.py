"""Alignment: whether an array of vectors is of one training, by the baseline's vectors of the same items.

Two trainings of one kind span nearly the same space, turned. One rotation takes all vectors to the baseline's; where
an index was swapped half way, it takes those of one training there, and leaves the others anywhere.
"""

from __future__ import annotations

import numpy as np

from recokit.typing import AnyArray, FloatArray

#: Items that are compared at most, and at least.
MAX_ITEMS, MIN_ITEMS = 2_000, 50
#: Rounds in which the better half decides the rotation.
ROUNDS = 8
#: Cosine from which on a vector is where the rotation takes it, and below which it is anywhere.
THERE, ANYWHERE = 0.7, 0.35


def share_of_another_space(mine: AnyArray, usual: AnyArray) -> float:
    """Return the share of the vectors that another rotation than the rest's takes to the baseline's.

    NaN where the arrays do not compare, or no rotation takes most of either part there.
    """
    if mine.shape != usual.shape or mine.shape[1] < 2:
        return float("nan")
    picked = np.unique(np.linspace(0, len(mine) - 1, min(MAX_ITEMS, len(mine))).astype(np.int64))
    here, there = _unit(mine[picked]), _unit(usual[picked])
    known = np.isfinite(here).all(axis=1) & np.isfinite(there).all(axis=1)
    here, there = here[known], there[known]
    if len(here) < max(MIN_ITEMS, 2 * here.shape[1]):
        return float("nan")
    kept = np.ones(len(here), np.bool_)
    alike = np.zeros(len(here))
    for _ in range(ROUNDS):
        left, _, right = np.linalg.svd(here[kept].T @ there[kept])
        alike = ((here @ (left @ right)) * there).sum(axis=1)
        kept = alike >= np.median(alike)
    if np.median(alike[kept]) < THERE:
        return float("nan")
    # What lies between the two is of this space, a little changed.
    return float(np.mean(alike < ANYWHERE))


def _unit(vectors: AnyArray) -> FloatArray:
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit: FloatArray = np.where(length > 0, vectors / length, np.nan)
    return unit
