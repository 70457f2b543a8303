"""Admission: whether one more request may wait, told before anything is made of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from recokit.errors import Overloaded
from recokit.serving.ask import RESERVE, Ask
from recokit.serving.engine import Engine
from recokit.serving.shed import Shed

#: Share of what waiting leaves of a request's time that a batch may take: some take longer than most.
_CARE = 0.8
#: Share of a request's time that a batch may take however long rows may wait.
_LEAST = 0.25
#: Rows without the model beside a full batch: an eighth of its own.
_FEW = 8


def batch_seconds(budget_ms: float, queue_ms: float) -> float:
    """Return how long a batch may take where requests have so much time and may wait for a part of it."""
    return max(_CARE * ((1.0 - RESERVE) * budget_ms - queue_ms), _LEAST * budget_ms) / 1e3


class Admission:
    """Tells whether another request may wait. It makes nothing and takes no lock, so it may be asked for each.

    Parameters
    ----------
    engine : Engine
        Where rows wait.
    shed : Shed
        Which of them may.
    budget : float
        Seconds of a request that does not say.
    """

    def __init__(self, engine: Engine, shed: Shed, budget: float) -> None:
        self.engine, self.shed, self.budget = engine, shed, budget
        #: Rows that may not wait for the model: the next batch begins with a list made ahead for them.
        self.aside: deque[Ask] = deque()

    def retry_after(self, seconds: float) -> float | None:
        """Return after how many seconds a request with so much time is to ask again; None where it may wait."""
        engine = self.engine
        capacity, scale = engine.pace.capacity(engine.rows), seconds / self.budget
        return self.shed.retry_after(engine.waiting, wait=engine.wait(), capacity=capacity, scale=scale)

    def spares(self) -> bool:
        """Tell whether there is time for a list without the model."""
        return len(self.aside) < max(self.engine.most // _FEW, 1) and self.shed.spares(self.engine.clock())

    def refusal(self) -> float | None:
        """Return :meth:`retry_after` of an ordinary request; None also where a list without the model may be made."""
        retry = self.retry_after(self.budget)
        return None if retry is None or self.spares() else retry

    def overloaded(self, retry: float) -> Overloaded:
        """Return what a request is told that is to ask again."""
        return Overloaded(
            f"found {self.engine.waiting} rows that wait; expected fewer; hint: again in {1e3 * retry:.0f} ms",
            retry_after=retry,
        )

    def answer_aside(self, answer: Callable[[Sequence[Ask]], None]) -> None:
        """Let the rows aside be answered, on account of the time that may be spent on them."""
        asks = [self.aside.popleft() for _ in range(len(self.aside))]
        if asks:
            began = time.thread_time()
            answer(asks)
            self.shed.spent(time.thread_time() - began)
