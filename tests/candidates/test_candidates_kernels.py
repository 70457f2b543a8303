"""Packed sorting and fusion against naive loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit._kernels.fusion import fuse_lists
from recokit._kernels.segments import counts_to_offsets
from recokit._kernels.sorting import group_pairs, require_bits, sort_packed, top_by_score
from recokit._kernels.top_k import top_k
from recokit._utils.threads import map_parts
from recokit.errors import DataError

NAN = float("nan")
scores = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e-30, -1e30, NAN, float("inf"), -float("inf")])


def ragged(rows, dtype=np.int64):
    flat = [value for row in rows for value in row]
    return counts_to_offsets(np.array([len(row) for row in rows], np.int64)), np.array(flat, dtype)


@given(st.lists(st.lists(scores, max_size=6), max_size=4), st.integers(1, 7))
def test_top_by_score_orders_as_top_k_does(rows, k):
    offsets, score = ragged(rows, np.float32)
    place = np.concatenate([np.arange(len(row)) for row in rows] or [np.zeros(0, np.int64)]).astype(np.int64)
    expected_offsets, index = top_k(offsets, score, k)
    found_offsets, code, found = top_by_score(offsets, score, place, k)
    assert found_offsets.tolist() == expected_offsets.tolist()
    assert code.tolist() == place[index].tolist()
    np.testing.assert_array_equal(found, np.where(np.isfinite(score[index]), score[index], np.nan))
    assert found.dtype == np.float32


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), max_size=8), max_size=4))
def test_group_pairs_sums_and_locates_each_item_of_each_row(rows):
    offsets, item = ragged([[item for item, _ in row] for row in rows])
    weight = np.array([weight for row in rows for _, weight in row], np.float64)
    pairs = group_pairs(offsets, item)
    expected = []
    for b, row in enumerate(rows):
        for code in sorted({item for item, _ in row}):
            places = [offsets[b] + p for p, (item, _) in enumerate(row) if item == code]
            expected.append((b, code, places[0], places[-1], sum(w for item, w in row if item == code)))
    found_row = np.repeat(np.arange(len(rows)), np.diff(pairs.offsets))
    found = zip(found_row, item[pairs.first], pairs.first, pairs.last, pairs.sum(weight), strict=True)
    assert [tuple(float(value) for value in one) for one in found] == [
        tuple(map(float, one)) for one in expected
    ]


@given(st.lists(st.integers(0, 2**40), max_size=30))
def test_sort_packed_sorts_narrow_and_wide_keys(values):
    keys = np.array(values, np.int64)
    assert sort_packed(keys, 41).tolist() == sorted(values)
    assert sort_packed(keys % 2**32, 32).tolist() == sorted(value % 2**32 for value in values)


def test_keys_of_more_than_63_bits_are_refused():
    require_bits(63, "x")
    with pytest.raises(DataError, match="found x, whose sort keys need 64 bits"):
        require_bits(64, "x")


def naive_fusion(lists, by, limit, shares):
    """One row: lists of distinct items, best first."""
    ranks = {}
    for source, items in enumerate(lists):
        for rank, item in enumerate(items):
            ranks.setdefault(item, {})[source] = rank

    def priority(item):
        places = [(rank, source) for source, rank in ranks[item].items()]
        if by == "interleave":
            return min(places)
        if by == "rrf":
            return (-round(sum(1 / (61 + rank) for rank, _ in places), 12), min(places))
        inside = [rank < int(limit * shares[source] + 1e-9) for rank, source in places]
        return min((not ok, *place) for ok, place in zip(inside, places, strict=True))

    return sorted(ranks, key=priority)[:limit], ranks


row_lists = st.lists(st.integers(1, 12), max_size=8, unique=True)
sources = st.integers(1, 4).flatmap(
    lambda s: st.integers(1, 3).flatmap(
        lambda b: st.lists(st.lists(row_lists, min_size=b, max_size=b), min_size=s, max_size=s)
    )
)


@given(sources, st.sampled_from(["interleave", "rrf", "quota"]), st.integers(1, 12), st.randoms())
def test_fusion_equals_the_naive_loop(found, by, limit, random):
    raw = [random.random() for _ in found]
    shares = [value / max(sum(raw), 1e-9) for value in raw]
    built = [ragged(rows) for rows in found]
    score = [np.arange(len(items), dtype=np.float32) + 100 * s for s, (_, items) in enumerate(built)]
    fused = fuse_lists([o for o, _ in built], [i for _, i in built], score, by=by, limit=limit, shares=shares)
    n_rows = len(found[0])
    assert len(fused.offsets) == n_rows + 1
    for b in range(n_rows):
        here = slice(fused.offsets[b], fused.offsets[b + 1])
        expected, ranks = naive_fusion([rows[b] for rows in found], by, limit, shares)
        assert fused.item[here].tolist() == expected
        assert (fused.row[here] == b).all()
        for place, item in enumerate(expected, int(fused.offsets[b])):
            assert int(fused.sources[place]) == sum(1 << source for source in ranks[item])
            for source in range(len(found)):
                rank = ranks[item].get(source)
                if rank is None:
                    assert np.isnan(fused.rank[source, place]) and np.isnan(fused.score[source, place])
                else:
                    assert fused.rank[source, place] == rank + 1
                    assert fused.score[source, place] == score[source][built[source][0][b] + rank]


@given(sources)
def test_reciprocal_ranks_do_not_depend_on_the_order_of_the_lists(found):
    def items(order):
        built = [ragged(found[s]) for s in order]
        score = [np.zeros(len(item), np.float32) for _, item in built]
        shares = [1.0] * len(order)
        fused = fuse_lists(
            [o for o, _ in built], [i for _, i in built], score, by="rrf", limit=99, shares=shares
        )
        gain = np.nansum(1 / (60 + fused.rank.astype(np.float64)), axis=0)
        return (
            dict(zip(zip(fused.row.tolist(), fused.item.tolist(), strict=True), gain, strict=True)),
            gain,
            fused,
        )

    forward, gain, fused = items(range(len(found)))
    backward, _, _ = items(range(len(found))[::-1])
    assert forward == pytest.approx(backward)
    for b in range(len(fused.offsets) - 1):
        row = gain[fused.offsets[b] : fused.offsets[b + 1]]
        assert (np.diff(row) <= 1e-12).all()


def test_a_thread_of_map_parts_starts_no_team_of_its_own():
    import torch

    assert set(map_parts(lambda _: torch.get_num_threads(), range(4))) == {1}
