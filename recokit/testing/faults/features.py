"""Faults of features: values that are lost, moved, of another unit, another column or another row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from recokit.data import Candidates
from recokit.testing.faults.stages import CODES, changed, for_users, hit_items
from recokit.typing import AnyArray, IntArray

T = TypeVar("T")


def dropped(block: T, names: Sequence[str]) -> T:
    """Return a copy whose features of these names are missing for all."""
    return _columns(block, names, lambda values: np.full_like(values, np.nan))


def scaled(block: T, names: Sequence[str], factor: float) -> T:
    """Return a copy whose features of these names are so many times larger: another unit."""
    return _columns(block, names, lambda values: values * np.float32(factor))


def drifted(block: T, names: Sequence[str], shift: Sequence[float]) -> T:
    """Return a copy whose features of these names are shifted, each by its own amount."""
    return _columns(block, names, lambda values: values + np.asarray(shift, np.float32))


def defaulted(block: T, names: Sequence[str], value: float, *, share: float, seed: int) -> T:
    """Return a copy that has a default in place of a share of the values of these features, by item."""
    hit = hit_items(share, seed)

    def change(call: Callable[..., Any], candidates: Candidates) -> Any:
        features = call(candidates).copy()
        rows = np.flatnonzero(hit(candidates.item))
        for place in _places(block, names):
            features[rows, place] = value
        return features

    return changed(block, change)


def swapped(block: T, one: str, other: str) -> T:
    """Return a copy whose two features have each other's values."""
    a, b = _places(block, (one, other))

    def change(call: Callable[..., Any], candidates: Candidates) -> Any:
        features = call(candidates).copy()
        features[:, [a, b]] = features[:, [b, a]]
        return features

    return changed(block, change)


def _places(block: Any, names: Sequence[str]) -> list[int]:
    known = list(block.names)
    return [known.index(name) for name in names]


def _columns(block: T, names: Sequence[str], change: Callable[[AnyArray], AnyArray]) -> T:
    places = _places(block, names)

    def altered(call: Callable[..., Any], candidates: Candidates) -> Any:
        features = call(candidates).copy()
        features[:, places] = change(features[:, places])
        return features

    return changed(block, altered)


def rows_shifted(block: T, names: Sequence[str], by: int) -> T:
    """Return a copy whose features of these names are those of the candidate so many places further on."""
    return _columns(block, names, lambda values: np.roll(values, by, axis=0))


def clipped(block: T, names: Sequence[str], at: Sequence[float]) -> T:
    """Return a copy whose features of these names never exceed a value each: a counter that is too narrow."""
    return _columns(block, names, lambda values: np.minimum(values, np.asarray(at, np.float32)))


def of_user(block: T, names: Sequence[str], other: IntArray) -> T:
    """Return a copy whose features of these names are those of other users, by code: a join with the wrong key."""
    places, wrong = _places(block, names), for_users(block, other)

    def change(call: Callable[..., Any], candidates: Candidates) -> Any:
        features = call(candidates).copy()
        features[:, places] = wrong.featurize(candidates)[:, places]  # type: ignore[attr-defined]
        return features

    return changed(block, change)


def noisy(block: T, names: Sequence[str], spread: Sequence[float], seed: int) -> T:
    """Return a copy whose features of these names have noise of such a standard deviation each, by item."""
    table = np.random.default_rng(seed).normal(size=(CODES, 1)).astype(np.float32)

    def change(call: Callable[..., Any], candidates: Candidates) -> Any:
        features = call(candidates).copy()
        noise = table[candidates.item % CODES]
        features[:, _places(block, names)] += noise * np.asarray(spread, np.float32)
        return features

    return changed(block, change)
