"""Advice on how often to train, from a rolling test set."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recokit.errors import ConfigurationError, DataError
from recokit.evaluation import Advice, RollingQuality
from tests.evaluation.made import evaluation


def window(rng, n, share=1.0, now=1.0, users=None, name="model", k=10):
    values = np.where(rng.random(n) < 0.35, rng.beta(1.2, 3, n), 0.0) * share
    users = rng.choice(50_000_000, n, replace=False) + 1 if users is None else users
    return evaluation(name, values, users=users, now=now, k=k)


def advise(n, share, seed=0):
    rng = np.random.default_rng(seed)
    monitor = RollingQuality()
    assert monitor.add(window(rng, n)) is None
    return monitor.add(window(rng, n, share, now=2.0))


def test_a_large_drop_asks_for_more_training():
    found = advise(20_000, 0.85)
    assert found.advice is Advice.TRAIN_MORE_OFTEN
    assert found.low < found.change < found.high < -0.02
    assert str(found).startswith("train more often: NDCG@10 -")


def test_a_quality_that_lasts_is_often_enough():
    found = advise(400_000, 1.0)
    assert found.advice is Advice.OFTEN_ENOUGH
    assert found.n > found.needed


def test_ten_thousand_users_cannot_tell_a_drop_of_two_per_cent():
    found = advise(10_000, 0.98)
    assert found.advice is Advice.CANNOT_TELL
    assert found.high - found.low > 0.04
    assert found.needed > 10_000
    assert f"takes some {found.needed:,.0f} in each" in str(found)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["advice"] == "cannot tell"


def test_the_naive_rule_cries_wolf_where_the_advice_does_not():
    found = [advise(3000, 1.0, seed) for seed in range(60)]
    assert np.mean([one.naive for one in found]) > 0.2
    assert sum(one.advice is Advice.TRAIN_MORE_OFTEN for one in found) <= 3


def test_the_interval_holds_the_change_and_the_needed_users_find_the_drop():
    held, told = [], []
    needed = int(advise(4000, 0.5).needed)  # measured on windows of 4,000
    share = 0.5
    for seed in range(150):
        found = advise(2000, share, seed)
        held.append(found.low <= share - 1 <= found.high)
    assert 0.90 <= np.mean(held) <= 0.99
    rng = np.random.default_rng(9)
    monitor = RollingQuality(drop=0.3)
    monitor.add(window(rng, 1000))
    needed = int(monitor.add(window(rng, 1000, now=2.0)).needed)
    assert needed < 1000
    for seed in range(200):
        rng = np.random.default_rng(seed)
        monitor = RollingQuality(drop=0.3)
        monitor.add(window(rng, needed))
        # No drop at all is told from one of 30% as often as the users needed promise.
        told.append(monitor.add(window(rng, needed, now=2.0)).advice is Advice.OFTEN_ENOUGH)
    assert 0.7 <= np.mean(told) <= 0.9


def test_users_in_both_windows_make_it_sharper():
    rng = np.random.default_rng(1)
    first = window(rng, 5000)
    same = evaluation("model", first.per_user * 0.98, users=first.users.ids, now=2.0)
    monitor = RollingQuality(drop=0.01)
    monitor.add(first)
    found = monitor.add(same)
    assert found.advice is Advice.TRAIN_MORE_OFTEN
    assert found.change == pytest.approx(-0.02, abs=1e-5)
    assert found.high - found.low < 0.001


def test_retraining_starts_anew():
    rng = np.random.default_rng(0)
    monitor = RollingQuality()
    monitor.add(window(rng, 20_000))
    assert monitor.add(window(rng, 20_000, 0.8, now=2.0)).advice is Advice.TRAIN_MORE_OFTEN
    monitor.retrained()
    assert monitor.add(window(rng, 20_000, 0.8, now=3.0)) is None
    after = monitor.add(window(rng, 20_000, 0.8, now=4.0))
    assert after.advice is Advice.CANNOT_TELL
    assert (after.since, after.now) == (3.0, 4.0)
    assert len(monitor.history) == 2
    assert monitor.advice is after


def test_nothing_to_tell_from():
    rng = np.random.default_rng(0)
    monitor = RollingQuality()
    monitor.add(evaluation("model", np.zeros(500)))
    found = monitor.add(window(rng, 500, now=2.0))
    assert found.advice is Advice.CANNOT_TELL
    assert np.isnan(found.change)
    assert found.to_dict()["change"] is None


def test_windows_that_do_not_fit():
    rng = np.random.default_rng(0)
    monitor = RollingQuality()
    monitor.add(window(rng, 300, now=5.0))
    with pytest.raises(DataError, match="expected time to go on"):
        monitor.add(window(rng, 300, now=4.0))
    with pytest.raises(DataError, match="lists of 20 after lists of 10"):
        monitor.add(window(rng, 300, now=6.0, k=20))
    with pytest.raises(ConfigurationError, match="no metric 'MAP@10'"):
        RollingQuality("MAP@10").add(window(rng, 300))
    with pytest.raises(ConfigurationError, match="drop=2"):
        RollingQuality(drop=2)
    with pytest.raises(ConfigurationError, match="above 0 and below 1"):
        RollingQuality(confidence=95)
