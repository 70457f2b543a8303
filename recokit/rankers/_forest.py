"""Forest: boosted trees as plain arrays, scored with numpy by bit vectors.

Every leaf of a tree is one bit, leftmost leaf first. A split that sends a row right rules out the leaves of its left
subtree, so for each feature and each interval between two thresholds the surviving leaves of every tree are a constant
mask. Scoring is then one table row for each feature, ANDed together; the lowest bit left is the leaf (QuickScorer;
Lucchese et al., 2015, with the masks tabulated by interval). No split is followed one by one, so all trees of a block
of rows cost the same few numpy calls, and a row's score cannot depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

__all__ = ["MAX_LEAVES", "Forest", "Tree"]

#: Leaves of one tree: one bit each.
MAX_LEAVES = 64
_BLOCK_ROWS = 512


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree as node arrays; node 0 is the root.

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
        What a leaf adds to the score.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    missing_left: BoolArray
    value: FloatArray


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees compiled to masks.

    Parameters
    ----------
    thresholds : ndarray of float32
        Distinct split thresholds of every feature, one feature after the other, ascending.
    threshold_offsets : ndarray of int64, shape (F + 1,)
        Where each feature's thresholds begin.
    masks : ndarray of uint32 or uint64, shape (intervals, T)
        Surviving leaves of every tree, for each feature its intervals in order and then one row for missing values:
        feature ``f`` begins at ``threshold_offsets[f] + 2 * f``.
    leaves : ndarray of float64, shape (T, L)
        Leaf values, leftmost first.
    baseline : float
        Score before the first tree.
    """

    thresholds: Float32Array
    threshold_offsets: IntArray
    masks: AnyArray
    leaves: FloatArray
    baseline: float

    @classmethod
    def compile(cls, trees: Sequence[Tree], n_features: int, baseline: float) -> Forest:
        """Compile trees of at most 64 leaves."""
        splits = [np.flatnonzero(tree.left) for tree in trees]
        pieces = [
            np.stack([tree.feature[split], _round_down(tree.threshold[split])])
            for tree, split in zip(trees, splits, strict=True)
        ]
        pairs = np.unique(np.concatenate(pieces, axis=1), axis=1)
        counts = np.bincount(pairs[0].astype(np.int64), minlength=n_features)
        offsets = np.zeros(n_features + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        thresholds = pairs[1].astype(np.float32)
        width = 1 + max(len(split) for split in splits)
        masks = _no_masks(
            (len(thresholds) + 2 * n_features, len(trees)), np.uint32 if width <= 32 else np.uint64
        )
        leaves = np.zeros((len(trees), width))
        for t, tree in enumerate(trees):
            _compile_tree(tree, t, thresholds, offsets, masks, leaves)
        return cls(thresholds, offsets, masks, leaves, float(baseline))

    @property
    def n_trees(self) -> int:
        """Number of trees, T."""
        return len(self.leaves)

    def raw_score(self, features: Float32Array) -> FloatArray:
        """Return the sum of the baseline and all trees' leaves, (N,) float64, for features (N, F)."""
        score = np.empty(len(features))
        for start in range(0, len(features), _BLOCK_ROWS):
            block = features[start : start + _BLOCK_ROWS]
            score[start : start + len(block)] = self.leaf_values(block).sum(axis=1)
        return score + self.baseline

    def staged_log_loss(self, features: Float32Array, positive: BoolArray, weight: FloatArray) -> FloatArray:
        """Return the weighted log loss after each tree, (T,) float64."""
        total = np.zeros(self.n_trees)
        for start in range(0, len(features), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            raw = np.cumsum(self.leaf_values(features[block]), axis=1) + self.baseline
            loss = np.logaddexp(0.0, raw) - raw * positive[block, None]
            total += weight[block] @ loss
        mean: FloatArray = total / weight.sum()
        return mean

    def leaf_values(self, features: Float32Array) -> FloatArray:
        """Return what every tree adds, (N, T) float64: for a block of rows."""
        surviving = _no_masks((len(features), self.n_trees), self.masks.dtype)
        rows = np.empty_like(surviving)
        for f in np.flatnonzero(np.diff(self.threshold_offsets)):
            first, last = int(self.threshold_offsets[f]), int(self.threshold_offsets[f + 1])
            values = np.ascontiguousarray(features[:, f])
            # A value equal to the threshold goes left, hence side="left"; NaN sorts last: the interval after the last.
            interval = np.searchsorted(self.thresholds[first:last], values, side="left")
            interval += np.isnan(values)
            interval += first + 2 * int(f)
            np.take(self.masks, interval, axis=0, out=rows, mode="clip")
            surviving &= rows
        lowest = surviving & (~surviving + surviving.dtype.type(1))
        # A power of two is exact in floating point, and its exponent is the bit's position.
        leaf = np.frexp(lowest.astype(np.float64))[1] - 1
        leaf += np.arange(self.n_trees, dtype=leaf.dtype) * self.leaves.shape[1]
        added: FloatArray = self.leaves.ravel().take(leaf)
        return added


def _no_masks(shape: tuple[int, int], dtype: Any) -> AnyArray:
    """Return masks that rule out no leaf."""
    return ~np.zeros(shape, dtype)


def _round_down(threshold: FloatArray) -> Float32Array:
    """Return the largest float32 at most each threshold, so that comparing float32 values gives the same answer."""
    rounded = threshold.astype(np.float32)
    lower: Float32Array = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return lower


def _compile_tree(
    tree: Tree, t: int, thresholds: Any, offsets: IntArray, masks: AnyArray, leaves: FloatArray
) -> None:
    spans = _leaf_spans(tree, t, leaves)
    kind = masks.dtype.type
    bits = 8 * masks.dtype.itemsize
    full = (1 << bits) - 1
    for node in np.flatnonzero(tree.left > 0):
        start, end = spans[tree.left[node]]
        survivors = kind(full - ((full >> (bits - (end - start))) << start))
        f = int(tree.feature[node])
        first, last = int(offsets[f]), int(offsets[f + 1])
        at = first + int(
            np.searchsorted(thresholds[first:last], _round_down(tree.threshold[node : node + 1])[0])
        )
        base = 2 * f
        masks[base + at + 1 : base + last + 1, t] &= survivors
        if not tree.missing_left[node]:
            masks[base + last + 1, t] &= survivors


def _leaf_spans(tree: Tree, t: int, leaves: FloatArray) -> dict[int, tuple[int, int]]:
    """Write the values of the leaves, left to right, and return each node's span of leaves."""
    spans: dict[int, tuple[int, int]] = {}
    stack, n_leaves = [(0, False)], 0
    while stack:
        node, children_done = stack.pop()
        left, right = int(tree.left[node]), int(tree.right[node])
        if left == 0:
            leaves[t, n_leaves] = tree.value[node]
            spans[node] = (n_leaves, n_leaves + 1)
            n_leaves += 1
        elif children_done:
            spans[node] = (spans[left][0], spans[right][1])
        else:
            stack += [(node, True), (right, False), (left, False)]
    return spans
