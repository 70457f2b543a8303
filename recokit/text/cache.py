"""Cache and AuditLog: answers of a model that are kept, and the record of what was asked, answered and decided."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recokit.errors import DataError

_CREATE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"


def key_of(prompt: str, schema: Any, model: str, facts: str = "") -> str:
    """Return the key of an answer: the hash of all that it depends on."""
    parts = json.dumps([prompt, schema, model, facts], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(parts.encode()).hexdigest()


class Cache:
    """Answers of a model by what they depend on, in a file of SQLite that threads and processes share.

    An answer is on disk when ``put`` returns: work that was killed goes on where it stopped.

    Parameters
    ----------
    path : str or Path
        The file; ``":memory:"`` keeps answers for this object only.

    Raises
    ------
    DataError
        If the file is none of these.

    Examples
    --------
    >>> cache = Cache(":memory:")
    >>> cache.put("key", "answer")
    >>> cache.get("key"), cache.get("other")
    ('answer', None)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._connect()

    def _connect(self) -> None:
        self._lock, self._pid = threading.Lock(), os.getpid()
        try:
            self._connection = sqlite3.connect(
                self.path, check_same_thread=False, timeout=30.0, isolation_level=None
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(
                "PRAGMA synchronous=NORMAL"
            )  # a killed process loses nothing, lost power the tail
            self._connection.execute(_CREATE)
        except sqlite3.Error as error:
            raise DataError(
                f"found {self.path!r}, which is no cache ({error}); expected a file of SQLite"
            ) from error

    def __reduce__(self) -> tuple[type[Cache], tuple[str]]:
        return Cache, (self.path,)

    def _execute(self, statement: str, *values: str) -> Any:
        if self._pid != os.getpid():
            self._connect()  # a connection does not go along into another process
        with self._lock:
            return self._connection.execute(statement, values).fetchone()

    def get(self, key: str) -> str | None:
        """Return a kept answer, None where there is none."""
        found = self._execute("SELECT answer FROM answers WHERE key = ?", key)
        return None if found is None else str(found[0])

    def put(self, key: str, answer: str) -> None:
        """Keep an answer."""
        self._execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", key, answer)

    def __len__(self) -> int:
        return int(self._execute("SELECT count(*) FROM answers")[0])


class AuditLog:
    """A file of one JSON object a line for each answer of a model: prompt, answer, verdict.

    Parameters
    ----------
    path : str or Path
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path, self.clock = str(path), clock
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[AuditLog], tuple[str]]:
        return AuditLog, (self.path,)

    def add(self, *, model: str, prompt: str, answer: str | None, verdict: str) -> None:
        """Write one line; what a prompt or an answer holds cannot end it."""
        line = json.dumps(
            {"at": self.clock(), "model": model, "prompt": prompt, "answer": answer, "verdict": verdict}
        )
        with self._lock, Path(self.path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def records(self) -> list[dict[str, Any]]:
        """Return what was written."""
        if not Path(self.path).exists():
            return []
        return [json.loads(line) for line in Path(self.path).read_text(encoding="utf-8").splitlines()]
