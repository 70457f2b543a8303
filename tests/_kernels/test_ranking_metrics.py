"""Hits of ranked lists, and the sums over them, against loops over places."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels import ranking_metrics as kernels
from recokit._native import library

Case = tuple[list[list[int]], list[dict[int, float]]]


def random_case(rng: np.random.Generator, *, largest: int) -> Case:
    """Draw lists with repeats and unknown items, and a truth with repeats and gains of 0."""
    items = rng.integers(0, largest, 6)
    lists = [rng.choice(items, rng.integers(0, 9)).tolist() for _ in range(5)]
    truth = [
        {int(item): float(rng.choice([0.0, 1.0, 2.0])) for item in rng.choice(items, 3) if item}
        for _ in lists
    ]
    return lists, truth


def canonical(truth: list[dict[int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in truth])])
    item = np.array([item for row in truth for item in reversed(row)], np.int64)
    gain = np.array([row[item] for row in truth for item in reversed(row)], np.float64)
    return kernels.distinct_truth(offsets, item, gain)


def hits_of(case: Case) -> kernels.Hits:
    lists, truth = case
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])])
    item = np.array([item for row in lists for item in row], np.int64)
    return kernels.find_hits(offsets, item, *canonical(truth))


def naive_hits(case: Case) -> list[list[tuple[int, float]]]:
    """Return the rank and gain of the hits of each list."""
    found = []
    for items, truth in zip(*case, strict=True):
        found.append(
            [
                (place + 1, truth[item])
                for place, item in enumerate(items)
                if item and truth.get(item, 0) > 0 and item not in items[:place]
            ]
        )
    return found


@pytest.mark.parametrize("largest", [7, 2**61])  # codes, and codes that are hashes
@pytest.mark.parametrize("seed", range(6))
def test_hits_and_their_sums_are_those_of_a_loop(seed: int, largest: int) -> None:
    case = random_case(np.random.default_rng(seed), largest=largest)
    hits, expected = hits_of(case), naive_hits(case)
    found: list[list[tuple[int, float]]] = [[] for _ in expected]
    for row, rank, gain in zip(hits.row.tolist(), hits.rank.tolist(), hits.gain.tolist(), strict=True):
        found[row].append((rank, gain))
    assert found == expected
    assert kernels.hit_counts(hits).tolist() == [len(row) for row in expected]
    dcg = kernels.discounted_gain(hits, kernels.discount(hits.rank))
    np.testing.assert_allclose(dcg, [sum(g / math.log2(r + 1) for r, g in row) for row in expected])
    np.testing.assert_allclose(
        kernels.reciprocal_rank(hits), [1 / row[0][0] if row else 0.0 for row in expected]
    )
    np.testing.assert_allclose(
        kernels.average_precision(hits, np.full(5, 4)),
        [sum((n + 1) / rank for n, (rank, _) in enumerate(row)) / 4 for row in expected],
    )
    np.testing.assert_allclose(
        kernels.misses_above(hits), [sum(rank - 1 - n for n, (rank, _) in enumerate(row)) for row in expected]
    )
    for k in (1, 3, 99):
        assert hits.within(k).rank.tolist() == [rank for row in expected for rank, _ in row if rank <= k]


def test_the_cascade_stops_at_each_hit_with_its_probability() -> None:
    hits = kernels.Hits(3, np.array([0, 0, 2]), np.array([1, 3, 2]), np.array([1.0, 2.0, 1.0]))
    stop = np.array([0.5, 0.25, 0.75])
    np.testing.assert_allclose(kernels.cascade_gain(hits, stop), [0.5 / 1 + 0.5 * 0.25 / 3, 0.0, 0.75 / 2])


def test_the_ideal_list_has_the_largest_gains_first() -> None:
    ideal = kernels.ideal_order(np.array([0, 3, 3, 4]), np.array([1.0, 3.0, 2.0, 5.0]))
    assert ideal.row.tolist() == [0, 0, 0, 2]
    assert ideal.rank.tolist() == [1, 2, 3, 1]
    assert ideal.gain.tolist() == [3.0, 2.0, 1.0, 5.0]


def test_a_truth_keeps_the_largest_gain_of_an_item_and_every_unknown_one() -> None:
    item = np.array([0, 9, 4, 9, 0, 4, 4])
    gain = np.array([1.0, 2.0, 1.0, 3.0, 1.0, 0.0, 1.0])
    offsets, items, gains = kernels.distinct_truth(np.array([0, 5, 7]), item, gain)
    assert offsets.tolist() == [0, 4, 5]
    assert items.tolist() == [0, 0, 4, 9, 4]
    assert gains.tolist() == [1.0, 1.0, 1.0, 3.0, 1.0]


needs_kernels = pytest.mark.skipif(library.kernels() is None, reason="no compiled kernels on this machine")
CASES = st.tuples(st.integers(0, 2**32), st.integers(0, 5), st.sampled_from([3, 40, 2**61]))


def compare(case: tuple[int, int, int]) -> None:
    """Compare both forms, on lists with repeats and truths of all lengths from none to more than a list's."""
    seed, n_rows, largest = case
    rng = np.random.default_rng(seed)
    pool = np.unique(rng.integers(0, largest, 200))
    of_lists, of_truth = (np.append(0, np.cumsum(rng.integers(0, most, n_rows))) for most in (60, 90))
    truth = kernels.distinct_truth(of_truth, rng.choice(pool, of_truth[-1]), rng.integers(0, 3, of_truth[-1]))
    lists = of_lists, rng.choice(pool, of_lists[-1])
    found = kernels._hits_natively(*lists, *truth[:2])
    expected = kernels._hits_by_numpy(*lists, *truth[:2])
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, other)


@needs_kernels
@settings(max_examples=100, deadline=None)
@given(CASES)
def test_both_forms_find_the_same_hits(case: tuple[int, int, int]) -> None:
    compare(case)


@pytest.mark.slow
@needs_kernels
@settings(max_examples=2000, deadline=None)
@given(CASES)
def test_both_forms_find_the_same_hits_many_times(case: tuple[int, int, int]) -> None:
    compare(case)


ONE = np.array([0, 1])


@pytest.mark.parametrize(
    "truth",
    [
        (np.array([0, 2]), np.array([4, 3]), np.ones(2)),
        (np.array([0, 2]), np.array([3, 3]), np.ones(2)),
        (np.array([0, 1]), np.array([-1]), np.ones(1)),
        (np.array([0, 1]), np.array([3]), np.ones(2)),
        (np.array([0, 1, 1]), np.array([3]), np.ones(1)),
        (np.array([0, 2]), np.array([3]), np.ones(1)),
    ],
    ids=["descending", "repeated", "negative", "gains", "rows", "offsets"],
)
def test_a_truth_that_is_not_canonical_is_refused(truth: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    with pytest.raises(IndexError):
        kernels.find_hits(ONE, np.array([3]), *truth)
