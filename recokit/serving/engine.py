"""Engine: the threads that run what waits, batch after batch, and what happens when a batch hangs."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Sequence

from recokit._utils.options import error_text
from recokit.serving.ask import Ask
from recokit.serving.fair_queue import FairQueue
from recokit.serving.pace import Pace

_LOGGER = logging.getLogger("recokit.serving")
#: Batches that may hang before no thread takes their place any more.
MAX_HANGING = 8
#: Seconds after the last row's time until another thread goes on with what waits.
_GRACE = 0.05
#: Times that are kept before those of answered rows are let go.
_ROOM = 1_000


class Engine:
    """Runs rows that wait: whatever came during one batch is the next. There is no waiting for a batch to fill.

    A batch that is still at work after the time of all its rows hangs: another thread takes the place of its own, and
    what comes of the hung one is late.

    Parameters
    ----------
    run : callable
        Runs a batch.
    pace : Pace
        Learns how long batches take.
    most : int
        Rows of a batch.
    within : float
        Seconds that a batch is to take: where ``most`` rows are likely to take longer, it has fewer.
    clock : callable
        Tells seconds.
    """

    def __init__(
        self,
        run: Callable[[list[Ask]], None],
        pace: Pace,
        *,
        most: int,
        within: float,
        clock: Callable[[], float],
    ) -> None:
        self.run, self.pace, self.most, self.within, self.clock = run, pace, most, within, clock
        #: Rows of the next batch at most.
        self.rows = most
        self._ready = threading.Condition()
        self._queue = FairQueue()
        self._numbers = itertools.count()
        #: Threads that take batches, and those at work: the rows, and since when.
        self._threads: set[int] = set()
        self._at_work: dict[int, tuple[list[Ask], float]] = {}
        #: Threads whose batch hangs.
        self.hanging = 0

    def start(self, threads: int = 1) -> None:
        """Start to run, so many batches at a time."""
        with self._ready:
            for _ in range(threads - len(self._threads)):
                self._start_thread()

    def stop(self) -> None:
        """Run nothing more; batches at work end."""
        with self._ready:
            self._threads.clear()
            self._ready.notify_all()

    def _start_thread(self) -> None:
        number = next(self._numbers)
        self._threads.add(number)
        threading.Thread(target=self._work, args=(number,), name="recokit-serving", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether a row waits or is at work."""
        with self._ready:
            return bool(len(self._queue) or self._at_work)

    def wait(self) -> float:
        """Return the seconds that another row is likely to wait for its batch to begin; takes no lock."""
        at_work, threads = list(self._at_work.values()), max(len(self._threads), 1)
        rows = self.rows
        ahead = (self.waiting // rows) * self.pace.seconds(rows) / threads
        if len(at_work) < threads:
            return ahead
        ends = (began + self.pace.seconds(len(batch)) for batch, began in at_work)
        return ahead + max(min(ends) - self.clock(), 0.0)

    def put(self, ask: Ask) -> None:
        """Let a row wait for the next batch."""
        with self._ready:
            self._queue.put(ask)
            self._ready.notify()

    def drop(self, asks: Sequence[Ask]) -> None:
        """Take out rows that nobody waits for any more."""
        with self._ready:
            for ask in asks:
                self._queue.drop(ask)

    def pass_on(self) -> int:
        """Let other threads go on where batches hang; return how many did."""
        passed, now = 0, self.clock()
        with self._ready:
            for number, (batch, _) in list(self._at_work.items()):
                if self.hanging < MAX_HANGING and now > max(ask.due for ask in batch) + _GRACE:
                    self._threads.discard(number)
                    del self._at_work[number]
                    self.hanging += 1
                    self._start_thread()
                    passed += 1
        return passed

    def _work(self, number: int) -> None:
        while True:
            with self._ready:
                while number in self._threads and not len(self._queue):
                    self._ready.wait()
                if number not in self._threads:
                    return
                now = self.clock()
                self.rows = self.pace.rows(self.within, self.most)
                batch = self._queue.take(self.rows, now)
                if not batch:
                    continue
                self._at_work[number] = batch, now
            try:
                self.run(batch)
            except Exception as error:  # nothing may end this thread; the keeper answers the rows
                _LOGGER.exception("a batch failed: %s", error_text(error))
            with self._ready:
                if self._at_work.pop(number, None) is None:  # it was given up meanwhile
                    self.hanging -= 1


class Keeper:
    """Keeps the time: calls back for each row once its time has come.

    Parameters
    ----------
    late : callable
        Gets the rows whose time has come, with what was noted for each; must return at once.
    clock : callable
        Tells seconds.
    """

    def __init__(self, late: Callable[[list[tuple[Ask, bool]]], None], clock: Callable[[], float]) -> None:
        self.late, self.clock = late, clock
        self._changed = threading.Condition()
        self._times: list[tuple[float, int, bool, Ask]] = []
        self._room = _ROOM
        self._count = itertools.count()
        self._stopped = True

    def start(self) -> None:
        """Start to keep the time."""
        self._stopped = False
        threading.Thread(target=self._keep, name="recokit-keeper", daemon=True).start()

    def stop(self) -> None:
        """Call back no more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def at(self, when: float, ask: Ask, *, last: bool = False) -> None:
        """Call back at a time; ``last`` is handed on."""
        with self._changed:
            first = not self._times or when < self._times[0][0]
            heapq.heappush(self._times, (when, next(self._count), last, ask))
            if len(self._times) > self._room:  # rows with a long time are answered long before it comes
                self._times = [one for one in self._times if not one[3].done]
                heapq.heapify(self._times)
                self._room = max(_ROOM, 2 * len(self._times))
            if first:
                self._changed.notify()

    def _keep(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                now = self.clock()
                due: list[tuple[Ask, bool]] = []
                while self._times and (self._times[0][0] <= now or self._times[0][3].done):
                    _, _, last, ask = heapq.heappop(self._times)
                    if not ask.done:
                        due.append((ask, last))
                if not due:
                    self._changed.wait(self._times[0][0] - now if self._times else None)
                    continue
            self.late(due)
