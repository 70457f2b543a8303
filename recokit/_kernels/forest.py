"""Forest: boosted trees as plain arrays, and what they make of rows.

The compiled kernel scores by bit vectors (see ``quick_scorer.py``). Without it every row walks every tree, all rows of
a block one step at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._kernels.quick_scorer import QuickScorer
from recokit._native.library import kernels
from recokit.errors import ContractError, DataError
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

#: Leaves of one tree.
MAX_LEAVES = 64
#: Rows that walk together.
_BLOCK_ROWS = 1024
#: LightGBM counts values this close to 0 as 0.
ZERO = np.float32(1e-35)
#: A branch that no training row took has a share all the same, so that no product of shares is 0.
_MIN_SHARE = 1e-9


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree as node arrays, node 0 the root; or several, one after the other.

    Parameters
    ----------
    feature : ndarray of int64, shape (n,)
        Feature that a node splits on.
    threshold : ndarray of float64, shape (n,)
        A row goes left where its value is at most this; of no meaning where it splits by category.
    left, right : ndarray of int64, shape (n,)
        Children; 0 at a leaf.
    missing_left : ndarray of bool, shape (n,)
        Whether a missing value goes left.
    value : ndarray of float64, shape (n,)
        Addition of a leaf to the score.
    cover : ndarray of float64, shape (n,)
        Training rows that reached a node.
    category_node, category : ndarray of int64, shape (c,)
        Splits by category: each such node, ascending, with a category that goes left, ascending. A value's category is
        its whole part; those that are not named, missing ones among them, go right.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    missing_left: BoolArray
    value: FloatArray
    cover: FloatArray
    category_node: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    category: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))


#: The arrays of a tree with an element for each node.
_OF_NODES = tuple(part.name for part in fields(Tree) if not part.name.startswith("category"))


class _Categories:
    """The categories that splits name, each feature's by a code: its place among them, in order.

    What no split names goes right everywhere, and has one code more: other numbers, below 0, and missing values.

    Parameters
    ----------
    feature : ndarray of int64, shape (n,)
        Feature of each node.
    node, category : ndarray of int64, shape (c,)
        Each node that splits by category, ascending, with a category that goes left.
    """

    def __init__(self, feature: IntArray, node: IntArray, category: IntArray) -> None:
        of = feature[node]
        self.named: dict[int, FloatArray] = {}
        self.splits: BoolArray = np.zeros(len(feature), np.bool_)
        self.splits[node] = True
        self._node, self._code = node, np.zeros(len(node), np.int64)
        for f in np.unique(of).tolist():
            self.named[f] = np.unique(category[of == f]).astype(np.float64)
            self._code[of == f] = np.searchsorted(self.named[f], category[of == f])
        self._width = 1 + max(map(len, self.named.values()), default=0)
        self._feature = feature

    def write_codes(self, features: Float32Array, out: Float32Array) -> None:
        """Write the codes of features (N, F) into those columns of ``out`` (N, F) that hold categories."""
        for f, named in self.named.items():
            # As LightGBM reads a number: without what stands behind the point.
            place, found = locate_sorted(named, np.trunc(features[:, f]).astype(np.float64))
            out[:, f] = np.where(found, place, len(named))

    def goes_left(self, node: IntArray, code: Float32Array) -> BoolArray:
        """Tell of pairs of a node and a code, in arrays of any one shape, which go left; False at other nodes."""
        left = self.splits[node]
        keys = self._node * self._width + self._code
        left[left] = locate_sorted(keys, node[left] * self._width + code[left].astype(np.int64))[1]
        return left

    def left_of(self, node: int) -> BoolArray:
        """Return which codes of its feature a split sends left, (codes,) bool."""
        left = np.zeros(len(self.named[int(self._feature[node])]) + 1, np.bool_)
        first, last = np.searchsorted(self._node, [node, node + 1])
        left[self._code[first:last]] = True
        return left


@dataclass(frozen=True)
class _Side:
    """What splits by one feature on the way to a leaf leave: an interval, or of categories the codes in it."""

    above: float = np.nan
    at_most: float = np.inf
    missing: bool = True
    codes: BoolArray | None = None
    #: Of the training rows that came to them.
    share: float = 1.0


@dataclass(frozen=True, eq=False)
class Boxes:
    """L leaves with d features each on their paths: a row is in the leaf whose intervals hold all its values.

    Parameters
    ----------
    feature : ndarray of int64, shape (d, L)
    above, at_most : ndarray of float32, shape (d, L)
        Bounds of the intervals; NaN for no lower bound, infinity for no upper one.
    missing : ndarray of bool, shape (d, L)
        Whether a missing value is inside.
    share : ndarray of float64, shape (d, L)
        Of the training rows that came to the splits by the feature, how many went on towards the leaf.
    value : ndarray of float64, shape (L,)
        Addition of the leaf to the score.
    table : ndarray of int64, shape (d, L)
        Where the codes of a category begin in ``codes``; -1 of a number, whose interval counts.
    codes : ndarray of bool
        Whether each code is inside.
    """

    feature: IntArray
    above: Float32Array
    at_most: Float32Array
    missing: BoolArray
    share: FloatArray
    value: FloatArray
    # Boxes that the last release saved have neither; they are made anew.
    table: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    codes: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))


class Forest:
    """Trees that score rows.

    Parameters
    ----------
    nodes : Tree
        All trees, one after the other; children are positions in these arrays, after their parents.
    roots : ndarray of int64, shape (T,)
        Where each tree begins.
    n_features : int
        Features of a row, F.
    baseline : float
        Score before the first tree.
    zero_is_missing : bool, default False
        Whether a value of 0 counts as missing; the category 0 is one.

    Raises
    ------
    DataError
        If the arrays are no trees: a child before its parent or outside its tree, a feature outside the rows or one
        that is a number here and a category there, a threshold that is not a number, or more than 64 leaves.
    """

    def __init__(
        self,
        *,
        nodes: Tree,
        roots: IntArray,
        n_features: int,
        baseline: float,
        zero_is_missing: bool = False,
    ) -> None:
        self.nodes, self.roots, self.n_features = nodes, roots, n_features
        self.baseline, self.zero_is_missing = baseline, zero_is_missing
        _check_trees(nodes, roots, n_features)
        self._categories = _Categories(nodes.feature, nodes.category_node, nodes.category)
        # A code is never below a threshold.
        self._threshold = np.where(self._categories.splits, np.float32(-np.inf), round_down(nodes.threshold))
        self._quick = None
        if kernels() is not None and len(roots):
            self._quick = QuickScorer.of(
                roots,
                feature=nodes.feature,
                threshold=self._threshold,
                left=nodes.left,
                right=nodes.right,
                missing_left=nodes.missing_left,
                value=nodes.value,
                by_category=self._categories.splits,
                left_of=self._categories.left_of,
            )

    @classmethod
    def compile(
        cls, trees: Sequence[Tree], n_features: int, baseline: float, *, zero_is_missing: bool = False
    ) -> Forest:
        """Compile trees of at most 64 leaves."""
        sizes = np.array([len(tree.value) for tree in trees], np.int64)
        roots = np.cumsum(sizes) - sizes
        columns = {
            part.name: np.concatenate([getattr(tree, part.name) for tree in trees]) for part in fields(Tree)
        }
        for side in ("left", "right"):
            columns[side] = np.where(columns[side] > 0, columns[side] + np.repeat(roots, sizes), 0)
        columns["category_node"] += np.repeat(roots, [len(tree.category_node) for tree in trees])
        return cls(
            nodes=Tree(**columns),
            roots=roots,
            n_features=n_features,
            baseline=float(baseline),
            zero_is_missing=zero_is_missing,
        )

    @property
    def n_trees(self) -> int:
        """Number of trees, T."""
        return len(self.roots)

    def trees(self) -> list[Tree]:
        """Return the trees one by one, the children of each counted from its own root."""
        ends = [*self.roots[1:].tolist(), len(self.nodes.value)]
        trees = []
        for start, end in zip(self.roots.tolist(), ends, strict=True):
            columns = {name: getattr(self.nodes, name)[start:end] for name in _OF_NODES}
            columns |= {side: np.maximum(columns[side] - start, 0) for side in ("left", "right")}
            pairs = slice(*np.searchsorted(self.nodes.category_node, [start, end]).tolist())
            node, category = self.nodes.category_node[pairs] - start, self.nodes.category[pairs]
            trees.append(Tree(**columns, category_node=node, category=category))
        return trees

    def extended(self, more: Forest) -> Forest:
        """Return a forest of these trees and then those of another, with this one's baseline."""
        return Forest.compile(
            [*self.trees(), *more.trees()],
            self.n_features,
            self.baseline,
            zero_is_missing=self.zero_is_missing,
        )

    def raw_score(self, features: Float32Array) -> FloatArray:
        """Return the baseline and then all trees' leaves, added in their order, (N,) float64, for features (N, F)."""
        total = np.full(len(features), self.baseline)
        self._add_leaves(features, total, None)
        return total

    def leaf_values(self, features: Float32Array) -> FloatArray:
        """Return what every tree adds, (N, T) float64: for a block of rows."""
        values = np.empty((len(features), self.n_trees))
        self._add_leaves(features, np.zeros(len(features)), values)
        return values

    def staged_log_loss(self, features: Float32Array, positive: BoolArray, weight: FloatArray) -> FloatArray:
        """Return the weighted log loss after each tree, (T,) float64."""
        total = np.zeros(self.n_trees)
        for block in self.blocks(len(features)):
            raw = np.cumsum(self.leaf_values(features[block]), axis=1) + self.baseline
            loss = np.logaddexp(0.0, raw) - raw * positive[block, None]
            total += weight[block] @ loss
        mean: FloatArray = total / weight.sum()
        return mean

    def blocks(self, n_rows: int) -> Iterator[slice]:
        """Return slices of rows of which each tree's leaf fits into memory."""
        return (slice(start, start + _BLOCK_ROWS) for start in range(0, n_rows, _BLOCK_ROWS))

    def _add_leaves(self, features: Float32Array, total: FloatArray, values: FloatArray | None) -> None:
        """Add every tree's leaf to the rows' totals (N,), and write the leaves to ``values`` (N, T) where given."""
        features = self.rows(features)
        if self._quick is not None:
            self._quick.add_leaves(features, total, values)
            return
        for block in self.blocks(len(features)):
            leaves = self.nodes.value[self._walk(features[block])]
            for leaf in leaves.T:
                total[block] += leaf
            if values is not None:
                values[block] = leaves

    def _walk(self, features: Float32Array) -> IntArray:
        """Return the leaf that every row comes to in every tree, (N, T)."""
        nodes, row = self.nodes, np.arange(len(features))[:, None]
        at: IntArray = np.tile(self.roots, (len(features), 1))
        while (inside := nodes.left[at] > 0).any():
            value = features[row, nodes.feature[at]]
            goes_left = np.where(np.isnan(value), nodes.missing_left[at], value <= self._threshold[at])
            goes_left |= self._categories.goes_left(at, value)
            at = np.where(inside, np.where(goes_left, nodes.left[at], nodes.right[at]), at)
        return at

    def rows(self, features: Float32Array) -> Float32Array:
        """Return features (N, F) as the trees read them, checked and in order.

        NaN stands where they take a value for missing, and a category's code in its place.
        """
        if features.dtype != np.float32 or features.ndim != 2 or features.shape[1] != self.n_features:
            raise ContractError(
                f"found features of shape {features.shape}, {features.dtype}; "
                f"expected (N, {self.n_features}), float32"
            )
        read = features
        if self.zero_is_missing:
            read = np.where(np.abs(features) <= ZERO, np.float32(np.nan), features)
        if self._categories.named:
            read = read.copy()
            self._categories.write_codes(features, read)
        return np.require(read, requirements=["C", "ALIGNED"])

    @cached_property
    def boxes(self) -> list[Boxes]:
        """Leaves as boxes, those with equally many features together: made at the first use."""
        return _leaf_boxes(self.nodes, self.roots, self._categories)


def round_down(threshold: FloatArray) -> Float32Array:
    """Return the largest float32 at most each threshold, so that comparing float32 values gives the same answer."""
    with np.errstate(
        over="ignore"
    ):  # beyond float32 is infinite, and so is what lies below its lowest number
        rounded = threshold.astype(np.float32)
        below = np.nextafter(rounded, np.float32(-np.inf))
    lower: Float32Array = np.where(rounded > threshold, below, rounded)
    return lower


def _check_trees(nodes: Tree, roots: IntArray, n_features: int) -> None:
    """Raise DataError where the arrays are no trees."""
    n = len(nodes.value)
    whole = (
        all(getattr(nodes, name).shape == (n,) for name in _OF_NODES)
        and all(part.dtype.kind == "i" for part in (nodes.feature, nodes.left, nodes.right, roots))
        and nodes.missing_left.dtype == np.bool_
        and np.isfinite(nodes.cover).all()
        and (roots[:1] == 0).all()
        and (np.diff(roots, append=n) > 0).all()
    )
    split = np.flatnonzero(nodes.left) if whole else np.zeros(0, np.int64)
    tree = np.searchsorted(roots, split, side="right") - 1
    end = np.append(roots[1:], n)[tree]
    children = np.concatenate([nodes.left[split], nodes.right[split]])
    later = (nodes.left[split] > split) & (nodes.right[split] > split)
    within = (nodes.left[split] < end) & (nodes.right[split] < end)
    asked = (nodes.feature[split] >= 0) & (nodes.feature[split] < n_features)
    if not (
        whole
        and (later & within & asked & ~np.isnan(nodes.threshold[split])).all()
        and np.array_equal(np.sort(children), np.delete(np.arange(n), roots))
        and (np.bincount(tree, minlength=1) < MAX_LEAVES).all()
        and _are_categories(nodes, split)
    ):
        raise DataError(
            f"found arrays that are no trees; expected splits on features 0 to {n_features - 1} with a threshold or "
            "categories, each feature with one of the two, every node after its one parent, and at most "
            f"{MAX_LEAVES} leaves a tree"
        )


def _are_categories(nodes: Tree, split: IntArray) -> bool:
    """Return whether the pairs of a node and a category ascend, are of splits, and of no feature of thresholds."""
    node, category = nodes.category_node, nodes.category
    if node.shape != category.shape or node.ndim != 1 or node.dtype.kind + category.dtype.kind != "ii":
        return False
    if not np.isin(node, split).all():
        return False
    later = (np.diff(node) > 0) | ((np.diff(node) == 0) & (np.diff(category) > 0))
    named = (category >= 0) & (category < 2**31) & ~nodes.missing_left[node]
    by_number = nodes.feature[np.setdiff1d(split, node)]
    return bool(later.all() and named.all() and not np.isin(nodes.feature[node], by_number).any())


def _leaf_boxes(nodes: Tree, roots: IntArray, categories: _Categories) -> list[Boxes]:
    feature, left, right = nodes.feature.tolist(), nodes.left.tolist(), nodes.right.tolist()
    threshold, missing_left = round_down(nodes.threshold).tolist(), nodes.missing_left.tolist()
    cover, by_category = nodes.cover.tolist(), categories.splits.tolist()
    by_size: dict[int, list[tuple[int, dict[int, _Side]]]] = {}
    stack: list[tuple[int, dict[int, _Side]]] = [(root, {}) for root in roots.tolist()]
    while stack:
        node, sides = stack.pop()
        if not left[node]:
            by_size.setdefault(len(sides), []).append((node, sides))
            continue
        children, side = (left[node], right[node]), sides.get(feature[node], _Side())
        down = [side.share * max(cover[child] / max(cover[node], 1e-300), _MIN_SHARE) for child in children]
        if by_category[node]:
            codes = categories.left_of(node)
            split = [codes, ~codes] if side.codes is None else [codes & side.codes, ~codes & side.codes]
            both = [_Side(codes=inside, share=share) for inside, share in zip(split, down, strict=True)]
        else:
            at, goes = threshold[node], missing_left[node]
            # No bound is NaN, which is above nothing.
            both = [
                _Side(side.above, min(side.at_most, at), side.missing and goes, share=down[0]),
                _Side(
                    side.above if side.above > at else at,
                    side.at_most,
                    side.missing and not goes,
                    share=down[1],
                ),
            ]
        stack += [(child, {**sides, feature[node]: part}) for child, part in zip(children, both, strict=True)]
    return [_boxes(by_size[d], d, nodes.value) for d in sorted(by_size)]


def _boxes(leaves: list[tuple[int, dict[int, _Side]]], d: int, value: FloatArray) -> Boxes:
    sides = [side for _, path in leaves for side in path.values()]

    def across(values: list[Any], dtype: Any) -> AnyArray:
        return np.array(values, dtype).reshape(len(leaves), d).T.copy()

    tables = [np.zeros(0, np.bool_) if side.codes is None else side.codes for side in sides]
    start = np.cumsum([0, *map(len, tables)])[:-1]
    return Boxes(
        feature=across([f for _, path in leaves for f in path], np.int64),
        above=across([side.above for side in sides], np.float32),
        at_most=across([side.at_most for side in sides], np.float32),
        missing=across([side.missing for side in sides], np.bool_),
        table=across(
            [-1 if side.codes is None else at for side, at in zip(sides, start, strict=True)], np.int64
        ),
        codes=np.concatenate([np.zeros(0, np.bool_), *tables]),
        share=across([side.share for side in sides], np.float64),
        value=value[[node for node, _ in leaves]],
    )
