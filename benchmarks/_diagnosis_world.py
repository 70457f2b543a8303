"""Healthy pipelines on real data, for the benchmark of the debugger: today's, and last week's as its baseline."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._data import folder
from recokit import candidates, diversity, features, rankers, rules
from recokit.data import Retrieved
from recokit.datasets import (
    complete_journey_flags,
    load_complete_journey,
    load_movielens,
    make_marketplace,
)

__all__ = ["Promote", "Recent", "World", "complete_journey", "marketplace", "movielens"]

WEEK = 7 * 86_400.0


class Recent:
    """A team's own source: what the user had last, at most so many."""

    requires = ("history",)

    def __init__(self, *, most: int = 20) -> None:
        self.most = most

    def retrieve(self, requests: rk.Requests, limit: int) -> Retrieved:
        history, most = requests.lists("history"), min(self.most, limit)
        rows = [
            list(dict.fromkeys(history.values[start:stop][::-1].tolist()))[:most]
            for start, stop in itertools.pairwise(history.offsets.tolist())
        ]
        item = np.array([code for row in rows for code in row if code], np.int64)
        offsets = np.cumsum([0, *(sum(code > 0 for code in row) for row in rows)])
        return Retrieved(offsets, item, np.zeros(len(item), np.float32))


class Promote:
    """A team's own stage: promoted items get a little more of the score that they have."""

    def __init__(self, promoted: np.ndarray, *, weight: float = 0.1) -> None:
        self.promoted, self.weight = promoted, weight  # by item code

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        return (candidates.score * (1.0 + self.weight * self.promoted[candidates.item])).astype(np.float32)


@dataclass(frozen=True, eq=False)
class World:
    """Data, today's pipeline and the one of a week ago, both healthy."""

    name: str
    train: rk.Dataset
    test: rk.Dataset
    older: rk.Dataset
    pipeline: rk.Pipeline
    baseline: rk.Pipeline

    @property
    def now(self) -> float:
        """Time of the requests: the end of the training data."""
        return self.train.until

    def users(self, n: int, seed: int, *, new: int = 0) -> list[Any]:
        """Return ids of users with a history and something in the test part, then anonymous ones."""
        active = np.intersect1d(self.test.interactions.user, self.train.interactions.user)
        picked = np.random.default_rng(seed).choice(active, min(n, len(active)), replace=False)
        return [*self.train.user_ids.decode(picked).tolist(), *[None] * new]


def movielens() -> World:
    """ml-100k, cut after 26 weeks, the next two weeks as the test part."""
    data = load_movielens(folder() / "ml-100k")
    train, test = data.split_at("1998-03-15", horizon="14D")
    in_stock = (np.random.default_rng(0).random(train.n_items + 1) < 0.95).astype(np.float64)
    return _world("ml-100k", train, test, in_stock, rankers.LogisticRegression(), stale="60D")


def complete_journey() -> World:
    """Complete Journey, the last 150 days before the cut, the next week as the test part."""
    train, test = load_complete_journey().split_at("2017-12-01", horizon="7D")
    log = train.interactions
    recent = log.take(np.flatnonzero(log.timestamp >= train.until - 150 * 86_400.0))
    train = train.with_interactions(recent, cut=train.until)
    flags = complete_journey_flags()
    in_stock = np.zeros(train.n_items + 1)
    in_stock[train.item_ids.encode(flags["item_id"])] = flags["in_stock"]
    ranker = rankers.GradientBoosting(n_estimators=50)
    return _world("complete journey", train, test, in_stock, ranker, stale="60D")


def marketplace(seed: int = 0) -> World:
    """A small generated market, for the tests."""
    market = make_marketplace(n_users=220, n_items=200, seed=seed)
    train, test = market.dataset.split_at("2025-03-20", horizon="7D")
    stock = market.stock_at(train.until)
    ranker = rankers.LogisticRegression()
    return _world("marketplace", train, test, stock, ranker, stale="21D", max_requests=300)


def _world(
    name: str,
    train: rk.Dataset,
    test: rk.Dataset,
    stock: np.ndarray,
    ranker: Any,
    *,
    stale: str,
    max_requests: int = 1_000,
) -> World:
    promoted = (np.random.default_rng(1).random(train.n_items + 1) < 0.1).astype(np.float32)

    def fitted(data: rk.Dataset) -> rk.Pipeline:
        return rk.Pipeline(
            [
                candidates.Merge(
                    [
                        candidates.ItemKNN(max_history=50),
                        candidates.PureSVD(n_factors=32),
                        rk.Step(Recent(), name="history"),
                        candidates.Popular(half_life="14D"),
                    ],
                    limit=200,
                ),
                rules.InStock(stock),
                rules.Blocked([]),
                features.Standard(),
                rk.Step(ranker, name="ranker"),
                Promote(promoted),
                rules.MaxShare("category", 0.4),
                diversity.MMR(0.9),
            ],
            fallback=candidates.Popular(),
        ).fit(data, label_window="7D", max_requests=max_requests)

    before = train.before(train.until - WEEK)
    older = train.before(train.until - rk.data.seconds(stale))
    return World(name, train, test, older, fitted(train), fitted(before).with_events(train))
