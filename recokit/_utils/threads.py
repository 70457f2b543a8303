"""Threads: parts of a computation on all cores, with BLAS limited to one, and calls that may hang, kept apart."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from recokit.errors import SourceTimeout

T = TypeVar("T")
R = TypeVar("R")

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
        return Bulkhead, (self.places,)  # hanging calls belong to one process

    def start(self, name: str, call: Callable[[], T]) -> Callable[[float], T]:
        """Start a call; return a function that waits so many seconds for its result and raises SourceTimeout."""
        if not self._places.acquire(blocking=False):
            raise SourceTimeout(
                f"found {self.places} calls of {name} still hanging; refused", name=name, role="source"
            )
        answer: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def work() -> None:
            outcome: tuple[bool, Any]
            try:
                outcome = True, call()
            except Exception as error:  # handed to the waiting thread, which raises it
                outcome = False, error
            finally:
                self._places.release()
            answer.put(outcome)

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
