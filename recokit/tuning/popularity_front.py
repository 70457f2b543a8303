"""popularity_front: accuracy and breadth of lists as popularity counts for less."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.params import clone, get_params
from recokit._utils.report import Content, Report, Table
from recokit.errors import ConfigurationError
from recokit.evaluation import Evaluations, evaluate
from recokit.protocols import Runnable


@dataclass(frozen=True, eq=False, repr=False)
class PopularityFront(Report):
    """Metrics by strength.

    Parameters
    ----------
    strengths : tuple of float
        Ascending.
    evaluations : Evaluations
        One for each strength, named by it, on the same users.
    accuracy, breadth : str
        Metrics of the trade-off.
    """

    strengths: tuple[float, ...]
    evaluations: Evaluations
    accuracy: str
    breadth: str

    def table(self) -> list[dict[str, float]]:
        """Return a row for each strength: the means, and the paired difference of accuracy to the first strength."""
        first = _name(self.strengths[0])
        rows = []
        for strength in self.strengths:
            part = self.evaluations[_name(strength)]
            cost = self.evaluations.compare(_name(strength), first, self.accuracy)
            rows.append(
                {
                    "strength": strength,
                    **{metric: part[metric].mean for metric in part.metrics},
                    "difference": cost.mean,
                    "low": cost.low,
                    "high": cost.high,
                }
            )
        return rows

    def plot(self, ax: Any = None) -> Any:
        """Draw breadth against accuracy, a point for each strength, and return the matplotlib axes.

        Needs the extra ``plots``.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        """
        from recokit._utils.plots.style import INK, MAIN, SMALL, axes, title

        ax = axes(ax, height=4.2)
        scores = [self.evaluations[_name(strength)] for strength in self.strengths]
        x = [part[self.breadth].mean for part in scores]
        y = np.array([part[self.accuracy].mean for part in scores])
        low = y - [part[self.accuracy].low for part in scores]
        high = [part[self.accuracy].high for part in scores] - y
        ax.errorbar(x, y, yerr=[low, high], color=MAIN, marker="o", markersize=6, linewidth=2, elinewidth=1)
        for strength, *point in zip(self.strengths, x, y.tolist(), strict=True):
            ax.annotate(f"{strength:g}", point, textcoords="offset points", xytext=(6, 6), fontsize=SMALL)
        ax.set_xlabel(self.breadth, fontsize=SMALL, color=INK)
        ax.set_ylabel(f"{self.accuracy}, {scores[0].confidence:.0%} interval", fontsize=SMALL, color=INK)
        title(ax, "Popularity counts for less: labels are strengths")
        ax.grid(alpha=0.25)
        ax.margins(0.08)
        return ax

    def __repr__(self) -> str:
        return f"PopularityFront({len(self.strengths)} strengths, {self.accuracy} against {self.breadth})"

    def _content(self) -> Content:
        metrics = self.evaluations[_name(self.strengths[0])].metrics
        rows = [
            [
                f"{row['strength']:g}",
                *(f"{row[metric]:.4f}" for metric in metrics),
                f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]",
            ]
            for row in self.table()
        ]
        header = ["strength", *metrics, f"{self.accuracy} less that of the first"]
        return Content("Popularity against accuracy", [Table(header, rows)])


def popularity_front(
    pipeline: Runnable,
    truth: Any,
    *,
    strengths: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0),
    stage: str = "popularity_normalized",
    accuracy: str = "NDCG@10",
    breadth: str = "CatalogCoverage@10",
    more: Sequence[str] = (),
    **options: Any,
) -> PopularityFront:
    """Evaluate a pipeline at several strengths of its popularity normalisation.

    Nothing is fitted again: only the one stage changes. Choose a strength on a validation part, and judge it on a later
    one.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted, with a stage that has an option ``strength``, such as
        :class:`recokit.rankers.PopularityNormalized`.
    truth : Dataset, mapping or Ragged
        See :func:`recokit.evaluate`.
    strengths : sequence of float
        At least one; 0 leaves the order as it is.
    stage : str, default "popularity_normalized"
        Path of the stage.
    accuracy, breadth : str
        Metrics of the trade-off; accuracy has a value for each user.
    more : sequence of str
        Further metrics for the table.
    **options
        Of :func:`recokit.evaluate`, such as ``k``, ``now`` or ``history``.

    Raises
    ------
    ConfigurationError
        If there is no such stage, it has no option ``strength``, or one is out of range.
    """
    values = tuple(sorted({float(strength) for strength in strengths}))
    if not values:
        raise ConfigurationError("found no strengths; expected at least one")
    ranker = pipeline[stage]
    if "strength" not in get_params(ranker):
        raise ConfigurationError(
            f"found {ranker!r} at {stage!r}, which has no option strength; expected rankers.PopularityNormalized"
        )
    changed = {_name(value): pipeline.replace(stage, _with_strength(ranker, value)) for value in values}
    metrics = list(dict.fromkeys((accuracy, breadth, *more)))
    return PopularityFront(values, evaluate(changed, truth, metrics, **options), accuracy, breadth)


def _with_strength(stage: Any, strength: float) -> Any:
    """Return a stage with another strength, and everything that it has learned."""
    changed = copy.copy(stage)
    changed.strength = strength
    clone(changed)  # the constructor checks the option
    return changed


def _name(strength: float) -> str:
    return f"strength={strength:g}"
