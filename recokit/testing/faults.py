"""Faults: copies of fitted stages with something wrong inside, for tests of debuggers, monitors and alerts.

A fault changes what a fitted stage has learned or, where there is nothing to change, what it answers. The copy has the
class name, options and verbs of the original and nothing that tells it apart, so whatever finds the fault has found it
by its effects. Put it into a pipeline with ``pipeline.replace(name, faulty)``.

==============  ==================================================================================================
stages          faults
==============  ==================================================================================================
sources         :func:`truncated`, :func:`shuffled`, :func:`nan_vectors`, :func:`collapsed`, :func:`dead`,
                :func:`flooding`
featurizers     :func:`dropped`, :func:`swapped`, :func:`scaled`, :func:`drifted`, :func:`defaulted`
scorers         :func:`flat`, :func:`inverted`, :func:`nan_scores`, :func:`columns_mixed_up`
filters         :func:`removing`
any             :func:`stale`, :func:`with_option`, :func:`delayed`, :func:`raising`, :func:`only_for`
==============  ==================================================================================================
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from recokit._kernels.forest import Forest
from recokit._kernels.segments import counts_to_offsets, offsets_to_rows, rows_to_offsets
from recokit._utils.params import clone
from recokit.data import Candidates, Dataset, Requests, Retrieved
from recokit.errors import ConfigurationError
from recokit.protocols import Refittable, role_of
from recokit.testing._answers import VERBS
from recokit.typing import AnyArray, BoolArray, IntArray

T = TypeVar("T")

#: Attributes of fitted sources with the items of each row, and the scores beside them.
_LISTS = {"neighbor_": "similarity_", "item_": "score_"}
#: Places of the table of items that a fault hits: codes beyond it start over.
_CODES = 1 << 20


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
    lost = _membership(items)
    name = _list_of(source)
    if not name:
        name, vectors = _vectors(source)
        spoiled = vectors.copy()
        spoiled[items] = 0.0
        return with_attributes(source, **{name: spoiled})
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
    name = _list_of(source)
    if name:
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


def _list_of(source: Any) -> str:
    """Return the attribute with the items of each row, empty where a source has none."""
    return next((name for name in _LISTS if name in vars(source)), "")


def _membership(items: IntArray) -> Callable[[AnyArray], BoolArray]:
    """Return a function that tells which codes are among the items."""
    listed = np.unique(items)
    return lambda codes: np.asarray(np.isin(codes, listed))


def with_attributes(stage: T, **attributes: Any) -> T:
    """Return a copy with other attributes."""
    twin = copy.copy(stage)
    twin.__dict__.update(attributes)
    return twin


def changed(stage: T, change: Callable[..., Any]) -> T:
    """Return a copy whose verb is ``change(call, *args)``; its class has the name that it had."""
    kind = type(stage)
    verb = VERBS[role_of(stage)]
    answer = getattr(kind, verb)

    def altered(self: Any, *args: Any) -> Any:
        return change(lambda *given: answer(self, *given), *args)

    twin = copy.copy(stage)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    twin.__class__ = type(kind.__name__, (kind,), {verb: altered, **names})
    return twin


def answering(stage: T, change: Callable[[Any, Any], Any]) -> T:
    """Return a copy whose answers are changed, given the batch that they are for."""
    return changed(stage, lambda call, batch, *args: change(call(batch, *args), batch))


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
    hit = _hit_items(share, seed)

    def change(call: Callable[..., Any], candidates: Candidates) -> Any:
        features = call(candidates).copy()
        rows = np.flatnonzero(hit(candidates.item))
        for place in _places(block, names):
            features[rows, place] = value
        return features

    return changed(block, change)


def _hit_items(share: float, seed: int) -> Callable[[IntArray], BoolArray]:
    """Return a function that tells which items are among a share of all of them."""
    hit = np.random.default_rng(seed).random(_CODES) < share
    return lambda item: np.asarray(hit[item % _CODES])


def swapped(block: T, one: str, other: str) -> T:
    """Return a copy whose two features have each other's values."""
    a, b = _places(block, (one, other))

    def change(call: Callable[..., Any], candidates: Candidates) -> Any:
        features = call(candidates).copy()
        features[:, [a, b]] = features[:, [b, a]]
        return features

    return changed(block, change)


def flat(scorer: T, levels: int = 1) -> T:
    """Return a copy whose scores have only so many values, the best half of the candidates all the same one."""

    def change(score: AnyArray, candidates: Candidates) -> AnyArray:
        whole = np.nanmedian(score) if len(score) else 0.0
        if levels == 1:
            return np.full_like(score, whole)
        edges = np.nanquantile(score, np.linspace(0, 0.5, levels)) if len(score) else np.zeros(levels)
        return np.asarray(edges[np.clip(np.searchsorted(edges, score), 0, levels - 1)], np.float32)

    return answering(scorer, change)


def inverted(scorer: T) -> T:
    """Return a copy that scores the other way round: trees, or coefficients, of the other sign."""
    model: Any = scorer
    if "forest_" in vars(scorer):
        forest = model.forest_
        trees = [dataclasses.replace(tree, value=-tree.value) for tree in forest.trees()]
        other = Forest.compile(
            trees, forest.n_features, forest.baseline, zero_is_missing=forest.zero_is_missing
        )
        return with_attributes(scorer, forest_=other)
    if "coef_" in vars(scorer):
        return with_attributes(scorer, coef_=-model.coef_, missing_coef_=-model.missing_coef_)
    return answering(scorer, lambda score, candidates: -score)


def nan_scores(scorer: T, share: float, seed: int) -> T:
    """Return a copy that scores a share of the items with NaN."""
    hit = _hit_items(share, seed)

    def change(score: AnyArray, candidates: Candidates) -> AnyArray:
        return np.where(hit(candidates.item), np.float32(np.nan), score).astype(np.float32)

    return answering(scorer, change)


def columns_mixed_up(ranker: T, seed: int) -> T:
    """Return a copy of a fitted ranker that reads its features in another order: a wrong version of the model.

    Raises
    ------
    ConfigurationError
        If it does not keep names of features.
    """
    names = vars(ranker).get("feature_names_")
    if names is None:
        raise ConfigurationError(f"found {ranker!r} without feature_names_; expected a fitted ranker")
    order = np.random.default_rng(seed).permutation(len(names))
    return with_attributes(ranker, feature_names_=tuple(names[place] for place in order))


def removing(rule: T, items: IntArray) -> T:
    """Return a copy of a filter that removes these items too."""
    gone = _membership(items)
    return answering(rule, lambda kept, candidates: np.asarray(kept & ~gone(candidates.item)))


def stale(stage: T, dataset: Dataset) -> T:
    """Return a clone that knows only this, older, dataset."""
    fitted: T = stage.refit(dataset) if isinstance(stage, Refittable) else clone(stage).fit(dataset)  # type: ignore[attr-defined]
    return fitted


def with_option(stage: T, **options: Any) -> T:
    """Return a copy with other options: settings that someone got wrong.

    Raises
    ------
    ConfigurationError
        If the stage has no such option.
    """
    for name in options:
        if name not in vars(stage):
            raise ConfigurationError(f"found no option {name!r} of {stage!r}; expected one that it has")
    return with_attributes(stage, **options)


def delayed(stage: T, seconds: float) -> T:
    """Return a copy that takes so much longer for each call."""

    def change(call: Callable[..., Any], *args: Any) -> Any:
        time.sleep(seconds)
        return call(*args)

    return changed(stage, change)


def raising(stage: T, share: float, seed: int, error: Exception | None = None) -> T:
    """Return a copy that raises on a share of its rows, by user and time, and answers the others."""
    limit = np.uint64(min(share, 1.0) * (2.0**64 - 2048))

    def change(call: Callable[..., Any], batch: Any, *args: Any) -> Any:
        requests = batch.requests if isinstance(batch, Candidates) else batch
        rows = np.unique(batch.row) if isinstance(batch, Candidates) else np.arange(len(requests))
        # A weak hash will do: which rows fail has to be repeatable, not random.
        key = (requests.seed[rows] + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
        if len(rows) and (share >= 1.0 or (key < limit).any()):
            raise error if error is not None else ConnectionError("connection reset by peer")
        return call(batch, *args)

    return changed(stage, change)


def only_for(stage: T, faulty: T, hit: Callable[[Requests], BoolArray]) -> T:
    """Return a copy that is faulty for some requests only.

    Parameters
    ----------
    stage, faulty : object
        A source, filter, featurizer or scorer, and its faulty copy.
    hit : callable
        From requests to the rows (B,) bool that get the faulty answer.
    """
    verb = VERBS[role_of(stage)]

    def change(call: Callable[..., Any], batch: Any, *args: Any) -> Any:
        good, bad = call(batch, *args), getattr(faulty, verb)(batch, *args)
        if isinstance(good, Retrieved):
            rows = np.flatnonzero(hit(batch))
            return _rows_from(good, bad, np.isin(np.arange(len(batch)), rows))
        rows_hit = hit(batch.requests)[batch.row]
        return np.where(rows_hit[:, None] if good.ndim == 2 else rows_hit, bad, good)

    return changed(stage, change)


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


def _rows_from(good: Retrieved, bad: Retrieved, hit: BoolArray) -> Retrieved:
    row_good, row_bad = offsets_to_rows(good.offsets), offsets_to_rows(bad.offsets)
    keep_good, keep_bad = ~hit[row_good], hit[row_bad]
    row = np.concatenate([row_good[keep_good], row_bad[keep_bad]])
    order = np.argsort(row, kind="stable")
    item = np.concatenate([good.item[keep_good], bad.item[keep_bad]])[order]
    score = np.concatenate([good.score[keep_good], bad.score[keep_bad]])[order]
    return Retrieved(rows_to_offsets(row[order], len(hit)), item, score)
