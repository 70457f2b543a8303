"""Splits of trees by category: which of a feature's values are named in any of them, and which go left at each."""

from __future__ import annotations

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray


class Categories:
    """The categories that a forest's splits name, each feature's by a code: its place among them, in order.

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
