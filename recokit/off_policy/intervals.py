"""Intervals of off-policy estimates: from what each round contributes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from recokit._kernels.segments import segment_sum
from recokit._stats.intervals import student_quantile, unskewed
from recokit._utils.options import one_of, require, share, whole
from recokit.errors import ConfigurationError
from recokit.typing import FloatArray, IntArray

Interval = Literal["hall", "student", "bootstrap", "bernstein"]

#: Resamples of the bootstrap that are counted at a time.
_CHUNK = 32


@dataclass(frozen=True, eq=False)
class Parts:
    """What each of n rounds contributes to an estimate: ``mean(plain) + sum(numerator) / sum(denominator)``.

    Parameters
    ----------
    plain : ndarray of float64, shape (n,)
        What is averaged.
    numerator, denominator : ndarray of float64, shape (n,), optional
        What a self-normalised estimator divides.
    bounds : (float, float), optional
        Smallest and largest value that ``plain`` can have, where it has any.
    """

    plain: FloatArray
    numerator: FloatArray | None = None
    denominator: FloatArray | None = None
    bounds: tuple[float, float] | None = None

    def value(self) -> float:
        """Return the estimate; NaN where the denominators add up to 0."""
        value = float(self.plain.mean())
        if self.numerator is None or self.denominator is None:
            return value
        below = float(self.denominator.sum())
        return value + float(self.numerator.sum()) / below if below > 0 else np.nan

    def less(self, values: FloatArray) -> Parts:
        """Return the parts of the estimate less the mean of some values (n,): of a paired difference."""
        return replace(self, plain=self.plain - values, bounds=None)


def student(parts: Parts, clusters: IntArray | None, confidence: float) -> tuple[float, float, float]:
    """Return the standard error and the ends of Student's interval, by the delta method for quotients.

    Rounds, or clusters of them, are independent draws. NaN below two of them.
    """
    influence = _influence(parts, clusters)
    error, reach = _error(influence), student_quantile(0.5 + confidence / 2, len(influence) - 1)
    value = parts.value()
    return error, value - reach * error, value + reach * error


def hall(parts: Parts, clusters: IntArray | None, confidence: float) -> tuple[float, float, float]:
    """Return the standard error and the ends of Student's interval, corrected for skewness and for heavy tails.

    Hall, *On the removal of skewness by transformation*, 1992: a cubic of the studentised mean is closer to normal than
    the mean itself. Few weighed rewards make what rounds contribute very skewed: a few large values decide, and most
    samples hold too few of them. Large values of both signs leave the standard error itself uncertain: the degrees of
    freedom are those that a variance with this kurtosis has, ``2 n / (kurtosis - 1)`` (Satterthwaite, *An approximate
    distribution of estimates of variance components*, 1946), and ``n - 1`` at most. Student's interval without either.
    NaN below two rounds, or clusters.
    """
    influence = _influence(parts, clusters)
    error, n = _error(influence), len(influence)
    value, spread = parts.value(), error * np.sqrt(n)
    if spread == 0:
        return error, value, value
    scaled = influence / spread
    square = scaled * scaled
    # By the sample's own spread it comes out below 1 for a handful of values.
    kurtosis = max(float(np.dot(square, square)) / n, 1.0 + 2.0 / n)
    reach = student_quantile(0.5 + confidence / 2, min(n - 1, 2.0 * n / (kurtosis - 1.0)))
    skew = float(np.dot(square, scaled)) / n / np.sqrt(n)
    return error, value - unskewed(reach, skew) * error, value - unskewed(-reach, skew) * error


def _influence(parts: Parts, clusters: IntArray | None) -> FloatArray:
    """Return what each round, or cluster, adds to the error of the estimate, with a mean of 0."""
    total = _Totals.of(parts, clusters)
    influence: FloatArray = (total.plain - parts.plain.mean() * total.size) / total.size.mean()
    if total.numerator is None or total.denominator is None:
        return influence
    below = total.denominator.sum()
    quotient = total.numerator.sum() / below if below > 0 else np.nan
    mean = total.denominator.mean() if below > 0 else np.nan
    influence += (total.numerator - quotient * total.denominator) / mean
    return influence


def _error(influence: FloatArray) -> float:
    """Return the standard error of a mean; NaN below two values."""
    n = len(influence)
    return float(influence.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan


def bootstrap(
    parts: Parts, clusters: IntArray | None, confidence: float, *, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Return the standard error and the ends of the percentile bootstrap over rounds, or clusters of them.

    Efron, *Bootstrap methods: another look at the jackknife*, 1979. NaN below two of them.
    """
    total = _Totals.of(parts, clusters)
    n = len(total.size)
    if n < 2:
        return np.nan, np.nan, np.nan
    rng = np.random.default_rng(seed)
    values = np.empty(resamples)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        values[start : start + size] = total.values(times)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return np.nan, np.nan, np.nan
    low, high = np.quantile(values, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(values.std(ddof=1)), float(low), float(high)


def bernstein(parts: Parts, clusters: IntArray | None, confidence: float) -> tuple[float, float, float]:
    """Return the standard error and the ends of the empirical Bernstein interval, which holds for every n.

    ``mean +- (sqrt(2 v log(4 / d) / n) + 7 range log(4 / d) / (3 (n - 1)))``, with the sample variance v, d = 1 -
    confidence; Maurer and Pontil, *Empirical Bernstein bounds and sample variance penalization*, 2009, theorem 4, for
    both sides. Wide: for a guarantee, not for a guess.

    Raises
    ------
    ConfigurationError
        If what a round contributes is not bounded, or rounds are in clusters.
    """
    if parts.bounds is None or parts.denominator is not None:
        raise ConfigurationError(
            "found interval='bernstein' for an estimator whose rounds have no known bounds; expected one with limited "
            "weights, such as ClippedIPS(max_weight=20), and reward_range=, the range of a round's reward; "
            "hint: 'hall' and 'bootstrap' need no bounds"
        )
    if clusters is not None:
        raise ConfigurationError(
            "found interval='bernstein' for rounds in clusters; expected independent rounds; "
            "hint: 'hall' and 'bootstrap' take clusters"
        )
    n = len(parts.plain)
    if n < 2:
        return np.nan, np.nan, np.nan
    low, high = parts.bounds
    mean, variance = float(parts.plain.mean()), float(parts.plain.var(ddof=1))
    log = np.log(4.0 / (1.0 - confidence))
    reach = float(np.sqrt(2.0 * variance * log / n) + 7.0 * (high - low) * log / (3.0 * (n - 1)))
    return float(np.sqrt(variance / n)), max(mean - reach, low), min(mean + reach, high)


@dataclass(frozen=True)
class IntervalOptions:
    """How the intervals of a report are made: their kind and confidence; resamples and seed are the bootstrap's."""

    kind: Interval = "hall"
    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        require(share, confidence=self.confidence)
        require(whole(2), resamples=self.resamples)
        one_of(*get_args(Interval)).check("interval", self.kind)

    def without_bounds(self) -> IntervalOptions:
        """Return the same for sums that have no bounds worth having, which Bernstein's interval needs."""
        return replace(self, kind="hall") if self.kind == "bernstein" else self

    def of(self, parts: Parts, clusters: IntArray | None) -> tuple[float, float, float]:
        """Return standard error, low and high end."""
        if self.kind == "bootstrap":
            return bootstrap(parts, clusters, self.confidence, resamples=self.resamples, seed=self.seed)
        return {"hall": hall, "student": student, "bernstein": bernstein}[self.kind](
            parts, clusters, self.confidence
        )


@dataclass(frozen=True, eq=False)
class _Totals:
    """The parts, added up by cluster, and how many rounds each has."""

    plain: FloatArray
    size: FloatArray
    numerator: FloatArray | None
    denominator: FloatArray | None

    @classmethod
    def of(cls, parts: Parts, clusters: IntArray | None) -> _Totals:
        if clusters is None:
            return cls(parts.plain, np.ones(len(parts.plain)), parts.numerator, parts.denominator)
        n = int(clusters.max()) + 1

        def added(column: FloatArray | None) -> FloatArray | None:
            return None if column is None else segment_sum(column, clusters, n)

        return cls(
            segment_sum(parts.plain, clusters, n),
            np.bincount(clusters, minlength=n).astype(np.float64),
            added(parts.numerator),
            added(parts.denominator),
        )

    def values(self, times: IntArray) -> FloatArray:
        """Return the estimate of resamples that take each cluster so many times, (R, C) -> (R,)."""
        values: FloatArray = (times @ self.plain) / (times @ self.size)
        if self.numerator is not None and self.denominator is not None:
            below = times @ self.denominator
            values = values + np.divide(
                times @ self.numerator, below, out=np.full(len(times), np.nan), where=below > 0
            )
        return values
