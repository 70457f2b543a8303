"""DPP: determinantal point process, greedy maximum a posteriori."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recokit._kernels.slate_arrays import Kind
from recokit.data import Window
from recokit.diversity._content import Content, Vectors
from recokit.diversity._similarity import GainState, Incremental, weighted
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

#: What is left of a variance of one when nothing is left: float32 knows no less.
FLOOR = np.float32(1e-6)
#: A length to divide by where there is none: zeros stay zeros.
_TINY = 1e-100


class _Factor(ABC):
    """Cholesky factor of the chosen items' likeness, row by row, seen from every candidate."""

    def __init__(self) -> None:
        self.rows: list[AnyArray] = []

    @property
    def before(self) -> AnyArray:
        """The rows so far, (B, S, n)."""
        return np.stack(self.rows, axis=1)

    @abstractmethod
    def next(self, chosen: IntArray, adds: BoolArray, left: Float32Array) -> Float32Array:
        """Return the entries of all candidates (B, W) in the row of the factor that a choice adds.

        ``adds`` (B,) is False where it adds nothing: the row is 0. ``left`` (B,) is the choice's own variance.
        """


class _Products(_Factor):
    """Chen, Zhang and Zhou's incremental rows, for any likeness."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self.content = content

    def next(self, chosen: IntArray, adds: BoolArray, left: Float32Array) -> Float32Array:
        entry = self.content.likeness(chosen)
        if self.rows:
            mine = self.before[self.content.rows, :, chosen]
            entry -= np.matmul(mine[:, None, :], self.before)[:, 0]
        entry *= (adds / np.sqrt(np.maximum(left, FLOOR)))[:, None]
        self.rows.append(entry)
        return entry


class _Directions(_Factor):
    """The same rows for vectors: products with what is new in the chosen one's vector, at the price of one product."""

    def __init__(self, content: Vectors) -> None:
        super().__init__()
        self.content = content

    def next(self, chosen: IntArray, adds: BoolArray, left: Float32Array) -> Float32Array:
        new = self.content.vector[self.content.rows, chosen].astype(np.float64)
        if self.rows:
            new -= (np.matmul(self.before, new[:, :, None]).transpose(0, 2, 1) @ self.before)[:, 0]
        length = np.sqrt(np.einsum("bd,bd->b", new, new))
        new *= (adds / np.maximum(length, _TINY))[:, None]
        self.rows.append(new)
        return self.content.product(new.astype(np.float32))


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
    vectors, columns, similarity, pool, codes
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

    kernel: ClassVar[Kind] = "dpp"

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        content = self.content(window)
        factor = _Directions(content) if isinstance(content, Vectors) else _Products(content)
        relevance = weighted(self.trade_off, window.relevance)
        return _State(content, relevance, relevance.copy(), left=np.ones_like(relevance), factor=factor)

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        counted = state.content.known.note(chosen, active)
        variance = state.left[state.content.rows, chosen]
        np.subtract(
            state.left,
            np.square(state.factor.next(chosen, counted & (variance > FLOOR), variance)),
            out=state.left,
        )
        weight = np.float32(1 - self.trade_off)
        state.gain[:] = state.relevance + weight * np.log(np.maximum(state.left, FLOOR))
        return state
