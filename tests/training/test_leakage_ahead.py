"""Features that know what comes after the request are found and named; clean ones are not accused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers
from recokit.data import DAY
from recokit.training import detect_leakage

MARKET = rk.datasets.make_marketplace


def rows_of(data, sources, block=None):
    stages = [sources, *([] if block is None else [block]), rankers.LogisticRegression()]
    options = {"windows": 3, "validation": False, "negatives": None}
    return rk.Pipeline(stages).training_data(data, label_window="7D", **options).data


@pytest.fixture(scope="module")
def world():
    data = MARKET(300, 120, days=60, seed=5).dataset
    sources = candidates.Merge([candidates.Popular(half_life="14D"), candidates.ItemKNN()], limit=30)
    return data, rows_of(data, sources, features.ItemActivity(windows=("7D", "28D")))


def count(log_key, row_key, log, low, high):
    """Count events of each row's key from low to high, the slow way."""
    found = np.zeros(len(row_key))
    for key in np.unique(row_key):
        times = np.sort(log.timestamp[log_key == key])
        rows = row_key == key
        found[rows] = np.searchsorted(times, high[rows]) - np.searchsorted(times, low[rows])
    return found


def last(log_key, row_key, log):
    latest = {}
    for key, time in zip(log_key.tolist(), log.timestamp.tolist(), strict=True):
        latest[key] = max(latest.get(key, -np.inf), time)
    return np.array([latest.get(key, np.nan) for key in row_key.tolist()])


def leak(name, data, rows):
    log, now = data.interactions, rows.now
    first, end = np.full(len(now), -np.inf), np.full(len(now), np.inf)
    category = data.items.column("category")
    pair_log, pair_row = log.user * 100_000 + log.item, rows.user * 100_000 + rows.item
    taste_log = log.user * 100_000 + category[log.item]
    taste_row = rows.user * 100_000 + category[rows.item]
    made = {
        "item's 5 days after": lambda: count(log.item, rows.item, log, now, now + 5 * DAY),
        "item's 14 days after": lambda: count(log.item, rows.item, log, now, now + 14 * DAY),
        "user's label window": lambda: count(log.user, rows.user, log, now, now + 7 * DAY),
        "category's whole log": lambda: count(category[log.item], category[rows.item], log, first, end),
        "user and category's whole log": lambda: count(taste_log, taste_row, log, first, end),
        "pair's whole log": lambda: count(pair_log, pair_row, log, first, end),
        "pair's last at the end": lambda: (data.until - last(pair_log, pair_row, log)) / DAY,
        "item's last at the end": lambda: (data.until - last(log.item, rows.item, log)) / DAY,
    }
    return made[name]()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("item's 5 days after", "item's .*5 days after"),
        ("item's 14 days after", "item's .*14 days after"),
        ("user's label window", "user's .*7 days after"),
        ("user and category's whole log", "pair of user and item.category's .*in the whole log"),
        ("pair's whole log", "pair of user and item's .*in the whole log"),
        ("pair's last at the end", "pair of user and item's time since the last .*log's end"),
    ],
)
def test_what_comes_after_the_request_is_found_and_named(world, name, said):
    import re

    data, rows = world
    planted = leak(name, data, rows).astype(np.float32)
    for values in (planted, np.log1p(planted), -planted):
        both = np.concatenate([rows.features, values[:, None]], axis=1)
        leaking = replace(rows, features=both, feature_names=(*rows.feature_names, "odd"))
        report = detect_leakage(leaking, events=data)
        assert report.features == ("odd",), str(report)
        (check,) = [check for check in report.findings if check.name == "leak.all_time"]
        assert re.search(said, check.message), check.message


CLEAN = {
    "popular": (candidates.Popular(half_life=None), features.SourceScores()),
    "trending": (candidates.Popular(half_life="7D"), features.SourceScores()),
    "neighbours": (candidates.ItemKNN(), features.SourceScores()),
    "both": (
        candidates.Merge([candidates.Popular(half_life=None), candidates.ItemKNN()]),
        features.SourceScores(),
    ),
    "items": (candidates.Popular(), features.ItemActivity(windows=("1D", "7D", "28D"))),
    "users": (candidates.Popular(), features.UserActivity(windows=("1D", "7D", "28D"))),
    "pairs": (candidates.ItemKNN(), features.UserItem()),
    "ease": (candidates.EASE(), features.SourceScores()),
    "standard": (
        candidates.Merge([candidates.Popular(half_life=None), candidates.ItemKNN()]),
        features.Standard(),
    ),
    "history": (
        candidates.Merge([candidates.History(), candidates.Popular(half_life=None)]),
        features.Standard(),
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] * (one in ("standard", "history"))) for one in CLEAN]
)
def test_clean_pipelines_are_not_accused(name):
    data = MARKET(200, 100, days=60, seed=11).dataset
    rows = rows_of(data, *CLEAN[name])
    report = detect_leakage(rows, events=data)
    found = [check for check in report.findings if check.name in ("leak.all_time", "leak.target_mean")]
    assert not found, "\n".join(map(str, found))


def test_popularity_of_all_time_is_not_accused_where_it_stands_still():
    """The log grows from window to window, shares of it do not: a score within a request follows the shares."""
    rng = np.random.default_rng(0)
    worth = 1 / np.arange(1, 121) ** 0.8
    log = {
        "user_id": rng.integers(1, 800, 24_000),
        "item_id": rng.choice(120, 24_000, p=worth / worth.sum()) + 1,
        "timestamp": 1.6e9 + np.sort(rng.uniform(0, 160, 24_000)) * DAY,
    }
    data = rk.Dataset.from_frame(log)
    stages = [candidates.Popular(half_life=None), features.SourceScores(), rankers.LogisticRegression()]
    rows = rk.Pipeline(stages).training_data(data, label_window="10D", windows=8, max_requests=200).data
    report = detect_leakage(rows, events=data)
    assert not [check for check in report.findings if check.name == "leak.all_time"], str(report)


def test_what_is_missing_of_all_of_a_strangers_candidates_tells_no_order():
    rng = np.random.default_rng(0)
    stranger = np.repeat(rng.random(120) < 0.5, 10)
    label = np.where(stranger, rng.random(1200) < 0.3, 0).astype(np.float32)
    known = np.where(stranger, np.nan, rng.random(1200))
    told = np.where(label > 0, np.nan, rng.random(1200))
    rows = rk.data.RankingData(
        np.stack([known, told], axis=1).astype(np.float32),
        ("of_user", "odd"),
        label,
        np.ones(1200, np.float32),
        np.arange(0, 1201, 10),
        np.repeat(np.arange(1, 121), 10),
        np.tile(np.arange(1, 11), 120),
        np.zeros(1200),
    )
    assert detect_leakage(rows).features == ("odd",)
