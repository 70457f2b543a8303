"""Breaker: stops asking what fails or is slow, and tries it again with a few calls."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any


class Permit:
    """Leave to make one call; whoever has it says how the call went.

    Parameters
    ----------
    breaker : Breaker
        Who gave it.
    era : int
        The breaker's state when it was given: what comes of calls from before another state no longer counts.
    at : float
        When it was given.
    """

    __slots__ = ("_at", "_breaker", "_era")

    def __init__(self, breaker: Breaker, era: int, at: float) -> None:
        self._breaker, self._era, self._at = breaker, era, at

    def worked(self, now: float | None = None) -> None:
        """Say that the call gave an answer."""
        self._breaker._count(self._era, self._at, now, failed=False)

    def failed(self, now: float | None = None) -> None:
        """Say that it gave none."""
        self._breaker._count(self._era, self._at, now, failed=True)

    def unused(self) -> None:
        """Say that no call was made: nothing is known of it, and a trial may go to another."""
        self._breaker._give_back(self._era)


class Breaker:
    """Counts the calls of one dependency, and refuses further ones while too many of them fail or are slow.

    Closed, it lets every call through. Once a share of the last ``window`` calls failed, or were slow, it opens: for
    ``pause`` seconds nothing is asked. Then exactly ``trials`` calls try it; if all of them work it closes and forgets,
    and the first that does not opens it again. A trial that never ends counts as failed after another pause.

    A lock is held to count, never during a call.

    Parameters
    ----------
    window : int, default 20
        Calls that are looked at, the last ones.
    least : int, default 10
        Calls before it may open.
    failures : float, default 0.5
        Share of failed calls at which it opens.
    slow : float, default 0.8
        Share of slow or failed calls at which it opens.
    slow_after : float, default inf
        Seconds after which a call is slow.
    pause : float, default 1.0
        Seconds.
    trials : int, default 1
        Calls that try.
    clock : callable, default time.monotonic
        Tells seconds where a call gives no ``now``. One that jumped back before the opening closes it: batches of
        offline requests ask at any time.

    Examples
    --------
    >>> breaker = Breaker(window=2, least=2, pause=1.0)
    >>> for now in (10.0, 10.1):
    ...     breaker.enter(now).failed(now)
    >>> breaker.enter(10.2) is None, breaker.enter(11.2) is None
    (True, False)
    """

    def __init__(
        self,
        *,
        window: int = 20,
        least: int = 10,
        failures: float = 0.5,
        slow: float = 0.8,
        slow_after: float = float("inf"),
        pause: float = 1.0,
        trials: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options: dict[str, Any] = {
            "window": window,
            "least": least,
            "failures": failures,
            "slow": slow,
            "slow_after": slow_after,
            "pause": pause,
            "trials": trials,
            "clock": clock,
        }
        self.least, self.failures, self.slow, self.slow_after = least, failures, slow, slow_after
        self.pause, self.trials, self.clock = pause, trials, clock
        self._lock = threading.Lock()
        self._last: deque[tuple[bool, bool]] = deque(maxlen=window)
        self._era = 0
        #: When it opened, None while it is closed.
        self._since: float | None = None
        #: Trials that were let through since, and those of them that worked.
        self._trying = self._worked = 0

    def __reduce__(self) -> tuple[Callable[..., Breaker], tuple[dict[str, Any]]]:
        return _rebuilt, (self._options,)  # what was counted belongs to one process

    @property
    def state(self) -> str:
        """``"closed"``, ``"open"`` or ``"half-open"``."""
        if self._since is None:
            return "closed"
        return "half-open" if self._trying else "open"

    def enter(self, now: float | None = None) -> Permit | None:
        """Return leave to make a call, None where none is to be made."""
        if self._since is None:  # no lock where nothing is to be counted
            return Permit(self, self._era, self.clock() if now is None else now)
        now = self.clock() if now is None else now
        with self._lock:
            if self._since is not None and not self._may_try(self._since, now):
                return None
            return Permit(self, self._era, now)

    def _may_try(self, since: float, now: float) -> bool:
        """Tell whether one more trial may go; with the lock held."""
        if now < since:
            self._close()
            return True
        if self._trying and now >= since + 2 * self.pause:  # they never ended
            self._open(now)
            return False
        if now < since + self.pause or self._trying >= self.trials:
            return False
        if not self._trying:  # those who wait for the trials wait from now on
            self._since = now - self.pause
        self._trying += 1
        return True

    def _give_back(self, era: int) -> None:
        with self._lock:
            if era == self._era and self._since is not None:
                self._trying -= 1

    def _count(self, era: int, at: float, now: float | None, *, failed: bool) -> None:
        now = self.clock() if now is None else now
        slow = failed or now - at >= self.slow_after
        with self._lock:
            if era != self._era:
                return
            if self._since is not None:
                self._count_trial(now, bad=slow)
                return
            self._last.append((failed, slow))
            if failed or slow:
                n = len(self._last)
                n_failed, n_slow = (sum(kinds) for kinds in zip(*self._last, strict=True))
                if n >= self.least and (n_failed >= self.failures * n or n_slow >= self.slow * n):
                    self._open(now)

    def _count_trial(self, now: float, *, bad: bool) -> None:
        if bad:
            self._open(now)
            return
        self._worked += 1
        if self._worked >= self.trials:
            self._close()

    def _open(self, now: float) -> None:
        self._era += 1
        self._since, self._trying, self._worked = now, 0, 0

    def _close(self) -> None:
        self._era += 1
        self._since, self._trying, self._worked = None, 0, 0
        self._last.clear()


def _rebuilt(options: dict[str, Any]) -> Breaker:
    return Breaker(**options)
