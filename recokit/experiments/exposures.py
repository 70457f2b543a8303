"""Exposures: a log of who was shown which arm, from the first time on."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np

from recokit._utils.options import above, check_options, whole
from recokit.data.frames import Frame
from recokit.errors import ConfigurationError, DataError
from recokit.typing import AnyArray, FloatArray

#: A file of JSON lines, a folder of Parquet parts, or a function that gets rows.
Sink: TypeAlias = "str | os.PathLike[str] | Callable[[Sequence[Mapping[str, Any]]], object]"

#: The columns of an exposure.
COLUMNS = ("experiment", "layer", "unit", "arm", "version", "timestamp", "forced", "differs")


@dataclass(frozen=True, eq=False)
class Shown:
    """What :class:`Served` showed in one call, for those who log it.

    Parameters
    ----------
    experiment : str
    layer : str or None
    unit, arm : sequence of str, length B
        Of the rows that are in the experiment, or in the holdout.
    version : sequence of str, length B
        Fingerprint of the pipeline that answered.
    now : ndarray of float64, shape (B,)
        Times of the requests.
    forced : sequence of bool, length B
    differs : bool, optional
        Whether another arm's list would have been another one; None where no shadow run tells.
    """

    experiment: str
    layer: str | None
    unit: Sequence[str]
    arm: Sequence[str]
    version: Sequence[str]
    now: FloatArray
    forced: Sequence[bool]
    differs: bool | None = None


@runtime_checkable
class SeesExposures(Protocol):
    """An observer of :class:`Served` that is told who was shown which arm."""

    def exposed(self, shown: Shown) -> None:
        """Take down what was shown."""
        ...


class RowLog:
    """Rows that wait in memory and are written many at a time; a base of logs.

    Parameters
    ----------
    sink : path or callable
        As for :class:`Exposures`.
    """

    def __init__(self, sink: Sink) -> None:
        self._write = writer(sink)
        self._waiting: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def flush(self) -> None:
        """Write the rows that wait."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._write(self._waiting)
            self._waiting = []

    def erase_user(self, user: Any) -> int:
        """Forget a unit in memory, and return how many of its rows waited; files are not touched."""
        with self._lock:
            kept = [row for row in self._waiting if row["unit"] != str(user)]
            n, self._waiting = len(self._waiting) - len(kept), kept
        return n

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()


class Exposures(RowLog):
    """Write down each unit's exposures, once for each experiment, arm and version of the pipeline.

    Rows wait in memory until ``flush_rows`` of them are there or the oldest waits for ``flush_seconds``, and are then
    written in one piece: a process that is killed loses at most those that waited. Repeats across processes, or after
    the memory's ``capacity``, are harmless: the analysis takes the first.

    Parameters
    ----------
    sink : path or callable
        A path that ends in ``.jsonl`` is a file of JSON lines, appended to, which several processes may share; any
        other path is a folder of Parquet parts (needs pyarrow). A function gets a list of rows.
    flush_rows : int, default 500
    flush_seconds : float, default 1.0
        Checked when an exposure comes in; :meth:`flush` writes what waits.
    capacity : int, default 1,000,000
        Exposures to remember, some 150 bytes each; the oldest are forgotten first.

    Raises
    ------
    ConfigurationError
        For numbers out of range, or Parquet without pyarrow.

    Examples
    --------
    >>> rows = []
    >>> log = Exposures(rows.extend, flush_rows=2)
    >>> shown = Shown("e", None, ["u1", "u2", "u1"], ["new", "old", "new"], ["v"] * 3, np.zeros(3), [False] * 3)
    >>> log.exposed(shown)
    >>> [(row["unit"], row["arm"]) for row in rows]
    [('u1', 'new'), ('u2', 'old')]
    """

    def __init__(
        self, sink: Sink, *, flush_rows: int = 500, flush_seconds: float = 1.0, capacity: int = 1_000_000
    ) -> None:
        self.sink, self.flush_rows, self.flush_seconds, self.capacity = (
            sink,
            flush_rows,
            flush_seconds,
            capacity,
        )
        check_options(self, {"flush_rows": whole(1), "flush_seconds": above(0), "capacity": whole(1)})
        super().__init__(sink)
        self._seen: OrderedDict[tuple[Any, ...], None] = OrderedDict()
        self._since = 0.0

    def exposed(self, shown: Shown) -> None:
        """Take down exposures that are new."""
        with self._lock:
            new = [row for row in range(len(shown.unit)) if self._is_new(shown, row)]
            if not new and not self._waiting:
                return
            if new and not self._waiting:
                self._since = time.monotonic()
            self._waiting += [_record(shown, row) for row in new]
            late = time.monotonic() - self._since >= self.flush_seconds
            if len(self._waiting) >= self.flush_rows or late:
                self._flush()

    def _is_new(self, shown: Shown, row: int) -> bool:
        key = (shown.experiment, shown.unit[row], shown.arm[row], shown.version[row], shown.differs)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > self.capacity:
            self._seen.popitem(last=False)
        return True

    def erase_user(self, user: Any) -> int:
        """Forget a unit in memory, and return how many of its exposures waited; files are not touched."""
        with self._lock:
            for key in [key for key in self._seen if key[1] == str(user)]:
                del self._seen[key]
        return super().erase_user(user)


def _record(shown: Shown, row: int) -> dict[str, Any]:
    values = (
        shown.experiment,
        shown.layer,
        shown.unit[row],
        shown.arm[row],
        shown.version[row],
        float(shown.now[row]),
        bool(shown.forced[row]),
        shown.differs,
    )
    return dict(zip(COLUMNS, values, strict=True))


def writer(sink: Sink) -> Callable[[Sequence[Mapping[str, Any]]], object]:
    """Return a function that writes rows to a sink: JSON lines, Parquet parts, or the caller's own function.

    Raises
    ------
    ConfigurationError
        For Parquet without pyarrow.
    """
    if callable(sink):
        return sink
    path = Path(sink)
    if path.suffix == ".jsonl":
        return _Lines(path)
    if find_spec("pyarrow") is None:
        raise ConfigurationError(
            f"found {path} for Parquet without pyarrow; hint: a path that ends in .jsonl needs nothing"
        )
    return _Parts(path)


@dataclass(frozen=True)
class _Lines:
    path: Path

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        # One write to a file opened for appending: rows of several processes never mix.
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            while text:
                text = text[os.write(file, text) :]
        finally:
            os.close(file)


@dataclass(frozen=True)
class _Parts:
    folder: Path

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
        draft = self.folder / f".{name}.tmp"
        table = pa.Table.from_pylist([dict(row) for row in rows])
        # Text in every part, also where all rows of one lack it.
        for place, field in enumerate(table.schema):
            if pa.types.is_null(field.type):
                kind = pa.bool_() if field.name == "differs" else pa.string()
                table = table.set_column(place, field.name, table.column(place).cast(kind))
        pq.write_table(table, draft)
        os.replace(draft, self.folder / name)


def read_log(source: Any) -> Frame:
    """Return a log of exposures, or of anything written by the same sinks, as columns.

    Parameters
    ----------
    source : path, dataframe or mapping
        A file of JSON lines, a Parquet file, a folder of parts, any dataframe, or a mapping of arrays.

    Raises
    ------
    DataError
        If a file is not there, or a line is none of JSON; a last line that a killed process left unfinished is skipped.
    """
    if isinstance(source, Frame):
        return source
    if isinstance(source, list) and all(isinstance(row, Mapping) for row in source):
        return Frame(_columns(source))
    if not isinstance(source, str | os.PathLike):
        return Frame(source)
    path = Path(source)
    if not path.exists():
        raise DataError(f"found no log at {path}; expected a .jsonl file or a folder of Parquet parts")
    if path.suffix == ".jsonl":
        return Frame(_columns(list(_json_lines(path))))
    import pyarrow.parquet as pq

    files = [path] if path.is_file() else sorted(path.glob("part-*.parquet"))
    if not files:
        raise DataError(f"found no part-*.parquet in {path}; hint: Exposures.flush() writes those in memory")
    import pyarrow as pa

    return Frame(pa.concat_tables([pq.read_table(file) for file in files], promote_options="default"))


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            try:
                yield json.loads(line)
            except ValueError as error:
                if not line.endswith("\n"):
                    return
                raise DataError(f"found a line of {path.name} that is no JSON", rows=[number]) from error


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, AnyArray]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: np.array([row.get(name) for row in rows], object) for name in names}
    for name, column in columns.items():
        values = {*map(type, column.tolist())}
        with suppress(ValueError, TypeError):
            if values <= {int, float, bool} and values:
                columns[name] = column.astype(np.float64)
    return columns
