"""Unbiased targets: clicks and ratings as if everything were examined alike.

Two kinds of bias. A click needs a look: items in low places are clicked less than wanted, so *clicks* are corrected
by the examination of their place. And a row needs an impression, or a rating its user's choice: *rows* are corrected by
the probability with which they are in the data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from recokit._utils.options import at_least, one_of, require
from recokit._utils.report import Content, Report, Table
from recokit.data import RankingData
from recokit.debias.position_bias import PositionBias
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import AnyArray, BoolArray, FloatArray

Corrects = Literal["clicks", "rows"]
Propensity = PositionBias | str | FloatArray
Prediction = str | FloatArray


@dataclass(frozen=True, repr=False)
class WeightReport(Report):
    """Effect of the weights on the training rows.

    Parameters
    ----------
    corrects : {"clicks", "rows"}
    rows, weighted : int
        Rows, and how many of them are weighed: those with a click, or all that were observed.
    effective : float
        Kish's effective sample size of the weighed rows: ``sum(w) ** 2 / sum(w ** 2)``. What weighing costs: so many
        rows of equal weight would give estimates as steady.
    clipped : float
        Share of the weighed rows whose weight was cut.
    clipped_mass : float
        Share of the total weight that was cut off: the bias that steadiness was bought with.
    smallest : float
        Smallest propensity.
    largest : float
        Largest weight, after clipping and normalisation.
    offset : float
        Addition to all targets, so that none is below 0.
    """

    corrects: Corrects
    rows: int
    weighted: int
    effective: float
    clipped: float
    clipped_mass: float
    smallest: float
    largest: float
    offset: float = 0.0

    @property
    def effective_share(self) -> float:
        """Effective sample size as a share of the weighed rows."""
        return self.effective / max(self.weighted, 1)

    def _content(self) -> Content:
        rows = [
            (
                "effective sample size",
                f"{self.effective:,.0f} of {self.weighted:,} ({self.effective_share:.1%})",
            ),
            ("weights cut", f"{self.clipped:.2%}, with {self.clipped_mass:.2%} of the total weight"),
            ("smallest propensity", f"{self.smallest:.4g}"),
            ("largest weight", f"{self.largest:.4g}"),
        ]
        if self.offset:
            rows.append(("added to all targets", f"{self.offset:.4g}"))
        rate = f"{self.weighted:,} of {self.rows:,} rows"
        return Content(
            f"{self.corrects.capitalize()} weighed by inverse propensity: {rate}", [Table((), rows)]
        )


@dataclass(frozen=True, eq=False)
class UnbiasedSet:
    """Rows with corrected weights or targets, and the report on the training part."""

    data: RankingData
    report: WeightReport


def inverse_propensity(
    data: RankingData,
    propensity: Propensity,
    *,
    corrects: Corrects = "clicks",
    max_weight: float = 20.0,
    normalize: bool = True,
    into: Literal["weight", "label"] = "weight",
) -> UnbiasedSet:
    """Weigh rows by the inverse of the probability with which they were clicked or seen.

    Parameters
    ----------
    data : RankingData
        Rows of impressions, from :func:`impression_rows` or :meth:`LoggedRequests.ranking_data
        <recokit.monitoring.feature_log.FeatureLog.read>`; a validation part is corrected alike.
    propensity : PositionBias, str or ndarray of float (N,)
        The examination of each row's column ``position``; the name of a column; or the probabilities themselves, for
        data without a validation part. Above 0, not all known better than by a constant factor.
    corrects : {"clicks", "rows"}, default "clicks"
        Weigh rows with a click, which a low place hides; or all rows, where the propensity is that of being in
        the data at all.
    max_weight : float, default 20.0
        Weights are cut here: a few rows of tiny propensity would decide everything.
    normalize : bool, default True
        Divide the weights by their mean: the model keeps the level of the log, and does not depend on a
        constant factor of the propensities. Without, clicks are weighed up to the level of a place that everybody
        looks at.
    into : {"weight", "label"}, default "weight"
        Where the correction goes. A weight suits every ranker; with ``corrects="clicks"`` it is exact as far as clicks
        are rare, since rows without a click still hold wanted items that nobody looked at. A label of weight times
        gain is exact on average for rankers that learn a label's mean (logistic regression, trees), and wrong for those
        that compare pairs or lists by gain.

    Returns
    -------
    UnbiasedSet

    Raises
    ------
    ConfigurationError
        If an option is impossible, or a column is missing.
    DataError
        If a propensity is not above 0 and finite.

    Examples
    --------
    >>> one = np.ones(2, np.float32)
    >>> data = RankingData(one[:, None], ("price",), one, one, np.array([0, 2]), np.ones(2, np.int64),
    ...                    np.array([3, 4]), np.zeros(2), columns={"position": np.array([1, 2])})
    >>> inverse_propensity(data, PositionBias.known([1.0, 0.25]), normalize=False).data.weight.tolist()
    [1.0, 4.0]
    """
    _check(corrects, max_weight)
    require(one_of("weight", "label"), into=into)
    if into == "label" and corrects == "rows":
        raise ConfigurationError(
            "found into='label' and corrects='rows'; expected into='weight': a row that may be missing is weighed as a "
            "whole; hint: doubly_robust makes labels of such rows"
        )

    def corrected(part: RankingData) -> tuple[RankingData, WeightReport]:
        chosen = part.label > 0 if corrects == "clicks" else np.ones(len(part), np.bool_)
        chance = _propensity(part, propensity, chosen)
        weight = np.minimum(1.0 / chance, max_weight)
        if normalize and chosen.any():
            weight[chosen] /= weight[chosen].mean()
        report = _report(part, corrects, chance[chosen], weight[chosen], max_weight)
        if into == "weight":
            return replace(part, weight=(part.weight * weight).astype(np.float32)), report
        return replace(part, label=(part.label * weight).astype(np.float32)), report

    _alone(data, propensity)
    train, report = corrected(data)
    later = None if data.validation is None else corrected(data.validation)[0]
    return UnbiasedSet(replace(train, validation=later), report)


def doubly_robust(
    data: RankingData,
    propensity: Propensity,
    prediction: Prediction,
    *,
    corrects: Corrects = "clicks",
    observed: str | None = None,
    max_weight: float = 20.0,
) -> UnbiasedSet:
    """Replace labels by doubly robust targets: a prediction, corrected by what it missed where that was seen.

    For rows: ``prediction + weight * (label - prediction)`` where observed, the prediction elsewhere. For clicks:
    ``prediction + weight * (label - examination * prediction)``. With ``weight = 1 / propensity`` the targets are right
    on average if either the propensities or the predictions are; Dudik, Langford and Li, *Doubly robust policy
    evaluation and learning*, 2011. Where weights are cut, the prediction stands in for what was cut off, instead of
    nothing.

    Targets are graded labels, so rankers that learn a label's mean take them: each row counts as a positive with its
    target's share of the largest one, as a negative with the rest. Targets below 0 are shifted up, all by the same.

    Parameters
    ----------
    data, propensity, corrects, max_weight
        As for :func:`inverse_propensity`. Rows that were not observed belong to ``data`` too where rows are corrected.
    prediction : str or ndarray of float (N,)
        A model's expected label of each row; the model may be the ranker that made the log: name of a
        column, or values for data without a validation part. For clicks: of a row that is looked at.
    observed : str, optional
        Name of a boolean column: rows whose label is known. By default all are.

    Returns
    -------
    UnbiasedSet

    Raises
    ------
    ConfigurationError
        If an option is impossible, or a column is missing.
    DataError
        If a propensity is not above 0, or a prediction is not finite.
    """
    _check(corrects, max_weight)

    def corrected(part: RankingData) -> tuple[FloatArray, WeightReport]:
        seen = np.ones(len(part), np.bool_) if observed is None else _column(part, observed).astype(np.bool_)
        guess = _values(part, prediction)
        _require(np.isfinite(guess), guess, "prediction", "finite ones")
        chance = _propensity(part, propensity, seen)
        weight = np.where(seen, np.minimum(1.0 / chance, max_weight), 0.0)
        expected = chance * guess if corrects == "clicks" else guess
        target = guess + weight * (part.label - expected)
        return target, _report(part, corrects, chance[seen], weight[seen], max_weight)

    _alone(data, propensity)
    _alone(data, prediction)
    target, report = corrected(data)
    later = None if data.validation is None else corrected(data.validation)[0]
    offset = -min(float(part.min(initial=0.0)) for part in (target, later) if part is not None)
    validation = None
    if data.validation is not None and later is not None:
        validation = replace(data.validation, label=(later + offset).astype(np.float32))
    label = (target + offset).astype(np.float32)
    return UnbiasedSet(replace(data, label=label, validation=validation), replace(report, offset=offset))


def _check(corrects: str, max_weight: float) -> None:
    require(one_of("clicks", "rows"), corrects=corrects)
    require(at_least(1, hint="inf is no limit"), max_weight=max_weight)


def _alone(data: RankingData, values: Propensity) -> None:
    if isinstance(values, np.ndarray) and data.validation is not None:
        raise ConfigurationError(
            "found an array for data with a validation part; expected the name of a column that both parts have"
        )


def _propensity(part: RankingData, propensity: Propensity, where: BoolArray) -> FloatArray:
    """Return the propensity of each row, (N,) float64; 1 outside the mask, where it may be unknown."""
    if isinstance(propensity, PositionBias):
        chance = propensity.at(_column(part, "position"))
    else:
        chance = _values(part, propensity)
    _require(~where | (np.isfinite(chance) & (chance > 0)), chance, "propensity", "above 0")
    return np.where(where, chance, 1.0)


def _values(part: RankingData, values: str | AnyArray) -> FloatArray:
    column = np.asarray(_column(part, values) if isinstance(values, str) else values, np.float64)
    if column.shape != (len(part),):
        raise DataError(f"found values of shape {column.shape}; expected ({len(part)},), one for each row")
    return column


def _column(part: RankingData, name: str) -> AnyArray:
    if name not in part.columns:
        raise ConfigurationError(f"found no column {name!r} in the rows; {did_you_mean(name, part.columns)}")
    return part.columns[name]


def _require(ok: BoolArray, values: FloatArray, name: str, expected: str) -> None:
    bad = np.flatnonzero(~ok)
    if len(bad):
        raise DataError(
            f"found {name} {values[bad[0]]}; expected {expected}; hint: rows that nobody was shown have none: leave "
            "them out, or mark the others in a column for observed=",
            rows=bad,
        )


def _report(
    part: RankingData, corrects: Corrects, chance: FloatArray, weight: FloatArray, max_weight: float
) -> WeightReport:
    full = 1.0 / chance
    total = float(weight.sum())
    return WeightReport(
        corrects=corrects,
        rows=len(part),
        weighted=len(weight),
        effective=total**2 / max(float((weight**2).sum()), 1e-300),
        clipped=float((full > max_weight).mean()) if len(full) else 0.0,
        clipped_mass=float(np.maximum(full - max_weight, 0.0).sum() / max(full.sum(), 1e-300)),
        smallest=float(chance.min(initial=1.0)),
        largest=float(weight.max(initial=0.0)),
    )
