"""SLOPE: the narrowest estimator that agrees with all wider ones."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.errors import ConfigurationError, DataError, SupportError
from recokit.off_policy import ClippedIPS, LoggedRounds, slope

LIMITS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def rounds(n, seed=0, target=0.1):
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.01, 0.5, n)
    return LoggedRounds(rng.random(n) < 0.2, propensity=chance, target=np.full(n, target))


def by_hand(estimates):
    """Su, Srinath and Krishnamurthy (2020), over pairs of value and half width."""
    order = sorted(range(len(estimates)), key=lambda i: -estimates[i][1])
    best = order[0]
    for place, i in enumerate(order):
        value, width = estimates[i]
        for j in order[:place]:
            if abs(value - estimates[j][0]) > width + (np.sqrt(6) - 1) * estimates[j][1]:
                return best
        best = i
    return best


@pytest.mark.parametrize("n", [200, 2000, 50_000])
def test_the_choice_is_that_of_the_paper(n):
    found = slope(rounds(n), [ClippedIPS(max_weight=limit) for limit in LIMITS], support=None)
    pairs = [(one.value, (one.high - one.low) / 2) for one in found.report.values()]
    assert found.estimator.max_weight == LIMITS[by_hand(pairs)]
    assert found.estimate is found.report[found.estimator.name]
    assert "chosen among 6" in str(found)


def test_with_more_rounds_less_bias_is_taken():
    candidates = [ClippedIPS(max_weight=limit) for limit in LIMITS]
    few, many = (slope(rounds(n), candidates, support=None).estimator.max_weight for n in (300, 100_000))
    assert few < many


@pytest.mark.parametrize("n", [300, 3000])
def test_the_guarantee_of_the_paper_holds(n):
    """Theorem 3: the error is at most (sqrt(6) + 3) times the least sum of bias and half width, in 19 of 20 logs."""
    candidates = [ClippedIPS(max_weight=limit) for limit in LIMITS]
    weight = 0.1 / np.linspace(0.01, 0.5, 100_001)
    truth = 0.2 * weight.mean()
    bias = [truth - 0.2 * np.minimum(weight, limit).mean() for limit in LIMITS]
    inside = []
    for seed in range(40):
        found = slope(rounds(n, seed), candidates, support=None)
        reach = [(one.high - one.low) / 2 for one in found.report.values()]
        best = min(b + r for b, r in zip(bias, reach, strict=True))
        inside.append(abs(found.estimate.value - truth) <= (np.sqrt(6) + 3) * best)
    assert np.mean(inside) >= 0.95


def test_refused_candidates_are_left_out():
    even = 0.1 / (0.1 / rounds(20_000).propensity).mean()  # a mean weight of 1
    found = slope(rounds(20_000, target=even), [ClippedIPS(max_weight=limit) for limit in (0.1, 5.0, 30.0)])
    assert "ClippedIPS(max_weight=0.1)" in found.report.refused
    assert found.estimator.max_weight in (5.0, 30.0)
    with pytest.raises(SupportError):
        slope(rounds(20), [ClippedIPS(max_weight=30.0)])


def test_one_round_has_nothing_to_choose_by():
    with pytest.raises(DataError, match="found 1 rounds, without intervals"):
        slope(rounds(1), ["IPS"], support=None)
    with pytest.raises(ConfigurationError, match="found estimators"):
        slope(rounds(100), [])
