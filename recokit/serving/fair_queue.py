"""Fair queue: rows that wait, taken in turn from those who asked."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable

from recokit.serving.ask import Ask

#: Rows of one batch have at most so many times as much time left as the one that has the least: nobody is waited for
#: longer than that one can wait.
_SPREAD = 2.0


class FairQueue:
    """Rows that wait, each caller's in their order; callers take turns, one row each.

    It holds no lock: whoever uses it from several threads does.

    Examples
    --------
    >>> queue = FairQueue()
    >>> len(queue), queue.take(10, now=0.0)
    (0, [])
    """

    def __init__(self) -> None:
        self._by_caller: OrderedDict[Hashable, deque[Ask]] = OrderedDict()
        self._n = 0

    def __len__(self) -> int:
        """Return the number of rows that wait."""
        return self._n

    def put(self, ask: Ask) -> None:
        """Add a row."""
        ask.waiting = True
        self._n += 1
        self._by_caller.setdefault(ask.caller, deque()).append(ask)

    def drop(self, ask: Ask) -> None:
        """Take a row out that nobody waits for any more."""
        if ask.waiting:
            ask.waiting = False
            self._n -= 1

    def take(self, most: int, now: float) -> list[Ask]:
        """Return the rows of the next batch, in turn from the callers.

        A row that has far more or far less time left than the first one waits for the next batch.

        Parameters
        ----------
        most : int
            Rows at most.
        now : float
            The time.
        """
        batch: list[Ask] = []
        held: set[Hashable] = set()
        least = longest = 0.0
        while len(batch) < most and len(held) < len(self._by_caller):
            caller, rows = next(iter(self._by_caller.items()))
            while rows and not rows[0].waiting:
                rows.popleft()
            if not rows:
                del self._by_caller[caller]
                continue
            self._by_caller.move_to_end(caller)
            left = max(rows[0].due - now, 1e-6)
            if batch and max(longest, left) > _SPREAD * min(least, left):
                held.add(caller)
                continue
            least, longest = (min(least, left), max(longest, left)) if batch else (left, left)
            ask = rows.popleft()
            self.drop(ask)
            batch.append(ask)
        # Those held back go first next time.
        for caller in reversed([one for one in self._by_caller if one in held]):
            self._by_caller.move_to_end(caller, last=False)
        return batch
