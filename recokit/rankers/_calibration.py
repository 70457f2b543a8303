"""Rising curves from scores to probabilities, fitted with weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from recokit.errors import ConfigurationError, DataError
from recokit.typing import BoolArray, FloatArray

METHODS = ("isotonic", "platt", "temperature", "beta")
#: Probabilities of 0 and 1 have no log-odds: they count as this far from it.
_EDGE = 1e-7


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve that never falls.

    Parameters
    ----------
    method : {"isotonic", "platt", "temperature", "beta"}
    log_odds : bool
        Whether scores are probabilities, and taken as log-odds.
    slope : ndarray of float64
        Of the terms of the parametric methods.
    intercept : float
    x, y : ndarray of float64, shape (M,)
        Points of an isotonic curve, both rising.
    """

    method: str
    log_odds: bool = False
    slope: FloatArray = field(default_factory=lambda: np.zeros(0))
    intercept: float = 0.0
    x: FloatArray = field(default_factory=lambda: np.zeros(0))
    y: FloatArray = field(default_factory=lambda: np.zeros(0))

    def __call__(self, score: FloatArray) -> FloatArray:
        """Return probabilities (N,) float64 of scores; NaN where a score is."""
        if self.method == "isotonic":
            curve: FloatArray = np.interp(score, self.x, self.y)
            return np.where(np.isnan(score), np.nan, curve)
        raw = self.intercept + sum(
            slope * term
            for slope, term in zip(self.slope, _terms(self.method, score, self.log_odds), strict=True)
        )
        probability: FloatArray = 0.5 + 0.5 * np.tanh(0.5 * raw)
        return probability


def fit_curve(method: str, score: FloatArray, positive: BoolArray, weight: FloatArray) -> Curve:
    """Fit a curve to weighted rows.

    Raises
    ------
    DataError
        If scores are not finite, or there is no positive or no negative.
    ConfigurationError
        If the method needs probabilities and a score is none.
    """
    used = weight > 0
    score, positive, weight = score[used], positive[used], weight[used]
    bad = np.flatnonzero(~np.isfinite(score))
    if len(bad):
        raise DataError(f"found score {score[bad[0]]} in calibration; expected finite scores", rows=bad)
    if not len(positive) or positive.all() or not positive.any():
        raise DataError(
            f"found {int(positive.sum())} positives among {len(positive)} calibration rows; expected both kinds; "
            "hint: a longer label_window, or a larger share"
        )
    if method == "isotonic":
        return _isotonic(score, positive, weight)
    within = bool(((score >= 0) & (score <= 1)).all())
    if method != "platt" and not within:
        raise ConfigurationError(
            f"found scores from {score.min():.4g} to {score.max():.4g} for method={method!r}; expected probabilities; "
            "hint: method='platt' or 'isotonic' take any scores"
        )
    slope, intercept = _logistic(
        _terms(method, score, within), positive, weight, free=method != "temperature"
    )
    return Curve(method, log_odds=within, slope=slope, intercept=intercept)


def _terms(method: str, score: FloatArray, log_odds: bool) -> list[FloatArray]:
    """Return what a parametric curve adds up; none falls with the score."""
    if not log_odds:
        return [score]
    inside = np.clip(score, _EDGE, 1 - _EDGE)
    up, down = np.log(inside), -np.log1p(-inside)
    return [up, down] if method == "beta" else [up + down]


def _isotonic(score: FloatArray, positive: BoolArray, weight: FloatArray) -> Curve:
    """Return the isotonic regression, drawn through the centres of its steps so that it rises between them.

    Oron and Flournoy, *Centered isotonic regression*, 2017: a step says that its scores have one mean rate, not that
    they are all alike, and flat steps would tie candidates that the ranker told apart.
    """
    from sklearn.isotonic import isotonic_regression

    level, code = np.unique(score, return_inverse=True)
    mass = np.bincount(code, weight)
    rate = np.bincount(code, weight * positive) / mass
    step = isotonic_regression(rate, sample_weight=mass)
    _, place = np.unique(step, return_inverse=True)
    total = np.bincount(place, mass)
    x = np.bincount(place, mass * level) / total
    y = np.bincount(place, mass * rate) / total
    return Curve("isotonic", x=x, y=y)


def _logistic(
    terms: list[FloatArray], positive: BoolArray, weight: FloatArray, *, free: bool
) -> tuple[FloatArray, float]:
    """Return slopes of at least 0 and the intercept (0 unless free) that make the labels most likely."""
    from scipy.optimize import minimize

    # On one scale the search takes a dozen steps, whatever the scores are; a shift would need an intercept.
    centre = np.array([np.average(term, weights=weight) if free else 0.0 for term in terms])
    spread = np.array(
        [max(float(np.abs(term - c).max()), 1e-12) for term, c in zip(terms, centre, strict=True)]
    )
    design = np.stack([(term - c) / s for term, c, s in zip(terms, centre, spread, strict=True)], axis=1)
    share = weight / weight.sum()
    sign = np.where(positive, 1.0, -1.0)
    rate = float(share[positive].sum())

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        raw = design @ theta[:-1] + theta[-1]
        pull = -sign * share * (0.5 - 0.5 * np.tanh(0.5 * sign * raw))
        value = float((share * np.logaddexp(0.0, -sign * raw)).sum())
        return value, np.append(pull @ design, pull.sum() if free else 0.0)

    start = np.append(spread / len(terms), np.log(rate / (1 - rate)) if free else 0.0)
    bounds = [(0.0, None)] * len(terms) + [(None, None) if free else (0.0, 0.0)]
    result = minimize(
        loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-13}
    )
    slope: FloatArray = result.x[:-1] / spread
    return slope, float(result.x[-1] - slope @ centre)
