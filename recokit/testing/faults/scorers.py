"""Faults of scorers: models that are flat, turned round or another version, and scores that no number holds."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import numpy as np

from recokit._kernels.forest import Forest
from recokit.data import Candidates
from recokit.errors import ConfigurationError
from recokit.testing.faults.stages import answering, hit_items, with_attributes
from recokit.typing import AnyArray

T = TypeVar("T")


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
    hit = hit_items(share, seed)

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


def in_half_precision(scorer: T, factor: float) -> T:
    """Return a copy whose scores, so many times as large, have gone through float16.

    Large ones are infinite then, small ones zero or few steps.
    """

    def change(score: AnyArray, candidates: Candidates) -> AnyArray:
        with np.errstate(over="ignore", under="ignore"):
            return (score * factor).astype(np.float16).astype(np.float32)

    return answering(scorer, change)


def exponential(scorer: T, factor: float) -> T:
    """Return a copy whose scores are the exponential of so many times the score, in float32: they overflow."""

    def change(score: AnyArray, candidates: Candidates) -> AnyArray:
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(np.exp(np.float32(factor) * score.astype(np.float32), dtype=np.float32))

    return answering(scorer, change)


def saturated(scorer: T, steepness: float, middle: float) -> T:
    """Return a copy whose scores are squashed so steeply around a middle that most are 0 or 1."""

    def change(score: AnyArray, candidates: Candidates) -> AnyArray:
        raw = steepness * (score.astype(np.float64) - middle)
        return (0.5 + 0.5 * np.tanh(0.5 * raw)).astype(np.float32)

    return answering(scorer, change)


def half_loaded(ranker: T, share: float) -> T:
    """Return a copy that has the first share of its trees, or of its coefficients, only.

    Raises
    ------
    ConfigurationError
        If it is neither a forest nor linear nor a network.
    """
    model: Any = ranker
    if "forest_" in vars(model):
        trees, forest = model.forest_.trees(), model.forest_
        part = Forest.compile(
            trees[: max(1, round(share * len(trees)))],
            forest.n_features,
            forest.baseline,
            zero_is_missing=forest.zero_is_missing,
        )
        return with_attributes(ranker, forest_=part)
    if "coef_" in vars(model):
        there = np.arange(len(model.coef_)) < share * len(model.coef_)
        return with_attributes(ranker, coef_=model.coef_ * there, missing_coef_=model.missing_coef_ * there)
    raise ConfigurationError(f"found {ranker!r}; expected a fitted forest or linear ranker")


def by_feature(scorer: T, name: str, weight: float = 1.0) -> T:
    """Return a copy whose scores are one feature's values, with a share of the own scores left."""

    def change(score: AnyArray, candidates: Candidates) -> AnyArray:
        values = np.nan_to_num(candidates.feature(name))
        return (weight * _unit(values) + (1.0 - weight) * _unit(score)).astype(np.float32)

    return answering(scorer, change)


def _unit(values: AnyArray) -> AnyArray:
    finite = values[np.isfinite(values)]
    if not len(finite) or np.ptp(finite) == 0:
        return np.zeros(len(values))
    return np.asarray((np.nan_to_num(values) - finite.min()) / np.ptp(finite))
