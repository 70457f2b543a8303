"""Known: which candidates of a window anything is known of, and what stands in for what is not known."""

from __future__ import annotations

import numpy as np

from recokit.typing import BoolArray, Float32Array, IntArray

__all__ = ["Known"]


class Known:
    """What is known of the items of one window.

    An item of which nothing is known is neither favoured nor punished: what it would add to its list counts as the mean
    of what the row's other candidates would, those that are known and not chosen yet.

    Parameters
    ----------
    valid, known : ndarray of bool, shape (B, W)
        False where the window is padded; false where nothing is known of an item.
    """

    def __init__(self, valid: BoolArray, known: BoolArray) -> None:
        usable = valid & known
        #: Whether something is known of every item.
        self.all = bool((usable | ~valid).all())
        self.rows = np.arange(len(valid))
        self.mask, self._open = known, usable

    def told(self, chosen: IntArray, active: BoolArray) -> BoolArray:
        """Take note of a choice (B,); return the rows (B,) in which it says something about the other candidates."""
        if self.all:
            return active
        self._open[self.rows[active], chosen[active]] = False
        return np.asarray(active & self.mask[self.rows, chosen])

    def neutral(self, value: Float32Array) -> Float32Array:
        """Return the values (B, W) with the mean of the row in place of those of items of which nothing is known."""
        if self.all:
            return value
        count = self._open.sum(axis=1, keepdims=True)
        total = np.where(self._open, value, 0).sum(axis=1, keepdims=True)
        return np.where(self.mask, value, total / np.maximum(count, 1)).astype(np.float32)
