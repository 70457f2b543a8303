"""Moments and differences, against two-pass formulas, statsmodels and tea-tasting."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from recokit._stats.differences import Difference
from recokit._stats.intervals import benjamini_hochberg
from recokit._stats.moments import Estimate, Moments, Part, adjusted, by_group


def test_moments_add_up_whatever_the_cut() -> None:
    columns = np.random.default_rng(3).normal([1e6, 5.0, -2.0], 3.0, (500, 3))
    whole = Moments.of(columns)
    cut = Moments.of(columns[:1]) + Moments.of(columns[1:137]) + Moments.of(columns[137:])
    for one in (whole, cut):
        np.testing.assert_allclose(one.mean, columns.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(one.cov, np.cov(columns.T), rtol=1e-9)


def test_groups_leave_out_what_is_in_none() -> None:
    columns = np.arange(6.0)[:, None]
    first, second = by_group(columns, np.array([0, -1, 1, 0, 1, -1]), 2)
    assert (first.n, second.n) == (2, 2) and first.mean[0] == 1.5 and second.mean[0] == 3.0


def test_welch_on_sums() -> None:
    # Sums of values and of squares of two samples, with the difference and its error known.
    def estimate(total: float, squares: float, n: int) -> Estimate:
        mean = total / n
        return Estimate(mean, math.sqrt((squares - n * mean**2) / (n - 1) / n), n)

    found = Difference(estimate(1396.87, 52377.9767, 3000), estimate(2422.7, 134698.29, 3461))
    assert found.value == pytest.approx(0.2343767, abs=5e-8)
    assert found.error == pytest.approx(0.1298308, abs=5e-8)


def test_welchs_test_is_statsmodels() -> None:
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    rng = np.random.default_rng(5)
    a, b = rng.exponential(1.0, 60), rng.exponential(1.5, 35)
    means = weightstats.CompareMeans(weightstats.DescrStatsW(b), weightstats.DescrStatsW(a))
    found = Difference(*(Moments.of(one[:, None]).estimate(Part(0)) for one in (a, b)))
    _, p_value, freedom = weightstats.ttest_ind(b, a, usevar="unequal")
    assert found.p_value() == pytest.approx(p_value, abs=1e-12)
    assert found.freedom == pytest.approx(freedom)
    assert found.interval(found.reach(0.95)) == pytest.approx(
        means.tconfint_diff(usevar="unequal"), abs=1e-12
    )


@pytest.mark.parametrize("kind", ["mean", "cuped", "ratio", "ratio cuped"])
def test_every_statistic_is_tea_tastings(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its own dependencies warn of
        tt = pytest.importorskip("tea_tasting")
        import pyarrow as pa

    rng, n = np.random.default_rng(42), 4_000
    data = {"user": np.arange(n), "variant": rng.integers(0, 2, n), "sessions": 1.0 + rng.poisson(2.0, n)}
    data["orders"] = rng.binomial(data["sessions"].astype(int), 0.25 + 0.03 * data["variant"]).astype(float)
    data["before_sessions"] = 1.0 + rng.poisson(data["sessions"])
    data["before_orders"] = data["orders"] + rng.poisson(0.5, n)
    names = ["orders", "sessions", "before_orders", "before_sessions"]
    metric, part, covariates = {
        "mean": (tt.Mean("orders"), Part(0), []),
        "cuped": (tt.Mean("orders", "before_orders"), Part(0), [Part(2)]),
        "ratio": (tt.RatioOfMeans("orders", "sessions"), Part(0, 1), []),
        "ratio cuped": (
            tt.RatioOfMeans("orders", "sessions", "before_orders", "before_sessions"),
            Part(0, 1),
            [Part(2, 3)],
        ),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = tt.Experiment(m=metric).analyze(pa.table(data))["m"]
    moments = by_group(np.stack([data[name] for name in names], axis=1), data["variant"], 2)
    found = Difference(*adjusted(moments, part, covariates))
    reach = found.reach(0.95)
    assert found.control.value == pytest.approx(expected.control, abs=1e-9)
    assert found.treatment.value == pytest.approx(expected.treatment, abs=1e-9)
    assert found.interval(reach) == pytest.approx(
        (expected.effect_size_ci_lower, expected.effect_size_ci_upper), abs=1e-9
    )
    assert found.relative == pytest.approx(expected.rel_effect_size, abs=1e-9)
    assert found.p_value() == pytest.approx(expected.pvalue, abs=1e-9)
    assert found.z == pytest.approx(expected.statistic, abs=1e-9)


def test_several_covariates_are_a_regression() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(3_000, 2))
    y = 2.0 * x[:, 0] - x[:, 1] + rng.normal(size=3_000)
    halves = by_group(np.column_stack([y, x]), rng.integers(0, 2, 3_000), 2)
    plain, less = adjusted(halves, Part(0)), adjusted(halves, Part(0), [Part(1), Part(2)])
    assert (less[0].error / plain[0].error) ** 2 == pytest.approx(1 / 6, rel=0.1)
    # The same covariate twice, or one that never varies, changes nothing.
    twice = adjusted(halves, Part(0), [Part(1), Part(2), Part(1)])
    assert twice[0].value == pytest.approx(less[0].value) and twice[0].error == pytest.approx(less[0].error)
    still = by_group(np.column_stack([y, np.ones(3_000)]), rng.integers(0, 2, 3_000), 2)
    assert adjusted(still, Part(0), [Part(1)])[1] == still[1].estimate(Part(0))


def test_differences_at_their_edges() -> None:
    nothing = Estimate(0.0, 0.0, 10)
    assert Difference(nothing, nothing).p_value() == 1.0 and Difference(nothing, nothing).z == 0.0
    assert Difference(nothing, Estimate(1.0, 0.0, 10)).p_value() == 0.0
    assert math.isnan(Difference(nothing, Estimate(1.0, 0.1, 10)).relative)
    assert all(map(math.isnan, Difference(nothing, Estimate(1.0, 0.1, 10)).relative_interval(2.0)))
    below = Difference(Estimate(-2.0, 0.1, 50), Estimate(-1.0, 0.1, 50))
    assert below.relative == 0.5 and below.relative_interval(2.0)[0] < 0.5 < below.relative_interval(2.0)[1]
    # What has all but gone is nearly 100% less, and not anything between nothing and infinity.
    gone = Difference(Estimate(2.0, 0.1, 50), Estimate(0.001, 0.001, 50)).relative_interval(2.0)
    assert gone == pytest.approx((-1.0005, -0.9985), abs=1e-3)
    assert math.isnan(Moments.of(np.ones((1, 1))).estimate(Part(0)).error)


def test_benjamini_and_hochberg_is_scipys_and_skips_what_was_not_made() -> None:
    from scipy import stats

    p = np.random.default_rng(1).random(20)
    np.testing.assert_allclose(benjamini_hochberg(p.tolist()), stats.false_discovery_control(p))
    assert np.isnan(benjamini_hochberg([0.01, np.nan, 0.5])).tolist() == [False, True, False]
    assert benjamini_hochberg([0.01, np.nan, 0.5])[0] == pytest.approx(0.02)
