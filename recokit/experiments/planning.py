"""Planning: how many units an experiment needs, for how many days, and what it could find."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._stats.confidence_sequences import anytime_reach, best_rho
from recokit._stats.group_sequential import boundaries, crossing
from recokit._utils.options import above, require, share, whole
from recokit._utils.report import Content, Report, Table
from recokit.data.times import DAY, timestamp
from recokit.data.vocabulary import factorize
from recokit.errors import ConfigurationError, DataError
from recokit.experiments.exposures import read_log
from recokit.experiments.metrics import Metric, as_metric
from recokit.experiments.readings import Anytime, Fixed, GroupSequential, Reading
from recokit.experiments.sample import Sample
from recokit.experiments.units import Units
from recokit.typing import FloatArray

#: Relative effects that a plan lists.
_EFFECTS = (0.005, 0.01, 0.02, 0.05, 0.10)


@dataclass(frozen=True, eq=False, repr=False)
class Plan(Report):
    """What an experiment needs.

    Parameters
    ----------
    metric : str
    reading : Reading
    effect : float
        Relative effect that is to be found.
    power : float
        In this share of experiments with that effect.
    arms : int
    mean, spread : float
        The metric's mean and standard deviation over units, of what covariates leave.
    units_per_arm, units : float
        Needed for each arm, and in all.
    days : float
        Until so many units have come; NaN without times, infinite where they do not come.
    information : float
        One over the squared standard error of the difference at the end, for ``GroupSequential(information=)``.
    alternatives : tuple of (float, float, float)
        Other effects, with the units and days that they need.
    """

    metric: str
    reading: Reading
    effect: float
    power: float
    arms: int
    mean: float
    spread: float
    units_per_arm: float
    units: float
    days: float
    information: float
    alternatives: tuple[tuple[float, float, float], ...]

    def _content(self) -> Content:
        rows = [[f"{effect:.1%}", f"{units:,.0f}", _days(days)] for effect, units, days in self.alternatives]
        said = (
            f"{self.units:,.0f} units in {self.arms} arms, {_days(self.days)}, find {self.effect:+.1%} of "
            f"{self.metric} in {self.power:.0%} of experiments"
        )
        return Content(
            "Plan of an experiment", [Table(("effect", "units", "days"), rows)], summary=said,
            notes=[f"mean {self.mean:.4g}, standard deviation {self.spread:.4g} of a unit; read at {self.reading}"],
        )  # fmt: skip


def plan(
    metric: Metric | str,
    outcomes: Any,
    *,
    effect: float,
    power: float = 0.8,
    reading: Reading | None = None,
    arms: int = 2,
    share_of_units: float = 1.0,
    users: Any = None,
    cluster: str | None = None,
    before: str | float = "28D",
    start: Any = None,
) -> Plan:
    """Return how many units and days an experiment needs, by the variance of what units really did.

    Parameters
    ----------
    metric : Metric or str
        The primary metric; covariates make it need less. A mean or a ratio.
    outcomes : path, dataframe or mapping
        Events as for :func:`analyze`, of as many days as the experiment is to have.
    effect : float
        The relative effect to find, such as 0.02.
    power : float, default 0.8
    reading : Reading, optional
        :class:`Fixed` by default; several looks need some more units.
    arms : int, default 2
    share_of_units : float, default 1.0
        Share of units that come that are in the experiment.
    users, cluster, before
        As for :func:`analyze`.
    start : date, optional
        When the experiment would have begun: events before are for covariates. The first event by default.

    Raises
    ------
    ConfigurationError
        For numbers out of range, or a metric that is no mean or ratio.
    DataError
        If the metric is 0 for everybody.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> outcomes = {"user_id": np.arange(5_000), "revenue": rng.normal(10.0, 1.0, 5_000)}
    >>> plan("revenue", outcomes, effect=0.01).units_per_arm < 1_650  # 2 (1.96 + 0.84)^2 / 0.1^2 = 1,570
    True
    """
    require(above(0), effect=abs(effect))
    require(share, power=power)
    require(whole(2), arms=arms)
    if not 0 < share_of_units <= 1:
        raise ConfigurationError(
            f"found share_of_units={share_of_units}; expected a share of above 0 and up to 1"
        )
    measure, how = as_metric(metric), Fixed() if reading is None else reading
    sample = _past(outcomes, users=users, cluster=cluster, before=before, start=start)
    linear = measure.linear(sample)
    if linear is None:
        raise ConfigurationError(f"found {measure!r} to plan for; expected a mean or a ratio")
    # The first of the twins holds everybody.
    found = sample.estimates(*linear)[0]
    spread = found.error * math.sqrt(found.n)
    if not found.value or not spread > 0:
        raise DataError(
            f"found a mean of {found.value:g} and a spread of {spread:g}; expected outcomes that vary"
        )
    come = _coming(sample) * share_of_units

    def needed(relative: float) -> tuple[float, float]:
        per_arm = units_needed(abs(relative * found.value) / spread, power, how, arms=arms)
        return per_arm, _days_for(per_arm * arms, come)

    per_arm, days = needed(effect)
    others = tuple((one, needed(one)[0] * arms, needed(one)[1]) for one in _EFFECTS)
    return Plan(
        metric=measure.name,
        reading=how,
        effect=effect,
        power=power,
        arms=arms,
        mean=found.value,
        spread=spread,
        units_per_arm=per_arm,
        units=per_arm * arms,
        days=days,
        information=per_arm / (2 * spread**2),
        alternatives=others,
    )


def units_needed(d: float, power: float = 0.8, reading: Reading | None = None, *, arms: int = 2) -> float:
    """Return the units that each arm needs to find a difference of d standard deviations with this power.

    Parameters
    ----------
    d : float
    power : float, default 0.8
    reading : Reading, optional
    arms : int, default 2
        Several treatments share what may err.

    Examples
    --------
    >>> round(units_needed(0.1), 2)
    1569.77
    >>> round(units_needed(0.1, reading=GroupSequential(looks=14)) / units_needed(0.1), 2)
    1.04
    """
    from scipy.optimize import brentq

    how = Fixed() if reading is None else reading
    require(above(0), d=d)
    alpha = (1.0 - how.confidence) / (arms - 1)

    def missing(log_n: float) -> float:
        return found_with(d, math.exp(log_n), how, alpha) - power

    return float(math.exp(brentq(missing, math.log(2.0), math.log(1e13), xtol=1e-10)))


def detectable(units_per_arm: float, power: float = 0.8, reading: Reading | None = None) -> float:
    """Return the difference, in standard deviations, that so many units in each arm find with this power.

    Examples
    --------
    >>> round(detectable(1569.77), 4)
    0.1
    """
    from scipy.optimize import brentq

    how = Fixed() if reading is None else reading
    alpha = 1.0 - how.confidence
    return float(brentq(lambda d: found_with(d, units_per_arm, how, alpha) - power, 1e-9, 1e3, xtol=1e-12))


def found_with(d: float, n: float, reading: Reading, alpha: float) -> float:
    """Return the power of a reading with n units in each arm, for a difference of d standard deviations."""
    from scipy.special import ndtr, ndtri

    drift = d * math.sqrt(n / 2.0)
    if isinstance(reading, GroupSequential):
        looks = [(i + 1) / reading.looks for i in range(reading.looks)]
        return float(
            crossing(looks, boundaries(looks, alpha, reading.spending).tolist(), min(drift, 30.0))[-1]
        )
    # A sequence finds more by its earlier looks; at the end alone at least this much.
    reach = float(-ndtri(alpha / 2))
    if isinstance(reading, Anytime):
        reach = anytime_reach(2 * n, best_rho(reading.units, alpha), alpha)
    return float(ndtr(drift - reach) + ndtr(-drift - reach))


def _past(outcomes: Any, *, users: Any, cluster: str | None, before: str | float, start: Any) -> Sample:
    """Return what units did as if all had been in one arm since the start, and so in the other."""
    events = read_log(outcomes)
    key = next((one for one in ("unit", "user_id") if one in events), "unit")
    codes, ids = factorize(events.ids(key))
    first = np.zeros(len(ids))
    if "timestamp" in events:
        times = events.times("timestamp")
        began = float(times.min()) if start is None else timestamp(start)
        # Since the first visit after the start: before it a unit would not have been exposed.
        first = np.full(len(ids), np.inf)
        later = times >= began
        np.minimum.at(first, codes[later] - 1, times[later])
    arm = np.where(np.isfinite(first), 0, -1)
    arms = ("outcomes", "nobody")
    units = Units(
        ids=ids,
        arm=arm,
        since=first,
        arms=arms,
        weights=np.array([0.5, 0.5]),
        segments={},
        differs=np.full(len(ids), np.nan),
    )
    return Sample.of(units, events, users=users, before=before, cluster=cluster)


def _coming(sample: Sample) -> FloatArray:
    """Return how many units had come after each day, (D,); nothing without times."""
    since = sample.units.since[sample.units.arm >= 0]
    if "timestamp" not in sample.events or not len(since):
        return np.zeros(0)
    day = np.floor((since - since.min()) / DAY).astype(np.int64)
    last = int(np.floor((sample.end - since.min()) / DAY))
    return np.cumsum(np.bincount(day, minlength=last + 1)).astype(np.float64)


def _days_for(units: float, come: FloatArray) -> float:
    """Return the days until so many units have come, beyond the last day at its pace of late."""
    if not len(come):
        return math.nan
    if come[-1] >= units:
        return float(1 + int(np.searchsorted(come, units)))
    half = come[(len(come) - 1) // 2]
    pace = (come[-1] - half) / max(len(come) - 1 - (len(come) - 1) // 2, 1)
    return float(len(come) + math.ceil((units - come[-1]) / pace)) if pace > 0 else math.inf


def _days(days: float) -> str:
    if math.isnan(days):
        return "-"
    return "never at this pace" if math.isinf(days) else f"{days:,.0f} days"
