"""The figures of a rolling test set against the delta method written out, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recokit.errors import DataError
from recokit.evaluation import Advice, RollingQuality
from tests.evaluation.made import evaluation


def by_hand(before, after, confidence=0.95, drop=0.02):
    """Ratio, ends and users needed, from dictionaries of user to value."""
    x, y = np.array(list(before.values())), np.array(list(after.values()))
    covariance = sum(
        (before[user] - x.mean()) * (after[user] - y.mean()) for user in before.keys() & after.keys()
    ) / (len(x) * len(y))
    relative = x.var() / len(x) / x.mean() ** 2 + y.var() / len(y) / y.mean() ** 2
    error = np.sqrt(relative - 2 * covariance / (x.mean() * y.mean()))
    n = min(len(x), len(y))
    reach, power = stats.t.ppf([0.5 + confidence / 2, 0.8], n - 1)
    ratio = y.mean() / x.mean()
    needed = n * (error * (reach + power) / np.log(1 - drop)) ** 2
    return ratio - 1, ratio * np.exp(-reach * error) - 1, ratio * np.exp(reach * error) - 1, np.ceil(needed)


@pytest.mark.parametrize(("n_before", "n_after", "shift"), [(40, 60, 30), (60, 40, 0), (50, 50, 50)])
def test_the_interval_is_that_of_the_delta_method(n_before, n_after, shift):
    rng = np.random.default_rng(n_before)
    before = dict(zip(range(1, n_before + 1), rng.random(n_before), strict=True))
    users = np.arange(1, n_after + 1) + shift
    after = {int(user): 0.5 * before.get(int(user), rng.random()) + 0.3 * rng.random() for user in users}
    monitor = RollingQuality(confidence=0.9, drop=0.1)
    monitor.add(evaluation("model", list(before.values()), users=list(before), now=1.0))
    found = monitor.add(evaluation("model", list(after.values()), users=list(after), now=2.0))
    expected = by_hand(before, after, 0.9, 0.1)
    assert (found.change, found.low, found.high) == pytest.approx(expected[:3], rel=1e-4)
    assert found.needed == pytest.approx(expected[3], abs=1)
    assert (found.n, found.n_before) == (n_after, n_before)
    assert (found.metric, found.drop, found.confidence) == ("NDCG@10", 0.1, 0.9)


def test_users_without_a_value_do_not_count():
    values = np.array([0.5, np.nan, 0.25, 1.0, 0.75])
    monitor = RollingQuality()
    monitor.add(evaluation("model", values, now=1.0))
    found = monitor.add(evaluation("model", [np.nan, 0.5, 0.5, 0.25, np.nan], now=2.0))
    expected = by_hand({1: 0.5, 3: 0.25, 4: 1.0, 5: 0.75}, {2: 0.5, 3: 0.5, 4: 0.25})
    assert (found.change, found.low, found.high) == pytest.approx(expected[:3], rel=1e-5)
    assert (found.n, found.n_before) == (3, 4)


def test_two_users_are_enough_for_an_interval_and_one_is_not():
    monitor = RollingQuality()
    monitor.add(evaluation("model", [0.5, 1.0], users=[1, 2], now=1.0))
    two = monitor.add(evaluation("model", [0.5, 1.0], users=[3, 4], now=2.0))
    assert two.change == 0 and np.isfinite([two.low, two.high]).all()
    one = monitor.add(evaluation("model", [0.5], users=[5], now=2.0))
    assert np.isnan([one.change, one.low, one.high, one.needed]).all()
    assert one.advice is Advice.CANNOT_TELL


@pytest.mark.parametrize(
    ("share", "drop", "advice"),
    [(0.75, 0.25, "cannot tell"), (0.75, 0.2, "train more often"), (0.75, 0.3, "often enough")],
)
def test_a_drop_of_just_the_limit_cannot_be_told(share, drop, advice):
    """Values that are all the same have an interval without width."""
    monitor = RollingQuality(drop=drop)
    monitor.add(evaluation("model", np.ones(50), now=1.0))
    found = monitor.add(evaluation("model", np.full(50, share), now=2.0))
    assert (found.low, found.change, found.high) == (share - 1,) * 3
    assert found.advice == advice


def test_the_naive_rule_needs_more_than_the_drop():
    for share, naive in ((0.75, False), (0.5, True)):
        monitor = RollingQuality(drop=0.25)
        monitor.add(evaluation("model", np.ones(50), now=1.0))
        found = monitor.add(evaluation("model", np.full(50, share), now=2.0))
        assert found.naive is naive
        assert found.to_dict()["naive"] is naive


def test_no_quality_before_or_after_cannot_be_told():
    for before, after in ((0.0, 1.0), (1.0, 0.0)):
        monitor = RollingQuality()
        monitor.add(evaluation("model", np.full(50, before), now=1.0))
        found = monitor.add(evaluation("model", np.full(50, after), now=2.0))
        assert found.advice is Advice.CANNOT_TELL
        assert np.isnan(found.change)


def test_times_that_are_equal_or_missing_are_no_error():
    for first, second in ((2.0, 2.0), (None, 1.0), (1.0, None)):
        monitor = RollingQuality()
        monitor.add(evaluation("model", np.ones(5), now=first))
        found = monitor.add(evaluation("model", np.ones(5), now=second))
        assert (found.since, found.now) == (first, second)


def test_another_definition_is_refused_at_the_same_length():
    from dataclasses import replace

    monitor = RollingQuality()
    monitor.add(evaluation("model", np.ones(5)))
    other = replace(evaluation("model", np.ones(5)), definitions={"NDCG@10": "another"})
    with pytest.raises(DataError, match="defined in another way"):
        monitor.add(other)
    assert monitor.advice is None


def test_what_an_advice_says():
    monitor = RollingQuality()
    assert (monitor.metric, monitor.drop, monitor.confidence) == ("NDCG@10", 0.02, 0.95)
    monitor.add(evaluation("model", np.ones(1000), users=range(1, 1001), now=1.0))
    found = monitor.add(evaluation("model", np.full(500, 0.5), users=range(2001, 2501), now=2.0))
    assert str(found) == (
        "train more often: NDCG@10 -50.0% [-50.0%, -50.0%] since training, 500 users now, 1,000 then"
    )
