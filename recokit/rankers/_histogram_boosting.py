"""Rankers whose trees scikit-learn's histogram boosting grows, with a loss of their own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._kernels.forest import MAX_LEAVES, Forest, Tree
from recokit._utils.options import finite, optional, rules, whole
from recokit._utils.threads import limited_threads
from recokit.rankers._forest_ranker import RATE, ForestRanker
from recokit.rankers._inputs import FEATURES
from recokit.typing import AnyArray, Float32Array, FloatArray

#: Leaves of a tree for so many positives, where their number follows the data: trees of 31 leaves grown from a few
#: thousand positives ordered lists worse than the best source did.
_POSITIVES_PER_LEAF, _LEAVES = 600, (4, 31)
#: With fewer rows one thread grows the trees: where others compete for the cores, a second one waits in busy loops for
#: its share of each node, and takes longer than it saves. The trees are the same.
_ROWS_FOR_THREADS = 100_000


@dataclass(eq=False, repr=False, kw_only=True)
class HistogramBoosting(ForestRanker):
    """Options of histogram boosting, and the trees that it grows with a given loss."""

    _OPTIONS = rules(
        n_estimators=whole(1),
        learning_rate=RATE,
        max_leaf_nodes=optional(whole(2, MAX_LEAVES)),
        min_samples_leaf=whole(1),
        l2_regularization=finite(0),
        features=FEATURES,
    )

    n_estimators: int = 100
    learning_rate: float = 0.06
    max_leaf_nodes: int | None = 31
    min_samples_leaf: int = 50
    l2_regularization: float = 1.0
    early_stopping: bool = True
    random_state: int = 0
    features: Sequence[str] | None = None

    def _grow(
        self, learner: Any, loss: Any, features: Float32Array, target: AnyArray, n_trees: int
    ) -> Forest:
        """Return trees grown by a class of scikit-learn's histogram boosting."""
        model = learner(
            loss=loss,
            max_iter=n_trees,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaf_nodes or leaves_for(int(np.count_nonzero(target))),
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            early_stopping=False,
            random_state=self.random_state,
        )
        with limited_threads(1) if len(features) < _ROWS_FOR_THREADS else nullcontext():
            model.fit(_ready_to_bin(features, self.min_samples_leaf), target)
        return compile_sklearn(model)


def leaves_for(positives: int) -> int:
    """Return how many leaves a tree may have for so many positives.

    Examples
    --------
    >>> leaves_for(300), leaves_for(6_000), leaves_for(100_000)
    (4, 10, 31)
    """
    return int(np.clip(positives // _POSITIVES_PER_LEAF, *_LEAVES))


def _ready_to_bin(features: Float32Array, min_samples_leaf: int) -> Float32Array:
    """Return features that scikit-learn can bin: infinite values as large ones, columns no split can use as 0.

    A column with fewer known values than a leaf needs cannot be split on. scikit-learn fails on one that has none among
    the 200,000 rows that it bins by, and takes means of neighbouring values, which two infinite ones have not.
    """
    needed = max(min_samples_leaf, 20 * len(features) / 200_000)
    rare = (~np.isnan(features)).sum(axis=0) < needed
    if rare.any():
        features = np.where(rare, np.float32(0.0), features)
    if np.isinf(features).any():
        largest = np.finfo(np.float32).max / 4  # thresholds beside it stay finite
        features = np.clip(features, -largest, largest)
    return features


def compile_sklearn(model: Any) -> Forest:
    """Compile a fitted model of histogram boosting (binary or regression, numeric features) into a Forest."""
    trees = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        trees.append(
            Tree(
                feature=nodes["feature_idx"].astype(np.int64),
                threshold=nodes["num_threshold"].astype(np.float64),
                left=np.where(nodes["is_leaf"], 0, nodes["left"]).astype(np.int64),
                right=np.where(nodes["is_leaf"], 0, nodes["right"]).astype(np.int64),
                missing_left=nodes["missing_go_to_left"].astype(np.bool_),
                value=nodes["value"].astype(np.float64),
                cover=nodes["count"].astype(np.float64),
            )
        )
    baseline: FloatArray = np.asarray(model._baseline_prediction)
    return Forest.compile(trees, int(model.n_features_in_), float(baseline.ravel()[0]))
