"""The same request by hand: in plain numpy, fast and for this one funnel only; and over a list of dicts."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

import recokit as rk
from benchmarks._request_world import DAY, LIMITS, NOW, World

__all__ = ["Dicts", "Floor"]

K, POOL, TRADE_OFF = 20, 100, np.float32(0.7)
#: Lists that a search looks at, and how many times as many where they hold too little.
N_PROBE, WIDER = 16, 4


class Floor:
    """One request in plain numpy: no names, no checks, no trace, no batch, no failure but an exception."""

    def __init__(self, world: World, pipeline: rk.Pipeline) -> None:
        self.world = world
        self.index = pipeline["merge.ann_index"].index_
        popular = pipeline["merge.popular"].retrieve(pipeline.requests([1], now=NOW), LIMITS["popular"])
        self.popular, self.popular_score = popular.item, popular.score.astype(np.float64)
        log = world.dataset.interactions
        order = np.argsort(log.user, kind="stable")
        self.item, self.time = log.item[order], log.timestamp[order]
        self.offsets = np.concatenate([[0], np.cumsum(np.bincount(log.user))])
        self.blocked = np.zeros(len(world.items), np.bool_)
        self.blocked[world.blocked] = True
        length = np.linalg.norm(world.items, axis=1, keepdims=True)
        self.unit = (world.items / np.where(length > 0, length, 1)).astype(np.float32)

    def near(self, user: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the items nearest to the user and their scores; a search that comes back short looks further."""
        query, probe = self.world.users[user : user + 1], N_PROBE
        while True:
            parameters = faiss.SearchParametersIVF(nprobe=probe)
            score, item = self.index.search(query, LIMITS["ann_index"], params=parameters)
            if item[0, -1] >= 0 or probe >= self.index.nlist:
                return item[0] + 1, score[0]
            probe = min(WIDER * probe, self.index.nlist)

    def past(self, user: int) -> tuple[np.ndarray, np.ndarray]:
        start, end = self.offsets[user], self.offsets[user + 1]
        end = start + np.searchsorted(self.time[start:end], NOW)
        return self.item[start:end], self.time[start:end]

    def history(self, item: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        decayed = np.exp2(-(NOW - time) / (30 * DAY))
        distinct, inverse = np.unique(item, return_inverse=True)
        score = np.bincount(inverse, decayed).astype(np.float32)
        last = np.zeros(len(distinct), np.int64)
        np.maximum.at(last, inverse, np.arange(len(item)))
        order = np.lexsort((-last, -score))[: LIMITS["history"]]
        return distinct[order], score[order]

    def __call__(self, user: int) -> list[int]:
        world = self.world
        owned, time = self.past(user)
        found = [self.near(user), self.history(owned, time), (self.popular, self.popular_score)]
        ranks = [np.arange(1, len(item) + 1) for item, _ in found]
        place = np.concatenate([rank * 3 + source for source, rank in enumerate(ranks)])
        source = np.repeat(np.arange(3), [len(rank) for rank in ranks])
        every, every_rank = np.concatenate([item for item, _ in found]), np.concatenate(ranks)
        every_score = np.concatenate([score for _, score in found])
        key = np.sort((every << 20) | place)  # one fast sort: item first, then the place it had
        items = key >> 20
        first = np.concatenate([[True], items[1:] != items[:-1]])
        distinct, best = items[first], key[first] & 0xFFFFF
        order = np.argsort(best, kind="stable")[: LIMITS["merge"]]
        item = distinct[order]
        where = np.full(len(distinct), -1)
        where[order] = np.arange(len(order))
        at = where[np.searchsorted(distinct, every)]
        inside = at >= 0
        rank = np.full((3, len(item)), np.nan, np.float32)
        score = np.full((3, len(item)), np.nan, np.float32)
        rank[source[inside], at[inside]] = every_rank[inside]
        score[source[inside], at[inside]] = every_score[inside]
        kept = world.stock[item] > 0
        kept &= ~np.isin(item, owned) | world.consumable[item]
        kept &= ~self.blocked[item]
        kept &= NOW - world.published[item] <= 365 * DAY
        item, rank, score = item[kept], rank[:, kept], score[:, kept]
        features = np.empty((len(item), 30), np.float32)
        features[:, :23] = world.numeric[item]
        here = ~np.isnan(rank)
        features[:, 23:29:2] = np.where(here, 1 / np.where(here, rank, 1), 0).T
        low, high = np.nanmin(score, axis=1, keepdims=True), np.nanmax(score, axis=1, keepdims=True)
        features[:, 24:29:2] = ((score - low) / (high - low)).T
        features[:, 29] = here.sum(axis=0)
        features[np.isnan(features)] = 0
        return self.select(item, (features * world.weights).sum(axis=1, dtype=np.float32))

    def select(self, item: np.ndarray, score: np.ndarray) -> list[int]:
        top = np.argsort(-score, kind="stable")[:POOL]
        item, score = item[top], score[top]
        category, seller, unit = self.world.category[item], self.world.seller[item], self.unit[item]
        relevance = TRADE_OFF * (score - score.min()) / (score.max() - score.min())
        allowed, fits = np.ones(len(item), np.bool_), np.ones(len(item), np.bool_)
        nearest = np.zeros(len(item), np.float32)
        n_category, n_seller = np.zeros(64, np.int64), np.zeros(5_001, np.int64)
        chosen: list[int] = []
        for place in range(K):
            gain = relevance - (1 - TRADE_OFF) * nearest
            best = int(np.argmax(np.where(allowed & fits if place < 10 else allowed, gain, -np.inf)))
            chosen.append(best)
            allowed[best] = False
            n_category[category[best]] += 1
            if n_category[category[best]] >= 8:
                allowed &= category != category[best]
            n_seller[seller[best]] += 1
            if n_seller[seller[best]] >= 3:
                fits &= seller != seller[best]
            likeness = unit @ unit[best]
            nearest = np.maximum(nearest, likeness) if place else likeness
        return item[chosen].tolist()


class Dicts:
    """The same over a list of dicts, as many services are written; vectors stay arrays."""

    def __init__(self, floor: Floor) -> None:
        self.floor, self.world = floor, floor.world

    def __call__(self, user: int) -> list[int]:
        floor, world = self.floor, self.world
        owned, time = floor.past(user)
        near, near_score = floor.near(user)
        own, own_score = floor.history(owned, time)
        found = [
            list(zip(near.tolist(), near_score.tolist(), strict=True)),
            list(zip(own.tolist(), own_score.tolist(), strict=True)),
            list(zip(floor.popular.tolist(), floor.popular_score.tolist(), strict=True)),
        ]
        merged: dict[int, dict[str, Any]] = {}
        for place in range(max(map(len, found))):
            for source, items in enumerate(found):
                if place < len(items):
                    item, score = items[place]
                    row = merged.setdefault(item, {"item": item, "rank": {}, "score": {}})
                    row["rank"][source], row["score"][source] = place + 1, score
        rows = list(merged.values())[: LIMITS["merge"]]
        bought, blocked = set(owned.tolist()), floor.blocked
        rows = [row for row in rows if world.stock[row["item"]] > 0]
        rows = [row for row in rows if row["item"] not in bought or world.consumable[row["item"]]]
        rows = [row for row in rows if not blocked[row["item"]]]
        rows = [row for row in rows if NOW - world.published[row["item"]] <= 365 * DAY]
        self.score(rows)
        return self.select(rows)

    def score(self, rows: list[dict[str, Any]]) -> None:
        weights = self.world.weights.tolist()
        spans = []
        for source in range(3):
            values = [row["score"][source] for row in rows if source in row["score"]]
            spans.append((min(values), max(values)))
        for row in rows:
            features = self.world.numeric[row["item"]].tolist()
            for source, (low, high) in enumerate(spans):
                there = source in row["rank"]
                features.append(1 / row["rank"][source] if there else 0.0)
                features.append((row["score"][source] - low) / (high - low) if there else 0.0)
            features.append(len(row["rank"]))
            row["total"] = sum(w * x for w, x in zip(weights, features, strict=True) if x == x)

    def select(self, rows: list[dict[str, Any]]) -> list[int]:
        rows = sorted(rows, key=lambda row: -row["total"])[:POOL]
        low, high = rows[-1]["total"], rows[0]["total"]
        chosen: list[dict[str, Any]] = []
        categories: dict[int, int] = {}
        sellers: dict[int, int] = {}
        for row in rows:
            row["relevance"], row["nearest"] = (row["total"] - low) / (high - low), 0.0
        while len(chosen) < K:
            best = None
            for row in rows:
                category, seller = self.world.category[row["item"]], self.world.seller[row["item"]]
                if categories.get(category, 0) >= 8 or (len(chosen) < 10 and sellers.get(seller, 0) >= 3):
                    continue
                gain = 0.7 * row["relevance"] - 0.3 * row["nearest"]
                if best is None or gain > best[0]:
                    best = (gain, row, category, seller)
            assert best is not None
            _, picked, category, seller = best
            categories[category], sellers[seller] = (
                categories.get(category, 0) + 1,
                sellers.get(seller, 0) + 1,
            )
            rows.remove(picked)
            for row in rows:
                likeness = float(self.floor.unit[row["item"]] @ self.floor.unit[picked["item"]])
                row["nearest"] = max(row["nearest"], likeness) if chosen else likeness
            chosen.append(picked)
        return [row["item"] for row in chosen]
