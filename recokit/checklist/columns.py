"""What the checklist is told of items: columns of the table, values by code, or ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.data import Dataset
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import FloatArray

__all__ = ["blocked_values", "item_values"]


def item_values(train: Dataset, option: str, given: Any, default: str | None) -> FloatArray | None:
    """Return numbers by item code, (n_items + 1,); None where nothing is given, or the table lacks the default column.

    Raises
    ------
    ConfigurationError
        For any other column that the table lacks, or values of another shape.
    """
    if given is None:
        return None
    if isinstance(given, str):
        if given not in train.items.names:
            if given == default:
                return None
            raise ConfigurationError(
                f"found {option}={given!r}; expected an item column of train, or values by item code; "
                f"{did_you_mean(given, train.items.names)}"
            )
        column = train.items.column(given)
    else:
        column = np.asarray(given)
    if column.shape != (train.n_items + 1,):
        ids = ", or a list of item ids" if option == "blocked" else ""
        raise ConfigurationError(
            f"found {option} of shape {column.shape}; expected values by item code, shape ({train.n_items + 1},), "
            f"the name of an item column{ids}; hint: code 0 is an unknown item"
        )
    if column.dtype.kind not in "biuf":
        column = np.unique(column.astype(str), return_inverse=True)[1]
    return np.asarray(column, np.float64)


def blocked_values(train: Dataset, given: Any) -> FloatArray | None:
    """Return 1 for each item that is forbidden; a list, tuple or set holds ids, as those of :class:`rules.Blocked`.

    Raises
    ------
    ConfigurationError
        As :func:`item_values`, or for a list as long as values by item code: which of the two it is, it cannot tell.
    DataError
        For ids of the wrong kind.
    """
    if not isinstance(given, list | tuple | set | frozenset):
        return item_values(train, "blocked", given, None)
    if len(given) == train.n_items + 1:
        raise ConfigurationError(
            f"found blocked, a {type(given).__name__} of {len(given)}; expected item ids, which are fewer; "
            "hint: np.asarray(blocked) if these are values by item code"
        )
    values = np.zeros(train.n_items + 1)
    values[train.item_ids.encode(list(given))] = 1
    values[0] = np.nan  # an item that train does not know
    return values
