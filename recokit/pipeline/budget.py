"""Time budget of a run (R9), and a bulkhead for sources that wait for input and output."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from recokit.errors import SourceTimeout
from recokit.protocols import Role

__all__ = ["PHASE_BUDGET_MS", "PHASE_OF_ROLE", "TOTAL_BUDGET_MS", "Bulkhead", "Deadline", "overruns"]

T = TypeVar("T")

#: Share of each phase in the total, milliseconds (R9). A request's own budget is split in the same proportions.
PHASE_BUDGET_MS: Mapping[str, float] = {"candidates": 10.0, "features": 5.0, "ranking": 15.0, "post": 5.0}
TOTAL_BUDGET_MS = 100.0
#: The phase of each role; roles that are not named belong to ``"post"``.
PHASE_OF_ROLE: Mapping[str, str] = {
    Role.SOURCE: "candidates",
    Role.HYDRATOR: "candidates",
    Role.FEATURIZER: "features",
    Role.SCORER: "ranking",
}

#: Calls of one source that may hang at the same time before further ones are refused at once.
MAX_HANGING = 8


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


def overruns(spent: Mapping[str, float], total: float, budget: float) -> dict[str, float]:
    """Return the phases (and ``"total"``) that took longer than their share of the budget, with their seconds."""
    scale = budget / TOTAL_BUDGET_MS
    late = {name: seconds for name, seconds in spent.items() if seconds > PHASE_BUDGET_MS[name] * scale}
    return late | ({"total": total} if total > budget else {})


class Bulkhead:
    """Runs calls in daemon threads with a time limit; a hung call holds one of a few places, nothing else.

    A thread pool is no bulkhead: hung workers fill it, and the interpreter waits for them at exit.
    """

    def __init__(self, places: int = MAX_HANGING) -> None:
        self._places = threading.Semaphore(places)

    def start(self, name: str, call: Callable[[], T]) -> Callable[[float], T]:
        """Start a call; return a function that waits so many seconds for its result and raises SourceTimeout."""
        if not self._places.acquire(blocking=False):
            raise SourceTimeout(
                f"found {MAX_HANGING} calls of {name} still hanging; refused", name=name, role="source"
            )
        answer: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def work() -> None:
            try:
                answer.put((True, call()))
            except Exception as error:  # handed to the waiting thread, which raises it
                answer.put((False, error))
            finally:
                self._places.release()

        threading.Thread(target=work, name=f"recokit-{name}", daemon=True).start()

        def wait(timeout: float) -> T:
            try:
                done, value = answer.get(timeout=None if timeout == float("inf") else max(timeout, 0.0))
            except queue.Empty:
                message = f"found no answer from {name} after {1e3 * timeout:.0f} ms"
                raise SourceTimeout(message, name=name, role="source") from None
            if done:
                result: T = value
                return result
            raise value

        return wait
