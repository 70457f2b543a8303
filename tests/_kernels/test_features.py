"""Features that are read, natively and by numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels import features
from recokit._kernels.features import source_features, take_rows
from recokit._native.library import kernels

needs_kernels = pytest.mark.skipif(kernels() is None, reason="no compiled kernels on this machine")
CASES = st.tuples(
    st.integers(0, 2**32), st.integers(0, 5), st.integers(0, 4), st.integers(0, 7), st.integers(0, 3)
)


def compare_source_features(case: tuple[int, ...]) -> None:
    seed, n_sources, n_rows, longest, start = case
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, longest + 1, n_rows))])
    n = int(offsets[-1])
    rank = [rng.choice([np.nan, 1, 2, 600], n).astype(np.float32) for _ in range(n_sources)]
    values = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, 3e38, -3e38, 7.0]
    score = [rng.choice(values, n, p=rng.dirichlet(np.ones(9))).astype(np.float32) for _ in range(n_sources)]
    width = start + 2 * n_sources + (n_sources > 1) + int(rng.integers(0, 2))
    ours, theirs = np.full((2, n, width), 9, np.float32)
    source_features(rank, score, offsets, ours, start)
    features._source_features_by_numpy(rank, score, offsets, theirs, start)
    np.testing.assert_array_equal(ours, theirs)


@needs_kernels
@settings(max_examples=100, deadline=None)
@given(CASES)
def test_both_forms_know_the_same_of_sources(case: tuple[int, ...]) -> None:
    compare_source_features(case)


@pytest.mark.slow
@needs_kernels
@settings(max_examples=2_000, deadline=None)
@given(CASES)
def test_both_forms_know_the_same_of_sources_in_thousands_of_cases(case: tuple[int, ...]) -> None:
    compare_source_features(case)


def test_what_sources_knew_is_scaled_within_each_row() -> None:
    nan, out = np.nan, np.full((4, 6), 9, np.float32)
    rank = [np.array([1, 2, nan, 4], np.float32), np.array([nan, 1, 1, nan], np.float32)]
    score = [np.array([8, 4, nan, 5], np.float32), np.array([nan, 3, np.inf, nan], np.float32)]
    source_features(rank, score, np.array([0, 2, 4]), out, 1)
    assert np.isclose(
        out,
        [
            [9, 1, 1, 0, nan, 1],
            [9, 0.5, 0, 1, 1, 2],
            [9, 0, nan, 1, nan, 1],
            [9, 0.25, 1, 0, nan, 1],
        ],
        equal_nan=True,
    ).all()


@pytest.mark.parametrize("offsets", [[0, 3], [1, 2], [0, 9, 2], [0, -1, 2], [], [2]])
def test_offsets_that_do_not_fit_are_an_error(offsets: list[int]) -> None:
    column, out = [np.ones(2, np.float32)], np.zeros((2, 2), np.float32)
    with pytest.raises(IndexError):
        source_features(column, column, np.array(offsets, np.int64), out, 0)


@pytest.mark.parametrize("start", [-1, 1, 2**62])
def test_a_matrix_without_room_is_an_error(start: int) -> None:
    column, out = [np.ones(2, np.float32)], np.zeros((2, 2), np.float32)
    with pytest.raises(IndexError):
        source_features(column, column, np.array([0, 2]), out, start)
    with pytest.raises(IndexError):
        take_rows(np.ones((3, 2), np.float32), np.array([1, 1]), out, start)


def tables(rng: np.random.Generator, n: int, width: int) -> list[np.ndarray]:
    """The same table as it may lie in memory: by rows, by columns, with gaps, read-only."""
    table = rng.standard_normal((n, width)).astype(np.float32)
    gaps = np.repeat(table, 2, axis=1)[:, ::2]
    fixed = table.copy()
    fixed.flags.writeable = False
    return [table, np.asfortranarray(table), gaps, fixed]


def compare_rows(case: tuple[int, ...]) -> None:
    seed, width, n, longest, start = case
    rng = np.random.default_rng(seed)
    index = rng.integers(0, n + 1, 3 * longest)
    for table in tables(rng, n + 1, width):
        out = np.full((len(index), start + width), 9, np.float32)
        take_rows(table, index, out, start)
        assert (out[:, start:] == table[index]).all()
        assert (out[:, :start] == 9).all()


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_rows_of_a_table_are_taken(case: tuple[int, ...]) -> None:
    compare_rows(case)


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None)
@given(CASES)
def test_rows_of_a_table_are_taken_in_thousands_of_cases(case: tuple[int, ...]) -> None:
    compare_rows(case)


@pytest.mark.parametrize("index", [[0, 3], [-1, 0], [2**62, 0], [-(2**63), 0]])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_row_outside_the_table_is_an_error(index: list[int], order: str) -> None:
    table, out = np.asarray(np.ones((3, 2), np.float32), order=order), np.zeros((2, 2), np.float32)
    with pytest.raises(IndexError):
        take_rows(table, np.array(index), out, 0)
