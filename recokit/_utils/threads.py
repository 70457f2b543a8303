"""Threads: parts of a computation on all cores, with BLAS limited to one, and calls that may hang, kept apart."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from recokit._utils.forks import prepare_forks
from recokit.errors import SourceTimeout, StageError

T = TypeVar("T")
R = TypeVar("R")

prepare_forks()

#: Calls of one source that may hang at the same time before further ones are refused at once.
MAX_HANGING = 8
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
    places : int, default 8
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

    def start(self, name: str, call: Callable[[], T]) -> Callable[[float], T]:
        """Start a call; return a function that waits so many seconds for its result and raises SourceTimeout."""
        if self.hanging >= self.places:
            raise SourceTimeout(
                f"found {self.places} calls of {name} still hanging; refused", name=name, role="source"
            )
        answer: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        under_way, calls = _Call(time.monotonic()), self._calls
        calls[id(under_way)] = under_way

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

        def wait(timeout: float) -> T:
            limit = min(timeout, under_way.started + self.patience - time.monotonic())
            try:
                done, value = answer.get(timeout=max(limit, 0.0))
            except queue.Empty:
                under_way.given_up = True
                message = f"found no answer from {name} after {1e3 * min(timeout, self.patience):.0f} ms"
                raise SourceTimeout(message, name=name, role="source") from None
            if done:
                result: T = value
                return result
            if isinstance(value, Exception):
                raise value
            text = f"found {type(value).__name__} raised by {name}"
            raise StageError(text, name=name, role="source", cause=value) from value

        return wait


def map_parts(function: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """Call a function on each part, on all cores where there are several parts; BLAS has one thread in each.

    The result depends on the parts alone, never on the number of cores.

    Examples
    --------
    >>> map_parts(abs, [-1, 2])
    [1, 2]
    """
    if len(parts) < 2:
        return [function(part) for part in parts]
    # OpenMP's limit belongs to the thread that sets it: without one of their own, torch's workers would start teams.
    with limited_threads(1), ThreadPoolExecutor(usable_cores(), initializer=_one_thread) as pool:
        return list(pool.map(function, parts))


def _one_thread() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="openmp")


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def limited_threads(n: int = 1) -> Iterator[None]:
    """Limit BLAS and OpenMP to n threads inside the ``with`` block.

    Threads that start threads of their own can cost a hundred times what they save. The limit holds for the
    whole process while the block runs, and costs about a millisecond: put it around a pool, not around a
    request.

    Parameters
    ----------
    n : int, default 1
        Threads of each library at most.

    Examples
    --------
    >>> with limited_threads(1):
    ...     pass
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=n):
        yield
