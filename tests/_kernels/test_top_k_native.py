"""The compiled best of each row against a plain partition: the same lists, for any tiles, and no crash on bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels import top_k
from recokit._kernels.top_k import top_k_dense, top_k_products
from recokit._native import library
from recokit.errors import ContractError

pytestmark = pytest.mark.skipif(library.kernels() is None, reason="no compiled kernels on this machine")
seeds = st.integers(0, 2**32 - 1)


def random_options(rng, rows, width):
    """Columns that are usable, and lists of columns to pass over: repeated, unknown and below 0 ones too."""
    usable = rng.random(width) < 0.7 if rng.integers(2) else None
    if rng.integers(2):
        return usable, None
    counts = rng.integers(0, 6, rows)
    return usable, (np.append(0, np.cumsum(counts)), rng.integers(-2, width + 4, int(counts.sum())))


def plainly(function, *arguments, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k, "kernels", lambda: None)
        return function(*arguments, **options)


def scores_agree(seed):
    rng = np.random.default_rng(seed)
    rows, width = rng.integers(0, 6), rng.choice([0, 1, 3, 70, 300])
    scores = rng.integers(-4, 5, (rows, width)).astype(np.float32)
    for bad, share in ((np.nan, 0.1), (np.inf, 0.05), (-np.inf, 0.2)):
        scores[rng.random(scores.shape) < share] = bad
    if seed % 3 == 0:
        scores = np.asfortranarray(scores)
    usable, exclude = random_options(rng, rows, width)
    k = int(rng.choice([0, 1, 2, 20, 1_000, 2**62]))
    want = plainly(top_k_dense, scores.copy(), k, usable=usable, exclude=exclude)
    found = top_k_dense(scores, k, usable=usable, exclude=exclude)
    for ours, plain in zip(found, want, strict=True):
        np.testing.assert_array_equal(ours, plain)
        assert ours.dtype == plain.dtype


def products_agree(seed):
    """Vectors of whole numbers have exact products, so that lists are equal whatever the tiles."""
    rng = np.random.default_rng(seed)
    rows, n, d = rng.integers(0, 9), rng.choice([0, 1, 5, 90, 700]), rng.integers(1, 5)
    queries = rng.integers(-3, 4, (rows, d)).astype(np.float32)
    vectors = rng.integers(-3, 4, (n, d)).astype(np.float32)
    usable, exclude = random_options(rng, rows, n)
    k = int(rng.choice([0, 1, 5, 20, 10**6]))
    want = plainly(top_k_products, queries, vectors, k, usable=usable, exclude=exclude)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k, "_TILE_ROWS", int(rng.choice([1, 3, 384])))
        patch.setattr(top_k, "_TILE_COLUMNS", int(rng.choice([1, 17, 64, 512])))
        found = top_k_products(queries, vectors, k, usable=usable, exclude=exclude)
    for ours, plain in zip(found, want, strict=True):
        np.testing.assert_array_equal(ours, plain)


@settings(max_examples=100)
@given(seeds)
def test_best_scores_are_those_of_a_partition(seed):
    scores_agree(seed)


@pytest.mark.slow
@settings(max_examples=2_000)
@given(seeds)
def test_best_scores_are_those_of_a_partition_in_many_cases(seed):
    scores_agree(seed)


@settings(max_examples=100)
@given(seeds)
def test_best_products_are_the_same_for_all_tiles(seed):
    products_agree(seed)


@pytest.mark.slow
@settings(max_examples=2_000)
@given(seeds)
def test_best_products_are_the_same_for_all_tiles_in_many_cases(seed):
    products_agree(seed)


def test_scores_that_are_read_only_or_not_aligned():
    scores = np.arange(6, dtype=np.float32).reshape(2, 3)
    memory = np.zeros(25, np.uint8)[1:]
    memory[:] = np.frombuffer(scores.tobytes(), np.uint8)
    unaligned = memory.view(np.float32).reshape(2, 3)
    scores.flags.writeable = False
    exclude = np.array([0, 1, 1]), np.array([2])
    for given_scores in (scores, unaligned):
        assert top_k_dense(given_scores, 2)[1].tolist() == [2, 1, 2, 1]
        assert top_k_dense(given_scores, 2, exclude=exclude)[1].tolist() == [1, 0, 2, 1]
    assert scores.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "options",
    [
        {"usable": np.ones(4, np.bool_)},
        {"usable": np.ones(3, np.uint8)},
        {"exclude": (np.array([0, 1]), np.array([1]))},
        {"exclude": (np.array([0, 2, 1]), np.array([1, 2]))},
        {"exclude": (np.array([0, 1, 9]), np.array([1, 2]))},
        {"exclude": (np.array([-5, 1, 2]), np.array([1, 2]))},
        {"exclude": (np.array([0, 1, 2]), np.array([1.0, 2.0]))},
    ],
)
def test_options_of_another_shape_are_an_error(options):
    vectors = np.ones((3, 2), np.float32)
    for ask in (
        lambda: top_k_dense(np.zeros((2, 3), np.float32), 2, **options),
        lambda: top_k_products(vectors[:2], vectors, 2, **options),
    ):
        with pytest.raises(ContractError):
            ask()
