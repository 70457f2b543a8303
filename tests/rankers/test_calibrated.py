"""Calibrated: probabilities that hold on later rows, orders that stay, segments, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression as SklearnRegression

import recokit as rk
from recokit import candidates, features
from recokit.data import Candidates, RankingData
from recokit.data.state.encode import from_state, to_state
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.metrics import expected_calibration_error
from recokit.rankers import Calibrated, GradientBoosting, LogisticRegression, Weighted
from recokit.rankers._calibration import Curve, fit_curve
from recokit.rankers._composite import as_candidates

METHODS = ("isotonic", "platt", "temperature", "beta")


class Raw:
    """Scores that are a feature, as they are."""

    def __init__(self, name="score"):
        self.name = name

    def score(self, batch):
        return batch.feature(self.name).copy()


def rows(score, label, *, weight=None, now=0.0, segment=None, user=None):
    score = np.asarray(score, np.float32)
    n = len(score)
    block = score[:, None] if segment is None else np.stack([score, np.asarray(segment, np.float32)], axis=1)
    return RankingData(
        features=block,
        feature_names=("score",) if segment is None else ("score", "segment"),
        label=np.asarray(label, np.float32),
        weight=np.ones(n, np.float32) if weight is None else np.asarray(weight, np.float32),
        offsets=np.append(np.arange(0, n, 10), n),
        user=np.arange(n) // 10 + 1 if user is None else user,
        item=np.arange(n) + 1,
        now=np.full(n, now),
    )


def with_validation(part):
    return replace(part, validation=part)


def overconfident(n, seed, *, factor=3.0):
    """Truth and a score whose log-odds are so many times too large."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-2, 1, n)
    truth = 1 / (1 + np.exp(-odds))
    return truth, 1 / (1 + np.exp(-factor * odds)), rng.random(n) < truth


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_hold_on_rows_that_were_not_seen(method):
    _, score, label = overconfident(60_000, 0)
    ranker = Calibrated(Raw(), method, share=1.0).fit(with_validation(rows(score, label)))
    truth, later, happened = overconfident(60_000, 1)
    found = ranker.score(as_candidates(rows(later, happened)))
    assert expected_calibration_error(later, happened) > 0.05
    assert expected_calibration_error(found, happened) < 0.01
    assert np.abs(found - truth).mean() < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_weights_make_up_for_negatives_that_were_sampled_away(method):
    truth, score, label = overconfident(200_000, 2, factor=1.0)
    kept = label | (np.random.default_rng(3).random(len(label)) < 0.1)
    part = rows(score[kept], label[kept], weight=np.where(label[kept], 1.0, 10.0))
    ranker = Calibrated(Raw(), method, share=1.0).fit(with_validation(part))
    found = ranker.score(as_candidates(rows(score, label)))
    assert found.mean() == pytest.approx(truth.mean(), rel=0.05)


@given(st.sampled_from(METHODS), st.integers(0, 2**32 - 1))
def test_a_curve_never_falls(method, seed):
    rng = np.random.default_rng(seed)
    score = rng.random(60).round(2)
    # Even where the ranker is worse than chance.
    positive = rng.random(60) < rng.permutation([0.1, 0.5, 0.9])[(score * 2.99).astype(int)]
    positive[:2] = True, False
    curve = fit_curve(method, score, positive, rng.uniform(0.1, 5, 60))
    grid = curve(np.linspace(0, 1, 301))
    assert (np.diff(grid) >= -1e-12).all() and (grid >= 0).all() and (grid <= 1).all()


@given(st.integers(0, 2**32 - 1))
def test_an_isotonic_curve_goes_through_the_centres_of_the_isotonic_regression(seed):
    rng = np.random.default_rng(seed)
    score, weight = rng.integers(0, 15, 50) / 10, rng.uniform(0.1, 5, 50)
    positive = rng.random(50) < score / 1.5
    positive[:2] = True, False
    steps = IsotonicRegression().fit(score, positive, sample_weight=weight).predict(score)
    curve = fit_curve("isotonic", score, positive, weight)
    for value in np.unique(steps):
        inside = steps == value
        centre = np.average(score[inside], weights=weight[inside])
        assert curve(np.array([centre]))[0] == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_platt_is_a_logistic_regression_on_scores_of_any_scale(scale):
    rng = np.random.default_rng(5)
    score = rng.normal(3, 2, 4_000) * scale
    positive = rng.random(4_000) < 1 / (1 + np.exp(1 - score / scale))
    weight = rng.uniform(0.5, 2, 4_000)
    model = SklearnRegression(C=np.inf, tol=1e-8).fit(score[:, None] / scale, positive, sample_weight=weight)
    found = fit_curve("platt", score, positive, weight)(score)
    np.testing.assert_allclose(found, model.predict_proba(score[:, None] / scale)[:, 1], atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_within_a_request_stays(method):
    _, score, label = overconfident(20_000, 6)
    ranker = Calibrated(Raw(), method, share=1.0).fit(with_validation(rows(score, label)))
    batch = as_candidates(rows(score[:500], label[:500]))
    found = ranker.score(batch).astype(np.float64)
    order = np.argsort(score[:500])
    assert (np.diff(found[order]) >= 0).all()
    assert len(np.unique(found)) > 400  # ties only at the ends


def segmented(seed, n=40_000):
    rng = np.random.default_rng(seed)
    segment = rng.integers(1, 4, n)
    score = rng.random(n)
    label = rng.random(n) < score * np.array([0, 0.02, 0.3, 0.9])[segment]
    return score, segment, label


def test_each_segment_has_a_curve_of_its_own():
    score, segment, label = segmented(0)
    ranker = Calibrated(Raw(), by="segment", share=1.0)
    ranker.fit(with_validation(rows(score, label, segment=segment)))
    assert ranker.segments_.tolist() == [1.0, 2.0, 3.0]
    score, segment, label = segmented(1)
    found = ranker.score(as_candidates(rows(score, label, segment=segment)))
    whole = (
        Calibrated(Raw(), share=1.0)
        .fit(with_validation(rows(score, label)))
        .score(as_candidates(rows(score, label)))
    )
    for part in (1, 2, 3):
        mine = segment == part
        assert expected_calibration_error(found[mine], label[mine]) < 0.02
        assert expected_calibration_error(whole[mine], label[mine]) > 0.04


def test_rare_and_unknown_segments_get_the_curve_of_all():
    score, segment, label = segmented(2)
    segment = np.where(np.arange(len(segment)) < 50, 9, segment).astype(float)
    ranker = Calibrated(Raw(), by="segment", share=1.0)
    ranker.fit(with_validation(rows(score, label, segment=segment)))
    assert 9.0 not in ranker.segments_
    asked = as_candidates(rows([0.5] * 3, [0] * 3, segment=[9, 77, np.nan]))
    np.testing.assert_allclose(ranker.score(asked), ranker.curve_(np.full(3, 0.5)), rtol=1e-6)


def test_segments_may_be_columns_of_items():
    data = rk.testing.toy_dataset()
    score, _, _ = segmented(3, n=8_000)
    item = np.random.default_rng(4).integers(1, data.n_items + 1, len(score))
    category = data.schema.item_column("item.category")[item]
    label = np.random.default_rng(5).random(len(score)) < score * (category == category.max())
    part = replace(rows(score, label), item=item, schema=data.schema)
    ranker = Calibrated(Raw(), by="item.category", share=1.0)
    assert ranker.requires == ("item.category",)
    ranker.fit(with_validation(part))
    assert ranker.segments_.tolist() == [float(category.max())]
    bound = ranker.bind(replace(data.schema, feature_names=("score",)))
    found = bound.score(as_candidates(part))
    assert (
        expected_calibration_error(found[category == category.max()], label[category == category.max()])
        < 0.03
    )
    with pytest.raises(ConfigurationError, match="training rows without a schema"):
        Calibrated(Raw(), by="item.category").fit(with_validation(rows(score, label)))


class Told(LogisticRegression):
    """A ranker that remembers what it was fitted on."""

    def fit(self, data):
        self.told_ = data
        return super().fit(data)


def test_the_ranker_never_sees_the_rows_that_calibrate():
    rng = np.random.default_rng(7)
    score, label = rng.random(400), rng.random(400) < 0.5
    train = rows(score, label)
    later = replace(rows(score, label), now=np.repeat(np.arange(40.0), 10))
    ranker = Calibrated(Told(), share=0.25).fit(replace(train, validation=later))
    told = ranker.ranker_.told_
    assert len(told) == 400 and len(told.validation) == 300
    assert told.validation.now.max() == 29.0  # the newest quarter calibrates
    everything = Calibrated(Told(), share=1.0).fit(replace(train, validation=later))
    assert everything.ranker_.told_.validation is None


def test_groups_of_one_moment_are_split_by_hash():
    rng = np.random.default_rng(8)
    part = rows(rng.random(4_000), rng.random(4_000) < 0.5)
    told = Calibrated(Told()).fit(with_validation(part)).ranker_.told_.validation
    assert len(told) == 2_000
    users = np.unique(told.user)
    assert 0.3 < (users <= 200).mean() < 0.7  # of all users, not the first ones


def test_a_threshold_says_what_the_probability_is_of():
    rng = np.random.default_rng(9)
    label = rng.choice([0.0, 0.2, 1.0], 20_000, p=[0.6, 0.3, 0.1])
    part = with_validation(rows(rng.random(20_000), label))
    batch = as_candidates(part)
    assert Calibrated(Raw(), share=1.0).fit(part).score(batch).mean() == pytest.approx(0.4, abs=0.01)
    assert Calibrated(Raw(), share=1.0, threshold=0.5).fit(part).score(batch).mean() == pytest.approx(
        0.1, abs=0.01
    )


def test_a_score_that_is_missing_stays_missing():
    ranker = Calibrated(Raw(), share=1.0).fit(
        with_validation(rows(np.linspace(0, 1, 100), np.arange(100) % 2))
    )
    batch = Candidates.from_lists([[1, 2]], features=[[np.nan], [0.5]], feature_names=["score"])
    assert np.isnan(ranker.score(batch)).tolist() == [True, False]


@pytest.mark.parametrize("method", METHODS)
def test_state_comes_back(method):
    score, segment, label = segmented(4, n=4_000)
    part = with_validation(rows(score, label, segment=segment))
    ranker = Calibrated(LogisticRegression(), method, by="segment").fit(part)
    again = from_state(*to_state(ranker))
    np.testing.assert_array_equal(again.score(as_candidates(part)), ranker.score(as_candidates(part)))


def test_within_a_pipeline_probabilities_hold_in_the_week_after():
    market = rk.datasets.make_marketplace(600, 120, seed=3)
    train, test = market.dataset.split_at(market.dataset.until - 7 * rk.data.DAY)
    stages = [candidates.Popular(), features.Standard(), Calibrated(LogisticRegression(), "beta", share=1.0)]
    pipeline = rk.Pipeline(stages).fit(train, label_window="7D", windows=3)
    batch = pipeline.candidates(pipeline.requests(train.user_ids.ids.tolist(), k=50, now=train.cut))
    taken = np.unique(test.interactions.user * 1_000 + test.interactions.item)
    happened = np.isin(batch.user * 1_000 + batch.item, taken)
    assert expected_calibration_error(batch.score, happened) < 0.01


# -- what it refuses ---------------------------------------------------------------------------------


def test_without_validation_rows_there_is_nothing_to_calibrate_on():
    with pytest.raises(DataError, match="found no validation part"):
        Calibrated(LogisticRegression()).fit(rows([0.1, 0.9], [0, 1]))


@pytest.mark.parametrize("label", [[0, 0], [1, 1]])
def test_one_kind_of_label_is_an_error(label):
    with pytest.raises(DataError, match="calibration rows; expected both kinds"):
        Calibrated(Raw()).fit(with_validation(rows([0.1, 0.9], label)))


@pytest.mark.parametrize("method", ["temperature", "beta"])
def test_log_odds_need_probabilities(method):
    with pytest.raises(ConfigurationError, match="hint: method='platt' or 'isotonic'"):
        Calibrated(Raw(), method).fit(with_validation(rows([-3.0, 0.9], [0, 1])))


def test_missing_scores_cannot_calibrate():
    with pytest.raises(DataError, match="found score nan in calibration"):
        Calibrated(Raw()).fit(with_validation(rows([np.nan, 0.9], [0, 1])))


def test_an_unknown_segment_is_an_error():
    with pytest.raises(ConfigurationError, match="did you mean 'segment'"):
        Calibrated(Raw(), by="segmnt").fit(with_validation(rows([0.1, 0.9], [0, 1], segment=[1, 1])))


@pytest.mark.parametrize(
    "options",
    [
        {"method": "isotonc"},
        {"share": 0.0},
        {"share": 1.5},
        {"min_positives": 0},
        {"threshold": np.nan},
        {"ranker": features.Item()},
    ],
)
def test_options_are_checked(options):
    with pytest.raises(ConfigurationError, match="found"):
        Calibrated(**{"ranker": LogisticRegression(), **options})


def test_before_fit_there_is_no_score():
    batch = Candidates.from_lists([[1]], features=[[0.5]], feature_names=["score"])
    with pytest.raises(NotFittedError):
        Calibrated(GradientBoosting()).score(batch)


def test_a_ranker_that_learns_nothing_is_calibrated_as_it_is():
    score = np.linspace(0, 9, 1_000)
    part = with_validation(rows(score, np.random.default_rng(0).random(1_000) < score / 10))
    found = Calibrated(Weighted({"score": 2.0}), "platt", share=1.0).fit(part).score(as_candidates(part))
    assert found.min() < 0.2 and found.max() > 0.8


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (2.0, -1.0)])
def test_a_curve_on_any_scores_is_a_logistic_function(slope: float, intercept: float) -> None:
    score = np.array([-2.0, 0.0, 3.0])
    curve = Curve("platt", slope=np.array([slope]), **({"intercept": intercept} if intercept else {}))
    np.testing.assert_allclose(curve(score), 1 / (1 + np.exp(-(slope * score + intercept))), rtol=1e-6)
    assert np.isnan(curve(np.array([np.nan]))).all()


def test_a_curve_on_probabilities_is_one_of_their_log_odds() -> None:
    score = np.array([0.1, 0.5, 0.8])
    odds = np.log(score / (1 - score))
    curve = Curve("temperature", log_odds=True, slope=np.array([0.5]))
    np.testing.assert_allclose(curve(score), 1 / (1 + np.exp(-0.5 * odds)), rtol=1e-6)
