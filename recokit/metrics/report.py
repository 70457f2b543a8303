"""Several metrics at once, over all users or chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recokit._utils import report as _report
from recokit._utils.moved import renamed
from recokit.errors import ConfigurationError, did_you_mean
from recokit.metrics.base import CatalogueMetric, Exposure, Metric, UserMetric
from recokit.metrics.matched_lists import MatchedLists
from recokit.metrics.registry import parse_all
from recokit.typing import FloatArray


@dataclass(frozen=True)
class Figure:
    """One metric of all lists.

    Parameters
    ----------
    name, definition : str
        Which metric, and what exactly it computes.
    value : float
        Mean over the users where it is defined, or the value of the catalogue; NaN where there is none.
    std : float
        Standard deviation over these users, with n - 1; NaN for metrics of the catalogue and below two users.
    n, n_undefined : int
        Users with a value, and users without.
    """

    name: str
    definition: str
    value: float
    std: float
    n: int
    n_undefined: int

    def __float__(self) -> float:
        return self.value


class Report(_report.Report, Mapping[str, Figure]):
    """Figures by metric name; printed with their definitions."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures = {figure.name: figure for figure in figures}

    def __getitem__(self, name: str) -> Figure:
        if name not in self._figures:
            raise ConfigurationError(f"found no metric {name!r}; {did_you_mean(name, self._figures)}")
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def _content(self) -> _report.Content:
        rows = [
            (
                figure.name,
                "-" if math.isnan(figure.value) else f"{figure.value:.4f}",
                f"{figure.n:,}",
                f"{figure.n_undefined:,}",
                figure.definition,
            )
            for figure in self.values()
        ]
        users = max(figure.n + figure.n_undefined for figure in self.values())
        table = _report.Table(("metric", "value", "users", "undefined", "definition"), rows)
        return _report.Content(f"{len(self)} metrics of {users:,} users", [table])


class Stream:
    """Metrics of users who come in chunks: memory does not grow with their number.

    Parameters
    ----------
    metrics : sequence of str or Metric
        Names such as ``"NDCG@10"``, or metrics.

    Raises
    ------
    ConfigurationError
        For unknown metrics, none at all, or a name that stands twice.

    Examples
    --------
    >>> stream = Stream(["Recall@2", "UserCoverage@2"])
    >>> stream.add(MatchedLists.from_lists([["a", "b"], ["c"]], [["b"], []]))
    >>> stream.add(MatchedLists.from_lists([["b"], []], [["b", "d"], ["a"]]))
    >>> found = stream.report()
    >>> found["Recall@2"].value, found["Recall@2"].n, found["Recall@2"].n_undefined
    (0.5, 3, 1)
    """

    def __init__(self, metrics: Sequence[str | Metric]) -> None:
        self.metrics = parse_all(metrics)
        self._parts = [
            _Mean(metric) if isinstance(metric, UserMetric) else _Catalogue(metric) for metric in self.metrics
        ]

    @renamed(judged="matched")
    def add(self, matched: MatchedLists) -> None:
        """Count a chunk of users, each of whom must be in one chunk only.

        Item codes mean the same in every chunk for metrics of the catalogue: use :meth:`MatchedLists.from_arrays`.
        """
        longest = max(metric.k for metric in self.metrics)
        seen = matched.first(longest)
        for part in self._parts:
            part.add(seen)

    def report(self) -> Report:
        """Return the figures of all chunks so far."""
        return Report([part.figure() for part in self._parts])


class _Mean:
    """Mean and spread of a metric with a value for each user, from sums (Chan et al., 1983)."""

    def __init__(self, metric: UserMetric) -> None:
        self.metric = metric
        self.n = self.n_undefined = 0
        self.mean = self.squares = 0.0

    def add(self, matched: MatchedLists) -> None:
        values: FloatArray = self.metric.per_user(matched)
        defined = values[~np.isnan(values)]
        self.n_undefined += len(values) - len(defined)
        if not len(defined):
            return
        n, mean = len(defined), float(defined.mean())
        step, total = mean - self.mean, self.n + n
        self.squares += float(((defined - mean) ** 2).sum()) + step**2 * self.n * n / total
        self.mean += step * n / total
        self.n = total

    def figure(self) -> Figure:
        value = self.mean if self.n else math.nan
        std = math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else math.nan
        return Figure(
            self.metric.name,
            self.metric.definition,
            value,
            std=std,
            n=self.n,
            n_undefined=self.n_undefined,
        )


class _Catalogue:
    """Exposure, added up."""

    def __init__(self, metric: CatalogueMetric) -> None:
        self.metric, self.total, self.n = metric, Exposure.none(), 0
        self.n_items: int | None = None

    def add(self, matched: MatchedLists) -> None:
        self.total = self.total + self.metric.exposure(matched)
        self.n += len(matched)
        self.n_items = matched.n_items

    def figure(self) -> Figure:
        value = self.metric.from_exposure(self.total, self.n_items)
        return Figure(self.metric.name, self.metric.definition, value, std=math.nan, n=self.n, n_undefined=0)


@renamed(judged="matched")
def report(matched: MatchedLists, metrics: Sequence[str | Metric]) -> Report:
    """Return several metrics of matched lists, which are matched once.

    Parameters
    ----------
    matched : MatchedLists
        Lists and truth.
    metrics : sequence of str or Metric
        Names such as ``"NDCG@10"``, or metrics.

    Examples
    --------
    >>> matched = MatchedLists.from_lists([[1, 2, 3], [4]], [[2, 9], []])
    >>> print(report(matched, ["Recall@10", "MRR@10"]))
    2 metrics of 2 users
    metric      value  users  undefined  definition
    Recall@10  0.5000      1          1  hits / n_relevant
    MRR@10     0.5000      1          1  1 / rank of the first hit
    """
    stream = Stream(metrics)
    stream.add(matched)
    return stream.report()
