"""What the request benchmark serves: a million items, users with a past, and one pipeline over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.data import Categorical, Interactions, Table, Vocabulary

__all__ = ["LIMITS", "NOW", "World", "build_pipeline", "make_world"]

NOW = 1.7e9
DAY = 86_400.0
#: Most items of each source, and of all together.
LIMITS = {"ann_index": 600, "history": 100, "popular": 400, "merge": 1_000}
N_NUMERIC = 23  # with two features for each of three sources, and their count: 30


@dataclass(frozen=True)
class World:
    """Plain arrays by item or user code, row 0 unknown, and the same as a Dataset."""

    items: np.ndarray
    users: np.ndarray
    numeric: np.ndarray
    category: np.ndarray
    seller: np.ndarray
    stock: np.ndarray
    consumable: np.ndarray
    blocked: np.ndarray
    published: np.ndarray
    weights: np.ndarray
    dataset: rk.Dataset


def make_world(n_items: int, n_users: int, *, clustered: bool, seed: int = 0) -> World:
    """Make items around a thousand centres, or iid Gaussian ones; users are near some item."""
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((n_items + 1, 64), np.float32)
    if clustered:
        centres = rng.standard_normal((1_000, 64), np.float32) * 2
        items = centres[rng.integers(0, 1_000, n_items + 1)] + 0.5 * items
    near = rng.integers(1, n_items + 1, n_users + 1)
    users = items[near] + 0.5 * rng.standard_normal((n_users + 1, 64), np.float32)
    numeric = rng.standard_normal((n_items + 1, N_NUMERIC), np.float32)
    numeric[rng.random(numeric.shape) < 0.02] = np.nan
    numeric[0] = np.nan
    category, seller = rng.integers(1, 41, n_items + 1), rng.integers(1, 5_001, n_items + 1)
    consumable = (rng.random(n_items + 1) < 0.5).astype(np.float32)
    category[0] = seller[0] = 0
    per_user = 120
    events = n_users * per_user
    # A third of the past is popular items, so that sources overlap.
    popular = rng.integers(1, 2_000, events)
    item = np.where(rng.random(events) < 0.33, popular, rng.integers(1, n_items + 1, events))
    time = np.sort(NOW - rng.random(events) * 90 * DAY)
    log = Interactions(
        user=rng.permutation(np.repeat(np.arange(1, n_users + 1), per_user)),
        item=item,
        timestamp=time,
        event=np.zeros(events, np.int64),
        weight=np.ones(events, np.float32),
        value=np.full(events, np.nan, np.float32),
    )
    labels = {"category": (category, 40), "seller": (seller, 5_000)}
    table = Table(
        n_items,
        np.column_stack([numeric, consumable]),
        (*(f"number_{i}" for i in range(N_NUMERIC)), "consumable"),
        {name: Categorical(codes, Vocabulary(np.arange(1, n + 1))) for name, (codes, n) in labels.items()},
    )
    ids = Vocabulary(np.arange(1, n_items + 1)), Vocabulary(np.arange(1, n_users + 1))
    return World(
        items=items,
        users=users,
        numeric=numeric,
        category=category,
        seller=seller,
        stock=rng.integers(0, 20, n_items + 1).astype(np.float32),
        consumable=consumable > 0,
        blocked=np.flatnonzero(rng.random(n_items + 1) < 0.01)[1:],
        published=NOW - rng.random(n_items + 1) * 400 * DAY,
        weights=rng.standard_normal(30).astype(np.float32),
        dataset=rk.Dataset(log, ids[1], ids[0], Table.empty(n_users), table),
    )


class FreshOnly:
    """A filter of one's own: items published in the last year."""

    def __init__(self, published: np.ndarray, *, days: float = 365.0) -> None:
        self.published, self.days = published, days

    def keep(self, candidates: rk.Candidates) -> np.ndarray:
        return candidates.now - self.published[candidates.item] <= self.days * DAY


def build_pipeline(world: World) -> rk.Pipeline:
    """Return the fitted pipeline: 3 sources, 4 filters, 30 features, linear ranker, two caps, MMR to 20 from 100."""
    columns = [f"number_{i}" for i in range(N_NUMERIC)]
    names = [f"item_{name}" for name in columns]
    sources = [f"{name}_{part}" for name in ("ann_index", "history", "popular") for part in ("rank", "score")]
    weights: dict[str, Any] = dict(
        zip([*names, *sources, "source_count"], world.weights.tolist(), strict=True)
    )
    return rk.Pipeline(
        [
            candidates.Merge(
                [
                    rk.Step(
                        candidates.AnnIndex(
                            world.items,
                            query=world.users,
                            kind="ivf",
                            # Lists of some 100 items at least: 16 of them must hold what is asked for.
                            n_lists=min(2_048, len(world.items) // 100),
                            n_probe=16,
                        ),
                        limit=LIMITS["ann_index"],
                    ),
                    rk.Step(candidates.History(half_life="30D"), limit=LIMITS["history"]),
                    rk.Step(candidates.Popular(half_life="14D"), limit=LIMITS["popular"]),
                ],
                limit=LIMITS["merge"],
            ),
            rules.InStock(world.stock),
            rules.NotOwned(except_for="consumable"),
            rules.Blocked(world.blocked.tolist()),
            FreshOnly(world.published),
            features.Item(columns),
            features.SourceScores(),
            rankers.Weighted(weights),
            rules.MaxShare("category", 0.4),
            rules.MaxPerGroup("seller", 3, within=10),
            diversity.MMR(0.7, vectors=world.items, pool=100),
        ]
    ).fit(world.dataset)
