"""Intervals and tests of means over users, and of several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recokit._utils.options import require, share
from recokit.errors import DataError
from recokit.typing import FloatArray

#: Below so many users, an interval may hold the truth less often than it says.
FEW_USERS = 200


#: The same below so many users whose value is not the one that most have: all that is known of the spread.
FEW_APART = 15


#: What tables say of such an interval.
FEW_NOTE = (
    f"* below {FEW_USERS} users, or {FEW_APART} who differ from most: intervals and tests may err more often"
)


#: How many standard errors of its own the skewness of values of both signs must have before its sign counts. The cubic
#: moves the interval by twice the noise there: by no more than a quarter of the correction itself.
_NOISE = 8.0


#: Skewness of a mean below which its correction is nothing but rounding.
_SYMMETRIC = 1e-6


@dataclass(frozen=True)
class Mean:
    """A mean over n users, and what its interval and test are made of.

    Parameters
    ----------
    mean, error : float
        Mean and its standard error; NaN where there is none.
    skew : float
        Skewness of the mean, as far as it counts.
    n : int
        Users.
    n_apart : int
        Users whose value is not the one that most have, if there is one.
    unclear : float
        Squared skewness of the mean that may have either sign.
    """

    mean: float
    error: float
    skew: float
    n: int
    n_apart: int
    unclear: float = 0.0

    @classmethod
    def of(cls, values: FloatArray) -> Mean:
        """Return the mean of the values that are not NaN, see :func:`mean_interval`."""
        defined = np.asarray(values, np.float64)
        defined = defined[~np.isnan(defined)]
        n = len(defined)
        if n < 2:
            return cls(float(defined[0]) if n else np.nan, np.nan, 0.0, n, 0)
        mean, spread = float(defined.mean()), float(defined.std(ddof=1))
        if spread <= 1e-12 * abs(mean):
            return cls(mean, 0.0, 0.0, n, 0)
        # A value that most have is the median.
        apart = int(np.count_nonzero(defined != np.median(defined)))
        one_sided = defined.min() >= 0 or defined.max() <= 0
        skewness, clear = _skewness((defined - mean) / spread, noise=0.0 if one_sided else _NOISE)
        skew, unclear = clear * skewness / np.sqrt(n), (1.0 - clear) * skewness**2 / n
        return cls(mean, float(spread / np.sqrt(n)), float(skew), n=n, n_apart=apart, unclear=float(unclear))

    @property
    def few(self) -> bool:
        """Whether users are too few for the interval to keep its promise: 200, or 15 that differ from most."""
        return self.n < FEW_USERS or self.n_apart < FEW_APART

    def interval(
        self, confidence: float, bounds: tuple[float, float] = (-np.inf, np.inf)
    ) -> tuple[float, float]:
        """Return the ends of the two-sided interval; NaN below two users."""
        reach = self._widened(self._quantile(0.5 + confidence / 2))
        low = float(self.mean - self.error * unskewed(reach, self.skew))
        high = float(self.mean - self.error * unskewed(-reach, self.skew))
        if self.error == 0 and self.mean in bounds and np.isfinite(bounds).all():
            # Nobody differs, which is still likely where a share below this does.
            unseen = (bounds[1] - bounds[0]) * (1 - (0.5 - confidence / 2) ** (1 / self.n))
            low, high = (low, low + unseen) if self.mean == bounds[0] else (high - unseen, high)
        return max(low, bounds[0]), min(high, bounds[1])

    def p_value(self, null: float = 0.0) -> float:
        """Return the two-sided p-value of a true mean of ``null``.

        It is below ``1 - c`` where the interval at c leaves ``null`` out.
        """
        if not self.error > 0:
            return np.nan if np.isnan(self.error) else float(self.mean == null)
        from scipy.optimize import brentq
        from scipy.special import stdtr

        t, s = (self.mean - null) / self.error, self.skew
        found = abs(t + s * t**2 / 3 + s**2 * t**3 / 27 + s / 6)
        # From 1 on, reaches are not narrowed.
        reach = brentq(lambda x: self._widened(x) - found, 0.0, max(found, 1.0))
        return float(2 * stdtr(self.n - 1, -reach))

    def detectable(self, confidence: float, power: float) -> float:
        """Return the smallest true mean that a test at this confidence finds with this power, at this n."""
        return self.error * (self._quantile(0.5 + confidence / 2) + self._quantile(power))

    def needed(self, difference: float, confidence: float, power: float) -> float:
        """Return how many such users find a true mean of ``difference`` with this power; infinite for 0."""
        share = self.detectable(confidence, power) / abs(difference) if difference else np.inf
        return float(np.ceil(self.n * share**2)) if np.isfinite(share) else float(share)

    def _widened(self, reach: float) -> float:
        """Return how far to go on both sides, for a skewness of unclear sign, to miss as often as ``reach`` should."""
        return reach + self.unclear * reach * (reach**4 + 2.0 * reach**2 - 3.0) / 18.0

    def _quantile(self, share: float) -> float:
        return student_quantile(share, self.n - 1)


def mean_interval(
    values: FloatArray, confidence: float = 0.95, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float, float, int]:
    """Return mean, low end, high end and number of the values that are not NaN.

    Student's interval, corrected for skewness: Hall, *On the removal of skewness by transformation*, 1992, makes a
    cubic of the studentised mean that is closer to normal. Most users of a recommender have a 0, and few have much:
    Student's own interval holds the truth in 93% of samples of 200 such users instead of 95%, and misses above four
    times in five. Paired differences have both signs, and their skewness is mostly noise that goes with the mean: where
    the sample happens to hold more of the large gains, both are too large. There the cubic takes the share
    ``c = 1 - 64 v / g^2`` (0 at least) of the skewness g, v being its variance. The rest says how far to go, not to
    which side: ``t + (1 - c) g^2 t (t^4 + 2 t^2 - 3) / (18 n)`` instead of Student's quantile t, the term of skewness
    in Hall, *The bootstrap and Edgeworth expansion*, 1992, section 2.6, of the two-sided error of Student's interval.
    Then both ends together miss 5%, though one of them may have more than half of that.
    Values that are all the same, at a bound, have the exact binomial end on the other side. The interval costs nothing
    at 100,000 users and needs no seed. It is made for 200 users and more, 15 of whom differ from most.

    Parameters
    ----------
    values : ndarray of float, shape (U,)
        One value for each user, NaN where undefined.
    confidence : float, default 0.95
        Share of such intervals that hold the true mean.
    bounds : (float, float)
        Smallest and largest possible value.

    Returns
    -------
    mean, low, high : float
        NaN without values; the ends are NaN below two values.
    n : int

    Raises
    ------
    ConfigurationError
        Unless the confidence is between 0 and 1.

    Examples
    --------
    >>> mean, low, high, n = mean_interval(np.array([0.0, 1.0, 1.0, 0.0, np.nan]))
    >>> mean, round(low, 3), round(high, 3), n
    (0.5, -0.419, 1.419, 4)
    """
    require(share, confidence=confidence)
    found = Mean.of(values)
    return found.mean, *found.interval(confidence, bounds), found.n


def student_quantile(share: float, freedom: float) -> float:
    """Return a quantile of Student's t distribution; NaN without a degree of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share)) if freedom > 0 else np.nan


def unskewed(reach: float, skew: float) -> float:
    """Return what reach t of a symmetric mean is for one of this skewness: the inverse of Hall's cubic.

    The cubic is ``t + skew t^2 / 3 + skew^2 t^3 / 27 + skew / 6``.
    """
    if not abs(skew) >= _SYMMETRIC:
        return reach
    return float(3.0 / skew * (np.cbrt(1.0 + skew * (reach - skew / 6.0)) - 1.0))


def _skewness(scaled: FloatArray, *, noise: float) -> tuple[float, float]:
    """Return the skewness of values of mean 0 and spread 1, and the share of it that is clear of so much noise."""
    square = scaled * scaled
    cube = square * scaled
    skewness = float(cube.mean())
    if noise == 0 or skewness == 0:
        return skewness, 1.0
    influence = cube - 3.0 * scaled - 1.5 * skewness * (square - 1.0)
    variance = float(influence.var()) / len(scaled)
    return skewness, max(0.0, 1.0 - noise**2 * variance / skewness**2)


def quantile_interval(values: FloatArray, q: float, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return a quantile and the ends of its interval, which needs no assumption on the distribution.

    Values below the true quantile are binomial in number, so the ends are order statistics (Conover, *Practical
    nonparametric statistics*, 1999). They are infinite where too few values were measured: the high end of a p99 at
    95% needs 368.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        Independent measurements.
    q : float
        Between 0 and 1.
    confidence : float, default 0.95
        Share of such intervals that hold the true quantile, at least.

    Returns
    -------
    value, low, high : float

    Raises
    ------
    DataError
        Without values, or with NaN among them.

    Examples
    --------
    >>> quantile_interval(np.arange(1.0, 1001.0), 0.99)
    (990.0, 983.0, 997.0)
    """
    require(share, confidence=confidence)
    if not len(values) or np.isnan(values).any():
        raise DataError(f"found {len(values)} values, or NaN among them; expected numbers only")
    from scipy.stats import binom

    n, tail = len(values), (1 - confidence) / 2
    ordered = np.concatenate([[-np.inf], np.sort(values), [np.inf]])
    below, above = int(binom.ppf(tail, n, q)), int(binom.ppf(1 - tail, n, q)) + 1
    value = float(ordered[max(1, int(np.ceil(n * q - 1e-9)))])
    return value, float(ordered[below]), float(ordered[above])


def holm(p_values: Sequence[float]) -> FloatArray:
    """Return p-values adjusted by Holm's method; NaN, of a test that could not be made, stays NaN and counts.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)  # NaN last
    stepwise = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepwise))
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> FloatArray:
    """Return p-values adjusted for the share of false discoveries; NaN, of a test that was not made, stays NaN.

    Benjamini and Hochberg, *Controlling the false discovery rate*, 1995.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, np.float64)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made])]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted
