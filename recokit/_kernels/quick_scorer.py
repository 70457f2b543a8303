"""Trees as the compiled kernel reads them: the splits of each tree, each with the leaves that it rules out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

#: Leaves of one word.
_WORD = 32


@dataclass(frozen=True, eq=False)
class QuickScorer:
    """Arrays of the kernel ``rk_forest``, see ``kernels.h``."""

    word_start: IntArray
    feature: AnyArray
    threshold: Float32Array
    bits: AnyArray
    word_table: IntArray
    table_feature: AnyArray
    table_start: IntArray
    table: AnyArray
    tree_word: IntArray
    leaf: FloatArray

    @classmethod
    def of(
        cls,
        roots: IntArray,
        *,
        feature: IntArray,
        threshold: Float32Array,
        left: IntArray,
        right: IntArray,
        missing_left: BoolArray,
        value: FloatArray,
        by_category: BoolArray,
        left_of: Callable[[int], BoolArray],
    ) -> Self:
        """Compile checked trees, see :class:`recokit._kernels.forest.Tree`.

        ``left_of`` tells of a split by category which codes of its feature go left.
        """
        first, last = _leaf_spans(left, right)
        tree = np.searchsorted(roots, np.arange(len(left)), side="right") - 1
        tree_word = np.append(0, np.cumsum((last[roots] + _WORD - 1) // _WORD))
        ends, split = np.flatnonzero(left == 0), np.flatnonzero(left)
        leaf = np.zeros(int(tree_word[-1]) * _WORD)
        leaf[tree_word[tree[ends]] * _WORD + first[ends]] = value[ends]
        side, out = _ruled_out(first[left[split]], last[left[split]])
        split, out = np.tile(split, 2)[side >= 0], out[side >= 0]
        word = tree_word[tree[split]] + side[side >= 0]
        named = by_category[split]
        tables = _tables(
            left_of, split=split[named], feature=feature[split[named]], word=word[named], out=out[named]
        )
        split, word, out = split[~named], word[~named], out[~named]
        part = 2 * word + ~missing_left[split]
        order = np.argsort(part, kind="stable")
        split, out = split[order], out[order]
        return cls(
            word_start=np.searchsorted(part[order], np.arange(2 * tree_word[-1] + 1)),
            feature=feature[split].astype(np.int32),
            threshold=threshold[split],
            bits=np.where(missing_left[split], out, ~out),
            word_table=np.searchsorted(tables.word, np.arange(tree_word[-1] + 1)),
            table_feature=tables.feature.astype(np.int32),
            table_start=tables.start,
            table=tables.kept,
            tree_word=tree_word,
            leaf=leaf,
        )

    def add_leaves(self, features: Float32Array, total: FloatArray, values: FloatArray | None) -> None:
        """Add every tree's leaf to the rows' totals (N,), and write the leaves to ``values`` (N, T) where given."""
        arguments = (
            *(arrays.float32(features), *features.shape),
            *(arrays.int64(self.word_start), arrays.int32(self.feature)),
            *(arrays.float32(self.threshold), arrays.uint32(self.bits)),
            *(arrays.int64(self.word_table), arrays.int32(self.table_feature)),
            *(arrays.int64(self.table_start), arrays.uint32(self.table)),
            *(arrays.int64(self.tree_word), len(self.tree_word) - 1, arrays.float64(self.leaf)),
            *(arrays.float64.out(total), arrays.null() if values is None else arrays.float64.out(values)),
        )
        check(kernels().rk_forest(*arguments))


class _Tables(NamedTuple):
    """Of each word and feature of categories: where the leaves begin that each code keeps."""

    word: IntArray
    feature: IntArray
    start: IntArray
    kept: AnyArray


def _tables(
    left_of: Callable[[int], BoolArray], *, split: IntArray, feature: IntArray, word: IntArray, out: AnyArray
) -> _Tables:
    """Return what all splits of a word by the codes of one feature rule out together."""
    n_features = int(feature.max(initial=0)) + 1
    key, first, table = np.unique(word * n_features + feature, return_index=True, return_inverse=True)
    start = np.cumsum([0, *(len(left_of(node)) for node in split[first].tolist())])
    kept = np.full(start[-1], 0xFFFFFFFF, np.uint32)
    for node, bits, at in zip(split.tolist(), out, table.ravel().tolist(), strict=True):
        kept[start[at] : start[at + 1]] &= np.where(left_of(node), np.uint32(0xFFFFFFFF), ~bits)
    return _Tables(key // n_features, key % n_features, start[:-1], kept)


def _leaf_spans(left: IntArray, right: IntArray) -> tuple[IntArray, IntArray]:
    """Return each node's span of leaves, counted left to right in its tree."""
    leaves = (left == 0).astype(np.int64).tolist()
    lefts, rights = left.tolist(), right.tolist()
    for node in range(len(lefts) - 1, -1, -1):  # children stand after their parents
        if lefts[node]:
            leaves[node] = leaves[lefts[node]] + leaves[rights[node]]
    first = [0] * len(lefts)
    for node in range(len(lefts)):
        if lefts[node]:
            first[lefts[node]] = first[node]
            first[rights[node]] = first[node] + leaves[lefts[node]]
    start = np.array(first, np.int64)
    return start, start + np.array(leaves, np.int64)


def _ruled_out(first: IntArray, last: IntArray) -> tuple[IntArray, AnyArray]:
    """Return the spans' bits in the first words and then in the second ones, and which word that is, -1 for no bits."""
    one = np.uint64(1)
    # Never all 64: the right subtree has a leaf.
    bits = ((one << (last - first).astype(np.uint64)) - one) << first.astype(np.uint64)
    halves = np.concatenate([bits & np.uint64(0xFFFFFFFF), bits >> np.uint64(_WORD)]).astype(np.uint32)
    return np.where(halves > 0, np.repeat([0, 1], len(bits)), -1), halves
