"""Faults of sources: indexes that are cut, mixed up or spoiled, and answers that are not the user's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from recokit._kernels.segments import counts_to_offsets, offsets_to_rows, rows_to_offsets
from recokit.data import Live, Requests, Retrieved
from recokit.errors import ConfigurationError
from recokit.testing.faults.stages import answering, changed, hash_share, only_for, with_attributes
from recokit.typing import AnyArray, BoolArray, IntArray

T = TypeVar("T")

#: Attributes of fitted sources with the items of each row, and the scores beside them.
_LISTS = {"neighbor_": "similarity_", "item_": "score_"}
#: How far down a source is asked for what it likes least.
_DEEP = 1_000_000


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
    lost = membership(items)
    name = _list_of(source)
    if not name:
        return with_vectors(source, lambda vectors: _put(vectors, items, 0.0))
    index: Any = source
    row, codes = offsets_to_rows(index.offsets_), getattr(index, name)
    kept = ~lost(codes)
    if name == "neighbor_":  # the rows of this table are items too
        kept &= ~lost(row)
    return with_attributes(
        source,
        offsets_=rows_to_offsets(row[kept], len(index.offsets_) - 1),
        **{part: getattr(index, part)[kept] for part in (name, _LISTS[name])},
    )


def shuffled(source: T, seed: int) -> T:
    """Return a copy whose index entries belong to other items: an id map of another version.

    Raises
    ------
    ConfigurationError
        If the source has neither a table of neighbours nor vectors nor ranked lists.
    """
    random = np.random.default_rng(seed)
    random = np.random.default_rng(seed)
    return renumbered(source, lambda n: np.concatenate([[0], random.permutation(n - 1) + 1]))


def shifted(source: T, by: int) -> T:
    """Return a copy whose index entries belong to the items so many codes further on: an id map that slipped.

    Raises
    ------
    ConfigurationError
        If the source has neither a table of neighbours nor vectors nor ranked lists.
    """
    return renumbered(source, lambda n: np.concatenate([[0], np.roll(np.arange(1, n), by)]))


def renumbered(source: T, order_of: Callable[[int], AnyArray]) -> T:
    """Return a copy whose entries belong to the items of another order of all codes, given their number."""
    name = _list_of(source)
    if name:
        codes = getattr(source, name)
        return with_attributes(source, **{name: order_of(int(codes.max()) + 1)[codes].astype(codes.dtype)})
    return with_vectors(source, lambda vectors: vectors[order_of(len(vectors))])


def nan_vectors(source: T, share: float, seed: int) -> T:
    """Return a copy with NaN in a share of its vectors.

    Raises
    ------
    ConfigurationError
        If the source has no vectors.
    """

    def spoiled(vectors: AnyArray) -> AnyArray:
        random = np.random.default_rng(seed)
        vectors[random.random(len(vectors)) < share, random.integers(vectors.shape[1])] = np.nan
        return vectors

    return with_vectors(source, spoiled)


def collapsed(source: T, seed: int, noise: float = 0.01) -> T:
    """Return a copy whose vectors all point nearly one way.

    Raises
    ------
    ConfigurationError
        If the source has no vectors.
    """

    def turned(vectors: AnyArray) -> AnyArray:
        random = np.random.default_rng(seed)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        way = random.normal(size=vectors.shape[1])
        spread = noise * random.normal(size=vectors.shape)
        return np.asarray(length * (way / np.linalg.norm(way) + spread), vectors.dtype)

    return with_vectors(source, turned)


def enlarged(source: T, items: IntArray, factor: float) -> T:
    """Return a copy in which the vectors of some items are so many times longer, so that they win every product."""
    return with_vectors(source, lambda vectors: _put(vectors, items, vectors[items] * factor))


def turned(source: T, items: IntArray, seed: int) -> T:
    """Return a copy in which the vectors of some items are those of another training: the space is turned."""

    def other(vectors: AnyArray) -> AnyArray:
        random = np.random.default_rng(seed)
        turn, _ = np.linalg.qr(random.normal(size=(vectors.shape[1], vectors.shape[1])))
        return _put(vectors, items, vectors[items] @ turn)

    return with_vectors(source, other)


def negated(source: T) -> T:
    """Return a copy that finds what is least like the history: a distance taken for a similarity.

    A source by vectors is asked for its whole answer, and gives the end of it.
    """
    name = _list_of(source)
    if not name:
        return changed(source, lambda call, requests, limit: _tail(call(requests, _DEEP), limit))
    scores = _LISTS[name]
    return with_attributes(source, **{scores: -getattr(source, scores)})


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


def shortened(source: T, most: int) -> T:
    """Return a copy that gives at most so many items: a limit left over from a test."""
    return changed(source, lambda call, requests, limit: call(requests, min(limit, most)))


def delisted(source: T, items: IntArray, seed: int, share: float) -> T:
    """Return a copy that gives items which are no longer sold the first places of its lists, up to a share of them."""

    def change(call: Callable[..., Any], requests: Requests, limit: int) -> Retrieved:
        answer = call(requests, limit)
        random = np.random.default_rng(seed)
        rows, scores = [], []
        for row in range(len(requests)):
            own = slice(int(answer.offsets[row]), int(answer.offsets[row + 1]))
            old = random.permutation(items)[: max(round(share * (own.stop - own.start)), 1)]
            found = np.concatenate([old, answer.item[own][~np.isin(answer.item[own], old)]])
            found = found[: own.stop - own.start]
            rows.append(found)
            scores.append(np.sort(answer.score[own])[::-1][: len(found)])
        offsets = counts_to_offsets(np.array([len(row) for row in rows], np.int64))
        return Retrieved(
            offsets,
            np.concatenate([np.zeros(0, np.int64), *rows]),
            np.concatenate([np.zeros(0, np.float32), *scores]),
        )

    return changed(source, change)


def one_answer(source: T, requests: Requests) -> T:
    """Return a copy that gives everyone what it gives these requests' first row: a cache whose key lacks the user."""

    def change(call: Callable[..., Any], asked: Requests, limit: int) -> Retrieved:
        answer = call(requests.take(np.zeros(1, np.int64)), limit)
        n, size = len(asked), len(answer.item)
        return Retrieved(np.arange(n + 1) * size, np.tile(answer.item, n), np.tile(answer.score, n))

    return changed(source, change)


def part_of_calls(source: T, faulty: T, share: float, seed: int) -> T:
    """Return a copy that answers a share of the requests, by user and time, as a faulty one does."""
    return only_for(source, faulty, lambda requests: hash_share(requests.seed, seed) < share)


def degraded(source: T, most: int, share: float, seed: int) -> T:
    """Return a copy that gives a share of the rows less than it should, and reports them as degraded."""

    def change(call: Callable[..., Any], requests: Requests, limit: int) -> Retrieved:
        answer = call(requests, limit)
        hit = hash_share(requests.seed, seed) < share
        if hit.any():
            requests.report_degraded(np.flatnonzero(hit), "a shard did not answer")
        return _head(answer, np.where(hit, most, limit))

    return changed(source, change)


def _head(answer: Retrieved, most: Any) -> Retrieved:
    row = offsets_to_rows(answer.offsets)
    place = np.arange(len(row)) - answer.offsets[row]
    most = np.broadcast_to(most, len(answer.offsets) - 1)
    kept = place < most[row]
    return Retrieved(
        rows_to_offsets(row[kept], len(answer.offsets) - 1), answer.item[kept], answer.score[kept]
    )


def _tail(answer: Retrieved, most: int) -> Retrieved:
    """Return the last items of each row, the worst first."""
    row = offsets_to_rows(answer.offsets)
    place = answer.offsets[row + 1] - 1 - np.arange(len(row))
    order = np.lexsort((place, row))
    kept = order[place[order] < most]
    return Retrieved(
        rows_to_offsets(row[kept], len(answer.offsets) - 1), answer.item[kept], -answer.score[kept]
    )


def _put(vectors: AnyArray, items: IntArray, values: Any) -> AnyArray:
    vectors = vectors.copy()
    vectors[items] = values
    return vectors


def with_vectors(source: T, change: Callable[[AnyArray], AnyArray]) -> T:
    """Return a copy whose item vectors, one row for each code, are changed: where they lie, as they are searched.

    Raises
    ------
    ConfigurationError
        If the source has no vectors.
    """
    stage: Any = source
    if "live_" in vars(stage):  # an AnnIndex: what is searched, and the vectors that it was built from
        snapshot = stage.live_.pin()[1]
        base = snapshot.base
        rows = np.zeros((snapshot.n_items + 1, base.vectors.shape[1]), np.float32)
        rows[base.all_codes] = base.vectors
        spoiled = np.ascontiguousarray(change(rows)[base.all_codes], np.float32)
        # An index of other vectors would have to be built; a scan of them finds the same.
        searched = dataclasses.replace(base, vectors=spoiled, kind="exact", index=None)
        live = Live(dataclasses.replace(snapshot, base=searched), name=stage.live_.name)
        given = {"vectors": change(stage.vectors)} if isinstance(stage.vectors, np.ndarray) else {}
        return with_attributes(source, live_=live, **given)
    if isinstance(vars(stage).get("weights_"), dict) and "item" in stage.weights_:  # a sequence network
        return with_attributes(
            source, weights_={**stage.weights_, "item": change(stage.weights_["item"].copy())}
        )
    for name, value in vars(stage).items():
        if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind == "f":
            return with_attributes(source, **{name: change(value.copy())})
    raise ConfigurationError(
        f"found no vectors in {stage!r}; expected a float array with a row for each item"
    )


def has_index(source: Any) -> bool:
    """Whether a source has a table of neighbours, ranked lists or vectors."""
    return bool(_list_of(source)) or has_vectors(source)


def has_vectors(source: Any) -> bool:
    """Whether a source has item vectors."""
    try:
        with_vectors(source, lambda vectors: vectors)
    except ConfigurationError:
        return False
    return True


def _list_of(source: Any) -> str:
    """Return the attribute with the items of each row, empty where a source has none."""
    return next((name for name in _LISTS if name in vars(source)), "")


def membership(items: IntArray) -> Callable[[AnyArray], BoolArray]:
    """Return a function that tells which codes are among the items."""
    listed = np.unique(items)
    return lambda codes: np.asarray(np.isin(codes, listed))
