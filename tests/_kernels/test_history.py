"""A user's own items, natively and by numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels import history, sorting
from recokit._kernels.history import weighted_items
from recokit._kernels.sorting import top_by_score
from recokit._native.library import kernels

needs_kernels = pytest.mark.skipif(kernels() is None, reason="no compiled kernels on this machine")
CASES = st.tuples(st.integers(0, 2**32), st.integers(0, 4), st.integers(0, 9), st.integers(1, 2**40))


def ragged(rng: np.random.Generator, n_rows: int, longest: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(rng.integers(0, longest + 1, n_rows))]).astype(np.int64)


def compare_histories(case: tuple[int, ...]) -> None:
    seed, n_rows, longest, highest = case
    rng = np.random.default_rng(seed)
    offsets = ragged(rng, n_rows, longest)
    n = int(offsets[-1])
    item = rng.choice(np.array([0, -1, *rng.integers(1, highest + 1, 5)]), n)
    weight = rng.choice(np.array([np.nan, 0, 1, 2.5, 1e30], np.float32), n)
    time = rng.choice(np.array([np.nan, 1.7e9, 1.7e9 - 86_400, 0.0, -5.0]), n)
    given = (weight if rng.random() < 0.7 else None, time if rng.random() < 0.7 else None)
    half_life = float(rng.choice([1.0, 86_400.0, 1e9])) if rng.random() < 0.7 else None
    ours = weighted_items(offsets, item, weight=given[0], time=given[1], half_life=half_life)
    theirs = history._weighted_items_by_numpy(
        offsets, item, given[0], None if half_life is None else given[1], half_life
    )
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-12)


@needs_kernels
@settings(max_examples=100, deadline=None)
@given(CASES)
def test_both_forms_weigh_a_history_alike(case: tuple[int, ...]) -> None:
    compare_histories(case)


@pytest.mark.slow
@needs_kernels
@settings(max_examples=2_000, deadline=None)
@given(CASES)
def test_both_forms_weigh_a_history_alike_in_thousands_of_cases(case: tuple[int, ...]) -> None:
    compare_histories(case)


def test_a_history_is_weighed_as_of_its_newest_event() -> None:
    time = np.array([0.0, 10.0, 20.0, np.nan, 5.0])
    weight = np.array([4, 1, 1, np.nan, 3], np.float32)
    offsets, item, left = weighted_items(
        np.array([0, 4, 5]), np.array([8, 9, 8, 7, 9]), weight=weight, time=time, half_life=10.0
    )
    assert offsets.tolist() == [0, 3, 4]
    assert item.tolist() == [7, 8, 9, 9]
    assert left.tolist() == [1.0, 2.0, 0.5, 3.0]


@pytest.mark.parametrize("offsets", [[0, 3], [1, 2], [0, 9, 2], [0, -1, 2], [], [2]])
def test_offsets_that_do_not_fit_a_history_are_an_error(offsets: list[int]) -> None:
    with pytest.raises(IndexError):
        weighted_items(np.array(offsets, np.int64), np.array([4, 5]))


def test_columns_of_other_lengths_are_an_error() -> None:
    with pytest.raises(IndexError):
        weighted_items(np.array([0, 2]), np.array([4, 5]), weight=np.ones(1, np.float32))


def compare_tops(case: tuple[int, ...]) -> None:
    seed, n_rows, longest, _ = case
    rng = np.random.default_rng(seed)
    offsets = ragged(rng, n_rows, longest)
    n = int(offsets[-1])
    code = np.concatenate([[], *(rng.permutation(longest)[:c] for c in np.diff(offsets))]).astype(np.int64)
    score = rng.choice(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.0], np.float32), n)
    k = int(rng.choice([0, 1, 3, 2**62]))
    for mine, other in zip(
        top_by_score(offsets, score, code, k), sorting._top_by_numpy(offsets, score, code, k), strict=True
    ):
        np.testing.assert_array_equal(mine, other)
        assert mine.dtype == other.dtype


@needs_kernels
@settings(max_examples=100, deadline=None)
@given(CASES)
def test_both_forms_pick_the_same_best(case: tuple[int, ...]) -> None:
    compare_tops(case)


@pytest.mark.slow
@needs_kernels
@settings(max_examples=2_000, deadline=None)
@given(CASES)
def test_both_forms_pick_the_same_best_in_thousands_of_cases(case: tuple[int, ...]) -> None:
    compare_tops(case)
