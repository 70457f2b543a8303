"""Shadow: work done behind the request's back, in one thread, and left undone where there is too much of it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from recokit._utils.options import traced

_LOGGER = logging.getLogger("recokit")
#: Jobs that may wait; with more, new ones are dropped.
_WAITING = 64


class Shadow:
    """Run jobs one after the other in a thread of their own; they may fail, and never hold up who asks for them.

    Examples
    --------
    >>> done = []
    >>> shadow = Shadow()
    >>> shadow.start(lambda: done.append(1)), shadow.wait(), done
    (True, None, [1])
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._jobs: queue.Queue[Callable[[], object]] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, job: Callable[[], object]) -> bool:
        """Put a job in line, and tell whether there was room."""
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                # In a child process after a fork the parent's thread is not there.
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._work, name="recokit-shadow", daemon=True)
                    self._thread.start()
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self.dropped += 1
            return False
        return True

    def wait(self) -> None:
        """Wait until every job is done."""
        self._jobs.join()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception as error:
                _LOGGER.warning("shadow run failed: %s", traced(error))
            finally:
                self._jobs.task_done()
