"""Intervals and tests of means over users: what they are, and whether they keep their promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import optimize, stats

from recokit._stats.intervals import Mean
from recokit.errors import ConfigurationError
from recokit.evaluation import mean_interval


def hall(values, confidence):
    """Ends of Hall's interval, by solving his cubic for the true mean."""
    n, error = len(values), values.std(ddof=1) / np.sqrt(len(values))
    g = np.mean(((values - values.mean()) / values.std(ddof=1)) ** 3) / np.sqrt(n)
    reach = stats.t.ppf(0.5 + confidence / 2, n - 1)

    def end(sign):
        def cubic(mean):
            t = (values.mean() - mean) / error
            return t + g * t**2 / 3 + g**2 * t**3 / 27 + g / 6 - sign * reach

        return optimize.brentq(cubic, values.mean() - 50 * error, values.mean() + 50 * error, xtol=1e-14)

    return end(1), end(-1)


@pytest.mark.parametrize("n", [5, 40, 2000])
@pytest.mark.parametrize("sign", [1, -1])
def test_values_of_one_sign_have_halls_interval(n, sign):
    rng = np.random.default_rng(n)
    values = sign * np.where(rng.random(n) < 0.6, 0.0, rng.beta(1, 3, n))
    mean, low, high, count = mean_interval(values, 0.9)
    assert (mean, count) == (pytest.approx(values.mean()), n)
    assert (low, high) == pytest.approx(hall(values, 0.9), abs=1e-9)


@pytest.mark.parametrize("n", [2, 6, 400])
def test_symmetric_differences_have_students_interval(n):
    half = np.random.default_rng(n).normal(size=n // 2)
    values = np.concatenate([half, -half]) + 0.0
    _, low, high, _ = mean_interval(values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_skewed_differences_are_corrected_as_far_as_their_skewness_is_clear():
    rng = np.random.default_rng(0)
    lost = np.where(rng.random(2000) < 0.08, rng.beta(2, 3, 2000), 0)
    values = np.where(rng.random(2000) < 0.3, 0.08, 0.0) - lost
    _, low, high, _ = mean_interval(values)
    student = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    full = hall(values, 0.95)
    assert min(student.low, full[0]) < low < max(student.low, full[0])
    assert min(student.high, full[1]) < high < max(student.high, full[1])


def test_skewness_that_is_mostly_noise_widens_both_sides_alike():
    """The second-order term of skewness in Student's two-sided error, x (x^4 + 2 x^2 - 3) g^2 / 18 n."""
    n = 200
    values = np.concatenate([np.linspace(0.3, 1.0, 16), [-0.4, -0.6], np.zeros(n - 18)])
    mean, low, high, _ = mean_interval(values)
    t, skew = stats.t.ppf(0.975, n - 1), np.mean((values - mean) ** 3) / values.std(ddof=1) ** 3
    assert skew > 2
    reach = t + skew**2 * t * (t**4 + 2 * t**2 - 3) / (18 * n)
    assert (low, high) == pytest.approx((mean - reach * stats.sem(values), mean + reach * stats.sem(values)))


@given(
    st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=3, max_size=40),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_the_test_and_the_interval_agree(values, confidence):
    found = Mean.of(np.array(values))
    low, high = found.interval(confidence)
    assert low <= found.mean <= high
    if found.error > 0 and min(abs(low), abs(high)) > 1e-9:
        assert (found.p_value() < 1 - confidence) == (low > 0 or high < 0)


def test_values_that_are_all_the_same_at_a_bound():
    n = 300
    assert mean_interval(np.zeros(n), bounds=(0.0, 1.0)) == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / n)), n)
    exact = stats.binomtest(n, n).proportion_ci(0.95, method="exact")
    assert mean_interval(np.ones(n), bounds=(0.0, 1.0))[1:3] == pytest.approx((exact.low, 1.0))
    assert mean_interval(np.full(n, 0.3), bounds=(0.0, 1.0))[:3] == pytest.approx((0.3,) * 3)
    assert mean_interval(np.zeros(n)) == (0.0, 0.0, 0.0, n)
    assert Mean.of(np.zeros(n)).p_value() == 1.0
    assert Mean.of(np.ones(n)).p_value() == 0.0


def test_detectable_and_needed_agree_with_the_power_of_the_test():
    rng = np.random.default_rng(3)
    found = Mean.of(rng.normal(0, 2, 100_000))
    size = found.detectable(0.95, 0.8)
    assert size == pytest.approx(2 * (1.95996 + 0.84162) / np.sqrt(100_000), rel=0.01)
    assert found.needed(size, 0.95, 0.8) == pytest.approx(100_000, abs=1)
    assert found.needed(size / 2, 0.95, 0.8) == pytest.approx(400_000, abs=4)
    assert found.needed(0.0, 0.95, 0.8) == np.inf
    rejected = [Mean.of(rng.normal(0.2830, 1, 100)).p_value() < 0.05 for _ in range(1500)]
    assert np.mean(rejected) == pytest.approx(0.8, abs=0.04)


def test_the_interval_agrees_with_a_bootstrap_over_users():
    rng = np.random.default_rng(2)
    values = np.where(rng.random(1000) < 0.4, rng.random(1000), 0.0)
    _, low, high, _ = mean_interval(values)
    means = values[rng.integers(0, 1000, (2000, 1000))].mean(axis=1)
    np.testing.assert_allclose((low, high), np.quantile(means, [0.025, 0.975]), atol=0.003)


def test_intervals_of_few_values():
    assert np.isnan(mean_interval(np.array([np.nan]))[:3]).all()
    mean, low, high, n = mean_interval(np.array([np.nan, 0.5]))
    assert (mean, n) == (0.5, 1)
    assert np.isnan([low, high]).all()
    assert mean_interval(np.array([0.0, 1.0]), bounds=(0.0, 1.0)) == (0.5, 0.0, 1.0, 2)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.1, np.nan])
def test_confidence_is_a_share(confidence):
    with pytest.raises(ConfigurationError, match="above 0 and below 1"):
        mean_interval(np.ones(3), confidence)


def test_two_hundred_users_of_whom_fifteen_differ_are_not_few():
    values = np.zeros(200)
    values[:15] = 1.0
    assert not Mean.of(values).few
    assert Mean.of(values[:-1]).few
    values[0] = 0.0
    assert Mean.of(values).few


def test_needed_users_grow_with_the_square():
    found = Mean.of(np.random.default_rng(0).normal(size=50))
    assert found.needed(found.detectable(0.9, 0.8), 0.9, 0.8) == pytest.approx(50, abs=1)
    assert np.isnan(Mean.of(np.ones(1)).needed(0.1, 0.9, 0.8))
    assert Mean.of(np.random.default_rng(0).normal(5, 1, 30)).p_value(5.0) > 0.05
