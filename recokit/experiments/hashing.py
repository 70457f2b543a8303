"""Hashes of external ids: which share of the line from 0 to 1 a unit falls on, the same everywhere and for ever."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from recokit._utils.options import shown
from recokit.errors import ConfigurationError, DataError
from recokit.typing import FloatArray, UInt64Array

_OFFSET, _PRIME, _MASK = 2_166_136_261, 16_777_619, 0xFFFF_FFFF
#: Below so many units, numpy's own time for a call is longer than a loop.
_FEW = 32


class Hashing(Protocol):
    """Places units on the line from 0 to 1 by their text and a salt; other salts, independent places."""

    def shares(self, units: Sequence[str], salt: str) -> FloatArray:
        """Return a number of at least 0 and below 1 for each unit, (N,) float64."""
        ...

    def share(self, unit: str, salt: str) -> float:
        """Return the same for one unit."""
        ...

    def in_layer(self, units: Sequence[str], layer: str) -> FloatArray:
        """Return the places of units in a layer, (N,) float64: which of its experiments they belong to."""
        ...


def unit_names(ids: Sequence[Any]) -> list[str]:
    """Return external ids as text: the integer 42 and the text ``"42"`` are one unit.

    Raises
    ------
    DataError
        For what is neither an integer nor text, such as 42.0, None or a truth value: it would be a unit of its own in
        one place, and ``"42"`` in another.

    Examples
    --------
    >>> unit_names([42, "42", np.int64(42)])
    ['42', '42', '42']
    """
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu":
        return list(map(str, ids.tolist()))
    names = ids.tolist() if isinstance(ids, np.ndarray) else ids
    return [one if type(one) is str else _name(one, row) for row, one in enumerate(names)]


def _name(one: Any, row: int) -> str:
    if isinstance(one, str):
        return str(one)
    if isinstance(one, int | np.integer) and not isinstance(one, bool):
        return str(int(one))
    raise DataError(
        f"found unit {shown(one)} of type {type(one).__name__}; expected an integer or text; "
        "hint: anonymous requests have no unit of their own, see unit='visitor_id'",
        rows=[row],
    )


@dataclass(frozen=True)
class KeyedHash:
    """BLAKE2b keyed by the salt (RFC 7693): 53 bits of it are the place on the line.

    Not the mixer that recokit draws with inside: other programs can compute it, and an id's place has nothing to do
    with its code.

    Examples
    --------
    >>> KeyedHash().shares(["user-1", "user-2"], "ranker-7").round(4).tolist()
    [0.4692, 0.2423]
    """

    def shares(self, units: Sequence[str], salt: str) -> FloatArray:
        """Return a number of at least 0 and below 1 for each unit, (N,) float64."""
        start, digests = _keyed(salt), []
        for unit in units:
            state = start.copy()
            state.update(unit.encode())
            digests.append(state.digest())
        words = np.frombuffer(b"".join(digests), "<u8")
        return np.asarray((words >> np.uint64(11)) * 2.0**-53)

    def share(self, unit: str, salt: str) -> float:
        """Return the place of one unit, as :meth:`shares` does: most calls are for one request."""
        state = _keyed(salt).copy()
        state.update(unit.encode())
        return float((int.from_bytes(state.digest(), "little") >> 11) * 2.0**-53)

    def in_layer(self, units: Sequence[str], layer: str) -> FloatArray:
        """Return the places of units in a layer, (N,) float64."""
        return self.shares(units, f"layer:{layer}")


@functools.lru_cache(maxsize=256)
def _keyed(salt: str) -> Any:
    key = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    return hashlib.blake2b(key=key, digest_size=8)


@dataclass(frozen=True)
class GrowthBook:
    """The hash of GrowthBook's public specification, for experiments that its SDKs take part in.

    Version 2 is ``fnv1a(str(fnv1a(seed + id))) % 10000 / 10000``, version 1 ``fnv1a(id + seed) % 1000 / 1000``;
    namespaces, which are layers here, use version 1 with the seed ``"__" + name``.

    Parameters
    ----------
    version : {1, 2}, default 2
        ``hashVersion`` of the experiment there.
    seed : str, optional
        Its ``seed``; its key, which is the experiment's name, by default.

    Raises
    ------
    ConfigurationError
        For any other version.

    Examples
    --------
    >>> GrowthBook().shares(["a"], "seed").tolist(), GrowthBook(version=1).shares(["a"], "").tolist()
    ([0.0505], [0.22])
    """

    version: int = 2
    seed: str | None = None

    def __post_init__(self) -> None:
        if self.version not in (1, 2):
            raise ConfigurationError(f"found version={shown(self.version)}; expected 1 or 2")

    def shares(self, units: Sequence[str], salt: str) -> FloatArray:
        """Return a number of at least 0 and below 1 for each unit, (N,) float64."""
        seed = salt if self.seed is None else self.seed
        if self.version == 1:
            return _share(_fnv1a([unit + seed for unit in units]), 1000)
        first = _fnv1a([seed + unit for unit in units])
        return _share(_fnv1a(list(map(str, first.tolist()))), 10_000)

    def share(self, unit: str, salt: str) -> float:
        """Return the place of one unit."""
        return float(self.shares([unit], salt)[0])

    def in_layer(self, units: Sequence[str], layer: str) -> FloatArray:
        """Return the places of units in a namespace, (N,) float64."""
        return _share(_fnv1a([f"{unit}__{layer}" for unit in units]), 1000)


def _share(words: UInt64Array, steps: int) -> FloatArray:
    return np.asarray(words % np.uint64(steps) / steps)


def _fnv1a(texts: Sequence[str]) -> UInt64Array:
    """Return the 32-bit FNV-1a hash of each text in UTF-8, (N,) uint64."""
    encoded = [text.encode() for text in texts]
    if len(encoded) < _FEW:
        return np.array([_fnv1a_of(one) for one in encoded], np.uint64)
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    width = max(int(lengths.max()), 1)
    # Columns of bytes, shorter texts filled up: byte i of all texts at once.
    padded = np.frombuffer(b"".join([one.ljust(width, b"\0") for one in encoded]), np.uint8)
    letters = np.ascontiguousarray(padded.reshape(-1, width).T)
    state = np.full(len(encoded), _OFFSET, np.uint64)
    for place in range(width):
        more = (state ^ letters[place]) * np.uint64(_PRIME) & np.uint64(_MASK)
        state = np.where(lengths > place, more, state)
    return state


def _fnv1a_of(text: bytes) -> int:
    state = _OFFSET
    for letter in text:
        state = (state ^ letter) * _PRIME & _MASK
    return state
