"""Kernels against naive loops."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from recokit._kernels import hashing, membership, segments, top_k as topk
from recokit._kernels.membership import search

ROWS = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=6)
SCORES = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 2.0, math.nan, math.inf, -math.inf]), st.floats(width=32))


def flat(rows):
    offsets = segments.counts_to_offsets(np.array([len(row) for row in rows], np.int64))
    return offsets, np.array([value for row in rows for value in row], np.int64)


@given(ROWS)
def test_offsets_and_rows_are_two_views_of_the_same_lengths(rows):
    offsets, values = flat(rows)
    row = segments.offsets_to_rows(offsets)
    assert row.tolist() == [b for b, part in enumerate(rows) for _ in part]
    assert segments.rows_to_offsets(row, len(rows)).tolist() == offsets.tolist()
    assert segments.rank_in_row(row, offsets).tolist() == [i for part in rows for i in range(len(part))]
    sums = segments.segment_sum(values, row, len(rows))
    assert sums.tolist() == [sum(part) for part in rows]
    assert sums.dtype == np.float64


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=8))
def test_multi_arange(pairs):
    starts = np.array([start for start, _ in pairs], np.int64)
    counts = np.array([count for _, count in pairs], np.int64)
    expected = [value for start, count in pairs for value in range(start, start + count)]
    assert segments.multi_arange(starts, counts).tolist() == expected


@given(ROWS, st.data())
def test_gather_segments_picks_rows_in_any_order_with_repeats(rows, data):
    picks = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)) if rows else []
    offsets, values = flat(rows)
    new_offsets, index = segments.gather_segments(offsets, np.array(picks, np.int64))
    got = [values[index[a:b]].tolist() for a, b in pairwise(new_offsets)]
    assert got == [rows[pick] for pick in picks]


@given(
    ROWS,
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), max_size=20),
    st.sampled_from([0, 1 << 40]),
)
def test_pairs_in_sets_of_small_and_large_codes(rows, pairs, shift):
    rows = [[item + shift for item in row] for row in [*rows, []]]
    pairs = [(row % len(rows), item + shift) for row, item in pairs]
    offsets, values = flat(rows)
    row = np.array([row for row, _ in pairs], np.int64)
    item = np.array([item for _, item in pairs], np.int64)
    expected = [item in rows[row] for row, item in pairs]
    assert membership.pairs_in_sets(row, item, offsets, values).tolist() == expected


@given(st.sets(st.integers(-20, 20)), st.lists(st.integers(-25, 25)))
def test_locate_sorted_is_always_safe_to_index_with(keys, wanted):
    ordered = np.array(sorted(keys), np.int64)
    position, found = membership.locate_sorted(ordered, np.array(wanted, np.int64))
    assert found.tolist() == [value in keys for value in wanted]
    assert [int(ordered[p]) for p, ok in zip(position, found, strict=True) if ok] == [
        w for w in wanted if w in keys
    ]
    assert not position[~found].any()


def naive_order(scores):
    """Descending, what is not finite last, ties by position."""
    return sorted(range(len(scores)), key=lambda i: (0, -scores[i]) if math.isfinite(scores[i]) else (1, 0))


@given(st.lists(st.lists(SCORES, max_size=8), max_size=5))
def test_order_by_score(rows):
    offsets, _ = flat([[0] * len(row) for row in rows])
    score = np.array([value for row in rows for value in row], np.float32)
    expected = [
        int(start) + i
        for row, start in zip(rows, offsets[:-1], strict=True)
        for i in naive_order(np.float32(row))
    ]
    assert topk.order_by_score(segments.offsets_to_rows(offsets), score).tolist() == expected


@given(st.lists(st.lists(SCORES, max_size=8), max_size=5), st.integers(0, 9), st.booleans())
def test_top_k_of_ragged_rows(rows, k, one_each):
    offsets, _ = flat([[0] * len(row) for row in rows])
    score = np.array([value for row in rows for value in row], np.float32)
    wanted = np.arange(len(rows)) % (k + 1) if one_each else np.full(len(rows), k)
    new_offsets, index = topk.top_k(offsets, score, wanted if one_each else k)
    for b, row in enumerate(rows):
        expected = [int(offsets[b]) + i for i in naive_order(np.float32(row))[: wanted[b]]]
        assert index[new_offsets[b] : new_offsets[b + 1]].tolist() == expected


def as_lists(top):
    offsets, column, _ = top
    return [column[a:b].tolist() for a, b in pairwise(offsets)]


@given(
    st.integers(0, 6).flatmap(
        lambda rows: st.integers(0, 60).flatmap(
            lambda width: hnp.arrays(np.float32, (rows, width), elements=SCORES)
        )
    ),
    st.integers(0, 10),
)
def test_top_k_dense_is_the_same_order_without_what_is_not_finite(scores, k):
    got = topk.top_k_dense(scores, k)
    assert as_lists(got) == [[i for i in naive_order(row) if np.isfinite(row[i])][:k] for row in scores]
    assert got[2].tolist() == [
        row[i] for row, columns in zip(scores, as_lists(got), strict=True) for i in columns
    ]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_top_k_dense_of_wide_rows_with_scores_that_are_not_finite(bad):
    scores = np.random.default_rng(3).normal(size=(40, 3_000)).astype(np.float32)
    scores[np.random.default_rng(4).random(scores.shape) < 0.3] = bad
    clean = np.where(np.isfinite(scores), scores, -np.inf)
    assert as_lists(topk.top_k_dense(scores, 7)) == np.argsort(-clean, axis=1, kind="stable")[:, :7].tolist()


def test_top_k_dense_of_masked_rows_takes_what_there_is():
    scores = np.full((200, 5_000), -np.inf, np.float32)
    scores[:, 4_999] = 1.0
    assert as_lists(topk.top_k_dense(scores, 3)) == [[4_999]] * 200


def test_top_k_dense_of_equal_scores_takes_the_first():
    assert as_lists(topk.top_k_dense(np.ones((3, 5_000), np.float32), 4)) == [[0, 1, 2, 3]] * 3


def test_top_k_leaves_its_input_alone():
    scores = np.array([[3.0, np.nan, 5.0]], np.float32)
    scores.flags.writeable = False
    assert as_lists(topk.top_k_dense(scores, 2)) == [[2, 0]]


@given(st.integers(0, 2**70), st.lists(st.integers(0, 2**40), max_size=5))
def test_row_seeds_depend_on_seed_and_user_alone(seed, users):
    together = hashing.row_seeds(seed, np.array(users, np.int64))
    alone = [hashing.row_seeds(seed, np.array([user], np.int64))[0] for user in users]
    assert together.tolist() == alone
    assert len(set(together.tolist())) == len(set(users))


def test_uniform_draws_are_uniform_and_independent_of_order():
    n = 100_000
    seed = hashing.row_seeds(7, np.zeros(n, np.int64))
    draws = hashing.uniform(seed, np.arange(n))
    assert 0 < draws.min() < draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.005
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert ((counts - n / 20) ** 2 / (n / 20)).sum() < 45  # chi-square, 19 degrees of freedom, p about 0.001
    shuffled = np.random.default_rng(0).permutation(n)
    assert np.array_equal(hashing.uniform(seed, shuffled), draws[shuffled])
    other = hashing.uniform(seed, np.arange(n), stream=1)
    assert abs(np.corrcoef(draws, other)[0, 1]) < 0.02


def test_uniform_is_never_zero_or_one(monkeypatch):
    for bits in (0, 2**64 - 1):
        monkeypatch.setattr(hashing, "mix", lambda values, bits=bits: np.full(len(values), bits, np.uint64))
        assert 0 < hashing.uniform(np.zeros(1, np.uint64), np.zeros(1, np.int64))[0] < 1


def test_mix_matches_the_published_generator():
    # first outputs of SplitMix64 from seed 1234567, as in the reference implementation
    state = np.array([1234567], np.uint64)
    assert int(hashing.mix(state)[0]) == 6457827717110365317


@given(st.lists(st.one_of(st.integers(0, 4), st.integers(0, 2**62)), max_size=40))
def test_stable_order_keeps_equal_keys_in_order(keys):
    expected = [place for _, place in sorted((key, place) for place, key in enumerate(keys))]
    assert segments.stable_order(np.array(keys, np.int64)).tolist() == expected


def test_search_finds_the_same_place_whatever_the_size():
    rng = np.random.default_rng(0)
    keys, wanted = np.sort(rng.integers(0, 50_000, 100_000)), rng.integers(-10, 50_010, 6000)
    np.testing.assert_array_equal(search(keys, wanted), np.searchsorted(keys, wanted))
