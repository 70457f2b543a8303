"""A marketplace, pipelines fitted on it once, and a small toy pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.data import Dataset, Live
from recokit.datasets.marketplace import Marketplace, make_marketplace
from recokit.testing import toy_dataset


@pytest.fixture(scope="session")
def market() -> Marketplace:
    return make_marketplace(300, 400, seed=3)


@pytest.fixture(scope="session")
def toy() -> Dataset:
    return toy_dataset(n_users=30, n_items=40, n_events=900)


@pytest.fixture(scope="session")
def make_full(market: Marketplace) -> Callable[..., rk.Pipeline]:
    """Return a builder of the whole funnel; a low limit leaves lists for the fallback to fill."""

    def build(ranker: Any, limit: int = 200, **options: Any) -> rk.Pipeline:
        stock = Live(market.stock_at(market.dataset.until).astype(float), name="stock")
        return rk.Pipeline(
            [
                candidates.Merge(
                    [
                        candidates.History(half_life="30D"),
                        candidates.ItemKNN(n_neighbors=30),
                        candidates.Popular(half_life="14D", by="country"),
                    ],
                    limit=limit,
                ),
                rules.InStock(stock),
                rules.NotOwned(except_for="consumable"),
                features.Standard(),
                ranker,
                rules.MaxShare("category", 0.4),
                rules.MaxPerGroup("seller", 3, within=10),
                diversity.MMR(0.7),
                rules.Disclose("sponsored"),
            ],
            fallback=candidates.Popular(half_life=None),
            **options,
        )

    return build


@pytest.fixture(scope="session")
def full_lr(make_full: Callable[..., rk.Pipeline], market: Marketplace) -> rk.Pipeline:
    pipeline = make_full(rankers.LogisticRegression())
    return pipeline.fit(market.dataset, label_window="7D", windows=1, max_requests=150)


@pytest.fixture(scope="session")
def full_gb(make_full: Callable[..., rk.Pipeline], market: Marketplace) -> rk.Pipeline:
    pipeline = make_full(rankers.GradientBoosting(n_estimators=20), limit=30)
    return pipeline.fit(market.dataset, label_window="7D", windows=1, max_requests=150)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)
