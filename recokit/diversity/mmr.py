"""MMR: maximal marginal relevance."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._configured import Configured
from recokit.data import Schema, Window
from recokit.errors import ConfigurationError, ContractError, NotFittedError
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

__all__ = ["MMR"]


@dataclass(frozen=True, eq=False)
class _State:
    """Items of the window, weighted relevance (B, W), and likeness to the nearest item chosen, once there is one."""

    content: AnyArray
    relevance: Float32Array
    nearest: Float32Array | None


class MMR(Configured):
    """Objective of maximal marginal relevance (Carbonell and Goldstein, 1998).

    The next item of a list has the largest ``t * relevance - (1 - t) * likeness``: its relevance is the ranker's score
    scaled to 0..1 within the row, its likeness that to the most similar item already chosen.

    Parameters
    ----------
    trade_off : float, default 0.7
        ``t``: 1 is relevance alone, 0 difference alone.
    vectors : ndarray of float, shape (n_items + 1, D), optional
        Likeness is the cosine of these. A row of zeros is an item without a vector: it is like nothing.
    columns : sequence of str, optional
        Without vectors, likeness is the share of these categorical item columns in which two items agree; a missing
        value agrees with nothing. All categorical columns by default.
    pool : int, default 100
        The list is chosen from so many candidates with the best scores; more only where limits leave it short.

    Raises
    ------
    ConfigurationError
        If an option is out of range, both vectors and columns are given, or there is nothing to compare by.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> vectors = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.9, 0.8, 0.5]])
    >>> batch.item[select(batch, np.array([2]), objective=MMR(0.5, vectors=vectors)).index].tolist()
    [1, 3]
    """

    def __init__(
        self,
        trade_off: float = 0.7,
        *,
        vectors: AnyArray | None = None,
        columns: Sequence[str] | None = None,
        pool: int = 100,
    ) -> None:
        if not 0 <= trade_off <= 1:
            raise ConfigurationError(f"found trade_off={trade_off}; expected 0 to 1")
        if vectors is not None and columns is not None:
            raise ConfigurationError(
                "found both vectors and columns; expected one of them to compare items by"
            )
        if vectors is not None and (vectors.ndim != 2 or not np.isfinite(vectors).all()):
            raise ConfigurationError(
                f"found vectors of shape {vectors.shape}; expected finite ones of shape (n_items + 1, D)"
            )
        if pool < 1:
            raise ConfigurationError(f"found pool={pool}; expected at least 1")
        self.trade_off, self.vectors, self.columns, self.pool = trade_off, vectors, columns, pool
        if vectors is not None:
            # Unit length once: cosine is then a product. A row of zeros stays one.
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            self.unit_ = (vectors / np.where(length > 0, length, 1)).astype(np.float32)

    @property
    def requires(self) -> tuple[str, ...]:
        """The item columns named."""
        return tuple(f"item.{name.removeprefix('item.')}" for name in self.columns or ())

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the labels to compare items by."""
        bound: Any = copy.copy(self)
        if self.vectors is not None:
            if len(self.vectors) != len(schema.item_ids) + 1:
                raise ConfigurationError(
                    f"found vectors for {len(self.vectors)} item codes; expected {len(schema.item_ids) + 1}, "
                    "row 0 for unknown items"
                )
            return bound
        names = self.columns if self.columns is not None else tuple(schema.items.categorical)
        if not names:
            raise ConfigurationError(
                "found neither vectors nor a categorical item column; expected something to compare items by; "
                "hint: MMR(vectors=...)"
            )
        bound.labels_ = np.stack([schema.item_column(name).astype(np.int64) for name in names], axis=1)
        return bound

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        if hasattr(self, "unit_"):
            content = self.unit_
        elif hasattr(self, "labels_"):
            content = self.labels_
        else:
            raise NotFittedError(
                "found MMR before bind; expected a fitted pipeline around it, vectors=, or bind(schema)"
            )
        item = window.candidates.item[window.index] if len(window.candidates) else window.index
        if item.size and item.max() >= len(content):
            raise ContractError(f"found item code {item.max()}; expected at most {len(content) - 1}")
        relevance = np.float32(self.trade_off) * window.relevance
        return _State(content[item], relevance, None)

    def gain(self, state: _State) -> Float32Array:
        """Return ``t * relevance - (1 - t) * likeness``, (B, W)."""
        if state.nearest is None:
            return state.relevance
        return np.asarray(state.relevance - np.float32(1 - self.trade_off) * state.nearest)

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        picked = state.content[np.arange(len(chosen)), chosen]
        if state.content.dtype.kind == "f":
            likeness = np.matmul(state.content, picked[:, :, None])[:, :, 0]
        else:
            same = (state.content == picked[:, None, :]) & (picked > 0)[:, None, :]
            likeness = same.mean(axis=2, dtype=np.float32)
        before = np.zeros_like(state.relevance) if state.nearest is None else state.nearest
        closer = likeness if state.nearest is None else np.maximum(before, likeness)
        return _State(state.content, state.relevance, np.where(active[:, None], closer, before))
