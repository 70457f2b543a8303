"""Ranks, areas under curves and rank correlations against scipy and against counting pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from recokit._stats.ranks import (
    Correlations,
    area_under_curve,
    areas_under_curve,
    distinct_pairs,
    mid_ranks,
    rank_correlation,
    spread_rows,
)

few_values = st.lists(st.integers(0, 5).map(float), min_size=0, max_size=12)


@given(few_values)
def test_mid_ranks_are_scipys(values):
    np.testing.assert_array_equal(mid_ranks(np.array(values)), stats.rankdata(values))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3).map(float)), max_size=15))
def test_mid_ranks_within_rows_are_scipys_of_each_row(pairs):
    row = np.array([pair[0] for pair in pairs], np.int64)
    values = np.array([pair[1] for pair in pairs])
    found = mid_ranks(values, row)
    assert found.shape == (len(pairs),)
    for one in np.unique(row):
        np.testing.assert_array_equal(found[row == one], stats.rankdata(values[row == one]))


def test_nan_is_largest_and_no_tie():
    assert mid_ranks(np.array([np.nan, 1.0, np.nan, 2.0])).tolist() == [3.0, 1.0, 4.0, 2.0]
    row = np.array([0, 0, 1, 1])
    assert mid_ranks(np.array([np.nan, 1.0, np.nan, 2.0]), row).tolist() == [2.0, 1.0, 2.0, 1.0]


def chance_of_order(score, positive) -> float:
    """Count the pairs."""
    above = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    return sum(above) / len(above) if above else math.nan


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), max_size=20))
def test_area_under_curve_is_the_chance_of_order(rows):
    row = np.array([one[0] for one in rows], np.int64)
    score = np.array([float(one[1]) for one in rows])
    positive = np.array([one[2] for one in rows], np.bool_)
    assert area_under_curve(score, positive) == pytest.approx(chance_of_order(score, positive), nan_ok=True)
    expected = [chance_of_order(score[row == one], positive[row == one]) for one in range(4)]
    np.testing.assert_allclose(areas_under_curve(row, score, positive, 4), expected)


@pytest.mark.parametrize("n", [5, 30])
def test_rank_correlation_is_spearmans(n):
    rng = np.random.default_rng(n)
    x = rng.integers(0, 6, n).astype(float)
    y = x + rng.integers(0, 6, n)
    assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert rank_correlation(x, -3.0 * x) == pytest.approx(-1.0)


def test_rank_correlation_needs_five_pairs_that_vary():
    x = np.arange(5.0)
    assert rank_correlation(x, x**3) == pytest.approx(1.0)
    assert math.isnan(rank_correlation(x[:4], x[:4]))
    assert math.isnan(rank_correlation(x, np.ones(5)))
    assert math.isnan(rank_correlation(np.ones(5), x))


def test_correlations_of_named_columns_over_rows():
    rng = np.random.default_rng(0)
    x, y, z = rng.random((3, 40))
    correlations = Correlations()
    for rows in (np.ones(40, np.bool_), rng.random(40) < 0.5):
        for a, left, b, right in (("x", x, "y", y), ("x", x, "z", z), ("z", z, "y", y)):
            expected = stats.spearmanr(left[rows], right[rows]).statistic
            assert correlations.between(a, left, b, right, rows=rows) == pytest.approx(expected)
    every = np.ones(40, np.bool_)
    assert correlations.between("x", x, "flat", np.ones(40), rows=every) == 0.0
    assert correlations.between("x", x, "y", y, rows=np.zeros(40, np.bool_)) == 0.0


def test_a_column_is_ranked_once_for_the_same_rows():
    every = np.ones(10, np.bool_)
    correlations = Correlations()
    x = np.arange(10.0)
    correlations.between("x", x, "y", x, rows=every)
    assert correlations.between("x", -x, "y", -x, rows=every) == pytest.approx(1.0)
    assert correlations.between("x", -x, "other", x, rows=every) == pytest.approx(1.0)


def test_spread_rows():
    assert spread_rows(0).tolist() == []
    assert spread_rows(4).tolist() == [0, 1, 2, 3]
    assert spread_rows(5000).tolist() == list(range(5000))
    many = spread_rows(12_001)
    assert (len(many), many[0], many[-1]) == (5000, 0, 12_000)
    assert set(np.diff(many)) == {2, 3}


def test_distinct_pairs():
    assert distinct_pairs(np.array([1.0, 1.0, 2.0, 1.0]), np.array([1.0, 2.0, 1.0, 1.0])) == 3
    assert distinct_pairs(np.zeros(0), np.zeros(0)) == 0
