"""Hedge: a second call where the first takes longer than nearly all others did, and few of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any


class Hedge:
    """Says after how many seconds a call is worth a second one, and how many second calls there may be.

    Parameters
    ----------
    share : float, default 0.05
        Second calls for each first one, at most.
    quantile : float, default 0.95
        A call that takes longer than this share of the last ones is worth another.
    window : int, default 100
        Calls that are looked at.
    least : int, default 20
        Calls before there is any second one.

    Examples
    --------
    >>> hedge = Hedge(share=0.5, quantile=0.5, window=4, least=2)
    >>> for seconds in (0.1, 0.3):
    ...     hedge.took(seconds)
    >>> hedge.after(), hedge.allows(), hedge.allows()
    (0.3, True, False)
    """

    def __init__(
        self, share: float = 0.05, *, quantile: float = 0.95, window: int = 100, least: int = 20
    ) -> None:
        self.share, self.quantile, self.window, self.least = share, quantile, window, least
        self._lock = threading.Lock()
        self._took: deque[float] = deque(maxlen=window)
        self._allowance = 0.0

    def __reduce__(self) -> tuple[Callable[[], Hedge], tuple[()]]:
        """Copy the options alone: a lock, and what calls took, belong to one process."""
        options: dict[str, Any] = {"quantile": self.quantile, "window": self.window, "least": self.least}
        return partial(Hedge, self.share, **options), ()

    def took(self, seconds: float) -> None:
        """Count a first call that gave an answer after so many seconds."""
        with self._lock:
            self._took.append(seconds)
            # What quiet times saved up must not become a burst.
            self._allowance = min(self._allowance + self.share, max(1.0, self.share * self.window))

    def after(self) -> float:
        """Return the seconds after which a second call is worth it, inf while too few are known."""
        with self._lock:
            took = sorted(self._took)
        return (
            took[min(int(self.quantile * len(took)), len(took) - 1)]
            if len(took) >= self.least
            else float("inf")
        )

    def allows(self) -> bool:
        """Take one second call from the allowance; False where there is none left."""
        with self._lock:
            if self._allowance < 1.0 - 1e-9:
                return False
            self._allowance -= 1.0
            return True
