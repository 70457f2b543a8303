"""Files of tables: CSV and JSON lines by the standard library, parquet by whichever library is there."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recokit._cli.options import UsageError
from recokit.errors import ConfigurationError, DataError
from recokit.typing import AnyArray

KINDS = (".csv", ".jsonl", ".parquet")
_LIBRARIES: tuple[Literal["polars", "pyarrow", "pandas"], ...] = ("polars", "pyarrow", "pandas")
#: Text of whole numbers is a number, unless it has a zero in front, as codes of articles have, or is too long.
_LONGEST = 18


def is_table(path: str) -> bool:
    """Tell whether a name is that of a table."""
    return Path(path).suffix.lower() in KINDS


def read_table(path: str) -> Any:
    """Return a file's columns.

    Raises
    ------
    UsageError
        If there is no such file, or its name tells of no table.
    DataError
        If the file is damaged.
    """
    kind, file = Path(path).suffix.lower(), Path(path)
    if kind not in KINDS:
        raise UsageError(f"found {path!r}; expected a name that ends in {', '.join(KINDS)}")
    if not file.is_file():
        raise UsageError(f"found no file {path!r}")
    try:
        readers = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
        return readers[kind](file)
    except UnicodeDecodeError as error:
        raise DataError(f"found bytes in {path} that are not UTF-8, at byte {error.start}") from error


def _csv(path: Path) -> dict[str, AnyArray]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            columns: list[list[str]] = [[] for _ in header]
            for row in reader:
                if len(row) != len(header):
                    if not row:
                        continue
                    raise DataError(
                        f"found {len(row)} cells in line {reader.line_num} of {path}; expected {len(header)}: "
                        f"{', '.join(header)}"
                    )
                for column, cell in zip(columns, row, strict=True):
                    # Labels repeat: one object for each of them saves most of the memory.
                    column.append(sys.intern(cell))
        except csv.Error as error:
            raise DataError(f"found a broken line {reader.line_num} in {path}: {error}") from error
    if not header:
        raise DataError(f"found no line in {path}; expected a header with the columns' names")
    return {name: typed(column) for name, column in zip(header, columns, strict=True)}


def _json_lines(path: Path) -> dict[str, AnyArray]:
    rows: list[dict[str, Any]] = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                rows.append(dict(json.loads(line)))
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"found no object in line {number} of {path}; expected JSON: {error}"
                ) from error
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _objects([row.get(name) for row in rows]) for name in names}


def _parquet(path: Path) -> Any:
    import narwhals

    for library in _LIBRARIES:
        if importlib.util.find_spec(library) is None:
            continue
        try:
            return narwhals.read_parquet(str(path), backend=library).to_native()
        except Exception as error:  # each library has errors of its own
            raise DataError(f"found {path}, which {library} cannot read: {error}") from error
    raise ConfigurationError(
        f"found none of {', '.join(_LIBRARIES)}; expected one that reads parquet; hint: pip install pyarrow"
    )


def typed(cells: list[str]) -> AnyArray:
    """Return text as whole numbers where all of it is, else as numbers, else as it is; empty cells are missing.

    Examples
    --------
    >>> typed(["7", "12"]), typed(["7", ""]), typed(["007", "12"])
    (array([ 7, 12]), array([ 7., nan]), array(['007', '12'], dtype='<U3'))
    """
    filled = [cell for cell in cells if cell]
    if not filled or not all(map(_is_plain, dict.fromkeys(filled))):
        return np.array(cells) if len(filled) == len(cells) else _objects([cell or None for cell in cells])
    whole = len(filled) == len(cells) and all(map(_is_whole, dict.fromkeys(cells)))
    return np.array(cells).astype(np.int64) if whole else np.array([float(cell or "nan") for cell in cells])


def _is_whole(cell: str) -> bool:
    return cell.removeprefix("-").isdecimal()


def _is_plain(cell: str) -> bool:
    """Tell whether text is a number that keeps all that the text says."""
    digits = cell.removeprefix("-").partition(".")[0]
    if not digits or len(digits) > _LONGEST or (len(digits) > 1 and digits[0] == "0") or not cell.isascii():
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return digits.isdecimal() and "_" not in cell


def _objects(values: Iterable[Any]) -> AnyArray:
    listed = list(values)
    if all(isinstance(value, bool) for value in listed) and listed:
        return np.array(listed, np.bool_)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in listed) and listed:
        return np.array(listed)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array
