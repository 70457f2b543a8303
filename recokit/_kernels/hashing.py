"""Counter-based random numbers: the same (seed, item) gives the same draw in any batch, order or thread."""

from __future__ import annotations

import numpy as np

from recokit._native import arrays
from recokit._native.library import kernels
from recokit.errors import ContractError
from recokit.typing import FloatArray, IntArray, UInt64Array

_64_BITS = 0xFFFF_FFFF_FFFF_FFFF


def mix(values: UInt64Array) -> UInt64Array:
    """Return the SplitMix64 finaliser of each value (Steele, Lea and Flood, 2014)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def row_seeds(seed: int | IntArray, user: IntArray) -> UInt64Array:
    """Derive one seed for each request row from the run's seed, or one of its own, and the user's code.

    Two rows of one user get the same seed, so that arrival order and batch composition change nothing.
    """
    if isinstance(seed, np.ndarray):
        return mix(mix(seed.astype(np.uint64)) ^ mix(user.astype(np.uint64)))
    native = kernels()
    if native is not None:
        seeds = np.empty(len(user), np.uint64)
        native.rk_row_seeds(seed & _64_BITS, arrays.int64.of(user), len(user), arrays.uint64.out(seeds))
        return seeds
    base = mix(np.array([seed & _64_BITS], np.uint64))
    return mix(base ^ mix(user.astype(np.uint64)))


def uniform(seed: UInt64Array, counter: IntArray, stream: int = 0) -> FloatArray:
    """Return one uniform draw in (0, 1) for each pair of a seed and a counter.

    Parameters
    ----------
    seed, counter : ndarray, shape (N,)
        Seeds (uint64) and counters (int64), such as item codes.
    stream : int, default 0
        Independent draws for different purposes.
    """
    native = kernels()
    if native is not None and seed.shape == counter.shape:
        draw = np.empty(counter.shape)
        native.rk_uniform(
            arrays.uint64.of(seed, seed.ndim),
            arrays.int64.of(counter, seed.ndim),
            counter.size,
            stream,
            arrays.float64.out(draw),
        )
        return draw
    if seed.dtype != np.uint64:
        raise ContractError(f"found seeds of {seed.dtype}; expected uint64")
    salted = mix(counter.astype(np.uint64) ^ (np.uint64(stream) << np.uint64(48)))
    bits = mix(seed ^ salted) >> np.uint64(
        12
    )  # 52 bits and a half are exact in float64: never 0, never rounded to 1
    return (bits.astype(np.float64) + 0.5) * 2.0**-52
