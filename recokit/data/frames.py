"""Frames at the edge: any dataframe in, plain arrays inside."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import numpy as np

from recokit._utils.options import shown
from recokit.data.columns import written_lists
from recokit.data.times import timestamp
from recokit.data.vocabulary import as_ids, factorize
from recokit.errors import DataError, did_you_mean
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Column names of both camps, mapped to recokit's own.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "user_id": ("user_id", "user"),
    "item_id": ("item_id", "item"),
    "timestamp": ("timestamp", "datetime"),
    "weight": ("weight", "rating"),
}

#: Whole numbers up to here are exact as float64.
LARGEST = 2**53

#: For ids that come as floats: whole numbers below are exact in them.
_EXACT_BELOW = {2: 2.0**11, 4: 2.0**24, 8: 2.0**53}

_NUMBERS = (int, float, np.number, np.bool_, Decimal)


class Frame:
    """Columns of any dataframe (pandas, Polars, pyarrow, DuckDB, or a mapping of arrays) as numpy arrays.

    Parameters
    ----------
    frame : object
        A dataframe that narwhals knows, anything with the Arrow PyCapsule interface, or a mapping of name to
        array.
    columns : mapping of str to str, optional
        recokit's name to the frame's name, for columns named otherwise.
    aliases : mapping of str to tuple of str
        Other names that a column may have without being mapped.

    Raises
    ------
    DataError
        If the object is no dataframe, a mapped column does not exist, or columns differ in length.

    Examples
    --------
    >>> Frame({"user": [1, 2]}).ids("user_id").tolist()
    [1, 2]
    """

    def __init__(
        self,
        frame: Any,
        columns: Mapping[str, str] | None = None,
        aliases: Mapping[str, tuple[str, ...]] = ALIASES,
    ) -> None:
        self._data: Any = _arrays(frame) if isinstance(frame, Mapping) else _narwhals(frame)
        self._source = _names(self.original, columns or {}, aliases)

    def renamed(self, columns: Mapping[str, str], aliases: Mapping[str, tuple[str, ...]]) -> Frame:
        """Return the same data with its columns mapped anew; parameters as in the constructor."""
        renamed = copy.copy(self)
        renamed._source = _names(self.original, columns, aliases)
        return renamed

    @property
    def original(self) -> list[str]:
        """Column names, in the frame's own terms."""
        return list(self._data) if isinstance(self._data, dict) else list(self._data.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in recokit's terms."""
        return tuple(self._source)

    def own(self, name: str) -> str:
        """Return the frame's own name of a column, as messages have it."""
        return self._source.get(name, name)

    def filtered(self, kept: BoolArray) -> Frame:
        """Return some of the rows."""
        if kept.all():
            return self
        part = copy.copy(self)
        if isinstance(self._data, dict):
            rows = kept.tolist()
            part._data = {
                name: column[kept] if isinstance(column, np.ndarray) else column.filter(rows)
                for name, column in self._data.items()
            }
        else:
            part._data = self._data.filter(kept.tolist())
        return part

    def missing(self, name: str) -> BoolArray:
        """Tell where a column has no value, (N,); an empty id is none."""
        values, missing = self._read(name)
        if values.dtype.kind in "OU":
            missing = missing.copy()
            missing[np.flatnonzero(~missing)[values == ""]] = True
        return missing

    def list_separator(self, name: str) -> str | None:
        """Return what stands between the labels of a column whose cells are lists, None of any other."""
        lists = _lists(self._read(name)[0])
        return None if lists is None else _separator_of(lists)

    def __contains__(self, name: str) -> bool:
        return name in self._source

    def __len__(self) -> int:
        return len(next(iter(self._data.values()), ())) if isinstance(self._data, dict) else len(self._data)

    def _read(self, name: str) -> tuple[AnyArray, BoolArray]:
        """Return the values of the rows that have one, and where one is missing, (N,).

        Values may be a view of the frame, where none is missing.
        """
        if name not in self._source:
            raise DataError(
                f"found no column {name!r}; {did_you_mean(name, self._source)}; "
                f"hint: map it with columns={{{name!r}: 'your name'}}"
            )
        column = self._data[self._source[name]]
        if not isinstance(column, np.ndarray):
            missing = np.array(column.is_null().to_numpy(), np.bool_)
            values = np.asarray((column.filter(~column.is_null()) if missing.any() else column).to_numpy())
            # what narwhals calls null depends on the library, and a float column may hold NaN beside it
            inside = missing_in(values)
            if inside.any():
                missing[np.flatnonzero(~missing)[inside]] = True
                values = values[~inside]
            return values, missing
        missing = missing_in(column)
        return column[~missing] if missing.any() else column, missing

    def ids(self, name: str) -> AnyArray:
        """Return an id column as int64 or text (object), which may be a view of the frame.

        Raises
        ------
        DataError
            With row numbers, where ids are missing, fractional, or of mixed types.
        """
        values, missing = self._read(name)
        if missing.any() or (values.dtype.kind in "OU" and (values == "").any()):
            rows = np.flatnonzero(self.missing(name))
            raise DataError(
                f"found missing ids in {self.own(name)!r}; expected one in every row; "
                "hint: missing='drop' leaves these rows out, 'anonymous' keeps events of unknown users",
                rows=rows,
            )
        return _as_ids(values, self.own(name))

    def labels(self, name: str) -> tuple[IntArray, AnyArray]:
        """Return a column as label codes (N,) int64, 0 where missing, and its distinct labels, sorted.

        Integers stay integers; anything else becomes text.
        """
        values, missing = self._read(name)
        codes = np.zeros(len(missing), np.int64)
        codes[~missing], distinct = factorize(_labels(values))
        return codes, distinct

    def number(self, name: str) -> FloatArray:
        """Return a column as float64, NaN where missing."""
        kind, values = self.column(name)
        if kind == "text":
            row = next((i for i, value in enumerate(values.tolist()) if value is not None), None)
            if row is not None:
                raise DataError(
                    f"found text in column {self.own(name)!r}, such as {shown(values[row])}; expected numbers",
                    rows=[row],
                )
            return np.full(len(values), np.nan)
        return values

    def times(self, name: str) -> FloatArray:
        """Return a column as float64 seconds since 1970 (UTC where no zone is given), NaN where missing.

        Numbers are taken as seconds, text as ISO dates.
        """
        kind, values = self.column(name)
        if kind != "text":
            return values
        times = np.full(len(values), np.nan)
        present = np.flatnonzero([value is not None for value in values.tolist()])
        texts, first, inverse = np.unique(values[present].astype(str), return_index=True, return_inverse=True)
        moments = np.zeros(len(texts))
        for i, text in enumerate(texts.tolist()):
            try:
                moments[i] = timestamp(text)
            except DataError as error:
                raise DataError(
                    f"found {shown(text)} in {self.own(name)!r}; expected ISO dates or seconds since 1970; "
                    "hint: pandas.to_datetime(column, format=...) reads other dates",
                    rows=[present[first[i]]],
                ) from error
        times[present] = moments[inverse]
        return times

    def column(self, name: str) -> tuple[Literal["number", "time", "text"], AnyArray]:
        """Return a column with its kind: float64 numbers, float64 seconds, or text (object, None if missing).

        Booleans are numbers, spans of time are numbers of seconds.
        """
        values, missing = self._read(name)
        kind, present = _classify(values)
        if not missing.any():
            return kind, present
        column: AnyArray = np.full(
            len(missing), None if kind == "text" else np.nan, object if kind == "text" else float
        )
        column[~missing] = present
        return kind, column

    def has_large_whole_numbers(self, name: str) -> bool:
        """Tell whether a column holds whole numbers beyond 2**53, which floats cannot tell apart."""
        values, _ = self._read(name)
        if values.dtype.kind in "iu":
            return bool(len(values)) and bool(int(values.max()) > LARGEST or int(values.min()) < -LARGEST)
        if values.dtype.kind != "O":
            return False
        objects = values.tolist()
        return all(isinstance(value, int | np.integer | Decimal) for value in objects) and any(
            abs(value) > LARGEST and value == int(value) for value in objects
        )

    def is_flag(self, name: str) -> bool:
        """Tell whether a column holds truth values, and none but these."""
        values, _ = self._read(name)
        return values.dtype.kind == "b" or (
            values.dtype.kind == "O"
            and bool(len(values))
            and {*map(type, values.tolist())} <= {bool, np.bool_}
        )


def _names(
    present: list[str], columns: Mapping[str, str], aliases: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    """Return recokit's name of each column, with the frame's own."""
    source = {name: name for name in present}
    for ours, names in aliases.items():
        alias = next((name for name in names if name in present), None)
        if alias is not None:
            source.pop(alias)
            source[ours] = alias
    for ours, theirs in columns.items():
        if theirs not in present:
            raise DataError(f"found no column {theirs!r} (for {ours!r}); {did_you_mean(theirs, present)}")
        source = {name: own for name, own in source.items() if own != theirs}
        source[ours] = theirs
    return source


def _classify(values: AnyArray) -> tuple[Literal["number", "time", "text"], AnyArray]:
    kind = values.dtype.kind
    if kind == "M":
        return "time", values.astype("datetime64[us]").astype(np.int64) / 1e6
    if kind == "m":
        return "number", values.astype("timedelta64[us]").astype(np.int64) / 1e6
    if kind in "biuf":
        return "number", values.astype(np.float64)
    objects = values.tolist()
    lists = _lists(values)
    if lists is not None:
        separator = _separator_of(lists)
        return "text", _text([separator.join(map(str, value)) for value in lists])
    if kind == "O" and objects:
        if all(isinstance(value, dt.date | np.datetime64) for value in objects):
            return "time", np.array([timestamp(value) for value in objects])
        if all(isinstance(value, dt.timedelta) for value in objects):
            return "number", np.array([value.total_seconds() for value in objects])
        if all(isinstance(value, _NUMBERS) for value in objects):
            return "number", np.array([float(value) for value in objects])
    return "text", _text(objects)


def _lists(values: AnyArray) -> list[Any] | None:
    """Return a column's cells where all are lists, or texts that write lists."""
    if values.dtype.kind not in "OU" or not len(values):
        return None
    cells: list[Any] = values.tolist()
    if all(isinstance(value, list | tuple | set | frozenset | np.ndarray) for value in cells):
        return cells
    return written_lists(cells)


def _separator_of(lists: list[Any]) -> str:
    return "|" if not any("|" in str(label) for value in lists for label in value) else "\x1f"


def _text(values: list[Any]) -> AnyArray:
    texts = (value.decode() if isinstance(value, bytes) else str(value) for value in values)
    return np.fromiter(texts, object, len(values))


def _as_ids(values: AnyArray, name: str) -> AnyArray:
    if values.dtype.kind == "f":
        # Integers become floats where a library has no other way to mark a missing one.
        bad = np.flatnonzero(~(np.isfinite(values) & (values == np.floor(values))))
        if len(bad):
            raise DataError(f"found id {values[bad[0]]} in {name!r}; expected integers or text", rows=bad)
        bad = np.flatnonzero(np.abs(values) >= _EXACT_BELOW.get(values.dtype.itemsize, 2.0**53))
        if len(bad):
            raise DataError(
                f"found id {values[bad[0]]:.0f} in {name!r} as {values.dtype}, which cannot tell ids of that size "
                "apart; expected integers or text; hint: read the column as int64 or text",
                rows=bad,
            )
        return values.astype(np.int64)
    return as_ids(values, name)


def _labels(values: AnyArray) -> AnyArray:
    if _lists(values) is not None:
        return _classify(values)[1]
    try:
        return _as_ids(values, "labels")
    except DataError:
        return _text(values.tolist())


def _arrays(frame: Mapping[str, Any]) -> dict[str, Any]:
    data = {name: _array(name, column) for name, column in frame.items()}
    lengths = {name: len(column) for name, column in data.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"found columns of different lengths: {lengths}; expected one value for each row in all"
        )
    return data


def _array(name: str, column: Any) -> Any:
    """Return a column of a mapping as a one-dimensional array, or as a series if some library made it."""
    if not isinstance(column, np.ndarray | list | tuple | range):
        import narwhals.stable.v2 as nw

        series = nw.from_native(column, series_only=True, pass_through=True)
        if isinstance(series, nw.Series):
            return series
    if isinstance(column, list | tuple) and _is_mixed(column):
        array = np.fromiter(column, object, len(column))
    else:
        array = np.asarray(column)
    if array.ndim != 1:
        raise DataError(f"found column {name!r} of shape {array.shape}; expected one dimension")
    return array


def _is_mixed(column: list[Any] | tuple[Any, ...]) -> bool:
    """Tell whether numpy would change values to make them of one type, such as 1 to "1"."""
    kinds = {type(value) for value in column}
    return not (kinds <= {int, float} or kinds <= {bool} or kinds <= {str} or kinds <= {np.datetime64})


def _narwhals(frame: Any) -> Any:
    import narwhals.stable.v2 as nw
    from narwhals.exceptions import DuplicateError

    try:
        native: Any = _native(nw, frame)
        native = native.collect() if isinstance(native, nw.LazyFrame) else native
        _ = native.columns  # which are checked when they are read
        return native
    except DuplicateError as error:
        text = " ".join(str(error).split())
        raise DataError(
            f"found a frame with a column more than once; expected each name once; {text}; hint: rename or drop one"
        ) from error


def _native(nw: Any, frame: Any) -> Any:
    try:
        return nw.from_native(frame)
    except TypeError:
        if not hasattr(frame, "__arrow_c_stream__"):
            raise DataError(
                f"found {type(frame).__name__}; expected a dataframe (pandas, Polars, pyarrow, DuckDB), an "
                "object with __arrow_c_stream__, or a mapping of column name to array"
            ) from None
        import pyarrow as pa

        return nw.from_native(pa.table(frame))


def missing_in(values: AnyArray) -> BoolArray:
    """Tell which values are missing, however their library writes that: None, NaN, NaT, NA."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind != "O":
        return np.zeros(len(values), np.bool_)
    objects = values.tolist()
    if set(map(type, objects)) <= {str, int}:
        return np.zeros(len(values), np.bool_)
    return np.array([_is_missing(value) for value in objects], np.bool_)


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"  # pandas.NA compares to neither true nor false
