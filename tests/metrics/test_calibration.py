"""Calibration error and reliability: against a naive count, with weights, and drawn."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit.errors import ConfigurationError, DataError
from recokit.metrics import expected_calibration_error, reliability

PROBABILITIES = st.lists(st.integers(0, 20).map(lambda i: i / 20), min_size=1, max_size=40)


@given(PROBABILITIES, st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_bins_of_equal_width_are_those_of_a_naive_count(probability, bins, seed):
    rng = np.random.default_rng(seed)
    outcome, weight = rng.integers(0, 2, len(probability)), rng.integers(1, 4, len(probability)).astype(float)
    total, error = weight.sum(), 0.0
    for b in range(bins):
        inside = [i for i, p in enumerate(probability) if min(int(p * bins), bins - 1) == b]
        promised = sum(weight[i] * probability[i] for i in inside)
        error += abs(sum(weight[i] * outcome[i] for i in inside) - promised) / total
    found = expected_calibration_error(probability, outcome, weight=weight, bins=bins, by="uniform")
    assert found == pytest.approx(error, abs=1e-12)


@given(PROBABILITIES, st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_a_weight_counts_as_so_many_rows(probability, bins, seed):
    rng = np.random.default_rng(seed)
    p, weight = np.array(probability), rng.integers(0, 4, len(probability))
    outcome = rng.integers(0, 2, len(p))
    weight[0] = 1
    weighted = reliability(p, outcome, weight=weight, bins=bins, by="uniform")
    repeated = reliability(np.repeat(p, weight), np.repeat(outcome, weight), bins=bins, by="uniform")
    for name in ("predicted", "observed", "weight"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name))
    for name in ("ece", "brier", "log_loss", "bias", "max_error"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name))


@given(PROBABILITIES, st.integers(1, 7))
def test_quantile_bins_hold_equal_weight_and_never_split_equal_probabilities(probability, bins):
    p = np.array(probability)
    found = reliability(p, np.zeros(len(p)), bins=bins)
    assert len(found.weight) <= bins and found.count.sum() == len(p)
    largest_tie = np.unique(p, return_counts=True)[1].max()
    assert found.weight.max() <= len(p) / bins + largest_tie
    bounds = np.searchsorted(np.sort(p), np.unique(p))
    assert set(np.cumsum(found.count)[:-1].tolist()) <= set(bounds.tolist())


def test_the_truth_is_calibrated_and_half_of_it_is_not():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 20, 200_000)
    outcome = rng.random(len(p)) < p
    assert expected_calibration_error(p, outcome) < 0.002
    half = reliability(p / 2, outcome)
    assert half.ece == pytest.approx(p.mean() / 2, rel=0.05) and half.bias == pytest.approx(0.5, rel=0.05)
    assert (half.error > 0).all()


def test_sampled_negatives_count_for_all_that_they_stand_for():
    rng = np.random.default_rng(1)
    p = rng.beta(1, 20, 200_000)
    outcome = rng.random(len(p)) < p
    kept = outcome | (rng.random(len(p)) < 0.1)
    weight = np.where(outcome, 1.0, 10.0)
    assert expected_calibration_error(p[kept], outcome[kept]) > 0.1
    assert expected_calibration_error(p[kept], outcome[kept], weight=weight[kept]) < 0.005


def test_a_table_and_a_page():
    found = reliability([0.1, 0.1, 0.6, 0.6], [0, 0, 1, 0], bins=2, name="clicks")
    assert found.table()[1] == {
        "predicted": 0.6, "observed": 0.5, "error": pytest.approx(-0.1), "weight": 2.0, "count": 2.0
    }  # fmt: skip
    assert str(found).startswith("clicks: calibration error 0.1000") and "0.6000" in str(found)
    assert "clicks: calibration error" in found._repr_html_() and "Brier" in found._repr_html_()
    assert found.brier == pytest.approx((0.01 * 2 + 0.16 + 0.36) / 4)
    assert found.log_loss == pytest.approx(-(2 * np.log(0.9) + np.log(0.6) + np.log(0.4)) / 4)
    assert reliability([0.5], [0]).bias == float("inf")


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_plot_shows_every_bin(scale):
    rng = np.random.default_rng(2)
    p = rng.beta(2, 2, 5_000) if scale == "linear" else 10 ** rng.uniform(-4, -0.1, 5_000)
    found = reliability(p, rng.random(5_000) < p, bins=8)
    axes = found.plot()
    assert (axes.get_xscale(), axes.get_yscale()) == (scale, scale)
    drawn = axes.collections[0].get_offsets()
    np.testing.assert_allclose(drawn[:, 0], found.predicted)
    assert len(drawn) == 8 and f"{found.ece:.4f}" in axes.get_title(loc="left")
    assert found.plot(axes) is axes
    axes.figure.canvas.draw()


def test_a_plot_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'recokit\[plots\]'"):
        reliability([0.5], [1]).plot()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.5], [1]), "found probability 1.5"),
        (([np.nan], [1]), "found probability nan"),
        (([0.5], [2]), "found outcome 2.0"),
        (([0.5, 0.5], [1]), r"outcomes of \(1,\)"),
        (([], []), "found no weight in 0 rows"),
        (([0.5], [1], [-1.0]), "found weight -1.0"),
        (([0.5], [1], [0.0]), "found no weight in 1 rows"),
    ],
)
def test_values_that_cannot_be_are_an_error(arguments, message):
    with pytest.raises(DataError, match=message):
        reliability(*arguments[:2], weight=None if len(arguments) < 3 else arguments[2])


@pytest.mark.parametrize("options", [{"bins": 0}, {"by": "count"}])
def test_options_are_checked(options):
    with pytest.raises(ConfigurationError, match=r"found (bins|by)="):
        reliability([0.5], [1], **options)
