"""Allowed and Blocked: lists of items, or flags in the item table."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._configured import Configured
from recokit.data import Candidates, Schema
from recokit.errors import ConfigurationError
from recokit.rules._columns import item_name, numeric_column, require_bound
from recokit.typing import AnyArray, BoolArray

__all__ = ["Allowed", "Blocked"]


class _Listed(Configured):
    """Items by external id, or by a flag column; resolved to one mask by item code."""

    def __init__(self, items: Sequence[Any] | str) -> None:
        if isinstance(items, str):
            item_name(items)
        elif not hasattr(items, "__len__"):
            raise ConfigurationError(
                f"found items={items!r}; expected a list of item ids, or the name of an item column"
            )
        self.items = items

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column, where the list is one."""
        return (item_name(self.items),) if isinstance(self.items, str) else ()

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the items' codes; ids that the catalogue lacks match nothing."""
        bound: Any = copy.copy(self)
        if isinstance(self.items, str):
            bound.listed_ = self._flagged(numeric_column(schema, self.items))
        else:
            bound.listed_ = np.zeros(len(schema.item_ids) + 1, np.bool_)
            bound.listed_[schema.item_ids.encode(list(self.items))] = True
            bound.listed_[0] = False
        return bound

    def _flagged(self, column: AnyArray) -> BoolArray:
        return np.asarray(column > 0)


class Allowed(_Listed):
    """Filter that keeps only the items listed.

    Parameters
    ----------
    items : sequence of ids, or str
        External item ids; or the name of an item column that flags them. A missing flag is not allowed.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> rule = Allowed(data.item_ids.decode([1, 3]).tolist()).bind(data.schema)
    >>> rule.keep(Candidates.from_lists([[1, 2, 3]])).tolist()
    [True, False, True]
    """

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items are listed, (N,) bool."""
        return np.asarray(require_bound(self, "listed_")[candidates.item])


class Blocked(_Listed):
    """Filter that drops the items listed, such as recalled ones (R13).

    Parameters
    ----------
    items : sequence of ids, or str
        External item ids; or the name of an item column that flags them. A missing flag is blocked: unknown is unsafe.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> rule = Blocked(data.item_ids.decode([2]).tolist()).bind(data.schema)
    >>> rule.keep(Candidates.from_lists([[1, 2, 3]])).tolist()
    [True, False, True]
    """

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items are not listed, (N,) bool."""
        return np.asarray(~require_bound(self, "listed_")[candidates.item])

    def _flagged(self, column: AnyArray) -> BoolArray:
        return np.asarray(~(column <= 0))
