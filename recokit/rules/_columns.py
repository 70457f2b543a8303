"""What rules share: attributes by item code, given as arrays or bound by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.data import Schema
from recokit.errors import ConfigurationError, NotFittedError
from recokit.typing import AnyArray, BoolArray

__all__ = ["bound_column", "item_name", "require_bound", "truthy"]


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


def bound_column(schema: Schema, column: str) -> AnyArray:
    """Return an item column by code, (n_items + 1,)."""
    return schema.item_column(column)


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


def truthy(column: AnyArray) -> BoolArray:
    """Return where a flag is set: numbers above 0; a missing flag is not set."""
    if column.dtype.kind == "O":
        return np.array([bool(value) for value in column.tolist()], np.bool_)
    return np.asarray(column > 0)
