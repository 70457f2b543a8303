"""What readings promise, by simulation: false alarms, power, and covariates; seeds were fixed before the first run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.experiments import false_alarms, found, looks_of, power_of, sensitivity
from recokit import experiments as ex
from recokit._stats.differences import Difference
from recokit._stats.moments import Part, adjusted, by_group
from recokit.experiments.quantiles import clustered_quantile


def test_readings_err_as_often_as_they_promise() -> None:
    alarms = false_alarms(400, step=100)
    # Three standard errors of 400 runs.
    assert abs(alarms["fixed"] - 0.05) < 0.033 and abs(alarms["group sequential"] - 0.05) < 0.033
    assert alarms["anytime"] < 0.083 and alarms["naive"] > 0.25


@pytest.mark.slow
def test_ten_thousand_equal_experiments_are_told_apart_as_promised() -> None:
    alarms = false_alarms(10_000)
    assert abs(alarms["fixed"] - 0.05) <= 0.007 and abs(alarms["group sequential"] - 0.05) <= 0.007
    assert alarms["anytime"] <= 0.05 and alarms["naive"] > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("reading", [ex.Fixed(), ex.GroupSequential(looks=14)], ids=["fixed", "sequential"])
def test_planned_power_is_found(reading: ex.Reading) -> None:
    assert abs(power_of(reading, 5_000) - 0.8) <= 0.02


def test_a_lift_is_found_about_as_often_as_planned() -> None:
    assert abs(power_of(ex.Fixed(), 150) - 0.8) < 0.1


def power(kind: str, runs: int, seed: int) -> float:
    """Return how often a difference of the planned size is found, for other metrics than means."""
    rng, hits = np.random.default_rng(seed), 0
    for _ in range(runs):
        hits += _found(kind, rng)
    return hits / runs


def _found(kind: str, rng: np.random.Generator) -> bool:
    n = math.ceil(ex.units_needed(0.1)) * 2
    arm = rng.permutation(n) % 2
    if kind == "cuped":
        # Two thirds of the units are enough where covariates explain a third.
        n = 2 * math.ceil(ex.units_needed(0.1) * (1 - 0.6**2))
        arm = rng.permutation(n) % 2
        before = rng.normal(size=n)
        value = 0.6 * before + 0.8 * rng.normal(size=n) + 0.1 * arm
        groups = by_group(np.stack([value, before], axis=1), arm, 2)
        return Difference(*adjusted(groups, Part(0), [Part(1)])).p_value() < 0.05
    if kind == "ratio":
        views = 1.0 + rng.poisson(3.0, n)
        taste = rng.normal(size=n)
        # Its linearised spread over the mean of views is 1: clicks = views * (2 + lift) + views.mean() * noise.
        clicks = views * (2.0 + 0.1 * arm) + 4.0 * taste
        groups = by_group(np.stack([clicks, views], axis=1), arm, 2)
        return Difference(*adjusted(groups, Part(0, 1))).p_value() < 0.05
    if kind == "clusters":
        # Households of three who are all alike: as many households as units.
        shared = np.repeat(rng.normal(size=n) + 0.1 * arm, 3)
        sums = np.bincount(np.repeat(np.arange(n), 3), shared)
        groups = by_group(np.stack([sums, np.full(n, 3.0)], axis=1), arm, 2)
        return Difference(*adjusted(groups, Part(0, 1))).p_value() < 0.05
    # The median of normal values has pi / 2 times the variance of their mean.
    n = 2 * math.ceil(ex.units_needed(0.1) * math.pi / 2)
    arm = rng.permutation(n) % 2
    value = rng.normal(size=n) + 0.1 * arm
    estimates = [clustered_quantile(value[arm == one], np.flatnonzero(arm == one), 0.5) for one in (0, 1)]
    return Difference(*estimates).p_value() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cuped", "ratio", "clusters", "quantile"])
def test_every_metric_has_the_planned_power(kind: str) -> None:
    assert abs(power(kind, 4_000, 20261201) - 0.8) <= 0.02


@pytest.mark.parametrize("kind", ["cuped", "ratio", "clusters", "quantile"])
def test_every_metric_finds_about_what_is_planned(kind: str) -> None:
    assert abs(power(kind, 200, 20261201) - 0.8) < 0.09


def test_a_reading_stops_where_its_interval_leaves_nothing_out() -> None:
    looks = looks_of(np.random.default_rng(1), 14, 300, lift=1.0)
    assert all(found(looks, one) for one in (ex.Fixed(), ex.GroupSequential(looks=14), ex.Anytime(8_000)))


@pytest.mark.slow
def test_interleaving_needs_a_fifth_of_the_users() -> None:
    needed = sensitivity(1_000)
    assert needed["a/b"] >= 5 * needed["team_draft"]
