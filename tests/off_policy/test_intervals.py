"""Intervals: their textbook forms, clusters, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recokit import off_policy
from recokit.errors import ConfigurationError
from recokit.off_policy import LoggedRounds, estimate
from recokit.off_policy.intervals import Parts, _Totals, bernstein, bootstrap, hall, student


@pytest.fixture
def values():
    return np.random.default_rng(0).gamma(0.5, size=300)


def test_student_of_a_mean_is_that_of_the_library(values):
    error, low, high = student(Parts(values), None, 0.9)
    wanted = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert (low, high) == pytest.approx((wanted.low, wanted.high))
    assert error == pytest.approx(stats.sem(values))


def test_student_of_a_quotient_is_the_delta_method(values):
    rng = np.random.default_rng(1)
    numerator, denominator = values * rng.random(300), values
    quotient = numerator.sum() / denominator.sum()
    error, low, high = student(Parts(np.zeros(300), numerator, denominator), None, 0.95)
    residual = (numerator - quotient * denominator) / denominator.mean()
    assert error == pytest.approx(residual.std(ddof=1) / np.sqrt(300))
    assert (low + high) / 2 == pytest.approx(quotient)


def test_hall_inverts_the_transformation_of_a_studentised_mean(values):
    """Hall (1992): T + g T^2 / (3 sqrt n) + g^2 T^3 / (27 n) + g / (6 sqrt n) is normal at the ends."""
    n, spread = len(values), values.std(ddof=1)
    skew = np.mean((values - values.mean()) ** 3) / spread**3
    error, low, high = hall(Parts(values), None, 0.95)
    kurtosis = np.mean((values - values.mean()) ** 4) / spread**4
    assert 2 * n / (kurtosis - 1) < n - 1
    quantile = stats.t.ppf(0.975, 2 * n / (kurtosis - 1))
    for end, wanted in ((low, quantile), (high, -quantile)):
        t = (values.mean() - end) / error
        turned = t + skew * t**2 / (3 * np.sqrt(n)) + skew**2 * t**3 / (27 * n) + skew / (6 * np.sqrt(n))
        assert turned == pytest.approx(wanted)
    assert high - values.mean() > values.mean() - low  # skewed to the right


def test_hall_without_skewness_is_student():
    values = np.concatenate([np.arange(-10.0, 11), np.arange(-10.0, 11)])
    assert hall(Parts(values), None, 0.95) == pytest.approx(student(Parts(values), None, 0.95))
    assert hall(Parts(np.ones(5)), None, 0.95) == (0.0, 1.0, 1.0)


def test_the_bootstrap_agrees_with_the_delta_method_on_many_rounds():
    rng = np.random.default_rng(2)
    weight = rng.random(3000)
    parts = Parts(rng.random(3000), weight * rng.random(3000), weight)
    drawn = bootstrap(parts, None, 0.95, resamples=1500, seed=3)
    assert drawn == pytest.approx(student(parts, None, 0.95), rel=0.08)
    assert drawn == bootstrap(parts, None, 0.95, resamples=1500, seed=3)
    assert drawn != bootstrap(parts, None, 0.95, resamples=1500, seed=4)


def test_clusters_are_drawn_as_a_whole():
    """Every round twice tells nothing new: with clusters the interval stays, without it shrinks."""
    rng = np.random.default_rng(4)
    weight, value = rng.random(400), rng.random(400)
    once = Parts(value, weight * value, weight)
    twice = Parts(*(np.repeat(column, 2) for column in (value, weight * value, weight)))
    clusters = np.repeat(np.arange(400), 2)
    for interval in (student, hall):
        assert interval(twice, clusters, 0.95) == pytest.approx(interval(once, None, 0.95))
        assert interval(twice, None, 0.95)[0] < 0.75 * interval(once, None, 0.95)[0]
    assert bootstrap(twice, clusters, 0.95, resamples=500, seed=0) == pytest.approx(
        bootstrap(once, None, 0.95, resamples=500, seed=0)
    )


def test_empirical_bernstein_is_that_of_maurer_and_pontil():
    values = np.random.default_rng(5).random(500)
    error, low, high = bernstein(Parts(values, bounds=(0.0, 2.0)), None, 0.9)
    reach = np.sqrt(2 * values.var(ddof=1) * np.log(40) / 500) + 7 * 2.0 * np.log(40) / (3 * 499)
    assert (high - low) / 2 == pytest.approx(reach) and error == pytest.approx(stats.sem(values))
    assert bernstein(Parts(np.zeros(5), bounds=(0.0, 1.0)), None, 0.95)[1:] == (0.0, 1.0)


def rounds(**columns):
    n = 300
    rng = np.random.default_rng(6)
    return LoggedRounds(
        rng.random(n) < 0.3, propensity=np.full(n, 0.5), target=rng.choice([0.25, 0.75], n),
        predicted=np.full(n, 0.3), expected=np.full(n, 0.3), **columns,
    )  # fmt: skip


@pytest.mark.parametrize(
    "estimator",
    [
        off_policy.ClippedIPS(max_weight=1.2),
        off_policy.SwitchDR(threshold=1.2),
        off_policy.DRos(shrinkage=2.0),
    ],
)
def test_bounds_hold_what_rounds_contribute(estimator):
    parts = estimator.parts(rounds(), (0.0, 1.0))
    assert parts.bounds[0] <= parts.plain.min() and parts.plain.max() <= parts.bounds[1]
    assert parts.bounds[1] - parts.bounds[0] < 4
    found = estimate(rounds(), estimator, interval="bernstein", reward_range=(0, 1), support=None)
    (one,) = found.values()
    assert one.low < one.value < one.high and found.logged.low < found.logged.value


def test_bernstein_asks_for_what_it_needs():
    for estimator, columns, options in (
        ("IPS", {}, {"reward_range": (0, 1)}),
        ("SNIPS", {}, {"reward_range": (0, 1)}),
        ("ClippedIPS", {}, {}),
    ):
        with pytest.raises(ConfigurationError, match=r"no known bounds.*ClippedIPS"):
            estimate(rounds(**columns), estimator, interval="bernstein", **options)
    with pytest.raises(ConfigurationError, match="rounds in clusters"):
        estimate(rounds(cluster=np.arange(300) // 2), "ClippedIPS", interval="bernstein", reward_range=(0, 1))


@pytest.mark.parametrize(
    "options",
    [{"interval": "normal"}, {"confidence": 95}, {"resamples": 1}, {"reward_range": (1.0, 0.0)}],
)
def test_impossible_options(options):
    with pytest.raises(ConfigurationError, match=f"found {next(iter(options))}="):
        estimate(rounds(), "IPS", **options)


def test_a_skewed_mean_is_covered_where_student_misses_it():
    """Ten rewards of very different weights in a thousand rounds, 400 times."""
    rng = np.random.default_rng(7)
    n, rate = 1000, 0.01
    truth = rate * np.exp(0.5)
    held = {"hall": 0, "student": 0}
    for _ in range(400):
        value = np.exp(rng.normal(size=n)) * (rng.random(n) < rate)
        for name, interval in (("hall", hall), ("student", student)):
            _, low, high = interval(Parts(value), None, 0.95)
            held[name] += low <= truth <= high
    assert held["student"] < 0.88 * 400 < 0.91 * 400 < held["hall"]


@pytest.mark.parametrize("clusters", [None, np.array([0, 1, 0, 2, 1])])
def test_resamples_of_a_ratio_and_of_a_mean(clusters):
    rng = np.random.default_rng(0)
    plain, numerator, denominator = rng.normal(size=5), rng.normal(size=5), rng.random(5)
    members = [[i] for i in range(5)] if clusters is None else [[0, 2], [1, 4], [3]]
    times = rng.integers(0, 3, (6, len(members)))
    times[:, 0] += 1
    ratio = Parts(plain, numerator=numerator, denominator=denominator)
    for parts, with_ratio in ((Parts(plain), False), (ratio, True)):
        found = _Totals.of(parts, clusters).values(times)
        for value, taken in zip(found, times, strict=True):
            rows = [row for cluster, n in zip(members, taken, strict=True) for row in cluster * int(n)]
            expected = plain[rows].mean()
            if with_ratio:
                expected += numerator[rows].sum() / denominator[rows].sum()
            assert value == pytest.approx(expected)


def test_a_resample_without_weight_has_no_ratio():
    parts = Parts(np.zeros(2), numerator=np.array([1.0, 1.0]), denominator=np.array([0.0, 2.0]))
    found = _Totals.of(parts, None).values(np.array([[2, 0], [1, 1]]))
    assert np.isnan(found[0]) and found[1] == 1.0
