"""Live values: what changes while serving, pinned to one version for each run."""

from __future__ import annotations

import threading
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Live(Generic[T]):
    """A value that may be replaced while requests are served, such as stock.

    The runner pins one version for each run and records it in the trace, so every stage of a run sees the
    same value and the run can be replayed. Stages read it with ``requests.read(live)``. Values are replaced,
    never mutated.

    Parameters
    ----------
    value : object
        The first value, version 1.
    name : str, default "live"
        How the trace names it.

    Examples
    --------
    >>> stock = Live([0, 5, 0], name="stock")
    >>> stock.set([0, 4, 2])
    >>> stock.pin()
    (2, [0, 4, 2])
    """

    def __init__(self, value: T, *, name: str = "live") -> None:
        self.name = name
        self._lock = threading.Lock()
        self._pinned = (1, value)

    def pin(self) -> tuple[int, T]:
        """Return the current version and value, read in one step."""
        return self._pinned

    def set(self, value: T) -> None:
        """Replace the value; runs under way keep the one they pinned."""
        with self._lock:
            self._pinned = (self._pinned[0] + 1, value)

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "_pinned": self._pinned}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A lock belongs to one process.
        self.__dict__.update(state, _lock=threading.Lock())

    def __repr__(self) -> str:
        return f"Live({self.name!r}, version={self._pinned[0]})"
