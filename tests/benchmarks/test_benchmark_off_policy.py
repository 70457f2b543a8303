"""The benchmark in small: drawn logs are what they say, intervals hold the truth, what has no support is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.off_policy import World, coverage, many_rounds, pipelines, refusals, skewed
from recokit.off_policy import estimate


@pytest.fixture(scope="module")
def world():
    return World.of(n_users=12, n_items=5, near=0.5)


@pytest.mark.parametrize("repeats", [True, False])
def test_the_truth_is_that_of_all_lists(world, repeats):
    total = np.zeros(len(world.target))
    for listed in itertools.product(range(5), repeat=3):
        if not repeats and len(set(listed)) < 3:
            continue
        chance, left = np.ones(len(world.target)), np.ones(len(world.target))
        for item in listed:
            chance = chance * world.target[:, item] / left
            left = left if repeats else left - world.target[:, item]
        worth = sum(world.bias[k] * world.relevance[:, item] for k, item in enumerate(listed))
        total += chance * worth
    assert world.value(3, repeats) == pytest.approx(total.mean())


@pytest.mark.parametrize("repeats", [True, False])
def test_drawn_lists_have_the_propensities_they_say(world, repeats):
    rounds = world.rounds(60_000, 2, np.random.default_rng(0), repeats=repeats)
    # Each list with the inverse of its probability counts all lists there are, for each user alike.
    lists = rounds.matrix(rounds.propensity).prod(axis=1)
    assert np.mean(1 / lists) == pytest.approx(25 if repeats else 20, rel=0.05)
    assert rounds.list_weight.mean() == pytest.approx(1.0, abs=0.03)
    expected = rounds.matrix(rounds.expected).mean(axis=0)
    guessed = (rounds.cascade_weight * rounds.matrix(rounds.predicted)).mean(axis=0)
    np.testing.assert_allclose(guessed, expected, rtol=0.05)


def test_intervals_hold_the_truth_where_policies_overlap():
    near = World.of(n_users=50, near=0.6)
    for repeats, estimators in (
        (True, ["SNIPS", "DRos", "SNIIPS", "PseudoInverse"]),
        (False, ["RIPS", "CascadeDR"]),
    ):
        found = coverage(near, estimators, places=3, repeats=repeats, n=2000, simulations=60)
        for name, covered in found.items():
            assert covered.share > 0.85 and covered.refused < 0.1 and abs(covered.error) < 0.02, name


def test_logs_without_support_are_refused():
    assert min(refusals(4).values()) == 1.0


def test_pipelines_before_launch():
    found = pipelines(1, n_users=400)
    assert {name.partition(", ")[2] for name in found} == {"SNIIPS", "DM", "CascadeDR"}
    value, low, high, truth = found["Popular, SNIIPS"][0]
    assert low < value < high and 0 < truth < 3


def test_many_rounds_are_estimated_by_all():
    found = estimate(many_rounds(2000, 10), ["SNIIPS", "DM", "DRos"], support=None)
    assert all(0.5 < one.value < 1.5 for one in found.values())


def test_skewed_contributions_are_held_by_the_corrected_interval():
    weight = np.exp(np.random.default_rng(1).normal(0, 1.2, 2000))
    found = skewed(weight, 60, n=2000, rate=0.01)
    assert found["student"] < found["hall"] and found["hall"] > 0.8
