"""Resident: features in this process's memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from recokit.stores._base import Fetched, Store
from recokit.typing import AnyArray, Float32Array, FloatArray


class Resident(Store):
    """Feature store in memory, for one process and all its threads.

    The default: nothing is faster. It starts empty, is filled by :meth:`write`, and travels with a saved pipeline.

    Parameters
    ----------
    names : sequence of str
        Features.
    ttl : duration, optional
        How long a row counts; for ever by default.
    defaults : float or mapping of str to float, default NaN
        Values of a row that is missing or expired, for all features or by name.

    Raises
    ------
    ConfigurationError
        If names repeat, or an option is not what it should be.

    Notes
    -----
    A reader sees a write whole or not at all. Rows that have expired make room when the arrays are full.

    Examples
    --------
    >>> store = Resident(["clicks", "price"], defaults={"clicks": 0.0})
    >>> store.write(["a", "b"], {"clicks": [3, 1], "price": [9.5, 2.0]}, at=1e9)
    >>> store.read(["b", "z"], now=1e9).values.tolist()
    [[1.0, 2.0], [0.0, nan]]
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        ttl: Any = None,
        defaults: float | Mapping[str, float] = np.nan,
    ) -> None:
        super().__init__(names, ttl, defaults)
        self._lock = threading.Lock()
        self._place: dict[str, int] = {}
        self._values = np.zeros((1, len(self.names)), np.float32)
        self._written_at = np.full(1, np.nan)

    def __len__(self) -> int:
        """Return the number of rows held, expired ones included."""
        return len(self._place)

    def _fetch(self, ids: list[str], now: float, timeout: float) -> Fetched:
        with self._lock:
            # Place 0 holds no row: it answers for ids that are not known.
            place = np.fromiter(map(self._place.get, ids, repeat(0)), np.int64, len(ids))
            values, written_at = self._values[place], self._written_at[place]
        return values, written_at, np.zeros(len(ids), np.bool_), ""

    def _put(self, ids: list[str], values: Float32Array, at: FloatArray) -> None:
        with self._lock:
            new = [id_ for id_ in ids if id_ not in self._place]
            if 1 + len(self._place) + len(new) > len(self._values):
                self._make_room(ids, float(at.max()))
                new = [id_ for id_ in ids if id_ not in self._place]
            self._place.update(
                zip(new, range(1 + len(self._place), 1 + len(self._place) + len(new)), strict=True)
            )
            place = np.fromiter(map(self._place.__getitem__, ids), np.int64, len(ids))
            self._values[place], self._written_at[place] = values, at

    def _erase(self, ids: list[str]) -> int:
        with self._lock:
            gone = [id_ for id_ in ids if id_ in self._place]
            kept = [id_ for id_ in self._place if id_ not in set(gone)]
            place = np.fromiter((self._place[id_] for id_ in kept), np.int64, len(kept))
            index = np.concatenate([[0], place])
            self._values, self._written_at = self._values[index], self._written_at[index]
            self._place = dict(zip(kept, range(1, 1 + len(kept)), strict=True))
        return len(gone)

    def _make_room(self, ids: list[str], now: float) -> None:
        """Drop what has expired, then double the arrays until all ids fit."""
        kept = [id_ for id_, place in self._place.items() if now - self._written_at[place] <= self._ttl]
        place = np.fromiter(map(self._place.__getitem__, kept), np.int64, len(kept))
        size = 1 << int(1 + len({*kept, *ids})).bit_length()
        values = np.zeros((size, len(self.names)), np.float32)
        written_at = np.full(size, np.nan)
        values[1 : 1 + len(kept)], written_at[1 : 1 + len(kept)] = (
            self._values[place],
            self._written_at[place],
        )
        self._place = dict(zip(kept, range(1, 1 + len(kept)), strict=True))
        self._values, self._written_at = values, written_at

    def state(self) -> dict[str, Any]:
        """Return the rows held, for saving with a pipeline."""
        with self._lock:
            n = 1 + len(self._place)
            return {
                "ids": list(self._place),
                "values": self._values[:n].copy(),
                "written_at": self._written_at[:n].copy(),
            }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over the rows of :meth:`state`."""
        with self._lock:
            self._place = dict(zip(state["ids"], range(1, 1 + len(state["ids"])), strict=True))
            self._values = np.array(state["values"], np.float32)
            self._written_at = np.array(state["written_at"], np.float64)

    def __reduce__(self) -> Any:
        return (*super().__reduce__(), self.state())

    def __setstate__(self, state: Mapping[str, AnyArray]) -> None:
        self.load_state(state)
