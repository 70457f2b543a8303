"""Propensities that were not logged, and rewards that were not seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recokit.datasets import make_marketplace
from recokit.debias import ImpressionLog
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.off_policy import ItemReward, LoggedRounds, estimate, frequency_propensity, logistic_propensity


def test_frequencies_are_counted_in_each_place_and_segment():
    rng = np.random.default_rng(0)
    item, place, by = rng.integers(-3, 4, 500), rng.integers(1, 4, 500), rng.integers(0, 2, 500) * 10
    found = frequency_propensity(item, position=place, by=by)
    cells = Counter(zip(item.tolist(), place.tolist(), by.tolist(), strict=True))
    groups = Counter(zip(place.tolist(), by.tolist(), strict=True))
    wanted = [
        cells[i, p, b] / groups[p, b]
        for i, p, b in zip(item.tolist(), place.tolist(), by.tolist(), strict=True)
    ]
    np.testing.assert_allclose(found, wanted)


def test_a_logistic_model_finds_what_the_policy_looked_at():
    """The truth is multinomial logistic: values are those with true propensities."""
    rng = np.random.default_rng(1)
    n, n_items = 6000, 5
    situation = rng.normal(size=(n, 2))
    logits = situation @ rng.normal(size=(2, n_items))
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    item = (rng.random(n)[:, None] > np.cumsum(chance, axis=1)).sum(axis=1)
    true = chance[np.arange(n), item]
    found = logistic_propensity(item, situation)
    assert np.abs(found - true).mean() < 0.02
    liked = 1 / (1 + np.exp(-situation[:, 0]))
    reward = rng.random(n) < liked * (item == 0)
    target = (item == 0).astype(np.float64)
    value = {
        name: estimate(LoggedRounds(reward, propensity=p, target=target), "SNIPS", support=None)[
            "SNIPS"
        ].value
        for name, p in (("true", true), ("logistic", found), ("by item", frequency_propensity(item)))
    }
    assert abs(value["logistic"] - value["true"]) < 0.01 < 0.1 < value["by item"] - value["true"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: frequency_propensity([]), DataError, "found item of shape"),
        (lambda: frequency_propensity([1, 2], position=[1]), DataError, r"found position of shape \(1,\)"),
        (lambda: logistic_propensity([1, 1], np.zeros((2, 1))), DataError, "found one item"),
        (lambda: logistic_propensity([1, 2], np.zeros(2)), DataError, "found features of shape"),
        (lambda: logistic_propensity([1, 2], np.full((2, 1), np.nan)), DataError, "finite ones"),
        (
            lambda: logistic_propensity([1, 2], np.zeros((2, 1)), regularization=0),
            ConfigurationError,
            "found",
        ),
        (lambda: ItemReward(prior=0), ConfigurationError, "found prior=0"),
        (lambda: ItemReward(n_folds=1), ConfigurationError, "n_folds=1"),
        (lambda: ItemReward().predict(None), NotFittedError, "before fit"),
    ],
)
def test_what_cannot_be_estimated(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.fixture(scope="module")
def market():
    return make_marketplace(800, 40, seed=3, positions=4)


def test_rewards_by_item_and_place_come_close_to_the_truth(market):
    log = ImpressionLog.of(market.impressions)
    found = ItemReward().fit(log)
    level = np.array([log.label[log.position == place].mean() for place in (1, 2, 3, 4)])
    np.testing.assert_allclose(found.level_[:, 1:].mean(axis=0), level, rtol=0.05)
    truth = market.position_bias[log.position - 1] * market.relevance(log.user, log.item)
    by_item = np.bincount(log.item, truth) / np.maximum(np.bincount(log.item), 1)
    predicted = np.bincount(log.item, found.predict(log)) / np.maximum(np.bincount(log.item), 1)
    often = np.bincount(log.item) > 200
    assert np.corrcoef(by_item[often], predicted[often])[0, 1] > 0.9


def test_a_list_is_predicted_without_its_own_rewards(market):
    log = ImpressionLog.of(market.impressions)
    one = np.flatnonzero(log.group == log.group[100])
    label = log.label.copy()
    label[one] = 1 - label[one]
    changed = ImpressionLog(log.user, log.item, log.timestamp, log.position, label, log.group)
    mine, theirs = (ItemReward().fit(part).predict(log) for part in (log, changed))
    np.testing.assert_array_equal(mine[one], theirs[one])
    assert (mine != theirs).any()


def test_what_was_never_seen_gets_the_mean(market):
    log = ImpressionLog.of(market.impressions)
    model = ItemReward().fit(log)
    two = np.array([1, 1])
    other = ImpressionLog(
        two, np.array([9999, 0]), np.zeros(2), np.array([1, 99]), np.zeros(2, np.float32), two
    )
    found = model.predict(other)
    fold = model._fold(two)[0]
    assert found[0] == model.level_[fold, 1] and found[1] == model.level_[fold, 0]


def test_without_rewards_nothing_is_expected():
    zero = np.zeros(4, np.int64)
    log = ImpressionLog(zero, zero + 1, np.zeros(4), zero + 1, np.zeros(4, np.float32), np.arange(4))
    assert ItemReward().fit(log).predict(log).tolist() == [0.0] * 4
