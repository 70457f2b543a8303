"""Weighted sums, natively and by numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels import weighted
from recokit._kernels.weighted import weighted_sums
from recokit._native.library import kernels

needs_kernels = pytest.mark.skipif(kernels() is None, reason="no compiled kernels on this machine")
CASES = st.tuples(st.integers(0, 2**32), st.integers(0, 9), st.integers(0, 300), st.booleans())


def compare(case: tuple[int, int, int, bool]) -> None:
    seed, n, n_weights, in_order = case
    rng = np.random.default_rng(seed)
    width = n_weights + int(rng.integers(1, 4))
    rows = rng.standard_normal((n, width)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf, 0.0])
    place = np.arange(n_weights) + 1 if in_order else rng.integers(0, width, n_weights)
    weight = rng.choice([0.0, 1.0, -2.5, 1e-3, 1e30], n_weights).astype(np.float32)
    np.testing.assert_array_equal(
        weighted_sums(rows, place, weight), weighted._sums_by_numpy(rows, place, weight)
    )


@needs_kernels
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
@settings(max_examples=100, deadline=None)
@given(CASES)
def test_both_forms_give_equal_bits(case: tuple[int, int, int, bool]) -> None:
    compare(case)


@pytest.mark.slow
@needs_kernels
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
@settings(max_examples=2_000, deadline=None)
@given(CASES)
def test_both_forms_give_equal_bits_in_thousands_of_cases(case: tuple[int, int, int, bool]) -> None:
    compare(case)


@pytest.mark.parametrize("place", [[0, 2], [-1, 0], [2**62, 0], [0]])
def test_a_column_that_is_not_there_is_an_error(place: list[int]) -> None:
    with pytest.raises(IndexError):
        weighted_sums(np.ones((3, 2), np.float32), np.array(place), np.ones(2, np.float32))


def test_rows_of_any_layout_are_summed() -> None:
    rows = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2))
    assert weighted_sums(rows, np.array([1, 0]), np.ones(2, np.float32)).tolist() == [1, 5, 9]
    assert weighted_sums(rows[::2], np.array([1]), np.ones(1, np.float32)).tolist() == [1, 5]
    assert weighted_sums(rows, np.zeros(0, np.int64), np.zeros(0, np.float32)).tolist() == [0, 0, 0]
