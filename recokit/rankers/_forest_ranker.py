"""Rankers made of trees: fit and learn on, score and explain from plain arrays."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Self

from recokit._kernels.forest import Forest
from recokit._utils.options import between, require, whole
from recokit._utils.params import is_fitted
from recokit.data import Candidates, RankingData
from recokit.errors import FitWarning
from recokit.rankers._inputs import NamedFeatures, all_rows, positions_of
from recokit.typing import Float32Array, FloatArray, IntArray

#: Rule of options that are a share above 0.
RATE = between(0, 1, open_low=True)


class ForestRanker(NamedFeatures, ABC):
    """A ranker whose model is a :class:`Forest`; subclasses say how trees are learned and what their sum means."""

    n_estimators: int

    forest_: Forest
    n_estimators_: int
    intercept_: float
    largest_gain_: float

    def fit(self, data: RankingData) -> Self:
        """Learn from labelled candidates.

        Raises
        ------
        DataError
            If the labels give nothing to learn from, or a label or weight is negative.
        ConfigurationError
            If ``features`` names one that the data lacks.
        """
        names, columns = self._wanted(data)
        rows = all_rows(data)
        self.largest_gain_ = float(rows.label.max(initial=0.0))
        n_trees = self._choose_n_trees(data, columns)
        self._use(names)
        forest = self._learn(rows, columns, n_trees, None)
        if len(forest.nodes.value) == forest.n_trees:
            warnings.warn(
                f"found no split worth making in {len(rows):,} rows of {len(names)} features for "
                f"{type(self).__name__}, so that all candidates score alike; expected features that tell rows apart; "
                "hint: fewer rows in a leaf, or other features",
                FitWarning,
                stacklevel=2,
            )
        return self._keep(forest)

    def partial_fit(self, data: RankingData, n_estimators: int = 20) -> Self:
        """Learn on: more trees for newer rows, begun at what the present trees say of them.

        The present trees stay as they are. The new ones are those that boosting would add if its first trees were
        the present ones; rows of ``data.validation`` are trained on as well.

        Parameters
        ----------
        data : RankingData
            The newer rows, with at least the features of the last fit. An unfitted model is fitted as by :meth:`fit`.
        n_estimators : int, default 20
            Trees to add.

        Raises
        ------
        DataError
            If the labels give nothing to learn from, or a label or weight is negative.
        ConfigurationError
            If a feature of the last fit is missing, or ``n_estimators`` is below 1.
        """
        if not is_fitted(self, "forest_"):
            return self.fit(data)
        require(whole(1), n_estimators=n_estimators)
        columns = positions_of(self.feature_names_, data.feature_names, type(self).__name__)
        more = self._learn(all_rows(data), columns, n_estimators, self.forest_)
        return self._keep(self.forest_.extended(more))

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the scores, (N,) float32."""
        return self._answer(self.forest_.raw_score(self._select(candidates)))

    def contributions(self, candidates: Candidates) -> FloatArray:
        """Return what each feature adds to the raw score, (N, F) float64, in the order of ``feature_names_``.

        Shapley values of the trees, with the training rows' way through them for what is not known (path-dependent
        TreeSHAP; Lundberg et al., 2020): exact, no sample. The sum over a row and ``intercept_`` is the raw score,
        to 1e-6. About a millisecond for each candidate and 100 trees of 31 leaves, so explain what is shown, not all
        that was scored; the first call after loading prepares the trees, some 0.1 s.
        """
        from recokit._kernels.tree_shap import contributions_of

        return contributions_of(self.forest_, self._select(candidates))

    def _keep(self, forest: Forest) -> Self:
        from recokit._kernels.tree_shap import expected_score

        self.forest_ = forest
        self.n_estimators_, self.intercept_ = forest.n_trees, expected_score(forest)
        return self

    @abstractmethod
    def _choose_n_trees(self, data: RankingData, columns: IntArray) -> int:
        """Return the number of trees for a fit, by the validation rows where there are any to go by."""

    @abstractmethod
    def _learn(self, data: RankingData, columns: IntArray, n_trees: int, start: Forest | None) -> Forest:
        """Return new trees, learned from where ``start`` has come to."""

    @abstractmethod
    def _answer(self, raw: FloatArray) -> Float32Array:
        """Turn sums of leaves into scores."""
