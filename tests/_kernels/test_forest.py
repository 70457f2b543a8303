"""Forest: that bit vectors find the leaves that walking the trees finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels.forest import Forest, Tree, round_down
from recokit.data.state.encode import from_state, to_state

_small = st.integers(-3, 3).map(lambda n: n / 3)


@st.composite
def trees(draw: st.DrawFn, most: int = 12) -> Tree:
    """A random tree, grown by splitting a random leaf."""
    feature, threshold, left, right, missing_left, value = [0], [0.0], [0], [0], [False], [draw(_small)]
    for _ in range(draw(st.integers(0, most))):
        leaves = [i for i, child in enumerate(left) if child == 0]
        node = draw(st.sampled_from(leaves))
        feature[node], threshold[node] = draw(st.integers(0, 2)), draw(_small)
        missing_left[node] = draw(st.booleans())
        left[node], right[node] = len(left), len(left) + 1
        for _ in range(2):
            feature.append(0)
            threshold.append(0.0)
            left.append(0)
            right.append(0)
            missing_left.append(False)
            value.append(draw(_small))
    return Tree(*map(np.array, (feature, threshold, left, right, missing_left, value)), covers(left, right))


def covers(left: list[int], right: list[int]) -> np.ndarray:
    """Leaves of 1, 2, 3... rows."""
    cover = np.zeros(len(left))
    for node in reversed(range(len(left))):  # children come after their parents
        cover[node] = cover[left[node]] + cover[right[node]] if left[node] else 1 + node
    return cover


def random_tree(
    rng: np.random.Generator, n_leaves: int, n_features: int = 3, by_category: int | None = None
) -> Tree:
    """A random tree of many leaves, deep on one side as often as not; one feature's values may be categories."""
    left, right = [0], [0]
    for _ in range(n_leaves - 1):
        leaves = [i for i, child in enumerate(left) if child == 0]
        node = leaves[-1] if rng.random() < 0.5 else leaves[rng.integers(len(leaves))]
        left[node], right[node] = len(left), len(left) + 1
        left += [0, 0]
        right += [0, 0]
    n = len(left)
    feature = rng.integers(0, n_features, n)
    coded = np.flatnonzero((feature == by_category) & (np.array(left) > 0))
    sets = [
        np.flatnonzero(rng.random(6) < 0.5) if rng.random() < 0.9 else np.array([0, 2**31 - 1]) for _ in coded
    ]
    sets = [each if len(each) else np.array([3]) for each in sets]
    return Tree(
        feature,
        rng.integers(-40, 41, n) / 20,
        np.array(left),
        np.array(right),
        (rng.random(n) < 0.5) & ~np.isin(np.arange(n), coded),
        rng.normal(size=n),
        covers(left, right),
        np.repeat(coded, [len(each) for each in sets]).astype(np.int64),
        np.concatenate([np.zeros(0, np.int64), *sets]),
    )


def random_rows(rng: np.random.Generator, n: int, n_features: int = 3) -> np.ndarray:
    """Rows that often stand on a threshold, with missing and infinite values."""
    rows = (rng.integers(-45, 46, (n, n_features)) / 20).astype(np.float32)
    for value, share in ((np.nan, 0.15), (np.inf, 0.03), (-np.inf, 0.03)):
        rows[rng.random(rows.shape) < share] = value
    return rows


def goes_left(tree: Tree, node: int, row: np.ndarray) -> bool:
    value = float(row[tree.feature[node]])
    named = tree.category[tree.category_node == node].tolist()
    if named:
        return bool(np.isfinite(value)) and int(value) in named
    return bool(tree.missing_left[node]) if np.isnan(value) else value <= tree.threshold[node]


def walk(tree: Tree, row: np.ndarray) -> float:
    node = 0
    while tree.left[node]:
        node = tree.left[node] if goes_left(tree, node, row) else tree.right[node]
    return float(tree.value[node])


@settings(max_examples=60, deadline=None)
@given(st.lists(trees(), min_size=1, max_size=4), st.integers(0, 9))
def test_forest_equals_walking_the_trees(forest: list[Tree], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = (rng.integers(-4, 5, (30, 3)) / 3).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    expected = [2.5 + sum(walk(tree, row) for tree in forest) for row in rows]
    np.testing.assert_allclose(Forest.compile(forest, 3, 2.5).raw_score(rows), expected, atol=1e-12)


@pytest.mark.parametrize("n_leaves", [1, 2, 31, 32, 33, 63, 64])
def test_many_leaves(n_leaves: int) -> None:
    rng = np.random.default_rng(n_leaves)
    forest = [random_tree(rng, n) for n in (n_leaves, 1, n_leaves, max(1, n_leaves // 2))]
    rows = random_rows(rng, 200)
    expected = np.array([[walk(tree, row) for tree in forest] for row in rows])
    compiled = Forest.compile(forest, 3, 0.0)
    np.testing.assert_array_equal(compiled.leaf_values(rows), expected)
    loaded = from_state(*to_state(compiled))
    np.testing.assert_array_equal(loaded.raw_score(rows), compiled.raw_score(rows))


def test_many_trees_and_many_rows() -> None:
    rng = np.random.default_rng(4)
    forest = [random_tree(rng, int(n)) for n in rng.integers(1, 32, 150)]
    rows = random_rows(rng, 1_100)
    compiled = Forest.compile(forest, 3, 1.0)
    expected = [[walk(tree, row) for tree in forest] for row in rows[-30:]]
    np.testing.assert_array_equal(compiled.leaf_values(rows[-30:]), expected)
    np.testing.assert_allclose(compiled.raw_score(rows)[-30:], np.sum(expected, axis=1) + 1.0, atol=1e-12)
    # A row's score is its own, whatever the block that it stands in.
    np.testing.assert_array_equal(compiled.raw_score(rows)[700:701], compiled.raw_score(rows[700:701]))


def test_thresholds_beyond_float32() -> None:
    rng = np.random.default_rng(0)
    tree = random_tree(rng, 6, 1)
    tree.threshold[:] = rng.choice(
        [np.inf, 1e300, -1e300, 1e-40, np.nextafter(1.0, 2.0), 1.0], len(tree.value)
    )
    rows = np.array([[np.inf], [-np.inf], [3e38], [-3e38], [0.0], [1.0], [1.0000001], [np.nan]], np.float32)
    expected = [walk(tree, row) for row in rows]
    np.testing.assert_array_equal(Forest.compile([tree], 1, 0.0).raw_score(rows), expected)


def test_rows_that_share_a_value() -> None:
    rng = np.random.default_rng(1)
    forest = [random_tree(rng, 31) for _ in range(5)]
    rows = random_rows(rng, 50)
    rows[:, 0], rows[:, 1] = 0.35, np.nan  # features of the user: a single interval for all rows
    expected = [sum(walk(tree, row) for tree in forest) for row in rows]
    np.testing.assert_allclose(Forest.compile(forest, 3, 0.0).raw_score(rows), expected, atol=1e-12)


@pytest.mark.parametrize("n_leaves", [2, 20, 33, 64])
def test_splits_by_category(n_leaves: int) -> None:
    rng = np.random.default_rng(n_leaves)
    forest = [random_tree(rng, n, by_category=1) for n in (n_leaves, 1, n_leaves, 5)]
    rows = random_rows(rng, 300)
    rows[:, 1] = rng.choice([0, -0.0, -0.7, -1, 0.9, 1, 2.5, 3, 4, 5, 6, 2**31, np.nan, np.inf, -np.inf], 300)
    expected = [[walk(tree, row) for tree in forest] for row in rows]
    compiled = Forest.compile(forest, 3, 0.0)
    np.testing.assert_array_equal(compiled.leaf_values(rows), expected)
    loaded = from_state(*to_state(compiled))
    np.testing.assert_array_equal(loaded.leaf_values(rows), expected)
    parts = [Forest.compile(forest[:2], 3, 0.0), Forest.compile(forest[2:], 3, 0.0)]
    np.testing.assert_array_equal(parts[0].extended(parts[1]).leaf_values(rows), expected)
    for tree, again in zip(forest, compiled.trees(), strict=True):
        assert again.category_node.tolist() == tree.category_node.tolist()
        assert again.category.tolist() == tree.category.tolist()


def test_the_category_0_is_not_missing_where_the_number_0_is() -> None:
    rng = np.random.default_rng(8)
    tree, rows = random_tree(rng, 30, 2, by_category=0), random_rows(rng, 100, 2)
    rows[:50, 0], rows[50:, 0] = 0.0, np.nan
    assert 0 in tree.category
    found = Forest.compile([tree], 2, 0.0, zero_is_missing=True).raw_score(rows)
    absent = np.where(np.abs(rows[:, 1:]) <= 1e-35, np.float32(np.nan), rows[:, 1:])
    np.testing.assert_array_equal(found, [walk(tree, row) for row in np.hstack([rows[:, :1], absent])])


def test_zero_is_missing() -> None:
    rng = np.random.default_rng(2)
    tree = random_tree(rng, 20)
    rows = random_rows(rng, 300)
    rows[:5] = [[0.0, -0.0, 1e-36]] * 5
    absent = np.where(np.abs(rows) <= 1e-35, np.float32(np.nan), rows)
    plain, sparse = (Forest.compile([tree], 3, 0.0, zero_is_missing=zero) for zero in (False, True))
    np.testing.assert_array_equal(sparse.raw_score(rows), plain.raw_score(absent))
    assert (sparse.raw_score(rows) != plain.raw_score(rows)).any()


def test_extended_adds_the_trees_of_another() -> None:
    rng = np.random.default_rng(3)
    first, second = ([random_tree(rng, n) for n in sizes] for sizes in ((5, 40), (9,)))
    rows = random_rows(rng, 80)
    both = Forest.compile(first, 3, 1.5).extended(Forest.compile(second, 3, 9.0))
    np.testing.assert_array_equal(
        both.leaf_values(rows), Forest.compile([*first, *second], 3, 0.0).leaf_values(rows)
    )
    assert both.baseline == 1.5 and both.n_trees == 3


def test_staged_log_loss_is_that_of_the_trees_so_far() -> None:
    rng = np.random.default_rng(5)
    forest = [random_tree(rng, 8) for _ in range(3)]
    rows, positive, weight = random_rows(rng, 1_500), rng.random(1_500) < 0.4, rng.random(1_500)
    loss = Forest.compile(forest, 3, -0.7).staged_log_loss(rows, positive, weight)
    raw = np.full(1_500, -0.7)
    for stage, tree in enumerate(forest):
        raw += [walk(tree, row) for row in rows]
        chance = 1 / (1 + np.exp(-np.where(positive, raw, -raw)))
        assert loss[stage] == pytest.approx(np.average(-np.log(chance), weights=weight))


def test_trees_come_out_as_they_went_in() -> None:
    rng = np.random.default_rng(6)
    forest = [random_tree(rng, n) for n in (1, 7, 3)]
    for tree, again in zip(forest, Forest.compile(forest, 3, 0.0).trees(), strict=True):
        assert again.left.tolist() == tree.left.tolist() and again.right.tolist() == tree.right.tolist()
        assert again.value.tolist() == tree.value.tolist() and again.cover.tolist() == tree.cover.tolist()


def test_boxes_hold_the_rows_that_their_leaves_get() -> None:
    rng = np.random.default_rng(7)
    tree, rows = random_tree(rng, 20), random_rows(rng, 200)
    forest = Forest.compile([tree], 3, 0.0)
    for row in rows:
        values = [
            float(boxes.value[leaf])
            for boxes in forest.boxes
            for leaf in range(len(boxes.value))
            if all(
                missing if np.isnan(row[f]) else (np.isnan(above) or row[f] > above) and row[f] <= at_most
                for f, above, at_most, missing in zip(
                    boxes.feature[:, leaf],
                    boxes.above[:, leaf],
                    boxes.at_most[:, leaf],
                    boxes.missing[:, leaf],
                    strict=True,
                )
            )
        ]
        assert values == [walk(tree, row)]


def test_thresholds_round_down_to_float32_up_to_its_ends():
    ends = np.finfo(np.float32)
    lowest, highest = float(ends.min), float(ends.max)
    below = float(np.nextafter(np.float32(0.1), np.float32(0)))
    found = round_down(np.array([0.1, 0.5, lowest, lowest * 1.5, highest * 1.5]))
    assert found.tolist() == [below, 0.5, lowest, -np.inf, highest]
