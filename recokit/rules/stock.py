"""InStock: only items known to be available."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._utils.calls import require_takes
from recokit._utils.params import is_fitted
from recokit.compose.alone.lists import AloneRule
from recokit.data import Candidates, Live, Schema, Vocabulary, seconds
from recokit.data.by_id import by_code, is_by_id
from recokit.errors import ConfigurationError, ContractError, DataError
from recokit.rules._groups import item_name, numeric_column
from recokit.typing import AnyArray, BoolArray

if TYPE_CHECKING:
    from recokit._utils.resilience.dependency import Dependency


class InStock(AloneRule):
    """Filter of items out of stock: unknown means out.

    Parameters
    ----------
    stock : mapping, Series, ndarray (n_items + 1,), Live of one, callable, or str
        Units, or a flag: by external item id as a mapping or a pandas Series with the ids as its index; by item code as
        an array with row 0 for unknown items; a callable gets item ids (N,) and returns (N,); a name is a column of the
        item table. An item is in stock where the value is above 0; missing, NaN, zero and negative values are out.
    max_age : duration, optional
        What was known longer ago than that before the request, such as ``"1h"``, is not known: the item is out.
    updated_at : mapping, Series, ndarray (n_items + 1,), Live of one, optional
        When each value was known, seconds since 1970; for a column, the item table's own ``updated_at`` by default.
    timeout : float, optional
        Seconds to wait for a callable, at most what is left of the request's budget; by default it is called as it is.
    codes : bool, default False
        Whether a callable gets item codes. Used without a pipeline, which would bind it, it gets them anyway.

    Raises
    ------
    ConfigurationError
        If ``stock`` is none of these, there is no such column, an array has not one value for each item, or an age is
        bounded where nothing says how old a value is.

    Notes
    -----
    Stock is today's: the rule is ``live`` and left out when training looks back. A source that raises, or does not
    answer in time, fails the request: nothing is shown whose stock is not known.

    Examples
    --------
    >>> batch = Candidates.from_lists([[1, 2, 3]])
    >>> InStock(np.array([0.0, 5.0, 0.0, np.nan])).keep(batch).tolist()
    [True, False, False]
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> InStock({101: 5, 103: 0}).bind(data.schema).keep(batch).tolist()
    [True, False, False]
    """

    stock_: AnyArray

    live = True
    #: What ``bind`` knows: the number of item codes, and when a column's values were known.
    n_codes_: int | None = None
    updated_: AnyArray | None = None
    #: Only where something is to be translated, now or with the next value.
    item_ids_: Vocabulary

    def __init__(
        self,
        stock: Any,
        *,
        max_age: str | float | None = None,
        updated_at: Any = None,
        timeout: float | None = None,
        codes: bool = False,
    ) -> None:
        if isinstance(stock, str):
            item_name(stock)
        elif not (isinstance(stock, np.ndarray | Live) or is_by_id(stock) or callable(stock)):
            raise ConfigurationError(
                f"found stock of type {type(stock).__name__}; expected a mapping or Series by item id, an array by "
                "item code, Live, a callable, or the name of an item column"
            )
        if max_age is not None:
            _check_age(max_age)
        if (updated_at is not None) != (max_age is not None) and not isinstance(stock, str):
            raise ConfigurationError(
                f"found max_age={max_age!r} with updated_at of type {type(updated_at).__name__}; expected both or none"
            )
        if callable(stock) and not isinstance(stock, str | np.ndarray | Live) and not is_by_id(stock):
            require_takes(stock, "items")
        asks = not (isinstance(stock, str | np.ndarray | Live) or is_by_id(stock))
        if timeout is not None and not (asks and timeout > 0):
            raise ConfigurationError(f"found timeout={timeout}; expected seconds above 0, with a callable")
        self.stock, self.max_age, self.updated_at, self.timeout = stock, max_age, updated_at, timeout
        self.codes = codes
        self._dependency: Dependency | None = None
        self._converted: dict[str, tuple[Any, AnyArray]] = {}

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column, where stock is one."""
        return (item_name(self.stock),) if isinstance(self.stock, str) else ()

    def bind(self, schema: Schema) -> Any:
        """Return a copy that reads its column."""
        bound: Any = copy.copy(self)
        n_codes = len(schema.item_ids) + 1
        for name, values in (("stock", self.stock), ("updated_at", self.updated_at)):
            if isinstance(values, np.ndarray) and values.shape != (n_codes,):
                raise ConfigurationError(
                    f"found {name} of shape {values.shape}; expected ({n_codes},), row 0 for unknown items"
                )
        bound.n_codes_, bound._converted = n_codes, {}
        for name, values in (("stock", self.stock), ("updated_at", self.updated_at)):
            current = values.pin()[1] if isinstance(values, Live) else values
            if is_by_id(current):  # ids of the wrong kind are found now, not by the first request
                by_code(current, schema.item_ids, name)
            if values is not None and not isinstance(values, str | np.ndarray):
                bound.item_ids_ = schema.item_ids
        if isinstance(self.stock, str):
            bound.stock_ = numeric_column(schema, self.stock)
            if self.max_age is not None and self.updated_at is None:
                if schema.items.updated_at is None:
                    raise ConfigurationError(
                        f"found max_age={self.max_age!r} and items without updated_at; "
                        "expected that column, or updated_at="
                    )
                bound.updated_ = schema.items.updated_at
        return bound

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items are in stock, (N,) bool.

        Raises
        ------
        ContractError
            If the stock is not one value for each item.
        """
        units = self._units(candidates)
        with np.errstate(invalid="ignore"):
            available = np.asarray(units > 0)
        if self.max_age is None:
            return available
        updated: Any = self.updated_
        if updated is None:
            updated = self._current("updated_at", self.updated_at, candidates)
        age = candidates.now - self._by_item(updated, "updated_at", candidates)
        return np.asarray(available & (age <= seconds(self.max_age)))

    def _units(self, candidates: Candidates) -> Any:
        if isinstance(self.stock, str):
            return self.stock_[candidates.item]
        stock: Any = self._current("stock", self.stock, candidates)
        if isinstance(stock, np.ndarray) or not callable(stock):
            return self._by_item(stock, "stock", candidates)
        units = np.asarray(self._units_of_items(stock, candidates), np.float64)
        if units.shape != (len(candidates),):
            raise ContractError(
                f"found stock of shape {units.shape}; expected ({len(candidates)},), one for each item"
            )
        return units

    def _current(self, name: str, values: Any, candidates: Candidates) -> Any:
        """Return values as of this run; those by id as values by code, converted once for each version."""
        pinned: Any = (0, values)
        if isinstance(values, Live):
            pinned = candidates.requests.pinned.get(id(values), values.pin())
        version, current = pinned
        if not is_by_id(current):
            return current
        converted = self._converted.get(name)
        if converted is None or converted[0] != version:
            ids: Any = self.item_ids_
            converted = self._converted[name] = (version, by_code(current, ids, name))
        return converted[1]

    def _units_of_items(self, stock: Callable[[AnyArray], AnyArray], candidates: Candidates) -> AnyArray:
        by_id = is_fitted(self, "item_ids_") and not self.codes
        items = self.item_ids_.decode(candidates.item) if by_id else candidates.item
        if self.timeout is None:
            return stock(items)
        if self._dependency is None:
            from recokit._utils.resilience.dependency import Dependency

            self._dependency = Dependency()
        wait = self._dependency.start("stock", lambda: stock(items), "filter")
        return wait(min(self.timeout, candidates.requests.remaining()))

    def _by_item(self, values: Any, name: str, candidates: Candidates) -> AnyArray:
        wrong = not isinstance(values, np.ndarray) or values.ndim != 1
        if not wrong and self.n_codes_ is not None:
            wrong = len(values) != self.n_codes_
        elif not wrong:
            wrong = bool(len(candidates)) and candidates.item.max() >= len(values)
        if wrong:
            found = (
                f"of shape {values.shape}"
                if isinstance(values, np.ndarray)
                else f"of type {type(values).__name__}"
            )
            raise ContractError(
                f"found {name} {found}; expected one value for each item code, row 0 for unknown items"
            )
        return np.asarray(values[candidates.item])


def _check_age(max_age: str | float) -> None:
    try:
        seconds(max_age)
    except DataError as error:
        raise ConfigurationError(f"max_age: {error}") from error
