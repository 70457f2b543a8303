"""FeatureStore: the one contract of all stores, and the rows that a read gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from recokit.data.vocabulary import as_ids
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

#: Seconds by which the clock of a writer may be ahead of a request's.
SKEW = 60.0


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """What a store knew of n entities at a time.

    Parameters
    ----------
    names : tuple of str
        Features, F.
    stored : ndarray of float32, shape (n, F)
        The rows as written; anything where there is none.
    written_at : ndarray of float64, shape (n,)
        When each row was written, seconds since 1970; NaN where there is none.
    unread : ndarray of bool, shape (n,)
        Rows that could not be read: the store did not answer, or what stands there is no row of these features.
    now : ndarray of float64, shape () or (n,)
        Time of the request.
    ttl : float
        Seconds that a row counts after it was written, ``inf`` for ever.
    defaults : ndarray of float32, shape (F,)
        Values of a row that is missing, expired or unread.
    error : str
        Why rows are unread, empty if none is.

    Examples
    --------
    >>> from recokit.stores import Resident
    >>> store = Resident(["clicks"], ttl="1h", defaults=0.0)
    >>> store.write([7, 8], [[3.0], [5.0]], at=[0.0, 3_000.0])
    >>> rows = store.read([7, 8, 9], now=4_000.0)
    >>> rows.values.ravel().tolist(), rows.present.tolist()
    ([0.0, 5.0, 0.0], [False, True, False])
    >>> rows.expired, rows.missing, rows.failed
    (1, 1, 0)
    """

    names: tuple[str, ...]
    stored: Float32Array
    written_at: FloatArray
    unread: BoolArray
    now: FloatArray
    ttl: float
    defaults: Float32Array
    error: str = ""

    def __len__(self) -> int:
        return len(self.written_at)

    def __repr__(self) -> str:
        counts = f"{self.missing} missing, {self.expired} expired, {self.failed} failed"
        return f"FeatureRows({len(self)} rows of {len(self.names)} features, {counts})"

    @cached_property
    def age(self) -> FloatArray:
        """Seconds since each row was written, (n,) float64; NaN where there is none."""
        return np.asarray(self.now - self.written_at, np.float64)

    @cached_property
    def present(self) -> BoolArray:
        """Which rows count, (n,) bool: read, not expired, and not written after the request."""
        return ~self.unread & (self.age <= self.ttl) & (self.age >= -SKEW)

    @cached_property
    def values(self) -> Float32Array:
        """The features, (n, F) float32, with the defaults where a row is not present."""
        return np.where(self.present[:, None], self.stored, self.defaults).astype(np.float32, copy=False)

    @property
    def expired(self) -> int:
        """Number of rows older than the time to live."""
        return int(np.count_nonzero(~self.unread & (self.age > self.ttl)))

    @property
    def failed(self) -> int:
        """Number of rows that could not be read."""
        return int(np.count_nonzero(self.unread))

    @property
    def missing(self) -> int:
        """Number of rows that nobody wrote before the request."""
        return len(self) - int(np.count_nonzero(self.present)) - self.expired - self.failed

    def at(self, index: IntArray, now: float | FloatArray) -> FeatureRows:
        """Return some rows, in the given order, as of other times.

        Parameters
        ----------
        index : ndarray of int64, shape (m,)
            Which rows.
        now : float or ndarray of float64, shape (m,)
            Time of each.
        """
        return replace(
            self,
            stored=self.stored[index],
            written_at=self.written_at[index],
            unread=self.unread[index],
            now=np.asarray(now, np.float64),
        )


@runtime_checkable
class FeatureStore(Protocol):
    """Rows of float32 features by external id.

    Ids are those of the outer world, since stores are shared between processes and outlive vocabularies; an integer
    and its decimal digits are the same id. A store has no clock: times come from the caller.

    ``read`` never raises for what the store does: rows that it could not get in ``timeout`` seconds (or its own limit,
    whichever is less) come as defaults and are counted as failed. ``write`` raises.
    """

    names: tuple[str, ...]
    ttl: Any
    defaults: Any

    def read(
        self, ids: Sequence[Any] | AnyArray, *, now: float | FloatArray, timeout: float = np.inf
    ) -> FeatureRows:
        """Return the rows of some ids, which need not be distinct, as of a time (or a time for each)."""
        ...

    def write(
        self,
        ids: Sequence[Any] | AnyArray,
        values: AnyArray | Sequence[Sequence[float]] | Mapping[str, Any],
        *,
        at: float | FloatArray | Sequence[float],
    ) -> None:
        """Replace the rows of distinct ids: (n, F) in the order of the names, or a column for each name."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class ErasesRows(Protocol):
    """A feature store that removes rows by id, and returns how many there were."""

    def erase(self, ids: Sequence[Any] | AnyArray) -> int:
        """Remove the rows of some ids."""
        ...


def as_texts(ids: Iterable[Any] | AnyArray) -> list[str]:
    """Return ids as text; an integer is its decimal digits.

    Raises
    ------
    DataError
        If ids are neither integers nor text.
    """
    found = as_ids(ids)
    return found.tolist() if found.dtype.kind == "O" else list(map(str, found.tolist()))


#: Stands for a row that the store did not give: no row is empty.
UNREAD = b""


_MAGIC = int.from_bytes(b"RKF1", "little")


class Packing:
    """How rows of some features are written as bytes.

    Parameters
    ----------
    names : sequence of str
        Features, in order.

    Examples
    --------
    >>> packing = Packing(["clicks", "price"])
    >>> rows = packing.pack(np.array([[3.0, 9.5]], np.float32), np.array([1e9]))
    >>> values, written_at, unread = packing.unpack([*rows, None, rows[0][:-1]])
    >>> values[0].tolist(), written_at.tolist(), unread.tolist()
    ([3.0, 9.5], [1000000000.0, nan, nan], [False, False, True])
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.schema = fingerprint(names)
        self.dtype = np.dtype(
            [
                ("magic", "<u4"),
                ("n", "<u4"),  # for other readers; the fingerprint implies it
                ("schema", "<u8"),
                ("written_at", "<f8"),
                ("values", "<f4", (len(names),)),
            ]
        )
        self._blank = bytes(self.dtype.itemsize)

    def pack(self, values: Float32Array, written_at: FloatArray) -> list[bytes]:
        """Return each row as bytes.

        Parameters
        ----------
        values : ndarray of float32, shape (n, F)
        written_at : ndarray of float64, shape (n,)
        """
        rows = np.zeros(len(values), self.dtype)
        rows["magic"], rows["n"], rows["schema"] = _MAGIC, values.shape[1], self.schema
        rows["written_at"], rows["values"] = written_at, values
        size, whole = self.dtype.itemsize, rows.tobytes()
        return [whole[start : start + size] for start in range(0, len(whole), size)]

    def unpack(self, blobs: Sequence[bytes | None]) -> tuple[Float32Array, FloatArray, BoolArray]:
        """Return values (n, F), times of writing (n,) and which rows are unread (n,).

        A blob that is None is a row that is not there; one that is no row of these features is unread.
        """
        size, blank = self.dtype.itemsize, self._blank
        stands = np.array([blob is not None for blob in blobs], np.bool_)
        whole = [blob if isinstance(blob, bytes) and len(blob) == size else blank for blob in blobs]
        rows = np.frombuffer(b"".join(whole), self.dtype)
        good = (rows["magic"] == _MAGIC) & (rows["schema"] == self.schema) & np.isfinite(rows["written_at"])
        return rows["values"], np.where(good, rows["written_at"], np.nan), stands & ~good


def fingerprint(names: Sequence[str]) -> int:
    """Return 64 bits that tell one list of names from another."""
    return int.from_bytes(hashlib.sha256(json.dumps(list(names)).encode()).digest()[:8], "little")
