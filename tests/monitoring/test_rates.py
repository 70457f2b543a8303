"""Rates: ratios of sums over random groups, and errors from how the groups differ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recokit.monitoring.rates import BUCKETS, Rates, difference

NAMES = ("impressions", "clicks", "purchases", "revenue", "sessions", "converted", "judged", "gained")


def counts(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.integers(1, 50, BUCKETS).astype(float) for name in NAMES}


def error(above: np.ndarray, below: np.ndarray) -> float:
    """Return the standard error of a ratio of sums, group by group."""
    ratio = sum(above) / sum(below)
    squares = sum((a - ratio * b) ** 2 for a, b in zip(above, below, strict=True))
    return math.sqrt(len(above) / (len(above) - 1) * squares) / sum(below)


def test_every_rate_has_its_own_counts() -> None:
    given = counts()
    rates = Rates.of(given)
    for name, above, below in (
        ("ctr", "clicks", "impressions"),
        ("conversion", "converted", "sessions"),
        ("revenue_per_session", "revenue", "sessions"),
        ("ndcg", "gained", "judged"),
    ):
        assert getattr(rates, name) == pytest.approx(sum(given[above]) / sum(given[below]))
        assert getattr(rates, f"{name}_error") == pytest.approx(error(given[above], given[below]))
    for name in ("impressions", "clicks", "purchases", "revenue", "sessions", "judged"):
        assert getattr(rates, name) == sum(given[name])
    assert rates.to_dict()["ctr"] == rates.ctr


def test_items_have_no_sessions_and_nothing_has_no_rate() -> None:
    given = counts()
    rates = Rates.of(given, with_sessions=False)
    assert math.isnan(rates.conversion) and math.isnan(rates.revenue_per_session_error)
    assert rates.sessions == sum(given["sessions"]) and rates.ctr == Rates.of(given).ctr
    nothing = Rates.of({name: np.zeros(BUCKETS) for name in NAMES})
    assert nothing.impressions == 0 and math.isnan(nothing.ctr) and nothing.to_dict()["ctr"] is None


def test_groups_that_are_alike_leave_no_error() -> None:
    even = {name: np.full(BUCKETS, float(place)) for place, name in enumerate(NAMES, 2)}
    rates = Rates.of(even)
    assert (rates.ctr, rates.ctr_error) == (3 / 2, 0.0)


def test_a_change_is_relative_to_what_was() -> None:
    change, spread = difference((0.2, 0.02), (0.25, 0.01))
    assert change == pytest.approx(0.25)
    assert spread == pytest.approx(math.sqrt((0.01 / 0.2) ** 2 + (0.25 * 0.02 / 0.04) ** 2))
    assert difference((0.2, 0.0), (0.2, 0.0)) == (0.0, 0.0)
    assert all(map(math.isnan, difference((math.nan, 0.0), (0.2, 0.0))))
