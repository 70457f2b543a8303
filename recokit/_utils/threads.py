"""Threads: parts of a computation on all cores, with BLAS limited to one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from recokit._utils.forks import prepare_forks

T = TypeVar("T")
R = TypeVar("R")

prepare_forks()


def map_parts(function: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """Call a function on each part, on all cores where there are several of both; BLAS has one thread in each.

    The result depends on the parts alone, never on the number of cores.

    Examples
    --------
    >>> map_parts(abs, [-1, 2])
    [1, 2]
    """
    if len(parts) < 2 or usable_cores() < 2:  # a pool for one core costs milliseconds and gains nothing
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
