"""What the serving benchmark serves: a marketplace and a two-stage pipeline over it."""

from __future__ import annotations

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.datasets import make_marketplace

__all__ = ["build_pipeline"]


def build_pipeline(n_users: int = 1_000, n_items: int = 500) -> rk.Pipeline:
    """Fit sources, rules, features, a ranker, limits and diversity on a synthetic marketplace."""
    market = make_marketplace(n_users, n_items, seed=0)
    stages = [
        candidates.Merge(
            [candidates.ItemKNN(), candidates.History(), candidates.Popular(half_life="14D")], limit=200
        ),
        rules.InStock(market.stock_at(market.dataset.until)),
        rules.NotOwned(),
        features.Standard(),
        rankers.GradientBoosting(n_estimators=50),
        rules.MaxPerGroup("seller", 3, within=10),
        diversity.MMR(0.7),
    ]
    clock = market.dataset.until
    pipeline = rk.Pipeline(stages, fallback=candidates.Popular(), clock=lambda: clock)
    return pipeline.fit(market.dataset, label_window="7D", windows=1, max_requests=500, progress=False)
