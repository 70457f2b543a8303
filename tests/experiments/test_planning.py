"""Planning: units and days, by real variance; and A/A on the team's own log."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import recokit as rk
from recokit import candidates, experiments as ex
from recokit.data import DAY
from recokit.errors import ConfigurationError, DataError


def test_units_are_those_of_statsmodels() -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    for d, share in ((0.1, 0.8), (0.02, 0.9), (0.5, 0.95)):
        expected = power.NormalIndPower().solve_power(d, alpha=0.05, power=share)
        assert ex.units_needed(d, share) == pytest.approx(expected, rel=1e-5)
    assert ex.units_needed(0.1) == pytest.approx(1569.77, abs=0.01)


def test_what_is_detectable_is_what_units_are_needed_for() -> None:
    for reading in (None, ex.GroupSequential(looks=5), ex.Anytime(5_000)):
        n = ex.units_needed(0.07, 0.85, reading)
        assert ex.detectable(n, 0.85, reading) == pytest.approx(0.07, rel=1e-4)


def test_looks_and_arms_cost_units() -> None:
    plain = ex.units_needed(0.1)
    assert plain < ex.units_needed(0.1, reading=ex.GroupSequential(looks=14)) < 1.1 * plain
    assert ex.units_needed(0.1, reading=ex.Anytime(3_000)) > 1.5 * plain
    assert ex.units_needed(0.1, arms=3) > 1.1 * plain


def test_a_plan_is_by_the_variance_of_what_units_did_and_their_coming() -> None:
    rng, n = np.random.default_rng(1), 4_000
    user = np.repeat(np.arange(n), 3)
    first = DAY * 20 * rng.random(n)
    outcomes = {
        "user_id": user, "timestamp": first[user] + DAY * 8 * rng.random(len(user)),
        "clicks": (rng.random(len(user)) < 0.2).astype(float), "impressions": np.ones(len(user)),
    }  # fmt: skip
    found = ex.plan(ex.Ratio("clicks", "impressions"), outcomes, effect=0.1)
    # Three independent impressions a user: the ratio's standard deviation is that of a binomial share.
    assert found.mean == pytest.approx(0.2, rel=0.05) and found.spread == pytest.approx(
        0.4 / math.sqrt(3), rel=0.05
    )
    expected = (
        2 * (stats.norm.isf(0.025) + stats.norm.isf(0.2)) ** 2 * (found.spread / (0.1 * found.mean)) ** 2
    )
    assert found.units_per_arm == pytest.approx(expected, rel=0.01) and found.units == 2 * found.units_per_arm
    assert found.information == pytest.approx(found.units_per_arm / 2 / found.spread**2)
    assert str(found).startswith(f"{found.units:,.0f} units in 2 arms, ")
    half = ex.plan(ex.Ratio("clicks", "impressions"), outcomes, effect=0.1, share_of_units=0.5)
    assert half.days > found.days and half.units == pytest.approx(found.units)
    small = ex.plan(ex.Ratio("clicks", "impressions"), outcomes, effect=0.3)
    times = np.sort(np.unique(np.floor((first - first.min()) / DAY)))
    assert 1 <= small.days <= len(times)


def test_covariates_make_a_plan_smaller_by_what_they_explain() -> None:
    rng, n = np.random.default_rng(2), 20_000
    before = rng.normal(size=n)
    outcomes = {"user_id": np.arange(n), "x": 10 + 0.6 * before + 0.8 * rng.normal(size=n), "past": before}
    plain = ex.plan("x", outcomes, effect=0.01)
    less = ex.plan(ex.Mean("x", covariate="past"), outcomes, effect=0.01)
    assert less.units / plain.units == pytest.approx(1 - 0.36, rel=0.02)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"effect": 0.0}, ConfigurationError),
        ({"effect": 0.1, "power": 1.0}, ConfigurationError),
        ({"effect": 0.1, "arms": 1}, ConfigurationError),
        ({"effect": 0.1, "share_of_units": 0.0}, ConfigurationError),
    ],
    ids=str,
)
def test_impossible_plans_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        ex.plan("x", {"user_id": [1, 2], "x": [1.0, 2.0]}, **options)


def test_outcomes_that_do_not_vary_and_quantiles_are_refused() -> None:
    with pytest.raises(DataError, match="vary"):
        ex.plan("x", {"user_id": [1, 2], "x": [0.0, 0.0]}, effect=0.1)
    with pytest.raises(ConfigurationError, match="mean or a ratio"):
        ex.plan("p99_x", {"user_id": [1, 2], "x": [1.0, 2.0]}, effect=0.1)


def own_log(n: int, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(seed)
    user = rng.integers(0, n, 8 * n)
    log = {"unit": np.arange(n), "timestamp": DAY * 3 * rng.random(n)}
    spent = np.where(rng.random(8 * n) < 0.1, rng.lognormal(1.0, 1.0, 8 * n), 0.0)
    return log, {
        "user_id": user,
        "timestamp": DAY * 14 * rng.random(8 * n),
        "revenue": spent,
        "lists": np.ones(8 * n),
    }


@pytest.mark.parametrize(
    "reading",
    [ex.Fixed(), ex.GroupSequential(looks=14), ex.Anytime(2_000)],
    ids=lambda one: type(one).__name__,
)
def test_equal_arms_are_seldom_told_apart(reading: ex.Reading) -> None:
    found = ex.simulate_aa(*own_log(1_500, 5), primary="revenue", reading=reading, runs=300, seed=6)
    assert found.holds and found.runs == 300
    if reading.every:
        assert found.naive > 0.1
    assert stats.kstest(found.p_values, "uniform").pvalue > 0.001


def test_every_kind_of_mean_can_be_simulated() -> None:
    log, events = own_log(800, 7)
    users = {"unit": np.arange(800), "household": np.arange(800) // 2}
    for metric, more in (
        (ex.Ratio("revenue", "lists", covariate="before"), {}),
        (ex.Mean("revenue", covariate="before", winsorize=0.99), {}),
        (ex.Mean("revenue"), {"users": users, "cluster": "household"}),
    ):
        log["timestamp"] = log["timestamp"] + 4 * DAY
        assert ex.simulate_aa(log, events, primary=metric, runs=100, **more).false_alarms < 0.15
    with pytest.raises(ConfigurationError, match="a mean"):
        ex.simulate_aa(log, events, primary="p90_revenue")


def test_a_way_of_measuring_that_breaks_its_promise_is_found() -> None:
    log, events = own_log(600, 8)
    # Users of one household are one draw, which is not said.
    shared = np.random.default_rng(9).lognormal(0.0, 2.0, 30)
    events["revenue"] = shared[events["user_id"] // 20]
    user = {"unit": np.arange(600), "household": np.arange(600) // 20}
    honest = ex.simulate_aa(log, events, primary="revenue", users=user, cluster="household", runs=200)
    assert honest.false_alarms < 0.2
    assert "promise" in str(honest)


def test_the_path_of_a_sound_pipeline_passes_the_gate() -> None:
    data = rk.testing.toy_dataset()
    pipeline = rk.Pipeline([candidates.Popular()]).fit(data)
    found = ex.check_path(pipeline, data.user_ids.ids.tolist(), now=data.until)
    assert found.holds and found.users == len(data.user_ids)


def test_a_pipeline_that_depends_on_the_batch_does_not_pass() -> None:
    class Moody:
        """A source whose list depends on how many are asked for together."""

        def retrieve(self, requests: Any, limit: int) -> Any:
            item = np.tile(np.arange(1, 4) + len(requests) % 7, len(requests))
            return rk.Retrieved(np.arange(len(requests) + 1) * 3, item, np.ones(len(item), np.float32))

    data = rk.testing.toy_dataset()
    pipeline = rk.Pipeline([Moody()]).fit(data)
    found = ex.check_path(pipeline, data.user_ids.ids.tolist(), now=data.until)
    assert not found.holds and "lists differ" in found.problems[0]


def test_a_pipeline_without_lists_does_not_pass() -> None:
    class Broken:
        def retrieve(self, requests: Any, limit: int) -> Any:
            raise OSError("index is gone")

    data = rk.testing.toy_dataset()
    found = ex.check_path(rk.Pipeline([Broken()]).fit(data), ["user-1"], now=data.until)
    assert "1 of 1 lists are EMPTY or FAILED" in found.problems[0] and "index is gone" in found.problems[0]
