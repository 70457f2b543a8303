"""Time budget of a run: the deadline, and each phase's share of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from recokit.protocols import Role
from recokit.typing import BoolArray, FloatArray

__all__ = ["PHASE_BUDGET_MS", "PHASE_OF_ROLE", "TOTAL_BUDGET_MS", "Deadline", "overruns"]

#: Share of each phase in the total, milliseconds. A request's own budget is split in the same proportions.
PHASE_BUDGET_MS: Mapping[str, float] = {"candidates": 10.0, "features": 5.0, "ranking": 15.0, "post": 5.0}
#: Budget of a request without one of its own, milliseconds.
TOTAL_BUDGET_MS = 100.0
#: The phase of each role; roles that are not named belong to ``"post"``.
PHASE_OF_ROLE: Mapping[str, str] = {
    Role.SOURCE: "candidates",
    Role.HYDRATOR: "candidates",
    Role.FEATURIZER: "features",
    Role.SCORER: "ranking",
}

#: Share of the phases after each one in the total.
_LATER = {
    phase: sum(list(PHASE_BUDGET_MS.values())[place + 1 :]) / TOTAL_BUDGET_MS
    for place, phase in enumerate(PHASE_BUDGET_MS)
}


@dataclass(frozen=True)
class Deadline:
    """When a run must be over, on the monotonic clock.

    Parameters
    ----------
    started : float
        ``time.perf_counter()`` at the start.
    seconds : float
        The budget, ``inf`` for none; the shortest where rows have their own.
    rows : ndarray of float64 (B,), optional
        The budget of each row, where they differ.
    """

    started: float
    seconds: float
    rows: FloatArray | None = field(default=None, compare=False)

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Start now."""
        return cls(time.perf_counter(), seconds)

    @classmethod
    def of_rows(cls, seconds: FloatArray) -> Deadline:
        """Start now, with a budget for each row: nobody waits longer than the row with the shortest."""
        shortest = float(seconds.min(initial=np.inf))
        return cls(
            time.perf_counter(), shortest, seconds if len(seconds) and seconds.max() > shortest else None
        )

    def late(self, share: float) -> BoolArray | bool:
        """Tell whether no more than a share of the budget is left: of all rows, or of each (B,)."""
        if self.rows is None:
            return self.seconds < float("inf") and self.remaining() <= share * self.seconds
        left = self.rows - self.elapsed()
        return np.asarray(left <= share * np.where(np.isinf(self.rows), 0.0, self.rows))

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def remaining(self) -> float:
        """Seconds left, negative once the budget is spent."""
        return self.seconds - self.elapsed()

    def for_phase(self, phase: str) -> float:
        """Seconds that a stage of a phase may still take: what is left, less the later phases' share."""
        if self.seconds == float("inf"):
            return self.seconds
        return max(self.remaining() - _LATER[phase] * self.seconds, 0.0)

    def for_search(self) -> float:
        """Seconds that the choice of lists may search: what is left, less the last phase's share."""
        return (
            self.remaining() - _LATER["ranking"] * self.seconds
            if self.seconds < float("inf")
            else float("inf")
        )


def overruns(spent: Mapping[str, float], total: float, budget: float) -> dict[str, float]:
    """Return the phases (and ``"total"``) that took longer than their share of the budget, with their seconds."""
    scale = budget / TOTAL_BUDGET_MS
    late = {name: seconds for name, seconds in spent.items() if seconds > PHASE_BUDGET_MS[name] * scale}
    return late | ({"total": total} if total > budget else {})
