"""What each metric promises of itself: its range, what it reads, what its options are by default."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from recokit.errors import ConfigurationError, DataError
from recokit.metrics import (
    APLT,
    ARP,
    AUC,
    ERR,
    MAP,
    MRR,
    NDCG,
    RBP,
    CatalogCoverage,
    Entropy,
    ExposureGap,
    Gini,
    HitRate,
    IntraListDiversity,
    MatchedLists,
    Miscalibration,
    Novelty,
    Personalization,
    PopularityLift,
    Precision,
    Recall,
    RepeatShare,
    RPrecision,
    Serendipity,
    Staleness,
    Stream,
    Unexpectedness,
    UserCoverage,
    UserMetric,
    expected_calibration_error,
    exposure_by_group,
    exposure_gap,
    gauc,
    reliability,
    report,
)
from recokit.metrics.base import Exposure, mean_of
from recokit.metrics.popularity import at

LABELS = np.array(["", "a", "b"])
INF = math.inf

#: Metrics of a user, with the smallest and largest possible value.
BOUNDS: dict[type[UserMetric], tuple[float, float]] = {
    **dict.fromkeys((NDCG, Recall, Precision, RPrecision, MAP, MRR, HitRate, RBP, ERR, AUC), (0.0, 1.0)),
    **dict.fromkeys((APLT, Unexpectedness, Serendipity, RepeatShare, Staleness, UserCoverage), (0.0, 1.0)),
    Novelty: (0.0, INF),
    ARP: (0.0, INF),
    PopularityLift: (-1.0, INF),
    IntraListDiversity: (0.0, 2.0),
    Miscalibration: (0.0, INF),
}
OF_CATALOGUE = (CatalogCoverage, Gini, Entropy, Personalization, ExposureGap)
READ_THE_PAST = (Novelty, ARP, APLT, PopularityLift, Unexpectedness, Serendipity, RepeatShare, Miscalibration)
OF_LABELS = (IntraListDiversity, Miscalibration, ExposureGap)


def made(kind: Any) -> Any:
    return kind(3, by=LABELS) if kind in OF_LABELS else kind(3)


@pytest.mark.parametrize("kind", BOUNDS)
def test_intervals_of_a_metric_stay_within_its_bounds(kind: type[UserMetric]) -> None:
    metric = made(kind)
    assert metric.bounds == BOUNDS[kind]
    # Whatever it says of a list lies there.
    lists, truth = [[1, 2]], [[2]]
    past = {"history": [[1]], "popularity": {1: 2, 2: 1}, "previous": [[2]], "n_items": 5}
    matched = MatchedLists.from_lists(lists, truth, **past)  # type: ignore[arg-type]
    assert metric.bounds[0] <= metric.value(matched) <= metric.bounds[1]


@pytest.mark.parametrize("kind", [*BOUNDS, *OF_CATALOGUE])
def test_metrics_that_need_the_past_say_so_and_no_others_do(kind: Any) -> None:
    metric = made(kind)
    assert metric.needs_history == (kind in READ_THE_PAST)
    matched = MatchedLists.from_lists([[1, 2]], [[2]], previous=[[2]], n_items=5)
    if metric.needs_history:
        with pytest.raises(ConfigurationError, match=r"found no (history|popularity)"):
            metric.value(matched)
    else:
        metric.value(matched)


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        (NDCG(3), {"gains": "binary", "discount": "shifted", "over": "reachable"}),
        (Recall(3), {"over": "relevant"}),
        (Precision(3), {"over": "k"}),
        (MAP(3), {"over": "reachable"}),
        (RBP(3), {"p": 0.85, "gains": "binary"}),
        (ERR(3), {"max_gain": 1.0}),
        (AUC(3), {"n_items": None}),
        (UserCoverage(3), {"at_least": 1}),
        (Miscalibration(3, by=LABELS), {"alpha": 0.01}),
        (APLT(3), {"head": 0.8}),
        (Unexpectedness(3), {"n_popular": 100}),
        (Serendipity(3), {"n_popular": 100}),
        (ExposureGap(3, by=LABELS), {"merit": "relevant"}),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_options_left_out_are_as_documented(metric: Any, options: dict[str, Any]) -> None:
    assert {name: getattr(metric, name) for name in options} == options
    assert metric.name == f"{type(metric).__name__}@3"


def test_the_hundred_most_popular_items_are_expected_by_default() -> None:
    counts = {item: 1000 - item for item in range(200)}
    lists, past = [[98, 99, 100, 101]], [[]]
    assert Unexpectedness(4)(lists, popularity=counts, history=past) == 0.5
    assert Serendipity(4)(lists, [[99, 100]], popularity=counts, history=past) == 0.25


def test_fifteen_bins_of_equal_weight_by_default() -> None:
    p = np.arange(60) / 60
    outcome = np.arange(60) % 2
    found = reliability(p, outcome)
    assert found.count.tolist() == [4] * 15
    # Two of four rows happen in each bin, whose middle is its mean.
    expected = np.abs(0.5 - p.reshape(15, 4).mean(axis=1)).mean()
    assert found.ece == pytest.approx(expected)
    uneven = np.random.default_rng(3).random(60)
    each = {bins: expected_calibration_error(uneven, outcome, bins=bins) for bins in (14, 15, 16)}
    assert expected_calibration_error(uneven, outcome) == each[15] not in (each[14], each[16])


def test_the_middle_of_a_rows_weight_says_its_bin() -> None:
    weight = np.array([1.0, 3.0, 1.0, 1.0, 2.0])  # middles at 1/16, 5/16, 9/16, 11/16 and 14/16
    found = reliability([0.1, 0.2, 0.3, 0.4, 0.5], [0, 0, 1, 0, 1], weight=weight, bins=4)
    assert found.count.tolist() == [1, 1, 2, 1]
    assert found.weight.tolist() == [1.0, 3.0, 2.0, 2.0]
    np.testing.assert_allclose(found.predicted, [0.1, 0.2, 0.35, 0.5])
    np.testing.assert_allclose(found.observed, [0.0, 0.0, 0.5, 1.0])


def test_a_row_of_hardly_any_weight_gets_no_bin_beyond_the_last() -> None:
    assert reliability([0.1, 0.9], [0, 1], weight=[1.0, 1e-20], bins=1).count.tolist() == [2]
    assert reliability([0.5, 1.0], [0, 1], bins=4, by="uniform").count.tolist() == [1, 1]


def test_a_certain_prediction_that_fails_costs_a_finite_loss() -> None:
    for p, outcome in ((0.0, 1.0), (1.0, 0.0)):
        assert reliability([p], [outcome]).log_loss == pytest.approx(-math.log(1e-15), rel=1e-2)
    assert reliability([0.0, 1.0], [0, 1]).log_loss == pytest.approx(0.0, abs=1e-14)


def test_exposures_add_up_whatever_their_lengths() -> None:
    nothing = Exposure.none()
    assert (nothing.counts.tolist(), nothing.n_lists, nothing.merit.tolist()) == ([0.0], 0, [0.0])
    one = Exposure(np.array([1.0, 2.0]), 3, np.array([0.0, 0.0, 5.0]))
    two = Exposure(np.array([0.0, 1.0, 4.0, 8.0]), 4, np.array([1.0]))
    for total in (one + two, two + one, nothing + one + two):
        assert total.counts.tolist() == [1.0, 3.0, 4.0, 8.0]
        assert (total.n_lists, total.merit.tolist()) == (7, [1.0, 0.0, 5.0])
    assert one.counts.tolist() == [1.0, 2.0]  # adding changes neither


def test_an_exposure_among_some_items_keeps_its_lists() -> None:
    whole = Exposure(np.array([1.0, 2.0, 3.0]), 4, np.array([1.0, 1.0, 1.0, 6.0]))
    part = whole.of(np.array([2, 3, 4, 9]))
    assert (part.counts.tolist(), part.merit.tolist(), part.n_lists) == ([0, 0, 3], [0, 0, 1, 6], 4)


def test_exposure_counts_places_and_lists_that_show_something() -> None:
    matched = MatchedLists.from_arrays([0, 3, 3, 4], [2, 0, 1, 2])
    found = Gini(2).exposure(matched)
    assert (found.counts.tolist(), found.n_lists) == ([1.0, 0.0, 2.0], 2)


def test_a_mean_leaves_out_what_is_not_defined() -> None:
    assert mean_of(np.array([1.0, math.nan, 3.0])) == 2.0
    assert math.isnan(mean_of(np.array([math.nan])))


def test_a_report_counts_users_with_and_without_a_value_and_their_spread() -> None:
    lists, truth = [["a"], ["a"], ["b", "a"], ["a"]], [["a"], ["b"], ["a"], []]
    matched = MatchedLists.from_lists(lists, truth)
    figure = report(matched, ["MRR@2"])["MRR@2"]
    values = [1.0, 0.0, 0.5]
    assert (figure.n, figure.n_undefined, float(figure)) == (3, 1, pytest.approx(np.mean(values)))
    assert figure.std == pytest.approx(np.std(values, ddof=1))
    stream = Stream(["MRR@2", "Personalization@2"])
    for row in range(4):
        stream.add(matched.rows(np.array([row])))
    parts = stream.report()
    assert parts["MRR@2"].std == pytest.approx(figure.std) and parts["MRR@2"].n == 3
    assert (parts["Personalization@2"].n, parts["Personalization@2"].n_undefined) == (4, 0)
    assert math.isnan(parts["Personalization@2"].std)
    assert str(parts).splitlines()[0] == "2 metrics of 4 users"


def test_one_user_has_a_value_and_no_spread() -> None:
    figure = report(MatchedLists.from_lists([["a"]], [["a"]]), ["MRR@2"])["MRR@2"]
    assert figure.value == 1.0 and math.isnan(figure.std)
    nobody = report(MatchedLists.from_lists([["a"]], [[]]), ["MRR@2"])
    assert math.isnan(nobody["MRR@2"].value) and nobody["MRR@2"].n_undefined == 1
    assert str(nobody).splitlines()[2].split()[:4] == ["MRR@2", "-", "0", "1"]


def test_nothing_is_known_of_unknown_items_and_those_beyond_the_end() -> None:
    assert at(np.array([5.0, 1.0, 7.0]), np.array([0, 1, 2, 3])).tolist() == [0.0, 1.0, 7.0, 0.0]


@pytest.mark.parametrize("kind", [Unexpectedness, Serendipity])
def test_at_least_one_item_is_popular(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="n_popular=0"):
        kind(3, n_popular=0)
    assert kind(3, n_popular=1).name == f"{kind.__name__}@3:n_popular=1"


def test_nobody_looks_beyond_the_last_place_with_an_examination() -> None:
    group = np.array([0, 1, 2])
    found = exposure_by_group([[1, 2, 1, 1], []], group, examination=np.array([1.0, 0.5]))
    assert found.tolist() == [0.0, 1.0, 0.5]
    found = exposure_by_group([[2], [1, 2]], group)
    np.testing.assert_allclose(found, [0.0, 1.0, 1.0 + 1 / np.log2(3)])
    assert exposure_by_group([[2]], group).shape == (3,)
    with pytest.raises(DataError, match="found item code 3; expected at most 2"):
        exposure_by_group([[3]], group)


def test_a_gap_is_a_part_of_what_is_due_and_nothing_is_due_to_some() -> None:
    gap = exposure_gap([2.0, 0.0, 2.0], [3.0, 1.0, 0.0])
    np.testing.assert_allclose(gap, [0.5 / 0.75 - 1, -1.0, np.nan])
    for shown, due in (([-1.0, 1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, -1.0])):
        with pytest.raises(DataError, match="below 0"):
            exposure_gap(shown, due)
    for shown, due in (([1.0], [1.0, 1.0]), ([[1.0]], [[1.0]])):
        with pytest.raises(DataError, match="one value a group"):
            exposure_gap(shown, due)


def test_ids_of_two_kinds_are_named_by_their_first_rows() -> None:
    lists, truth = {"user": [1, 2], "item": [1, 2]}, {"user": ["ann", "bob"], "item": [1, 2]}
    with pytest.raises(DataError, match=r"as 'ann'"):
        MatchedLists.from_frames(lists, truth)


def test_users_may_come_in_any_sequence_but_as_one_text() -> None:
    expected = gauc(["a", "a", "b", "b"], [2, 1, 1, 2], [1, 0, 1, 0])
    assert expected == 0.5
    for users in (("a", "a", "b", "b"), np.array(["a", "a", "b", "b"]), [7, 7, 3, 3], np.array([7, 7, 3, 3])):
        assert gauc(users, [2, 1, 1, 2], [1, 0, 1, 0]) == expected
    with pytest.raises(DataError, match="found 'aabb' for a sequence of ids"):
        gauc("aabb", [2, 1, 1, 2], [1, 0, 1, 0])
