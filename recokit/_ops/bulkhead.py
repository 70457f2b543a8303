"""A bulkhead for calls that wait for input and output."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from recokit.errors import SourceTimeout

__all__ = ["Bulkhead"]

T = TypeVar("T")

#: Calls of one source that may hang at the same time before further ones are refused at once.
MAX_HANGING = 8


class Bulkhead:
    """Runs calls in daemon threads with a time limit; a hung call holds one of a few places, nothing else.

    A thread pool is no bulkhead: hung workers fill it, and the interpreter waits for them at exit.
    """

    def __init__(self, places: int = MAX_HANGING) -> None:
        self.places = places
        self._places = threading.Semaphore(places)

    def __reduce__(self) -> tuple[type[Bulkhead], tuple[int]]:
        return Bulkhead, (self.places,)  # what hangs belongs to one process

    def start(self, name: str, call: Callable[[], T]) -> Callable[[float], T]:
        """Start a call; return a function that waits so many seconds for its result and raises SourceTimeout."""
        if not self._places.acquire(blocking=False):
            raise SourceTimeout(
                f"found {self.places} calls of {name} still hanging; refused", name=name, role="source"
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
