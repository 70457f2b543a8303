"""Intervals of off-policy estimates: from what each round contributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from recokit._ops.segments import segment_sum
from recokit.errors import ConfigurationError
from recokit.typing import FloatArray, IntArray

__all__ = ["Interval", "Parts", "bernstein", "bootstrap", "interval_of", "student"]

Interval = Literal["student", "bootstrap", "bernstein"]

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
    total = _Totals.of(parts, clusters)
    if len(total.size) < 2:
        return np.nan, np.nan, np.nan
    from scipy.special import stdtrit

    n, value = len(total.size), parts.value()
    influence = (total.plain - parts.plain.mean() * total.size) / total.size.mean()
    if total.numerator is not None and total.denominator is not None:
        quotient = total.numerator.sum() / total.denominator.sum() if total.denominator.sum() > 0 else np.nan
        influence = influence + (total.numerator - quotient * total.denominator) / total.denominator.mean()
    error = float(influence.std(ddof=1) / np.sqrt(n))
    reach = float(stdtrit(n - 1, 0.5 + confidence / 2)) * error
    return error, value - reach, value + reach


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
            "weights, such as ClippedIPS(max_weight=20), and reward_range=, the least and most reward of a round; "
            "hint: 'student' and 'bootstrap' need no bounds"
        )
    if clusters is not None:
        raise ConfigurationError(
            "found interval='bernstein' for rounds in clusters; expected independent rounds; "
            "hint: 'student' and 'bootstrap' take clusters"
        )
    n = len(parts.plain)
    if n < 2:
        return np.nan, np.nan, np.nan
    low, high = parts.bounds
    mean, variance = float(parts.plain.mean()), float(parts.plain.var(ddof=1))
    log = np.log(4.0 / (1.0 - confidence))
    reach = float(np.sqrt(2.0 * variance * log / n) + 7.0 * (high - low) * log / (3.0 * (n - 1)))
    return float(np.sqrt(variance / n)), max(mean - reach, low), min(mean + reach, high)


def interval_of(
    parts: Parts, clusters: IntArray | None, kind: Interval, confidence: float, *, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Return standard error, low and high end of the named kind."""
    kinds: dict[str, Callable[[], tuple[float, float, float]]] = {
        "student": lambda: student(parts, clusters, confidence),
        "bootstrap": lambda: bootstrap(parts, clusters, confidence, resamples=resamples, seed=seed),
        "bernstein": lambda: bernstein(parts, clusters, confidence),
    }
    if kind not in kinds:
        raise ConfigurationError(f"found interval={kind!r}; expected 'student', 'bootstrap' or 'bernstein'")
    return kinds[kind]()


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

        def added(column: FloatArray) -> FloatArray:
            return segment_sum(column, clusters, n)

        below = parts.denominator
        above = parts.numerator
        return cls(
            added(parts.plain),
            np.bincount(clusters, minlength=n).astype(np.float64),
            None if above is None else added(above),
            None if below is None else added(below),
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
