"""Asked: items that meet the condition of the request's own query."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from recokit.compose.alone.lists import AloneRule
from recokit.data import Candidates, Schema
from recokit.data.context import WHERE
from recokit.data.search import ItemConditions, texts_of
from recokit.errors import NotFittedError
from recokit.typing import BoolArray


class Asked(AloneRule):
    """Filter of items that meet the condition of the request's query; without a condition all do.

    The condition is the context column ``query_where``, an expression on items as :class:`Where` has it. It comes with
    the call (``recommend(query=parse("red shoes below 50"))``) or from :class:`recokit.text.ParseQuery` before it.
    What is unknown of an item is out, and so is every item of a row whose condition cannot be read.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> from recokit.data.search import SearchQuery
    >>> pipeline = rk.Pipeline([candidates.Popular(half_life=None), Asked()]).fit(rk.testing.toy_dataset())
    >>> query = SearchQuery("cheap", where="item.price < 5")
    >>> len(pipeline.recommend([None, None], k=30, query=[query, None], now=2e9).ids(1))
    30
    """

    requires = (f"context.{WHERE}",)
    _conditions: ItemConditions | None = None

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the item columns."""
        bound: Any = copy.copy(self)
        bound._conditions = ItemConditions(schema)
        return bound

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items meet their row's condition for sure, (N,) bool.

        Raises
        ------
        DataError
            If a condition cannot be read: in a pipeline that row fails.
        NotFittedError
            Before ``bind``.
        """
        kept = np.ones(len(candidates), np.bool_)
        for row, where in enumerate(texts_of(candidates.requests, WHERE)):
            if where:
                if self._conditions is None:
                    raise NotFittedError("found Asked before bind; expected it in a fitted pipeline")
                first, last = candidates.offsets[row], candidates.offsets[row + 1]
                kept[first:last] = self._conditions.mask(where)[candidates.item[first:last]]
        return kept
