"""Moments: means and covariances that add up, and what follows from them for means, ratios and adjusted means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recokit._kernels.segments import segment_sum
from recokit.typing import FloatArray, IntArray


class Part(NamedTuple):
    """A mean of a column, or the ratio of the means of two."""

    numerator: int
    denominator: int | None = None


class Estimate(NamedTuple):
    """A value, its standard error, and how many independent draws it comes from."""

    value: float
    error: float
    n: float


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and covariances of k columns over n independent draws.

    Parameters
    ----------
    n : float
    mean : ndarray of float64, shape (k,)
    cov : ndarray of float64, shape (k, k)
        With n - 1 in the denominator.
    """

    n: float
    mean: FloatArray
    cov: FloatArray

    @classmethod
    def of(cls, columns: FloatArray) -> Moments:
        """Return the moments of columns (n, k).

        Examples
        --------
        >>> Moments.of(np.array([[1.0], [3.0]])).cov.tolist()
        [[2.0]]
        """
        return by_group(columns, np.zeros(len(columns), np.int64), 1)[0]

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both samples together (Chan, Golub and LeVeque, 1983)."""
        if not self.n or not other.n:
            return other if not self.n else self
        n, step = self.n + other.n, other.mean - self.mean
        squares = _squares(self) + _squares(other) + np.outer(step, step) * (self.n * other.n / n)
        return Moments(n, self.mean + step * (other.n / n), squares / max(n - 1, 1))

    def estimate(self, part: Part) -> Estimate:
        """Return a mean or ratio of means, with its standard error by the delta method; NaN below two draws."""
        value, slope = _value(self, part)
        variance = float(slope @ self.cov @ slope) / self.n if self.n > 1 else np.nan
        return Estimate(value, float(np.sqrt(max(variance, 0.0))) if variance == variance else np.nan, self.n)


def by_group(columns: FloatArray, group: IntArray, n_groups: int) -> list[Moments]:
    """Return the moments of columns (n, k) in each group; groups below 0 are left out.

    Examples
    --------
    >>> [m.mean.tolist() for m in by_group(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]), 2)]
    [[2.0], [5.0]]
    """
    kept = group >= 0
    if not kept.all():
        columns, group = columns[kept], group[kept]
    # About the mean of all, so that squares of large values do not swallow their spread.
    centre = columns.mean(axis=0) if len(columns) else np.zeros(columns.shape[1])
    moved = columns - centre
    n, k = np.bincount(group, minlength=n_groups).astype(np.float64), columns.shape[1]
    sums = np.stack([segment_sum(moved[:, i], group, n_groups) for i in range(k)], axis=1)
    products = np.zeros((n_groups, k, k))
    for i in range(k):
        for j in range(i + 1):
            products[:, i, j] = products[:, j, i] = segment_sum(moved[:, i] * moved[:, j], group, n_groups)
    found = []
    for size, total, product in zip(n.tolist(), sums, products, strict=True):
        mean = total / size if size else np.full(k, np.nan)
        squares = product - np.outer(total, total) / max(size, 1)
        found.append(
            Moments(size, centre + mean, squares / (size - 1) if size > 1 else np.full((k, k), np.nan))
        )
    return found


def adjusted(groups: Sequence[Moments], part: Part, covariates: Sequence[Part] = ()) -> list[Estimate]:
    """Return the estimate of each group, less what covariates from before the experiment explain.

    CUPED (Deng, Xu, Kohavi and Walker, *Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data*, 2013) with any number of covariates: ``y - theta (x - mean x)``, theta from all groups
    together. Ratios, of values and of covariates, by the delta method (Deng, Knoblich and Lu, 2018).

    Parameters
    ----------
    groups : sequence of Moments
    part : Part
        What is estimated.
    covariates : sequence of Part, optional

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=10_000)
    >>> columns = np.stack([x + rng.normal(size=10_000), x], axis=1)
    >>> moments = [Moments.of(columns[:5_000]), Moments.of(columns[5_000:])]
    >>> plain, less = adjusted(moments, Part(0))[0], adjusted(moments, Part(0), [Part(1)])[0]
    >>> round((less.error / plain.error) ** 2, 2)
    0.52
    """
    if not covariates:
        return [group.estimate(part) for group in groups]
    whole = groups[0]
    for group in groups[1:]:
        whole = whole + group
    theta, means = _theta(whole, part, covariates)
    return [_adjusted(group, part, covariates, theta, means) for group in groups]


def _theta(whole: Moments, part: Part, covariates: Sequence[Part]) -> tuple[FloatArray, FloatArray]:
    """Return the slopes of the covariates and their means, (c,) each; 0 for one that does not vary."""
    slope = _value(whole, part)[1]
    values = [_value(whole, one) for one in covariates]
    slopes = np.stack([one for _, one in values])
    inner, outer = slopes @ whole.cov @ slopes.T, slopes @ whole.cov @ slope
    if len(covariates) == 1:
        theta = outer / inner[0] if inner[0, 0] > 0 else np.zeros(1)
    else:
        # The shortest solution where covariates say the same.
        theta = np.linalg.lstsq(inner, outer, rcond=1e-12)[0]
    return theta, np.array([value for value, _ in values])


def _adjusted(
    group: Moments, part: Part, covariates: Sequence[Part], theta: FloatArray, means: FloatArray
) -> Estimate:
    value, slope = _value(group, part)
    for one, weight, mean in zip(covariates, theta.tolist(), means.tolist(), strict=True):
        found, along = _value(group, one)
        value, slope = value - weight * (found - mean), slope - weight * along
    variance = float(slope @ group.cov @ slope) / group.n if group.n > 1 else np.nan
    return Estimate(value, float(np.sqrt(max(variance, 0.0))) if variance == variance else np.nan, group.n)


def _value(moments: Moments, part: Part) -> tuple[float, FloatArray]:
    """Return a mean or ratio of means, and its slope along each column's mean, (k,)."""
    slope = np.zeros(len(moments.mean))
    above = float(moments.mean[part.numerator])
    if part.denominator is None:
        slope[part.numerator] = 1.0
        return above, slope
    below = float(moments.mean[part.denominator])
    if not below:
        return np.nan, np.full(len(slope), np.nan)
    slope[part.numerator] += 1.0 / below
    slope[part.denominator] -= above / below**2
    return above / below, slope


def _squares(moments: Moments) -> FloatArray:
    return moments.cov * (moments.n - 1) if moments.n > 1 else np.zeros_like(moments.cov)
