"""Files of a feature log: one part is one Parquet file (a row for each request), or one .npz without pyarrow."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recokit._kernels.segments import counts_to_offsets
from recokit._utils.options import one_of, optional, require
from recokit.errors import ConfigurationError, DataError
from recokit.monitoring.feature_log.requests import LoggedRequests
from recokit.typing import AnyArray, BoolArray, IntArray

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["parquet", "npz"]


_VERSION = 1


def choose_format(wanted: str | None) -> Format:
    """Return the format to write: Parquet where pyarrow is installed, else .npz.

    Raises
    ------
    ConfigurationError
        For an unknown format, or Parquet without pyarrow.
    """
    has_arrow = find_spec("pyarrow") is not None
    require(optional(one_of("parquet", "npz")), format=wanted)
    if wanted == "npz" or (wanted is None and not has_arrow):
        return "npz"
    if not has_arrow:
        raise ConfigurationError("found format='parquet' without pyarrow; hint: pip install pyarrow")
    # Loaded now, so that no request pays for it.
    import pyarrow.parquet  # noqa: F401

    return "parquet"


def part_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the files of a log's parts, in the order of their names.

    Raises
    ------
    DataError
        If there are none.
    """
    files = sorted(path for path in Path(folder).glob("part-*") if path.suffix in (".parquet", ".npz"))
    if not files:
        raise DataError(
            f"found no parts of a feature log in {folder}; expected files part-*.parquet or part-*.npz; "
            "hint: FeatureLog.flush() writes those in memory"
        )
    return files


def write_part(folder: Path, logged: LoggedRequests, form: Format) -> Path:
    """Write requests of one model as a part: under another name first, so that a reader never sees half of it.

    The name follows from the content, so that the same requests written twice are one part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(logged.impression.tobytes() + logged.features.tobytes()).hexdigest()[:12]
    target = folder / f"part-{int(logged.now.min()):011d}-{logged.models[0][:8]}-{digest}.{form}"
    draft = folder / f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp"
    meta: dict[str, Any] = {
        "version": _VERSION,
        "model": logged.models[0],
        "features": list(logged.feature_names),
        "sources": list(logged.source_names),
    }
    try:
        with draft.open("wb") as file:
            if form == "parquet":
                write_parquet(file, _flat(logged), meta["features"], json.dumps(meta))
            else:
                np.savez(file, meta=np.array(json.dumps(meta)), **_flat(logged))  # type: ignore[arg-type]
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def read_part(path: Path) -> LoggedRequests:
    """Read a part.

    Raises
    ------
    DataError
        If the file is damaged or of an unknown version.
    """
    try:
        columns, text = (read_parquet if path.suffix == ".parquet" else _read_npz)(path)
        meta = json.loads(text)
        if meta["version"] != _VERSION:
            raise DataError(f"found version {meta['version']} in {path}; expected {_VERSION}")
        known, user = columns.pop("known"), columns.pop("user")
        users = np.full(len(user), None, object)
        users[known] = user[known]
        given = np.empty(len(user), object)
        given[:] = [json.loads(text) for text in columns.pop("given").tolist()]
        return LoggedRequests(
            **columns,
            user=users,
            given=given,
            model=np.full(len(user), meta["model"], object),
            source_names=tuple(meta["sources"]),
            feature_names=tuple(meta["features"]),
        )
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise DataError(f"found no part of a feature log in {path} ({error}); is it damaged?") from error


def erase_from_parts(folder: Path, user: Any) -> int:
    """Write every part anew that has requests of a user, without them, and return how many there were."""
    n = 0
    for path in sorted(folder.glob("part-*")):
        if path.suffix not in (".parquet", ".npz"):
            continue
        logged = read_part(path)
        kept = np.flatnonzero([str(one) != str(user) or one is None for one in logged.user.tolist()])
        if len(kept) == len(logged):
            continue
        n += len(logged) - len(kept)
        form: Format = "parquet" if path.suffix == ".parquet" else "npz"
        written = write_part(folder, logged.take(kept), form) if len(kept) else None
        if written != path:
            path.unlink()
    return n


def _flat(logged: LoggedRequests) -> dict[str, AnyArray]:
    """Return the columns with ids as int64 or text, and context and lists as JSON."""
    known = np.array([user is not None for user in logged.user.tolist()], np.bool_)
    user = _ids(logged.user[known])
    filled = np.zeros(len(known), user.dtype)
    filled[known] = user
    return {
        **{name: getattr(logged, name) for name in (*NUMBERS, *LISTS)},
        "known": known,
        "user": filled,
        "item": _ids(logged.item),
        "given": np.array([json.dumps(one, default=str) for one in logged.given.tolist()], np.str_),
        "offsets": logged.offsets,
        "features": logged.features,
    }


def _ids(ids: AnyArray) -> AnyArray:
    if ids.dtype.kind in "iu" or (len(ids) and not isinstance(ids[0], str)):
        return ids.astype(np.int64)
    return ids.astype(np.str_)


def _read_npz(path: Path) -> tuple[dict[str, Any], str]:
    with np.load(path, allow_pickle=False) as archive:
        columns = {name: archive[name] for name in archive.files}
    for name in ("user", "item"):
        if columns[name].dtype.kind == "U":
            columns[name] = columns[name].astype(object)
    return columns, str(columns.pop("meta"))


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
