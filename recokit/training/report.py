"""TrainingReport: the rows that a ranker was trained on, and the positives it could not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from recokit._stats.ranks import spread_rows
from recokit._stats.stability import population_stability_index
from recokit._utils.report import Content, Report, Table
from recokit.data import Candidates, RankingData
from recokit.typing import AnyArray, IntArray

#: A feature moved from here on (population stability index; the usual reading).
SHIFTED = 0.25
#: And only where that is more than so many times the most between training windows.
UNUSUAL = 2.0
#: With more request times than that, they are those of sessions and no windows.
MAX_WINDOWS = 12
#: Rows of each side that shift is computed from.
_SAMPLED_ROWS = 20_000
#: What to do about it.
ACTION = "look at where it comes from, train on newer windows, or leave it out"


@dataclass(frozen=True)
class WindowReport:
    """One label window.

    Parameters
    ----------
    cut, start, end : float
        As planned, seconds since 1970.
    part : {"train", "validation", "both"}
        What its rows were used for; "both" where some of its requests were held out.
    groups : int
        Requests, whether or not their users did anything.
    groups_with_positives : int
        Requests with a positive among the candidates.
    candidates : int
        Candidates of all requests.
    positives : int
        Candidates that were taken.
    missed : int
        Items that were taken and were not among the candidates: no ranker can find them.
    rows : int
        Rows kept for training.
    negatives : mapping of str to int
        Negatives kept, by kind.
    available : int
        Requests that could have been made, of which ``groups`` are a sample.
    """

    cut: float
    start: float
    end: float
    part: Literal["train", "validation", "both"]
    groups: int = 0
    groups_with_positives: int = 0
    candidates: int = 0
    positives: int = 0
    missed: int = 0
    rows: int = 0
    negatives: Mapping[str, int] = field(default_factory=dict)
    available: int = 0

    @property
    def ceiling(self) -> float:
        """Share of what was taken that the candidates held: recall that a perfect ranker would reach."""
        return self.positives / max(self.positives + self.missed, 1)

    def plus(self, negatives: Mapping[str, int], **counts: int) -> WindowReport:
        """Return the report with more negatives, by kind, and other counts added."""
        kinds = {kind: self.negatives.get(kind, 0) + n for kind, n in negatives.items()}
        totals: dict[str, Any] = {name: getattr(self, name) + n for name, n in counts.items()}
        return replace(self, negatives=kinds, **totals)


@dataclass(frozen=True, repr=False)
class TrainingReport(Report):
    """The rows that a ranker was trained on.

    Parameters
    ----------
    windows : tuple of WindowReport
        Oldest first.
    skipped : tuple of str
        Stages left out of training because they depend on today's state (live), such as stock.
    feature_names : tuple of str
        Features that the ranker got.
    shift : mapping of str to float
        Population stability index of each feature between training and the pipeline as refitted on everything.
    usual_shift : mapping of str to float
        The largest one of each feature between one training window and the others: what the ranker has learned to
        live with.
    leaks : mapping of str to str
        Features that look as if they knew the labels, and what gives them away: see :func:`detect_leakage`.
    """

    windows: tuple[WindowReport, ...]
    skipped: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    shift: Mapping[str, float] = field(default_factory=dict)
    leaks: Mapping[str, str] = field(default_factory=dict)
    usual_shift: Mapping[str, float] = field(default_factory=dict)

    def plot(self, ax: Any = None) -> Any:
        """Draw what users took in each window, and in a stronger colour what the candidates held: the ceiling.

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
        from recokit._utils.plots.bars import draw_bars
        from recokit._utils.plots.style import title

        names = [f"{_day(window.start)} {window.part}" for window in self.windows]
        taken = [window.positives + window.missed for window in self.windows]
        labels = [
            f"{window.positives:,} of {n:,}, ceiling {window.ceiling:.0%}"
            for window, n in zip(self.windows, taken, strict=True)
        ]
        ax = draw_bars(names, taken, ax, inner=[window.positives for window in self.windows], labels=labels)
        title(ax, "What users took; dark: was among the candidates")
        return ax

    @property
    def rows(self) -> int:
        """Rows kept, of all windows."""
        return sum(window.rows for window in self.windows)

    @property
    def positives(self) -> int:
        """Candidates that were taken."""
        return sum(window.positives for window in self.windows)

    @property
    def label_rate(self) -> float:
        """Share of all candidates that were taken, before negatives were sampled."""
        return self.positives / max(sum(window.candidates for window in self.windows), 1)

    @property
    def groups(self) -> int:
        """Requests, one for each user and window (or session)."""
        return sum(window.groups for window in self.windows)

    @property
    def groups_with_positives(self) -> int:
        """Requests with a positive among the candidates."""
        return sum(window.groups_with_positives for window in self.windows)

    @property
    def available(self) -> int:
        """Requests that could have been made, of which ``groups`` are a sample."""
        return max(sum(window.available for window in self.windows), self.groups)

    @property
    def missed(self) -> int:
        """Items that were taken and were not among the candidates."""
        return sum(window.missed for window in self.windows)

    @property
    def ceiling(self) -> float:
        """Recall of the candidates: what a perfect ranker would reach."""
        return self.positives / max(self.positives + self.missed, 1)

    @property
    def negatives(self) -> dict[str, int]:
        """Negatives kept, by kind."""
        kinds = sorted({kind for window in self.windows for kind in window.negatives})
        return {kind: sum(window.negatives.get(kind, 0) for window in self.windows) for kind in kinds}

    @property
    def shifted(self) -> dict[str, float]:
        """Features to act on, the worst first: they moved with the refit, and further than from window to window.

        The index is above 0.25, and more than twice that of any training window beside the others.
        """
        moved = {
            name: value
            for name, value in self.shift.items()
            if value > max(SHIFTED, UNUSUAL * self.usual_shift.get(name, 0.0))
        }
        return dict(sorted(moved.items(), key=lambda pair: -pair[1]))

    def with_shift(
        self, shift: Mapping[str, float], usual: Mapping[str, float] | None = None
    ) -> TrainingReport:
        """Return the report with the features' shift after the refit, and that between the training windows."""
        return replace(self, shift=dict(shift), usual_shift=dict(usual or {}))

    def with_leaks(self, leaks: Mapping[str, str]) -> TrainingReport:
        """Return the report with the features that look as if they knew the labels."""
        return replace(self, leaks=dict(leaks))

    def __str__(self) -> str:
        positives = f"{self.positives:,} ({self.label_rate:.2%} of the candidates)"
        negatives = ", ".join(f"{n:,} {kind}" for kind, n in self.negatives.items())
        lines = [
            f"Training on {self.rows:,} rows of {self.groups:,} requests, {len(self.feature_names)} features",
            *(f"  sample      {note}" for note in self._sampled()),
            f"  positives   {positives}, in {self.groups_with_positives:,} requests",
            f"  negatives   {negatives or 'none'}",
            f"  ceiling     {self.ceiling:.1%} of what users took was among the candidates; {self.missed:,} missed",
        ]
        lines += [
            f"  window      {_day(window.start)} to {_day(window.end)} ({window.part}): "
            f"{window.groups:,} requests, {window.positives:,} positives, ceiling {window.ceiling:.1%}"
            for window in self.windows
        ]
        lines += [f"  LEAK        {message}" for message in self.leaks.values()]
        lines += [f"  left out    {name}: depends on today's state" for name in self.skipped]
        lines += [
            f"  shifted     {name}: PSI {value:.2f} after the refit, {self._usually(name)}; {ACTION}"
            for name, value in self.shifted.items()
        ]
        return "\n".join(lines)

    def _sampled(self) -> list[str]:
        """Return the line that says of how many requests these are a sample, if they are one."""
        if self.groups >= self.available:
            return []
        return [f"{self.groups:,} of {self.available:,} requests; max_requests=None trains on all"]

    def _usually(self, name: str) -> str:
        usual = self.usual_shift.get(name)
        return "unknown between windows" if usual is None else f"{usual:.2f} between training windows"

    def _content(self) -> Content:
        windows = [
            {
                "window": f"{_day(window.start)} to {_day(window.end)}",
                "part": window.part,
                "requests": window.groups,
                "with positives": window.groups_with_positives,
                "candidates": window.candidates,
                "positives": window.positives,
                "missed": window.missed,
                "ceiling": f"{window.ceiling:.1%}",
                "rows": window.rows,
            }
            for window in self.windows
        ]
        tables = [Table(list(windows[0]), [list(row.values()) for row in windows])] if windows else []
        if self.leaks:
            tables.append(Table(("feature", "looks as if it knew the labels"), list(self.leaks.items())))
        if self.shifted:
            shifted = [(name, f"{psi:.2f}", self._usually(name)) for name, psi in self.shifted.items()]
            tables.append(Table(("shifted feature", "PSI", "usually"), shifted))
        negatives = ", ".join(f"{n:,} {kind}" for kind, n in self.negatives.items())
        notes = [f"label rate {self.label_rate:.2%}; negatives kept: {negatives or 'none'}", *self._sampled()]
        if self.shifted:
            notes.append(f"of a shifted feature: {ACTION}")
        if self.skipped:
            notes.append(f"left out, as they depend on today's state: {', '.join(self.skipped)}")
        title = f"Training on {self.rows:,} rows, {len(self.feature_names)} features"
        return Content(title, tables, notes=notes)


def _day(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")


def feature_shift(reference: RankingData, current: Candidates) -> dict[str, float]:
    """Return each feature's population stability index between training rows and candidates as served now.

    Of many rows some are looked at, spread evenly: the index of 20,000 is known to some thousandths.
    """
    place = {name: i for i, name in enumerate(current.feature_names)}
    rows, now = spread_rows(len(reference), _SAMPLED_ROWS), spread_rows(len(current), _SAMPLED_ROWS)
    weight = reference.weight[rows]
    return {
        name: population_stability_index(
            reference.features[rows, i], current.features[now, place[name]], reference_weight=weight
        )
        for i, name in enumerate(reference.feature_names)
        if name in place
    }


def usual_shift(data: RankingData) -> dict[str, float]:
    """Return each feature's largest population stability index of one training window beside the others.

    Empty where there is one window: nothing is known then of what is usual.
    """
    parts = [data] if data.validation is None else [data, data.validation]
    rows = [spread_rows(len(part), _SAMPLED_ROWS) for part in parts]
    features, weight, now = (
        np.concatenate([getattr(part, name)[some] for part, some in zip(parts, rows, strict=True)])
        for name in ("features", "weight", "now")
    )
    windows = np.unique(now)
    if not 1 < len(windows) <= MAX_WINDOWS:
        return {}
    largest = dict.fromkeys(data.feature_names, 0.0)
    for window in windows:
        others, mine = np.flatnonzero(now != window), _spread(np.flatnonzero(now == window), weight)
        for i, name in enumerate(data.feature_names):
            moved = population_stability_index(
                features[others, i], features[mine, i], reference_weight=weight[others]
            )
            largest[name] = max(largest[name], moved)
    return largest


def _spread(rows: IntArray, weight: AnyArray) -> IntArray:
    """Return as many rows, each as often as its weight says: those of sampled negatives stand for more."""
    total = np.cumsum(weight[rows].astype(np.float64))
    wanted = (np.arange(len(rows)) + 0.5) / len(rows) * total[-1]
    return np.asarray(rows[np.minimum(np.searchsorted(total, wanted), len(rows) - 1)])
