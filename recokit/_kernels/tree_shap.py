"""Shapley values of a forest's features: exact, for a batch of rows at once.

With z the share of training rows that went a leaf's way at a feature's splits, and o whether the row does (0 or 1), a
leaf whose path has d features gives feature j of them

    value * (o_j - z_j) * integral over t in (0, 1) of the product over the others k of (t * o_k + (1 - t) * z_k),

since the weights of Shapley's subsets are such integrals. The product is a polynomial of degree d - 1, for which
Gauss-Legendre quadrature with ceil(d / 2) points is exact. No recursion and no subsets: leaves with equally many
features are one block of arrays.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from recokit._kernels.forest import Boxes, Forest
from recokit.typing import Float32Array, FloatArray

#: Rows explained at once, and rows times features of leaves: their arrays stay in cache.
_BLOCK_ROWS, _BLOCK_SIZE = 16, 2**15


def contributions_of(forest: Forest, features: Float32Array) -> FloatArray:
    """Return what each feature adds to the raw score of each row, (N, F) float64."""
    features = forest.with_missing(features)
    parts = np.zeros(features.shape)
    for boxes in forest.boxes:
        d, n_leaves = boxes.feature.shape
        if d == 0:  # trees that never split
            continue
        # The same leaves are summed together however many rows there are: a batch equals its rows alone.
        step = max(1, _BLOCK_SIZE // (d * _BLOCK_ROWS))
        for start in range(0, len(features), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            for first in range(0, n_leaves, step):
                parts[rows] += _of_leaves(boxes, slice(first, first + step), features[rows])
    return parts


def expected_score(forest: Forest) -> float:
    """Return the raw score that contributions add to: the mean of the training rows, as the trees' covers tell it."""
    return forest.baseline + sum(float(boxes.value @ boxes.share.prod(axis=0)) for boxes in forest.boxes)


def _of_leaves(boxes: Boxes, leaves: slice, features: Float32Array) -> FloatArray:
    n_rows, n_features = features.shape
    feature, share = boxes.feature[:, leaves], boxes.share[:, leaves]
    values = features.take(feature.ravel(), axis=1).reshape(n_rows, *feature.shape)
    # No lower bound is NaN, hence "not at most".
    inside = ~(values <= boxes.above[:, leaves]) & (values <= boxes.at_most[:, leaves])
    inside |= np.isnan(values) & boxes.missing[:, leaves]
    there = inside.astype(np.float64)
    total, factor = np.zeros(there.shape), np.empty(there.shape)
    for t, weight in _quadrature((len(feature) + 1) // 2):
        np.multiply(there, t, out=factor)
        factor += share * (1.0 - t)
        product = factor.prod(axis=1, keepdims=True) * weight
        total += np.divide(product, factor, out=factor)
    there -= share
    there *= boxes.value[leaves]
    total *= there
    place = np.arange(n_rows)[:, None] * n_features + feature.ravel()
    summed = np.bincount(place.ravel(), weights=total.ravel(), minlength=n_rows * n_features)
    return summed.astype(np.float64, copy=False).reshape(n_rows, n_features)


@cache
def _quadrature(n_points: int) -> list[tuple[float, float]]:
    """Return the points and weights of Gauss-Legendre quadrature on (0, 1)."""
    points, weights = np.polynomial.legendre.leggauss(n_points)
    return list(zip(((1.0 + points) / 2.0).tolist(), (weights / 2.0).tolist(), strict=True))
