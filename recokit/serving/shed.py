"""Shed: which requests are turned away at the door, and when it is worth asking again."""

from __future__ import annotations

from recokit._utils.options import at_least, check_options, rules, whole
from recokit._utils.params import Configured

_OPTIONS = rules(queue_ms=at_least(0), max_waiting=whole(1))


class Shed(Configured):
    """Turns a request away where the rows before it would take longer than it may wait.

    Parameters
    ----------
    queue_ms : float, default 40.0
        Milliseconds that a row may be expected to wait for its batch to begin.
    max_waiting : int, default 10_000
        Rows that may wait, however quick batches are.

    Examples
    --------
    >>> pace = Pace()
    >>> for rows in (1, 64, 1, 64):
    ...     pace.ran(rows, 0.002 + 0.0005 * rows)
    >>> shed = Shed(queue_ms=40)
    >>> shed.retry_after(64, wait=0.034, capacity=pace.capacity(64)), round(shed.retry_after(128, wait=0.068), 3)
    (None, 0.028)
    """

    def __init__(self, *, queue_ms: float = 40.0, max_waiting: int = 10_000) -> None:
        self.queue_ms, self.max_waiting = queue_ms, max_waiting
        check_options(self, _OPTIONS)

    def retry_after(self, waiting: int, *, wait: float, capacity: float = float("inf")) -> float | None:
        """Return after how many seconds to ask again; None to let the request in.

        Parameters
        ----------
        waiting : int
            Rows before it.
        wait : float
            Seconds that it is likely to wait for its batch to begin.
        capacity : float, default inf
            Rows a second.
        """
        too_long = wait - self.queue_ms / 1e3
        if waiting < self.max_waiting and too_long <= 0:
            return None
        over = (waiting - self.max_waiting + 1) / capacity if waiting >= self.max_waiting else 0.0
        return max(too_long, over, 1e-3)
