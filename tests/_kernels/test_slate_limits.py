"""Caps on windows against loops over lists: what a finished list breaks, and what may stand at a place."""

from __future__ import annotations

import numpy as np
import pytest

from recokit._kernels.slate_limits import CapArrays, Limits, broken, maximums
from recokit.errors import ContractError


def random_cap(rng: np.random.Generator, n_rows: int, width: int) -> CapArrays:
    """Draw a cap; an item may be in several groups, and in one group twice."""
    n_layers = int(rng.choice([1, 1, 2, 3]))
    groups = tuple(rng.integers(-1, 4, (n_rows, width)) for _ in range(n_layers))
    within = int(rng.integers(1, 6)) if rng.random() < 0.5 else None
    sliding = within is not None and rng.random() < 0.5
    maximum = rng.integers(0, 4, n_rows) if sliding or rng.random() < 0.7 else None
    minimum = 0 if sliding or (maximum is not None and rng.random() < 0.5) else int(rng.integers(1, 3))
    return CapArrays(groups, maximum, minimum, within, sliding)


def groups_of(cap: CapArrays, row: int, item: int) -> set[int]:
    return {int(group[row, item]) for group in cap.groups if group[row, item] >= 0}


def holds_too_many(cap: CapArrays, row: int, run: list[int]) -> bool:
    assert cap.maximum is not None
    every = [groups_of(cap, row, item) for item in run if item >= 0]
    return any(sum(code in item for item in every) > cap.maximum[row] for code in range(4))


def breaks(cap: CapArrays, row: int, chosen: list[int], there: list[int]) -> bool:
    span = len(chosen) if cap.within is None else cap.within
    starts = range(max(len(chosen) - span + 1, 1)) if cap.sliding else [0]
    if cap.maximum is not None and any(holds_too_many(cap, row, chosen[s : s + span]) for s in starts):
        return True
    needed = set().union(*(groups_of(cap, row, item) for item in there))
    first = [groups_of(cap, row, item) for item in chosen[:span]]
    return any(sum(code in item for item in first) < cap.minimum for code in needed)


@pytest.mark.parametrize("seed", range(8))
def test_a_finished_list_breaks_a_cap_as_counting_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = set()
    for _ in range(60):
        n_rows, width, n_places = 4, int(rng.integers(1, 9)), int(rng.integers(1, 8))
        cap = random_cap(rng, n_rows, width)
        valid = np.arange(width) < rng.integers(0, width + 1, n_rows)[:, None]
        picked = np.full((n_rows, n_places), -1)
        for row in range(n_rows):
            there = int(valid[row].sum())
            n = int(rng.integers(0, min(there, n_places) + 1))
            picked[row, :n] = rng.permutation(there)[:n]
        expected = [
            breaks(cap, row, [i for i in picked[row].tolist() if i >= 0], np.flatnonzero(valid[row]).tolist())
            for row in range(n_rows)
        ]
        assert broken(picked, valid, cap).tolist() == expected
        seen |= {(wrong, cap.sliding) for wrong in expected}
    assert len(seen) == 4


@pytest.mark.parametrize("seed", range(8))
def test_what_may_stand_at_a_place_beside_what_stands_already(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    answers = set()
    for _ in range(40):
        n_rows, width, n_places = 3, 8, 7
        cap = random_cap(rng, n_rows, width)
        if cap.maximum is None:
            continue
        valid = rng.random((n_rows, width)) < 0.9
        start = np.full((n_rows, n_places), -1)
        for row in range(n_rows):
            at = rng.permutation(n_places)[: rng.integers(0, 4)]
            start[row, at] = rng.permutation(width)[: len(at)]
        place = int(rng.integers(0, n_places))
        allowed = Limits(maximums([cap]), valid, np.full(n_rows, n_places), start).open(place)[0]
        for row, item in np.ndindex(n_rows, width):
            if cap.sliding:
                assert cap.within is not None
                near = [p for p in range(n_places) if abs(p - place) < cap.within and p != place]
            else:
                end = n_places if cap.within is None else cap.within
                near = list(range(end)) if place < end else []
            others = [groups_of(cap, row, int(start[row, p])) for p in near if start[row, p] >= 0]
            room = all(
                sum(code in other for other in others) < cap.maximum[row]
                for code in (
                    groups_of(cap, row, item) if near or cap.sliding or place < (cap.within or 99) else ()
                )
            )
            expected = bool(valid[row, item]) and item not in start[row] and room
            if start[row, place] >= 0:
                continue
            assert allowed[row, item] == expected
            answers.add((expected, cap.sliding))
    assert len(answers) == 4


def test_a_minimum_ends_with_the_places_that_are_left() -> None:
    cap = CapArrays((np.array([[0, 0, 1, 2]]),), None, 1)
    limits = Limits([cap], np.ones((1, 4), bool), np.array([3]), np.full((1, 3), -1))
    allowed, lost = limits.open(0)
    assert allowed.tolist() == [[True] * 4]  # three groups, three places: all serve one
    limits.add(0, np.array([0]), np.array([True]))
    allowed, lost = limits.open(1)
    assert allowed.tolist() == [[False, False, True, True]]
    limits.add(1, np.array([2]), np.array([True]))
    assert limits.open(2)[0].tolist() == [[False, False, False, True]]
    assert not lost[0]


def test_nothing_may_stand_at_a_last_place_that_two_minimums_need() -> None:
    cap = CapArrays((np.array([[0, 1, 2]]),), None, 1)
    limits = Limits([cap], np.ones((1, 3), bool), np.array([2]), np.full((1, 2), -1))
    limits.add(0, np.array([0]), np.array([True]))
    assert not limits.open(1)[0].any()


@pytest.mark.parametrize("bad", [{"within": 0}, {"within": -1}, {"minimum": -1}])
def test_a_cap_of_no_places_or_less_than_nothing_is_refused(bad: dict) -> None:
    with pytest.raises(ContractError, match="expected 0 or more within 1 or more"):
        CapArrays((np.zeros((1, 2), np.int64),), **bad)
