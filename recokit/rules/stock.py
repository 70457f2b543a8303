"""InStock: only items known to be available."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from recokit._configured import Configured
from recokit.data import Candidates, Live, Schema
from recokit.errors import ConfigurationError, ContractError
from recokit.rules._columns import item_name, numeric_column, require_bound
from recokit.typing import AnyArray, BoolArray

__all__ = ["InStock"]


class InStock(Configured):
    """Filter of items out of stock (R11): unknown means out.

    Parameters
    ----------
    stock : ndarray (n_items + 1,), Live of one, callable, or str
        Units, or a flag, by item code; a callable gets item codes (N,) and returns (N,); a name is a column of the item
        table. An item is in stock where the value is above 0; missing, NaN, zero and negative values are out.

    Raises
    ------
    ConfigurationError
        If ``stock`` is none of these, or there is no such column.

    Notes
    -----
    Stock is today's: the rule is ``live`` and left out when training looks back.

    Examples
    --------
    >>> batch = Candidates.from_lists([[1, 2, 3]])
    >>> InStock(np.array([0.0, 5.0, 0.0, np.nan])).keep(batch).tolist()
    [True, False, False]
    """

    live = True

    def __init__(self, stock: AnyArray | Live[AnyArray] | Callable[[AnyArray], AnyArray] | str) -> None:
        if isinstance(stock, str):
            item_name(stock)
        elif not isinstance(stock, np.ndarray | Live) and not callable(stock):
            raise ConfigurationError(
                f"found stock of type {type(stock).__name__}; "
                "expected an array by item code, Live, a callable, or the name of an item column"
            )
        self.stock = stock

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column, where stock is one."""
        return (item_name(self.stock),) if isinstance(self.stock, str) else ()

    def bind(self, schema: Schema) -> Any:
        """Return a copy that reads its column."""
        bound: Any = copy.copy(self)
        if isinstance(self.stock, str):
            bound.stock_ = numeric_column(schema, self.stock)
        return bound

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items are in stock, (N,) bool.

        Raises
        ------
        ContractError
            If the stock is not one value for each item.
        """
        units = self._units(candidates)
        return np.asarray(units > 0)

    def _units(self, candidates: Candidates) -> Any:
        if isinstance(self.stock, str):
            return require_bound(self, "stock_")[candidates.item]
        stock: Any = candidates.requests.read(self.stock)
        if isinstance(stock, np.ndarray):
            if stock.ndim != 1 or (len(candidates) and candidates.item.max() >= len(stock)):
                raise ContractError(
                    f"found stock of shape {stock.shape} and item code {candidates.item.max()}; "
                    "expected one value for each item code, row 0 for unknown items"
                )
            return stock[candidates.item]
        units = np.asarray(stock(candidates.item), np.float64)
        if units.shape != (len(candidates),):
            raise ContractError(
                f"found stock of shape {units.shape}; expected ({len(candidates)},), one for each item"
            )
        return units
