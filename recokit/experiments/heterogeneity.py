"""Heterogeneity: whether an effect is the same in all segments, and stays the same as units get used to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recokit._stats.differences import Difference
from recokit._stats.intervals import benjamini_hochberg
from recokit._stats.moments import Estimate
from recokit.experiments.effects import Effect
from recokit.experiments.metrics import Metric
from recokit.experiments.sample import Sample

#: Units of a segment below which it is not shown.
_FEW = 50
#: Days after the first exposure that novelty is looked at.
_DAYS = 14


@dataclass(frozen=True)
class Spread:
    """The effect in each segment of a column.

    Parameters
    ----------
    column : str
    effects : tuple of Effect
        With p-values corrected for their number (Benjamini-Hochberg).
    p_value : float
        Of effects that are all the same (Cochran's Q), the smallest of the arms times their number.
    """

    column: str
    effects: tuple[Effect, ...]
    p_value: float


def spread(sample: Sample, metric: Metric, column: str) -> Spread:
    """Return the effect on a metric in each segment of a column."""
    labels = sample.segment(column).astype(str)
    found: list[tuple[str, list[Estimate]]] = []
    for value in np.unique(labels).tolist():
        part = sample.only(labels == value)
        if part.units.counts.min() >= _FEW:
            found.append((value, metric.estimates(part)))
    effects = []
    for arm, name in enumerate(sample.units.arms[1:], 1):
        for value, estimates in found:
            one = Difference(estimates[0], estimates[arm])
            effects.append(
                Effect(
                    metric.name, name, one, one.reach(0.95), one.p_value(),
                    lower_is_better=metric.lower_is_better, part=f"{column} {value}",
                )
            )  # fmt: skip
    p_values = benjamini_hochberg([effect.p_value for effect in effects])
    adjusted = tuple(effect.with_p_value(float(p)) for effect, p in zip(effects, p_values, strict=True))
    of_arms = [
        same_effect([effect.difference for effect in effects if effect.arm == name])
        for name in sample.units.arms[1:]
    ]
    return Spread(column, adjusted, min(1.0, min(of_arms) * len(of_arms)))


def same_effect(differences: Sequence[Difference]) -> float:
    """Return the p-value of one effect behind all differences (Cochran, 1954); 1 for fewer than two of them."""
    from scipy.special import chdtrc

    known = [one for one in differences if one.error > 0]
    if len(known) < 2:
        return 1.0
    value, weight = np.array([one.value for one in known]), np.array([one.error**-2 for one in known])
    mean = float(value @ weight / weight.sum())
    return float(chdtrc(len(known) - 1, float(weight @ (value - mean) ** 2)))


@dataclass(frozen=True)
class Novelty:
    """The effect by days since a unit's first exposure, of units that were there for so long.

    Parameters
    ----------
    arm : str
    differences : tuple of Difference
        On each day, from the first on.
    slope, error : float
        Change of the effect a day, and its standard error, as if days were independent.
    """

    arm: str
    differences: tuple[Difference, ...]
    slope: float
    error: float

    @property
    def p_value(self) -> float:
        """Of an effect that stays the same."""
        from scipy.special import ndtr

        return float(2 * ndtr(-abs(self.slope / self.error))) if self.error > 0 else float("nan")


def novelty(sample: Sample, metric: Metric) -> list[Novelty]:
    """Return the effect on a metric by days since the first exposure; nothing without times, or for quantiles."""
    if "timestamp" not in sample.events:
        return []
    by_day: list[list[Estimate]] = []
    end = min(sample.until, sample.end)
    for day in range(_DAYS):
        part = sample.on_day(day, end)
        if part.units.counts.min() < _FEW:
            break
        estimates = metric.estimates(part)
        if any(not one.error > 0 for one in estimates):
            break
        by_day.append(estimates)
    if len(by_day) < 3:
        return []
    return [
        _trend(name, [Difference(of_day[0], of_day[arm]) for of_day in by_day])
        for arm, name in enumerate(sample.units.arms[1:], 1)
    ]


def _trend(arm: str, differences: Sequence[Difference]) -> Novelty:
    """Fit a line through the effects of the days, weighted by how well they are known."""
    weight = np.array([one.error**-2 for one in differences])
    day, value = np.arange(len(weight), dtype=np.float64), np.array([one.value for one in differences])
    centre = float(weight @ day / weight.sum())
    spread = float(weight @ (day - centre) ** 2)
    slope = float(weight @ ((day - centre) * value)) / spread
    return Novelty(arm, tuple(differences), slope, spread**-0.5)
