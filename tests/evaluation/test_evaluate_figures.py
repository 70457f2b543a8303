"""Figures of evaluate and of comparisons against numbers computed another way, and options at their edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recokit.data import Dataset, Ragged
from recokit.errors import ConfigurationError, DataError
from recokit.evaluation import Comparison, Difference, Evaluation, compare, compare_all, evaluate
from recokit.evaluation.truth import Truth
from tests.evaluation.made import evaluation
from tests.evaluation.test_evaluate_runs import ITEMS, LISTS, TRUTH, Lookup, log, made
from tests.evaluation.test_evaluation_report import top


@pytest.mark.parametrize(
    ("n_users", "places", "n_items", "sampled"),
    [
        (200, 20, 41, True),
        (199, 20, 41, False),  # too few to tell
        (200, 19, 41, False),  # shorter than any sample
        (200, 20, 40, False),  # half of the catalogue
    ],
)
def test_when_lists_look_sampled(n_users, places, n_items, sampled):
    lists = np.tile(np.arange(1, places + 1), (n_users, 1))
    truth = {user: [user % places + 1] for user in range(1, n_users + 1)}
    assert evaluate(top(lists, n_items), truth, ["NDCG@10"]).sampled is sampled


def test_users_without_a_list_do_not_hide_a_sample():
    lists = np.tile(np.arange(1, 21), (200, 1))
    truth = {user: [user % 20 + 1] for user in range(1, 203)}  # two of them have no list
    found = evaluate(top(lists, 60), truth, ["NDCG@10"])
    assert found.sampled
    assert found.statuses["MISSING"] == 2


def test_scores_and_intervals_of_each_segment():
    rng = np.random.default_rng(0)
    hits = rng.random(300) < 0.4
    lists = np.where(hits, 7, 8)[:, None]
    by = {user: ["low", "high"][user % 3 > 0] for user in range(1, 301) if user % 5}
    found = evaluate(top(lists), {user: [7] for user in range(1, 301)}, ["HitRate@1"], by=by, confidence=0.8)
    assert found.segments == ("all", "high", "low")
    assert (found.confidence, found.k) == (0.8, 1)
    users = np.arange(1, 301)
    inside = {
        "all": users > 0,
        "high": (users % 5 > 0) & (users % 3 > 0),
        "low": (users % 5 > 0) & (users % 3 == 0),
    }
    assert found.segment.tolist() == [0 if u % 5 == 0 else 1 if u % 3 else 2 for u in users]
    for segment, rows in inside.items():
        score = found["HitRate@1", segment]
        assert (score.mean, score.n) == (pytest.approx(hits[rows].mean()), rows.sum())
        student = stats.t.interval(0.8, rows.sum() - 1, hits[rows].mean(), stats.sem(hits[rows]))
        assert (score.low, score.high) == pytest.approx(student, abs=0.005)  # hardly skewed
        assert score.few is bool(rows.sum() < 200)


def test_bounds_of_the_metric_limit_the_interval():
    found = evaluate(top([[7], [8], [7]]), {1: [7], 2: [7], 3: [7]}, ["HitRate@1"])["HitRate@1"]
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_defaults():
    lookup = Lookup(LISTS, ITEMS)
    found = evaluate(lookup, TRUTH)
    assert found.metrics == ("NDCG@10", "Recall@50", "MAP@10")
    assert (found.k, found.confidence, found.now) == (50, 0.95, None)
    assert (found.name, found.segments) == ("lookup", ("all",))
    assert lookup.asked[0]["seed"] == 0
    assert evaluate(made(LISTS, ITEMS), TRUTH).name == "recommendations"
    assert evaluate(lookup, TRUTH, ["NDCG@3", "HitRate@2"]).k == 3
    assert evaluate(lookup, TRUTH, ["NDCG@3"], k=3).k == 3


def test_a_thousand_and_twenty_four_users_are_asked_for_at_a_time():
    lookup = Lookup({}, [1, 2])
    evaluate(lookup, {user: [1] for user in range(1, 1026)}, ["HitRate@1"])
    assert [len(one["users"]) for one in lookup.asked] == [1024, 1]


def test_metrics_of_the_past_read_the_history_before_the_request():
    before = [("ann", "fig", 1.0), ("ann", "fig", 2.0), ("ann", "kiwi", 3.0), ("bob", "lime", 4.0)]
    late = [("ann", "pear", 50.0), ("bob", "pear", 60.0), ("zed", "pear", 70.0)]
    history = Dataset.from_frame(log(before + late))
    for items in (ITEMS, ITEMS[::-1]):
        found = evaluate(
            made(LISTS, items),
            TRUTH,
            ["RepeatShare@3", "ARP@3"],
            history=history,
            now=10.0,
            users=["ann", "bob", "dan"],
        )
        # Ann's list is pear, fig, kiwi: two of three she had. Bob's is lime, pear: one of two. Dan has no list.
        np.testing.assert_allclose(found.values("RepeatShare@3"), [2 / 3, 1 / 2, np.nan])
        np.testing.assert_allclose(found.values("ARP@3"), [(0 + 2 + 1) / 3, (1 + 0) / 2, np.nan])
        assert (found["ARP@3"].mean, found["ARP@3"].n) == (pytest.approx(0.75), 2)
    everything = evaluate(made(LISTS, ITEMS), TRUTH, ["ARP@3"], history=history, now=1e9)
    assert everything.values("ARP@3")[0] == pytest.approx((3 + 2 + 1) / 3)


def test_several_recommenders_share_the_first_history_that_one_keeps():
    first, second = Lookup(LISTS, ITEMS), Lookup(LISTS, ITEMS)
    second.dataset = Dataset.from_frame(log([("ann", "fig", 1.0), ("ann", "kiwi", 9.0)])).split_at(5.0)[0]
    found = evaluate({"a": first, "b": second}, TRUTH, ["RepeatShare@3"])
    assert found["a"].values("RepeatShare@3")[0] == pytest.approx(1 / 3)
    assert first.asked[0]["now"] == second.asked[0]["now"] == 5.0


def test_a_truth_of_a_dataset_counts_users_once_and_knows_its_start():
    rows = [
        ("ann", "fig", 7.0),
        ("ann", "fig", 5.0),
        ("ann", "kiwi", 6.0),
        ("bob", "fig", 9.0),
        ("eve", "fig", 8.0),
    ]
    data = Dataset.from_frame(log(rows, weight=[1.0, 2.0, 0.0, 0.0, 3.0]))
    truth = Truth.of(data, None)
    assert truth.users.ids.tolist() == ["ann", "eve"]
    assert truth.lists.columns["gain"].tolist() == [2.0, 3.0]
    assert (truth.n_without, truth.start, len(truth)) == (1, 5.0, 2)
    assert (Truth.of(data, ["eve", "bob", "who"]).n_without, Truth.of(data, ["eve"]).n_without) == (2, 0)


def test_columns_of_a_ragged_truth_that_are_gains():
    base = Ragged.from_lists([[1, 2], [3]])
    gains = np.array([1.0, 2.0, 3.0])
    for name in ("gain", "weight"):
        truth = Truth.of(Ragged(base.offsets, base.values, {name: gains}), ["ann", "bob"])
        assert truth.lists.columns["gain"].tolist() == gains.tolist()
    both = Ragged(base.offsets, base.values, {"weight": gains * 2, "gain": gains})
    assert Truth.of(both, ["ann", "bob"]).lists.columns["gain"].tolist() == gains.tolist()
    assert Truth.of(base, ["ann", "bob"]).lists.columns["gain"].tolist() == [1.0, 1.0, 1.0]
    assert Truth.of(base, ["ann", "bob"]).start is None


def test_two_datasets_without_a_cut_use_the_first_event_of_the_truth():
    lookup = Lookup(LISTS, ITEMS)
    test = Dataset.from_frame(log([("ann", "fig", 30.0), ("bob", "lime", 20.0)]))
    assert evaluate(lookup, test, ["NDCG@3"]).now == 20.0
    assert evaluate(lookup, test, ["NDCG@3"], now=3.0).now == 3.0


# -- comparisons -----------------------------------------------------------------------------------


@pytest.fixture
def pair():
    """Users 1 to 6 in two segments; the second lacks a value of 2, and has another user."""
    segment = [1, 1, 1, 2, 2, 2]
    a = evaluation("a", [1.0, 0.5, 0.0, 1.0, 0.25, np.nan], segment=segment, segments=("all", "x", "y"))
    b = evaluation("b", [0.5, np.nan, 0.5, 0.5, 0.5, 1.0, 0.0], users=[1, 2, 3, 4, 5, 6, 9])
    return a, b


def test_a_difference_pairs_users(pair):
    a, b = pair
    values = np.array([0.5, -0.5, 0.5, -0.25])
    found = compare(a, b, "NDCG@10")
    # One has a value of user 2 only, the other of 6 and 9.
    assert (found.mean, found.n, found.n_unpaired) == (pytest.approx(values.mean()), 4, 3)
    reach = stats.t.ppf([0.975, 0.8], 3).sum()
    assert found.detectable == pytest.approx(reach * stats.sem(values))
    inside = compare(a, b, "NDCG@10", segment="x")
    assert (inside.mean, inside.n, inside.n_unpaired) == (0.0, 2, 1)
    other = compare(a, b, "NDCG@10", segment="y")
    assert (other.mean, other.n, other.n_unpaired, other.segment) == (0.125, 2, 1, "y")
    assert (found.a, found.b, found.metric, found.confidence) == ("a", "b", "NDCG@10", 0.95)
    assert found.few


def test_the_difference_that_several_tests_detect():
    rng = np.random.default_rng(0)
    base = rng.random(200)
    others = [evaluation(name, base + rng.normal(0, 0.1, 200)) for name in "xyz"]
    found = compare_all(evaluation("base", base), others, power=0.9)
    reach = stats.t.ppf([1 - 0.05 / 3 / 2, 0.9], 199).sum()
    for other, detectable in zip(others, found.detectable, strict=True):
        change = (other.per_user[:, 0].astype(float)) - base.astype(np.float32)
        assert detectable == pytest.approx(reach * stats.sem(change), rel=1e-4)
    assert (found.power, found.baseline, found.confidence) == (0.9, "base", 0.95)
    assert compare_all(evaluation("base", base), others).power == 0.8


def test_only_metrics_with_values_of_users_are_compared_by_default():
    values = np.column_stack([np.tile([0.0, 1.0], 50), np.full(100, np.nan)])
    base, other = (evaluation(name, values, metrics=("NDCG@10", "Gini@10")) for name in ("base", "other"))
    assert [one.metric for one in compare_all(base, [other]).differences] == ["NDCG@10"]


def test_better_needs_a_p_value_below_the_level():
    up = Difference("new", "old", "m", "all", 0.5, 0.1, 0.9, 9, 0, 0.5)
    down = Difference("bad", "old", "m", "all", -0.5, -0.9, -0.1, 9, 0, 0.5)

    def verdict(one, p):
        return Comparison("old", (one,), (p,), 0.5, 0.8, (0.1,)).better(one.a, "m")

    assert [verdict(up, 0.49), verdict(down, 0.49), verdict(up, 0.5), verdict(up, np.nan)] == [
        True,
        False,
        None,
        None,
    ]
    with pytest.raises(ConfigurationError, match="no comparison of 'new' by 'other'"):
        Comparison("old", (up,), (0.1,), 0.5, 0.8, (0.1,)).better("new", "other")


@pytest.mark.parametrize(
    ("low", "high", "clear"), [(0.1, 0.2, True), (-0.2, -0.1, True), (0.0, 0.1, False), (-0.1, 0.0, False)]
)
def test_an_interval_that_touches_zero_is_not_clear(low, high, clear):
    one = Difference("a", "b", "NDCG@10", "all", 0.5 * (low + high), low, high, 1234, 0, 0.9, few=True)
    assert one.clear is clear
    verdict = "clear of zero" if clear else "cannot tell from zero"
    assert str(one) == (
        f"NDCG@10 (all), a - b: {one.mean:+.4f} [{low:+.4f}, {high:+.4f}] at 90%, 1,234 users, which is few, {verdict}"
    )


def test_rows_of_a_comparison_say_the_verdict():
    base = evaluation("base", np.tile([0.0, 1.0], 300))
    better = evaluation("better", np.tile([0.25, 1.25], 300) + np.linspace(0, 0.1, 600))
    found = compare_all(base, [better, replace(base, name="same")])
    rows = [line.split() for line in str(found).splitlines()[2:4]]
    assert "* below" not in str(compare_all(base, [better]))
    assert rows[0][0] == "better" and rows[0][-1] == "better"
    assert "* below 200 users" in str(compare_all(evaluation("x", np.ones(9)), [evaluation("y", np.ones(9))]))
    assert rows[1][0] == "same" and rows[1][-2:] == ["cannot", "tell"]
    worse = compare_all(better, [base])
    assert str(worse).splitlines()[2].split()[-1] == "worse"
    assert "600" in rows[0]
    assert found.to_records()[1]["p_adjusted"] == 1.0


def test_values_by_the_users_of_another():
    one = evaluation("one", [0.1, 0.2, 0.3], users=["a", "b", "c"])
    other = evaluation("other", [0.0] * 4, users=["c", "x", "a", "b"])
    found = one.values_for("NDCG@10", other.users)
    np.testing.assert_allclose(found, [0.3, np.nan, 0.1, 0.2], rtol=1e-6)
    assert found.dtype == np.float64


def test_a_saved_file_holds_what_it_says(tmp_path):
    before = replace(
        evaluation("base", [[0.123456789, np.nan]] * 3, metrics=("a", "b"), k=7),
        n_without_truth=4, n_outside=5, sampled=True, statuses={"OK": 2, "MISSING": 1},
    )  # fmt: skip
    before.save(tmp_path / "x.json")
    after = Evaluation.load(tmp_path / "x.json")
    for name in ("name", "metrics", "segments", "definitions", "k", "now", "confidence", "n_without_truth", "n_outside",
                 "sampled", "statuses"):  # fmt: skip
        assert getattr(after, name) == getattr(before, name), name
    assert str(after.scores) == str(before.scores)
    np.testing.assert_array_equal(after.per_user, before.per_user)
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(DataError, match=r"expected a file of Evaluation\.save"):
        Evaluation.load(tmp_path / "x.json")


def test_odd_lists_are_told():
    one = replace(evaluation("one", [0.5, 0.5]), statuses={"OK": 1, "EMPTY": 1, "FAILED": 0}, n_outside=1200)
    notes = str(one).splitlines()[-1]
    assert notes == "one: 1 EMPTY, 1,200 lists of other users left out"
    assert "left out" not in str(evaluation("fine", [0.5, 0.5]))
