"""Eight filters and four limits on one request, on one core: the pipeline, and the same by hand in numpy.

Run with ``python -m benchmarks.rules``. The pipeline has a source of fixed candidates and no ranker: what is measured
is what rules cost, with everything that the pipeline does around them (checks, trace, back-fill).
"""

from __future__ import annotations

import argparse
import gc
import time
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._harness import Check, pin_to_core, report
from recokit import rules
from recokit.data import Categorical, Interactions, Requests, Retrieved, Table, Vocabulary

__all__ = ["Floor", "build_pipeline", "main", "make_items", "run"]

NOW, DAY, K = 1.7e9, 86_400.0, 20
SIZES = (1_000, 10_000, 100_000)


class Ranked:
    """Source: the first items of the catalogue, with their scores."""

    def __init__(self, score: np.ndarray) -> None:
        self.score = score

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        n = min(limit, len(self.score) - 1)
        item = np.tile(np.arange(1, n + 1), len(requests))
        return Retrieved(np.arange(len(requests) + 1) * n, item, self.score[item])


class NewerThan:
    """A filter of one's own: items published in the last so many days."""

    def __init__(self, published: np.ndarray, *, days: float) -> None:
        self.published, self.days = published, days

    def keep(self, candidates: rk.Candidates) -> np.ndarray:
        return candidates.now - self.published[candidates.item] <= self.days * DAY


class AtLeast:
    """A filter of one's own: a quality of at least so much."""

    def __init__(self, quality: np.ndarray, minimum: float) -> None:
        self.quality, self.minimum = quality, minimum

    def keep(self, candidates: rk.Candidates) -> np.ndarray:
        return self.quality[candidates.item] >= self.minimum


def make_items(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return columns by item code; the score falls with the code, with ties."""
    rng = np.random.default_rng(seed)
    columns = {
        "score": np.round(-np.arange(n + 1) / 3).astype(np.float32),
        "stock": rng.integers(0, 20, n + 1).astype(np.float32),
        "consumable": (rng.random(n + 1) < 0.5).astype(np.float32),
        "adult": (rng.random(n + 1) < 0.05).astype(np.float32),
        "recalled": (rng.random(n + 1) < 0.01).astype(np.float32),
        "sponsored": (rng.random(n + 1) < 0.1).astype(np.float32),
        "quality": rng.random(n + 1).astype(np.float32),
        "published": NOW - rng.random(n + 1) * 400 * DAY,
        "category": rng.integers(1, 21, n + 1),
        "seller": rng.integers(1, 501, n + 1),
        "blocked": np.flatnonzero(rng.random(n + 1) < 0.02)[1:],
    }
    for name in ("category", "seller"):
        columns[name][0] = 0
    return columns


def build_pipeline(items: dict[str, np.ndarray]) -> rk.Pipeline:
    """Return the fitted pipeline: one source, eight filters, four limits."""
    n = len(items["score"]) - 1
    numeric = ("consumable", "adult", "recalled", "sponsored")
    table = Table(
        n,
        np.column_stack([items[name] for name in numeric]),
        numeric,
        {
            name: Categorical(items[name], Vocabulary(np.arange(1, items[name].max() + 1)))
            for name in ("category", "seller")
        },
    )
    seen = np.arange(1, n + 1, 11)[:200]
    log = Interactions(
        user=np.ones(len(seen), np.int64),
        item=seen,
        timestamp=np.full(len(seen), NOW - DAY),
        event=np.zeros(len(seen), np.int64),
        weight=np.ones(len(seen), np.float32),
        value=np.full(len(seen), np.nan, np.float32),
    )
    data = rk.Dataset(log, Vocabulary(np.array([1])), Vocabulary(np.arange(1, n + 1)), Table.empty(1), table)
    return rk.Pipeline(
        [
            rk.Step(Ranked(items["score"]), limit=n),
            rules.InStock(items["stock"]),
            rules.NotOwned(except_for="consumable"),
            rk.Step(rules.Blocked("adult"), name="adult"),
            rk.Step(rules.Blocked("recalled"), name="recalled"),
            rk.Step(rules.Blocked(items["blocked"].tolist()), name="blocklist"),
            NewerThan(items["published"], days=365.0),
            AtLeast(items["quality"], 0.05),
            rules.NotSeen(),
            rules.MaxShare("category", 0.4),
            rules.MaxPerGroup("seller", 3, within=10),
            rules.Spacing("seller", 2),
            rk.Step(rules.Spacing("sponsored", 4, only=1), name="sponsored_spacing"),
        ]
    ).fit(data)


class Floor:
    """The same by hand: no names, no checks, no trace, no relaxing, no batch."""

    def __init__(self, items: dict[str, np.ndarray]) -> None:
        self.items, self.n = items, len(items["score"]) - 1
        self.owned = np.arange(1, self.n + 1, 11)[:200]
        self.blocked = np.zeros(self.n + 1, np.bool_)
        self.blocked[items["blocked"]] = True

    def __call__(self) -> list[int]:
        items = self.items
        item = np.arange(1, self.n + 1)
        score = items["score"][item]
        owned = np.isin(item, self.owned)
        kept = items["stock"][item] > 0
        kept &= ~owned | (items["consumable"][item] > 0)
        kept &= items["adult"][item] <= 0
        kept &= items["recalled"][item] <= 0
        kept &= ~self.blocked[item]
        kept &= NOW - items["published"][item] <= 365 * DAY
        kept &= items["quality"][item] >= 0.05
        kept &= ~owned
        item, score = item[kept], score[kept]
        key = -score
        if len(key) > 400:
            near = np.flatnonzero(key <= np.partition(key, 99)[99])
            item, key = item[near], key[near]
        item = item[np.argsort(key, kind="stable")[:100]]
        category, seller, sponsored = (
            items["category"][item],
            items["seller"][item],
            items["sponsored"][item] > 0,
        )
        open_, fits = np.ones(len(item), np.bool_), np.ones(len(item), np.bool_)
        n_category, n_seller = np.zeros(21, np.int64), np.zeros(501, np.int64)
        chosen: list[int] = []
        last_sponsored = -4
        for place in range(K):
            allowed = open_ & fits if place < 10 else open_
            if chosen:
                allowed = allowed & (seller != seller[chosen[-1]])
            if place - last_sponsored < 4:
                allowed = allowed & ~sponsored
            best = int(allowed.argmax())
            chosen.append(best)
            open_[best] = False
            n_category[category[best]] += 1
            if n_category[category[best]] >= 8:
                open_ &= category != category[best]
            n_seller[seller[best]] += 1
            if n_seller[seller[best]] >= 3:
                fits &= seller != seller[best]
            if sponsored[best]:
                last_sponsored = place
        return item[chosen].tolist()


def run(n: int, repeat: int) -> tuple[float, float]:
    """Return the median seconds of the pipeline and of the floor, which give the same list, taking turns."""
    items = make_items(n)
    pipeline, floor = build_pipeline(items), Floor(items)
    requests = pipeline.requests([1], k=K, now=NOW)

    def served() -> Any:
        return pipeline.run(requests)

    answer = served()
    assert answer.ids(0) == floor(), "the two ways disagree"
    assert len(answer.ids(0)) == K and not answer.reasons[0]
    seconds = np.empty((2, repeat))
    gc.collect()
    gc.disable()
    for i in range(-20, repeat):
        for way, fn in enumerate((served, floor)):
            start = time.thread_time()
            fn()
            if i >= 0:
                seconds[way, i] = time.thread_time() - start
    gc.enable()
    return float(np.median(seconds[0])), float(np.median(seconds[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=500)
    repeat = parser.parse_args().repeat
    pin_to_core()
    ours, bare = zip(*(run(n, max(repeat * SIZES[0] // n, 20)) for n in SIZES), strict=True)
    slope = [ours[i] / SIZES[i] * 1e9 for i in range(len(SIZES))]
    report(
        "rules",
        [
            Check.at_most("1,000 candidates: p50", ours[0] * 1e3, 0.7, "ms"),
            Check.info("1,000 candidates: plain numpy p50", bare[0] * 1e3, "ms"),
            Check.at_most("1,000 candidates: p50 over plain numpy", ours[0] / bare[0], 2.2, "x"),
            Check.info("10,000 candidates: p50", ours[1] * 1e3, "ms"),
            Check.info("100,000 candidates: p50", ours[2] * 1e3, "ms"),
            Check.at_most("100,000 candidates: p50 over plain numpy", ours[2] / bare[2], 2.0, "x"),
            # Linear: ten times the candidates cost ten times as much at most, with a tenth for caches.
            Check.at_most("100,000 over 10,000 candidates", ours[2] / ours[1], 11.0, "x"),
            Check.info("each candidate of 100,000", slope[2], "ns"),
        ],
        {"k": K, "sizes": SIZES},
    )


if __name__ == "__main__":
    main()
