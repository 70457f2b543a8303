"""Faults of sources: indexes not whole, not in order or not finite; sources that find nothing, or too much."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from recokit._ops.segments import counts_to_offsets, offsets_to_rows, rows_to_offsets
from recokit.data import Requests, Retrieved
from recokit.errors import ConfigurationError
from recokit.testing._faulty import answering, changed, has, with_attributes
from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = ["collapsed", "dead", "flooding", "nan_vectors", "shuffled", "truncated"]

T = TypeVar("T")


def truncated(source: T, items: IntArray) -> T:
    """Return a copy whose index lacks some items, as after a build that ended early.

    Parameters
    ----------
    source : object
        Fitted: with a table of neighbours, with vectors, or with ranked lists.
    items : ndarray of int64
        Codes of the items that are lost.

    Raises
    ------
    ConfigurationError
        If the source has none of these.

    Examples
    --------
    >>> from recokit.candidates import Popular
    >>> from recokit.data import Requests
    >>> from recokit.testing import toy_dataset
    >>> source = truncated(Popular().fit(toy_dataset()), np.arange(1, 20))
    >>> int(source.retrieve(Requests.build(np.array([0])), 100).item.min())
    20
    """
    n_codes = int(np.max(items, initial=0)) + 1
    lost = np.zeros(n_codes, np.bool_)
    lost[items] = True

    def out(codes: AnyArray) -> BoolArray:
        inside = codes < n_codes
        return np.asarray(inside & lost[np.where(inside, codes, 0)])

    if has(source, "neighbor_"):
        table: Any = source
        row = offsets_to_rows(table.offsets_)
        kept = ~out(table.neighbor_) & ~out(row)
        return with_attributes(
            source,
            offsets_=rows_to_offsets(row[kept], len(table.offsets_) - 1),
            neighbor_=table.neighbor_[kept],
            similarity_=table.similarity_[kept],
        )
    if has(source, "item_"):
        lists: Any = source
        row = offsets_to_rows(lists.offsets_)
        kept = ~out(lists.item_)
        return with_attributes(
            source,
            offsets_=rows_to_offsets(row[kept], len(lists.offsets_) - 1),
            item_=lists.item_[kept],
            score_=lists.score_[kept],
        )
    name, vectors = _vectors(source)
    spoiled = vectors.copy()
    spoiled[items] = 0.0
    return with_attributes(source, **{name: spoiled})


def shuffled(source: T, seed: int) -> T:
    """Return a copy whose index entries belong to other items: an id map of another version.

    Raises
    ------
    ConfigurationError
        If the source has neither a table of neighbours nor vectors nor ranked lists.
    """
    random = np.random.default_rng(seed)
    for name in ("neighbor_", "item_"):
        if has(source, name):
            codes = getattr(source, name)
            order = np.concatenate([[0], random.permutation(int(codes.max())) + 1])
            return with_attributes(source, **{name: order[codes].astype(codes.dtype)})
    name, vectors = _vectors(source)
    order = np.concatenate([[0], random.permutation(len(vectors) - 1) + 1])
    return with_attributes(source, **{name: vectors[order]})


def nan_vectors(source: T, share: float, seed: int) -> T:
    """Return a copy with NaN in a share of its vectors.

    Raises
    ------
    ConfigurationError
        If the source has no vectors.
    """
    name, vectors = _vectors(source)
    spoiled = vectors.copy()
    random = np.random.default_rng(seed)
    spoiled[random.random(len(vectors)) < share, random.integers(vectors.shape[1])] = np.nan
    return with_attributes(source, **{name: spoiled})


def collapsed(source: T, seed: int, noise: float = 0.01) -> T:
    """Return a copy whose vectors all point nearly one way.

    Raises
    ------
    ConfigurationError
        If the source has no vectors.
    """
    name, vectors = _vectors(source)
    random = np.random.default_rng(seed)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    way = random.normal(size=vectors.shape[1])
    spread = noise * random.normal(size=vectors.shape)
    return with_attributes(
        source, **{name: (length * (way / np.linalg.norm(way) + spread)).astype(vectors.dtype)}
    )


def dead(source: T) -> T:
    """Return a copy that finds nothing, and does not fail."""
    return answering(source, lambda answer, requests: Retrieved.empty(len(requests)))


def flooding(source: T, n_items: int, seed: int) -> T:
    """Return a copy that fills up each answer with random items, as far as its limit allows."""

    def filled(answer: Retrieved, requests: Requests, limit: int) -> Retrieved:
        random = np.random.default_rng(seed)
        rows = []
        for row in range(len(requests)):
            own = answer.item[answer.offsets[row] : answer.offsets[row + 1]]
            more = random.permutation(n_items)[: 2 * limit] + 1
            rows.append(np.concatenate([own, more[~np.isin(more, own)]])[:limit])
        offsets = counts_to_offsets(np.array([len(items) for items in rows], np.int64))
        item = np.concatenate([np.zeros(0, np.int64), *rows])
        return Retrieved(offsets, item, np.zeros(len(item), np.float32))

    return changed(source, lambda call, requests, limit: filled(call(requests, limit), requests, limit))


def _vectors(stage: Any) -> tuple[str, AnyArray]:
    for name, value in vars(stage).items():
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind == "f":
            return name, value
    raise ConfigurationError(
        f"found no vectors in {stage!r}; expected a float array with a row for each item"
    )
