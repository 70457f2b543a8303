"""Metrics of experiments: what is measured of each unit, and estimated of each arm."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from recokit._stats.moments import Estimate, Part
from recokit._utils.options import above, between, check_options, optional, share
from recokit.data.times import DAY, seconds
from recokit.errors import ConfigurationError
from recokit.experiments.quantiles import clustered_quantile
from recokit.experiments.sample import Sample
from recokit.typing import FloatArray


class Linear(NamedTuple):
    """What a metric reads of each unit: columns (U, k), and which of them it estimates and adjusts by."""

    columns: FloatArray
    part: Part
    covariates: list[Part]


class Metric(ABC):
    """A metric: a name, which way is better, and the estimate of each arm."""

    lower_is_better: bool

    @property
    @abstractmethod
    def name(self) -> str:
        """What reports call it."""

    @abstractmethod
    def estimates(self, sample: Sample) -> list[Estimate]:
        """Return the estimate of each arm."""

    def linear(self, sample: Sample) -> Linear | None:
        """Return the columns that the estimate is a function of the means of; None for quantiles."""
        return None


class _LinearMetric(Metric):
    def estimates(self, sample: Sample) -> list[Estimate]:
        """Return the estimate of each arm."""
        return sample.estimates(*self.linear(sample))

    @abstractmethod
    def linear(self, sample: Sample) -> Linear:
        """Return the columns that the estimate is a function of the means of."""


@dataclass(frozen=True)
class Mean(_LinearMetric):
    """A sum over the events of each unit, such as revenue per user.

    Parameters
    ----------
    column : str
        Column of the events, or a type of event, which is counted.
    covariate : str or sequence of str, optional
        What was known before (CUPED): ``"before"`` is the same sum before the first exposure, ``"before:clicks"`` that
        of another column, any other name a column of ``users`` or of the events.
    winsorize : float, optional
        Values above this quantile of all units count as that quantile, such as 0.999.
    lower_is_better : bool, default False
    label : str, optional
        The metric's name; the column's by default.

    Raises
    ------
    ConfigurationError
        Unless the quantile is between 0 and 1.

    Examples
    --------
    >>> Mean("revenue", covariate="before").name
    'revenue'
    """

    column: str
    covariate: str | Sequence[str] | None = None
    winsorize: float | None = None
    lower_is_better: bool = False
    label: str = ""

    def __post_init__(self) -> None:
        check_options(self, {"winsorize": optional(share)})

    @property
    def name(self) -> str:
        """Its label, or the column's name."""
        return self.label or self.column

    def linear(self, sample: Sample) -> Linear:
        """Return the columns that the estimate is a function of the means of."""
        value = winsorized(sample.total(self.column), self.winsorize, sample)
        covariates = [sample.covariate(name, self.column) for name in _several(self.covariate)]
        columns = np.stack([value, *covariates, np.ones(len(value))], axis=1)
        # Of clusters, a mean over units is a ratio of sums.
        below = columns.shape[1] - 1 if sample.is_clustered else None
        parts = [Part(1 + i, below) for i in range(len(covariates))]
        return Linear(columns, Part(0, below), parts)


@dataclass(frozen=True)
class Ratio(_LinearMetric):
    """A ratio of two sums, such as clicks per impression, with units independent and not impressions.

    Parameters
    ----------
    numerator, denominator : str
        Columns of the events, or types of event.
    covariate : str or sequence of str, optional
        ``"before"`` is the same ratio before the first exposure; any other name as for :class:`Mean`.
    lower_is_better : bool, default False
    label : str, optional

    Examples
    --------
    >>> Ratio("clicks", "impressions").name
    'clicks / impressions'
    """

    numerator: str
    denominator: str
    covariate: str | Sequence[str] | None = None
    lower_is_better: bool = False
    label: str = ""

    @property
    def name(self) -> str:
        """Its label, or both columns."""
        return self.label or f"{self.numerator} / {self.denominator}"

    def linear(self, sample: Sample) -> Linear:
        """Return the columns that the estimate is a function of the means of."""
        columns = [sample.total(self.numerator), sample.total(self.denominator)]
        covariates = []
        for name in _several(self.covariate):
            covariates.append(Part(len(columns), len(columns) + 1))
            if name == "before" and name not in sample.events:
                columns += [sample.earlier(self.numerator), sample.earlier(self.denominator)]
            else:
                columns += [sample.covariate(name, self.numerator), np.ones(len(sample.units))]
        return Linear(np.stack(columns, axis=1), Part(0, 1), covariates)


@dataclass(frozen=True)
class Quantile(Metric):
    """A quantile over events, such as the 99th percentile of the time of requests; units are independent.

    Parameters
    ----------
    column : str
    q : float, default 0.99
    lower_is_better : bool, default True
        As of times.
    label : str, optional

    Raises
    ------
    ConfigurationError
        Unless q is between 0 and 1.

    Examples
    --------
    >>> Quantile("ms", 0.99).name
    'p99_ms'
    """

    column: str
    q: float = 0.99
    lower_is_better: bool = True
    label: str = ""

    def __post_init__(self) -> None:
        check_options(self, {"q": share})

    @property
    def name(self) -> str:
        """Its label, or as in ``"p99_ms"``."""
        return self.label or f"p{self.q * 100:g}_{self.column}"

    def estimates(self, sample: Sample) -> list[Estimate]:
        """Return the estimate of each arm."""
        values, rows = sample.values(self.column)
        group, _ = sample.groups()
        arm = sample.units.arm[rows]
        return [
            clustered_quantile(values[arm == one], group[rows[arm == one]], self.q)
            for one in range(len(sample.units.arms))
        ]


@dataclass(frozen=True)
class Retention(_LinearMetric):
    """Share of units that came back so long after their first exposure; those not followed for so long are left out.

    Parameters
    ----------
    days : int, default 30
    window : duration, default "7D"
        A unit is retained with any event in the window that begins that many days after its first exposure.
    label : str, optional

    Examples
    --------
    >>> Retention(30).name
    '30-day retention'
    """

    days: int = 30
    window: str | float = "7D"
    lower_is_better: bool = False
    label: str = ""

    def __post_init__(self) -> None:
        check_options(self, {"days": above(0)})
        seconds(self.window)

    @property
    def name(self) -> str:
        """Its label, or its days."""
        return self.label or f"{self.days}-day retention"

    def linear(self, sample: Sample) -> Linear:
        """Return the columns that the estimate is a function of the means of."""
        start = self.days * DAY
        end = start + seconds(self.window)
        ages, rows = sample.ages()
        back = np.zeros(len(sample.units))
        back[rows[(ages >= start) & (ages < end)]] = 1.0
        # Censored: the window has not ended where the log does.
        back[sample.units.since + end > min(sample.until, sample.end)] = np.nan
        columns = np.stack([back, np.ones(len(back))], axis=1)
        return Linear(columns, Part(0, 1 if sample.is_clustered else None), [])


def _several(names: str | Sequence[str] | None) -> Sequence[str]:
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)


def winsorized(values: FloatArray, q: float | None, sample: Sample) -> FloatArray:
    """Return values (U,) with those above a quantile of all units in an arm set to it."""
    if q is None:
        return values
    return np.minimum(values, np.quantile(values[sample.units.arm >= 0], q))


_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)_(.+)")


def as_metric(metric: str | Metric) -> Metric:
    """Return a metric by name: ``"p99_ms"`` is a quantile, anything else a mean.

    Examples
    --------
    >>> as_metric("p95_ms"), as_metric("revenue").name
    (Quantile(column='ms', q=0.95, lower_is_better=True, label=''), 'revenue')
    """
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str):
        raise ConfigurationError(f"found {metric!r}; expected a metric, such as ex.Mean('revenue')")
    found = _PERCENTILE.fullmatch(metric)
    return Mean(metric) if found is None else Quantile(found[2], float(found[1]) / 100)


@dataclass(frozen=True)
class NotWorse:
    """A guardrail: a metric that may not get worse by more than a margin.

    Parameters
    ----------
    metric : Metric or str
        By name: ``"p99_ms"`` is a quantile, anything else a mean over units.
    margin : float, default 0.02
        The loss that is accepted, as a share of the control; of the metric itself with ``relative=False``.
    relative : bool, default True
    within : mapping of str to value, optional
        Units of these segments only, such as ``{"cold": "True"}``.
    label : str, optional

    Raises
    ------
    ConfigurationError
        Unless the margin is above 0.

    Examples
    --------
    >>> NotWorse("p99_ms", margin=0.05).name
    'p99_ms'
    """

    metric: Metric | str
    margin: float = 0.02
    relative: bool = True
    within: Mapping[str, Any] | None = None
    label: str = ""

    def __post_init__(self) -> None:
        check_options(self, {"margin": between(0, 10, open_low=True)})
        object.__setattr__(self, "metric", as_metric(self.metric))

    @property
    def measured(self) -> Metric:
        """The metric."""
        assert isinstance(self.metric, Metric)
        return self.metric

    @property
    def name(self) -> str:
        """Its label, or the metric's name and the segments."""
        within = "".join(f", {name} {value}" for name, value in (self.within or {}).items())
        return self.label or f"{self.measured.name}{within}"


def guardrails(columns: Sequence[str] = (), *, cold: str | None = None) -> tuple[NotWorse, ...]:
    """Return the customary guardrails of a recommender, as far as events have their columns.

    The time of the slowest requests, errors, fallbacks, empty lists, share of the catalogue's tail, diversity within
    lists, clicks of newcomers, and exposure of small sellers. :class:`ListLog` writes the columns.

    Parameters
    ----------
    columns : sequence of str
        Columns of the events; all by default.
    cold : str, optional
        Segment that is ``"True"`` for newcomers.

    Examples
    --------
    >>> [rail.name for rail in guardrails(["ms", "failed", "lists"])]
    ['p99_ms', 'failed lists']
    """
    rails = [
        ("ms", NotWorse(Quantile("ms", 0.99), 0.10)),
        (
            "failed",
            NotWorse(Ratio("failed", "lists", lower_is_better=True, label="failed lists"), 0.001, False),
        ),
        (
            "fallback",
            NotWorse(Ratio("fallback", "lists", lower_is_better=True, label="fallback lists"), 0.005, False),
        ),
        ("empty", NotWorse(Ratio("empty", "lists", lower_is_better=True, label="empty lists"), 0.001, False)),
        ("tail", NotWorse(Ratio("tail", "lists", label="tail of the catalogue"), 0.10)),
        ("diversity", NotWorse(Ratio("diversity", "lists", label="diversity in lists"), 0.05)),
        ("small_sellers", NotWorse(Ratio("small_sellers", "lists", label="small sellers' exposure"), 0.10)),
    ]
    found = [rail for column, rail in rails if not columns or column in columns]
    if cold is not None:
        clicks = Ratio("clicks", "impressions", label="newcomers' clicks / impressions")
        found.append(NotWorse(clicks, 0.05, within={cold: "True"}))
    return tuple(found)
