"""Kinds of rankers: trained on the wrong rows, another model, or scores that no number holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from recokit.data import RankingData
from recokit.errors import ConfigurationError
from recokit.protocols import Role
from recokit.testing.faults import scorers, stages
from recokit.testing.faults.catalogue import Planted, broken, kind
from recokit.testing.faults.site import Draw, Site
from recokit.typing import AnyArray


@kind("ranker", "RANKER_LEAKED")
def trained_on_leaked_labels(site: Site, draw: Draw) -> Planted:
    """In training, some features held what happened afterwards; in serving they cannot."""
    names = site.feature_names(draw, draw.whole(1, 2), mode=0.9)
    strength = draw.between(2.0, 5.0)

    def leaked(rows: RankingData) -> RankingData:
        features, random = rows.features.copy(), np.random.default_rng(draw.seed)
        for name in names:
            place = rows.feature_names.index(name)
            column = features[:, place]
            middle, spread = np.nanmean(column), np.nanstd(column) + 1e-6
            known = strength * spread * (rows.label > 0) + 0.2 * spread * random.normal(size=len(rows))
            features[:, place] = middle + known
        return replace(rows, features=features)

    return broken(site, site.ranker, lambda stage: site.trained(leaked), detail=", ".join(names))


@kind("ranker", "RANKER_POSITION_BIAS")
def trained_on_position_bias(site: Site, draw: Draw) -> Planted:
    """The labels were clicks, and clicks fall to what stood first: the ranker has learned the order of retrieval."""
    decay = draw.between(0.8, 1.5)

    def clicked(rows: RankingData) -> RankingData:
        place = np.arange(len(rows)) - np.repeat(rows.offsets[:-1], np.diff(rows.offsets))
        random = np.random.default_rng(draw.seed)
        seen = random.random(len(rows)) < (1.0 + place) ** -decay
        return replace(rows, label=np.where(seen, np.float32(rows.label.max()), np.float32(0.0)))

    return broken(site, site.ranker, lambda stage: site.trained(clicked), detail=f"decay {decay:.1f}")


@kind("ranker", "RANKER_NEGATIVES")
def trained_on_one_kind_of_negatives(site: Site, draw: Draw) -> Planted:
    """All negatives were popular items, or all were unknown ones, so popularity alone tells them from positives."""
    popular = draw.some((True, False))
    share = draw.between(0.1, 0.25)

    def chosen(rows: RankingData) -> RankingData:
        count = site.popularity[rows.item]
        edge = np.quantile(count, 1.0 - share if popular else share)
        kept = (rows.label > 0) | (count >= edge if popular else count <= edge)
        return _rows(rows, kept)

    return broken(
        site, site.ranker, lambda stage: site.trained(chosen), detail="popular" if popular else "unpopular"
    )


@kind("ranker", "RANKER_POPULARITY", "RANKER_NEGATIVES", "PERSONALIZATION_LOST")
def ranker_by_popularity(site: Site, draw: Draw) -> Planted:
    """The ranker goes by how popular an item is, whoever asks."""
    own = site.values
    counts = site.popularity[site.batch.item].astype(np.float64)

    def alike(name: str) -> float:
        column = site.batch.feature(name).astype(np.float64)
        known = np.isfinite(column)
        return float(np.corrcoef(column[known], counts[known])[0, 1]) if np.ptp(column[known]) > 0 else 0.0

    name = max((name for name in own if name not in site.by_user), key=alike)
    if alike(name) < 0.5:
        raise ConfigurationError("found no feature that goes with popularity; expected one to rank by")
    weight = draw.between(0.9, 1.0)
    return broken(site, site.ranker, lambda stage: scorers.by_feature(stage, name, weight), detail=name)


@kind("ranker", "RANKER_FEATURE_ORDER")
def features_in_other_order(site: Site, draw: Draw) -> Planted:
    """The ranker reads its features in another order than it learned them."""
    return broken(site, site.ranker, lambda stage: scorers.columns_mixed_up(stage, draw.seed))


@kind("ranker", "RANKER_OTHER_VERSION", "RANKING_CHANGED")
def other_version(site: Site, draw: Draw) -> Planted:
    """The ranker is another model: one that knew a part of the features only, and other labels."""
    lost = set(site.feature_names(draw, max(1, round(0.6 * len(site.values)))))

    def other(rows: RankingData) -> RankingData:
        features = rows.features.copy()
        for name in lost:
            features[:, rows.feature_names.index(name)] = np.nan
        return replace(rows, features=features, label=(rows.label > 0).astype(np.float32))

    return broken(site, site.ranker, lambda stage: site.trained(other), detail=f"without {len(lost)}")


@kind("ranker", "RANKER_TRUNCATED", "RANKER_OTHER_VERSION")
def half_loaded(site: Site, draw: Draw) -> Planted:
    """Only the first trees, or coefficients, of the model were loaded."""
    share = draw.between(0.02, 0.3)
    return broken(site, site.ranker, lambda stage: scorers.half_loaded(stage, share), detail=f"{share:.0%}")


@kind("ranker", "RANKING_DIFFERENTIATION_FAILURE", alone=True)
def flat_ranker(site: Site, draw: Draw) -> Planted:
    """All scores of the better half are the same."""
    levels = draw.some((1, 2, 4))
    return broken(site, site.ranker, lambda stage: scorers.flat(stage, levels), detail=f"{levels} levels")


@kind("ranker", "RANKING_INVERTED")
def inverted_ranker(site: Site, draw: Draw) -> Planted:
    """The scores have the other sign."""
    return broken(site, site.ranker, scorers.inverted)


@kind("ranker", "SCORES_NOT_FINITE", alone=True)
def nan_scores(site: Site, draw: Draw) -> Planted:
    """A share of the scores is NaN."""
    share = draw.between(0.15, 1.0)
    return broken(
        site, site.ranker, lambda stage: scorers.nan_scores(stage, share, draw.seed), detail=f"{share:.0%}"
    )


def _best(site: Site) -> float:
    score = stages_score(site)
    return float(np.quantile(np.abs(score[np.isfinite(score)]), 0.95)) or 1.0


def stages_score(site: Site) -> AnyArray:
    """Return the ranker's own scores of the sampled candidates."""
    score: AnyArray = site.pipeline[site.ranker].score(site.batch)
    return score


@kind("ranker", "SCORES_OVERFLOW", "SCORES_NOT_FINITE", alone=True)
def calibration_overflows(site: Site, draw: Draw) -> Planted:
    """A calibration takes the exponential of large scores, and the best of them become infinite."""
    factor = draw.between(100.0, 400.0) / _best(site)
    return broken(site, site.ranker, lambda stage: scorers.exponential(stage, factor), detail=f"{factor:.3g}")


@kind("ranker", "SCORES_OVERFLOW", "SCORES_NOT_FINITE", alone=True)
def half_precision_overflows(site: Site, draw: Draw) -> Planted:
    """Scores have gone through float16, and the large ones are infinite."""
    factor = draw.between(1.5, 10.0) * 65_504.0 / _best(site)
    return broken(
        site,
        site.ranker,
        lambda stage: scorers.in_half_precision(stage, factor),
        detail=f"times {factor:.3g}",
    )


@kind("ranker", "SCORES_UNDERFLOW", "RANKING_DIFFERENTIATION_FAILURE", alone=True)
def half_precision_underflows(site: Site, draw: Draw) -> Planted:
    """Scores have gone through float16, and small ones are zero or share a few steps."""
    factor = draw.between(0.02, 1.5) * 6e-7 / _best(site)
    return broken(
        site,
        site.ranker,
        lambda stage: scorers.in_half_precision(stage, factor),
        detail=f"times {factor:.3g}",
    )


@kind("ranker", "SCORES_SATURATED", "RANKING_DIFFERENTIATION_FAILURE", alone=True)
def saturated_scores(site: Site, draw: Draw) -> Planted:
    """A sigmoid is so steep that the better scores are all 1."""
    score = stages_score(site)
    score = score[np.isfinite(score)]
    spread = float(np.subtract(*np.quantile(score, (0.75, 0.25)))) or 1.0
    middle = float(np.quantile(score, draw.between(0.2, 0.5)))
    steepness = draw.between(200.0, 2_000.0) / spread
    return broken(site, site.ranker, lambda stage: scorers.saturated(stage, steepness, middle))


@kind("ranker", "SCORES_STALE", "LISTS_STALE", "STALE_FEATURES")
def scores_from_a_cache(site: Site, draw: Draw) -> Planted:
    """The scores are those of a batch of weeks ago, by the features of then."""
    if len(site.named(Role.FEATURIZER)) != 1:
        raise ConfigurationError("found several featurizers; expected one, whose older values can be scored")
    block = site.pipeline[site.features]
    until = site.older.until

    def cached(stage: Any) -> Any:
        old = stages.as_of(block, lambda now: np.full_like(now, until))

        def change(call: Callable[..., Any], candidates: Any) -> Any:
            features = candidates.features.copy()
            places = [candidates.feature_names.index(name) for name in block.names]
            features[:, places] = old.featurize(candidates)
            return call(replace(candidates, features=features))

        return stages.changed(stage, change)

    return broken(site, site.ranker, cached)


@kind("ranker", "SCORER_DOMINATES")
def boost_too_strong(site: Site, draw: Draw) -> Planted:
    """The weight of a boost is so large that it decides alone."""
    later = [name for name in site.named(Role.SCORER) if name != site.ranker]
    boosts = [name for name in later if "weight" in vars(site.pipeline[name])]
    weight = draw.between(10.0, 100.0)
    return broken(
        site, draw.some(boosts, "boost with a weight"),
        lambda stage: stages.with_option(stage, weight=weight), detail=f"{weight:.1f}",
    )  # fmt: skip


def _rows(rows: RankingData, kept: AnyArray) -> RankingData:
    group = np.repeat(np.arange(len(rows.offsets) - 1), np.diff(rows.offsets))
    counts = np.bincount(group[kept], minlength=len(rows.offsets) - 1)
    return replace(
        rows,
        features=rows.features[kept],
        label=rows.label[kept],
        weight=rows.weight[kept],
        user=rows.user[kept],
        item=rows.item[kept],
        now=rows.now[kept],
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        columns={name: column[kept] for name, column in rows.columns.items()},
    )
