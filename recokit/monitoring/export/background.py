"""Background: an observer that may be slow or broken, kept away from requests."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

from recokit._utils.options import check_options, traced, whole
from recokit.protocols import ErasesUsers, Observer
from recokit.trace import Trace

_LOGGER = logging.getLogger("recokit")


class Background:
    """Hand traces to another observer in a thread of its own.

    A request puts its trace into a queue and goes on. Where the queue is full the trace is dropped and counted; an
    error of the observer is counted, and logged once.

    Parameters
    ----------
    observer : Observer
        Such as :class:`JsonLines` or :class:`Spans`.
    capacity : int, default 1000
        Traces that may wait. Each holds the arrays of its run.

    Attributes
    ----------
    seen, dropped, errors : int
        Traces handed over; lost because the queue was full; at which the observer failed.

    Raises
    ------
    ConfigurationError
        If ``capacity`` is below 1.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> class Broken:
    ...     def observe(self, trace):
    ...         raise OSError("no such host")
    >>> data = rk.testing.toy_dataset()
    >>> background = Background(Broken())
    >>> pipeline = rk.Pipeline([candidates.Popular()], observers=[background]).fit(data)
    >>> answer = pipeline.recommend(["user-1"], k=3, now=data.until)
    >>> background.close()
    >>> len(answer.ids(0)), background.errors
    (3, 1)
    """

    def __init__(self, observer: Observer, *, capacity: int = 1000) -> None:
        self.observer, self.capacity = observer, capacity
        check_options(self, {"capacity": whole(1)})
        self.seen = self.dropped = self.errors = 0
        self._queue: queue.Queue[Trace | None] = queue.Queue(capacity)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return (
            f"Background({self.observer!r}: {self.seen} seen, {self.dropped} dropped, {self.errors} errors)"
        )

    @property
    def wants_ranked(self) -> bool:
        """Whether the other observer wants the ranked candidates."""
        return bool(getattr(self.observer, "wants_ranked", False))

    def erase_user(self, user: Any) -> int:
        """Have the other observer forget a user; what is queued reaches it first or after a second call."""
        return self.observer.erase_user(user) if isinstance(self.observer, ErasesUsers) else 0

    def observe(self, trace: Trace) -> None:
        """Queue a trace."""
        if self._thread is None:
            self._start()
        try:
            self._queue.put_nowait(trace)
        except queue.Full:
            with self._lock:
                self.dropped += 1

    def close(self, timeout: float = 5.0) -> None:
        """Wait until the queue is empty, at most so many seconds."""
        thread = self._thread
        if thread is None:
            return
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        thread.join(timeout)

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                # A daemon: a hung exporter must not keep the process from ending.
                self._thread = threading.Thread(target=self._work, name="recokit-background", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            trace = self._queue.get()
            if trace is None:
                self._thread = None
                return
            try:
                self.observer.observe(trace)
            except Exception as error:
                self.errors += 1
                if self.errors == 1:
                    _LOGGER.warning(
                        "observer %r failed: %s; further failures are counted", self.observer, traced(error)
                    )
            else:
                self.seen += 1
