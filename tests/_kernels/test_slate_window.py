"""Windows of the best candidates: compiled and plain are equal, and hostile input is an error."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels import slate_window
from recokit._kernels.slate_window import best_window
from recokit._native.library import kernels


def absent() -> None:
    """Stand in for `kernels` where there are none."""


def check(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, rng.choice([3, 40, 300]), rng.integers(1, 6))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    score = rng.normal(size=offsets[-1]).round(int(rng.choice([0, 1, 7]))).astype(np.float32)
    odd = rng.random(len(score)) < rng.choice([0, 0.3, 1])
    score[odd] = rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0], odd.sum())
    width = rng.integers(-1, rng.choice([4, 30, 400]), len(counts))
    index, valid, relevance = best_window(offsets, score, np.maximum(width, 0))
    for row, n in enumerate(np.minimum(counts, np.maximum(width, 0)).tolist()):
        mine = score[offsets[row] : offsets[row + 1]]
        best = np.argsort(np.where(np.isfinite(mine), -mine, np.inf), kind="stable")[:n]
        assert (index[row, :n] - offsets[row]).tolist() == best.tolist()
        assert valid[row].tolist() == [True] * n + [False] * (len(valid[row]) - n)
    with mock.patch.object(slate_window, "kernels", absent):
        plain = best_window(offsets, score, np.maximum(width, 0))
    for found, expected in zip((index, valid, relevance), plain, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_best_of_each_row_in_order(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_best_of_each_row_in_order_many_times(seed: int) -> None:
    check(seed)


@pytest.mark.skipif(kernels() is None, reason="no compiled kernels")
def test_offsets_outside_the_scores_are_an_error() -> None:
    score, width = np.ones(4, np.float32), np.array([2])
    for offsets in ([0, 5], [-1, 3], [2, 1]):
        with pytest.raises(IndexError):
            best_window(np.array(offsets), score, width)
