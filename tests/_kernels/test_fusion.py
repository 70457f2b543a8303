"""Fusion of ranked lists against loops over items."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels import fusion
from recokit._kernels.fusion import RRF_K, fuse_lists, lists_hold
from recokit._native.library import kernels

Lists = list[list[list[int]]]


def csr(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return offsets, np.array([item for row in lists for item in row], np.int64)


def expected(lists: Lists, row: int, by: str, limit: int, shares: list[float]) -> list[int]:
    """Return the fused items of a row: by rank with ties by list, by summed reciprocal ranks, or shares first."""
    best: dict[int, tuple[int, ...]] = {}
    gain: dict[int, float] = {}
    for source, rows in enumerate(lists):
        for rank, item in enumerate(rows[row]):
            beyond = int(by == "quota" and rank >= int(limit * shares[source] + 1e-9))
            best[item] = min(best.get(item, (9,)), (beyond, rank, source))
            gain[item] = gain.get(item, 0) + 1 / (RRF_K + 1 + rank)
    if by == "rrf":
        return sorted(best, key=lambda item: (-round(gain[item], 12), best[item]))[:limit]
    return sorted(best, key=lambda item: best[item])[:limit]


@pytest.mark.parametrize("by", ["interleave", "rrf", "quota"])
@pytest.mark.parametrize("seed", range(6))
def test_lists_are_fused_as_by_hand(by: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(25):
        n_rows, n_lists = int(rng.integers(1, 5)), int(rng.integers(1, 5))
        lists = [
            [rng.permutation(np.arange(1, 12))[: rng.integers(0, 7)].tolist() for _ in range(n_rows)]
            for _ in range(n_lists)
        ]
        parts = [csr(rows) for rows in lists]
        scores = [rng.random(len(item)).astype(np.float32) for _, item in parts]
        limit = int(rng.integers(1, 12))
        shares = rng.dirichlet(np.ones(n_lists)).round(1).tolist()
        fused = fuse_lists(
            [offsets for offsets, _ in parts],
            [item for _, item in parts],
            scores,
            by=by,  # type: ignore[arg-type]
            limit=limit,
            shares=shares,
        )
        for row in range(n_rows):
            mine = slice(fused.offsets[row], fused.offsets[row + 1])
            items = fused.item[mine].tolist()
            wanted = lists[0][row][:limit] if n_lists == 1 else expected(lists, row, by, limit, shares)
            assert items == wanted
            assert (fused.row[mine] == row).all()
            for source, (offsets, _) in enumerate(parts):
                for i, item in enumerate(items):
                    at = fused.offsets[row] + i
                    held = item in lists[source][row]
                    assert bool(fused.sources[at] >> np.uint64(source) & np.uint64(1)) == held
                    if held:
                        rank = lists[source][row].index(item)
                        assert fused.rank[source, at] == rank + 1
                        assert fused.score[source, at] == scores[source][offsets[row] + rank]
                    else:
                        assert np.isnan([fused.rank[source, at], fused.score[source, at]]).all()


def test_a_fused_single_list_is_a_copy() -> None:
    offsets, item, score = np.array([0, 2]), np.array([5, 3]), np.array([2.0, 1.0], np.float32)
    fused = fuse_lists([offsets], [item], [score], by="rrf", limit=2, shares=[1])
    fused.item[0], fused.score[0, 0], fused.offsets[0] = 9, 9.0, 9
    assert item.tolist() == [5, 3]
    assert score.tolist() == [2.0, 1.0]
    assert offsets.tolist() == [0, 2]


needs_kernels = pytest.mark.skipif(kernels() is None, reason="no compiled kernels on this machine")


@st.composite
def fusions(
    draw: st.DrawFn,
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray], dict[str, object]]:
    """Up to six sources of up to four rows, scores with NaN among them, and a rule of fusion."""
    n_rows, n_lists = draw(st.integers(0, 4)), draw(st.integers(1, 6))
    codes = np.array(draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=12, max_size=12, unique=True)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    parts = [
        csr([rng.permutation(codes)[: rng.integers(0, 10)].tolist() for _ in range(n_rows)])
        for _ in range(n_lists)
    ]
    scores = [rng.choice([np.nan, np.inf, 0.5, -1.0], len(item)).astype(np.float32) for _, item in parts]
    rule = {
        "within": rng.integers(0, 10, n_lists).tolist(),
        "by_ranks": draw(st.booleans()),
        "limit": draw(st.one_of(st.integers(0, 12), st.just(2**62))),
    }
    return [offsets for offsets, _ in parts], [item for _, item in parts], scores, rule


def compare_fusions(case: tuple) -> None:
    offsets, item, score, rule = case
    native = fusion._fused_natively(offsets, item, score, **rule)
    plain = fusion._fused_by_numpy(offsets, item, score, **rule)
    for part in ("offsets", "row", "item", "sources", "rank", "score"):
        ours, theirs = getattr(native, part), getattr(plain, part)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, err_msg=part)


@needs_kernels
@settings(max_examples=100, deadline=None)
@given(fusions())
def test_both_forms_fuse_alike(case: tuple) -> None:
    compare_fusions(case)


@pytest.mark.slow
@needs_kernels
@settings(max_examples=2_000, deadline=None)
@given(fusions())
def test_both_forms_fuse_alike_in_thousands_of_cases(case: tuple) -> None:
    compare_fusions(case)


@needs_kernels
@pytest.mark.parametrize("by_ranks", [False, True])
def test_both_forms_fuse_alike_at_the_size_of_a_request(by_ranks: bool) -> None:
    rng = np.random.default_rng(0)
    parts = [
        csr([rng.permutation(2_000)[:length].tolist() for _ in range(3)]) for length in (600, 100, 0, 400)
    ]
    scores = [rng.random(len(item)).astype(np.float32) for _, item in parts]
    rule = {"within": [300] * 4, "by_ranks": by_ranks, "limit": 800}
    compare_fusions(([offsets for offsets, _ in parts], [item for _, item in parts], scores, rule))


def test_lists_of_any_layout_are_fused() -> None:
    wide = np.array([[5, 0], [3, 0], [4, 0]])
    unaligned = np.zeros(25, np.uint8)[1:].view(np.int64)
    unaligned[:] = [3, 9, 5]
    scores = np.zeros(3, np.float32)
    scores.flags.writeable = False
    offsets = np.array([0, 3])
    fused = fuse_lists(
        [offsets, offsets], [wide[:, 0], unaligned], [scores, scores], by="interleave", limit=9, shares=[1, 1]
    )
    assert fused.item.tolist() == [5, 3, 9, 4]


@needs_kernels
@pytest.mark.parametrize(
    "offsets",
    [[0, 2, 1, 3], [0, 9, 9, 3], [1, 1, 1, 3], [0, 1, 2, 4], [0, -5, 2, 3], [0, 3], []],
)
def test_offsets_that_lead_outside_their_list_are_an_error(offsets: list[int]) -> None:
    good, item, score = np.array([0, 1, 2, 3]), np.array([4, 5, 6]), np.ones(3, np.float32)
    with pytest.raises(IndexError):
        fuse_lists(
            [good, np.array(offsets, np.int64)],
            [item, item],
            [score, score],
            by="rrf",
            limit=3,
            shares=[1, 1],
        )


def keeps_contract(offsets: list[int], item: list[int], highest: int, limit: int) -> bool:
    if not offsets or offsets[0] != 0 or offsets[-1] != len(item) or sorted(offsets) != offsets:
        return False
    rows = [item[start:end] for start, end in pairwise(offsets)]
    return all(
        len(row) <= limit and len(set(row)) == len(row) and all(1 <= code <= highest for code in row)
        for row in rows
    )


ANSWERS = st.tuples(
    st.one_of(
        st.lists(st.integers(0, 3), min_size=1, max_size=4).map(
            lambda counts: [0, *np.cumsum(counts).tolist()]
        ),
        st.lists(st.integers(-2, 9), max_size=4),
    ),
    st.lists(st.one_of(st.integers(1, 20), st.integers(-(2**63), 2**63 - 1)), max_size=9),
    st.sampled_from([0, 10, 20, 2**63 - 1]),
    st.sampled_from([0, 2, 9, 2**63 - 1]),
    st.booleans(),
)


def check_answer(case: tuple) -> None:
    offsets, item, highest, limit, fitting = case
    if fitting and offsets and 0 <= offsets[-1] <= len(item):
        item = item[: offsets[-1]]
    arrays = np.array(offsets, np.int64), np.array(item, np.int64)
    wanted = keeps_contract(offsets, item, highest, limit)
    assert lists_hold(*arrays, highest=highest, limit=limit) == wanted
    if offsets:
        assert fusion._hold_by_numpy(*arrays, highest, limit) == wanted


@settings(max_examples=100, deadline=None)
@given(ANSWERS)
def test_an_answer_keeps_its_contract_or_not(case: tuple) -> None:
    check_answer(case)


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None)
@given(ANSWERS)
def test_an_answer_keeps_its_contract_or_not_in_thousands_of_cases(case: tuple) -> None:
    check_answer(case)
