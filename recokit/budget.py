"""Time budget of a run: the deadline, and each phase's share of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from recokit.protocols import Role

__all__ = ["PHASE_BUDGET_MS", "PHASE_OF_ROLE", "TOTAL_BUDGET_MS", "Deadline", "overruns"]

#: Share of each phase in the total, milliseconds. A request's own budget is split in the same proportions.
PHASE_BUDGET_MS: Mapping[str, float] = {"candidates": 10.0, "features": 5.0, "ranking": 15.0, "post": 5.0}
TOTAL_BUDGET_MS = 100.0
#: The phase of each role; roles that are not named belong to ``"post"``.
PHASE_OF_ROLE: Mapping[str, str] = {
    Role.SOURCE: "candidates",
    Role.HYDRATOR: "candidates",
    Role.FEATURIZER: "features",
    Role.SCORER: "ranking",
}


@dataclass(frozen=True)
class Deadline:
    """When a run must be over, on the monotonic clock.

    Parameters
    ----------
    started : float
        ``time.perf_counter()`` at the start.
    seconds : float
        The budget, ``inf`` for none.
    """

    started: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Start now."""
        return cls(time.perf_counter(), seconds)

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def remaining(self) -> float:
        """Seconds left, negative once the budget is spent."""
        return self.seconds - self.elapsed()

    def for_sources(self) -> float:
        """Seconds that sources may still wait: what is left, less the later phases' share."""
        later = sum(ms for name, ms in PHASE_BUDGET_MS.items() if name != "candidates") / TOTAL_BUDGET_MS
        return (
            max(self.remaining() - later * self.seconds, 0.0) if self.seconds < float("inf") else float("inf")
        )

    def for_search(self) -> float:
        """Seconds that the choice of lists may search: what is left, less the last phase's share."""
        later = PHASE_BUDGET_MS["post"] / TOTAL_BUDGET_MS
        return self.remaining() - later * self.seconds if self.seconds < float("inf") else float("inf")


def overruns(spent: Mapping[str, float], total: float, budget: float) -> dict[str, float]:
    """Return the phases (and ``"total"``) that took longer than their share of the budget, with their seconds."""
    scale = budget / TOTAL_BUDGET_MS
    late = {name: seconds for name, seconds in spent.items() if seconds > PHASE_BUDGET_MS[name] * scale}
    return late | ({"total": total} if total > budget else {})
