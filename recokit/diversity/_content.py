"""What the items of a window are compared by: vectors, labels, or any similarity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np

from recokit.data import Vocabulary
from recokit.errors import ContractError
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray


def unit_vectors(vectors: AnyArray) -> Float32Array:
    """Return vectors of length one, so that a cosine is a product; a row of zeros stays one."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(length > 0, length, 1), np.float32)


class Content(ABC):
    """The items of one window, (B, W), and how alike they are.

    Parameters
    ----------
    item : ndarray of int64, shape (B, W)
    valid, known : ndarray of bool, shape (B, W)
        False where the window is padded; false where an item has no content.
    """

    def __init__(self, item: IntArray, valid: BoolArray, known: BoolArray) -> None:
        self.item, self.rows, self.known = item, np.arange(len(item)), Known(valid, known)

    @abstractmethod
    def likeness(self, chosen: IntArray) -> Float32Array:
        """Return how like every candidate is to the one at window position ``chosen`` (B,): (B, W), a new array."""

    @abstractmethod
    def pairs(self) -> Float32Array:
        """Return the likeness of all pairs, (B, W, W)."""


class Vectors(Content):
    """Items compared by the cosine of vectors (n_items + 1, D) of length one."""

    def __init__(self, unit: Float32Array, has_vector: BoolArray, item: IntArray, valid: BoolArray) -> None:
        super().__init__(item, valid, has_vector[item])
        self.unit = unit

    @cached_property
    def vector(self) -> Float32Array:
        """The vectors of the window, (B, W, D); they are gathered when first asked for."""
        return self.unit.take(self.item, axis=0)

    def likeness(self, chosen: IntArray) -> Float32Array:
        """Return the cosines with one candidate of each row."""
        return self.product(self.vector[self.rows, chosen])

    def product(self, direction: Float32Array) -> Float32Array:
        """Return the product of every candidate's vector with a vector (B, D) of its row, (B, W)."""
        return np.asarray(np.matmul(self.vector, direction[:, :, None])[:, :, 0])

    def pairs(self) -> Float32Array:
        """Return the cosines of all pairs."""
        return np.asarray(self.vector @ self.vector.transpose(0, 2, 1))


class Labels(Content):
    """Items compared by the share of the label columns (n_items + 1, C) in which they agree; 0 agrees with nothing."""

    def __init__(self, labels: IntArray, item: IntArray, valid: BoolArray) -> None:
        self.label = labels.take(item, axis=0)
        super().__init__(item, valid, np.asarray((self.label > 0).any(axis=2)))

    def likeness(self, chosen: IntArray) -> Float32Array:
        """Return the shares of columns in which candidates agree with one of their row."""
        mine = self.label[self.rows, chosen][:, None, :]
        return np.asarray(((self.label == mine) & (mine > 0)).mean(axis=2, dtype=np.float32))

    def pairs(self) -> Float32Array:
        """Return the shares of columns in which all pairs agree."""
        agree = np.zeros((*self.item.shape, self.item.shape[1]), np.float32)
        for column in range(self.label.shape[2]):
            label = self.label[:, :, column]
            agree += (label[:, :, None] == label[:, None, :]) & (label > 0)[:, None, :]
        agree /= max(self.label.shape[2], 1)
        return agree


class LabelSets(Content):
    """Items compared by the labels that they share, in columns of several labels each.

    Parameters
    ----------
    labels : ndarray of int64, shape (n_items + 1, C, m)
        Label codes of each item in each column, from the left, then 0.
    """

    def __init__(self, labels: IntArray, item: IntArray, valid: BoolArray) -> None:
        self.label = labels.take(item, axis=0)
        self.size = np.sqrt((self.label > 0).sum(axis=3))
        super().__init__(item, valid, np.asarray((self.size > 0).any(axis=2)))

    def likeness(self, chosen: IntArray, weight: float = 1.0, end: int | None = None) -> Float32Array:
        """Return the mean over columns of the cosine of a candidate's labels and those of one of its row."""
        mine, size = self.label[self.rows, chosen][:, None], self.size[self.rows, chosen][:, None]
        same = (self.label[:, :end, :, :, None] == mine[:, :, :, None, :]) & (mine > 0)[:, :, :, None, :]
        shared = same.sum(axis=(3, 4)) / np.maximum(self.size[:, :end] * size, 1.0)
        return np.asarray(shared.mean(axis=2) * weight, np.float32)

    def pairs(self) -> Float32Array:
        """Return the likeness of all pairs."""
        n_rows, width = self.item.shape
        columns = [self.likeness(np.full(n_rows, place)) for place in range(width)]
        return np.stack(columns, axis=2) if columns else np.zeros((n_rows, 0, 0), np.float32)


class Pairs(Content):
    """Items compared by a matrix (n_items + 1, n_items + 1), dense or sparse, or by a function of ids or codes."""

    def __init__(
        self,
        similarity: Any,
        known: BoolArray | None,
        item: IntArray,
        valid: BoolArray,
        ids: Vocabulary | None = None,
    ) -> None:
        super().__init__(item, valid, np.ones(item.shape, np.bool_) if known is None else known[item])
        self.similarity, self.ids = similarity, ids

    def likeness(self, chosen: IntArray) -> Float32Array:
        """Return what the similarity says of one candidate of each row and all of them."""
        return self._between(self.item[self.rows, chosen][:, None], self.item)

    def pairs(self) -> Float32Array:
        """Return what the similarity says of all pairs."""
        width = self.item.shape[1]
        found = self._between(np.repeat(self.item, width, axis=1), np.tile(self.item, (1, width)))
        return found.reshape(*self.item.shape, width)

    def _between(self, one: IntArray, other: IntArray) -> Float32Array:
        one, flat = np.broadcast_to(one, other.shape).ravel(), other.ravel()
        if callable(self.similarity):
            return self._asked(one, flat).reshape(other.shape)
        # An index of a sparse matrix gives numpy's matrix type: flat again.
        return np.asarray(self.similarity[one, flat], np.float32).reshape(other.shape)

    def _asked(self, one: IntArray, other: IntArray) -> Float32Array:
        """Return what the function says of pairs, (M,)."""
        ids = self.ids
        found = np.asarray(
            self.similarity(one, other)
            if ids is None
            else self.similarity(ids.decode(one), ids.decode(other))
        )
        if found.shape != one.shape or found.dtype.kind not in "biuf" or not np.isfinite(found).all():
            raise ContractError(
                f"found {found.dtype} {found.shape} from the similarity function; expected finite numbers {one.shape}, "
                "one for each pair"
            )
        return found.astype(np.float32)


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

    def note(self, chosen: IntArray, active: BoolArray) -> BoolArray:
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
