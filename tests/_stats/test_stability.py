"""The population stability index against its formula, and its chance against samples."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from recokit._stats.stability import (
    chance_of_index,
    population_stability_index,
    quantile_edges,
    stability_index,
)


def index_of_counts(before, after):
    """Half a row more in each bin, bin by bin."""
    bins = len(before)
    total = 0.0
    for x, y in zip(before, after, strict=True):
        p, q = (x + 0.5) / (sum(before) + bins / 2), (y + 0.5) / (sum(after) + bins / 2)
        total += (q - p) * math.log(q / p)
    return total


@pytest.mark.parametrize(("before", "after"), [([5, 5], [9, 1]), ([4, 0, 6], [0, 3, 0]), ([0, 0], [7, 1])])
def test_the_index_counts_half_a_row_more_in_each_bin(before, after):
    p, q = (np.array(part, float) / max(sum(part), 1) for part in (before, after))
    found = stability_index(p, sum(before), q, sum(after))
    assert found == pytest.approx(index_of_counts(before, after))
    assert stability_index(q, sum(after), p, sum(before)) == pytest.approx(found)


def test_an_empty_bin_of_few_rows_is_no_other_population():
    tenths = np.full(10, 0.1)
    first_is_empty = np.array([0.0, *[1 / 9] * 9])
    assert stability_index(tenths, 40, first_is_empty, 40) < 0.25
    assert stability_index(tenths, 40_000, first_is_empty, 40_000) > 0.25


def test_bins_are_quantiles_with_missing_values_apart():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=400), rng.normal(0.3, 1, 300)
    after[:60] = np.nan
    edges = np.sort(before)[[99, 199, 299]]
    counts = [
        [sum(x <= edges[0]), *(sum((low < x) & (x <= high)) for low, high in pairwise(edges)),
         sum(x > edges[-1]), sum(np.isnan(x))]
        for x in (before, after)
    ]  # fmt: skip
    found = population_stability_index(before, after, n_bins=4)
    assert found == pytest.approx(index_of_counts(*counts))


def test_ten_bins_by_default():
    x = np.arange(100.0)
    moved = np.where(x < 10, 95.0, x)
    before, after = [10] * 10 + [0], [0] + [10] * 8 + [20] + [0]
    assert population_stability_index(x, moved) == pytest.approx(index_of_counts(before, after))


def test_weights_count_in_relation_to_each_other():
    x = np.tile([0.0, 1.0, 2.0, 3.0], 100)
    weight = np.tile([5.0, 1.0, 1.0, 5.0], 100)
    now = np.repeat([0.0, 3.0], [300, 100])
    found = population_stability_index(x, now, reference_weight=weight, n_bins=4)
    assert population_stability_index(x, now, reference_weight=weight / 1000, n_bins=4) == pytest.approx(
        found
    )
    # Kish's effective rows: 1200 ** 2 / 5200. The quantiles are 0, 1 and 3.
    rows = 1200**2 / 5200
    before = np.array([5, 1, 6, 0, 0]) / 12 * rows
    assert found == pytest.approx(index_of_counts(list(before), [300, 0, 100, 0, 0]))
    unseen = np.concatenate([x, [99.0]])
    without = np.concatenate([weight, [0.0]])
    assert population_stability_index(unseen, now, reference_weight=without, n_bins=4) == pytest.approx(found)


def test_quantile_edges():
    assert quantile_edges(np.array([4.0, 1.0, 3.0, 2.0]), np.ones(4), 4).tolist() == [1.0, 2.0, 3.0]
    assert quantile_edges(np.array([1.0, 2.0]), np.array([3.0, 1.0]), 4).tolist() == [1.0]
    assert quantile_edges(np.array([7.0]), np.ones(1), 10).tolist() == [7.0]
    assert quantile_edges(np.zeros(0), np.zeros(0), 10).tolist() == []


def test_chance_is_the_quantile_of_chi_squared():
    shares = np.array([0.5, 0.25, 0.25, 0.0])
    expected = stats.chi2.isf(0.01, 2) * (1 / 80 + 1 / 50)
    assert chance_of_index(shares, 80, 50, 0.01) == pytest.approx(expected)
    assert chance_of_index(np.ones(1), 1, 1, 0.5) == pytest.approx(2 * stats.chi2.isf(0.5, 1))


def test_samples_of_one_distribution_exceed_their_chance_as_often_as_it_says():
    rng = np.random.default_rng(1)
    shares = np.full(8, 1 / 8)
    draws = rng.multinomial(300, shares, (2, 2000)) / 300
    above = [
        stability_index(a, 300, b, 300) > chance_of_index(a, 300, 300, 0.05)
        for a, b in zip(*draws, strict=True)
    ]
    assert np.mean(above) == pytest.approx(0.05, abs=0.02)
