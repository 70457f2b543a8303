"""Frames that go out: columns as a dataframe of whatever library is there."""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from recokit._utils.options import one_of, optional, require
from recokit.errors import ConfigurationError

Backend = Literal["pandas", "polars", "pyarrow"]
BACKENDS = ("pandas", "polars", "pyarrow")


def to_frame(columns: Mapping[str, Any], backend: Backend | None = None) -> Any:
    """Return columns as a dataframe.

    Parameters
    ----------
    columns : mapping of str to array or list
        Equally long.
    backend : {"pandas", "polars", "pyarrow"}, optional
        The library; by default the first of these that is installed, and a list of records where none is.

    Raises
    ------
    ConfigurationError
        For any other backend, or one that is not installed.

    Examples
    --------
    >>> to_frame({"a": [1, 2]}, "polars").shape
    (2, 1)
    """
    require(optional(one_of(*BACKENDS)), backend=backend)
    # Lists let the library find the type inside an object array: text, integers, None.
    plain = {name: _plain(column) for name, column in columns.items()}
    found: str | None = backend or next((name for name in BACKENDS if _installed(name)), None)
    if found is None:
        rows = zip(*(np.asarray(column, object).tolist() for column in plain.values()), strict=True)
        return [dict(zip(plain, row, strict=True)) for row in rows]
    if not _installed(found):
        raise ConfigurationError(
            f"found no {found}; expected it installed; hint: pip install {found}, or to_frame()"
        )
    import narwhals.stable.v2 as nw

    if found == "pandas":
        plain = {name: _whole(column) for name, column in plain.items()}
    named: Any = found  # its stubs know the names that it knows
    return nw.from_dict(plain, backend=named).to_native()


class Recorded(ABC):
    """What has records of the same names, and so a dataframe."""

    @abstractmethod
    def to_records(self) -> list[dict[str, Any]]:
        """Return one record a row."""

    def to_frame(self, backend: Backend | None = None) -> Any:
        """Return the records as a dataframe of that library, or of the first that is installed.

        Raises
        ------
        ConfigurationError
            For any other backend, or one that is not installed.
        """
        records = self.to_records()
        names = list(records[0]) if records else []
        return to_frame({name: [record[name] for record in records] for name in names}, backend)


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # a module that is blocked, or half of one
        return False


def _plain(column: Any) -> Any:
    return column.tolist() if isinstance(column, np.ndarray) and column.dtype.kind == "O" else column


def _whole(column: Any) -> Any:
    """Return integers of which some are missing as pandas keeps them: a float would be another id."""
    if not isinstance(column, list) or None not in column:
        return column
    if not all(value is None or (isinstance(value, int) and not isinstance(value, bool)) for value in column):
        return column
    if not any(value is not None for value in column):
        return column
    return importlib.import_module("pandas").array(column, dtype="Int64")
