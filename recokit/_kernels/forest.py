"""Forest: boosted trees as plain arrays, and what they make of rows.

The compiled kernel scores by bit vectors (see ``quick_scorer.py``). Without it every row walks every tree, all rows of
a block one step at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from recokit._kernels.quick_scorer import QuickScorer
from recokit._native.library import kernels
from recokit.errors import ContractError, DataError
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

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
        A row goes left where its value is at most this.
    left, right : ndarray of int64, shape (n,)
        Children; 0 at a leaf.
    missing_left : ndarray of bool, shape (n,)
        Whether a missing value goes left.
    value : ndarray of float64, shape (n,)
        Addition of a leaf to the score.
    cover : ndarray of float64, shape (n,)
        Training rows that reached a node.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    missing_left: BoolArray
    value: FloatArray
    cover: FloatArray


#: Of one feature on the way to a leaf: above, at most, missing allowed, share of training rows.
_Side: TypeAlias = tuple[float, float, bool, float]


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
    """

    feature: IntArray
    above: Float32Array
    at_most: Float32Array
    missing: BoolArray
    share: FloatArray
    value: FloatArray


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
        Whether a value of 0 counts as missing.

    Raises
    ------
    DataError
        If the arrays are no trees: a child before its parent or outside its tree, a feature outside the rows, a
        threshold that is not a number, or more than 64 leaves.
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
        self._threshold = round_down(nodes.threshold)
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
            tree = Tree(**{part.name: getattr(self.nodes, part.name)[start:end] for part in fields(Tree)})
            sides = {side: np.maximum(getattr(tree, side) - start, 0) for side in ("left", "right")}
            trees.append(replace(tree, **sides))
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
            at = np.where(inside, np.where(goes_left, nodes.left[at], nodes.right[at]), at)
        return at

    def rows(self, features: Float32Array) -> Float32Array:
        """Return features (N, F), checked, in order, with NaN where the trees take a value for missing."""
        if features.dtype != np.float32 or features.ndim != 2 or features.shape[1] != self.n_features:
            raise ContractError(
                f"found features of shape {features.shape}, {features.dtype}; "
                f"expected (N, {self.n_features}), float32"
            )
        if self.zero_is_missing:
            features = np.where(np.abs(features) <= ZERO, np.float32(np.nan), features)
        return np.require(features, requirements=["C", "ALIGNED"])

    @cached_property
    def boxes(self) -> list[Boxes]:
        """Leaves as boxes, those with equally many features together: made at the first use."""
        return _leaf_boxes(self.nodes, self.roots)


def round_down(threshold: FloatArray) -> Float32Array:
    """Return the largest float32 at most each threshold, so that comparing float32 values gives the same answer."""
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        rounded = threshold.astype(np.float32)
    lower: Float32Array = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return lower


def _check_trees(nodes: Tree, roots: IntArray, n_features: int) -> None:
    """Raise DataError where the arrays are no trees."""
    n = len(nodes.value)
    whole = (
        all(getattr(nodes, part.name).shape == (n,) for part in fields(Tree))
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
    ):
        raise DataError(
            f"found arrays that are no trees; expected splits on features 0 to {n_features - 1} with a threshold, "
            f"every node after its one parent, and at most {MAX_LEAVES} leaves a tree"
        )


def _leaf_boxes(nodes: Tree, roots: IntArray) -> list[Boxes]:
    feature, left, right = nodes.feature.tolist(), nodes.left.tolist(), nodes.right.tolist()
    threshold, missing_left = round_down(nodes.threshold).tolist(), nodes.missing_left.tolist()
    cover = nodes.cover.tolist()
    by_size: dict[int, list[tuple[int, dict[int, _Side]]]] = {}
    stack: list[tuple[int, dict[int, _Side]]] = [(root, {}) for root in roots.tolist()]
    while stack:
        node, sides = stack.pop()
        if not left[node]:
            by_size.setdefault(len(sides), []).append((node, sides))
            continue
        f, at = feature[node], threshold[node]
        above, at_most, missing, share = sides.get(f, (np.nan, np.inf, True, 1.0))
        down = [
            max(cover[child] / max(cover[node], 1e-300), _MIN_SHARE) for child in (left[node], right[node])
        ]
        to_left = (above, min(at_most, at), missing and missing_left[node], share * down[0])
        # No bound is NaN, which is above nothing.
        to_right = (above if above > at else at, at_most, missing and not missing_left[node], share * down[1])
        stack += [(left[node], {**sides, f: to_left}), (right[node], {**sides, f: to_right})]
    return [_boxes(by_size[d], d, nodes.value) for d in sorted(by_size)]


def _boxes(leaves: list[tuple[int, dict[int, _Side]]], d: int, value: FloatArray) -> Boxes:
    shape = (len(leaves), d)
    sides = [side for _, path in leaves for side in path.values()]
    above, at_most, missing, share = zip(*sides, strict=True) if sides else ((), (), (), ())
    return Boxes(
        feature=np.array([f for _, path in leaves for f in path], np.int64).reshape(shape).T.copy(),
        above=np.array(above, np.float32).reshape(shape).T.copy(),
        at_most=np.array(at_most, np.float32).reshape(shape).T.copy(),
        missing=np.array(missing, np.bool_).reshape(shape).T.copy(),
        share=np.array(share, np.float64).reshape(shape).T.copy(),
        value=value[[node for node, _ in leaves]],
    )
