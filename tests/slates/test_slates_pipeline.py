"""Random pipelines of filters, limits, a label and a fallback: nothing lost, no hard rule broken, all ads labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import rules
from recokit.data import Requests, Retrieved
from recokit.diversity import TopK


class Some:
    """Source: for each user some items of its own, with tied and broken scores."""

    def __init__(self, seed: int, most: int) -> None:
        self.seed, self.most = seed, most

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        lists = [np.random.default_rng([self.seed, int(user)]) for user in requests.user]
        item = [rng.permutation(np.arange(1, 31))[: rng.integers(0, self.most)] for rng in lists]
        score = [
            rng.choice([0.0, 1.0, 2.0, np.nan], len(mine)) for rng, mine in zip(lists, item, strict=True)
        ]
        offsets = np.concatenate([[0], np.cumsum([len(mine) for mine in item])])
        return Retrieved(offsets, np.concatenate(item), np.concatenate(score).astype(np.float32))


class LastSource:
    """Scorer: the source's own scores."""

    requires = ("some_score",)

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        return candidates.column("some_score")


class NotThese:
    """Filter after the labels, which refuses what selection has chosen already."""

    requires = ("labels",)

    def __init__(self, modulus: int) -> None:
        self.modulus = modulus

    def keep(self, candidates: rk.Candidates) -> np.ndarray:
        return candidates.item % self.modulus > 0


def limits_of(rng: np.random.Generator) -> list[Any]:
    hard = [bool(rng.random() < 0.5) for _ in range(6)]
    every = [
        rules.MaxShare("category", float(rng.choice([0.2, 0.4])), hard=hard[0]),
        rules.MaxPerGroup("seller", int(rng.integers(1, 4)), within=int(rng.integers(2, 8)), hard=hard[1]),
        rules.MinPerGroup("sponsored", 1, only=0, within=3, hard=hard[2]),
        rules.Spacing("sponsored", int(rng.integers(2, 5)), only=1, hard=hard[3]),
        rules.OnePer("brand", hard=hard[4]),
        rules.Slots("sponsored", [2]),
        rules.Pinned({105: 1, 111: 4}),
    ]
    return [rule for rule in every if rng.random() < 0.5]


def check(seed: int, data: rk.Dataset) -> int:
    """Serve all users with one random pipeline and check every list; return the number of lists."""
    rng = np.random.default_rng(seed)
    limits = limits_of(rng)
    modulus = int(rng.integers(4, 9))
    fallback = {"fallback": rk.candidates.Popular(half_life=None)} if rng.random() < 0.5 else {}
    steering = [TopK()] if rng.random() < 0.5 else []
    stages = [
        Some(seed, 16),
        rules.InStock("in_stock"),
        LastSource(),
        *limits,
        *steering,
        rules.Disclose("sponsored"),
    ]
    pipeline = rk.Pipeline([*stages, NotThese(modulus)], **fallback).fit(data)
    k = int(rng.integers(1, 9))
    users = data.user_ids.ids.tolist()
    answer = pipeline.recommend(users, k=k, now=data.until, capture="full")
    events = answer.trace.events
    source = next(event for event in events if event.name == "merge").after
    stock, sponsored = data.items.column("in_stock") > 0, data.items.column("sponsored") > 0
    bound = [pipeline[name] for name in pipeline.names if hasattr(pipeline[name], "limit")]
    for row in range(len(users)):
        shown = answer.codes(row)
        assert len(set(shown.tolist())) == len(shown) <= k
        assert stock[shown].all() and (shown % modulus > 0).all()
        labels = [record["labels"] for record in answer.to_records()[row]]
        assert [("sponsored" in mine) for mine in labels] == sponsored[shown].tolist()
        retrieved = set(source.item[source.offsets[row] : source.offsets[row + 1]].tolist())
        if row < 3:  # where an item went takes a look through the whole trace
            fates = {item: answer.trace.locate(row, item).fate for item in retrieved}
            assert {item for item, fate in fates.items() if fate == "shown"} == retrieved & set(
                shown.tolist()
            )
            assert all(fate in ("shown", "removed", "not selected") for fate in fates.values())
            assert all(fates[item] == "removed" for item in retrieved if not stock[item])
        if not fallback:
            assert set(shown.tolist()) <= retrieved
    batch = answer.trace.selected
    for rule in bound:
        for cap in rule.limit(batch):
            if not getattr(cap, "hard", False) or cap.minimum:
                continue
            cap = cap.take(np.arange(len(cap)))
            for row in range(len(users)):
                groups = cap.group[batch.offsets[row] : batch.offsets[row + 1]]
                most = cap.maximum or max(1, int(cap.share * len(groups) + 1e-9))
                span = cap.within or max(len(groups), 1)
                starts = range(max(1, len(groups) - span + 1)) if cap.sliding else [0]
                for start in starts:
                    run = groups[start : start + span]
                    assert np.bincount(run[run >= 0], minlength=1).max() <= most, (seed, row, cap.name)
    return len(users)


def test_lists_of_random_pipelines() -> None:
    data = rk.testing.toy_dataset()
    assert sum(check(seed, data) for seed in range(5)) >= 80


@pytest.mark.long
def test_many_lists_of_random_pipelines() -> None:
    data = rk.testing.toy_dataset()
    assert sum(check(1_000 + seed, data) for seed in range(250)) >= 5_000
