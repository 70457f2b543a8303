"""Rows: Arrow columns as the arguments of ``Pipeline.recommend``, and its lists as Arrow columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit.errors import DataError, did_you_mean
from recokit.result import Recommendations
from recokit.trace import Status

if TYPE_CHECKING:
    import pyarrow as pa

#: Columns that hold a list of item ids for each row, null where the user's own holds.
LISTS = ("history", "session", "items", "exclude")
#: Columns with one value for each row.
PLAIN = ("user_id", "now", "k", "seed")
#: Types that a column may have that goes through unread, and what Spark calls them.
SPARK_TYPES = {
    "string": "string",
    "int64": "bigint",
    "int32": "int",
    "float64": "double",
    "float32": "float",
    "bool": "boolean",
}


def columns_of(
    batch: pa.RecordBatch, optional: Sequence[str], needed: Sequence[str], declared: Mapping[str, str]
) -> dict[str, pa.Array]:
    """Return the columns of a batch by recokit's names.

    Raises
    ------
    DataError
        If one that is needed or declared is missing, or there is one that nobody reads: a column with a typing error in
        its name would be left out without a word.
    """
    yours = {name: declared.get(name, name) for name in (*optional, *needed, *declared)}
    unread = [name for name in batch.schema.names if name not in yours.values()]
    if unread:
        raise DataError(
            f"found column {unread[0]!r} that nobody reads; {did_you_mean(unread[0], yours.values())}; "
            f"hint: context=[{unread[0]!r}] for the pipeline, keep= to hand it through, or leave it out"
        )
    missing = [yours[name] for name in (*needed, *declared) if yours[name] not in batch.schema.names]
    if missing:
        raise DataError(
            f"found no column {missing[0]!r}; expected it; {did_you_mean(missing[0], batch.schema.names)}"
        )
    return {name: batch.column(column) for name, column in yours.items() if column in batch.schema.names}


def ids_of(column: pa.Array, kind: str, name: str) -> list[Any]:
    """Return a column of ids, None where null; a UUID as its text.

    Raises
    ------
    DataError
        If the ids are of another kind than the model's.
    """
    found = column.type.value_type if is_list(column.type) else column.type
    if id_kind(found) not in (kind, ""):
        raise DataError(
            f"found {name} of type {column.type}; expected {'integers' if kind == 'int' else 'text'}, as the model's "
            "ids; hint: cast the column"
        )
    if id_kind(found) == "str" and is_uuid(found):
        values = column.to_pylist()
        if is_list(column.type):
            return [None if row is None else [str(one) for one in row] for row in values]
        return [None if one is None else str(one) for one in values]
    return list(column.to_pylist())


def is_list(type_: pa.DataType) -> bool:
    """Tell whether a column holds lists."""
    import pyarrow as pa

    return bool(
        pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_)
    )


def is_uuid(type_: pa.DataType) -> bool:
    """Tell whether a column holds UUIDs as Arrow has them: sixteen bytes."""
    return getattr(type_, "extension_name", "") == "arrow.uuid"


def id_kind(type_: pa.DataType) -> str:
    """Return ``"int"`` or ``"str"`` for a type of ids, empty for a column of nulls, ``"?"`` for what is no id."""
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_integer(type_):
        return "int"
    if kinds.is_string(type_) or kinds.is_large_string(type_) or is_uuid(type_):
        return "str"
    if kinds.is_dictionary(type_):
        return id_kind(type_.value_type)
    return "" if kinds.is_null(type_) else "?"


def seconds_of(column: pa.Array) -> list[float]:
    """Return a column of times as seconds since 1970, NaN where null: Arrow's timestamps, or numbers of seconds."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        micros = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None))).cast(pa.int64())
        return [np.nan if one is None else one / 1e6 for one in micros.to_pylist()]
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise DataError(f"found 'now' of type {column.type}; expected timestamps, or seconds since 1970")
    return [np.nan if one is None else float(one) for one in column.to_pylist()]


def list_columns(made: Recommendations, item_type: pa.DataType) -> dict[str, pa.Array]:
    """Return the lists of a batch as columns: a row for each request."""
    import pyarrow as pa

    counts = np.diff(made.offsets)
    ends = pa.array(made.offsets.astype(np.int32))

    def lists(values: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(ends, values)

    ranks = np.arange(1, len(made.item) + 1) - np.repeat(made.offsets[:-1], counts)
    marks = made.columns.get("labels")
    labels = [()] * len(made.item) if marks is None else [_split(mark) for mark in marks.tolist()]
    return {
        "items": lists(pa.array(made.item_ids.decode(made.item).tolist(), item_type)),
        "scores": lists(pa.array(made.score.astype(np.float32))),
        "ranks": lists(pa.array(ranks.astype(np.int32))),
        "sources": lists(_texts(made.sources)),
        "labels": lists(_texts(labels)),
        "status": pa.array([Status(code).name for code in made.status.tolist()], pa.string()),
        "reasons": _texts(made.reasons),
    }


def failed_columns(reason: str, item_type: pa.DataType) -> dict[str, pa.Array]:
    """Return the columns of one row that could not be asked."""
    import pyarrow as pa

    empty = {"items": item_type, "scores": pa.float32(), "ranks": pa.int32()}
    nested = pa.list_(pa.list_(pa.string()))
    return {
        **{name: pa.array([[]], pa.list_(type_)) for name, type_ in empty.items()},
        "sources": pa.array([[]], nested),
        "labels": pa.array([[]], nested),
        "status": pa.array([Status.FAILED.name], pa.string()),
        "reasons": _texts([(reason,)]),
    }


def _texts(rows: Sequence[Sequence[str]]) -> pa.Array:
    """Return a list of texts for each row."""
    import pyarrow as pa

    return pa.array([list(row) for row in rows], pa.list_(pa.string()))


def _split(mark: Any) -> Sequence[str]:
    """Return the labels of an item, which stand in one text."""
    return str(mark).split(",") if mark else ()
