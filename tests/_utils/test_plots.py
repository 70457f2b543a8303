"""Plots: the marks that are drawn, where they lie, and axes of one's own."""

import pickle
import sys

import numpy as np
import pytest

from recokit._utils.plots import axes, draw_intervals, draw_reliability
from recokit.errors import ConfigurationError

pytest.importorskip("matplotlib")


def test_axes_are_the_callers_or_those_of_a_new_figure(monkeypatch):
    assert axes("mine", 1.0, 1.0) == "mine"
    assert axes(None, 3.0, 2.0).figure.get_size_inches().tolist() == [3.0, 2.0]
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigurationError, match=r"found no matplotlib; .*pip install 'recokit\[plots\]'"):
        axes(None, 1.0, 1.0)


def test_intervals_stand_side_by_side_in_groups_from_top_to_bottom():
    series = {
        "a": np.array([[0.2, 0.1, 0.4], [0.5, np.nan, np.nan]]),
        "b": np.array([[0.3, 0.3, 0.3], [0.6, 0.5, 0.7]]),
    }
    ax = draw_intervals(series, ["all", "cold"], "NDCG", None)
    assert ax.figure.get_size_inches()[1] == pytest.approx(1.4 + 0.3 * 2 * 2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all", "cold"]
    assert ax.get_xlabel() == "NDCG" and ax.get_xlim()[0] == 0.0 and ax.yaxis_inverted()
    marks = {c.get_label(): c for c in ax.containers}
    assert marks["a"].lines[0].get_xdata().tolist() == [0.2, 0.5]
    np.testing.assert_allclose(marks["a"].lines[0].get_ydata(), [-0.15, 0.85])
    np.testing.assert_allclose(marks["b"].lines[0].get_ydata(), [0.15, 1.15])
    bars = [segment[:, 0].tolist() for segment in marks["a"].lines[2][0].get_segments()]
    np.testing.assert_allclose(bars, [[0.1, 0.4], [0.5, 0.5]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    alone = draw_intervals({"a": series["a"] - 1}, ["all", "cold"], "NDCG", None)
    assert alone.get_legend() is None and alone.get_xlim()[0] < -0.9
    np.testing.assert_allclose(alone.containers[0].lines[0].get_ydata(), [0.0, 1.0])
    assert alone.figure.get_size_inches()[1] == pytest.approx(1.4 + 0.3 * 2 * 2)


def test_rates_over_two_powers_of_ten_have_logarithmic_axes():
    weight = np.array([1.0, 4.0])
    ax = draw_reliability(np.array([0.1, 0.5]), np.array([0.2, 0.4]), weight, None)
    assert (ax.get_xscale(), ax.get_xlim(), ax.get_ylim()) == ("linear", (0.0, 0.54), (0.0, 0.54))
    assert list(ax.lines[0].get_xdata()) == [0.0, 0.54] == list(ax.lines[0].get_ydata())
    assert ax.lines[1].get_ydata().tolist() == [0.2, 0.4]
    np.testing.assert_allclose(ax.collections[0].get_sizes(), [27.0, 72.0])
    wide = draw_reliability(np.array([0.001, 0.5]), np.array([0.0, 0.9]), weight, None)
    assert wide.get_xscale() == wide.get_yscale() == "log"
    np.testing.assert_allclose(wide.get_xlim(), (0.001 / 1.5, 1.0))
    np.testing.assert_allclose(
        wide.lines[1].get_ydata(), [0.001 / 1.5, 0.9]
    )  # none happened: on the lower edge
    hundred = draw_reliability(np.array([0.005, 0.5]), np.array([0.005, 0.5]), weight, None)
    assert hundred.get_xscale() == "linear"
    nothing = draw_reliability(np.zeros(1), np.zeros(1), np.ones(1), None)
    assert nothing.get_xlim() == (0.0, 1.0)


def test_a_notebook_draws_what_plot_returns() -> None:
    pytest.importorskip("matplotlib")
    made = axes(None, 3, 2)
    assert made._repr_png_().startswith(b"\x89PNG")
    assert pickle.loads(pickle.dumps(made)) is not None
