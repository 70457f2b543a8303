"""Suggestion: the pipeline, what was tried for it, and the code that builds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.report import Content, Report, Table
from recokit.pipeline import Pipeline
from recokit.suggestion.look import Look


@dataclass(frozen=True)
class Tried:
    """One thing that was tried on the validation part.

    Parameters
    ----------
    name : str
    mean, low, high : float
        The goal over the users of the validation part, with a 95% interval.
    fit_seconds : float
    milliseconds : float
        Of one user's list, in a batch.
    verdict : str
        Why it was kept or left out.
    """

    name: str
    mean: float
    low: float
    high: float
    fit_seconds: float
    milliseconds: float
    verdict: str = ""


@dataclass(frozen=True)
class Group:
    """Some users of the validation part, judged apart.

    Parameters
    ----------
    name : str
    users : int
    mean : float
        The goal, of what was chosen.
    source : float
        The goal, of the best single source.
    """

    name: str
    users: int
    mean: float
    source: float


@dataclass(frozen=True, eq=False, repr=False)
class Suggestion(Report):
    """What :func:`~recokit.suggestion.suggest` found.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted on all of the data.
    code : str
        The program that builds the same by hand, from a dataset ``data``.
    goal : str
    look : Look
    tried : tuple of Tried
        In the order in which they were tried; empty where there was nothing to judge by.
    chosen : str
        Name of the one in ``tried`` that the pipeline is.
    groups : tuple of Group
        The choice beside the best single source, for newcomers and for users by their number of events.
    notes : tuple of str
        What was left out and why, what becomes of new items, and how sure the choice is.
    split : str
        How the validation part was cut, in words.
    seconds : float
        That it all took.
    """

    pipeline: Pipeline
    code: str
    goal: str
    look: Look
    tried: tuple[Tried, ...] = ()
    chosen: str = ""
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    split: str = ""
    seconds: float = 0.0

    def plot(self, ax: Any = None) -> Any:
        """Draw the goal of all that was tried, with its interval, the best on top.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            A new figure by default.

        Raises
        ------
        ConfigurationError
            Without matplotlib.
        """
        from recokit._utils.plots.intervals import draw_intervals

        ranked = self._ranked()
        values = np.array([[one.mean, one.low, one.high] for one in ranked], np.float64).reshape(-1, 3)
        return draw_intervals({self.goal: values}, [one.name for one in ranked], self.goal, ax)

    def _ranked(self) -> Sequence[Tried]:
        return sorted(self.tried, key=lambda one: -one.mean)

    def _content(self) -> Content:
        rows = [
            (
                one.name,
                f"{one.mean:.4f}",
                f"{one.low:.4f}",
                f"{one.high:.4f}",
                f"{one.fit_seconds:.1f}",
                f"{one.milliseconds:.2f}",
                one.verdict,
            )
            for one in self._ranked()
        ]
        header = ("tried", self.goal, "low", "high", "fit, s", "ms a user", "verdict")
        tables = [Table(header, rows)] if rows else []
        if self.groups:
            apart = [
                (one.name, f"{one.users:,}", f"{one.mean:.4f}", f"{one.source:.4f}") for one in self.groups
            ]
            tables.append(Table(("apart", "users", self.goal, "best source"), apart))
        best = next((one for one in self.tried if one.name == self.chosen), None)
        figure = "" if best is None else f", {self.goal} {best.mean:.4f} [{best.low:.4f}, {best.high:.4f}]"
        summary = f"{self.chosen or 'a pipeline by rule'}{figure}, after {self.seconds:.0f} s"
        notes = [*self.look.words(), *([self.split] if self.split else []), *self.notes]
        return Content("Suggestion", tables, summary=summary, notes=[*notes, "", *self.code.splitlines()])
