"""Shed: which requests are turned away at the door, and when it is worth asking again."""

from __future__ import annotations

from recokit._utils.options import at_least, between, check_options, rules, whole
from recokit._utils.params import Configured

_OPTIONS = rules(queue_ms=at_least(0), max_waiting=whole(1), spare=between(0, 1))


class Shed(Configured):
    """Turns a request away where the rows before it would take longer than it may wait.

    It is answered without the model as long as that costs no more than a share of the time, and else with
    :class:`~recokit.errors.Overloaded`.

    Parameters
    ----------
    queue_ms : float, default 40.0
        Milliseconds that a row may be expected to wait for its batch to begin; one with a longer or shorter time than
        the service's in proportion.
    max_waiting : int, default 10_000
        Rows that may wait, however quick batches are.
    spare : float, default 0.1
        Share of the time that may go into the list made ahead for those turned away.

    Examples
    --------
    >>> from recokit.serving.pace import Pace
    >>> pace = Pace()
    >>> for rows in (1, 64, 1, 64):
    ...     pace.ran(rows, 0.002 + 0.0005 * rows)
    >>> shed = Shed(queue_ms=40)
    >>> shed.retry_after(64, wait=0.034, capacity=pace.capacity(64)), round(shed.retry_after(128, wait=0.068), 3)
    (None, 0.028)
    """

    def __init__(self, *, queue_ms: float = 40.0, max_waiting: int = 10_000, spare: float = 0.1) -> None:
        self.queue_ms, self.max_waiting, self.spare = queue_ms, max_waiting, spare
        check_options(self, _OPTIONS)
        #: Seconds that may be spent now, and as of when.
        self._spare, self._at = 0.0, -float("inf")

    def retry_after(
        self, waiting: int, *, wait: float, capacity: float = float("inf"), scale: float = 1.0
    ) -> float | None:
        """Return after how many seconds to ask again; None to let the request in.

        Parameters
        ----------
        waiting : int
            Rows before it.
        wait : float
            Seconds that it is likely to wait for its batch to begin.
        capacity : float, default inf
            Rows a second.
        scale : float, default 1.0
            Its time as a multiple of the service's.
        """
        too_long = wait - scale * self.queue_ms / 1e3
        if waiting < self.max_waiting and too_long <= 0:
            return None
        over = (waiting - self.max_waiting + 1) / capacity if waiting >= self.max_waiting else 0.0
        return max(too_long, over, 1e-3)

    def spares(self, now: float) -> bool:
        """Tell whether there is time for a list without the model."""
        # What a second saved up is all there is: a quiet hour must not pay for a storm.
        self._spare = min(self._spare + self.spare * (now - self._at), self.spare)
        self._at = now
        return self._spare > 0

    def spent(self, seconds: float) -> None:
        """Say how long such a list took."""
        self._spare -= seconds
