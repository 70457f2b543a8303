"""Shapley values of a forest's features: exact, for a batch of rows at once.

With z the share of training rows that went a leaf's way at a feature's splits, and o whether the row does (0 or 1), a
leaf whose path has d features gives feature j of them

    value * (o_j - z_j) * integral over t in (0, 1) of the product over the others k of (t * o_k + (1 - t) * z_k),

since the weights of Shapley's subsets are such integrals. The product is a polynomial of degree d - 1, for which
Gauss-Legendre quadrature with ceil(d / 2) points is exact. No recursion and no subsets: leaves with equally many
features are one block of arrays.
"""

from __future__ import annotations

import numpy as np

from recokit.rankers._forest import Boxes, Forest
from recokit.typing import Float32Array, FloatArray

__all__ = ["contributions_of", "expected_score"]

#: Rows explained at once: their arrays stay in cache.
_BLOCK_ROWS = 16


def contributions_of(forest: Forest, features: Float32Array) -> FloatArray:
    """Return what each feature adds to the raw score of each row, (N, F) float64."""
    features = forest.with_missing(features)
    parts = np.zeros(features.shape)
    for boxes in forest.boxes:
        if len(boxes.feature) == 0:  # a tree that never splits
            continue
        for start in range(0, len(features), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            parts[rows] += _of_boxes(boxes, features[rows])
    return parts


def expected_score(forest: Forest) -> float:
    """Return the raw score that contributions add to: the mean of the training rows, as the trees' covers tell it."""
    return forest.baseline + sum(float(boxes.value @ boxes.share.prod(axis=0)) for boxes in forest.boxes)


def _of_boxes(boxes: Boxes, features: Float32Array) -> FloatArray:
    n_rows, n_features = features.shape
    d = len(boxes.feature)
    values = features.take(boxes.feature.ravel(), axis=1).reshape(n_rows, *boxes.feature.shape)
    # No lower bound is NaN, hence "not at most".
    inside = ~(values <= boxes.above) & (values <= boxes.at_most) | np.isnan(values) & boxes.missing
    there = inside.astype(np.float64)
    total = np.zeros(values.shape)
    points, weights = np.polynomial.legendre.leggauss((d + 1) // 2)
    for t, weight in zip((1.0 + points) / 2.0, weights / 2.0, strict=True):
        factor = there * t + boxes.share * (1.0 - t)
        total += weight * factor.prod(axis=1, keepdims=True) / factor
    total *= (there - boxes.share) * boxes.value
    place = np.arange(n_rows)[:, None] * n_features + boxes.feature.ravel()
    summed = np.bincount(place.ravel(), weights=total.ravel(), minlength=n_rows * n_features)
    return summed.astype(np.float64, copy=False).reshape(n_rows, n_features)
