"""Policies: their random numbers, the share of a choice, and the objective that they depart from."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit._kernels.hashing import mix, uniform
from recokit._utils.options import whole
from recokit._utils.params import Configured
from recokit.data import Schema, Window
from recokit.errors import ConfigurationError
from recokit.protocols import DrawsAtRandom, Role, bound, role_of, traits_of
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, UInt64Array

#: The rule of the option that all policies have.
POOL = {"pool": whole(1)}


@dataclass(frozen=True, eq=False)
class Draws:
    """Random numbers of a window, by the request's seed, the place and the item.

    Parameters
    ----------
    seed : ndarray of uint64, shape (B,)
    item : ndarray of int64, shape (B, W)
    place : ndarray of int64, shape (B,)
        Places that each row has filled. Each has numbers of its own, independent of those of other places, so the
        probability of a choice given those before it depends on nothing but its own draw.
    """

    seed: UInt64Array
    item: IntArray
    place: IntArray

    @classmethod
    def of(cls, window: Window) -> Draws:
        """Return the numbers of a window's first place."""
        batch = window.candidates
        row = np.zeros(len(window.valid), np.int64)
        if len(batch) and window.index.shape[1]:
            row = batch.row[window.index[:, 0]]  # a window may show some rows of its batch only
        seed = batch.requests.seed[row] if len(batch.requests) else np.zeros(len(row), np.uint64)
        return cls(seed, window_items(window), np.zeros(len(row), np.int64))

    def each(self, stream: int) -> FloatArray:
        """Return one number in (0, 1) for each candidate, (B, W)."""
        seed = np.repeat(_at_place(self.seed, self.place), self.item.shape[1])
        return uniform(seed, self.item.ravel(), stream).reshape(self.item.shape)

    def row(self, stream: int) -> FloatArray:
        """Return one number in (0, 1) for each row, (B,)."""
        return row_draws(self.seed, self.place, stream)

    def after(self, active: BoolArray) -> Draws:
        """Return the numbers of the next place, in rows that filled one."""
        return replace(self, place=self.place + active)


def row_draws(seed: UInt64Array, place: IntArray, stream: int) -> FloatArray:
    """Return one number in (0, 1) for each pair of a row's seed and a place from 0, (M,)."""
    return uniform(_at_place(seed, place), np.zeros(len(seed), np.int64), stream)


def _at_place(seed: UInt64Array, place: IntArray) -> UInt64Array:
    return mix(seed ^ mix(place.astype(np.uint64)))


def window_items(window: Window) -> IntArray:
    """Return the item code of each candidate of a window, (B, W)."""
    return window.candidates.item[window.index] if len(window.candidates) else window.index


def gumbel(uniform_draws: FloatArray) -> FloatArray:
    """Return standard Gumbel noise: the largest of ``log(weight) + noise`` is each item in proportion to its weight."""
    return np.asarray(-np.log(-np.log(uniform_draws)))


def share_of_allowed(log_weight: FloatArray, chosen: IntArray, allowed: BoolArray) -> FloatArray:
    """Return the weight of the chosen candidate over that of all allowed ones, (B,)."""
    masked = np.where(allowed, log_weight, -np.inf)
    top = masked.max(axis=1, initial=-np.inf)
    safe = np.where(np.isfinite(top), top, 0.0)
    total = np.exp(masked - safe[:, None]).sum(axis=1)
    mine = np.exp(log_weight[np.arange(len(chosen)), chosen] - safe)
    return np.asarray(np.divide(mine, total, out=np.zeros_like(total), where=total > 0))


class _ByScore(Configured):
    """The ranker's order, for a policy that departs from no other objective."""

    def start(self, window: Window) -> Float32Array:
        """Return the relevance."""
        return window.relevance

    def gain(self, state: Float32Array) -> Float32Array:
        """Return the relevance."""
        return state

    def update(self, state: Float32Array, chosen: IntArray, active: BoolArray) -> Float32Array:
        """Return the relevance."""
        return state


def checked_objective(objective: Any) -> Any:
    """Return an objective that does not draw itself, or None.

    Raises
    ------
    ConfigurationError
        If it is something else.
    """
    if objective is not None and (
        role_of(objective) is not Role.OBJECTIVE or isinstance(objective, DrawsAtRandom)
    ):
        raise ConfigurationError(
            f"found {objective!r} as objective; expected one that does not draw itself, such as diversity.MMR()"
        )
    return objective


class Policy(Configured):
    """An objective that draws. Abstract."""

    provides = ("propensity",)
    pool: int


@dataclass(frozen=True, eq=False)
class AroundState:
    """The draws of a policy, and the state and gains of the objective that it departs from."""

    draws: Draws
    inner: Any
    base: AnyArray


class Around(Policy):
    """A policy that departs from an objective, the ranker's order by default. Abstract."""

    objective: Any

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the objective requires."""
        return traits_of(self.objective).requires

    @property
    def _base(self) -> Any:
        return _ByScore() if self.objective is None else self.objective

    def bind(self, schema: Schema) -> Any:
        """Return a copy with the objective bound."""
        twin: Any = copy.copy(self)
        twin.objective = bound(self.objective, schema)
        return twin

    def start(self, window: Window) -> Any:
        """Return the state before the first choice."""
        inner = self._base.start(window)
        return AroundState(Draws.of(window), inner, self._base.gain(inner))

    def update(self, state: Any, chosen: IntArray, active: BoolArray) -> Any:
        """Return the state after each active row chose a candidate."""
        inner = self._base.update(state.inner, chosen, active)
        return AroundState(state.draws.after(active), inner, self._base.gain(inner))
