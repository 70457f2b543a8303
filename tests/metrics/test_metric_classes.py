"""Metrics as users meet them: names, definitions, plain lists, edge cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from recokit._utils.params import clone, get_params
from recokit.data import Categorical, Ragged, Schema, Table, Vocabulary
from recokit.errors import ConfigurationError, DataError
from recokit.metrics import (
    MAP,
    MRR,
    NDCG,
    CatalogCoverage,
    HitRate,
    IntraListDiversity,
    MatchedLists,
    Precision,
    Recall,
    parse,
)

ACCURACY = [NDCG(10), Recall(10), Precision(10), MAP(10), MRR(10), HitRate(10)]


def test_the_hand_check_of_the_definitions():
    lists, truth = [["x", "hit2", "y", "z", "hit5"]], [["hit2", "hit5", "elsewhere"]]
    assert NDCG(10)(lists, truth) == pytest.approx(0.4776, abs=5e-5)
    assert Recall(10)(lists, truth) == pytest.approx(2 / 3)
    assert Precision(10)(lists, truth) == pytest.approx(2 / 10)
    assert MAP(10)(lists, truth) == pytest.approx((1 / 2 + 2 / 5) / 3)
    assert MRR(10)(lists, truth) == pytest.approx(1 / 2)
    assert HitRate(10)(lists, truth) == 1.0


@pytest.mark.parametrize("metric", ACCURACY, ids=lambda metric: metric.name)
def test_an_empty_list_counts_zero_and_a_user_without_truth_not_at_all(metric):
    lists, truth = [["a"], [], ["a"]], [["a"], ["a"], []]
    values = metric.per_user(MatchedLists.from_lists(lists, truth))
    assert values[0] > 0
    assert values[1] == 0
    assert math.isnan(values[2])
    assert metric(lists, truth) == pytest.approx(values[:2].mean())


@pytest.mark.parametrize("metric", ACCURACY, ids=lambda metric: metric.name)
def test_a_repeated_item_is_not_counted_twice(metric):
    once = metric(([["a", "b", "c"]]), [["a", "q"]])
    assert metric([["a", "a", "a"]], [["a", "q"]]) == once


@pytest.mark.parametrize("metric", [NDCG(2), Recall(2), MAP(2)], ids=lambda metric: metric.name)
def test_an_item_outside_the_catalogue_counts_in_the_denominator(metric):
    offsets = np.array([0, 2])
    inside = metric.value(MatchedLists.from_arrays(offsets, [1, 2], np.array([0, 1]), [1]))
    outside = metric.value(MatchedLists.from_arrays(offsets, [1, 2], offsets, [1, 0]))
    assert outside < inside == 1.0


def test_an_unknown_item_in_a_list_takes_a_place_and_is_never_relevant():
    matched = MatchedLists.from_arrays([0, 2], [0, 5], [0, 2], [0, 5])
    assert matched.hits.rank.tolist() == [2]
    assert matched.n_relevant.tolist() == [2]


def test_recall_is_over_all_relevant_items_but_map_and_ndcg_over_those_that_fit():
    lists, truth = [["a"]], [["a", "b", "c", "d"]]
    assert Recall(1)(lists, truth) == 0.25
    assert NDCG(1)(lists, truth) == MAP(1)(lists, truth) == 1.0


def test_short_lists_are_not_flattered():
    assert Precision(10)([["a"]], [["a"]]) == 0.1
    assert NDCG(10)([["a"]], [["a", "b"]]) < 1


def test_relevant_items_below_place_k_do_not_count():
    for metric in (NDCG(2), Recall(2), Precision(2), MAP(2), MRR(2), HitRate(2)):
        assert metric([["x", "y", "a"]], [["a"]]) == 0


def test_graded_gains_choose_the_better_order():
    truth = [{"best": 3.0, "good": 1.0, "not": 0.0}]
    for gains in ("linear", "exponential"):
        metric = NDCG(10, gains=gains)
        assert metric([["best", "good"]], truth) == pytest.approx(1.0)
        assert metric([["good", "best"]], truth) < 1
    assert NDCG(10)([["good", "best"]], truth) == pytest.approx(1.0)
    weighted = NDCG(10, gains="exponential")([["good", "best"]], truth)
    assert weighted == pytest.approx((1 + 7 / math.log2(3)) / (7 + 1 / math.log2(3)))
    assert Recall(10)([["not"]], truth) == 0


def test_plain_collections_of_any_kind_give_the_same():
    lists, truth = [[7, 0, 3], [5, 7, 1]], [[0, 9], [1]]
    expected = NDCG(3)(lists, truth)
    assert NDCG(3)(np.array(lists), truth) == expected
    assert NDCG(3)([np.array(row) for row in lists], [np.array(row) for row in truth]) == expected
    assert NDCG(3)([tuple(row) for row in lists], [set(row) for row in truth]) == expected
    assert NDCG(3)(lists, [dict.fromkeys(truth[0], 1.0), truth[1]]) == expected
    assert NDCG(3)([list(map(str, row)) for row in lists], [list(map(str, row)) for row in truth]) == expected
    assert NDCG(3)([[-7, 10**15]], [[10**15]]) == pytest.approx(1 / math.log2(3))


def test_no_lists_and_no_truth_have_no_mean():
    assert math.isnan(NDCG(3)([], []))
    assert math.isnan(NDCG(3)([["a"]], [[]]))
    assert NDCG(3)([[]], [["a"]]) == 0


def test_bad_input_says_what_was_found():
    with pytest.raises(DataError, match="2 lists and 1 truths"):
        MatchedLists.from_lists([["a"], ["b"]], [["a"]])
    with pytest.raises(DataError, match=r"item codes.*from -1.*from_lists"):
        MatchedLists.from_arrays([0, 1], [-1], [0, 1], [1])
    with pytest.raises(DataError, match="found gain nan"):
        MatchedLists.from_arrays([0, 1], [1], [0, 1], [1], truth_gains=[np.nan])
    with pytest.raises(DataError, match="found gain -1"):
        MatchedLists.from_lists([["a"]], [{"a": -1.0}])
    with pytest.raises(DataError, match=r"gains of shape \(1,\)"):
        MatchedLists.from_arrays([0, 1], [1], [0, 2], [1, 2], truth_gains=[1.0])
    with pytest.raises(DataError, match="expected all integers or all text"):
        MatchedLists.from_lists([["a"]], [[1]])


def test_lists_are_not_changed():
    arrays = [np.array(values) for values in ([0, 2], [3, 4], [0, 3], [4, 3, 4], [1.0, 2.0, 3.0])]
    for array in arrays:
        array.flags.writeable = False
    matched = MatchedLists.from_arrays(*arrays)
    for metric in (*ACCURACY, NDCG(10, gains="linear")):
        metric.per_user(matched)


@pytest.mark.parametrize(
    "metric", [*ACCURACY, NDCG(5, gains="linear"), CatalogCoverage(7)], ids=lambda m: m.name
)
def test_a_name_gives_the_metric_back(metric):
    again = parse(metric.name)
    assert repr(again) == repr(metric)
    assert again.name == metric.name
    assert get_params(clone(metric)) == get_params(metric)
    assert metric.definition


def test_names_with_a_column():
    metric = parse("IntraListDiversity@10:category")
    assert (metric.k, metric.by, metric.name) == (10, "category", "IntraListDiversity@10:category")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NDGC@10", "did you mean 'NDCG'"),
        ("ndcg@10", "did you mean 'NDCG'"),
        ("Accuracy@10", "known names: APLT, ARP, AUC, CatalogCoverage"),
        ("NDCG", "such as 'NDCG@10'"),
        ("NDCG@ten", "such as 'NDCG@10'"),
        ("NDCG@0", "found k=0"),
        ("NDCG@10:cubic", "found gains='cubic'"),
        ("Recall@10:linear", "expected one of over, such as 'Recall@10:over=...'"),
        ("MRR@10:linear", "expected none, such as 'MRR@10'"),
        ("IntraListDiversity@10", "'IntraListDiversity@10:category'"),
        ("Miscalibration@10:alpha=0.1", "'Miscalibration@10:category'"),
        ("MAP@10:over=all", "found over='all'"),
    ],
)
def test_wrong_names_are_answered_with_the_right_one(name, message):
    with pytest.raises(ConfigurationError, match=message):
        parse(name)


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "10"])
def test_k_is_a_whole_number_from_one(k):
    with pytest.raises(ConfigurationError, match="expected a whole number of at least 1"):
        Recall(k)


def test_coverage_counts_distinct_items_within_k():
    lists = [["a", "b", "c"], ["b", "a", "d"], []]
    assert CatalogCoverage(2, n_items=8)(lists) == 0.25
    assert CatalogCoverage(3, n_items=8)(lists) == 0.5
    unknown = MatchedLists.from_arrays([0, 2], [0, 3], n_items=4)
    assert CatalogCoverage(2).value(unknown) == 0.25


def test_coverage_needs_the_size_of_the_catalogue():
    with pytest.raises(ConfigurationError, match=r"CatalogCoverage\(2, n_items=1000\)"):
        CatalogCoverage(2)([["a"]])
    with pytest.raises(ConfigurationError, match="found n_items=0"):
        CatalogCoverage(2, n_items=0)


def naive_diversity(items, k, similarity):
    pairs = list(itertools.combinations(items[:k], 2))
    return np.mean([1 - similarity(a, b) for a, b in pairs]) if pairs else np.nan


def test_diversity_agrees_with_a_loop_over_pairs():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(21, 4))
    vectors[2] = 0.0
    labels = rng.integers(0, 4, 21)
    lists = [rng.permutation(np.arange(1, 21))[:n] for n in (0, 1, 2, 5, 12)]
    matched = MatchedLists(Ragged.from_lists(lists), Ragged.empty(5))
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    for by, similarity in (
        (vectors, lambda a, b: unit[a] @ unit[b]),
        (labels, lambda a, b: labels[a] == labels[b]),
        (np.array([f"label {label}" for label in labels]), lambda a, b: labels[a] == labels[b]),
    ):
        expected = [naive_diversity(row, 8, similarity) for row in lists]
        np.testing.assert_allclose(IntraListDiversity(8, by=by).per_user(matched), expected, atol=1e-12)


def test_diversity_of_labels_with_missing_ones_and_items_beyond_the_table():
    categorical = Categorical(np.array([0, 1, 1, 2]), Vocabulary(["tool", "toy"]))
    assert IntraListDiversity(5, by=categorical)([[1, 2], [1, 3]]) == 0.5
    objects = np.array([None, "tool", "tool", None], object)
    assert IntraListDiversity(5, by=objects)([[1, 2], [1, 3], [3, 99]]) == pytest.approx(1 / 3)


def test_diversity_by_a_column_needs_a_table():
    metric = IntraListDiversity(5, by="category")
    with pytest.raises(ConfigurationError, match="found by='category' without item columns"):
        metric([[1, 2]])
    table = Table(
        2,
        np.zeros((3, 0), np.float32),
        (),
        {"category": Categorical(np.array([0, 1, 2]), Vocabulary(["a", "b"]))},
    )
    schema = Schema(Vocabulary([1, 2]), Vocabulary([1]), table, Table.empty(1))
    assert metric.bind(schema)([[1, 2]]) == 1.0
    assert metric.features_ is None
    with pytest.raises(ConfigurationError, match="did you mean 'category'"):
        IntraListDiversity(5, by="categry").bind(schema)


@pytest.mark.parametrize("by", [np.zeros((3, 2, 2)), np.zeros(0), np.array([["a", "b"]])])
def test_diversity_by_something_else_is_refused(by):
    with pytest.raises(ConfigurationError, match="expected labels"):
        IntraListDiversity(5, by=by)


def test_diversity_of_no_lists():
    matched = MatchedLists(Ragged.empty(2), Ragged.empty(2))
    for by in (np.array([0, 1]), np.zeros((2, 3))):
        assert np.isnan(IntraListDiversity(5, by=by).per_user(matched)).all()
