"""Engine: the thread that runs what waits, batch after batch, and what happens when a batch hangs."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Sequence

from recokit.serving.ask import Ask
from recokit.serving.fair_queue import FairQueue
from recokit.serving.pace import Pace

#: Batches that may hang before no thread takes their place any more.
MAX_HANGING = 8
#: Seconds after the last row's time until another thread goes on with what waits.
_GRACE = 0.05


class Engine:
    """Runs rows that wait: whatever came during one batch is the next. There is no waiting for a batch to fill.

    One thread runs, since the interpreter serves no more with several. A batch that is still at work after the time of
    all its rows hangs: another thread goes on, and what comes of the hung one is late.

    Parameters
    ----------
    run : callable
        Runs a batch; never raises.
    pace : Pace
        Learns how long batches take.
    most : int
        Rows of a batch.
    clock : callable
        Tells seconds.
    """

    def __init__(
        self, run: Callable[[list[Ask]], None], pace: Pace, *, most: int, clock: Callable[[], float]
    ) -> None:
        self.run, self.pace, self.most, self.clock = run, pace, most, clock
        self._ready = threading.Condition()
        self._queue = FairQueue()
        self._generation = 0
        self._batch: list[Ask] = []
        self._began = 0.0
        self._stopped = True
        #: Threads whose batch hangs.
        self.hanging = 0

    def start(self) -> None:
        """Start to run."""
        with self._ready:
            self._stopped = False
            self._next_thread()

    def stop(self) -> None:
        """Run nothing more; a batch at work ends."""
        with self._ready:
            self._stopped = True
            self._ready.notify_all()

    def _next_thread(self) -> None:
        self._generation += 1
        self._batch = []
        arguments = (self._generation,)
        threading.Thread(target=self._work, args=arguments, name="recokit-serving", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether a row waits or is at work."""
        with self._ready:
            return bool(len(self._queue) or self._batch)

    @property
    def left(self) -> float:
        """Seconds that the batch at work is likely to take yet."""
        batch = self._batch
        return max(self._began + self.pace.seconds(len(batch)) - self.clock(), 0.0) if batch else 0.0

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

    def pass_on(self) -> bool:
        """Let another thread go on if the batch at work hangs; tell whether one did."""
        with self._ready:
            hangs = self._batch and self.clock() > max(ask.due for ask in self._batch) + _GRACE
            if self._stopped or not hangs or self.hanging >= MAX_HANGING:
                return False
            self.hanging += 1
            self._next_thread()
            return True

    def _work(self, generation: int) -> None:
        while True:
            with self._ready:
                while generation == self._generation and not self._stopped and not len(self._queue):
                    self._ready.wait()
                if generation != self._generation or self._stopped:
                    return
                now = self.clock()
                batch = self._batch = self._queue.take(self.most, now)
                self._began = now
            if batch:
                self.run(batch)
            with self._ready:
                if generation != self._generation:
                    self.hanging -= 1
                    return
                self._batch = []


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
