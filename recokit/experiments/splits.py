"""Splits: whether the arms have the units that they should have; without that nothing else can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recokit._stats.intervals import holm
from recokit.data.times import DAY
from recokit.experiments.units import Units
from recokit.typing import AnyArray, FloatArray, IntArray

#: A split is broken where chance makes one like it less often: rare enough to look every day.
BROKEN = 0.001
#: Parts of fewer units say nothing.
_FEW = 50


@dataclass(frozen=True)
class Split:
    """Units of each arm, and how likely a fair assignment is to be this uneven.

    Parameters
    ----------
    part : str
        ``"all"``, or the segment or day.
    counts : tuple of int
    expected : tuple of float
    p_value : float
        Of the chi-square test; for parts, adjusted for the number of them (Holm).
    """

    part: str
    counts: tuple[int, ...]
    expected: tuple[float, ...]
    p_value: float

    @property
    def is_broken(self) -> bool:
        """Whether the split is no fair one."""
        return self.p_value < BROKEN


def ratio_mismatch(counts: Sequence[int] | IntArray, weights: FloatArray) -> float:
    """Return how likely a fair assignment with these weights is to be as uneven as the counts (chi-square).

    Examples
    --------
    >>> round(ratio_mismatch([5_000, 5_100], np.array([0.5, 0.5])), 2)
    0.32
    >>> ratio_mismatch([99_010, 100_990], np.array([0.5, 0.5])) < 0.001
    True
    """
    from scipy.special import chdtrc

    found = np.asarray(counts, np.float64)
    expected = found.sum() * weights
    if not found.sum():
        return 1.0
    return float(chdtrc(len(found) - 1, ((found - expected) ** 2 / expected).sum()))


def splits(units: Units) -> list[Split]:
    """Return the split of all units, then those of each segment and each day of first exposure."""
    kept = units.arm >= 0
    counts = units.counts
    whole = Split("all", *_shown(counts, units.weights), ratio_mismatch(counts, units.weights))
    parts: list[tuple[str, IntArray]] = []
    for name, column in units.segments.items():
        parts += _parts(name, column[kept].astype(str), units.arm[kept], len(units.arms))
    days = np.floor(units.since[kept] / DAY)
    dates = (days * DAY).astype("datetime64[s]").astype("datetime64[D]").astype(str)
    parts += _parts("day", dates, units.arm[kept], len(units.arms))
    p_values = holm([ratio_mismatch(found, units.weights) for _, found in parts])
    return [
        whole,
        *(
            Split(part, *_shown(found, units.weights), float(p))
            for (part, found), p in zip(parts, p_values, strict=True)
        ),
    ]


def _parts(name: str, column: AnyArray, arm: IntArray, n_arms: int) -> list[tuple[str, IntArray]]:
    labels, code = np.unique(column, return_inverse=True)
    table = np.bincount(code * n_arms + arm, minlength=len(labels) * n_arms).reshape(-1, n_arms)
    return [
        (f"{name} {label}", row)
        for label, row in zip(labels.tolist(), table, strict=True)
        if row.sum() >= _FEW
    ]


def _shown(counts: IntArray, weights: FloatArray) -> tuple[tuple[int, ...], tuple[float, ...]]:
    return tuple(counts.tolist()), tuple((counts.sum() * weights).tolist())
