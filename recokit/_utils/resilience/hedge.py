"""Hedge: a second call where the first takes longer than nearly all others did, and few of them."""

from __future__ import annotations

import threading
from collections import deque


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

    def __reduce__(self) -> tuple[type[Hedge], tuple[float], dict[str, float]]:
        options = {"quantile": self.quantile, "window": self.window, "least": self.least}
        return Hedge, (self.share,), options

    def __setstate__(self, options: dict[str, int]) -> None:
        self.__init__(self.share, **options)  # type: ignore[misc]  # a lock belongs to one process

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
