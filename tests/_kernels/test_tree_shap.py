"""Shapley values of forests: equal to those by enumeration of subsets, and they add up."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels.forest import Forest, Tree
from recokit._kernels.tree_shap import contributions_of, expected_score
from tests._kernels.test_forest import goes_left, random_rows, random_tree, trees


def expectation(tree: Tree, row: np.ndarray, known: frozenset[int], node: int = 0) -> float:
    """A tree's mean score where only some features are known: both ways of a split by another, by their covers."""
    left, right = int(tree.left[node]), int(tree.right[node])
    if left == 0:
        return float(tree.value[node])
    if int(tree.feature[node]) in known:
        return expectation(tree, row, known, left if goes_left(tree, node, row) else right)
    parts = [tree.cover[child] * expectation(tree, row, known, child) for child in (left, right)]
    return sum(parts) / tree.cover[node]


def shapley(tree: Tree, row: np.ndarray) -> list[float]:
    n = len(row)
    values = []
    for feature in range(n):
        others = [f for f in range(n) if f != feature]
        total = 0.0
        for size in range(n):
            share = factorial(size) * factorial(n - size - 1) / factorial(n)
            for subset in combinations(others, size):
                known = frozenset(subset)
                total += share * (expectation(tree, row, known | {feature}) - expectation(tree, row, known))
        values.append(total)
    return values


@settings(max_examples=30, deadline=None)
@given(st.lists(trees(), min_size=1, max_size=3), st.integers(0, 9))
def test_equal_shapley_values_of_all_subsets(forest: list[Tree], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = (rng.integers(-4, 5, (6, 3)) / 3).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    compiled = Forest.compile(forest, 3, 2.5)
    expected = [np.sum([shapley(tree, row) for tree in forest], axis=0) for row in rows]
    np.testing.assert_allclose(contributions_of(compiled, rows), expected, atol=1e-9)
    nothing = 2.5 + sum(expectation(tree, rows[0], frozenset()) for tree in forest)
    np.testing.assert_allclose(expected_score(compiled), nothing, atol=1e-9)


def test_of_categories_too() -> None:
    rng = np.random.default_rng(1)
    forest = [random_tree(rng, n, by_category=1) for n in (2, 9, 12)]
    rows = random_rows(rng, 20)
    rows[:, 1] = rng.choice([0, 1, 2, 3, 4, 5, 6, -1, np.nan], 20)
    expected = [np.sum([shapley(tree, row) for tree in forest], axis=0) for row in rows]
    np.testing.assert_allclose(contributions_of(Forest.compile(forest, 3, 0.0), rows), expected, atol=1e-9)


@pytest.mark.parametrize("zero_is_missing", [False, True])
def test_add_up_to_the_raw_score(zero_is_missing: bool) -> None:
    rng = np.random.default_rng(0)
    forest = [random_tree(rng, n, 20) for n in (1, 2, *([64] * 100))]
    compiled = Forest.compile(forest, 20, -1.0, zero_is_missing=zero_is_missing)
    rows = random_rows(rng, 100, 20)
    rows[:, 3] = 0.0
    parts = contributions_of(compiled, rows)
    np.testing.assert_allclose(
        parts.sum(axis=1) + expected_score(compiled), compiled.raw_score(rows), atol=1e-6
    )
    single = np.concatenate([contributions_of(compiled, rows[i : i + 1]) for i in range(100)])
    np.testing.assert_array_equal(single, parts)


def test_branches_that_no_row_took() -> None:
    rng = np.random.default_rng(0)
    tree = random_tree(rng, 10)
    tree.cover[:] = 0.0
    compiled = Forest.compile([tree], 3, 0.0)
    rows = random_rows(rng, 50)
    parts = contributions_of(compiled, rows)
    np.testing.assert_allclose(
        parts.sum(axis=1) + expected_score(compiled), compiled.raw_score(rows), atol=1e-6
    )
