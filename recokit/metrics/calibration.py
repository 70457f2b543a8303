"""Calibration: whether what is predicted with 3 percent happens in 3 of 100 cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from recokit._utils.options import one_of, require, whole
from recokit._utils.report import Content, Report, Table
from recokit.errors import DataError
from recokit.typing import AnyArray, FloatArray, IntArray

Bins = Literal["quantile", "uniform"]


@dataclass(frozen=True, eq=False, repr=False)
class Reliability(Report):
    """Predicted and observed rates, bin by bin.

    Parameters
    ----------
    predicted, observed : ndarray of float64, shape (M,)
        Weighted means of the probabilities and of the outcomes in each bin, lowest probabilities first.
    weight : ndarray of float64, shape (M,)
        Total weight of each bin, above 0.
    count : ndarray of int64, shape (M,)
        Rows in each bin.
    brier, log_loss : float
        Weighted means of the squared error and of the logarithmic loss (natural logarithm), over rows.
    name : str
        What made the predictions, for titles.

    Examples
    --------
    >>> found = reliability([0.1, 0.1, 0.6, 0.6], [0, 0, 1, 0], bins=2)
    >>> found.observed.tolist(), round(found.ece, 3)
    ([0.0, 0.5], 0.1)
    """

    predicted: FloatArray
    observed: FloatArray
    weight: FloatArray
    count: IntArray
    brier: float
    log_loss: float
    name: str = ""

    @property
    def error(self) -> FloatArray:
        """Observed less predicted, (M,) float64: above 0 where too little was predicted."""
        return np.asarray(self.observed - self.predicted)

    @property
    def ece(self) -> float:
        """Expected calibration error: mean absolute error of the bins, by weight; from 0, the best, to 1.

        Naeini, Cooper and Hauskrecht, *Obtaining well calibrated probabilities using Bayesian binning*, 2015. Never
        quite 0: with n rows in a bin, chance alone gives about ``0.8 * sqrt(p * (1 - p) / n)``.
        """
        return float(np.average(np.abs(self.error), weights=self.weight))

    @property
    def max_error(self) -> float:
        """Largest absolute error of a bin."""
        return float(np.abs(self.error).max())

    @property
    def bias(self) -> float:
        """Mean prediction over mean outcome: above 1 where too much is promised; inf where nothing happened."""
        happened = float((self.observed * self.weight).sum())
        promised = float((self.predicted * self.weight).sum())
        return promised / happened if happened else float("inf")

    def table(self) -> list[dict[str, float]]:
        """Return a row for each bin."""
        columns = {
            "predicted": self.predicted,
            "observed": self.observed,
            "error": self.error,
            "weight": self.weight,
            "count": self.count,
        }
        return [{name: float(c[i]) for name, c in columns.items()} for i in range(len(self.weight))]

    def plot(self, ax: Any = None) -> Any:
        """Draw observed against predicted rates, and return the matplotlib axes.

        Both axes are logarithmic where probabilities span more than two powers of ten, as those of clicks do. Needs
        the extra ``plots``.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        """
        from recokit._utils.plots.reliability import draw_reliability
        from recokit._utils.plots.style import title

        ax = draw_reliability(self.predicted, self.observed, self.weight, ax)
        title(ax, f"{self.name or 'Reliability'}: calibration error {self.ece:.4f}")
        return ax

    def __repr__(self) -> str:
        return f"Reliability({len(self.weight)} bins, {self.count.sum()} rows, ECE {self.ece:.4f})"

    def _content(self) -> Content:
        name = f"{self.name}: " if self.name else ""
        title = (
            f"{name}calibration error {self.ece:.4f}, at most {self.max_error:.4f} in a bin, "
            f"predicted over observed {self.bias:.3f}"
        )
        columns = (self.predicted, self.observed, self.weight, self.count.tolist())
        rows = [
            (f"{p:.4f}", f"{o:.4f}", f"{o - p:+.4f}", f"{w:,.0f}", f"{n:,}")
            for p, o, w, n in zip(*columns, strict=True)
        ]
        table = Table(("predicted", "observed", "error", "weight", "rows"), rows)
        return Content(title, [table], notes=[f"Brier {self.brier:.5f}, log loss {self.log_loss:.5f}"])


def reliability(
    probability: AnyArray | list[float],
    outcome: AnyArray | list[float],
    *,
    weight: AnyArray | list[float] | None = None,
    bins: int = 15,
    by: Bins = "quantile",
    name: str = "",
) -> Reliability:
    """Compare predicted probabilities with what happened.

    Parameters
    ----------
    probability : array_like of float, shape (N,)
        Predictions, 0 to 1.
    outcome : array_like of float or bool, shape (N,)
        What happened: 0 or 1, or a share between.
    weight : array_like of float, shape (N,), optional
        Weights of the rows: the inverse sampling probability of sampled negatives, so that rates are those of all rows.
    bins : int, default 15
        Bins at most.
    by : {"quantile", "uniform"}, default "quantile"
        Bins of equal weight, or of equal width. Rates of clicks are small: bins of equal width would put nearly all
        rows into the first. Equal probabilities always share a bin.
    name : str, default ""
        What made the predictions, for titles.

    Returns
    -------
    Reliability

    Raises
    ------
    DataError
        If lengths differ, there is no weight, or a value is out of range.
    ConfigurationError
        If an option is impossible.
    """
    require(whole(1), bins=bins)
    require(one_of("quantile", "uniform"), by=by)
    p, y, w = _checked(probability, outcome, weight)
    order = np.argsort(p, kind="stable")
    p, y, w = p[order], y[order], w[order]
    if by == "uniform":
        place = np.minimum((p * bins).astype(np.int64), bins - 1)
    else:
        middle = (np.cumsum(w) - w / 2) / w.sum()
        place = np.minimum((middle * bins).astype(np.int64), bins - 1)
        # Rows of one probability go where the first of them goes.
        start = np.flatnonzero(np.concatenate([[True], p[1:] != p[:-1]]))
        place = np.repeat(place[start], np.diff(np.append(start, len(p))))
    _, place = np.unique(place, return_inverse=True)
    total = np.bincount(place, w)
    inside = np.clip(p, 1e-15, 1 - 1e-15)
    loss = -(y * np.log(inside) + (1 - y) * np.log1p(-inside))
    return Reliability(
        predicted=np.bincount(place, w * p) / total,
        observed=np.bincount(place, w * y) / total,
        weight=total.astype(np.float64),
        count=np.bincount(place).astype(np.int64),
        brier=float(np.average((p - y) ** 2, weights=w)),
        log_loss=float(np.average(loss, weights=w)),
        name=name,
    )


def expected_calibration_error(
    probability: AnyArray | list[float],
    outcome: AnyArray | list[float],
    *,
    weight: AnyArray | list[float] | None = None,
    bins: int = 15,
    by: Bins = "quantile",
) -> float:
    """Return the expected calibration error, see :attr:`Reliability.ece`; options as for :func:`reliability`.

    Examples
    --------
    >>> round(expected_calibration_error([0.2, 0.2, 0.9], [0, 0, 1], bins=2), 3)
    0.167
    """
    return reliability(probability, outcome, weight=weight, bins=bins, by=by).ece


def _checked(probability: Any, outcome: Any, weight: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the rows of weight above 0, as float64."""
    p, y = np.asarray(probability, np.float64), np.asarray(outcome, np.float64)
    w = np.ones(p.shape) if weight is None else np.asarray(weight, np.float64)
    if p.ndim != 1 or y.shape != p.shape or w.shape != p.shape:
        raise DataError(
            f"found probabilities of shape {p.shape}, outcomes of {y.shape}, weights of {w.shape}; "
            "expected one dimension, and the same"
        )
    for name, values in (("probability", p), ("outcome", y)):
        bad = np.flatnonzero(~((values >= 0) & (values <= 1)))
        if len(bad):
            raise DataError(
                f"found {name} {values[bad[0]]}; expected 0 to 1; "
                "hint: rankers.Calibrated makes probabilities of scores",
                rows=bad,
            )
    bad = np.flatnonzero(~(np.isfinite(w) & (w >= 0)))
    if len(bad):
        raise DataError(f"found weight {w[bad[0]]}; expected finite weights of at least 0", rows=bad)
    used = w > 0
    if not used.any():
        raise DataError(f"found no weight in {len(p)} rows; expected some above 0")
    return p[used], y[used], w[used]
