"""Rankers: what they learn, that they score as scikit-learn does, and that features are matched by name."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from recokit._utils.params import clone
from recokit.data import Candidates, RankingData, Requests, Schema, Table, Vocabulary
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.protocols import Role, role_of
from recokit.rankers import GradientBoosting, LogisticRegression, Weighted
from recokit.rankers._histogram_boosting import compile_sklearn

NAMES = ("clicks", "price", "constant", "empty", "age")
LEARNERS = [LogisticRegression(), GradientBoosting(n_estimators=40, learning_rate=0.2, min_samples_leaf=5)]


def make_features(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.empty((n, 5), np.float32)
    x[:, 0] = rng.lognormal(0, 2, n).astype(np.int64)
    x[:, 1] = rng.normal(50, 10, n)
    x[:, 2] = 7.0
    x[:, 3] = np.nan
    x[:, 4] = rng.normal(size=n)
    x[rng.random(n) < 0.3, 4] = np.nan
    return x


def make_data(
    n: int = 2000, seed: int = 0, validation: RankingData | None = None, filled: bool = False
) -> RankingData:
    x = make_features(n, seed)
    if filled:  # scikit-learn itself fails on a column without values
        x[:, 3] = 1.0
    rng = np.random.default_rng(seed + 1)
    raw = 2 * np.log1p(x[:, 0]) - 3 + np.where(np.isnan(x[:, 4]), 1.5, x[:, 4])
    label = (raw + rng.logistic(size=n) > 0).astype(np.float32)
    return as_data(x, label, validation=validation)


def as_data(
    x: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray | None = None,
    names: tuple[str, ...] = NAMES,
    validation: RankingData | None = None,
) -> RankingData:
    n = len(x)
    weight = np.ones(n, np.float32) if weight is None else weight.astype(np.float32)
    return RankingData(
        features=x.astype(np.float32),
        feature_names=names,
        label=label.astype(np.float32),
        weight=weight,
        offsets=np.array([0, n // 2, n]),
        user=np.ones(n, np.int64),
        item=np.arange(1, n + 1),
        now=np.zeros(n),
        validation=validation,
    )


def as_batch(x: np.ndarray, names: tuple[str, ...] = NAMES, rows: int = 1) -> Candidates:
    cuts = np.linspace(0, len(x), rows + 1).astype(int)
    return Candidates.from_lists(
        [list(range(1, b - a + 1)) for a, b in pairwise(cuts)],
        features=x,
        feature_names=names,
    )


def as_schema(names: tuple[str, ...], sources: tuple[str, ...] = ()) -> Schema:
    ids = Vocabulary(["a"])
    return Schema(ids, ids, Table.empty(1), Table.empty(1), source_names=sources, feature_names=names)


@pytest.fixture(scope="module", params=LEARNERS, ids=lambda ranker: type(ranker).__name__)
def ranker(request: pytest.FixtureRequest):
    return clone(request.param).fit(make_data())


class TestLearners:
    def test_finds_the_signal(self, ranker):
        data = make_data(seed=5)
        score = ranker.score(as_batch(data.features))
        assert score.dtype == np.float32 and score.shape == (2000,)
        positive, negative = score[data.label > 0], score[data.label == 0]
        auc = (positive[:, None] > negative).mean()
        assert auc > 0.8
        # calibrated: probabilities, not just an order
        assert abs(score.mean() - data.label.mean()) < 0.03

    def test_missing_is_informative(self, ranker):
        # absence of "age" was worth 1.5 in the data, its mean 0
        known, absent = np.tile(make_features(1), (2, 1)), None
        known[:, 4] = [0.0, np.nan]
        absent = ranker.score(as_batch(known))
        assert absent[1] > absent[0] + 0.05

    def test_features_are_matched_by_name(self, ranker):
        x = make_features(50, 3)
        expected = ranker.score(as_batch(x))
        order = np.array([3, 1, 4, 0, 2])
        names = tuple(NAMES[i] for i in order)
        reordered = as_batch(np.concatenate([x[:, order], x[:, :1] + 99], axis=1), (*names, "extra"))
        np.testing.assert_array_equal(ranker.score(reordered), expected)
        bound = ranker.bind(as_schema((*names, "extra")))
        np.testing.assert_array_equal(bound.score(reordered), expected)
        # a bound ranker still goes by name where the batch differs from what it was bound to
        np.testing.assert_array_equal(bound.score(as_batch(x)), expected)
        assert not hasattr(ranker, "positions_")

    def test_missing_feature_is_named_with_a_hint(self, ranker):
        with pytest.raises(ConfigurationError, match=r"no feature 'clicks'.*did you mean 'click'"):
            ranker.bind(as_schema(("click", "price", "constant", "empty", "age")))
        with pytest.raises(ConfigurationError, match=r"no feature 'price' and 3 more"):
            ranker.score(as_batch(np.ones((2, 1), np.float32), ("clicks",)))

    def test_batch_equals_single_and_permutation(self, ranker):
        x = make_features(700, 4)
        x[:20, 0] = np.inf
        whole = ranker.score(as_batch(x, rows=3))
        single = np.concatenate([ranker.score(as_batch(x[i : i + 1])) for i in range(0, 700, 7)])
        np.testing.assert_array_equal(whole[::7], single)
        order = np.random.default_rng(0).permutation(700)
        np.testing.assert_array_equal(ranker.score(as_batch(x[order])), whole[order])
        assert np.isfinite(whole).all()

    def test_no_candidates(self, ranker):
        assert ranker.score(as_batch(np.zeros((0, 5), np.float32))).shape == (0,)

    def test_inputs_are_not_written_to(self, ranker):
        x = make_features(10)
        x.flags.writeable = False
        before = x.copy()
        ranker.score(as_batch(x))
        clone(ranker).fit(make_data(200))
        np.testing.assert_array_equal(x, before)

    def test_all_features_missing(self, ranker):
        assert np.isfinite(ranker.score(as_batch(np.full((3, 5), np.nan, np.float32)))).all()

    def test_saves_without_pickle(self, ranker):
        from recokit.data.state.encode import from_state, to_state

        bound = ranker.bind(as_schema(NAMES))
        loaded = from_state(*to_state(bound))
        batch = as_batch(make_features(50, 8))
        np.testing.assert_array_equal(loaded.score(batch), ranker.score(batch))

    def test_bind_before_fit_waits(self, ranker):
        unfitted = clone(ranker)
        assert unfitted.bind(as_schema(("whatever",))) is not unfitted

    def test_fit_is_deterministic(self, ranker):
        from threadpoolctl import threadpool_limits

        scores = []
        for threads in (1, 2):
            with threadpool_limits(threads):
                scores.append(clone(ranker).fit(make_data()).score(as_batch(make_features(100, 9))))
        np.testing.assert_allclose(
            scores[0], scores[1], atol=1e-6 if isinstance(ranker, LogisticRegression) else 0
        )


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda ranker: type(ranker).__name__)
class TestEdges:
    def test_unfitted(self, learner):
        with pytest.raises(NotFittedError, match="before fit"):
            learner.score(as_batch(np.ones((1, 5), np.float32)))

    def test_no_positives(self, learner):
        with pytest.raises(DataError, match=r"no positives among 20 rows.*hint"):
            clone(learner).fit(as_data(make_features(20), np.zeros(20)))

    def test_only_positives(self, learner):
        with pytest.raises(DataError, match="only positives"):
            clone(learner).fit(as_data(make_features(20), np.ones(20)))

    def test_no_rows(self, learner):
        with pytest.raises(DataError, match="no positives among 0 rows"):
            clone(learner).fit(as_data(np.zeros((0, 5)), np.zeros(0)))

    def test_negative_label_or_weight(self, learner):
        label = np.array([1.0, 0.0, -1.0])
        with pytest.raises(DataError, match=r"label.*-1.0.*rows 2"):
            clone(learner).fit(as_data(make_features(3), label))
        with pytest.raises(DataError, match="weight=nan"):
            clone(learner).fit(as_data(make_features(3), np.abs(label), np.array([1.0, 1.0, np.nan])))

    def test_features_option(self, learner):
        picked = type(learner)(features=("age", "clicks")).fit(make_data())
        assert set(picked.feature_names_) == {"age", "clicks"}
        x = make_features(10)
        only = as_batch(x[:, [0, 4]], ("clicks", "age"))
        np.testing.assert_array_equal(picked.score(only), picked.score(as_batch(x)))
        with pytest.raises(ConfigurationError, match="did you mean 'clicks'"):
            type(learner)(features=("clikcs",)).fit(make_data(50))
        with pytest.raises(ConfigurationError, match="did you mean 'clicks'"):
            type(learner)(features=("clikcs",)).bind(as_schema(NAMES))
        for bad in ((), ("a", "a"), "clicks"):
            with pytest.raises(ConfigurationError, match="distinct names"):
                type(learner)(features=bad)

    def test_inf_is_no_obstacle(self, learner):
        data = make_data(400)
        data.features[::7, 1] = np.inf
        data.features[3::7, 1] = -np.inf
        assert np.isfinite(clone(learner).fit(data).score(as_batch(data.features))).all()

    def test_weights_count_as_repeats(self, learner):
        data = make_data(600)
        weight = np.where(data.label > 0, 3.0, 1.0)
        repeated = np.repeat(np.arange(600), weight.astype(int))
        batch = as_batch(make_features(50, 8))
        weighted = clone(learner).fit(as_data(data.features, data.label, weight)).score(batch)
        plain = clone(learner).fit(as_data(data.features[repeated], data.label[repeated])).score(batch)
        assert abs(weighted.mean() - plain.mean()) < 0.02
        assert np.corrcoef(weighted, plain)[0, 1] > 0.98

    def test_graded_labels_give_expected_gain(self, learner):
        # "a" rows are always viewed (gain 0.1), "b" rows purchased half of the time (gain 1)
        x = np.repeat(np.array([[0.0], [1.0]], np.float32), 400, axis=0)
        label = np.concatenate([np.full(400, 0.1), np.tile([0.0, 1.0], 200)])
        fitted = clone(learner).fit(as_data(x, label, names=("b",)))
        np.testing.assert_allclose(
            fitted.score(as_batch(np.array([[0.0], [1.0]], np.float32), ("b",))), [0.1, 0.5], atol=0.02
        )

    def test_is_a_scorer_and_shows_its_options(self, learner):
        assert role_of(learner) is Role.SCORER
        assert repr(type(learner)(features=("a",))) == f"{type(learner).__name__}(features=('a',))"

    def test_validation_of_other_features(self, learner):
        other = as_data(np.ones((4, 1)), np.array([0, 1, 0, 1]), names=("x",))
        with pytest.raises(DataError, match="validation rows with features"):
            type(learner)(**({"early_stopping": False} if isinstance(learner, GradientBoosting) else {})).fit(
                make_data(50, validation=other)
            )


class TestLogisticRegression:
    def test_contributions_are_exact(self):
        ranker = LogisticRegression().fit(make_data())
        batch = as_batch(make_features(40, 2))
        parts = ranker.contributions(batch)
        assert parts.shape == (40, 5)
        raw = parts.sum(axis=1) + ranker.intercept_
        np.testing.assert_allclose(1 / (1 + np.exp(-raw)), ranker.score(batch), atol=1e-6)
        for useless in ("constant", "empty"):
            np.testing.assert_array_equal(parts[:, ranker.feature_names_.index(useless)], 0)

    def test_scale_does_not_matter(self):
        data, batch = make_data(), make_features(40, 2)
        factor = np.array([1, 1e6, 1, 1, 1e-6], np.float32)
        shifted = as_data(data.features * factor, data.label)
        one = LogisticRegression().fit(data).score(as_batch(batch))
        np.testing.assert_allclose(
            LogisticRegression().fit(shifted).score(as_batch(batch * factor)), one, atol=1e-4
        )

    def test_heavy_tails_are_tamed(self):
        ranker = LogisticRegression().fit(make_data())
        assert ranker.transform_.n_log == 1 and ranker.feature_names_[0] == "clicks"
        x = np.tile(make_features(1), (2, 1))
        x[:, 0] = [0, -5]  # below the training range: as 0, not NaN
        low = ranker.score(as_batch(x))
        assert low[0] == low[1]

    def test_without_indicator_missing_is_the_mean(self):
        ranker = LogisticRegression(missing_indicator=False).fit(make_data())
        assert not ranker.missing_coef_.any()
        x = np.tile(make_features(1), (2, 1))
        x[:, 4] = [ranker.transform_.mean[ranker.feature_names_.index("age")], np.nan]
        same = ranker.score(as_batch(x))
        np.testing.assert_allclose(same[0], same[1], atol=1e-6)

    def test_regularization_shrinks(self):
        free, tight = (LogisticRegression(regularization=r).fit(make_data()) for r in (0.0, 1e4))
        assert np.abs(tight.coef_).sum() < 0.5 * np.abs(free.coef_).sum()
        for bad in (-1.0, np.nan):
            with pytest.raises(ConfigurationError, match="regularization"):
                LogisticRegression(regularization=bad)

    def test_one_request_is_fast(self):
        rng = np.random.default_rng(0)
        names = tuple(f"f{i}" for i in range(30))
        x = rng.random((1000, 30), dtype=np.float32)
        x[:, :3] = rng.lognormal(0, 3, (1000, 3))
        ranker = LogisticRegression().fit(as_data(x, x[:, 5] > 0.5, names=names))
        batch = as_batch(x, names)
        bound = ranker.bind(as_schema(names))
        times = []
        for _ in range(50):
            start = time.perf_counter()
            bound.score(batch)
            times.append(time.perf_counter() - start)
        assert min(times) < 1e-3  # 0.1 ms on a free core; the rest is for a busy one


class TestGradientBoosting:
    @pytest.mark.parametrize("leaves", [2, 31, 32, 33, 64])
    def test_equals_sklearn(self, leaves):
        data = make_data(3000, filled=True)
        model = HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=leaves, min_samples_leaf=5, early_stopping=False, random_state=0
        ).fit(data.features, data.label)
        x = make_features(1500, 6)
        x[0] = np.nan
        x[1] = np.inf
        x[2] = -np.inf
        found = compile_sklearn(model).raw_score(x)
        np.testing.assert_allclose(found, model.decision_function(x), rtol=0, atol=1e-12)

    def test_score_equals_predict_proba(self):
        data = make_data(3000, filled=True)
        ranker = GradientBoosting(n_estimators=25).fit(data)
        model = HistGradientBoostingClassifier(
            max_iter=25,
            learning_rate=ranker.learning_rate,
            max_leaf_nodes=ranker.max_leaf_nodes,
            min_samples_leaf=ranker.min_samples_leaf,
            l2_regularization=ranker.l2_regularization,
            early_stopping=False,
            random_state=0,
        ).fit(data.features, data.label, sample_weight=np.ones(3000))
        x = make_features(500, 2)
        np.testing.assert_allclose(ranker.score(as_batch(x)), model.predict_proba(x)[:, 1], atol=1e-5)

    def test_values_on_a_threshold_go_as_in_sklearn(self):
        x = np.array([0.1, 0.2, 0.3, 0.4], np.float32).repeat(50)[:, None]
        model = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5).fit(x, x[:, 0] > 0.25)
        forest = compile_sklearn(model)
        at = forest.nodes.threshold[forest.nodes.left > 0].astype(np.float32)
        edge = np.concatenate([at, *(np.nextafter(at, np.float32(side)) for side in (-np.inf, np.inf))])[
            :, None
        ]
        np.testing.assert_allclose(forest.raw_score(edge), model.decision_function(edge), atol=1e-12)

    def test_validation_chooses_the_number_of_trees(self):
        rng = np.random.default_rng(0)
        noise = as_data(make_features(400), rng.random(400) < 0.3)
        held = as_data(make_features(400, 1), rng.random(400) < 0.3)
        eager = GradientBoosting(n_estimators=60, learning_rate=0.5, min_samples_leaf=5)
        assert clone(eager).fit(noise).n_estimators_ == 60
        chosen = clone(eager).fit(RankingData(**{**vars(noise), "validation": held}))
        assert chosen.n_estimators_ < 10 == chosen.n_estimators_ + (10 - chosen.forest_.n_trees)
        ignoring = GradientBoosting(n_estimators=60, early_stopping=False)
        assert ignoring.fit(RankingData(**{**vars(noise), "validation": held})).n_estimators_ == 60

    def test_validation_without_positives_chooses_nothing(self):
        held = as_data(make_features(40, 1), np.zeros(40))
        assert GradientBoosting(n_estimators=7).fit(make_data(300, validation=held)).n_estimators_ == 7

    @pytest.mark.parametrize(
        "options",
        [
            {"n_estimators": 0},
            {"max_leaf_nodes": 65},
            {"max_leaf_nodes": 1},
            {"min_samples_leaf": 0},
            {"l2_regularization": -1.0},
            {"learning_rate": 0.0},
            {"learning_rate": 1.5},
        ],
    )
    def test_options_are_checked(self, options):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            GradientBoosting(**options)


class TestWeighted:
    def batch(self) -> Candidates:
        return Candidates.from_lists(
            [[3, 5]],
            scores=[[0.5, np.nan]],
            features=[[1.0], [np.nan]],
            feature_names=["clicks"],
            columns={"popular_rank": np.array([1, 2], np.int64)},
            requests=Requests.build(np.zeros(1, np.int64)),
        )

    def test_blends_features_columns_and_the_score(self):
        ranker = Weighted({"clicks": 2.0, "popular_rank": -1.0, "score": 4.0})
        score = ranker.score(self.batch())
        assert score.dtype == np.float32
        np.testing.assert_array_equal(score, [2 - 1 + 2, -2])  # missing counts 0
        np.testing.assert_array_equal(ranker.contributions(self.batch()), [[2, -1, 2], [0, -2, 0]])

    def test_unknown_name(self):
        with pytest.raises(ConfigurationError, match="did you mean 'clicks'"):
            Weighted({"click": 1.0}).score(self.batch())
        with pytest.raises(ConfigurationError, match="did you mean 'popular_rank'"):
            Weighted({"popular_ranks": 1.0}).bind(as_schema((), ("popular",)))

    def test_binds_to_what_is_there(self):
        bound = Weighted({"clicks": 1.0, "popular_rank": 1.0, "score": 1.0}).bind(
            as_schema(("clicks",), ("popular",))
        )
        assert len(bound.score(self.batch())) == 2

    @pytest.mark.parametrize("weights", [{}, {"a": np.nan}, {3: 1.0}])
    def test_options_are_checked(self, weights):
        with pytest.raises(ConfigurationError, match="weight"):
            Weighted(weights)
