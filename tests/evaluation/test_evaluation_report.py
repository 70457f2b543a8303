"""Evaluation, Evaluations, paired comparison and the intervals behind them."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.data import Vocabulary
from recokit.errors import ConfigurationError
from recokit.evaluation import Difference, Evaluations, compare, evaluate, mean_interval
from recokit.result import Recommendations


def top(lists, n_items=50):
    """Recommendations for users 1..U from item codes (U, k), whose ids are the codes."""
    lists = np.asarray(lists)
    n_users, k = lists.shape
    return Recommendations(
        users=np.arange(1, n_users + 1),
        offsets=np.arange(n_users + 1) * k,
        item=lists.ravel(),
        score=np.ones(lists.size, np.float32),
        columns={},
        sources=((),) * lists.size,
        status=np.zeros(n_users, np.int64),
        reasons=((),) * n_users,
        item_ids=Vocabulary(np.arange(1, n_items + 1)),
    )


@pytest.fixture(scope="module")
def several():
    """400 users with one relevant item; "good" finds it for 60% of them, "bad" for half of those."""
    rng = np.random.default_rng(0)
    relevant = rng.integers(1, 41, 400)
    found = rng.random(400) < 0.6
    also = found & (rng.random(400) < 0.5)
    good = np.stack([np.full(400, 50), np.where(found, relevant, 41)], axis=1)
    bad = np.stack([np.full(400, 50), np.where(also, relevant, 41)], axis=1)
    truth = {user: [item] for user, item in enumerate(relevant.tolist(), 1)}
    by = {user: "odd" if user % 2 else "even" for user in truth}
    result = evaluate({"good": top(good), "bad": top(bad)}, truth, ["HitRate@2", "CatalogCoverage@2"], by=by)
    return result, found, also


def test_the_paired_difference_is_the_mean_of_differences(several):
    result, found, also = several
    difference = result.compare("good", "bad", "HitRate@2")
    expected = found.astype(float) - also
    assert difference.mean == pytest.approx(expected.mean(), abs=1e-6)
    _, low, high, _ = mean_interval(expected)
    assert (difference.low, difference.high) == pytest.approx((low, high), abs=1e-6)
    assert difference.p_value < 1e-6
    assert 0 < difference.detectable < difference.mean
    assert (difference.n, difference.n_unpaired, difference.clear) == (400, 0, True)
    back = result.compare("bad", "good", "HitRate@2")
    assert (back.mean, back.low, back.high) == (-difference.mean, -difference.high, -difference.low)
    assert str(difference).startswith("HitRate@2 (all), good - bad: +0.")
    assert str(difference).endswith("at 95%, 400 users, clear of zero")


def test_pairing_is_sharper_than_two_intervals_side_by_side(several):
    result, _, _ = several
    paired = result.compare("good", "bad", "HitRate@2")
    alone = result["good"]["HitRate@2"]
    assert paired.high - paired.low < alone.high - alone.low


def test_a_comparison_within_a_segment(several):
    result, found, also = several
    odd = np.arange(1, 401) % 2 == 1
    difference = result.compare("good", "bad", "HitRate@2", segment="odd")
    assert difference.mean == pytest.approx((found[odd].mean() - also[odd].mean()), abs=1e-6)
    assert difference.n == 200
    same = result.compare("good", "good", "HitRate@2")
    assert (same.mean, same.low, same.high, same.clear) == (0, 0, 0, False)
    assert "cannot tell from zero" in str(same)


def test_users_of_one_side_only_are_left_out_and_counted():
    truth = {1: [7], 2: [7], 3: [8], 4: [8]}
    lists = [[7], [9], [8], [8]]
    a = evaluate(top(lists), truth, ["HitRate@1"], users=[1, 2, 3])
    b = evaluate(top(lists), truth, ["HitRate@1"], users=[4, 3, 2])
    difference = compare(a, b, "HitRate@1")
    assert (difference.mean, difference.n, difference.n_unpaired) == (0.0, 2, 2)


def test_what_cannot_be_compared(several):
    result, _, _ = several
    with pytest.raises(ConfigurationError, match="no values of single users for 'CatalogCoverage@2'"):
        result.compare("good", "bad", "CatalogCoverage@2")
    with pytest.raises(ConfigurationError, match="did you mean 'good'"):
        result.compare("god", "bad", "HitRate@2")
    with pytest.raises(ConfigurationError, match="did you mean 'HitRate@2'"):
        result.compare("good", "bad", "HitRate@3")
    with pytest.raises(ConfigurationError, match="did you mean 'even'"):
        result.compare("good", "bad", "HitRate@2", segment="evn")
    with pytest.raises(ConfigurationError, match="known names: all, even, odd"):
        result["good"]["HitRate@2", "weekly"]


def test_several_are_a_mapping_by_name(several):
    result, found, _ = several
    assert isinstance(result, Evaluations)
    assert list(result) == ["good", "bad"]
    assert len(result) == 2
    assert float(result["good"]["HitRate@2"]) == pytest.approx(found.mean())
    assert [record["name"] for record in result.to_records()] == ["good"] * 6 + ["bad"] * 6


def test_the_table_for_reading(several):
    result, _, _ = several
    lines = str(result).splitlines()
    assert lines[0] == "400 users with relevant items, lists of 2, means with 95% intervals"
    assert lines[1].split() == ["name", "segment", "users", "HitRate@2", "CatalogCoverage@2"]
    assert [line.split()[:3] for line in lines[2:8]] == [
        ["good", "all", "400"],
        ["bad", "all", "400"],
        ["good", "even", "200"],
        ["bad", "even", "200"],
        ["good", "odd", "200"],
        ["bad", "odd", "200"],
    ]
    good = result["good"]["HitRate@2"]
    assert f"{good.mean:.4f} [{good.low:.4f}, {good.high:.4f}]" in lines[2]
    assert "HitRate@2: 1 with at least one hit, else 0" in lines
    single = str(result["good"]).splitlines()
    assert [line.split()[:2] for line in single[2:5]] == [["all", "400"], ["even", "200"], ["odd", "200"]]


def test_the_page_for_notebooks(several):
    result, _, _ = several
    for html in (result._repr_html_(), result["good"]._repr_html_()):
        assert html.count("<tr>") in (7, 4)
        assert "CatalogCoverage@2" in html


def test_a_score_without_interval_or_value_is_shown_as_such():
    found = evaluate(top([[7], [8]]), {1: [7], 2: [9]}, ["HitRate@1"], by={1: "a", 3: "c"})
    assert str(found["HitRate@1", "a"]) == "1.0000"
    assert found.segments == ("all", "a")
    assert "1.0000" in str(found)


def test_a_difference_below_zero_is_clear_too():
    assert Difference("a", "b", "m", "all", -0.2, -0.3, -0.1, 9, 0, 0.95).clear
    assert not Difference("a", "b", "m", "all", -0.2, np.nan, np.nan, 1, 0, 0.95).clear


def test_sampled_candidates_are_called_so():
    """Lists of 30 of 500 items: with the relevant one always among them, or among them as often as a model finds it."""
    rng = np.random.default_rng(0)
    lists = np.argsort(rng.random((250, 500)), axis=1)[:, :30] + 1
    relevant = {user: [int(rng.choice(row))] for user, row in enumerate(lists, 1)}
    sampled = evaluate(top(lists, 500), relevant, ["NDCG@10"], chunk_size=100)
    assert sampled.sampled
    assert "recommendations: WARNING: every list holds all that is relevant" in str(sampled)
    assert sampled.to_dict()["sampled"] is True
    missed = {**relevant, 7: [int(np.setdiff1d(np.arange(1, 501), lists[6])[0])]}
    full = evaluate(top(lists, 500), missed, ["NDCG@10"])
    assert not full.sampled
    assert "WARNING" not in str(full)
    ranked = np.argsort(rng.random((250, 40)), axis=1) + 1  # everything there is
    assert not evaluate(top(ranked, 40), {user: [7] for user in range(1, 251)}, ["NDCG@10"]).sampled
