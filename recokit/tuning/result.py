"""SearchResult: the trials of a search, and the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recokit._utils.frames_out import Backend, to_frame
from recokit._utils.report import Content, Report, Table, json_number
from recokit.errors import ConfigurationError


@dataclass(frozen=True)
class Trial:
    """One setting.

    Parameters
    ----------
    number : int
        Place in the order of trying, from 0.
    params : mapping of str to object
        The options that were varied.
    scores : mapping of str to float
        Mean of each metric over the validation users; empty where the trial failed.
    low, high : float
        Ends of the 95% interval of the first metric.
    n_users : int
        Validation users.
    fit_seconds, answer_seconds : float
        Time to fit, and to answer for all of these users.
    tied : bool
        Whether the first metric cannot be told from the best trial's, user by user at 95%.
    error : str, optional
        Why the trial failed.
    """

    number: int
    params: Mapping[str, Any]
    scores: Mapping[str, float] = field(default_factory=dict)
    low: float = math.nan
    high: float = math.nan
    n_users: int = 0
    fit_seconds: float = math.nan
    answer_seconds: float = math.nan
    tied: bool = False
    error: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class SearchResult(Report):
    """The trials of :func:`search`, the best first.

    Parameters
    ----------
    metrics : tuple of str
        The first one decides.
    trials : tuple of Trial
        The best first, equals in the order of trying, failures last.
    best : object
        Made with the best parameters; None if every trial failed.
    split : str
        The parts for learning and for evaluation, in words.
    refitted : bool
        Whether ``best`` is fitted, on the whole data set.
    """

    metrics: tuple[str, ...]
    trials: tuple[Trial, ...]
    best: Any
    split: str
    refitted: bool

    @property
    def best_params(self) -> dict[str, Any]:
        """Parameters of the best trial.

        Raises
        ------
        ConfigurationError
            If every trial failed.
        """
        return dict(self._best().params)

    @property
    def best_score(self) -> float:
        """Mean of the first metric in the best trial; too good by what the choice among many gains on noise."""
        return self._best().scores[self.metrics[0]]

    def _best(self) -> Trial:
        first = self.trials[0]
        if first.error is not None:
            raise ConfigurationError(
                f"found {len(self.trials)} trials, all failed; the first by: {first.error}"
            )
        return first

    def plot(self, ax: Any = None, *, most: int = 12) -> Any:
        """Draw the first metric of the best trials, with its interval.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            A new figure by default.
        most : int, default 12
            Trials that are drawn.

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.intervals import draw_intervals
        from recokit._utils.plots.style import title

        shown = [trial for trial in self.trials if trial.error is None][:most]
        first = self.metrics[0]
        values = np.array([(t.scores[first], t.low, t.high) for t in shown], np.float64).reshape(-1, 3)
        names = [", ".join(f"{name}={value}" for name, value in trial.params.items()) for trial in shown]
        ax = draw_intervals({first: values}, names, f"{first}, 95% interval", ax)
        title(ax, f"The best {len(shown)} of {len(self.trials)} trials")
        return ax

    @property
    def table(self) -> list[dict[str, Any]]:
        """One record for each trial, the best first; what is undefined is None."""
        names = list(dict.fromkeys(name for trial in self.trials for name in trial.params))
        return [
            {
                **{name: trial.params.get(name) for name in names},
                **{name: json_number(trial.scores.get(name, math.nan)) for name in self.metrics},
                "low": json_number(trial.low),
                "high": json_number(trial.high),
                "tied": trial.tied,
                "fit_seconds": json_number(trial.fit_seconds),
                "answer_seconds": json_number(trial.answer_seconds),
                "error": trial.error,
            }
            for trial in self.trials
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the best stage; ready for JSON where the parameters are."""
        return {
            "metrics": list(self.metrics),
            "split": self.split,
            "n_users": max(trial.n_users for trial in self.trials),
            "trials": self.table,
        }

    def to_frame(self, backend: Backend | None = None) -> Any:
        """Return the table as a dataframe of that library, or of the first that is installed.

        Parameters that are neither numbers nor text are shown as text.

        Raises
        ------
        ConfigurationError
            For any other backend, or one that is not installed.
        """
        columns = {name: _column([record[name] for record in self.table]) for name in self.table[0]}
        return to_frame(columns, backend)

    def _content(self) -> Content:
        rows = [[_cell(value) for value in record.values()] for record in self.table]
        users = max(trial.n_users for trial in self.trials)
        failed = sum(trial.error is not None for trial in self.trials)
        summary = f"{len(self.trials)} trials{f', {failed} failed' if failed else ''}; {self.split}; {users:,} users"
        tied = sum(trial.tied for trial in self.trials) - 1
        best = f"{tied} others cannot be told from the best; " if tied > 0 else ""
        note = f"{best}the best of many trials looks better than it is: report what a test part says"
        return Content("Search", [Table(list(self.table[0]), rows)], summary, [note])

    __repr__ = Report.__str__


def _column(values: list[Any]) -> list[Any]:
    """Return values that every dataframe takes: one kind, or text."""
    kinds = {type(value) for value in values if value is not None}
    plain = kinds <= {int, float} or (len(kinds) == 1 and kinds <= {str, bool})
    return values if plain else [None if value is None else str(value) for value in values]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
