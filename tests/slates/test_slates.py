"""Slate selection against independent oracles: counting, exhaustive search, a naive greedy loop."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.data import Candidates, Cap, Pin
from recokit.diversity import MMR, TopK
from recokit.slates import select
from recokit.slates.select import broken_limits


def naive_breaks(groups: list[set[int]], cap: Cap, length: int | None = None) -> bool:
    """Tell by counting whether a list, as the sets of groups of its items, breaks a cap."""
    n = len(groups) if length is None else length
    span = n if cap.within is None else cap.within
    most = max(1, int(cap.share * min(n, span) + 1e-9)) if cap.share is not None else cap.maximum
    starts = range(max(1, len(groups) - span + 1)) if cap.sliding else [0]
    for start in starts:
        run = groups[start : start + span]
        for group in set().union(*run) if run else set():
            if sum(group in item for item in run) > most:
                return True
    return False


def groups_of(cap: Cap, positions: list[int]) -> list[set[int]]:
    if cap.offsets is None:
        return [{int(cap.group[i])} for i in positions]
    return [set(cap.group[cap.offsets[i] : cap.offsets[i + 1]].tolist()) for i in positions]


@st.composite
def slates(
    draw: st.DrawFn, *, multi: bool = True, sizes: tuple[int, int] = (0, 14)
) -> tuple[Candidates, np.ndarray, list[Cap]]:
    counts = draw(st.lists(st.integers(*sizes), min_size=1, max_size=4))
    n = sum(counts)
    score = st.one_of(st.integers(0, 4).map(float), st.sampled_from([np.nan, np.inf, -np.inf]))
    scores = draw(st.lists(score, min_size=n, max_size=n))
    split = np.cumsum([0, *counts])
    batch = Candidates.from_lists(
        [list(range(1, c + 1)) for c in counts],
        scores=[scores[a:b] for a, b in itertools.pairwise(split)],
    )
    k = np.array(draw(st.lists(st.integers(1, 8), min_size=len(counts), max_size=len(counts))))
    caps = []
    for c in range(draw(st.integers(0, 3))):
        offsets, group = None, np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), np.int64)
        if multi and draw(st.booleans()):
            sizes_ = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
            offsets = np.cumsum([0, *sizes_]).astype(np.int64)
            parts = [draw(st.lists(st.integers(0, 3), min_size=s, max_size=s, unique=True)) for s in sizes_]
            group = np.array([g for part in parts for g in part], np.int64)
        within = draw(st.one_of(st.none(), st.integers(1, 5)))
        share = draw(st.one_of(st.none(), st.sampled_from([0.2, 0.34, 0.5])))
        sliding = within is not None and share is None and draw(st.booleans())
        caps.append(
            Cap(
                f"cap{c}",
                group,
                offsets,
                maximum=None if share is not None else draw(st.integers(1, 3)),
                share=share,
                within=within,
                sliding=sliding,
                hard=draw(st.booleans()),
                relax_order=draw(st.integers(0, 2)),
            )
        )
    return batch, k, caps


@settings(max_examples=150, deadline=None)
@given(slates(), st.booleans(), st.booleans())
def test_lists_keep_hard_limits_lose_nothing_and_record_what_they_relax(
    slate: tuple[Candidates, np.ndarray, list[Cap]], relax: bool, steered: bool
) -> None:
    batch, k, caps = slate
    found = select(batch, k, limits=caps, relax=relax, objective=TopK() if steered else None)
    for row in range(batch.n_rows):
        chosen = found.index[found.offsets[row] : found.offsets[row + 1]].tolist()
        assert len(set(chosen)) == len(chosen) <= k[row]
        assert all(batch.row[i] == row for i in chosen)
        for cap in caps:
            broken = naive_breaks(groups_of(cap, chosen), cap)
            recorded = cap.name in found.relaxed and bool(found.relaxed[cap.name][row])
            assert broken == bool(broken_limits(batch, found, [cap])[cap.name][row])
            if cap.hard or not relax:
                assert not broken
                assert not recorded
            elif broken:
                assert recorded
        if relax and not any(cap.hard for cap in caps):
            assert len(chosen) == min(k[row], batch.counts[row])


@settings(max_examples=150, deadline=None)
@given(slates(sizes=(0, 9)))
def test_a_batch_answers_as_its_rows_do_alone(slate: tuple[Candidates, np.ndarray, list[Cap]]) -> None:
    batch, k, caps = slate
    found = select(batch, k, limits=caps)
    for row in range(batch.n_rows):
        start, end = batch.offsets[row], batch.offsets[row + 1]
        alone = []
        for cap in caps:
            if cap.offsets is None:
                group, offsets = cap.group[start:end], None
            else:
                group = cap.group[cap.offsets[start] : cap.offsets[end]]
                offsets = cap.offsets[start : end + 1] - cap.offsets[start]
            alone.append(
                Cap(
                    cap.name,
                    group,
                    offsets,
                    cap.maximum,
                    cap.share,
                    cap.within,
                    cap.sliding,
                    cap.hard,
                    cap.relax_order,
                )
            )
        single = select(batch.take_rows(np.array([row])), k[row : row + 1], limits=alone)
        assert (single.index + start).tolist() == found.index[
            found.offsets[row] : found.offsets[row + 1]
        ].tolist()


@settings(max_examples=200, deadline=None)
@given(slates(multi=False, sizes=(0, 8)))
def test_one_hard_cap_shortens_a_list_only_where_no_longer_one_exists(
    slate: tuple[Candidates, np.ndarray, list[Cap]],
) -> None:
    batch, k, caps = slate
    for cap in [Cap("cap", cap.group, maximum=cap.maximum, share=cap.share, hard=True) for cap in caps][:1]:
        found = select(batch, k, limits=[cap])
        for row in range(batch.n_rows):
            positions = range(batch.offsets[row], batch.offsets[row + 1])
            longest = max(
                size
                for size in range(min(int(k[row]), len(positions)) + 1)
                if any(
                    not naive_breaks(groups_of(cap, list(c)), cap)
                    for c in itertools.combinations(positions, size)
                )
            )
            assert found.offsets[row + 1] - found.offsets[row] == longest


def test_two_caps_that_starve_the_greedy_choice_are_repaired() -> None:
    # The best item takes the last place of both its category and its seller; two others then fit nowhere.
    batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.9, 0.8, 0.7]])
    caps = [
        Cap("category", np.array([1, 1, 2]), maximum=1, hard=True),
        Cap("seller", np.array([1, 2, 1]), maximum=1, hard=True),
    ]
    found = select(batch, np.array([2]), limits=caps)
    assert batch.item[found.index].tolist() == [2, 3]
    assert found.repaired.tolist() == [0]


def test_a_share_counts_for_the_delivered_length() -> None:
    batch = Candidates.from_lists([list(range(1, 13))], scores=[list(np.linspace(1, 0.1, 12))])
    group = np.array([1] * 6 + [2] * 6)
    hard = select(batch, np.array([10]), limits=[Cap("share", group, share=0.4, hard=True)])
    # 40% of ten is four, of two groups eight; of eight it is three, six; of six two, four; of four or three one, two.
    assert len(hard.index) == 2
    soft = select(batch, np.array([10]), limits=[Cap("share", group, share=0.4)])
    assert len(soft.index) == 10
    assert soft.relaxed["share"].tolist() == [True]
    first_eight = group[soft.index[:8]]
    assert (first_eight == 1).sum() == 4


def test_soft_limits_are_relaxed_in_their_order() -> None:
    batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.9, 0.8, 0.7]])
    same = np.ones(3, np.int64)
    caps = [Cap("first", same, maximum=2, relax_order=0), Cap("second", same, maximum=2, relax_order=1)]
    assert set(select(batch, np.array([3]), limits=caps).relaxed) == {"first", "second"}
    caps = [
        Cap("loose", same, maximum=2, relax_order=0),
        Cap("tight", np.array([1, 2, 3]), maximum=1, relax_order=1),
    ]
    assert set(select(batch, np.array([3]), limits=caps).relaxed) == {"loose"}


def test_what_is_placed_stays_and_counts() -> None:
    batch = Candidates.from_lists([[5, 6, 7, 8]], scores=[[0.1, 0.9, 0.8, 0.7]])
    cap = Cap("cap", np.array([1, 1, 2, 3]), maximum=1, hard=True)
    found = select(batch, np.array([3]), limits=[cap], placed=np.array([1]))
    assert batch.item[found.index].tolist() == [5, 7, 8]


def test_pins_stand_in_their_place_unless_a_hard_limit_forbids_it() -> None:
    batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.9, 0.8, 0.7, 0.1]])
    pin = Pin("sponsored", np.array([0, 0, 0, 2]))
    assert batch.item[select(batch, np.array([3]), limits=[pin]).index].tolist() == [1, 4, 2]
    # A pin stands from the beginning: what shares its group finds it taken.
    cap = Cap("cap", np.array([1, 2, 3, 1]), maximum=1, hard=True)
    assert batch.item[select(batch, np.array([3]), limits=[pin, cap]).index].tolist() == [2, 4, 3]
    both = select(batch, np.array([3]), limits=[pin, Pin("first", np.array([1, 0, 0, 0])), cap])
    assert batch.item[both.index].tolist() == [2, 4, 3]
    assert set(both.relaxed) == {"first"}


def test_a_pin_that_a_hard_cap_forbids_is_recorded_though_nothing_stands_and_the_list_is_full() -> None:
    batch = Candidates.from_lists([[1, 2], [1, 2]], scores=[[0.9, 0.8]] * 2)
    none = Cap("none", np.array([-1, 0, -1, -1]), maximum=0, hard=True)
    pin = Pin("pin", np.array([0, 1, 0, 1]))
    both = select(batch, np.array([1, 1]), limits=[pin, none])
    assert batch.item[both.index].tolist() == [1, 2]
    assert both.relaxed["pin"].tolist() == [True, False]
    alone = Candidates.from_lists([[1, 2]], scores=[[0.9, 0.8]])
    limits = [Pin("pin", pin.position[:2]), Cap("none", none.group[:2], maximum=0, hard=True)]
    assert select(alone, np.array([1]), limits=limits).relaxed["pin"].tolist() == [True]


def test_a_hard_minimum_holds_where_a_pin_fills_the_list_and_soft_limits_may_yield() -> None:
    batch = Candidates.from_lists([[1, 2]], scores=[[0.9, 0.8]])
    needed = Cap("needed", np.array([-1, 0]), minimum=1, hard=True)
    soft = Cap("soft", np.array([0, 0]), maximum=1)
    pin = Pin("pin", np.array([1, 0]))
    found = select(batch, np.array([1]), limits=[needed, soft, pin])
    assert batch.item[found.index].tolist() == [2]
    assert set(found.relaxed) == {"pin"}


def test_a_repair_that_spacing_thwarts_does_not_break_a_hard_minimum() -> None:
    def cap(name: str, groups: list[list[int]], **options: Any) -> Cap:
        offsets = np.cumsum([0, *map(len, groups)])
        return Cap(name, np.array([code for item in groups for code in item]), offsets, **options)

    batch = Candidates.from_lists([list(range(1, 10))], scores=[[3, 3, 0, 2, 3, 0, 3, 0, 0]])
    needed = [[2, 0], [3, 0, 1], [], [1, 3, 2], [2], [0], [3, 1, 2], [1], [0]]
    limits = [
        cap("share", [[3, 0, 1], [3, 0], [0], [3, 2], [0], [0], [2], [], [3, 2]], share=0.5),
        cap("needed", needed, minimum=2, within=3, hard=True),
        Cap("spacing", np.array([-1, 0, -1, -1, 0, -1, 0, -1, 0]), maximum=1, within=2, sliding=True),
        Pin("pin", np.array([0, 2, 0, 6, 0, 0, 0, 0, 0])),
    ]
    found = select(batch, np.array([4]), limits=limits, objective=TopK())
    assert len(found.index) == 4
    counts = np.bincount([code for item in found.index[:3] for code in needed[item]], minlength=4)
    assert (counts >= 2).all()


def test_a_pin_counts_however_low_the_score() -> None:
    batch = Candidates.from_lists([list(range(1, 201))], scores=[list(np.linspace(1, 0, 200))])
    position = np.zeros(200, np.int64)
    position[150] = 1
    assert batch.item[
        select(batch, np.array([2]), limits=[Pin("ad", position)], pool=100).index
    ].tolist() == [151, 1]


def test_a_rerankers_order_is_followed_under_the_limits() -> None:
    batch = Candidates.from_lists([[1, 2, 3], [4, 5]], scores=[[0.9, 0.8, 0.7], [0.5, 0.4]])
    cap = Cap("cap", np.array([1, 1, 2, 1, 2]), maximum=1, hard=True)
    found = select(batch, np.array([2, 2]), limits=[cap], order=np.array([1, 0, 2, 4, 3]))
    assert batch.item[found.index].tolist() == [2, 3, 5, 4]


def test_limits_reach_beyond_the_pool() -> None:
    n = 300
    batch = Candidates.from_lists([list(range(1, n + 1))], scores=[list(np.linspace(1, 0, n))])
    group = np.where(np.arange(n) < 290, 1, np.arange(n))
    found = select(batch, np.array([5]), limits=[Cap("cap", group, maximum=1, hard=True)], pool=20)
    assert batch.item[found.index].tolist() == [1, 291, 292, 293, 294]


@pytest.mark.parametrize("trade_off", [0.0, 0.3, 0.7, 1.0])
def test_mmr_equals_its_published_definition(trade_off: float) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(41, 6))
    vectors[0] = 0.0
    unit = (
        vectors / np.where(np.linalg.norm(vectors, axis=1) > 0, np.linalg.norm(vectors, axis=1), 1)[:, None]
    )
    items = rng.permutation(np.arange(1, 41))[:30]
    scores = rng.normal(size=30)
    batch = Candidates.from_lists([items.tolist()], scores=[scores.tolist()])
    found = select(batch, np.array([12]), objective=MMR(trade_off, vectors=vectors))
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    chosen: list[int] = []
    while len(chosen) < 12:
        rest = [i for i in range(30) if i not in chosen]
        gains = [
            trade_off * relevance[i]
            - (1 - trade_off) * max((float(unit[items[i]] @ unit[items[j]]) for j in chosen), default=0.0)
            for i in rest
        ]
        chosen.append(rest[int(np.argmax(gains))])
    if trade_off > 0:
        assert found.index.tolist() == chosen
    else:  # all first gains are equal: relevance breaks the tie
        assert found.index[0] == int(np.argmax(relevance))


def test_a_cap_in_whose_groups_nobody_is_limits_nobody() -> None:
    cap = Cap("none", np.zeros(0, np.int64), np.zeros(3, np.int64), maximum=1, hard=True)
    batch = Candidates.from_lists([[1, 2]], scores=[[0.9, 0.8]])
    assert select(batch, np.array([2]), limits=[cap]).index.tolist() == [0, 1]


def test_a_list_longer_than_a_window_of_the_default_pool() -> None:
    n = 900
    batch = Candidates.from_lists([list(range(1, n + 1))], scores=[np.linspace(1, 0, n).tolist()])
    cap = Cap("cap", np.arange(n) // 3, maximum=2)
    found = batch.item[select(batch, np.array([300]), limits=[cap]).index]
    np.testing.assert_array_equal(found, [i for i in range(1, n + 1) if i % 3][:300])
