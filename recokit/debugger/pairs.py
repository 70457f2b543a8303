"""Pairs: the features of the same candidates in two runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit.data import Candidates
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["FEWEST", "FeaturePair"]

#: Values of one feature that must be there on both sides for a comparison.
FEWEST = 5
#: Candidates that are compared, at most: the first retrieved of both.
MOST = 200


@dataclass(frozen=True, eq=False)
class FeaturePair:
    """The same features of the same candidates, here and in the baseline: which are known, and where they differ."""

    names: tuple[str, ...]
    here: FloatArray
    usual: FloatArray
    there: BoolArray
    there_usual: BoolArray
    both: BoolArray
    changed: BoolArray

    @classmethod
    def of(
        cls, mine: Candidates, items: IntArray, theirs: Candidates, usual_items: IntArray
    ) -> FeaturePair | None:
        """Match the candidates of two runs by item; None where they have too little in common."""
        names = tuple(name for name in mine.feature_names if name in theirs.feature_names)
        _, at, other = np.intersect1d(items, usual_items, assume_unique=True, return_indices=True)
        if not names or len(at) < FEWEST:
            return None
        here: AnyArray = mine.features
        usual: AnyArray = theirs.features
        if names != mine.feature_names or names != theirs.feature_names:
            here = here[:, [mine.feature_names.index(name) for name in names]]
            usual = usual[:, [theirs.feature_names.index(name) for name in names]]
        here, usual = here[at[:MOST]].astype(np.float64), usual[other[:MOST]].astype(np.float64)
        there: BoolArray = np.isfinite(here)
        there_usual: BoolArray = np.isfinite(usual)
        both: BoolArray = np.logical_and(there, there_usual)
        with np.errstate(invalid="ignore"):
            changed: BoolArray = both & (np.abs(here - usual) > 1e-4 * (np.abs(usual) + 1e-6))
        return cls(names, here, usual, there, there_usual, both, changed)
