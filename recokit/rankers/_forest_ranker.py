"""What the tree rankers share: fit and learn on, score and explain from plain arrays."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

from recokit._kernels.forest import Forest
from recokit._kernels.tree_shap import contributions_of, expected_score
from recokit._utils.params import Configured, require_fitted
from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError
from recokit.rankers._inputs import all_rows, bound_positions, positions_of, select
from recokit.typing import Float32Array, FloatArray, IntArray

__all__ = ["ForestRanker", "check_ranges", "check_rate"]


class ForestRanker(Configured, ABC):
    """A ranker whose model is a :class:`Forest`; subclasses say how trees are learned and what their sum means."""

    n_estimators: int
    features: Sequence[str] | None

    forest_: Forest
    feature_names_: tuple[str, ...]
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
        names = tuple(self.features) if self.features is not None else data.feature_names
        columns = positions_of(names, data.feature_names, type(self).__name__)
        rows = all_rows(data)
        self.largest_gain_ = float(rows.label.max(initial=0.0))
        n_trees = self._choose_n_trees(data, columns)
        return self._keep(self._learn(rows, columns, n_trees, None), names)

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
        if not hasattr(self, "forest_"):
            return self.fit(data)
        check_ranges(self, n_estimators=(n_estimators, 1, float("inf")))
        columns = positions_of(self.feature_names_, data.feature_names, type(self).__name__)
        more = self._learn(all_rows(data), columns, n_estimators, self.forest_)
        return self._keep(self.forest_.extended(more), self.feature_names_)

    def bind(self, schema: Schema) -> Self:
        """Learn where the features stand; ConfigurationError where one is missing."""
        bound = copy.copy(self)
        names = getattr(self, "feature_names_", self.features)
        bound.__dict__.update(bound_positions(self, schema, names))
        return bound

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the scores, (N,) float32."""
        require_fitted(self, "forest_")
        return self._answer(self.forest_.raw_score(select(self, candidates)))

    def contributions(self, candidates: Candidates) -> FloatArray:
        """Return what each feature adds to the raw score, (N, F) float64, in the order of ``feature_names_``.

        Shapley values of the trees, with the training rows' way through them for what is not known (path-dependent
        TreeSHAP; Lundberg et al., 2020): exact, no sample. The sum over a row and ``intercept_`` is the raw score,
        to 1e-6. About a millisecond for each candidate and 100 trees of 31 leaves, so explain what is shown, not all
        that was scored; the first call after loading prepares the trees, some 0.1 s.
        """
        require_fitted(self, "forest_")
        return contributions_of(self.forest_, select(self, candidates))

    def _keep(self, forest: Forest, names: tuple[str, ...]) -> Self:
        self.forest_, self.feature_names_ = forest, names
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


def check_ranges(ranker: ForestRanker, **options: tuple[float, float, float]) -> None:
    """Check options given as (value, lowest, highest)."""
    for name, (value, low, high) in options.items():
        if not low <= value <= high:
            raise ConfigurationError(
                f"found {name}={value} for {type(ranker).__name__}; expected {low} to {high}"
            )


def check_rate(name: str, rate: float) -> None:
    """Check an option that is a share above 0."""
    if not 0.0 < rate <= 1.0:
        raise ConfigurationError(f"found {name}={rate}; expected above 0 and at most 1")
