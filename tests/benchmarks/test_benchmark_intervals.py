"""Do intervals and tests keep their promises: the benchmark in small, and in full where slow tests run."""

import numpy as np
import pytest

from benchmarks.intervals import differences, gains, gate_check, held, levels, rejected, rolling, run
from recokit.evaluation import Verdict

LEVELS, NULLS = {**levels(), **gains()}, differences()


@pytest.mark.parametrize("population", LEVELS)
def test_intervals_hold_the_mean_of_200_users(population):
    assert held(LEVELS[population], 200, 800) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("population", NULLS)
def test_tests_of_nothing_find_something_in_one_of_twenty(population):
    assert abs(NULLS[population].mean()) < 1e-12
    assert rejected(NULLS[population], 200, 800) == pytest.approx(0.05, abs=0.03)


@pytest.mark.long
@pytest.mark.parametrize("n", [200, 500, 2000])
@pytest.mark.parametrize("population", LEVELS)
def test_intervals_hold_the_mean_in_ten_thousand_samples(population, n):
    assert held(LEVELS[population], n, 10_000) == pytest.approx(0.95, abs=0.01)


@pytest.mark.long
@pytest.mark.parametrize("n", [200, 500, 2000])
@pytest.mark.parametrize("population", NULLS)
def test_tests_keep_their_level_in_ten_thousand_samples(population, n):
    assert rejected(NULLS[population], n, 10_000) == pytest.approx(0.05, abs=0.01)


def test_the_gate_rejects_a_planted_regression_of_new_users():
    found = gate_check(LEVELS["several, 60% hit"], cold=-0.3, others=0.12)
    assert found.conditions[0].value > 0
    assert found.conditions[0].verdict is Verdict.PASS
    assert [one.what for one in found.conditions if one.verdict is Verdict.FAIL] == ["NDCG@10 (cold-start)"]


def test_the_change_between_two_windows_is_held():
    assert rolling(LEVELS["several, 60% hit"], 1000, 60) >= 0.85


def test_the_checks_have_names_of_their_own():
    rng = np.random.default_rng(0)
    pair = tuple(np.where(rng.random(5000) < 0.3, rng.random(5000), 0.0) for _ in range(2))
    names = [check.name for check in run(20, pair)]
    assert len(names) == len(set(names)) > 30
