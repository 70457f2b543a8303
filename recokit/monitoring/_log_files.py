"""Files of a feature log: one part is one Parquet file (a row for each request), or one .npz without pyarrow."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recokit.errors import ConfigurationError, DataError
from recokit.monitoring._log_parquet import LISTS, NUMBERS, read_parquet, write_parquet
from recokit.monitoring.logged import LoggedRequests
from recokit.typing import AnyArray

__all__ = ["Format", "choose_format", "part_files", "read_part", "write_part"]

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
    if wanted not in (None, "parquet", "npz"):
        raise ConfigurationError(f"found format={wanted!r}; expected 'parquet' or 'npz'")
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
    found = sorted(path for path in Path(folder).glob("part-*") if path.suffix in (".parquet", ".npz"))
    if not found:
        raise DataError(
            f"found no parts of a feature log in {folder}; expected files part-*.parquet or part-*.npz; "
            "hint: FeatureLog.flush() writes what is still in memory"
        )
    return found


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
        given = [json.loads(one) for one in columns.pop("given").tolist()]
        known, user = columns.pop("known"), columns.pop("user")
        asked = np.full(len(user), None, object)
        asked[known] = user[known]
        objects = np.empty(len(user), object)
        objects[:] = given
        return LoggedRequests(
            **columns,
            user=asked,
            given=objects,
            model=np.full(len(user), meta["model"], object),
            source_names=tuple(meta["sources"]),
            feature_names=tuple(meta["features"]),
        )
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise DataError(f"found no part of a feature log in {path} ({error}); is it damaged?") from error


def _flat(logged: LoggedRequests) -> dict[str, AnyArray]:
    """Return the columns with ids as int64 or text, and what was given as JSON."""
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
