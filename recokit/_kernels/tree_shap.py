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
from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.typing import Float32Array, FloatArray


def contributions_of(forest: Forest, features: Float32Array) -> FloatArray:
    """Return what each feature adds to the raw score of each row, (N, F) float64."""
    features = forest.rows(features)
    parts = np.zeros(features.shape)
    for boxes in forest.boxes:
        if len(boxes.feature) == 0:  # trees that never split
            continue
        if kernels() is not None:
            _add_native(boxes, features, parts)
            continue
        # Row by row: a batch equals its rows alone.
        for row in range(len(features)):
            parts[row] += _of_leaves(boxes, features[row])
    return parts


def expected_score(forest: Forest) -> float:
    """Return the raw score that contributions add to: the mean of the training rows, as the trees' covers tell it."""
    return forest.baseline + sum(float(boxes.value @ boxes.share.prod(axis=0)) for boxes in forest.boxes)


def _of_leaves(boxes: Boxes, row: Float32Array) -> FloatArray:
    values = row[boxes.feature]
    # No lower bound is NaN, hence "not at most".
    inside = ~(values <= boxes.above) & (values <= boxes.at_most)
    inside |= np.isnan(values) & boxes.missing
    coded = boxes.table >= 0
    inside[coded] = boxes.codes[boxes.table[coded] + values[coded].astype(np.int64)]
    total = np.zeros(inside.shape)
    for t, weight in zip(*_quadrature((len(values) + 1) // 2), strict=True):
        factor = t * inside + (1.0 - t) * boxes.share
        total += weight * factor.prod(axis=0) / factor
    total *= (inside - boxes.share) * boxes.value
    return np.asarray(np.bincount(boxes.feature.ravel(), weights=total.ravel(), minlength=len(row)))


def _add_native(boxes: Boxes, features: Float32Array, parts: FloatArray) -> None:
    points, weights = _quadrature((len(boxes.feature) + 1) // 2)
    arguments = (
        *(arrays.float32(features), *features.shape, *boxes.feature.shape),
        *(arrays.int64(boxes.feature), arrays.float32(boxes.above), arrays.float32(boxes.at_most)),
        *(arrays.boolean(boxes.missing), arrays.int64(boxes.table), arrays.boolean(boxes.codes)),
        *(arrays.float64(boxes.share), arrays.float64(boxes.value)),
        *(arrays.float64(points), arrays.float64(weights), len(points), arrays.float64.out(parts)),
    )
    check(kernels().rk_tree_shap(*arguments))


@cache
def _quadrature(n_points: int) -> tuple[FloatArray, FloatArray]:
    """Return the points and weights of Gauss-Legendre quadrature on (0, 1)."""
    points, weights = np.polynomial.legendre.leggauss(n_points)
    return (1.0 + points) / 2.0, weights / 2.0
