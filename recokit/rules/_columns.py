"""What rules share: attributes by item code, given as arrays or bound by name."""

from __future__ import annotations

from typing import Any

from recokit.data import Schema
from recokit.errors import ConfigurationError, NotFittedError
from recokit.typing import AnyArray

__all__ = ["item_name", "numeric_column", "require_bound"]


def item_name(column: str) -> str:
    """Return a column as ``"item.category"``, whether or not it was named so.

    Raises
    ------
    ConfigurationError
        If it is no name.
    """
    if not isinstance(column, str) or not column.removeprefix("item."):
        raise ConfigurationError(
            f"found column {column!r}; expected the name of an item column, such as 'category'"
        )
    return f"item.{column.removeprefix('item.')}"


def numeric_column(schema: Schema, column: str) -> AnyArray:
    """Return a numeric or boolean item column by code, (n_items + 1,) float32, NaN where missing.

    Raises
    ------
    ConfigurationError
        If there is no such column, or it holds text: the labels "yes" and "no" are both something.
    """
    values = schema.item_column(column)
    if values.dtype.kind != "f":
        raise ConfigurationError(
            f"found labels or text in item column {column!r}; expected numbers or booleans, above 0 where it holds"
        )
    return values


def require_bound(stage: Any, attribute: str) -> AnyArray:
    """Return an attribute that ``bind`` sets.

    Raises
    ------
    NotFittedError
        Before ``bind``.
    """
    if not hasattr(stage, attribute):
        raise NotFittedError(
            f"found {type(stage).__name__} before bind; expected a fitted pipeline around it, or stage.bind(schema)"
        )
    value: AnyArray = getattr(stage, attribute)
    return value
