"""Plots: the marks that are drawn, where they lie, and axes of one's own."""

import pickle
import sys

import numpy as np
import pytest

from recokit._utils.plots.bars import draw_bars, draw_paired
from recokit._utils.plots.boxes import draw_boxes
from recokit._utils.plots.checks import draw_checks
from recokit._utils.plots.curves import draw_boundary, draw_line, draw_shares
from recokit._utils.plots.funnel import Step, draw_funnel, mean_records, steps_of
from recokit._utils.plots.intervals import draw_intervals
from recokit._utils.plots.multiples import draw_multiples
from recokit._utils.plots.reliability import draw_reliability
from recokit._utils.plots.style import PALETTE, axes, number
from recokit._utils.plots.waterfall import draw_contributions, draw_spans
from recokit.errors import ConfigurationError

pytest.importorskip("matplotlib")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def row_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def widths(ax):
    return [round(bar.get_width(), 6) for bar in ax.patches]


def test_axes_are_the_callers_or_those_of_a_new_figure(monkeypatch):
    mine = axes(None)
    assert axes(mine, 1.0, 1.0) is mine
    assert axes(None, 3.0, 2.0).figure.get_size_inches().tolist() == [3.0, 2.0]
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigurationError, match=r"found no matplotlib; .*pip install 'recokit\[plots\]'"):
        axes(None, 1.0, 1.0)


def luminance(colour):
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_colours_are_told_apart_in_grey_where_two_stand_side_by_side():
    assert abs(luminance(PALETTE[0]) - luminance(PALETTE[1])) > 0.05
    assert all(1.05 / (luminance(colour) + 0.05) >= 3.0 for colour in PALETTE[:3])  # of text on white


def test_numbers_have_three_digits_that_count():
    assert [number(value) for value in (1234.5, 100.0, 99.96, 0.0004567, 3.0)] == [
        "1,234",
        "100",
        "100",
        "0.000457",
        "3",
    ]


def test_intervals_stand_side_by_side_in_groups_from_top_to_bottom():
    series = {
        "a": np.array([[0.2, 0.1, 0.4], [0.5, np.nan, np.nan]]),
        "b": np.array([[0.3, 0.3, 0.3], [0.6, 0.5, 0.7]]),
    }
    ax = draw_intervals(series, ["all", "cold"], "NDCG", None, reference=0.25)
    assert row_names(ax) == ["all", "cold"]
    assert ax.get_xlabel() == "NDCG" and ax.yaxis_inverted()
    assert ax.lines[0].get_xdata() == [0.25, 0.25]
    marks = {c.get_label(): c for c in ax.containers}
    assert marks["a"].lines[0].get_xdata().tolist() == [0.2, 0.5]
    np.testing.assert_allclose(marks["a"].lines[0].get_ydata(), [-0.175, 0.825])
    np.testing.assert_allclose(marks["b"].lines[0].get_ydata(), [0.175, 1.175])
    bars = [segment[:, 0].tolist() for segment in marks["a"].lines[2][0].get_segments()]
    np.testing.assert_allclose(bars, [[0.1, 0.4], [0.5, 0.5]])
    assert texts(ax) == ["0.2", "0.5", "0.3", "0.6"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert [text.get_color() for text in ax.get_legend().get_texts()] == list(PALETTE[:2])
    alone = draw_intervals({"a": series["a"] - 1}, ["all", "cold"], "NDCG", None, form="+.1f")
    assert alone.get_legend() is None
    assert texts(alone) == ["-0.8", "-0.5"]
    np.testing.assert_allclose(alone.containers[0].lines[0].get_ydata(), [0.0, 1.0])


def test_bars_have_their_values_beside_them():
    ax = draw_bars(["x", "y"], [0.5, float("nan")], None, inner=[0.2, 0.0])
    assert row_names(ax) == ["x", "y"]
    assert texts(ax) == ["0.5", "-"]
    assert widths(ax) == [0.5, 0.0, 0.2, 0.0]
    below = draw_bars(["x"], [-2.0], None, labels=["two"])
    assert texts(below) == ["two"] and below.get_xlim()[0] < -2.0
    assert [t.get_horizontalalignment() for t in below.texts] == ["right"]


def test_pairs_are_joined():
    ax = draw_paired(["s1", "s2"], [0.3, 0.1], [0.2, 0.4], ("has", "should have"), None)
    assert ax.get_xlabel().split() == ["\u25cf", "has", "|", "should", "have"]
    should, has = ax.collections[1:]
    assert has.get_offsets()[:, 0].tolist() == [0.3, 0.1]
    assert should.get_offsets()[:, 0].tolist() == [0.2, 0.4]


RECORDS = [
    {
        "name": "user_history",
        "role": "hydrator",
        "n_in": 0,
        "n_out": 0,
        "removed": 0,
        "error": "",
        "skipped": "",
    },
    {"name": "merge.a", "role": "source", "n_in": 0, "n_out": 40, "removed": 0, "error": "", "skipped": ""},
    {
        "name": "merge.b",
        "role": "source",
        "n_in": 0,
        "n_out": 0,
        "removed": 0,
        "error": "timeout",
        "skipped": "",
    },
    {"name": "merge", "role": "source", "n_in": 40, "n_out": 30, "removed": 10, "error": "", "skipped": ""},
    {
        "name": "in_stock",
        "role": "filter",
        "n_in": 30,
        "n_out": 20,
        "removed": 10,
        "error": "",
        "skipped": "",
    },
    {"name": "seen", "role": "filter", "n_in": 20, "n_out": 20, "removed": 0, "error": "", "skipped": ""},
    {
        "name": "ranker",
        "role": "scorer",
        "n_in": 20,
        "n_out": 20,
        "removed": 0,
        "error": "",
        "skipped": "no time",
    },
    {"name": "mmr", "role": "selection", "n_in": 20, "n_out": 5, "removed": 15, "error": "", "skipped": ""},
    {"name": "fallback.p", "role": "source", "n_in": 0, "n_out": 0, "removed": 0, "error": "", "skipped": ""},
]


def test_steps_of_a_funnel_are_what_found_took_or_failed():
    assert steps_of(RECORDS, 5) == [
        Step("merge.a", 40, kind="source"),
        Step("merge.b", 0, kind="failed", note="failed"),
        Step("candidates", 30),
        Step("in_stock", 20, 10),
        Step("ranker", 20, kind="failed", note="skipped"),
        Step("list", 5, kind="list"),
    ]


def test_filters_side_by_side_are_followed_by_what_they_left_together():
    by_name = {record["name"]: record for record in RECORDS}
    first, after = by_name["in_stock"], {**by_name["ranker"], "n_in": 19}
    second = {**first, "name": "not_owned", "n_out": 29, "removed": 1}
    names = [(step.name, step.kept) for step in steps_of([first, second, after], 5)]
    assert names[:3] == [("in_stock", 20), ("not_owned", 29), ("all filters", 19)]
    assert "all filters" not in [step.name for step in steps_of([first, after], 5)]


def test_a_funnel_says_what_stays_and_what_was_taken():
    ax = draw_funnel(steps_of(RECORDS, 5), None)
    assert row_names(ax) == ["merge.a", "merge.b", "candidates", "in_stock", "ranker", "list"]
    assert texts(ax) == ["40", "0, failed", "30", "20, took 10", "20, skipped", "5"]
    assert widths(ax) == [40, 0, 30, 20, 20, 5, 10]
    assert ax.patches[-1].get_x() == 20 and ax.patches[-1].get_hatch()
    assert ax.get_yticklabels()[1].get_color() == PALETTE[1] != ax.get_yticklabels()[0].get_color()


def test_the_funnel_of_many_is_the_mean():
    other = [{**record, "n_out": 2 * record["n_out"], "removed": 0, "error": ""} for record in RECORDS]
    merged = {record["name"]: record for record in mean_records([RECORDS, other])}
    assert (merged["merge.a"]["n_out"], merged["in_stock"]["removed"]) == (60.0, 5.0)
    assert merged["merge.b"]["error"] == "timeout"
    assert mean_records([]) == []


def test_contributions_lead_from_the_base_to_the_score():
    values = [0.5, -0.25, *[0.01] * 8]
    ax = draw_contributions([f"f{i}" for i in range(10)], values, -1.0, None, most=3)
    assert row_names(ax) == ["base", "f0", "f1", "f2", "7 others", "score"]
    assert texts(ax) == ["-1", "+0.5", "-0.25", "+0.01", "+0.07", "-0.67"]
    assert [round(bar.get_x(), 6) for bar in ax.patches] == [-1.0, -0.5, -0.75, -0.74]
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()


def test_spans_stand_where_they_ran():
    ax = draw_spans(["a", "b"], [0.0, 3.0], [3.0, 12.0], None, whole=15.0, limit=10.0)
    assert texts(ax) == ["3.00 ms", "12 ms", "budget 10 ms"]
    assert [bar.get_x() for bar in ax.patches] == [0.0, 3.0] and widths(ax) == [3.0, 12.0]
    assert ax.patches[1].get_facecolor() != ax.patches[0].get_facecolor()  # the longest
    assert "budget" not in "".join(texts(draw_spans(["a"], [0.0], [3.0], None, whole=3.0, limit=100.0)))


def test_checks_stand_worst_first_with_a_shape_of_their_own():
    checks = [
        ("ok", "pass", "fine"),
        ("no", "not checked", "?"),
        ("bad", "fail", "x" * 60),
        ("odd", "warn", "hm"),
    ]
    ax = draw_checks(checks, None)
    assert row_names(ax) == ["bad", "odd", "ok", "no"]
    assert texts(ax) == ["x" * 45 + "\u2026", "hm", "fine", "?"]
    assert len({tuple(map(tuple, mark.get_paths()[0].vertices.tolist())) for mark in ax.collections}) == 4


def test_a_boundary_is_crossed_at_the_first_look_outside():
    value, reach = np.array([0.1, 0.3, 0.4]), np.array([np.inf, 0.25, 0.2])
    ax = draw_boundary([1.0, 2.0, 3.0], value, reach, "effect", None)
    assert "crossed on day 2" in texts(ax)
    assert ax.get_ylabel() == "effect"
    inside = draw_boundary([1.0], np.array([0.1]), np.array([0.2]), "effect", None)
    assert not [text for text in texts(inside) if text.startswith("crossed")]


def test_lines_and_shares():
    ax = draw_line([1, 2, 3], [0.5, 0.7, 0.6], ("k", "recall"), None)
    assert sorted(texts(ax)) == ["0.5", "0.6"] and (ax.get_xlabel(), ax.get_ylabel()) == ("k", "recall")
    shares = draw_shares(np.linspace(0, 1, 100), "p", None)
    assert sum(bar.get_height() for bar in shares.patches) == 100 and shares.lines[0].get_ydata()[0] == 5.0


def test_small_multiples_name_what_has_drifted():
    even = np.array([0.5, 0.5])
    made = draw_multiples({"price": (even, np.array([0.1, 0.9])), "age": (even, even)}, {"price"}, "1 of 2")
    assert [ax.get_title(loc="left") for ax in made.axes] == ["price, drifted", "age"]
    assert [bar.get_height() for bar in made.axes[0].patches[:2]] == [0.5, 0.5]
    assert made._repr_png_().startswith(b"\x89PNG")


def test_boxes_hold_names_and_counts():
    ax = draw_boxes(
        [("retrieve", ["merge.a", "merge.b"]), ("fallback", ["popular"])], {"merge.a": "40"}, None
    )
    assert texts(ax) == ["retrieve", "a", "40", "b", "fallback", "popular"]
    assert len(ax.patches) == 3


def test_rates_over_two_powers_of_ten_have_logarithmic_axes():
    weight = np.array([1.0, 4.0])
    ax = draw_reliability(np.array([0.1, 0.5]), np.array([0.2, 0.4]), weight, None)
    assert (ax.get_xscale(), ax.get_xlim(), ax.get_ylim()) == ("linear", (0.0, 0.54), (0.0, 0.54))
    assert list(ax.lines[0].get_xdata()) == [0.0, 0.54] == list(ax.lines[0].get_ydata())
    assert ax.lines[1].get_ydata().tolist() == [0.2, 0.4]
    np.testing.assert_allclose(ax.collections[0].get_sizes(), [36.0, 96.0])
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
