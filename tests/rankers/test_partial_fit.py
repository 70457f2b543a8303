"""Learning on: tree rankers add trees for newer rows."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from recokit._utils.params import clone
from recokit._utils.threads import limited_threads
from recokit.errors import ConfigurationError, DataError
from recokit.rankers import GradientBoosting, LambdaMART, LightGBM
from tests.rankers.test_light_gbm import QUIET, as_batch, make_data, order_found

RANKERS = [
    GradientBoosting(n_estimators=8, min_samples_leaf=10),
    LambdaMART(n_estimators=8, min_samples_leaf=10),
    *(
        LightGBM(objective=objective, n_estimators=8, min_child_samples=10, num_threads=1)
        for objective in ("binary", "lambdarank", "regression")
    ),
]


@pytest.fixture(autouse=True)
def one_thread():
    """OpenMP's threads wait for each other by spinning, which takes seconds on busy cores."""
    with limited_threads(1):
        yield


@pytest.fixture(params=RANKERS, ids=repr)
def ranker(request):
    return clone(request.param)


def test_on_the_same_rows_it_is_one_longer_fit(ranker):
    data, batch = make_data(), as_batch(make_data(seed=4))
    longer = clone(ranker)
    longer.n_estimators = 20
    longer.fit(data)
    found = ranker.fit(data).partial_fit(data, n_estimators=12)
    assert found is ranker and ranker.n_estimators_ == longer.n_estimators_ == 20
    np.testing.assert_allclose(ranker.score(batch), longer.score(batch), atol=1e-5)
    parts = ranker.contributions(batch)
    raw = ranker.forest_.raw_score(batch.features)
    np.testing.assert_allclose(parts.sum(axis=1) + ranker.intercept_, raw, atol=1e-6)


def test_newer_rows_change_what_it_says_and_the_old_trees_stay(ranker):
    ranker.fit(make_data())
    before = ranker.forest_
    turned = make_data(seed=6)
    turned = replace(turned, features=turned.features * np.array([-1, 1, 1, 1], np.float32))
    score = order_found(ranker.score(as_batch(turned)), turned)
    ranker.partial_fit(turned, n_estimators=40)
    assert order_found(ranker.score(as_batch(turned)), turned) > score + 0.2
    assert before.n_trees == 8 and ranker.n_estimators_ == 48
    x = turned.features[:50]
    np.testing.assert_array_equal(ranker.forest_.leaf_values(x)[:, :8], before.leaf_values(x))


@pytest.mark.parametrize("objective", ["binary", "regression"])
def test_lightgbm_learns_on_as_its_own_init_model_does(objective):
    old, new, held = make_data(), make_data(seed=6), make_data(seed=4)
    settings = QUIET | {
        "objective": objective,
        "learning_rate": 0.05,
        "min_child_samples": 10,
        "reg_lambda": 1.0,
    }
    first = lightgbm.train(settings, lightgbm.Dataset(old.features, old.label, free_raw_data=False), 8)
    train = lightgbm.Dataset(new.features, new.label, free_raw_data=False)
    booster = lightgbm.train(settings, train, 12, init_model=first)
    ranker = LightGBM(objective=objective, n_estimators=8, min_child_samples=10, num_threads=1).fit(old)
    ranker.partial_fit(new, n_estimators=12)
    np.testing.assert_allclose(ranker.score(as_batch(held)), booster.predict(held.features), atol=1e-5)


def test_features_are_matched_by_name(ranker):
    data, batch = make_data(), as_batch(make_data(seed=4))
    order = [3, 0, 2, 1]
    moved = replace(
        data, features=data.features[:, order], feature_names=tuple(data.feature_names[i] for i in order)
    )
    ranker.fit(data)
    plain = clone(ranker).fit(data).partial_fit(data)
    np.testing.assert_array_equal(ranker.partial_fit(moved).score(batch), plain.score(batch))
    with pytest.raises(ConfigurationError, match=r"no feature 'clicks'.*did you mean 'click'"):
        ranker.partial_fit(replace(data, feature_names=("click", "price", "age", "rare")))


def test_unfitted_is_fitted_and_nonsense_is_named(ranker):
    data, batch = make_data(), as_batch(make_data(seed=4))
    np.testing.assert_array_equal(clone(ranker).partial_fit(data).score(batch), ranker.fit(data).score(batch))
    with pytest.raises(ConfigurationError, match="n_estimators=0"):
        ranker.partial_fit(data, n_estimators=0)
    before = ranker.score(batch)
    with pytest.raises(DataError, match="no positives"):
        ranker.partial_fit(replace(data, label=np.zeros_like(data.label)))
    np.testing.assert_array_equal(ranker.score(batch), before)


@pytest.mark.parametrize(
    "ranker", [RANKERS[0], LightGBM(n_estimators=8, reg_lambda=0.0, num_threads=1)], ids=repr
)
def test_gains_keep_their_meaning(ranker):
    data = make_data()
    ranker = clone(ranker).fit(data)
    graded = replace(data, label=data.label * np.float32(0.25))
    with pytest.raises(DataError, match=r"label 4.0; expected at most 1.0"):
        ranker.partial_fit(replace(data, label=data.label * 4))
    # newer rows of quarter positives alone: what was half likely becomes less so
    mean = ranker.score(as_batch(data)).mean()
    ranker.partial_fit(graded, n_estimators=100)
    assert ranker.score(as_batch(data)).mean() < 0.5 * mean
