"""Validation: each planted fault is found and named, clean data is not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recokit.data import DAY, Dataset
from recokit.data.validation._times import freshness
from recokit.data.validation.training_data import ValidationReport, validate
from recokit.datasets import make_marketplace
from recokit.errors import ConfigurationError, DataError

NOW = "2025-03-02"


@pytest.fixture(scope="module")
def clean() -> Dataset:
    return make_marketplace(600, 150, days=60, seed=6).dataset


def check(data: Dataset, **options: Any) -> ValidationReport:
    return validate(data, **{"now": NOW, **options})


def relogged(data: Dataset, **columns: Any) -> Dataset:
    """Return the data with columns of the log replaced, sorted by time again."""
    log = replace(data.interactions, **columns)
    return data.with_interactions(log.take(np.argsort(log.timestamp, kind="stable")))


def test_clean_data_passes(clean: Dataset) -> None:
    report = check(clean)
    assert {c.name for c in report.findings} <= {"sufficiency"}
    report.assert_ok()
    assert report.ok and report["duplicates.event_id"].status == "not checked"


@pytest.mark.parametrize("seed", range(6))
def test_clean_replays_do_not_alarm(seed: int) -> None:
    report = check(make_marketplace(300, 100, days=60, seed=100 + seed).dataset)
    assert {c.name for c in report.findings} <= {"sufficiency"}, str(report)


def test_missing_day(clean: Dataset) -> None:
    log = clean.interactions
    day = np.floor(log.timestamp[0] / DAY) * DAY + 30 * DAY
    keep = (log.timestamp < day) | (log.timestamp >= day + DAY)
    data = clean.with_interactions(log.take(np.flatnonzero(keep)))
    report = check(data)
    assert report["time.days"].status == "fail"
    assert report["time.days"].evidence["days"] == ["2025-01-31"]
    assert check(data, closed=["2025-01-31"])["time.days"].status == "pass"


def test_duplicates_with_jitter(clean: Dataset) -> None:
    log = clean.interactions
    rng = np.random.default_rng(0)
    again = np.sort(rng.choice(len(log), len(log) // 20, replace=False))
    at = np.sort(np.concatenate([np.arange(len(log)), again]))
    second = np.concatenate([[False], np.diff(at) == 0])
    both = log.take(at)
    data = relogged(
        clean.with_interactions(both), timestamp=both.timestamp + second * rng.uniform(0.1, 3, len(at))
    )
    found = check(data)["duplicates.retries"]
    assert found.status == "fail"
    assert len(found.rows) == found.evidence["duplicates"] == pytest.approx(len(again), rel=0.01)


def test_repeated_event_ids(clean: Dataset) -> None:
    ids = np.arange(len(clean.interactions))
    assert check(clean, event_ids=ids)["duplicates.event_id"].status == "pass"
    ids[7] = ids[3]
    found = check(clean, event_ids=ids)["duplicates.event_id"]
    assert (found.status, found.rows.tolist()) == ("warn", [7])
    with pytest.raises(DataError, match="event_ids"):
        check(clean, event_ids=ids[:3])


def test_labels_before_impressions(clean: Dataset) -> None:
    log = clean.interactions
    click = log.event == log.event_names.index("click")
    report = check(relogged(clean, timestamp=np.where(click, log.timestamp - 3600, log.timestamp)))
    assert report["labels.order"].status == "fail"
    assert report["labels.order"].subject == "click"
    assert report["labels.order"].evidence["median_lead_s"] > 0


def test_labels_that_join_nothing(clean: Dataset) -> None:
    one = {"user": np.array([1]), "item": np.array([1]), "timestamp": np.array([0.0])}
    assert check(clean, impressions=one)["labels.joined"].status == "fail"
    with pytest.raises(DataError, match="without item"):
        check(clean, impressions={"user": [1], "timestamp": [0.0]})
    with pytest.raises(DataError, match="lengths"):
        check(clean, impressions={**one, "timestamp": np.zeros(2)})
    assert check(clean, label_events=())["labels.joined"].status == "not checked"


def test_milliseconds(clean: Dataset) -> None:
    log = clean.interactions
    wrong = np.arange(len(log)) % 10 == 0
    found = check(relogged(clean, timestamp=np.where(wrong, log.timestamp * 1e3, log.timestamp)))[
        "time.units"
    ]
    assert found.status == "fail" and "milliseconds" in found.message
    assert len(found.rows) == wrong.sum()


def test_stale_future_and_past(clean: Dataset) -> None:
    log = clean.interactions
    assert check(clean, now="2025-03-10")["freshness"].status == "fail"
    assert check(clean, now="2025-03-10", max_age="30D")["freshness"].status == "pass"
    assert check(clean, now="2025-02-10")["time.future"].status == "fail"
    zero = log.timestamp.copy()
    zero[0] = 0.0
    assert check(relogged(clean, timestamp=zero))["time.past"].rows.tolist() == [0]


def test_unknown_codes(clean: Dataset) -> None:
    item = clean.interactions.item.copy()
    item[: len(item) // 5] = 0
    assert check(relogged(clean, item=item))["codes.unknown"].status == "fail"


def test_empty_log(clean: Dataset) -> None:
    report = check(clean.with_interactions(clean.interactions.take(slice(0, 0))))
    assert report.approach == "content only"
    assert report["freshness"].status == "not checked"


def test_report_is_readable(clean: Dataset) -> None:
    report = check(clean, now="2025-03-10")
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["status"] == "fail"
    assert "FAIL freshness" in str(report) and "fail" in repr(report)
    assert "<table" in report._repr_html_()
    with pytest.raises(DataError, match="freshness"):
        report.assert_ok()
    with pytest.raises(DataError, match="no event ids"):
        check(clean).assert_ok(strict=True)
    with pytest.raises(ConfigurationError, match="freshnes"):
        report["freshnes"]
    with pytest.raises(ConfigurationError, match="max_agee"):
        check(clean, max_agee=1)


def test_constant_column(clean: Dataset) -> None:
    log = clean.interactions
    report = check(relogged(clean, value=np.full(len(log), 3.0, np.float32)))
    found = report["columns.constant"]
    assert found.status == "warn" and "value" in found.message + found.subject


def flagged(n: int, value: bool, *, as_numbers: bool = False) -> Dataset:
    """Return data with a flag that is the same for all n items."""
    flag = np.full(n, value)
    items = {
        "item_id": np.arange(n),
        "price": np.arange(n),
        "recalled": flag.astype(int) if as_numbers else flag,
    }
    log = {"user_id": np.arange(40) % 7, "item_id": np.arange(40) % n, "timestamp": np.arange(40.0)}
    return Dataset.from_frame(log, items=items)


def test_a_flag_that_no_row_of_few_has_is_no_alarm() -> None:
    assert check(flagged(150, False))["columns.constant"].status == "pass"
    assert check(flagged(150, False), constant_flags=20)["columns.constant"].subject == "item.recalled"
    assert check(flagged(1200, False))["columns.constant"].subject == "item.recalled"
    # Numbers that are all 0 are no flag: a price may have been lost.
    assert check(flagged(150, False, as_numbers=True))["columns.constant"].subject == "item.recalled"


def test_the_marketplace_that_recalls_nothing_is_clean() -> None:
    data = make_marketplace(600, 150, seed=5).dataset
    assert not data.items.column("recalled")[1:].any()
    assert check(data, now=data.until + 3600)["columns.constant"].status == "pass"


@pytest.mark.parametrize(
    ("newest", "status", "hours"),
    [(-1.0, "pass", "1.0"), (-2.0, "fail", "2.0"), (1.0, "pass", "0.0"), (1.5, "fail", "9.0")],
)
def test_the_newest_event_is_younger_than_the_bound_and_not_too_far_ahead(
    newest: float, status: str, hours: str
) -> None:
    hour = 3600.0
    log = Dataset.from_frame(
        {"user": [1, 1], "item": [1, 2], "timestamp": [(100 - 9) * hour, (100 + newest) * hour]}
    ).interactions
    check = freshness(log, 100 * hour, 2 * hour, hour)
    assert check.status == status
    assert check.expected == "an event less than 2 h before training"
    assert f", {hours} h before training" in check.message
    nothing = freshness(log, 0.0, 2 * hour, hour)
    assert (nothing.status, nothing.message) == ("not checked", "found no event before training")
