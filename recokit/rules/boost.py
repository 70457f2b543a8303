"""Boost, Bury and FreshnessBoost: items that rise or sink, by a bounded number of places."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np

from recokit._kernels.top_k import order_by_score
from recokit._utils.options import above, check_options, shown, whole
from recokit.compose.alone.lists import AloneRule
from recokit.data import Candidates, Schema, seconds
from recokit.data.expression import Condition
from recokit.errors import ConfigurationError
from recokit.rules._groups import LABEL, item_name, numeric_column
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray

_OPTIONS = {"strength": above(0), "max_places": whole(1), "label": LABEL}


class _Moved(AloneRule):
    """A scorer that moves some items by at most so many places. Abstract."""

    strength: float
    max_places: int
    label: str | None = None


class _Chosen(_Moved):
    """Moves the items that a list or a condition names, as far as a column says. Abstract."""

    listed_: BoolArray
    columns_: Mapping[str, AnyArray]
    weight_: Float32Array

    items: Sequence[Any] | str
    by: str | None

    def _set_items(self, items: Sequence[Any] | str, by: str | None) -> None:
        self._condition = Condition(items) if isinstance(items, str) else None
        if self._condition is None and not isinstance(items, Sized):
            raise ConfigurationError(
                f"found items={shown(items)}; expected a list of item ids, or a condition"
            )
        if by is not None:
            item_name(by)
        self.items, self.by = items, by

    @property
    def requires(self) -> tuple[str, ...]:
        """The columns."""
        named = () if self._condition is None else self._condition.requires
        return tuple(dict.fromkeys((*named, *(() if self.by is None else (item_name(self.by),)))))

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the items."""
        bound: Any = copy.copy(self)
        if self._condition is None:
            bound.listed_ = np.zeros(len(schema.item_ids) + 1, np.bool_)
            bound.listed_[schema.item_ids.encode(list(self.items))] = True
            bound.listed_[0] = False
        else:
            bound.columns_ = self._condition.columns(schema)
        if self.by is not None:
            bound.weight_ = np.nan_to_num(np.clip(numeric_column(schema, self.by), 0.0, 1.0)).astype(
                np.float64
            )
        return bound

    def touches(self, candidates: Candidates) -> BoolArray:
        """Tell which items are moved, (N,) bool: those for which the condition holds for sure."""
        if self._condition is None:
            touched = np.asarray(self.listed_[candidates.item])
        else:
            columns: Any = self.columns_
            touched = self._condition.of_candidates(columns, candidates).certain
        return touched & (self._weight(candidates) > 0)

    def _weight(self, candidates: Candidates) -> FloatArray:
        if self.by is None:
            return np.ones(len(candidates))
        return np.asarray(self.weight_[candidates.item])


class Boost(_Chosen):
    """Scorer that raises some items by a share of the row's range of scores, at most so many places.

    Whoever pays for a place, or has an interest in it, must be seen: items that a boost touches carry its label in the
    end, or are dropped. Hand the boost to :class:`Disclose` for that; a pipeline without it is refused. It stands
    after the ranker: what has no score is not moved.

    Parameters
    ----------
    items : sequence of ids, or str
        External item ids, or a condition as :class:`Where` reads it, such as ``"item.margin > 0.3"``. Where it is not
        known whether it holds, there is no boost.
    strength : float, default 0.1
        What is added to the score, as a share of the difference between the row's best and worst score; above 0.
    max_places : int, default 5
        No item rises, and none that others pass sinks, by more places than that.
    by : str, optional
        Item column from 0 to 1 that scales the strength, such as the margin; outside values are clipped, missing ones
        0.
    label : str, default "boosted"
        The label that touched items carry.

    Raises
    ------
    ConfigurationError
        If an option is out of range, the condition cannot be read, or there is no such column.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> boost = Boost(data.item_ids.decode([4]).tolist(), strength=1.0, max_places=2).bind(data.schema)
    >>> batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.9, 0.8, 0.7, 0.1]])
    >>> batch.item[np.argsort(-boost.score(batch))].tolist()
    [1, 4, 2, 3]
    """

    def __init__(
        self,
        items: Sequence[Any] | str,
        *,
        strength: float = 0.1,
        max_places: int = 5,
        by: str | None = None,
        label: str = "boosted",
    ) -> None:
        self._set_items(items, by)
        self.strength, self.max_places, self.label = strength, max_places, label
        check_options(self, _OPTIONS)

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the scores, those of touched items raised, (N,) float32."""
        bonus = np.where(self.touches(candidates), self.strength * self._weight(candidates), 0.0)
        return moved(candidates, bonus, self.max_places, up=True)


class Bury(_Chosen):
    """Scorer that lowers some items by a share of the row's range of scores, at most so many places.

    Parameters
    ----------
    items, strength, max_places, by
        See :class:`Boost`. Where it is not known whether a condition holds, nothing is buried.

    Raises
    ------
    ConfigurationError
        If an option is out of range, the condition cannot be read, or there is no such column.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> bury = Bury(data.item_ids.decode([1]).tolist(), strength=1.0, max_places=2).bind(data.schema)
    >>> batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.9, 0.8, 0.7, 0.1]])
    >>> batch.item[np.argsort(-bury.score(batch))].tolist()
    [2, 3, 1, 4]
    """

    def __init__(
        self, items: Sequence[Any] | str, *, strength: float = 0.1, max_places: int = 5, by: str | None = None
    ) -> None:
        self._set_items(items, by)
        self.strength, self.max_places = strength, max_places
        check_options(self, _OPTIONS)

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the scores, those of touched items lowered, (N,) float32."""
        malus = np.where(self.touches(candidates), self.strength * self._weight(candidates), 0.0)
        return moved(candidates, malus, self.max_places, up=False)


class FreshnessBoost(_Moved):
    """Scorer that raises new items, less with every day, at most so many places.

    Parameters
    ----------
    column : str, default "launched_at"
        Item column with the time of launch, seconds since 1970. Unknown times and those to come are not new.
    window : duration, default "14D"
        How long an item is new. The bonus falls evenly from ``strength`` to 0 over it.
    strength, max_places
        See :class:`Boost`.
    label : str, default "new"
        The label that new items carry.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or there is no such column.

    Examples
    --------
    >>> from recokit.data import Requests
    >>> from recokit.testing import toy_dataset
    >>> rule = FreshnessBoost().bind(toy_dataset().schema)
    >>> rule.touches(Candidates.from_lists([[1, 2]], requests=Requests.build(np.array([1]), now=0.0))).tolist()
    [False, False]
    """

    launched_: FloatArray

    def __init__(
        self,
        column: str = "launched_at",
        *,
        window: str | float = "14D",
        strength: float = 0.1,
        max_places: int = 5,
        label: str = "new",
    ) -> None:
        item_name(column)
        seconds(window)
        self.column, self.window, self.label = column, window, label
        self.strength, self.max_places = strength, max_places
        check_options(self, _OPTIONS)

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column."""
        return (item_name(self.column),)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the times."""
        bound: Any = copy.copy(self)
        bound.launched_ = numeric_column(schema, self.column).astype(np.float64)
        return bound

    def touches(self, candidates: Candidates) -> BoolArray:
        """Tell which items are new, (N,) bool."""
        return self._newness(candidates) > 0

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the scores, those of new items raised, (N,) float32."""
        return moved(candidates, self.strength * self._newness(candidates), self.max_places, up=True)

    def _newness(self, candidates: Candidates) -> FloatArray:
        age = candidates.now - self.launched_[candidates.item]
        return np.asarray(np.where(age >= 0, np.maximum(1.0 - age / seconds(self.window), 0.0), 0.0))


def moved(candidates: Candidates, by: FloatArray, max_places: int, *, up: bool) -> Float32Array:
    """Return scores changed by shares of each row's range, such that nothing moves by more than ``max_places``.

    A raised score stays below that of the item ``max_places + 1`` above. So an item rises by at most ``max_places``,
    and is passed by at most so many items below it; sinking is the mirror of that. What is not finite stays.
    """
    score, row = candidates.score, candidates.row
    finite = np.isfinite(score)
    if not finite.any() or not by.any():
        return score
    high, low = np.full(candidates.n_rows, -np.inf), np.full(candidates.n_rows, np.inf)
    np.maximum.at(high, row[finite], score[finite])
    np.minimum.at(low, row[finite], score[finite])
    spread = np.where(high > low, high - low, 1.0)
    order = order_by_score(row, score)  # what is not finite comes last
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    first = candidates.offsets[row]
    end = first + np.bincount(row[finite], minlength=candidates.n_rows)[row]
    there = place - max_places - 1 if up else place + max_places + 1
    bounded = (there >= first) & (there < end)
    sign = np.float32(1 if up else -1)
    neighbour = sign * score[order[np.where(bounded, there, 0)]]
    limit = np.where(bounded, np.nextafter(neighbour, np.float32(-np.inf)), np.float32(np.inf))
    mine = sign * score
    lifted = np.minimum((mine + by * spread[row]).astype(np.float32), limit)
    return np.asarray(np.where(finite & (by > 0), sign * np.maximum(mine, lifted), score), np.float32)
