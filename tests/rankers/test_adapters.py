"""FromEstimator and FromFunction: what the estimator is given, and what becomes of its answer."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from recokit._utils.params import clone
from recokit.data import Candidates
from recokit.data.state.folder import load_state, save_state
from recokit.errors import ConfigurationError, ContractError, DataError, NotFittedError
from recokit.rankers import FromEstimator, FromFunction
from tests.rankers.test_light_gbm import as_batch, make_data

FILLED = make_data()
FILLED = replace(FILLED, features=np.nan_to_num(FILLED.features))
HELD = make_data(seed=4)
HELD = replace(HELD, features=np.nan_to_num(HELD.features))


class Recorder(BaseEstimator):
    """Keeps what ``fit`` was given; says the first feature."""

    def __init__(self, depth=1, **more):
        self.depth = depth
        for name, value in more.items():
            setattr(self, name, value)
        self.more = more

    def get_params(self, deep=True):
        return {"depth": self.depth, **self.more}

    def predict(self, x):
        return x[:, :1]


class QidRecorder(Recorder):
    def fit(self, X, y, *, group=None, qid=None, sample_weight=None):
        self.given_ = {"X": X, "y": y, "group": group, "qid": qid, "sample_weight": sample_weight}


class GroupRecorder(Recorder):
    def fit(self, X, y, sample_weight=None, group=None):
        self.given_ = {"X": X, "y": y, "group": group, "sample_weight": sample_weight}


class GroupIdRecorder(Recorder):
    def fit(self, X, y, group_id=None, sample_weight=None):
        self.given_ = {"group_id": group_id, "sample_weight": sample_weight}


class PlainRecorder(Recorder):
    def fit(self, X, y):
        self.given_ = {"X": X, "y": y}


class TestFromEstimator:
    def test_a_classifier_scores_by_the_probability_of_a_positive(self):
        ranker = FromEstimator(GaussianNB()).fit(FILLED)
        by_hand = GaussianNB().fit(FILLED.features, FILLED.label)
        expected = by_hand.predict_proba(HELD.features)[:, 1]
        np.testing.assert_allclose(ranker.score(as_batch(HELD)), expected, atol=1e-6)

    def test_the_method_is_the_first_there_is_or_the_one_asked_for(self):
        batch = as_batch(HELD)
        svc = FromEstimator(LinearSVC(random_state=0)).fit(FILLED)
        np.testing.assert_allclose(
            svc.score(batch), svc.estimator_.decision_function(HELD.features), rtol=1e-5, atol=1e-6
        )
        ridge = FromEstimator(Ridge()).fit(FILLED)
        by_hand = Ridge().fit(FILLED.features, FILLED.label)
        np.testing.assert_allclose(ridge.score(batch), by_hand.predict(HELD.features), atol=1e-5)
        odds = FromEstimator(LogisticRegression(), method="decision_function").fit(FILLED)
        p = FromEstimator(LogisticRegression()).fit(FILLED).score(batch)
        np.testing.assert_allclose(1 / (1 + np.exp(-odds.score(batch))), p, atol=1e-6)
        assert odds.score(batch).max() > 1

    def test_weights_reach_fit_also_inside_a_pipeline(self):
        weight = np.where(FILLED.label > 0, 3.0, 1.0).astype(np.float32)
        data = replace(FILLED, weight=weight)
        expected = Ridge().fit(FILLED.features, FILLED.label, sample_weight=weight).predict(HELD.features)
        for estimator in (Ridge(), make_pipeline(SimpleImputer(), Ridge())):
            found = FromEstimator(estimator).fit(data).score(as_batch(HELD))
            np.testing.assert_allclose(found, expected, atol=1e-5)
            free = FromEstimator(estimator, weighted=False).fit(data).score(as_batch(HELD))
            assert np.abs(free - expected).max() > 0.05

    def test_weights_that_nobody_takes_are_not_dropped_in_silence(self):
        data = replace(FILLED, weight=np.where(FILLED.label > 0, 3.0, 1.0).astype(np.float32))
        neighbours = KNeighborsClassifier()
        with pytest.raises(
            ConfigurationError, match=r"KNeighborsClassifier.fit takes no sample_weight.*weighted=False"
        ):
            FromEstimator(neighbours).fit(data)
        with pytest.raises(ConfigurationError, match="graded labels"):
            FromEstimator(neighbours).fit(
                replace(FILLED, label=FILLED.label * FILLED.item / len(FILLED.item))
            )
        plain = FromEstimator(neighbours).fit(FILLED).score(as_batch(HELD))
        np.testing.assert_array_equal(
            FromEstimator(neighbours, weighted=False).fit(data).score(as_batch(HELD)), plain
        )

    def test_graded_labels_give_the_expected_gain(self):
        label = FILLED.label * np.float32(0.5)
        label[np.flatnonzero(label)[0]] = 1.0
        score = FromEstimator(LogisticRegression()).fit(replace(FILLED, label=label)).score(as_batch(FILLED))
        assert abs(score.mean() - label.mean()) < 0.01

    def test_groups_reach_a_ranker(self):
        weight = np.where(FILLED.user == 2, 5.0, 1.0).astype(np.float32)
        data = replace(FILLED, weight=weight)
        informative = [0 < part.sum() < 20 for part in data.label.reshape(60, 20)]
        rows = np.repeat(informative, 20)
        given = FromEstimator(QidRecorder()).fit(data).estimator_.given_
        np.testing.assert_array_equal(given["X"], data.features[rows])
        np.testing.assert_array_equal(given["y"], data.label[rows])
        np.testing.assert_array_equal(given["qid"], np.repeat(np.arange(sum(informative)), 20))
        assert given["group"] is None
        per_group = np.where(np.arange(60) == 1, 5.0, 1.0)[informative]
        np.testing.assert_allclose(given["sample_weight"], per_group)
        by_id = FromEstimator(GroupIdRecorder()).fit(data).estimator_.given_
        np.testing.assert_array_equal(by_id["group_id"], given["qid"])
        np.testing.assert_array_equal(by_id["sample_weight"], weight[rows])
        given = FromEstimator(GroupRecorder()).fit(data).estimator_.given_
        np.testing.assert_array_equal(given["group"], np.full(sum(informative), 20))
        np.testing.assert_array_equal(given["sample_weight"], weight[rows])

    def test_a_ranker_of_lightgbm(self):
        options = {"n_estimators": 10, "n_jobs": 1, "verbosity": -1, "random_state": 0}
        score = FromEstimator(lightgbm.LGBMRanker(**options)).fit(FILLED).score(as_batch(HELD))
        rows = np.repeat([0 < part.sum() < 20 for part in FILLED.label.reshape(60, 20)], 20)
        by_hand = lightgbm.LGBMRanker(**options).fit(
            FILLED.features[rows], FILLED.label[rows], group=np.full(rows.sum() // 20, 20)
        )
        np.testing.assert_allclose(score, by_hand.predict(HELD.features), atol=1e-5)

    def test_missing_values_that_an_estimator_cannot_take(self):
        with pytest.raises(DataError, match=r"LogisticRegression.fit does not take.*NaN.*SimpleImputer"):
            FromEstimator(LogisticRegression()).fit(make_data())
        with pytest.raises(DataError, match=r"LogisticRegression.predict_proba does not take.*NaN"):
            FromEstimator(LogisticRegression()).fit(FILLED).score(as_batch(make_data(seed=4)))

    def test_the_given_estimator_stays_as_it_is(self):
        estimator = LogisticRegression()
        FromEstimator(estimator).fit(FILLED)
        assert not hasattr(estimator, "coef_")

    def test_clones_keep_options_that_the_constructor_takes_as_kwargs(self):
        copied = clone(FromEstimator(PlainRecorder(depth=3, eta=0.1)))
        assert copied.estimator.depth == 3 and copied.estimator.eta == 0.1
        assert copied.fit(FILLED).estimator_.eta == 0.1

    def test_a_frozen_estimator_stays_fitted(self):
        frozen = FrozenEstimator(Ridge().fit(FILLED.features, FILLED.label))
        ranker = clone(FromEstimator(frozen, weighted=False)).fit(replace(FILLED, label=1 - FILLED.label))
        np.testing.assert_allclose(ranker.score(as_batch(HELD)), frozen.predict(HELD.features), atol=1e-5)

    def test_saves_what_is_plain_data_alone(self, tmp_path):
        ranker = FromEstimator(LogisticRegression()).fit(FILLED)
        save_state(tmp_path / "linear", ranker)
        loaded, _ = load_state(tmp_path / "linear", trusted=[LogisticRegression])
        np.testing.assert_array_equal(loaded.score(as_batch(HELD)), ranker.score(as_batch(HELD)))
        save_state(tmp_path / "unfitted", FromEstimator(LogisticRegression()))
        with pytest.raises(NotFittedError):
            load_state(tmp_path / "unfitted", trusted=[LogisticRegression])[0].score(as_batch(HELD))
        forest = FromEstimator(RandomForestClassifier(n_estimators=2)).fit(FILLED)
        with pytest.raises(
            ConfigurationError, match=r"fitted RandomForestClassifier that is no plain data.*hint.*LightGBM"
        ):
            save_state(tmp_path / "forest", forest)

    def test_labels_without_a_difference(self):
        same = replace(FILLED, label=np.full_like(FILLED.label, 2.0))
        for estimator in (Ridge(), LogisticRegression(), QidRecorder()):
            with pytest.raises(DataError, match="found only"):
                FromEstimator(estimator).fit(same)
        with pytest.raises(DataError, match="found only positives"):
            FromEstimator(LogisticRegression(), weighted=False).fit(same)

    @pytest.mark.parametrize(
        ("estimator", "options", "message"),
        [
            (Ridge, {}, "expected an estimator with fit"),
            (np.log, {}, "FromFunction"),
            (Ridge(), {"method": "predict_proba"}, "Ridge without predict_proba; it has predict"),
            (SimpleImputer(), {}, "SimpleImputer without predict"),
            (Ridge(), {"method": "transform"}, "method='transform'"),
            (Ridge(), {"features": ("a", "a")}, "distinct names"),
        ],
        ids=str,
    )
    def test_options_are_checked(self, estimator, options, message):
        with pytest.raises(ConfigurationError, match=message):
            FromEstimator(estimator, **options)


class TestFromFunction:
    batch = Candidates.from_lists(
        [[7, 8], [9]], features=[[10.0, 1.0], [390.0, 0.5], [2.0, np.nan]], feature_names=["clicks", "rate"]
    )

    def test_of_candidates_and_of_features_by_name(self):
        assert FromFunction(lambda candidates: candidates.row).score(self.batch).tolist() == [0, 0, 1]
        found = FromFunction(lambda x: x[:, 1] - x[:, 0], features=["rate", "clicks"]).score(self.batch)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, [9.0, 389.5, np.nan])
        with pytest.raises(ConfigurationError, match="did you mean 'clicks'"):
            FromFunction(len, features=["click"]).score(self.batch)

    def test_a_model_that_was_fitted_elsewhere(self):
        model = Ridge().fit(FILLED.features, FILLED.label)
        ranker = clone(FromFunction(model.predict, features=FILLED.feature_names))
        np.testing.assert_allclose(ranker.score(as_batch(HELD)), model.predict(HELD.features), atol=1e-6)

    def test_a_torch_module(self):
        module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout(0.9))
        with pytest.raises(ConfigurationError, match=r"in training mode.*module.eval\(\)"):
            FromFunction(module, features=["clicks", "rate"])
        module.eval()
        with pytest.raises(ConfigurationError, match="without features"):
            FromFunction(module)
        score = clone(FromFunction(module, features=["clicks", "rate"])).score(self.batch)
        expected = module(torch.tensor([[10.0, 1.0], [390.0, 0.5]])).detach().numpy()[:, 0]
        np.testing.assert_allclose(score[:2], expected, rtol=1e-6)

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            (lambda c: np.zeros(2), r"shape \(2,\).*expected \(3,\)"),
            (lambda c: np.zeros((3, 2)), r"shape \(3, 2\).*predict_proba"),
            (lambda c: ["a", "b", "c"], "found no numbers"),
            (lambda c: None, r"shape \(\)"),
        ],
    )
    def test_answers_that_are_no_scores(self, function, message):
        with pytest.raises(ContractError, match=message):
            FromFunction(function).score(self.batch)

    def test_is_not_saved(self, tmp_path):
        with pytest.raises(ConfigurationError, match="function"):
            save_state(tmp_path / "state", FromFunction(lambda candidates: candidates.item))

    def test_options_are_checked(self):
        with pytest.raises(ConfigurationError, match=r"expected a function.*FromEstimator"):
            FromFunction(Ridge())
        with pytest.raises(ConfigurationError, match="identifier"):
            FromFunction(len, name="a b")
        with pytest.raises(ConfigurationError, match="distinct names"):
            FromFunction(len, features=["a", "a"])
