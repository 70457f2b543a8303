"""Bulkhead: calls that may hang, kept apart from each other and from whoever waits for them."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from recokit.errors import SourceTimeout, StageError

T = TypeVar("T")

#: Calls of one dependency that may hang at the same time before further ones are refused at once: enough for one in ten
#: of thirty a second that hangs for ten seconds, and a thread that only waits costs little.
MAX_HANGING = 32
#: Seconds after which a call hangs, where nobody gives it less.
PATIENCE = 10.0


@dataclass(eq=False)
class _Call:
    """A call under way: when it began, and whether its caller has given up."""

    started: float
    given_up: bool = False


class Bulkhead:
    """Runs calls in daemon threads with a time limit; hung calls hold one of a few places each, healthy ones none.

    A thread pool is no bulkhead: hung workers fill it, and the interpreter waits for them at exit.

    Parameters
    ----------
    places : int, default 32
        Calls that may hang before further ones are refused at once.
    patience : float, default 10.0
        Seconds that a call is waited for at most, however much time its caller has.
    """

    def __init__(self, places: int = MAX_HANGING, patience: float = PATIENCE) -> None:
        self.places, self.patience = places, patience
        self._forget()

    def __reduce__(self) -> tuple[type[Bulkhead], tuple[int, float]]:
        return Bulkhead, (self.places, self.patience)  # hanging calls belong to one process

    def _forget(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._pid = os.getpid()

    @property
    def hanging(self) -> int:
        """Number of calls that are still under way although their time is over."""
        if self._pid != os.getpid():
            self._forget()  # the threads of a parent did not come along
        late = time.monotonic() - self.patience
        return sum(call.given_up or call.started < late for call in list(self._calls.values()))

    def start(self, name: str, call: Callable[[], T], role: str = "source") -> Waiting[T]:
        """Start a call; what it returns waits so many seconds for the result.

        Raises
        ------
        SourceTimeout
            If too many calls hang.
        """
        waiting: Waiting[T] = Waiting(self, name, role)
        self.add(waiting, call)
        return waiting

    def add(self, waiting: Waiting[T], call: Callable[[], T]) -> None:
        """Start a call whose result, if it comes first, is that of an earlier one; errors as for :meth:`start`."""
        name = waiting.name
        if self.hanging >= self.places:
            raise SourceTimeout(
                f"found {self.places} calls of {name} still hanging; refused", name=name, role=waiting.role
            )
        under_way, calls, answer = _Call(time.monotonic()), self._calls, waiting.answer
        calls[id(under_way)] = under_way
        waiting.calls.append(under_way)

        def work() -> None:
            outcome: tuple[bool, Any]
            try:
                outcome = True, call()
            except BaseException as error:  # handed to the waiting thread, which raises it
                outcome = False, error
            calls.pop(id(under_way), None)
            answer.put(outcome)

        try:
            threading.Thread(target=work, name=f"recokit-{name}", daemon=True).start()
        except BaseException:
            calls.pop(id(under_way), None)
            raise


class Waiting(Generic[T]):
    """A call under way; called with so many seconds, it waits for the result.

    Parameters
    ----------
    bulkhead : Bulkhead
        Where the call runs.
    name, role : str
        Of whom it is, for errors.
    """

    def __init__(self, bulkhead: Bulkhead, name: str, role: str) -> None:
        self.bulkhead, self.name, self.role = bulkhead, name, role
        self.answer: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        self.calls: list[_Call] = []

    def result(self, timeout: float) -> tuple[bool, Any] | None:
        """Wait so many seconds for a result or an error, True or False before it; None where neither came."""
        limit = min(timeout, self.calls[0].started + self.bulkhead.patience - time.monotonic())
        try:
            return self.answer.get(timeout=max(limit, 0.0))
        except queue.Empty:
            return None

    def __call__(self, timeout: float) -> T:
        """Wait so many seconds for the result.

        Raises
        ------
        SourceTimeout
            If it does not come in time.
        Exception
            Whatever the call raised.
        """
        return self.settled(self.result(timeout), timeout)

    def settled(self, outcome: tuple[bool, Any] | None, timeout: float) -> T:
        """Return a result, or raise what came in its place after so many seconds."""
        if outcome is None:
            for call in self.calls:
                call.given_up = True
            waited = 1e3 * min(timeout, self.bulkhead.patience)
            message = f"found no answer from {self.name} after {waited:.0f} ms"
            raise SourceTimeout(message, name=self.name, role=self.role)
        done, value = outcome
        if done:
            result: T = value
            return result
        if isinstance(value, Exception):
            raise value
        text = f"found {type(value).__name__} raised by {self.name}"
        raise StageError(text, name=self.name, role=self.role, cause=value) from value
