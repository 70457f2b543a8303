"""Limits of the leakage checks, one value on either side of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recokit._stats.ranks import Correlations
from recokit.training._statistics import EventStatistic, LabelCounts
from recokit.training.leakage import _has_order, _statistic_followed, detect_leakage, leaking_features
from tests.training.test_leakage_edges import NOW, TestAllTime as AllTime, log_of, rows


@pytest.mark.parametrize(
    ("values", "status"),
    [
        (np.full(300, NOW + 3.15e8), "fail"),  # ten years of 365 days are 3.1536e8 s
        (np.full(300, NOW + 3.16e8), "pass"),
        (np.where(np.arange(300) < 3, 5.0, NOW + 1e4), "pass"),  # 99 of 100 are not more than that
    ],
)
def test_times_lie_within_ten_years(values: Any, status: str) -> None:
    assert detect_leakage(rows({"x": values}))["leak.future"].status == status


@pytest.mark.parametrize(("moment", "status"), [(3.2e8, "fail"), (3.2e8 - 32, "pass")])
def test_numbers_of_the_first_ten_years_are_no_times(moment: float, status: str) -> None:
    data = rows({"x": np.full(300, moment)}, now=np.full(300, 3.1e8))  # float32 tells numbers 32 apart here
    assert detect_leakage(data)["leak.future"].status == status


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_column_without_a_known_time_is_none(value: float) -> None:
    data = rows({"x": np.full(300, value)}, now=np.full(300, -1e6))
    assert detect_leakage(data)["leak.future"].status == "pass"


def test_a_statistic_that_few_rows_have_hides_no_other() -> None:
    rng = np.random.default_rng(6)
    ever = rng.permutation(200).astype(float)
    unknown = np.where(np.arange(200) < 49, ever, np.nan)
    rare = EventStatistic("rate", unknown, unknown)
    count = EventStatistic("count", rng.permutation(200).astype(float), ever)
    for statistics in ([rare, count], [count, rare]):
        found = _statistic_followed("x", ever, statistics, Correlations())
        assert found is not None and (found.name, found.ever) == ("count over all time", pytest.approx(1.0))
    assert _statistic_followed("x", ever, [rare], Correlations()) is None


@pytest.mark.parametrize(("n", "sampled"), [(20_000, 20_000), (40_000, 20_000), (40_002, 13_334)])
def test_fit_looks_at_twenty_thousand_rows_at_most(n: int, sampled: int) -> None:
    data = rows({"x": np.full(n, NOW + 1e4)}, np.zeros(n))
    found = leaking_features(data, log_of([1], [1], [1.0]))
    assert f"in {sampled:,} of {sampled:,} rows" in found["x"]


@pytest.mark.parametrize(("noise", "status"), [(0.1, "fail"), (0.45, "pass")])
def test_a_feature_that_only_resembles_all_time_passes(noise: float, status: str) -> None:
    _, leaking, events = AllTime().made(600)
    values = leaking.features[:, 0].astype(float)
    values += np.random.default_rng(1).normal(0, noise * values.std(), len(values))
    correlation = np.corrcoef(np.argsort(np.argsort(values)), np.argsort(np.argsort(leaking.features[:, 0])))[
        0, 1
    ]
    assert (correlation > 0.97) == (status == "fail") and correlation > 0.85
    report = detect_leakage(AllTime.with_x(leaking, values), events=events)
    assert report["leak.all_time"].status == status


def test_mean_labels_are_linear_in_the_prior_and_nothing_else_is() -> None:
    rng = np.random.default_rng(4)
    at, label = rng.integers(0, 12, 600), rng.random(600) < 0.4
    n, hits = np.bincount(at).astype(float), np.bincount(at, label)
    counts = LabelCounts("item", at, n, hits)
    for weight, prior in ((0.0, 0.0), (2.0, 0.4), (700.0, 0.1)):
        assert counts.explain(((hits + weight * prior) / (n + weight))[at])
    for other in (
        np.sqrt(hits / n),
        hits,
        n,
        np.log1p(hits),
        hits / n.max(),
        hits / n + 1e-3 * rng.random(12),
    ):
        assert not counts.explain(other[at])
    alike = LabelCounts("item", at, n, np.full(12, 3.0))  # as many positives everywhere say nothing
    assert not alike.explain((3.0 / n)[at])


def test_values_of_a_group_may_differ_by_the_rounding_of_float32() -> None:
    at = np.repeat(np.arange(8), 50)
    hits = np.arange(8.0) * 5
    counts = LabelCounts("item", at, np.full(8, 50.0), hits)
    mean = (hits / 50)[at]
    nudge = np.where(np.arange(400) % 50 == 0, 1.0, 0.0)
    assert counts.explain(mean.astype(np.float32).astype(float))
    assert counts.explain(mean + 5e-6 * nudge) and not counts.explain(mean + 1e-4 * nudge)


def test_few_groups_or_single_rows_are_no_encoding() -> None:
    from recokit.training._statistics import label_counts

    label = np.arange(60) % 2
    user = np.arange(60) % 2 + 1
    names = [
        part.name for part in label_counts(rows({"x": label}, label, user=user, item=np.arange(60) + 1), None)
    ]
    assert names == []  # two users; every item once
    user = np.arange(60) % 3 + 1
    names = [part.name for part in label_counts(rows({"x": label}, label, user=user, item=user), None)]
    assert names == ["item", "user"]


def test_twenty_different_pairs_have_an_order() -> None:
    values = np.repeat(np.arange(20.0), 3)
    assert _has_order(values, values) and not _has_order(values[:-3], values[:-3])
