"""Drill: what a service does without one of its stages, tried before it happens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recokit._utils.options import error_text
from recokit._utils.report import Content, Report, Table
from recokit.errors import ConfigurationError, RecokitError, did_you_mean
from recokit.serving.ask import Ask
from recokit.serving.served import Served, quiet
from recokit.testing.doubles import failing
from recokit.trace import Status

#: The model as a whole, in a drill's report.
MODEL = "the model"
_K = 10


@dataclass(frozen=True)
class Drilled:
    """What a request was answered without one stage.

    Parameters
    ----------
    stage : str
        The stage that failed.
    status : str
        How the request was answered.
    n_items : int
        Items of its list.
    seconds : float
        How long it took.
    error : str
        The error, where there was no answer.
    """

    stage: str
    status: str
    n_items: int
    seconds: float
    error: str = ""

    @property
    def holds(self) -> bool:
        """Whether there was an answer: an empty one is one, where what may be shown cannot be checked."""
        return not self.error


@dataclass(frozen=True, repr=False)
class DrillReport(Report):
    """What a service answers without its stages.

    Parameters
    ----------
    drilled : tuple of Drilled
        One for each stage that failed.
    """

    drilled: tuple[Drilled, ...]

    @property
    def holds(self) -> bool:
        """Whether every request was answered."""
        return all(one.holds for one in self.drilled)

    def _content(self) -> Content:
        rows = [
            (one.stage, one.status or "no answer", one.n_items, f"{1e3 * one.seconds:.1f}", one.error)
            for one in self.drilled
        ]
        silent = sum(not one.holds for one in self.drilled)
        summary = f"{len(rows)} drills, {silent} without an answer"
        return Content("Drill", [Table(("without", "status", "items", "ms", "error"), rows)], summary)


def drill(served: Served, stage: str | None, *, budget_ms: float) -> DrillReport:
    """Try what is answered without one stage, or each of them and the model in turn.

    Raises
    ------
    ConfigurationError
        If there is no such stage.
    """
    served = Served(quiet(served.pipeline), served.fallback)
    names = [name for name in served.pipeline.names if stage in (None, name)]
    if not names and stage != MODEL:
        raise ConfigurationError(
            f"found no stage {stage!r}; {did_you_mean(str(stage), served.pipeline.names)}"
        )
    drilled = [_without(served, name, budget_ms) for name in names]
    if stage in (None, MODEL):
        drilled.append(
            _tried(MODEL, lambda: served.precomputed([_anyone()], "drill", seconds=budget_ms / 1e3))
        )
    return DrillReport(tuple(drilled))


def _without(served: Served, name: str, budget_ms: float) -> Drilled:
    pipeline = served.pipeline
    without = Served(pipeline.replace(name, failing(pipeline[name])), served.fallback)
    return _tried(name, lambda: without.run([_anyone()], [budget_ms / 1e3], 1.0))


def _tried(name: str, answers: Any) -> Drilled:
    began = time.perf_counter()
    try:
        answer = answers()[0]
    except Exception as error:
        text = str(error) if isinstance(error, RecokitError) else error_text(error)
        return Drilled(name, "", 0, time.perf_counter() - began, text)
    return Drilled(name, Status(answer.status).name, len(answer), time.perf_counter() - began)


def _anyone() -> Ask:
    none: Sequence[Any] = ()
    return Ask(
        user=None, k=_K, lists={}, context={}, now=None, seed=0, caller=None, arrived=0.0, due=0.0, place=none
    )
