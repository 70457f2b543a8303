"""Recorded: what the trace of a live run says of one request, which a run again does not undo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit.trace import StageEvent, Trace


@dataclass(frozen=True)
class RecordedStage:
    """What one stage did in a live run.

    Parameters
    ----------
    name, role : str
    error : str
        Its error on this request, or of a part of it; empty without one.
    skipped : str
        Why it did not run.
    seconds : float
        Duration, for all requests of the run together.
    """

    name: str
    role: str
    error: str
    skipped: str
    seconds: float


@dataclass(frozen=True)
class Recorded:
    """What happened to one request of a live run.

    Parameters
    ----------
    status : int
        :class:`recokit.trace.Status`.
    reasons : tuple of str
        Why it is not OK.
    stages : tuple of RecordedStage
        In the order of the run.
    seconds : float
        Duration of the run; NaN where it had other requests too, whose time it also is.
    """

    status: int
    reasons: tuple[str, ...]
    stages: tuple[RecordedStage, ...]
    seconds: float

    @classmethod
    def of(cls, trace: Trace, row: int) -> Recorded:
        """Return what a trace says of one of its requests."""
        return cls(
            int(trace.status[row]),
            tuple(trace.reasons[row]),
            tuple(
                RecordedStage(event.name, event.role, error_on(event, row), event.skipped, event.seconds)
                for event in trace.events
            ),
            trace.seconds if len(trace.requests) == 1 else float("nan"),
        )

    @property
    def slowest(self) -> RecordedStage:
        """The stage that took most of the time."""
        return max(self.stages, key=lambda stage: stage.seconds)

    @property
    def is_timed(self) -> bool:
        """Whether the run had this request only, so that its times are those of a request."""
        return bool(np.isfinite(self.seconds)) and len(self.stages) > 0


def error_on(event: StageEvent, row: int) -> str:
    """Return the error that a stage, or a part of it, had on one row; empty without one."""
    hit = bool(event.error) and (not len(event.failed_rows) or row in event.failed_rows)
    return event.error if hit else str(event.detail.get("part_errors", ""))
