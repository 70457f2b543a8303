"""Clusters: how many independent rows weigh as much as rows that come in groups."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from recokit.typing import FloatArray, IntArray

#: Number of distinct codes, from -1 on.
_CODES = 64


@dataclass(frozen=True)
class _Sums:
    """Sums over groups of a number, or of the indicators of several codes, for an analysis of variance."""

    total: tuple[float, ...] = ()
    squares: float = 0.0
    between: float = 0.0

    def plus(self, other: _Sums) -> _Sums:
        mine = self.total or (0.0,) * len(other.total)
        theirs = other.total or (0.0,) * len(mine)
        return _Sums(
            tuple(a + b for a, b in zip(mine, theirs, strict=True)),
            self.squares + other.squares,
            self.between + other.between,
        )


@dataclass(frozen=True)
class Clusters:
    """Sums over rows in groups, which add up over chunks whose groups are whole.

    Rows of one group that are alike, such as a user's age on each candidate, tell as much as one row. Alike they may be
    in two ways: their codes have one mean, or one distribution (a user's shares of categories always sum to 1, but are
    a few large ones or many small ones). The larger of both counts.
    """

    rows: float = 0.0
    groups: float = 0.0
    squared_sizes: float = 0.0
    ordinal: _Sums = field(default_factory=_Sums)
    nominal: _Sums = field(default_factory=_Sums)

    @classmethod
    def of(cls, code: IntArray, group: IntArray) -> Clusters:
        """Sum a chunk; codes from -1 (missing) to 62, groups counted from 0."""
        size = np.bincount(group).astype(np.float64)
        full = size > 0
        value = code.astype(np.float64)
        sums = np.bincount(group, weights=value)
        ordinal = _Sums(
            (float(value.sum()),), float((value**2).sum()), float((sums[full] ** 2 / size[full]).sum())
        )
        whole = code + 1
        pairs, counts = np.unique(group * _CODES + whole, return_counts=True)
        nominal = _Sums(
            tuple(np.bincount(whole, minlength=_CODES).astype(float).tolist()),
            float(len(code)),
            float((counts**2.0 / size[pairs // _CODES]).sum()),
        )
        return cls(float(len(code)), float(full.sum()), float((size**2).sum()), ordinal, nominal)

    def plus(self, other: Clusters) -> Clusters:
        """Return the sums of both."""
        return Clusters(
            self.rows + other.rows,
            self.groups + other.groups,
            self.squared_sizes + other.squared_sizes,
            self.ordinal.plus(other.ordinal),
            self.nominal.plus(other.nominal),
        )

    @property
    def alike(self) -> float:
        """Intraclass correlation, 0 to 1; 0 where nothing varies or each row stands alone."""
        return max(self._alike(self.ordinal), self._alike(self.nominal))

    def _alike(self, sums: _Sums) -> float:
        n, groups = self.rows, self.groups
        if groups >= n or groups < 2:
            return 0.0
        centre = sum(part**2 for part in sums.total) / n
        mean_between = (sums.between - centre) / (groups - 1)
        mean_within = max(sums.squares - sums.between, 0.0) / (n - groups)
        size = (n - self.squared_sizes / n) / (groups - 1)
        spread = mean_between + (size - 1) * mean_within
        if spread <= 1e-12 * n:
            return 0.0
        return float(np.clip((mean_between - mean_within) / spread, 0.0, 1.0))

    def design_effect(self, min_alike: float = 0.0) -> float:
        """Return the factor of a mean's variance because rows come in groups (Kish); 1 for rows that stand alone.

        Parameters
        ----------
        min_alike : float, default 0
            Lower bound of the correlation, such as that of a larger sample: one that does not vary cannot tell.
        """
        if self.groups >= self.rows:
            return 1.0
        if self.groups < 2:
            return max(self.rows, 1.0)
        return 1.0 + (self.squared_sizes / self.rows - 1.0) * max(self.alike, min_alike)

    def independent(self, weight: FloatArray) -> float:
        """Return how many independent rows weigh as much as these, by the design effect of weights and groups."""
        rows = float(weight.sum() ** 2 / max((weight**2).sum(), 1e-300))
        return rows / self.design_effect()
