"""Idle connections."""

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
