"""Forest: boosted trees as plain arrays, scored with numpy by bit vectors.

Every leaf of a tree is one bit, leftmost leaf first. A split that sends a row right rules out the leaves of its left
subtree, so for each feature and each interval between two thresholds the surviving leaves of every tree are a constant
mask. Scoring is then one table row for each feature, ANDed together; the lowest bit left is the leaf (QuickScorer;
Lucchese et al., 2015, with the masks tabulated by interval). No split is followed one by one, so a block of rows and
trees costs few numpy calls, and a row's score cannot depend on its neighbours. What bounds it is memory: blocks are of
a size at which the masks of the rows stay in a core's own cache, and the tables of few trees nearly do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

#: Leaves of one tree: one bit each.
MAX_LEAVES = 64
#: Trees whose masks are looked up together.
_BLOCK_TREES = 64
#: Masks of a block of rows and trees: two such blocks stay in a core's own cache.
_BLOCK_BYTES = 2**18
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
    """Trees compiled to masks.

    Parameters
    ----------
    nodes : Tree
        All trees, one after the other; children are positions in these arrays.
    roots : ndarray of int64, shape (T,)
        Where each tree begins.
    n_features : int
        Features of a row, F.
    baseline : float
        Score before the first tree.
    zero_is_missing : bool, default False
        Whether a value of 0 counts as missing.
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
        self._thresholds, self._offsets = _thresholds_by_feature(nodes, n_features)
        first, last, self._leaves = _leaf_spans(nodes, roots)
        masks = _masks(nodes, roots, first, last, thresholds=self._thresholds, offsets=self._offsets)
        starts = range(0, len(roots), _BLOCK_TREES)
        self._masks = [np.ascontiguousarray(masks[:, start : start + _BLOCK_TREES]) for start in starts]
        self._used = np.flatnonzero(np.diff(self._offsets)).tolist()
        # What the exponent of a leaf's bit is off from the leaf's place among all leaves.
        first_leaf = np.arange(len(roots)) * self._leaves.shape[1] - 127
        self._first_leaf = [first_leaf[start : start + _BLOCK_TREES] for start in starts]

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
        """Return the sum of the baseline and all trees' leaves, (N,) float64, for features (N, F)."""
        score = np.full(len(features), self.baseline)
        for block in self.blocks(len(features)):
            for added in self._leaf_values(features[block]):
                score[block] += added.sum(axis=1)
        return score

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
        """Return slices of rows whose masks stay in cache."""
        step = _BLOCK_BYTES // (_BLOCK_TREES * self._masks[0].dtype.itemsize)
        return (slice(start, start + step) for start in range(0, n_rows, step))

    def leaf_values(self, features: Float32Array) -> FloatArray:
        """Return what every tree adds, (N, T) float64: for a block of rows."""
        return np.concatenate(list(self._leaf_values(features)), axis=1)

    def _leaf_values(self, features: Float32Array) -> Iterator[FloatArray]:
        """Yield what the trees of each block add, (N, up to 64) float64."""
        columns = np.ascontiguousarray(self.with_missing(features).T)
        intervals = [self._intervals(columns[f], f) for f in self._used]
        for masks, first_leaf in zip(self._masks, self._first_leaf, strict=True):
            surviving = _no_masks((len(features), masks.shape[1]), masks.dtype)
            rows = np.empty_like(surviving)
            for interval in intervals:
                if len(interval) == 1:
                    surviving &= masks[interval]
                else:
                    np.take(masks, interval, axis=0, out=rows, mode="clip")
                    surviving &= rows
            # The lowest bit alone is a power of two: exact in floating point, and its exponent is the leaf.
            lowest = np.negative(surviving, out=rows)
            lowest &= surviving
            leaf = lowest.astype(np.float32).view(np.int32) >> 23
            yield self._leaves.ravel().take(leaf + first_leaf, mode="clip")

    def with_missing(self, features: Float32Array) -> Float32Array:
        """Return features (N, F) with NaN where the trees take a value for missing."""
        if not self.zero_is_missing:
            return features
        return np.where(np.abs(features) <= ZERO, np.float32(np.nan), features)

    @cached_property
    def boxes(self) -> list[Boxes]:
        """Leaves as boxes, those with equally many features together: made at the first use."""
        return _leaf_boxes(self.nodes, self.roots)

    def _intervals(self, values: Float32Array, f: int) -> IntArray:
        """Return the row of the masks for each value of a feature; one where all are of the same."""
        first, last = int(self._offsets[f]), int(self._offsets[f + 1])
        # A value equal to the threshold goes left, hence side="left"; NaN sorts last: the interval after the last.
        interval = self._thresholds[first:last].searchsorted(values, side="left")
        interval += np.isnan(values)
        interval += first + 2 * f
        # A feature of the user or the request is the same in all rows.
        return interval[:1] if (interval == interval[:1]).all() else interval


def _no_masks(shape: tuple[int, int], dtype: Any) -> AnyArray:
    """Return masks that rule out no leaf."""
    return ~np.zeros(shape, dtype)


def round_down(threshold: FloatArray) -> Float32Array:
    """Return the largest float32 at most each threshold, so that comparing float32 values gives the same answer."""
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        rounded = threshold.astype(np.float32)
    lower: Float32Array = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return lower


def _thresholds_by_feature(nodes: Tree, n_features: int) -> tuple[Float32Array, IntArray]:
    """Return each feature's distinct thresholds, ascending, and where each feature's begin, (F + 1,)."""
    split = np.flatnonzero(nodes.left)
    pairs = np.unique(np.stack([nodes.feature[split], round_down(nodes.threshold[split])]), axis=1)
    offsets = np.zeros(n_features + 1, np.int64)
    np.cumsum(np.bincount(pairs[0].astype(np.int64), minlength=n_features), out=offsets[1:])
    return pairs[1].astype(np.float32), offsets


def _leaf_spans(nodes: Tree, roots: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Return each node's span of leaves, counted left to right in its tree, and the leaf values (T, L)."""
    first, last = np.zeros(len(nodes.value), np.int64), np.zeros(len(nodes.value), np.int64)
    left, right, value = nodes.left.tolist(), nodes.right.tolist(), nodes.value
    ordered: list[list[int]] = []
    for root in roots.tolist():
        leaves: list[int] = []
        stack = [(root, False)]
        while stack:
            node, children_done = stack.pop()
            if children_done:
                last[node] = len(leaves)
                continue
            first[node] = len(leaves)
            stack.append((node, True))
            if left[node]:
                stack += [(right[node], False), (left[node], False)]
            else:
                leaves.append(node)
        ordered.append(leaves)
    values = np.zeros((len(roots), max(map(len, ordered))))
    for t, leaves in enumerate(ordered):
        values[t, : len(leaves)] = value[leaves]
    return first, last, values


def _masks(
    nodes: Tree, roots: IntArray, first: IntArray, last: IntArray, thresholds: Float32Array, offsets: IntArray
) -> AnyArray:
    """Return the surviving leaves of every tree, (intervals, T) uint32 or uint64.

    Each feature has its intervals in order and then one row for missing values; feature ``f`` begins at row
    ``offsets[f] + 2 * f``.
    """
    kind = np.uint32 if last[roots].max() <= 32 else np.uint64
    masks = _no_masks((len(thresholds) + 2 * (len(offsets) - 1), len(roots)), kind)
    split = np.flatnonzero(nodes.left)
    tree = np.searchsorted(roots, split, side="right") - 1
    below = nodes.left[split]
    span = (np.uint64(1) << (last[below] - first[below]).astype(np.uint64)) - np.uint64(1)
    survivors = np.invert(span << first[below].astype(np.uint64)).astype(kind)
    f = nodes.feature[split]
    at = _positions(f, round_down(nodes.threshold[split]), thresholds, offsets)
    np.bitwise_and.at(masks, (at + 2 * f + 1, tree), survivors)
    # What one threshold rules out, every later interval rules out as well.
    for g in np.flatnonzero(np.diff(offsets)).tolist():
        rows = slice(offsets[g] + 2 * g, offsets[g + 1] + 2 * g + 1)
        np.bitwise_and.accumulate(masks[rows], axis=0, out=masks[rows])
    goes_right = ~nodes.missing_left[split]
    missing = offsets[f + 1] + 2 * f + 1
    np.bitwise_and.at(masks, (missing[goes_right], tree[goes_right]), survivors[goes_right])
    return masks


def _positions(
    feature: IntArray, threshold: Float32Array, thresholds: Float32Array, offsets: IntArray
) -> IntArray:
    """Return where each threshold stands among all."""
    place = np.empty(len(feature), np.int64)
    for f in np.unique(feature).tolist():
        of_it = feature == f
        first, last = offsets[f], offsets[f + 1]
        place[of_it] = first + np.searchsorted(thresholds[first:last], threshold[of_it])
    return place


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
