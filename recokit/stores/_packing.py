"""Packing: one row of features as bytes, the same in every store that keeps bytes.

A row is a header of 24 bytes (magic and version, number of features, fingerprint of their names, time of writing) and
the values, all little-endian. Readers reject what another version or another list of features wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from recokit.typing import BoolArray, Float32Array, FloatArray

__all__ = ["UNREAD", "Packing"]

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
        there = np.array([blob is not None for blob in blobs], np.bool_)
        whole = [blob if isinstance(blob, bytes) and len(blob) == size else blank for blob in blobs]
        rows = np.frombuffer(b"".join(whole), self.dtype)
        good = (rows["magic"] == _MAGIC) & (rows["schema"] == self.schema) & np.isfinite(rows["written_at"])
        return rows["values"], np.where(good, rows["written_at"], np.nan), there & ~good


def fingerprint(names: Sequence[str]) -> int:
    """Return 64 bits that tell one list of names from another."""
    return int.from_bytes(hashlib.sha256(json.dumps(list(names)).encode()).digest()[:8], "little")
