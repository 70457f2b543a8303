"""Compiled forest kernels against the plain walk and the plain sum: equal bits, and no crash on hostile input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels import tree_shap
from recokit._kernels.forest import Forest, Tree
from recokit._kernels.tree_shap import contributions_of
from recokit._native import library
from recokit.errors import ContractError, DataError
from tests._kernels.test_forest import random_rows, random_tree

pytestmark = pytest.mark.skipif(library.kernels() is None, reason="no compiled kernels on this machine")
seeds = st.integers(0, 2**32 - 1)


def random_case(seed: int) -> tuple[Forest, np.ndarray]:
    """A forest of 1 to 64 leaves a tree and rows that stand on its thresholds, of any order in memory."""
    rng = np.random.default_rng(seed)
    n_features = int(rng.integers(1, 6))
    leaves = rng.integers(1, int(rng.choice([2, 8, 33, 65])), int(rng.integers(1, 6)))
    by_category = int(rng.integers(n_features)) if seed % 2 else None
    forest = Forest.compile(
        [random_tree(rng, int(n), n_features, by_category) for n in leaves],
        n_features,
        float(rng.normal()),
        zero_is_missing=bool(rng.integers(2)),
    )
    rows = random_rows(rng, int(rng.integers(0, 40)), n_features)
    if by_category is not None:
        rows[:, by_category] = np.trunc(3 * rows[:, by_category])
    if seed % 3 == 0:
        rows = np.asfortranarray(rows)
    if seed % 5 == 0:
        rows.flags.writeable = False
    return forest, rows


def plain(forest: Forest) -> Forest:
    """The same trees, which walk."""
    copied = pickle.loads(pickle.dumps(forest))
    copied._quick = None
    return copied


def forests_agree(seed: int) -> None:
    forest, rows = random_case(seed)
    walking = plain(forest)
    np.testing.assert_array_equal(forest.raw_score(rows), walking.raw_score(rows))
    np.testing.assert_array_equal(forest.leaf_values(rows), walking.leaf_values(rows))
    if len(rows) > 2:
        np.testing.assert_array_equal(forest.raw_score(rows[1::2]), forest.raw_score(rows)[1::2])


def contributions_agree(seed: int) -> None:
    forest, rows = random_case(seed)
    found = contributions_of(forest, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_shap, "kernels", lambda: None)
        np.testing.assert_allclose(found, contributions_of(forest, rows), atol=1e-9)
    if len(rows) > 2:
        np.testing.assert_array_equal(contributions_of(forest, rows[1::2]), found[1::2])


@settings(max_examples=100)
@given(seeds)
def test_scores_are_those_of_walking(seed: int) -> None:
    forests_agree(seed)


@pytest.mark.slow
@settings(max_examples=2_000)
@given(seeds)
def test_scores_are_those_of_walking_in_many_cases(seed: int) -> None:
    forests_agree(seed)


@settings(max_examples=100)
@given(seeds)
def test_contributions_are_those_of_the_plain_sum(seed: int) -> None:
    contributions_agree(seed)


@pytest.mark.slow
@settings(max_examples=2_000)
@given(seeds)
def test_contributions_are_those_of_the_plain_sum_in_many_cases(seed: int) -> None:
    contributions_agree(seed)


def unaligned(rows: np.ndarray) -> np.ndarray:
    memory = np.zeros(rows.nbytes + 1, np.uint8)[1:]
    memory[:] = np.frombuffer(rows.tobytes(), np.uint8)
    return memory.view(np.float32).reshape(rows.shape)


def test_rows_that_are_not_aligned_are_scored_too() -> None:
    forest, rows = random_case(4)
    np.testing.assert_array_equal(forest.raw_score(unaligned(rows)), forest.raw_score(rows))
    np.testing.assert_array_equal(contributions_of(forest, unaligned(rows)), contributions_of(forest, rows))


@pytest.mark.parametrize("shape", [(3, 0), (3, 2), (3, 4), (3,), (0, 9)])
def test_rows_of_another_width_are_an_error(shape: tuple[int, ...]) -> None:
    forest = Forest.compile([random_tree(np.random.default_rng(0), 9)], 3, 0.0)
    for answer in (forest.raw_score, forest.leaf_values, lambda rows: contributions_of(forest, rows)):
        with pytest.raises(ContractError, match=r"expected \(N, 3\)"):
            answer(np.zeros(shape, np.float32))
        with pytest.raises(ContractError, match="float64"):
            answer(np.zeros((2, 3)))


def broken(name: str, at: int, value: float) -> Tree:
    tree = random_tree(np.random.default_rng(1), 12)
    getattr(tree, name)[np.flatnonzero(tree.left)[at]] = value
    return tree


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("left", 99),
        ("left", 1),
        ("left", -3),
        ("right", 0),
        ("right", 2**40),
        ("feature", 3),
        ("feature", -1),
        ("threshold", np.nan),
    ],
)
def test_arrays_that_are_no_trees_are_refused(name: str, value: float) -> None:
    with pytest.raises(DataError, match="no trees"):
        Forest.compile([broken(name, 4, value)], 3, 0.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("category", -1),
        ("category", 2**31),
        ("category_node", 10**6),
        ("category_node", -1),
        ("missing_left", True),
    ],
)
def test_categories_that_are_none_are_refused(name: str, value: int) -> None:
    tree = random_tree(np.random.default_rng(5), 12, by_category=1)
    at = -1 if name.startswith("category") else tree.category_node[0]
    getattr(tree, name)[at] = value
    with pytest.raises(DataError, match=r"no trees.*categories"):
        Forest.compile([tree], 3, 0.0)


def test_a_feature_is_a_number_or_a_category() -> None:
    rng = np.random.default_rng(6)
    with pytest.raises(DataError, match="each feature with one of the two"):
        Forest.compile([random_tree(rng, 12, by_category=1), random_tree(rng, 12)], 3, 0.0)


def test_more_leaves_than_two_words_have_are_refused() -> None:
    with pytest.raises(DataError, match="at most 64 leaves"):
        Forest.compile([random_tree(np.random.default_rng(2), 65)], 3, 0.0)


def test_a_forest_of_no_rows_and_one_of_no_features() -> None:
    forest = Forest.compile([random_tree(np.random.default_rng(3), 1, 1)], 0, 2.0)
    assert forest.raw_score(np.zeros((2, 0), np.float32)).tolist() == [2.0 + forest.nodes.value[0]] * 2
    assert forest.raw_score(np.zeros((0, 0), np.float32)).shape == (0,)
    assert contributions_of(forest, np.zeros((2, 0), np.float32)).shape == (2, 0)
