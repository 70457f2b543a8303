"""Report: estimates beside what the log's own policy earned, and what was refused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from recokit._utils.report import Content, Report, Table, json_ready
from recokit.errors import ConfigurationError, SupportError, did_you_mean
from recokit.off_policy.intervals import Interval
from recokit.off_policy.support import Overlap


@dataclass(frozen=True)
class Estimate:
    """What the target policy is worth, by one estimator.

    Parameters
    ----------
    estimator : str
        Its name.
    value, low, high : float
        Mean summed reward of a round, and the ends of its interval.
    error : float
        Standard error.
    lift, lift_low, lift_high : float
        The same less what the log's own policy earned, on the same rounds.
    overlap : Overlap or None
        Diagnostics; None for an estimator that weighs nothing.
    """

    estimator: str
    value: float
    low: float
    high: float
    error: float
    lift: float
    lift_low: float
    lift_high: float
    overlap: Overlap | None

    @property
    def clear(self) -> bool:
        """Whether the lift's interval lies clear of zero."""
        return self.lift_low > 0 or self.lift_high < 0

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.estimator}: {_with_interval(self.value, self.low, self.high)}"


@dataclass(frozen=True, eq=False, repr=False)
class OffPolicyReport(Report, Mapping[str, Estimate]):
    """Estimates by name; what was refused is not in it.

    Parameters
    ----------
    estimates : tuple of Estimate
        In the order asked for.
    refused : mapping of str to tuple of str
        Names of the estimators that the log does not support, and why not.
    logged : Estimate
        What the log's own policy earned.
    rounds, impressions : int
        Size of the log.
    clusters : int or None
        Independent clusters of rounds; None where each round is one.
    interval : str
        Kind of the intervals.
    confidence : float
        Of the intervals.
    notes : tuple of str
        What else a reader should know.
    """

    estimates: tuple[Estimate, ...]
    refused: Mapping[str, tuple[str, ...]]
    logged: Estimate
    rounds: int
    impressions: int
    clusters: int | None
    interval: Interval
    confidence: float
    notes: tuple[str, ...] = field(default=())

    def __getitem__(self, name: str) -> Estimate:
        """Return one estimate.

        Raises
        ------
        SupportError
            If it was refused.
        ConfigurationError
            If it was not asked for.
        """
        for one in self.estimates:
            if one.estimator == name:
                return one
        if name in self.refused:
            raise SupportError(f"found {'; '.join(self.refused[name])} for {name}; {HINT}")
        known = [*self, *self.refused]
        raise ConfigurationError(f"found no estimate {name!r}; {did_you_mean(name, known)}")

    def __contains__(self, name: object) -> bool:
        return any(one.estimator == name for one in self.estimates)

    def __iter__(self) -> Iterator[str]:
        return (one.estimator for one in self.estimates)

    def __len__(self) -> int:
        return len(self.estimates)

    def plot(self, ax: Any = None) -> Any:
        """Draw each estimate with its interval, and as a line what the log's own policy earned.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.intervals import draw_intervals
        from recokit._utils.plots.style import title

        values = np.array([(one.value, one.low, one.high) for one in self.estimates], np.float64).reshape(
            -1, 3
        )
        label = f"reward of a round, {self.confidence:.0%} interval; line: the log's own"
        names = [one.estimator for one in self.estimates]
        ax = draw_intervals({"reward": values}, names, label, ax, reference=self.logged.value)
        title(
            ax, f"{self.rounds:,} rounds" + (f"; refused: {', '.join(self.refused)}" if self.refused else "")
        )
        return ax

    def to_records(self) -> list[dict[str, Any]]:
        """Return one record for each estimator, refused ones too: its figures, or None, and why it was refused."""
        figures = [json_ready(asdict(one)) for one in (self.logged, *self.estimates)]
        nothing = dict.fromkeys(figures[0])
        return [{**one, "refused": None} for one in figures] + [
            {**nothing, "estimator": name, "refused": "; ".join(why)} for name, why in self.refused.items()
        ]

    def _content(self) -> Content:
        header = ("estimator", "value", "lift over the log", "effective rounds")
        rows = [["(logged)", _with_interval(self.logged.value, self.logged.low, self.logged.high), "", ""]]
        rows += [
            [
                one.estimator,
                _with_interval(one.value, one.low, one.high),
                _with_interval(one.lift, one.lift_low, one.lift_high, sign="+"),
                "" if one.overlap is None else f"{one.overlap.effective:,.0f}",
            ]
            for one in self.estimates
        ]
        rows += [[name, "refused", "", ""] for name in self.refused]
        clusters = "" if self.clusters is None else f" in {self.clusters:,} clusters"
        title = (
            f"Off-policy estimates from {self.rounds:,} rounds{clusters}, {self.impressions:,} impressions, "
            f"{self.confidence:.0%} intervals ({self.interval})"
        )

        refused = [f"{name} refused: {'; '.join(why)}" for name, why in self.refused.items()]
        return Content(title, [Table(header, rows)], notes=self.notes, warnings=refused)


#: What to do where the log does not support an estimate.
HINT = (
    "expected a log that shows what the target policy would, often enough; hint: explore more, look closer to the "
    "log's policy, assume more of lists (IIPS), limit weights (ClippedIPS, SwitchDR), or see Support for the limits"
)


def _with_interval(value: float, low: float, high: float, sign: str = "") -> str:
    if math.isnan(value):
        return "-"
    ends = "" if math.isnan(low) else f" [{low:{sign}.4g}, {high:{sign}.4g}]"
    return f"{value:{sign}.4g}{ends}"
