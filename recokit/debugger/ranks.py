"""Rank correlation, of scores with ties."""

from __future__ import annotations

import numpy as np

from recokit.typing import AnyArray, FloatArray

__all__ = ["rank_correlation"]


def rank_correlation(a: AnyArray, b: AnyArray) -> float:
    """Return Spearman's correlation of two score vectors, ties sharing a rank; NaN for fewer than 5, or flat ones."""
    if len(a) < 5:
        return float("nan")
    x, y = _middle_ranks(a), _middle_ranks(b)
    whole = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / whole if whole > 0 else float("nan")


def _middle_ranks(values: AnyArray) -> FloatArray:
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    centred: FloatArray = (ranks - ranks.mean()) / 2.0
    return centred
