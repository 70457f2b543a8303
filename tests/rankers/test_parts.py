"""Parts of rankers by hand: features by name, targets, transforms, curves, multipliers and held-out groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError, DataError
from recokit.rankers import (
    Calibrated,
    Cascade,
    FromFunction,
    LinearRanker,
    LogisticRegression,
    MultiObjective,
    PopularityNormalized,
    Weighted,
)
from recokit.rankers._calibration import Curve, fit_curve
from recokit.rankers._composite import as_candidates, fit_held_out, requires_of
from recokit.rankers._inputs import Targets, all_rows, checked_labels, positions_of
from recokit.rankers._scaling import Transform, sometimes_missing
from recokit.rankers._utility import pareto_front, smallest_multiplier, top_mean


def rows(label, features=None, *, names=("a", "b"), weight=None, offsets=None, **columns):
    n = len(label)
    block = np.arange(2.0 * n).reshape(n, 2) if features is None else np.asarray(features)
    return RankingData(
        block.astype(np.float32), names, np.asarray(label, np.float32),
        np.ones(n, np.float32) if weight is None else np.asarray(weight, np.float32),
        np.array([0, n]) if offsets is None else np.asarray(offsets),
        np.arange(n) + 1, np.arange(n) + 11, np.arange(n) + 0.5, columns={k: np.asarray(v) for k, v in columns.items()},
    )  # fmt: skip


def schema(*names):
    return replace(rows_schema(), feature_names=names)


def rows_schema() -> Schema:
    from recokit.testing import toy_dataset

    return toy_dataset().schema


class TestNames:
    def test_a_ranker_takes_features_by_name_wherever_they_stand(self):
        ranker = FromFunction(lambda x: x[:, 0] - 10 * x[:, 1], features=["b", "a"])
        batch = Candidates.from_lists([[1]], features=[[1.0, 9.0, 2.0]], feature_names=["a", "x", "b"])
        assert ranker.score(batch).tolist() == [-8.0]
        assert ranker.bind(schema("a", "x", "b")).score(batch).tolist() == [-8.0]
        bound = ranker.bind(schema("b", "a"))
        assert bound.score(batch).tolist() == [-8.0]  # bound to others: found by name again
        assert bound.positions_.tolist() == [0, 1] and ranker.bound_names_ is None

    def test_a_refit_after_bind_forgets_where_the_features_stood(self):
        label, tail = np.arange(40) % 2, np.where(np.arange(40) == 3, 900.0, 1.0)
        calm = np.arange(40) % 5 + 4 * label
        data = rows(label, np.stack([calm, tail], axis=1), offsets=np.arange(0, 41, 4))
        bound = LogisticRegression(features=("a", "b")).bind(schema("a", "b"))
        ranker = bound.fit(data)  # the heavy-tailed feature comes first now
        assert ranker.feature_names_ == ("b", "a")
        batch = Candidates.from_lists([[1, 2]], features=[[0.0, 1.0], [8.0, 1.0]], feature_names=["a", "b"])
        assert ranker.score(batch).tolist() == LogisticRegression().fit(data).score(batch).tolist()

    def test_missing_features_are_counted(self):
        assert positions_of(("b", "a"), ("a", "b"), "X").tolist() == [1, 0]
        with pytest.raises(
            ConfigurationError, match=r"found no feature 'c' and 1 more for X; expected the 3 features"
        ):
            positions_of(("a", "c", "d"), ("a", "b"), "X")
        with pytest.raises(ConfigurationError, match=r"found no feature 'c' for X"):
            positions_of(("c",), ("a", "b"), "X")

    @pytest.mark.parametrize("names", [(), "a", ("a", "a")])
    def test_names_are_distinct(self, names):
        with pytest.raises(ConfigurationError, match=r"features=.*distinct names"):
            LinearRanker(features=names)


class TestTargets:
    def test_graded_rows_are_split(self):
        data = rows([2.0, 1.0, 0.0, 0.5], weight=[1, 1, 2, 4])
        targets = Targets(data, np.array([1, 0]))
        assert targets.positive.tolist() == [True, True, False, True, False, False]
        weight = np.array([1, 0.5, 2, 1, 0.5, 3])
        np.testing.assert_allclose(targets.weight, weight / weight.mean())
        assert targets.features[:, 0].tolist() == [1.0, 3.0, 5.0, 7.0, 3.0, 7.0]
        plain = Targets(rows([1.0, 0.0]), np.array([0, 1]))
        assert len(plain.positive) == 2 and plain.features.tolist() == [[0, 1], [2, 3]]

    def test_the_largest_gain_may_be_that_of_an_earlier_fit(self):
        targets = Targets(rows([1.0, 0.0]), np.array([0]), 4.0)
        np.testing.assert_allclose(targets.weight * np.mean([0.25, 1, 0.75]), [0.25, 1, 0.75])
        with pytest.raises(DataError, match=r"found label 4.5; expected at most 4.0"):
            Targets(rows([4.5, 0.0]), np.array([0]), 4.0)

    @pytest.mark.parametrize(
        ("label", "weight", "message"),
        [
            ([1, -1], [1, 1], "found label.*-1.0"),
            ([1, 0], [1, -2], "found weight=-2.0"),
            ([1, 0], [np.inf, 1], "found weight=inf"),
            ([0, 0], [1, 1], "found no positives among 2 rows"),
        ],
    )
    def test_labels_are_checked(self, label, weight, message):
        with pytest.raises(DataError, match=message):
            checked_labels(rows(label, weight=weight))
        assert checked_labels(rows([0.5, 0], weight=[0, 1]))[0].tolist() == [0.5, 0.0]

    def test_validation_rows_come_after_the_training_rows(self):
        data = rows([1, 0, 0], offsets=[0, 2, 3])
        both = all_rows(replace(data, validation=rows([0, 1], offsets=[0, 1, 2])))
        assert both.offsets.tolist() == [0, 2, 3, 4, 5] and both.label.tolist() == [1, 0, 0, 0, 1]
        assert both.now.tolist() == [0.5, 1.5, 2.5, 0.5, 1.5] and both.validation is None
        with pytest.raises(DataError, match="validation rows with features"):
            all_rows(replace(data, validation=rows([0, 1], names=("a", "c"))))


class TestTransform:
    @pytest.mark.parametrize(("largest", "n_log"), [(8.0, 0), (8.5, 1)])
    def test_a_heavy_tail_is_above_eight_times_the_mean(self, largest, n_log):
        # Nine values of which one is the largest and the mean is 1.
        rest = (9.0 - largest) / 8
        column = np.array([largest] + [rest] * 8, np.float32)[:, None]
        _, transform = Transform.learn(column, np.ones(9))
        assert transform.n_log == n_log

    def test_negative_values_have_no_logarithm(self):
        column = np.array([900.0, -1e-3] + [0.5] * 20, np.float32)[:, None]
        assert Transform.learn(column, np.ones(22))[1].n_log == 0
        zero = np.array([900.0] + [0.0] * 20, np.float32)[:, None]
        assert Transform.learn(zero, np.ones(21))[1].n_log == 1

    def test_moments_are_weighted_and_missing_values_left_out(self):
        column = np.array([1.0, 3.0, np.nan, np.inf], np.float32)[:, None]
        _, transform = Transform.learn(column, np.array([3.0, 1.0, 9.0, 9.0]))
        assert transform.mean[0] == pytest.approx(1.5)
        assert transform.scale[0] == pytest.approx(np.sqrt((3 * 0.25 + 2.25) / 4))
        standard, missing = transform.standardise(column.T.copy())
        assert missing.tolist() == [[False, False, True, True]] and standard[0, 2:].tolist() == [0.0, 0.0]
        assert standard[0, 1] == pytest.approx(1.5 / transform.scale[0])

    def test_a_constant_has_no_scale(self):
        for column in (np.full((5, 1), 7.0), np.zeros((5, 1)), np.full((5, 1), np.nan)):
            _, transform = Transform.learn(column.astype(np.float32), np.ones(5))
            assert transform.scale.tolist() == [1.0]

    def test_sometimes_missing(self):
        missing = np.array([[True, False], [True, True], [False, False]])
        assert sometimes_missing(missing).tolist() == [0]


class TestCurves:
    def test_a_temperature_keeps_one_half(self):
        rng = np.random.default_rng(0)
        chance = rng.uniform(0.05, 0.95, 4_000)
        truth = 1 / (1 + np.exp(-2 * np.log(chance / (1 - chance))))
        curve = fit_curve("temperature", chance, rng.random(4_000) < truth, np.ones(4_000))
        assert curve(np.array([0.5]))[0] == 0.5 and curve.intercept == 0.0 and curve.log_odds
        assert curve.slope[0] == pytest.approx(2.0, rel=0.1)

    def test_rows_of_weight_0_do_not_count(self):
        score, positive = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, True, False, True])
        weight = np.array([1.0, 0.0, 0.0, 1.0])
        curve = fit_curve("isotonic", score, positive, weight)
        assert curve.x.tolist() == pytest.approx([0.1, 0.9]) and curve.y.tolist() == [0.0, 1.0]
        with pytest.raises(DataError, match="found 2 positives among 2"):
            fit_curve("platt", score, positive, np.array([0.0, 1.0, 0.0, 1.0]))

    def test_scores_of_0_and_1_are_probabilities(self):
        score, positive = np.array([0.0, 0.0, 1.0, 1.0]), np.array([False, True, True, False])
        assert np.isfinite(fit_curve("beta", score, positive, np.ones(4))(score)).all()
        for outside in (-1e-9, 1 + 1e-9):
            with pytest.raises(ConfigurationError, match="expected probabilities"):
                fit_curve("beta", np.append(score, outside), np.append(positive, True), np.ones(5))

    def test_an_isotonic_curve_is_flat_beyond_its_ends(self):
        curve = Curve("isotonic", x=np.array([1.0, 2.0]), y=np.array([0.2, 0.4]))
        np.testing.assert_allclose(curve(np.array([0.0, 1.5, 9.0])), [0.2, 0.3, 0.4])
        assert np.isnan(curve(np.array([np.nan]))[0])


class TestUtility:
    def test_top_mean_by_hand(self):
        data = rows([0] * 5, offsets=[0, 3, 5])
        score, happened = np.array([3, 2, 1, 1, 2]), np.array([1.0, 0, 1, 0, 4])
        assert top_mean(data, score, happened, 1) == pytest.approx((1 + 4) / 2)
        assert top_mean(data, score, happened, 2) == pytest.approx((0.5 + 2) / 2)
        assert top_mean(data, score, happened, 9) == pytest.approx((2 / 3 + 2) / 2)
        assert np.isnan(top_mean(rows([0], offsets=[0, 0, 1], weight=[0]), np.ones(1), np.ones(1), 1))

    def test_the_smallest_multiplier_reaches_the_bound_and_no_less_does(self):
        found = smallest_multiplier(lambda x: float(x >= 0.37), 1.0, 1.0, "x")
        assert found >= 0.37 and found == pytest.approx(0.37, rel=1e-9)
        assert smallest_multiplier(lambda x: 1.0, 1.0, 1.0, "x") == 0.0
        with pytest.raises(DataError, match="found a mean margin of 1 on top at most"):
            smallest_multiplier(lambda x: min(x, 1.0), 1.5, 1.0, "margin")

    def test_equal_rows_do_not_beat_each_other(self):
        values = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
        assert pareto_front(values).tolist() == [True, True, False]


class TestParts:
    def test_every_other_group_is_held_out(self):
        seen = []

        class Noting(LogisticRegression):
            def fit(self, data):
                seen.append(data.validation.item.tolist())
                return super().fit(data)

        held = rows([1, 0] * 4, offsets=[0, 2, 4, 6, 8])
        data = replace(rows([1, 0, 1, 0]), validation=held)
        _, unseen = fit_held_out([Noting()], data)
        assert seen == [[11, 12, 15, 16]] and unseen.item.tolist() == [13, 14, 17, 18]
        two = replace(data, validation=rows([1, 0, 1, 0], offsets=[0, 2, 4]))
        assert fit_held_out([Noting()], two)[1].item.tolist() == [13, 14]
        assert fit_held_out([Noting()], replace(data, validation=rows([1, 0]))) is None
        assert fit_held_out([Noting()], replace(data, validation=None)) is None

    def test_training_rows_as_candidates(self):
        batch = as_candidates(rows([1, 0, 0], offsets=[0, 0, 1, 3], position=[1, 2, 3]))
        assert batch.requests.user.tolist() == [0, 1, 2] and batch.requests.now.tolist() == [0.0, 0.5, 1.5]
        assert batch.row.tolist() == [1, 2, 2] and batch.item.tolist() == [11, 12, 13]
        assert batch.columns["position"].tolist() == [1, 2, 3] and np.isnan(batch.score).all()

    def test_requirements_are_named_once(self):
        rankers = [
            FromFunction(len, requires=("history", "item.price")),
            FromFunction(len, requires=("history",)),
        ]
        assert requires_of([*rankers, LogisticRegression()]) == ("history", "item.price")

    def test_limits_of_a_cascade(self):
        cheap, dear = Weighted({"a": 1.0}), Weighted({"b": 1.0})
        assert Cascade([(cheap, None), (dear, 5), (dear, 5)]).stages[1][1] == 5
        for limits in ([3, 2], [None, 0], [None, 2, 3], [None, None]):
            with pytest.raises(ConfigurationError, match="found the limits"):
                Cascade([(cheap, limit) for limit in limits])

    def test_defaults_that_decide(self):
        calibrated = Calibrated(LogisticRegression())
        assert (calibrated.method, calibrated.share, calibrated.min_positives) == ("isotonic", 0.5, 50)
        assert (calibrated.threshold, MultiObjective({"click": 1.0}).k) == (0.0, 10)
        counts = np.array([0.0, 30.0])
        batch = Candidates.from_lists([[1]]).with_score(np.array([0.5], np.float32))
        assert PopularityNormalized(counts).score(batch)[0] == pytest.approx(0.5 / 4**0.3)
