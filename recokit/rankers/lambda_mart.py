"""LambdaMART: boosted trees that learn the order within each request, without an extra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from recokit._kernels.forest import Forest
from recokit.data import RankingData
from recokit.rankers._histogram_boosting import HistogramBoosting
from recokit.rankers._losses import Groups, Pairs, can_learn, groups_of, ideal_gain, mean_ndcg, weighted_ranks
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

#: First and second derivatives (M,) of the loss at scores (M,).
Lambdas: TypeAlias = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(eq=False, repr=False, kw_only=True)
class LambdaMART(HistogramBoosting):
    """Rank by boosted trees that were trained on the order within each request (Burges, 2010).

    Each tree moves scores so that in pairs of a request the row of the larger gain comes first, a pair counting by
    what swapping its rows would change NDCG by, with labels as gains. scikit-learn's histogram boosting grows the
    trees, each leaf a Newton step; they are kept as arrays and scored without it. What all candidates of a request have
    in common cannot mislead this ranker; its scores are no probabilities.

    Parameters
    ----------
    n_estimators : int, default 100
        Trees, at most: where the data has validation rows, they choose how many of them are used.
    learning_rate : float, default 0.1
        Share of each tree's correction that is applied.
    max_leaf_nodes : int, optional
        Leaves of a tree, 2 to 64; by default one for every 600 positives, at least 4 and at most 31.
    min_samples_leaf : int, default 50
        Training rows in a leaf, at least.
    l2_regularization : float, default 1.0
        Penalty on leaf values; pairs are weighted so that it weighs as in :class:`GradientBoosting`.
    early_stopping : bool, default True
        Whether validation rows choose the number of trees, by their NDCG; the model is then learned again on training
        and validation rows together with that number. Without validation rows all trees are used.
    random_state : int, default 0
        Seed of scikit-learn's choice of rows for the bins.
    features : sequence of str, optional
        Features to use; all by default.

    Attributes
    ----------
    feature_names_ : tuple of str
        Features used.
    forest_ : Forest
        The fitted trees.
    n_estimators_ : int
        Trees used.
    intercept_ : float
        Score that :meth:`contributions` add to.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or a feature is missing on use.

    Notes
    -----
    Groups without a difference between labels teach nothing and are left out, as are rows of weight 0. A group counts
    by the mean weight of its positives; a sampled negative counts as many times as its inverse sampling weight says,
    in the pairs and in the ranks of NDCG. A row is compared with at most 100 of lower gain, a fixed sample of them.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Candidates, RankingData
    >>> x = np.arange(400, dtype=np.float32)[:, None]
    >>> one = np.ones(400, np.float32)
    >>> data = RankingData(x, ("clicks",), (x[:, 0] % 100 > 70).astype(np.float32), one, np.arange(0, 401, 100),
    ...                    np.repeat([1, 2, 3, 4], 100), np.arange(1, 401), np.zeros(400))
    >>> ranker = LambdaMART(n_estimators=20).fit(data)
    >>> batch = Candidates.from_lists([[7, 8]], features=[[110.0], [390.0]], feature_names=["clicks"])
    >>> low, high = ranker.score(batch)
    >>> bool(low < high)
    True
    """

    learning_rate: float = 0.1
    max_leaf_nodes: int | None = None

    def _choose_n_trees(self, data: RankingData, columns: IntArray) -> int:
        validation = data.validation
        if not self.early_stopping or validation is None or not can_learn(validation, by_row=False):
            return self.n_estimators
        index, held = groups_of(validation)
        forest = self._learn(data, columns, self.n_estimators, None)
        score = np.zeros(len(index))
        features = validation.features[index][:, columns]
        added = np.concatenate([forest.leaf_values(features[block]) for block in forest.blocks(len(index))])
        ndcg = []
        for leaf in added.T:
            score += leaf
            ndcg.append(mean_ndcg(held, score))
        return int(np.argmax(ndcg)) + 1

    def _learn(self, data: RankingData, columns: IntArray, n_trees: int, start: Forest | None) -> Forest:
        from sklearn.ensemble import HistGradientBoostingRegressor

        index, groups = groups_of(data)
        features = data.features[index][:, columns]
        loss = _loss_of(lambdas_of(groups), 0.0 if start is None else start.raw_score(features))
        return self._grow(HistGradientBoostingRegressor, loss, features, groups.label, n_trees)

    def _answer(self, raw: FloatArray) -> Float32Array:
        return raw.astype(np.float32)


def lambdas_of(groups: Groups) -> Lambdas:
    """Return the derivatives of LambdaRank's loss as a function of the scores.

    A pair costs ``weight * log(1 + exp(-margin))``, its weight proportional to what swapping the pair changes NDCG by.
    Weights are scaled so that rows in their given order have second derivatives of 1/4 in the mean, as in a log loss.
    """
    pairs = Pairs.of(groups)
    winner, loser, n = pairs.winner, pairs.loser, len(groups.label)
    row = groups.row[winner]
    worth = pairs.weight * (groups.label[winner] - groups.label[loser])
    worth *= (groups.importance / ideal_gain(groups))[row]
    worth *= n / (2.0 * (worth @ _discounts_apart(groups, pairs, np.zeros(n))))

    def lambdas(score: FloatArray) -> tuple[FloatArray, FloatArray]:
        weight = worth * _discounts_apart(groups, pairs, score)
        wrong = 0.5 - 0.5 * np.tanh(0.5 * (score[winner] - score[loser]))
        push = weight * wrong
        gradient: FloatArray = np.bincount(loser, push, n).astype(np.float64) - np.bincount(winner, push, n)
        push *= 1.0 - wrong
        curvature: FloatArray = np.bincount(loser, push, n).astype(np.float64) + np.bincount(winner, push, n)
        return gradient, curvature

    return lambdas


def _discounts_apart(groups: Groups, pairs: Pairs, score: FloatArray) -> FloatArray:
    """Return how far apart the discounts of each pair's ranks are, (P,) float64."""
    worth = 1.0 / np.log2(weighted_ranks(groups, score) + 1.0)
    return np.asarray(np.abs(worth[pairs.winner] - worth[pairs.loser]))


def _loss_of(lambdas: Lambdas, start: FloatArray | float) -> Any:
    """Return a loss of scikit-learn's boosting with these derivatives, for models that add to given scores."""
    from sklearn._loss.loss import HalfSquaredError

    class LambdaLoss(HalfSquaredError):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.constant_hessian = False

        def fit_intercept_only(self, *_arrays: AnyArray, **_options: Any) -> np.float64:
            return np.float64(0.0)

        def gradient_hessian(
            self, *, raw_prediction: AnyArray, gradient_out: AnyArray, hessian_out: AnyArray, **_options: Any
        ) -> None:
            gradient, hessian = lambdas(raw_prediction.ravel() + start)
            gradient_out[:] = gradient.reshape(gradient_out.shape)
            hessian_out[:] = hessian.reshape(hessian_out.shape)

    return LambdaLoss()
