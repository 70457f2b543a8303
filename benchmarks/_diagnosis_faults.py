"""The faults that the benchmark of the debugger plants: each kind at random places, with random magnitudes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._diagnosis_world import World
from recokit.testing import faults

__all__ = ["KINDS", "Planted", "plant"]

MERGE = ("merge.item_knn", "merge.pure_svd")
RANKER, BOOST, FEATURES, STOCK = "ranker", "promote", "standard", "in_stock"


@dataclass(frozen=True, eq=False)
class Planted:
    """A broken pipeline and what the debugger should say of it."""

    pipeline: rk.Pipeline
    stage: str
    codes: tuple[str, ...]
    scope: str = ""
    detail: str = ""


class Workshop:
    """Makes faults in one world from one seed."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random = world, np.random.default_rng(seed)
        self.pipeline = world.pipeline

    def broken(
        self, name: str, change: Callable[[Any], Any], *codes: str, scope: str = "", detail: str = ""
    ) -> Planted:
        stage = change(self.pipeline[name])
        return Planted(self.pipeline.replace(name, stage), name, codes, scope, detail)

    def some(self, options: Any) -> Any:
        return options[int(self.random.integers(len(options)))]

    def between(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    @property
    def seed(self) -> int:
        return int(self.random.integers(1 << 30))

    # -- sources ---------------------------------------------------------------------------------------

    def stale_index(self) -> Planted:
        return self.broken(
            self.some(MERGE), lambda stage: faults.stale(stage, self.world.older), "STALE_INDEX"
        )

    def truncated_index(self) -> Planted:
        n_items, share = len(self.pipeline.schema.item_ids), self.between(0.25, 0.7)
        lost = self.random.choice(np.arange(1, n_items + 1), int(share * n_items), replace=False)
        return self.broken(
            self.some(MERGE),
            lambda stage: faults.truncated(stage, lost),
            "INDEX_TRUNCATED",
            detail=f"{share:.0%}",
        )

    def shuffled_ids(self) -> Planted:
        return self.broken(
            self.some(MERGE),
            lambda stage: faults.shuffled(stage, self.seed),
            "INDEX_SHUFFLED",
        )

    def nan_embeddings(self) -> Planted:
        share = self.between(0.05, 0.9)
        return self.broken(
            "merge.pure_svd",
            lambda stage: faults.nan_vectors(stage, share, self.seed),
            "EMBEDDING_NOT_FINITE",
            detail=f"{share:.0%}",
        )

    def collapsed_embeddings(self) -> Planted:
        noise = self.between(0.0, 0.02)
        return self.broken(
            "merge.pure_svd",
            lambda stage: faults.collapsed(stage, self.seed, noise),
            "EMBEDDING_COLLAPSED",
            detail=f"noise {noise:.3f}",
        )

    def dead_source(self) -> Planted:
        return self.broken(self.some((*MERGE, "merge.popular")), faults.dead, "SOURCE_EMPTY")

    def flooding_source(self) -> Planted:
        n_items = len(self.pipeline.schema.item_ids)
        return self.broken(
            "merge.history", lambda stage: faults.flooding(stage, n_items, self.seed), "SOURCE_FLOODS"
        )

    # -- features --------------------------------------------------------------------------------------

    def features_dropped(self) -> Planted:
        names = self._features(int(self.random.integers(2, 12)))
        return self.broken(
            FEATURES,
            lambda block: faults.dropped(block, names),
            "FEATURES_LOST",
            "FEATURE_QUALITY_ISSUE",
            detail=f"{len(names)}",
        )

    def features_stale(self) -> Planted:
        return self.broken(FEATURES, lambda block: faults.stale(block, self.world.older), "STALE_FEATURES")

    def columns_swapped(self) -> Planted:
        one, other = self._features(2, distinct=True)
        return self.broken(
            FEATURES,
            lambda block: faults.swapped(block, one, other),
            "FEATURES_SWAPPED",
            detail=f"{one}, {other}",
        )

    def scaled_by_1000(self) -> Planted:
        names, factor = self._features(int(self.random.integers(1, 4))), 10.0 ** self.some((3.0, -3.0))
        return self.broken(
            FEATURES,
            lambda block: faults.scaled(block, names, factor),
            "FEATURES_SCALED",
            detail=f"{', '.join(names)} by {factor:g}",
        )

    def features_drifted(self) -> Planted:
        names = self._features(int(self.random.integers(1, 4)))
        spread = self._values().std
        shift = [self.some((-1, 1)) * self.between(3.0, 8.0) * spread[name] for name in names]
        return self.broken(
            FEATURES,
            lambda block: faults.drifted(block, names, shift),
            "FEATURES_DRIFTED",
            detail=", ".join(names),
        )

    def leaked_defaults(self) -> Planted:
        names = self._features(int(self.random.integers(1, 4)), varied=True)
        value, share = self.some((0.0, -1.0)), self.between(0.5, 1.0)
        return self.broken(
            FEATURES,
            lambda block: faults.defaulted(block, names, value, share=share, seed=self.seed),
            "FEATURES_DEFAULTED",
            detail=f"{', '.join(names)} {share:.0%} {value}",
        )

    # -- ranking -----------------------------------------------------------------------------------------

    def flat_ranker(self) -> Planted:
        levels = self.some((1, 2, 4))
        return self.broken(
            RANKER,
            lambda stage: faults.flat(stage, levels),
            "RANKING_DIFFERENTIATION_FAILURE",
            detail=f"{levels} levels",
        )

    def inverted_ranker(self) -> Planted:
        return self.broken(RANKER, faults.inverted, "RANKING_INVERTED")

    def nan_scores(self) -> Planted:
        share = self.between(0.15, 1.0)
        return self.broken(
            RANKER,
            lambda stage: faults.nan_scores(stage, share, self.seed),
            "SCORES_NOT_FINITE",
            detail=f"{share:.0%}",
        )

    def wrong_model_version(self) -> Planted:
        return self.broken(
            RANKER,
            lambda stage: faults.columns_mixed_up(stage, self.seed),
            "RANKING_CHANGED",
        )

    def boost_too_strong(self) -> Planted:
        weight = self.between(10.0, 100.0)
        return self.broken(
            BOOST,
            lambda stage: faults.with_option(stage, weight=weight),
            "SCORER_DOMINATES",
            detail=f"{weight:.1f}",
        )

    # -- the list ----------------------------------------------------------------------------------------

    def rule_removes_category(self) -> Planted:
        column = self.pipeline.schema.items.categorical["category"]
        shares = np.bincount(column.codes[self._values().item], minlength=len(column.labels) + 1)
        shares = shares / shares.sum()
        label = int(self.some(np.flatnonzero((shares > 0.08) & (np.arange(len(shares)) > 0))))
        items = np.flatnonzero(column.codes == label)
        name = self.some((STOCK, "blocked"))
        return self.broken(
            name,
            lambda rule: faults.removing(rule, items),
            "RULE_REMOVES_MORE",
            "BUSINESS_RULES_TOO_AGGRESSIVE",
            detail=f"{shares[label]:.0%} of candidates",
        )

    def stock_feed_empty(self) -> Planted:
        left = self.between(0.0, 0.2)

        def emptied(rule: Any) -> Any:
            kept = np.random.default_rng(self.seed).random(len(rule.stock)) < left
            return faults.with_option(rule, stock=rule.stock * kept)

        return self.broken(STOCK, emptied, "BUSINESS_RULES_TOO_AGGRESSIVE", detail=f"{left:.0%} left")

    def cap_too_tight(self) -> Planted:
        return self.broken(
            "max_share",
            lambda stage: faults.with_option(stage, share=self.some((0.1, 0.12, 0.15))),
            "LIMIT_TOO_TIGHT",
        )

    def diversity_too_high(self) -> Planted:
        return self.broken(
            "mmr",
            lambda stage: faults.with_option(stage, trade_off=self.between(0.0, 0.25)),
            "DIVERSITY_TOO_STRONG",
        )

    # -- serving -----------------------------------------------------------------------------------------

    def slow_stage(self) -> Planted:
        name = self.some((*MERGE, STOCK, FEATURES, RANKER))
        seconds = self.between(0.04, 0.2)
        return self.broken(
            name, lambda stage: faults.delayed(stage, seconds), "STAGE_SLOW", detail=f"{1e3 * seconds:.0f} ms"
        )

    def failing_stage(self) -> Planted:
        name, share = self.some((*MERGE, FEATURES, RANKER, BOOST)), self.between(0.3, 1.0)
        return self.broken(
            name,
            lambda stage: faults.raising(stage, share, self.seed),
            "STAGE_FAILED",
            detail=f"{share:.0%} of requests",
        )

    # -- only some ---------------------------------------------------------------------------------------

    def one_segment(self) -> Planted:
        name, faulty, codes = self._ranking_fault()
        column, label, codes_hit = self._user_segment()

        def hit(requests: rk.Requests) -> np.ndarray:
            return np.isin(requests.user, codes_hit)

        return self.broken(
            name,
            lambda stage: faults.only_for(stage, faulty(stage), hit),
            *codes,
            scope=f"{column}={label}",
        )

    def only_new_users(self) -> Planted:
        name, faulty, codes = self.some(
            (
                (RANKER, lambda stage: faults.nan_scores(stage, 0.6, self.seed), ("SCORES_NOT_FINITE",)),
                (RANKER, lambda stage: faults.flat(stage), ("RANKING_DIFFERENTIATION_FAILURE",)),
                ("merge.popular", faults.dead, ("SOURCE_EMPTY", "CANDIDATE_GENERATION_FAILURE")),
            )
        )

        def hit(requests: rk.Requests) -> np.ndarray:
            return requests.user == 0

        return self.broken(
            name, lambda stage: faults.only_for(stage, faulty(stage), hit), *codes, scope="history=new"
        )

    def _ranking_fault(self) -> Any:
        names = self._features(6)
        return self.some(
            (
                (RANKER, lambda stage: faults.nan_scores(stage, 0.5, self.seed), ("SCORES_NOT_FINITE",)),
                (RANKER, faults.inverted, ("RANKING_INVERTED",)),
                (
                    FEATURES,
                    lambda block: faults.dropped(block, names),
                    ("FEATURES_LOST", "FEATURE_QUALITY_ISSUE"),
                ),
                ("merge.item_knn", faults.dead, ("SOURCE_EMPTY",)),
            )
        )

    def _user_segment(self) -> tuple[str, str, np.ndarray]:
        active = np.unique(self.world.test.interactions.user)
        options = []
        for name, column in self.pipeline.schema.users.categorical.items():
            shares = np.bincount(column.codes[active], minlength=len(column.labels) + 1) / len(active)
            options += [
                (name, int(code)) for code in np.flatnonzero((shares > 0.2) & (shares < 0.6)) if code > 0
            ]
        name, code = options[int(self.random.integers(len(options)))]
        column = self.pipeline.schema.users.categorical[name]
        label = str(column.labels.decode(np.array([code]))[0])
        return name, label, np.flatnonzero(column.codes == code)

    # -- where there is something to break ---------------------------------------------------------------

    def _values(self) -> _Values:
        return _values_of(self.world)

    def _features(self, n: int, *, distinct: bool = False, varied: bool = False) -> list[str]:
        """Return features that candidates really have, and that are not those of sources."""
        values = self._values()
        leaves = tuple(f"{name.rpartition('.')[2]}_" for name in self.pipeline.names)
        fits = (values.coverage > 0.5) & (values.mode < (0.5 if varied or distinct else 0.95))
        names = [
            name for name, fit in zip(values.names, fits, strict=True) if fit and not name.startswith(leaves)
        ]
        return list(self.random.choice(names, min(n, len(names)), replace=False))


@dataclass(frozen=True, eq=False)
class _Values:
    """What the features of some candidates are like."""

    names: tuple[str, ...]
    coverage: np.ndarray
    mode: np.ndarray
    std: dict[str, float]
    item: np.ndarray


def _values_of(world: World) -> _Values:
    if id(world) not in _SEEN:
        users = world.users(40, 99)
        batch = world.pipeline.candidates(world.pipeline.requests(users, now=world.now))
        columns = [column[np.isfinite(column)] for column in batch.features.T]
        _SEEN[id(world)] = _Values(
            batch.feature_names,
            np.array([len(column) / max(len(batch), 1) for column in columns]),
            np.array([_mode_share(column) for column in columns]),
            {
                name: float(column.std()) if len(column) else 0.0
                for name, column in zip(batch.feature_names, columns, strict=True)
            },
            batch.item,
        )
    return _SEEN[id(world)]


_SEEN: dict[int, _Values] = {}


def _mode_share(values: np.ndarray) -> float:
    return float(np.unique(values, return_counts=True)[1].max() / len(values)) if len(values) else 1.0


KINDS = (
    "stale_index",
    "truncated_index",
    "shuffled_ids",
    "nan_embeddings",
    "collapsed_embeddings",
    "dead_source",
    "flooding_source",
    "features_dropped",
    "features_stale",
    "columns_swapped",
    "scaled_by_1000",
    "features_drifted",
    "leaked_defaults",
    "flat_ranker",
    "inverted_ranker",
    "nan_scores",
    "wrong_model_version",
    "boost_too_strong",
    "rule_removes_category",
    "stock_feed_empty",
    "cap_too_tight",
    "diversity_too_high",
    "slow_stage",
    "failing_stage",
    "one_segment",
    "only_new_users",
)


def plant(kind: str, world: World, seed: int) -> Planted:
    """Return a pipeline with a fault of one kind, by seed."""
    planted: Planted = getattr(Workshop(world, seed), kind)()
    return planted
