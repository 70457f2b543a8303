"""SQLite: features in a file that many processes of one machine share."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recokit._utils.options import error_text, shortened
from recokit.data.state.outside import Connection
from recokit.errors import ConfigurationError, FeatureUnavailable
from recokit.stores._base import BytesStore
from recokit.stores._pool import Pool
from recokit.stores._rows import UNREAD
from recokit.typing import Float32Array, FloatArray

#: Ids asked for in one statement; fewer are rounded up to a power of two, so that few statements are prepared.
_CHUNK = 512
#: Page cache of a connection: reads of 100,000 rows of 50 features take a third less time than with SQLite's 2 MB.
_CACHE_KIB = 32_768


class SQLite(Connection, BytesStore):
    """Feature store in a SQLite file, for all processes of one machine.

    One row of bytes for each id; write-ahead logging, so that readers and the writer do not wait for each other.

    Parameters
    ----------
    path : str or path
        The file; made if it is not there. It must lie on a local disk: write-ahead logging needs shared memory.
    names : sequence of str
        Features.
    ttl : duration, optional
        How long a row counts; for ever by default.
    defaults : float or mapping of str to float, default NaN
        Values of a row that is missing or expired, for all features or by name.
    table : str, default "features"
        Table of the rows; several stores may share a file under different ones.
    busy_timeout : float, default 0.005
        Seconds that a read waits for a lock, which happens only while a file is recovered or replaced.
    write_timeout : float, default 5.0
        Seconds that a write waits for the writer before it.

    Raises
    ------
    ConfigurationError
        If an option is not what it should be, or the file cannot be made or is no database.

    Notes
    -----
    A write is one transaction: readers see it whole or not at all. A process that forks opens its own connections.
    Rows stay in the file until they are replaced.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, SQLite(f"{folder}/items.db", ["clicks"]) as store:
    ...     store.write([7], [[3.0]], at=1e9)
    ...     store.read([7, 8], now=1e9).values.tolist()
    [[3.0], [nan]]
    """

    places = ("path",)

    def __init__(
        self,
        path: str | os.PathLike[str],
        names: Sequence[str],
        *,
        ttl: Any = None,
        defaults: float | Mapping[str, float] = np.nan,
        table: str = "features",
        busy_timeout: float = 0.005,
        write_timeout: float = 5.0,
    ) -> None:
        super().__init__(names, ttl, defaults)
        if not (table.isidentifier() and table.isascii()):
            raise ConfigurationError(f"found table={table!r}; expected letters, digits and underscores")
        if os.fspath(path) in ("", ":memory:"):
            raise ConfigurationError(
                f"found path={path!r}; expected a file; hint: stores.Resident for memory"
            )
        self.path, self.table = os.fspath(path), table
        self.busy_timeout, self.write_timeout = busy_timeout, write_timeout
        self._readers: Pool[sqlite3.Connection] = Pool(sqlite3.Connection.close)
        self._writers: Pool[sqlite3.Connection] = Pool(sqlite3.Connection.close)
        self._writing = threading.Lock()
        weakref.finalize(self, _close, self._readers, self._writers)
        self._create()

    @classmethod
    def connection_name(cls, options: Mapping[str, Any]) -> str:
        """Return the table's name, the file's where the table has none of its own."""
        table = str(options.get("table", "features"))
        return Path(str(options.get("path", table))).stem if table == "features" else table

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        _close(self._readers, self._writers)

    def _create(self) -> None:
        deadline = time.monotonic() + self.write_timeout
        while True:
            try:
                connection = self._connect(self.write_timeout)
                break
            except sqlite3.OperationalError as error:
                # Of several processes that make the file at once, one may change the journal.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise self._unusable(error) from error
                time.sleep(0.01)
            except sqlite3.Error as error:
                raise self._unusable(error) from error
        self._writers.give(connection)

    def _unusable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"found no usable database at {self.path!r} ({shortened(error)}); "
            "expected a file that can be read and written"
        )

    def _connect(self, timeout: float) -> sqlite3.Connection:
        # Connections go from thread to thread, but each is used by one at a time.
        connection = sqlite3.connect(self.path, timeout, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self.table} (id BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID"
            )
        except BaseException:
            connection.close()
            raise
        return connection

    def _blobs(self, ids: list[str], now: float, timeout: float) -> tuple[list[bytes | None], str]:
        deadline = time.monotonic() + timeout
        keys = _keys(ids)
        found: dict[bytes, bytes | None] = dict.fromkeys(keys, UNREAD)
        error = ""
        connection = None
        try:
            connection = self._readers.take() or self._connect(self.busy_timeout)
            if len(keys) > _CHUNK:
                connection.execute("BEGIN")  # all statements see the file as of the first
            for start in range(0, len(keys), _CHUNK):
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"no time left after {start} of {len(keys)} ids")
                chunk = keys[start : start + _CHUNK]
                rows = self._chunk(connection, chunk)
                found.update(dict.fromkeys(chunk))
                found.update(rows)
            if len(keys) > _CHUNK:
                connection.execute("COMMIT")
            self._readers.give(connection)
        except Exception as failure:  # a store that fails gives defaults; it never fails a request
            if connection is not None:
                connection.close()
            error = error_text(failure)
        return [found[key] for key in keys], error

    def _chunk(self, connection: sqlite3.Connection, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        places = 1 << max(len(keys) - 1, 7).bit_length()
        marks = ",".join("?" * places)
        statement = f"SELECT id, row FROM {self.table} WHERE id IN ({marks})"
        return connection.execute(statement, keys + keys[-1:] * (places - len(keys))).fetchall()

    def _put(self, ids: list[str], values: Float32Array, at: FloatArray) -> None:
        rows = list(zip(_keys(ids), self._packing.pack(values, at), strict=True))
        self._write(f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?)", rows)

    def _erase(self, ids: list[str]) -> int:
        return self._write(f"DELETE FROM {self.table} WHERE id = ?", [(key,) for key in _keys(ids)])

    def _write(self, statement: str, rows: Sequence[tuple[bytes, ...]]) -> int:
        """Carry out a statement for each row in one transaction, and return how many rows it changed."""
        with self._writing:
            connection = None
            try:
                connection = self._writers.take() or self._connect(self.write_timeout)
                connection.execute("BEGIN IMMEDIATE")
                changed = connection.executemany(statement, rows).rowcount
                connection.execute("COMMIT")
                self._writers.give(connection)
                return changed
            except BaseException as error:
                if connection is not None:
                    connection.close()  # which rolls back
                if not isinstance(error, sqlite3.Error):
                    raise
                raise FeatureUnavailable(
                    f"found that {self.path!r} took no rows ({shortened(error)}); "
                    "hint: is the disk full, or another writer busy?",
                    name="SQLite", role="store", cause=error,
                ) from error  # fmt: skip


def _keys(ids: list[str]) -> list[bytes]:
    # Any text has a key, also one that came out of broken bytes.
    return [id_.encode("utf-8", "surrogatepass") for id_ in ids]


def _close(*pools: Pool[sqlite3.Connection]) -> None:
    for pool in pools:
        pool.clear()
