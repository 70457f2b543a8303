"""Attributes of items: values by item code, from a column of the item table, an array or a list of ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit.data import Dataset
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import FloatArray


def read_columns(
    train: Dataset, options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, FloatArray | None]:
    """Return the values of each option by its name; ``blocked`` may be a list of ids."""
    return {
        name: blocked_values(train, option)
        if name == "blocked"
        else item_values(train, name, option, defaults[name])
        for name, option in options.items()
    }


def item_values(train: Dataset, name: str, option: Any, default: str | None) -> FloatArray | None:
    """Return numbers by item code, (n_items + 1,); None for no option, or where the table lacks the default column.

    Raises
    ------
    ConfigurationError
        For any other column that the table lacks, or values of another shape.
    """
    if option is None:
        return None
    if isinstance(option, str):
        if option not in train.items.names:
            if option == default:
                return None
            raise ConfigurationError(
                f"found {name}={option!r}; expected an item column of train, or values by item code; "
                f"{did_you_mean(option, train.items.names)}"
            )
        values = train.items.column(option)
    else:
        values = np.asarray(option)
    if values.shape != (train.n_items + 1,):
        ids = ", or a list of item ids" if name == "blocked" else ""
        raise ConfigurationError(
            f"found {name} of shape {values.shape}; expected values by item code, shape ({train.n_items + 1},), "
            f"the name of an item column{ids}; hint: code 0 is an unknown item"
        )
    if values.dtype.kind not in "biuf":
        values = np.unique(values.astype(str), return_inverse=True)[1]
    return np.asarray(values, np.float64)


def blocked_values(train: Dataset, option: Any) -> FloatArray | None:
    """Return 1 for each item that is forbidden; a list, tuple or set holds ids, as those of :class:`rules.Blocked`.

    Raises
    ------
    ConfigurationError
        As :func:`item_values`, or for a list as long as values by item code: which of the two it is, it cannot tell.
    DataError
        For ids of the wrong kind.
    """
    if not isinstance(option, list | tuple | set | frozenset):
        return item_values(train, "blocked", option, None)
    if len(option) == train.n_items + 1:
        raise ConfigurationError(
            f"found blocked, a {type(option).__name__} of {len(option)}; expected item ids, which are fewer; "
            "hint: np.asarray(blocked) if these are values by item code"
        )
    values = np.zeros(train.n_items + 1)
    values[train.item_ids.encode(list(option))] = 1
    values[0] = np.nan  # an item that train does not know
    return values
