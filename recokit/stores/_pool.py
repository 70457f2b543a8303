"""Idle connections, and when not to try."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Pool(Generic[T]):
    """Idle connections, the last used first. One is used by one thread at a time; no lock is held.

    Parameters
    ----------
    close : callable
        Closes a connection.
    max_idle : int, default 64
        Idle connections kept.
    """

    def __init__(self, close: Callable[[T], None], max_idle: int = 64) -> None:
        self._close, self._max_idle = close, max_idle
        self._idle: deque[T] = deque()
        self._pid = os.getpid()

    def take(self) -> T | None:
        """Return an idle connection, None if there is none."""
        if self._pid != os.getpid():
            # A forked child must neither use nor close what its parent opened, so these stay referenced for ever.
            self._inherited, self._idle, self._pid = self._idle, deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def give(self, connection: T) -> None:
        """Take a connection back."""
        if len(self._idle) < self._max_idle:
            self._idle.append(connection)
        else:
            self._close(connection)

    def clear(self) -> None:
        """Close the idle connections."""
        while (connection := self.take()) is not None:
            self._close(connection)


class Breaker:
    """Stops asking a store that does not answer.

    After some failures in a row nothing is asked for a while on the clock of the requests; then requests try again,
    and the first failure starts another pause. Threads share it without a lock: a count that is off by one only moves
    a pause by one request.

    Parameters
    ----------
    after : int
        Failures in a row.
    pause : float
        Seconds.

    Examples
    --------
    >>> breaker = Breaker(after=2, pause=1.0)
    >>> breaker.failed(10.0)
    >>> breaker.failed(10.1)
    >>> breaker.allows(10.2), breaker.allows(11.2)
    (False, True)
    """

    def __init__(self, after: int, pause: float) -> None:
        self.after, self.pause = after, pause
        self._failures = 0
        self._since = 0.0

    def allows(self, now: float) -> bool:
        """Tell whether to ask at a time. A clock that jumped back closes it: offline batches ask at any time."""
        return self._failures < self.after or not self._since <= now < self._since + self.pause

    def failed(self, now: float) -> None:
        """Count a failure."""
        self._failures += 1
        self._since = now

    def worked(self) -> None:
        """Forget the failures."""
        self._failures = 0
