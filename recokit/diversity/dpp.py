"""DPP: determinantal point process, greedy maximum a posteriori."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit.data import Window
from recokit.diversity._content import Content, Vectors
from recokit.diversity._similarity import Front, GainState, Incremental, weighted
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

#: What is left of a variance of one when nothing is left: float32 knows no less.
FLOOR = np.float32(1e-6)
#: A length to divide by where there is none: zeros stay zeros.
_TINY = 1e-100


class _Stack:
    """Arrays (B, n) of one shape, one for each choice, as one array (B, S, n) that doubles when it is full."""

    def __init__(self, n_rows: int, n: int, dtype: Any) -> None:
        self._array, self._used = np.zeros((n_rows, 16, n), dtype), 0

    @property
    def all(self) -> AnyArray:
        return self._array[:, : self._used]

    def push(self, part: AnyArray) -> None:
        if self._used == self._array.shape[1]:
            self._array = np.concatenate([self._array, np.zeros_like(self._array)], axis=1)
        self._array[:, self._used] = part
        self._used += 1


class _Factor(ABC):
    """Cholesky factor of the chosen items' likeness, row by row, seen from every candidate."""

    @abstractmethod
    def next(self, chosen: IntArray, adds: BoolArray, left: Float32Array, end: int) -> Float32Array:
        """Return the entry of the first ``end`` candidates (B, end) in the row of the factor that a choice adds.

        ``adds`` (B,) is False where it adds nothing: the row is 0. ``left`` (B,) is the choice's own variance.
        """

    @abstractmethod
    def all(self, part: slice) -> Float32Array:
        """Return the entries (B, n, S) of a range of candidates in all rows so far."""


class _Products(_Factor):
    """Chen, Zhang and Zhou's incremental rows, for any likeness."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.stack = _Stack(len(content.item), content.item.shape[1], np.float32)

    def next(self, chosen: IntArray, adds: BoolArray, left: Float32Array, end: int) -> Float32Array:
        before = self.stack.all
        mine = before[self.content.rows, :, chosen]
        entry = self.content.likeness(chosen) - np.matmul(mine[:, None, :], before)[:, 0]
        entry *= (adds / np.sqrt(np.maximum(left, FLOOR)))[:, None]
        self.stack.push(entry)
        return np.asarray(entry[:, :end])

    def all(self, part: slice) -> Float32Array:
        return np.asarray(self.stack.all[:, :, part].transpose(0, 2, 1))


class _Directions(_Factor):
    """The same rows for vectors: products with what is new in the chosen one's vector, at the price of one product."""

    def __init__(self, content: Vectors) -> None:
        self.content = content
        self.stack = _Stack(len(content.item), content.dimensions, np.float64)

    def next(self, chosen: IntArray, adds: BoolArray, left: Float32Array, end: int) -> Float32Array:
        before = self.stack.all
        new = self.content.at(chosen).astype(np.float64)
        new -= (np.matmul(before, new[:, :, None]).transpose(0, 2, 1) @ before)[:, 0]
        length = np.sqrt(np.einsum("bd,bd->b", new, new))
        new *= (adds / np.maximum(length, _TINY))[:, None]
        self.stack.push(new)
        return self.content.product(new.astype(np.float32), end)

    def all(self, part: slice) -> Float32Array:
        directions = self.stack.all.astype(np.float32).transpose(0, 2, 1)
        return np.asarray(np.matmul(self.content.vector(part), directions))


@dataclass(frozen=True, eq=False)
class _State(GainState):
    """Also what is left of each candidate's variance, (B, W), and the rows of the factor so far."""

    left: Float32Array
    factor: _Factor


class DPP(Incremental):
    """Objective of a determinantal point process: greedy MAP by an incremental Cholesky factor (Chen et al., 2018).

    A list is worth ``t * sum of relevance + (1 - t) * log det(S)``, with S the likeness of its items: the volume that
    their vectors span. The next item is the one that adds most to it. It is the greedy MAP of the kernel
    ``q_i q_j S_ij`` with ``q = exp(t / (2 (1 - t)) * relevance)``.

    Parameters
    ----------
    trade_off : float, default 0.7
        ``t``: 1 is relevance alone, 0 difference alone. Chen et al. call it theta.
    vectors, columns, similarity, pool
        As for :class:`MMR`. A similarity has to be symmetric and positive semi-definite to mean a volume; where it is
        not, variances below 1e-6 count as that.

    Raises
    ------
    ConfigurationError
        If an option is out of range, more than one thing to compare by is given, or there is none.

    Notes
    -----
    Where nothing new is left, such as beyond D items of D-dimensional vectors, the list goes on by relevance. An item
    without a vector, or without any label, is neither favoured nor punished: the mean of the row's other candidates
    stands for what it adds. What is chosen without one says nothing about the others.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> vectors = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.9, 0.8, 0.5]])
    >>> batch.item[select(batch, np.array([2]), objective=DPP(0.5, vectors=vectors)).index].tolist()
    [1, 3]
    """

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        content = self.content(window)
        factor = _Directions(content) if isinstance(content, Vectors) else _Products(content)
        relevance = weighted(self.trade_off, window.relevance)
        front = Front(relevance.shape[1])
        left = np.ones_like(relevance)
        return _State(content, relevance, relevance.copy(), front, left=left, factor=factor)

    def start_bounded(self, window: Window) -> _State:
        """Return a state in which only the gains of the best candidates are kept exact."""
        state = self.start(window)
        state.front.allow_bounds(state.content)
        return state

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        counted = state.content.known.note(chosen, active)
        variance = state.left[state.content.rows, chosen]
        entry = state.factor.next(chosen, counted & (variance > FLOOR), variance, state.front.end)
        entry *= entry
        self._take(state, slice(0, state.front.end), entry)
        return state

    def settle(self, state: _State, chosen: IntArray) -> bool:
        """Make the gains at window positions (B,) exact; tell whether any was not."""
        if state.front.holds(chosen):
            return False
        new = state.front.grow(chosen)
        self._take(state, new, np.square(state.factor.all(new)).sum(axis=2))
        return True

    def _take(self, state: _State, part: slice, variance: Float32Array) -> None:
        """Take so much variance (B, n) from a range of candidates."""
        left, gain = state.left[:, part], state.gain[:, part]
        left -= variance
        np.log(np.maximum(left, FLOOR), out=gain)
        gain *= np.float32(1 - self.trade_off)
        gain += state.relevance[:, part]
