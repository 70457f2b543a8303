"""Limits on the threads of BLAS and OpenMP, for code that runs threads of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["limited_threads"]


@contextmanager
def limited_threads(n: int = 1) -> Iterator[None]:
    """Limit BLAS and OpenMP to n threads inside the ``with`` block.

    Threads that start threads of their own can cost a hundred times what they save. The limit holds for the
    whole process while the block runs, and costs about a millisecond: put it around a pool, not around a
    request.

    Parameters
    ----------
    n : int, default 1
        Most threads of each library.

    Examples
    --------
    >>> with limited_threads(1):
    ...     pass
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=n):
        yield
