"""Corrected weights and targets: right on average, with what clipping costs in the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit.data import RankingData
from recokit.debias import PositionBias, doubly_robust, inverse_propensity
from recokit.errors import ConfigurationError, DataError

BIAS = PositionBias.known([1.0, 0.5, 0.1])


def rows(label, **columns):
    n = len(label)
    return RankingData(
        features=np.zeros((n, 1), np.float32),
        feature_names=("x",),
        label=np.asarray(label, np.float32),
        weight=np.full(n, 2.0, np.float32),
        offsets=np.array([0, n]),
        user=np.ones(n, np.int64),
        item=np.arange(1, n + 1),
        now=np.zeros(n),
        columns={name: np.asarray(column) for name, column in columns.items()},
    )


def test_a_click_weighs_as_much_as_its_place_is_overlooked():
    data = rows([1, 0, 1, 1], position=[1, 2, 2, 3])
    found = inverse_propensity(data, BIAS, normalize=False)
    np.testing.assert_allclose(found.data.weight, [2, 2, 4, 20])
    np.testing.assert_array_equal(found.data.label, data.label)
    assert data.weight.tolist() == [2.0] * 4  # the input is left alone
    report = found.report
    assert (report.rows, report.weighted, report.clipped, report.largest) == (4, 3, 0.0, 10.0)
    assert report.effective == pytest.approx(13**2 / (1 + 4 + 100)) and report.smallest == pytest.approx(0.1)


def test_weights_are_cut_and_the_report_tells():
    found = inverse_propensity(rows([1, 1, 1], position=[1, 2, 3]), BIAS, max_weight=4, normalize=False)
    np.testing.assert_allclose(found.data.weight, [2, 4, 8])
    assert found.report.clipped == pytest.approx(1 / 3) and found.report.clipped_mass == pytest.approx(6 / 13)
    assert "33.33%" in str(found.report) and "46.15%" in found.report._repr_html_()


def test_normalised_weights_do_not_depend_on_the_scale_of_propensities():
    data = rows([1, 0, 1], chance=[0.2, 0.1, 0.05])
    one = inverse_propensity(data, "chance", max_weight=np.inf).data.weight
    half = inverse_propensity(data, np.array([0.1, 0.05, 0.025]), max_weight=np.inf).data.weight
    np.testing.assert_allclose(one, half, rtol=1e-6)
    np.testing.assert_allclose(one, [2 * 5 / 12.5, 2, 2 * 20 / 12.5], rtol=1e-6)


def test_rows_are_weighed_whatever_their_label():
    found = inverse_propensity(rows([1, 0], chance=[0.5, 0.25]), "chance", corrects="rows", normalize=False)
    np.testing.assert_allclose(found.data.weight, [4, 8])
    assert found.report.weighted == 2 and str(found.report).startswith("Rows weighed")


def test_labels_may_carry_the_correction():
    found = inverse_propensity(rows([0.5, 0, 1], position=[2, 2, 3]), BIAS, into="label", normalize=False)
    np.testing.assert_allclose(found.data.label, [1, 0, 10])
    assert found.data.weight.tolist() == [2.0] * 3


def test_the_validation_part_is_corrected_alike():
    later = rows([1, 0], position=[3, 1])
    data = replace(rows([1, 1], position=[1, 2]), validation=later)
    found = inverse_propensity(data, BIAS, normalize=False).data
    np.testing.assert_allclose(found.validation.weight, [20, 2])
    guessed = replace(data, columns={**data.columns, "guess": np.zeros(2)})
    guessed = replace(guessed, validation=replace(later, columns={**later.columns, "guess": np.zeros(2)}))
    np.testing.assert_allclose(doubly_robust(guessed, BIAS, "guess").data.validation.label, [10, 0])


@given(st.integers(0, 2**32 - 1))
def test_targets_of_clicks_are_right_on_average(seed):
    # The mean over all that may happen, exactly: clicks and no clicks by their probability.
    rng = np.random.default_rng(seed)
    wanted, place = rng.uniform(0, 1, 8), rng.integers(1, 4, 8)
    chance = BIAS.at(place) * wanted
    guess = rng.uniform(0, 1, 8)
    means = np.zeros((2, 8))
    for label, share in ((np.ones(8), chance), (np.zeros(8), 1 - chance)):
        data = rows(label, position=place)
        means[0] += share * inverse_propensity(data, BIAS, into="label", normalize=False).data.label
        means[1] += share * doubly_robust(data, BIAS, guess).data.label
    np.testing.assert_allclose(means, [wanted, wanted], rtol=1e-5)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_targets_of_rows_are_right_if_either_model_is(seed, propensities_are_right):
    rng = np.random.default_rng(seed)
    rating, chance = rng.uniform(1, 5, 8), rng.uniform(0.1, 1, 8)
    believed = chance if propensities_are_right else rng.uniform(0.1, 1, 8)
    guess = rng.uniform(1, 5, 8) if propensities_are_right else rating
    mean = np.zeros(8)
    for seen, share in ((np.ones(8, bool), chance), (np.zeros(8, bool), 1 - chance)):
        data = rows(np.where(seen, rating, 0), seen=seen)
        found = doubly_robust(data, believed, guess, corrects="rows", observed="seen", max_weight=np.inf)
        mean += share * (found.data.label - found.report.offset)
    np.testing.assert_allclose(mean, rating, rtol=1e-4)


def test_where_weights_are_cut_the_prediction_stands_in():
    data = rows([0, 1], position=[3, 3])
    found = doubly_robust(data, BIAS, np.array([0.4, 0.4]), max_weight=2.0).data.label
    # 0.4 + 2 * (label - 0.1 * 0.4)
    np.testing.assert_allclose(found, [0.32, 2.32], rtol=1e-6)


def test_targets_below_zero_are_shifted_together():
    data = rows([0, 3, 0], seen=[True, True, False], chance=[0.5, 0.5, np.nan])
    found = doubly_robust(data, "chance", np.array([2.0, 2.0, 2.0]), corrects="rows", observed="seen")
    # Targets -2, 4 and 2.
    np.testing.assert_allclose(found.data.label, [0, 6, 4])
    assert found.report.offset == 2.0 and "added to all targets" in str(found.report)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: inverse_propensity(data, BIAS, corrects="views"), "found corrects='views'"),
        (lambda data: inverse_propensity(data, BIAS, into="score"), "found into='score'"),
        (
            lambda data: inverse_propensity(data, BIAS, into="label", corrects="rows"),
            "doubly_robust makes labels",
        ),
        (lambda data: inverse_propensity(data, BIAS, max_weight=0.5), "found max_weight=0.5"),
        (lambda data: inverse_propensity(data, "propensty"), "found no column 'propensty'.*propensity"),
        (lambda data: doubly_robust(data, BIAS, "guess"), "found no column 'guess'"),
        (
            lambda data: inverse_propensity(replace(data, validation=data), np.ones(2)),
            "found an array for data with",
        ),
    ],
)
def test_impossible_options_are_an_error(call, message):
    with pytest.raises(ConfigurationError, match=message):
        call(rows([1, 0], position=[1, 2], propensity=[0.5, 0.5]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: inverse_propensity(data, "propensity"), "found propensity 0.0; expected above 0"),
        (lambda data: inverse_propensity(data, BIAS, corrects="rows"), "found propensity nan.*observed="),
        (lambda data: inverse_propensity(data, np.ones(3)), r"found values of shape \(3,\)"),
        (lambda data: doubly_robust(data, "half", np.array([np.nan, 1.0])), "found prediction nan"),
    ],
)
def test_values_that_cannot_be_are_an_error(call, message):
    with pytest.raises(DataError, match=message):
        call(rows([1, 0], position=[1, 0], propensity=[0.0, 0.5], half=[0.5, 0.5]))


def test_only_rows_that_are_weighed_need_a_propensity():
    data = rows([1, 0], position=[1, 0], chance=[0.5, np.nan])
    np.testing.assert_allclose(inverse_propensity(data, "chance", normalize=False).data.weight, [4, 2])
    np.testing.assert_allclose(inverse_propensity(data, BIAS).data.weight, [2, 2])


def test_the_limit_is_20_unless_told_and_a_weight_at_it_is_not_cut():
    data = rows([1, 1, 1], chance=[1.0, 0.05, 0.04])
    result = inverse_propensity(data, "chance", normalize=False)
    np.testing.assert_allclose(result.data.weight, [2, 40, 40])
    assert result.report.clipped == pytest.approx(1 / 3)
    assert result.report.clipped_mass == pytest.approx(5 / 46)
    robust = doubly_robust(data, "chance", np.zeros(3))
    np.testing.assert_allclose(robust.data.label, [1, 20, 20])
    assert robust.report.clipped == pytest.approx(1 / 3)
    assert inverse_propensity(data, "chance", max_weight=1, normalize=False).report.largest == 1.0


def test_the_report_of_weights():
    report = inverse_propensity(rows([1, 1, 0], chance=[0.5, 0.25, 0.125]), "chance").report
    # Weights of 2 and 4 over their mean of 3.
    assert (report.rows, report.weighted, report.corrects) == (3, 2, "clicks")
    assert report.largest == pytest.approx(4 / 3) and report.smallest == 0.25
    assert report.effective == pytest.approx(36 / 20) and report.effective_share == pytest.approx(0.9)
    nothing = inverse_propensity(rows([0, 0], chance=[0.5, 0.25]), "chance")
    assert (nothing.report.weighted, nothing.report.clipped, nothing.report.effective_share) == (0, 0.0, 0.0)
    assert nothing.data.weight.tolist() == [2.0, 2.0] and nothing.report.smallest == 1.0


def test_doubly_robust_targets_by_hand():
    data = rows([1.0, 0.0, 1.0], chance=[0.5, 0.25, 1.0], guess=[0.4, 0.2, 0.6], known=[True, True, False])
    clicks = doubly_robust(data, "chance", "guess")
    # guess + weight * (label - chance * guess), shifted by what the lowest is below 0.
    np.testing.assert_allclose(clicks.data.label, [0.4 + 2 * (1 - 0.2), 0.2 - 4 * 0.05, 1.0], atol=1e-6)
    assert clicks.report.offset == pytest.approx(0.0, abs=1e-12)
    of_rows = doubly_robust(data, "chance", "guess", corrects="rows", observed="known")
    np.testing.assert_allclose(of_rows.data.label, np.array([1.6, -0.6, 0.6]) + 0.6, atol=1e-6)
    assert of_rows.report.offset == pytest.approx(0.6) and of_rows.report.weighted == 2
    assert of_rows.data.weight.tolist() == data.weight.tolist()
