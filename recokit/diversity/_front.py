"""Front: the candidates of a window that are kept exact, while bounds do for those behind them."""

from __future__ import annotations

import numpy as np

from recokit.diversity._content import Content, Vectors
from recokit.typing import IntArray

__all__ = ["Front"]

#: Candidates in front at first; windows of less than twice as many are exact all over.
SMALLEST = 128


class Front:
    """The candidates of windows (B, W) whose gain is exact: those before one position.

    Where gains only fall, an old one bounds the gain of today. Windows are in order of relevance, so what is chosen
    stands in front; where a bound behind is larger than all that is in front, the front grows.

    Attributes
    ----------
    end : int
        From this window position on, gains are bounds.
    unseen : list of ndarray of int64 (B,)
        Choices that what stands behind the front was not compared with.
    """

    def __init__(self, width: int) -> None:
        self.end = self.width = width
        self.unseen: list[IntArray] = []
        self._first: int | None = None

    def allow_bounds(self, content: Content, first: int = 0) -> None:
        """Let bounds do after the first choices, for vectors that all items have: a mean would need all gains."""
        if isinstance(content, Vectors) and content.known.all and self.width >= 2 * SMALLEST:
            self._first = first
            self.end = self.width if first else SMALLEST

    def note(self, chosen: IntArray) -> None:
        """Take note of a choice (B,) that the candidates in front were compared with."""
        if self._first is None:
            return
        if self._first:
            self._first -= 1
            self.end = self.width if self._first else SMALLEST
        else:
            self.unseen.append(chosen)

    def holds(self, chosen: IntArray) -> bool:
        """Tell whether window positions (B,) are in front."""
        return self.end == self.width or not np.count_nonzero(chosen >= self.end)

    def grow(self, chosen: IntArray) -> slice:
        """Take in window positions (B,), and half as many as there were at least; return what is new."""
        start, self.end = self.end, min(max(int(chosen.max()) + 1, self.end * 3 // 2), self.width)
        return slice(start, self.end)
