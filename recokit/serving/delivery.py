"""Delivery: answers brought to threads that wait and to futures of event loops."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Sequence

from recokit.serving.ask import Answer, Ask

Result = Answer | Exception


class Place:
    """Where a thread waits for its answer."""

    def __init__(self) -> None:
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()

    def put(self, result: Result) -> None:
        """Bring the answer."""
        self._results.put(result)

    def get(self, timeout: float) -> Result | None:
        """Wait so many seconds for it."""
        try:
            return self._results.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return None


class FuturePlace:
    """Where a coroutine waits for its answer."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Result] = self.loop.create_future()

    def put(self, result: Result) -> None:
        """Bring the answer, inside the loop."""
        if not self.future.done():
            self.future.set_result(result)


class Nowhere:
    """Nobody waits: a list is made again in the background."""

    def put(self, result: Result) -> None:
        """Drop the answer."""


def raised(result: Result | None) -> Answer:
    """Return an answer, or raise the error in its place."""
    if isinstance(result, Answer):
        return result
    assert result is not None
    raise result


def deliver(results: Sequence[tuple[Ask, Result]]) -> None:
    """Bring answers, those of one event loop in a single call of it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[FuturePlace, Result]]] = {}
    for ask, result in results:
        if isinstance(ask.place, FuturePlace):
            by_loop.setdefault(ask.place.loop, []).append((ask.place, result))
        else:
            ask.place.put(result)
    for loop, mine in by_loop.items():
        try:
            loop.call_soon_threadsafe(_put_all, mine)
        except RuntimeError:  # the loop is closed, and nobody waits
            continue


def _put_all(results: list[tuple[FuturePlace, Result]]) -> None:
    for place, result in results:
        place.put(result)
