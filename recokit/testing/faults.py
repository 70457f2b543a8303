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
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from recokit._configured import clone
from recokit._ops.segments import offsets_to_rows, rows_to_offsets
from recokit.data import Candidates, Dataset, Requests, Retrieved
from recokit.errors import ConfigurationError
from recokit.protocols import role_of
from recokit.testing._answers import VERBS
from recokit.testing._faulty import answering, changed, has, with_attributes
from recokit.testing._source_faults import collapsed, dead, flooding, nan_vectors, shuffled, truncated
from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = [
    "collapsed",
    "columns_mixed_up",
    "dead",
    "defaulted",
    "delayed",
    "drifted",
    "dropped",
    "flat",
    "flooding",
    "inverted",
    "nan_scores",
    "nan_vectors",
    "only_for",
    "raising",
    "removing",
    "scaled",
    "shuffled",
    "stale",
    "swapped",
    "truncated",
    "with_option",
]

T = TypeVar("T")


# -- featurizers -------------------------------------------------------------------------------------


def dropped(block: T, names: Sequence[str]) -> T:
    """Return a copy whose features of these names are missing for all."""
    return _columns(block, names, lambda values: np.full_like(values, np.nan))


def scaled(block: T, names: Sequence[str], factor: float) -> T:
    """Return a copy whose features of these names are so many times larger: another unit."""
    return _columns(block, names, lambda values: values * np.float32(factor))


def drifted(block: T, names: Sequence[str], shift: Sequence[float]) -> T:
    """Return a copy whose features of these names are shifted, each by its own amount."""
    return _columns(block, names, lambda values: values + np.asarray(shift, np.float32))


def defaulted(block: T, names: Sequence[str], value: float, share: float, seed: int) -> T:
    """Return a copy that has a default in place of a share of the values of these features, by item."""
    hit = np.random.default_rng(seed).random(1 << 20) < share

    def change(call: Callable[..., Any], candidates: Candidates) -> Any:
        features = call(candidates).copy()
        rows = np.flatnonzero(hit[candidates.item % len(hit)])
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


# -- scorers -----------------------------------------------------------------------------------------


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
    if has(scorer, "forest_"):
        forest = copy.copy(scorer.forest_)  # type: ignore[attr-defined]
        forest._leaves = -forest._leaves
        return with_attributes(scorer, forest_=forest)
    if has(scorer, "coef_"):
        model: Any = scorer
        return with_attributes(scorer, coef_=-model.coef_, missing_coef_=-model.missing_coef_)
    return answering(scorer, lambda score, candidates: -score)


def nan_scores(scorer: T, share: float, seed: int) -> T:
    """Return a copy that scores a share of the items with NaN."""
    hit = np.random.default_rng(seed).random(1 << 20) < share

    def change(score: AnyArray, candidates: Candidates) -> AnyArray:
        bad = hit[candidates.item % len(hit)]
        return np.where(bad, np.float32(np.nan), score).astype(np.float32)

    return answering(scorer, change)


def columns_mixed_up(ranker: T, seed: int) -> T:
    """Return a copy of a fitted ranker that reads its features in another order: a wrong version of the model.

    Raises
    ------
    ConfigurationError
        If it does not keep names of features.
    """
    if not has(ranker, "feature_names_"):
        raise ConfigurationError(f"found {ranker!r} without feature_names_; expected a fitted ranker")
    names = ranker.feature_names_  # type: ignore[attr-defined]
    order = np.random.default_rng(seed).permutation(len(names))
    return with_attributes(ranker, feature_names_=tuple(names[place] for place in order))


# -- filters and any stage ---------------------------------------------------------------------------


def removing(rule: T, items: IntArray) -> T:
    """Return a copy of a filter that removes these items too."""
    gone = np.zeros(int(np.max(items, initial=0)) + 1, np.bool_)
    gone[items] = True

    def change(kept: AnyArray, candidates: Candidates) -> AnyArray:
        inside = candidates.item < len(gone)
        return np.asarray(kept & ~(inside & gone[np.where(inside, candidates.item, 0)]))

    return answering(rule, change)


def stale(stage: T, dataset: Dataset) -> T:
    """Return a clone that knows only this, older, dataset."""
    refit = getattr(stage, "refit", None)
    if refit is not None:
        known: T = refit(dataset)
        return known
    fitted: T = clone(stage).fit(dataset)  # type: ignore[attr-defined]
    return fitted


def with_option(stage: T, **options: Any) -> T:
    """Return a copy with other options: settings that someone got wrong.

    Raises
    ------
    ConfigurationError
        If the stage has no such option.
    """
    for name in options:
        if not has(stage, name):
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


# -- how -----------------------------------------------------------------------------------------------


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
