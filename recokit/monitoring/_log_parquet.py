"""Parquet files of a feature log: a row for each request, with lists of its candidates, through pyarrow alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._ops.segments import counts_to_offsets
from recokit.typing import AnyArray, BoolArray, IntArray

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LISTS", "NUMBERS", "read_parquet", "write_parquet"]

#: Columns of requests.
NUMBERS = ("impression", "now", "weight", "seed", "k")
#: Columns of candidates, and their types on disk.
LISTS = {"position": "int32", "score": "float32", "sources": "uint64", "propensity": "float64"}


def write_parquet(file: Any, flat: dict[str, AnyArray], features: list[str], meta: str) -> None:
    """Write flat columns: those of requests, those of candidates with ``offsets``, and the ``features`` matrix."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    offsets = _array(flat["offsets"].astype(np.int32))
    columns = {name: _array(flat[name]) for name in NUMBERS}
    columns["user_id"] = _array(flat["user"], flat["known"])
    columns["given"] = _array(flat["given"])
    lists = {"item_id": flat["item"]}
    lists |= {name: flat[name].astype(width) for name, width in LISTS.items()}
    lists |= {f"feature.{name}": flat["features"][:, column] for column, name in enumerate(features)}
    columns |= {name: pa.ListArray.from_arrays(offsets, _array(values)) for name, values in lists.items()}
    table = pa.Table.from_arrays(list(columns.values()), names=list(columns))
    pq.write_table(table.replace_schema_metadata({"recokit": meta}), file)


def read_parquet(path: Path) -> tuple[dict[str, Any], str]:
    """Return the flat columns and the metadata that :func:`write_parquet` wrote."""
    import pyarrow.parquet as pq

    # ParquetFile, not read_table: that one imports pyarrow.dataset, and pandas with it.
    with pq.ParquetFile(path) as file:
        table = file.read()
    part = {name: table.column(name).combine_chunks() for name in table.column_names}
    user = part["user_id"].to_pylist()
    known = np.array([one is not None for one in user], np.bool_)
    columns: dict[str, Any] = {name: _values(part[name]) for name in NUMBERS}
    columns |= {name: _values(part[name].flatten()) for name in LISTS}
    columns |= {
        "position": columns["position"].astype(np.int64),
        "known": known,
        "user": np.array(["" if one is None else one for one in user], object),
        "given": _values(part["given"]),
        "item": _values(part["item_id"].flatten()),
        "offsets": counts_to_offsets(_values(part["item_id"].value_lengths())),
    }
    names = [name for name in part if name.startswith("feature.")]
    block = np.empty((len(columns["item"]), len(names)), np.float32)
    for column, name in enumerate(names):
        block[:, column] = _values(part[name].flatten())
    return {**columns, "features": block}, table.schema.metadata[b"recokit"].decode()


def _array(values: AnyArray, known: BoolArray | None = None) -> pa.Array:
    """Return numbers or text as an Arrow array, null where not known; from buffers, as pa.array imports pandas."""
    import pyarrow as pa

    nulls = None if known is None else pa.py_buffer(np.packbits(known, bitorder="little").tobytes())
    if values.dtype.kind != "U":
        data = pa.py_buffer(np.ascontiguousarray(values))
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [nulls, data])
    encoded = [text.encode() for text in values.tolist()]
    ends: IntArray = np.cumsum([0, *map(len, encoded)])
    buffers = [nulls, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), buffers)


def _values(array: pa.Array) -> AnyArray:
    """Return an Arrow array without nulls; numbers through DLPack, as to_numpy imports pandas."""
    import pyarrow as pa

    if pa.types.is_large_string(array.type) or pa.types.is_string(array.type):
        text = np.empty(len(array), object)
        text[:] = array.to_pylist()
        return text
    return np.from_dlpack(array).copy()
