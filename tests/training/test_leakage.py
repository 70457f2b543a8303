"""Leakage: each planted leak is found and named, clean features are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recokit.data import Dataset, RankingData
from recokit.datasets import make_marketplace
from recokit.errors import DataError
from recokit.training.leakage import detect_leakage

N_GROUPS, SIZE = 120, 20


@pytest.fixture(scope="module")
def events() -> Dataset:
    return make_marketplace(300, 150, days=60, seed=3).dataset


def before(code: Any, time: Any, wanted: Any, now: Any) -> Any:
    """Return how many events each row's code has strictly before its time."""
    times = {key: np.sort(time[code == key]) for key in np.unique(wanted)}
    return np.array([np.searchsorted(times[key], t) for key, t in zip(wanted, now, strict=True)])


def training(events: Dataset, seed: int = 0, **extra: Any) -> RankingData:
    """Return rows with as-of popularity and two honest features."""
    rng = np.random.default_rng(seed)
    log = events.interactions
    n = N_GROUPS * SIZE
    start, end = log.timestamp[0], log.timestamp[-1]
    now = np.repeat(
        np.sort(rng.uniform(start + (end - start) * 0.2, start + (end - start) * 0.5, N_GROUPS)), SIZE
    )
    item = log.item[rng.integers(len(log), size=n)]
    user = np.repeat(rng.integers(1, events.n_users, N_GROUPS), SIZE)
    popularity = before(log.item, log.timestamp, item, now)
    affinity = rng.normal(size=n)
    label = rng.random(n) < 1 / (1 + np.exp(2 - affinity))
    features = {"popularity": popularity, "affinity": affinity, "age": now - start, **extra}
    offsets = np.arange(N_GROUPS + 1) * SIZE
    matrix = np.stack([np.asarray(column, np.float32) for column in features.values()], axis=1)
    return RankingData(
        matrix, tuple(features), label.astype(np.float32), np.ones(n, np.float32), offsets, user, item, now
    )


@pytest.mark.parametrize("seed", range(5))
def test_clean_rows_pass(events: Dataset, seed: int) -> None:
    report = detect_leakage(training(events, seed), events=events)
    assert not report.findings, str(report)


def leaks(events: Dataset) -> dict[str, tuple[str, Any]]:
    data = training(events)
    log = events.interactions
    positive = data.label > 0
    ever = np.bincount(log.item, minlength=events.n_items + 1)[data.item]
    rows = np.bincount(data.item)
    mean = np.bincount(data.item, weights=positive)[data.item]
    smooth = (mean + 5 * positive.mean()) / (rows[data.item] + 5)
    rng = np.random.default_rng(9)
    return {
        "popularity_ever": ("leak.all_time", ever),
        "log_popularity_ever": ("leak.all_time", np.log1p(ever)),
        "item_ctr": ("leak.target_mean", mean / rows[data.item]),
        "item_ctr_smooth": ("leak.target_mean", smooth),
        "answer": ("leak.auc", positive + rng.normal(0, 0.1, len(positive))),
        "only_if_bought": ("leak.auc", np.where(positive, 3.0, np.nan)),
        "last_event_at": ("leak.future", data.now + 86_400),
        "item_id": ("leak.ids", data.item + 1000),
        "user_id": ("leak.ids", data.user),
    }


@pytest.mark.parametrize(
    "leak",
    [
        "popularity_ever",
        "log_popularity_ever",
        "item_ctr",
        "item_ctr_smooth",
        "answer",
        "only_if_bought",
        "last_event_at",
        "item_id",
        "user_id",
    ],
)
def test_planted_leak_is_named(events: Dataset, leak: str) -> None:
    check, column = leaks(events)[leak]
    report = detect_leakage(training(events, **{leak: column}), events=events)
    assert report[check].status == "fail"
    assert report.features == (leak,)
    assert report[check].evidence


def test_declared_availability(events: Dataset) -> None:
    data = training(events)
    late = data.now.copy()
    late[:7] += 60
    late[7:] -= 60
    report = detect_leakage(data, events=events, available_at={"affinity": late})
    assert report["leak.future"].subject == "affinity"
    assert report["leak.future"].rows.tolist() == list(range(7))
    with pytest.raises(DataError, match="afinity"):
        detect_leakage(data, available_at={"afinity": late})
    with pytest.raises(DataError, match="shape"):
        detect_leakage(data, available_at={"affinity": late[:3]})


def test_splits(events: Dataset) -> None:
    log = events.interactions
    cut = float(np.quantile(log.timestamp, 0.8))
    before, after = events.split_at(cut)
    assert detect_leakage(before, after).status == "pass"
    assert {c.status for c in detect_leakage(before)} == {"not checked"}
    newest = np.zeros(len(log), np.bool_)
    newest[[np.flatnonzero(log.user == user)[-1] for user in np.unique(log.user)]] = True
    per_user = detect_leakage(
        events.with_interactions(log.take(np.flatnonzero(~newest))),
        events.with_interactions(log.take(np.flatnonzero(newest))),
    )
    assert per_user["leak.per_user_split"].status == per_user["leak.time_overlap"].status == "fail"
    at_random = detect_leakage(
        events.with_interactions(log.take(np.arange(0, len(log), 2))),
        events.with_interactions(log.take(np.arange(0, len(log), 3))),
    )
    assert at_random["leak.row_overlap"].status == "fail"
    assert at_random["leak.per_user_split"].status == "pass"
    other = make_marketplace(20, 25, days=10, seed=1).dataset
    with pytest.raises(DataError, match="vocabularies"):
        detect_leakage(before, other)


def test_too_few_labels(events: Dataset) -> None:
    data = training(events)
    none = RankingData(
        data.features,
        data.feature_names,
        data.label * 0,
        data.weight,
        data.offsets,
        data.user,
        data.item,
        data.now,
    )
    report = detect_leakage(none)
    assert report["leak.auc"].status == report["leak.all_time"].status == "not checked"


def test_few_distinct_values_have_an_order_by_chance(events: Dataset) -> None:
    data = training(events)
    known = np.isin(data.user, np.unique(data.user)[:3])
    log = events.interactions
    then = before(log.user, log.timestamp, data.user, data.now)
    idle = np.where(known, np.round(then / 7.0), np.nan)
    assert known.sum() > 50 and len(np.unique(idle[known])) < 20
    by_country = events.users.column("country")[data.user]
    report = detect_leakage(training(events, idle=idle, country=by_country), events=events)
    assert not report.findings, str(report)


@pytest.mark.parametrize("prior", [0.0, 0.7, 2.0, 33.0])
def test_a_target_mean_with_any_prior_is_found(events: Dataset, prior: float) -> None:
    data = training(events)
    hits = np.bincount(data.user, weights=data.label > 0)
    mean = ((hits + prior * 0.4) / np.maximum(np.bincount(data.user) + prior, 1e-9))[data.user]
    report = detect_leakage(training(events, encoded=mean), events=events)
    assert report.features == ("encoded",) and report["leak.target_mean"].evidence["by"] == "user"


def test_a_target_mean_of_few_labels_is_found_by_its_values(events: Dataset) -> None:
    data = training(events)
    country = events.users.column("country")[data.user]
    mean = (np.bincount(country, weights=data.label > 0) / np.maximum(np.bincount(country), 1))[country]
    report = detect_leakage(training(events, by_country=mean), events=events)
    assert report.features == ("by_country",) and report["leak.target_mean"].status == "fail"
