"""The ranking kernels against naive loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels.ranking_metrics import distinct_truth, find_hits, ideal_order
from recokit.metrics import MAP, MRR, NDCG, HitRate, MatchedLists, Precision, Recall

ITEM = st.integers(0, 6)
GAINED = st.tuples(ITEM, st.sampled_from([0.0, 0.5, 1.0, 3.0]))
ROW = st.tuples(st.lists(ITEM, max_size=8), st.lists(GAINED, max_size=8))
ROWS = st.lists(ROW, max_size=6)


def naive_truth(truth):
    """Relevant items with their gain; each unknown item is one of its own."""
    known, unknown = {}, []
    for item, gain in truth:
        if gain <= 0:
            continue
        if item == 0:
            unknown.append(gain)
        else:
            known[item] = max(gain, known.get(item, 0.0))
    return known, unknown


def naive_gains(shown, known):
    seen, gains = set(), []
    for item in shown:
        gains.append(known.get(item, 0.0) if item not in seen else 0.0)
        seen.add(item)
    return gains


def naive_ndcg(shown, truth, k, gain_of):
    known, unknown = naive_truth(truth)
    ideal = sorted([gain_of(gain) for gain in (*known.values(), *unknown)], reverse=True)[:k]
    if not ideal:
        return math.nan
    found = [gain_of(gain) if gain else 0.0 for gain in naive_gains(shown, known)][:k]
    return sum(g / math.log2(r + 1) for r, g in enumerate(found, 1)) / sum(
        g / math.log2(r + 1) for r, g in enumerate(ideal, 1)
    )


def naive_others(shown, truth, k):
    known, unknown = naive_truth(truth)
    n = len(known) + len(unknown)
    if n == 0:
        return dict.fromkeys(("recall", "precision", "map", "mrr", "hit"), math.nan)
    hits = [gain > 0 for gain in naive_gains(shown, known)][:k]
    ranks = [rank for rank, hit in enumerate(hits, 1) if hit]
    return {
        "recall": len(ranks) / n,
        "precision": len(ranks) / k,
        "map": sum(nth / rank for nth, rank in enumerate(ranks, 1)) / min(k, n),
        "mrr": 1 / ranks[0] if ranks else 0.0,
        "hit": float(bool(ranks)),
    }


def csr(rows):
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    return offsets.astype(np.int64), np.array([value for row in rows for value in row])


def matched_of(rows):
    list_offsets, shown = csr([row[0] for row in rows])
    truth_offsets, relevant = csr([[item for item, _ in row[1]] for row in rows])
    gains = csr([[gain for _, gain in row[1]] for row in rows])[1]
    return MatchedLists.from_arrays(
        list_offsets,
        shown.astype(np.int64),
        truth_offsets,
        relevant.astype(np.int64),
        truth_gains=gains.astype(float),
    )


@settings(max_examples=300, deadline=None)
@given(ROWS, st.integers(1, 9))
def test_every_metric_agrees_with_a_loop_over_users(rows, k):
    matched = matched_of(rows)
    gain_of = {"binary": lambda g: 1.0, "linear": lambda g: g, "exponential": lambda g: 2**g - 1}
    for gains, function in gain_of.items():
        expected = [naive_ndcg(*row, k, function) for row in rows]
        np.testing.assert_allclose(NDCG(k, gains=gains).per_user(matched), expected, rtol=1e-12)
    expected = [naive_others(*row, k) for row in rows]
    for key, metric in {
        "recall": Recall,
        "precision": Precision,
        "map": MAP,
        "mrr": MRR,
        "hit": HitRate,
    }.items():
        np.testing.assert_allclose(metric(k).per_user(matched), [row[key] for row in expected], rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_gain_of_each_list_element(rows):
    expected = [gain for shown, truth in rows for gain in naive_gains(shown, naive_truth(truth)[0])]
    assert matched_of(rows).gain.tolist() == expected


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_a_batch_equals_its_rows_one_by_one_exactly(rows):
    batch = matched_of(rows)
    for metric in (NDCG(5), NDCG(5, gains="linear"), MAP(5), Recall(5)):
        single = [metric.per_user(matched_of([row]))[0] for row in rows]
        np.testing.assert_array_equal(metric.per_user(batch), single)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_a_truth_made_canonical_stays_as_it_is(rows):
    truth = matched_of(rows).truth
    again = distinct_truth(truth.offsets, truth.values, truth.columns["gain"])
    assert again[0].tolist() == truth.offsets.tolist()
    assert again[1].tolist() == truth.values.tolist()
    assert again[2].tolist() == truth.columns["gain"].tolist()


@pytest.mark.parametrize("large", [2**40, 2**62 - 1])
def test_codes_too_large_to_pack_beside_a_row_are_matched_all_the_same(large):
    n_rows = 2**5
    offsets = np.arange(n_rows + 1)
    shown = np.full(n_rows, large)
    shown[3] = large - 1
    truth = distinct_truth(offsets, np.full(n_rows, large), np.ones(n_rows))
    hits = find_hits(offsets, shown, *truth)
    assert hits.row.tolist() == [row for row in range(n_rows) if row != 3]


def test_the_ideal_list_has_the_largest_gain_first():
    ideal = ideal_order(np.array([0, 3, 3, 4]), np.array([1.0, 3.0, 2.0, 0.5]))
    assert ideal.row.tolist() == [0, 0, 0, 2]
    assert ideal.rank.tolist() == [1, 2, 3, 1]
    assert ideal.gain.tolist() == [3.0, 2.0, 1.0, 0.5]


def test_hits_within_k_keeps_only_the_first_places():
    hits = MatchedLists.from_lists([["a", "b", "c"]], [["a", "c"]]).hits
    assert hits.within(3) is hits
    assert hits.within(2).rank.tolist() == [1]


def test_no_rows_at_all():
    matched = matched_of([])
    assert len(matched) == 0
    assert NDCG(3).per_user(matched).shape == (0,)
    assert math.isnan(NDCG(3).value(matched))
