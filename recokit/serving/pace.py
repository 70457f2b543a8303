"""Pace: how long batches take, learned from those that ran."""

from __future__ import annotations

import math
from bisect import bisect_right


class Pace:
    """Seconds of a batch as a fixed part and one for each row, by least squares in which old batches fade.

    Parameters
    ----------
    memory : float, default 50
        Batches after which one counts for a third of what it did.

    Examples
    --------
    >>> pace = Pace()
    >>> for rows in (1, 10, 1, 10):
    ...     pace.ran(rows, 0.004 + 0.001 * rows)
    >>> round(pace.seconds(5), 6)
    0.009
    """

    def __init__(self, memory: float = 50.0) -> None:
        self._keep = math.exp(-1.0 / memory)
        self._n = self._x = self._y = self._xx = self._xy = 0.0

    def ran(self, rows: int, seconds: float) -> None:
        """Learn from a batch."""
        keep = self._keep
        self._n = keep * self._n + 1.0
        self._x = keep * self._x + rows
        self._y = keep * self._y + seconds
        self._xx = keep * self._xx + rows * rows
        self._xy = keep * self._xy + rows * seconds

    def seconds(self, rows: int) -> float:
        """Return how long a batch of so many rows is likely to take; 0 before the first ran."""
        if not self._n:
            return 0.0
        mean_x, mean_y = self._x / self._n, self._y / self._n
        spread = self._xx / self._n - mean_x**2
        slope = 0.0
        if spread > 1e-9 * mean_x**2:
            slope = max((self._xy / self._n - mean_x * mean_y) / spread, 0.0)
        # Where all batches were of one size, what more rows would take is not known: nothing is promised for them.
        elif mean_x:
            slope = mean_y / mean_x if rows > mean_x else 0.0
        return max(mean_y + slope * (rows - mean_x), 0.0)

    def rows(self, seconds: float, most: int) -> int:
        """Return how many rows, of at most ``most``, are likely to take so many seconds; an eighth of them at least."""
        if self.seconds(most) <= seconds:
            return most
        least = max(most // 8, 1)
        return max(bisect_right(range(1, most + 1), seconds, key=self.seconds), least)

    def capacity(self, most: int) -> float:
        """Return the rows a second that full batches serve, inf before the first ran."""
        seconds = self.seconds(most)
        return most / seconds if seconds > 0 else math.inf
