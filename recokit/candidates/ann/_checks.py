"""Checks of what comes into an AnnIndex, before any of it reaches FAISS."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.data import Live
from recokit.errors import ConfigurationError, ContractError, DataError
from recokit.typing import AnyArray, Float32Array, IntArray

_BLOCK = 1 << 18


def shown(value: Any) -> str:
    """Describe a value in a message."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def check_block(vectors: Any, name: str, width: int | None) -> None:
    """Check that an option is a block of vectors by code, of a width if one is given."""
    ok = isinstance(vectors, np.ndarray) and vectors.dtype == np.float32 and vectors.ndim == 2
    if not ok or not vectors.shape[0] or not vectors.shape[1]:
        raise ConfigurationError(
            f"found {name} as {shown(vectors)}; expected float32 (n + 1, D), row 0 for unknown codes; "
            "hint: np.ascontiguousarray(vectors, np.float32)"
        )
    if width is not None and vectors.shape[1] != width:
        raise ConfigurationError(
            f"found {name} of width {vectors.shape[1]}; expected {width}, that of vectors"
        )


def check_filter(allowed: Any) -> None:
    """Check the option ``allowed``."""
    if not (allowed is None or callable(allowed) or isinstance(allowed, np.ndarray | Live)):
        raise ConfigurationError(
            f"found allowed as {shown(allowed)}; expected bool by item code (n + 1,), a Live of one, or a function of "
            "the requests"
        )


def check_allowed(allowed: Any, n_items: int) -> None:
    """Check a filter by item code before it is indexed with codes."""
    if not isinstance(allowed, np.ndarray) or allowed.dtype != np.bool_ or allowed.shape != (n_items + 1,):
        raise ContractError(
            f"found allowed as {shown(allowed)}; expected bool ({n_items + 1},), one for each item code, or a Ragged "
            "of item codes with one list for each row"
        )


def check_rows(name: str, vectors: Float32Array, n: int, what: str) -> None:
    """Check that a block has a row for each code."""
    if len(vectors) != n + 1:
        raise ConfigurationError(
            f"found {len(vectors)} rows in {name}; expected {n + 1}, one for each of {n} {what} and row 0 for "
            "unknown ones; hint: are these vectors of another vocabulary?"
        )


def check_finite(name: str, vectors: AnyArray, first: int = 1) -> None:
    """Check that no row is NaN or infinite."""
    bad = [
        np.flatnonzero(~np.isfinite(vectors[start : start + _BLOCK]).all(axis=1)) + start
        for start in range(first, len(vectors), _BLOCK)
    ]
    rows = np.concatenate(bad) if bad else np.zeros(0, np.int64)
    if len(rows):
        raise DataError(f"found NaN or infinity in {name}; expected finite vectors", rows=rows)


def check_vectors(name: str, vectors: Any, n_rows: int | None, width: int) -> None:
    """Check vectors given to a method: type, dtype, shape and values."""
    ok = isinstance(vectors, np.ndarray) and vectors.dtype == np.float32 and vectors.ndim == 2
    if not ok or vectors.shape[1] != width or (n_rows is not None and len(vectors) != n_rows):
        rows = "B" if n_rows is None else n_rows
        raise DataError(f"found {name} as {shown(vectors)}; expected float32 ({rows}, {width})")
    check_finite(name, vectors, first=0)


def require_direction(vectors: Float32Array, rows: AnyArray, what: str) -> None:
    """Check that no vector is all zeros, for the cosine; ``rows`` names them in the message."""
    zero = np.asarray(rows)[~vectors.any(axis=1)]
    if len(zero):
        raise DataError(
            f"found {len(zero)} {what} with an all-zero vector under metric='cosine'; expected a direction for each; "
            "hint: metric='ip', or a vector from the item's content",
            rows=zero,
        )


def as_codes(items: Any, n_items: int) -> IntArray:
    """Return distinct item codes of the catalogue, as given."""
    codes = np.asarray(items)
    if codes.ndim != 1 or (codes.dtype.kind not in "iu" and codes.size):
        raise DataError(f"found items as {shown(codes)}; expected item codes, integers (N,)")
    codes = codes.astype(np.int64)
    bad = np.flatnonzero((codes < 1) | (codes > n_items))
    if len(bad):
        raise DataError(
            f"found item code {codes[bad[0]]}; expected 1 to {n_items}; hint: upsert(..., n_items=) for a catalogue "
            "that has grown",
            rows=bad,
        )
    if len(np.unique(codes)) != len(codes):
        raise DataError("found an item twice; expected distinct items")
    return codes
