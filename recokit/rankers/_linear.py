"""What the linear rankers share: one product for each request, on features of one scale."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from recokit._configured import Configured
from recokit.data import Candidates, Schema
from recokit.errors import ConfigurationError
from recokit.rankers._inputs import bound_positions, check_features, require_fitted, select
from recokit.rankers._transform import Transform, sometimes_missing
from recokit.typing import BoolArray, Float32Array, FloatArray

__all__ = ["LinearModel"]


class LinearModel(Configured):
    """A linear ranker; subclasses say how the weights are learned and what the product means."""

    regularization: float
    missing_indicator: bool
    features: Sequence[str] | None

    feature_names_: tuple[str, ...]
    transform_: Transform
    coef_: Float32Array
    missing_coef_: Float32Array
    intercept_: float

    def _set_options(
        self, regularization: float, missing_indicator: bool, features: Sequence[str] | None
    ) -> None:
        if not (np.isfinite(regularization) and regularization >= 0):
            raise ConfigurationError(
                f"found regularization={regularization}; expected a finite number of at least 0"
            )
        check_features(features)
        self.regularization, self.missing_indicator, self.features = (
            regularization,
            missing_indicator,
            features,
        )

    def bind(self, schema: Schema) -> Self:
        """Learn where the features stand; ConfigurationError where one is missing."""
        bound = copy.copy(self)
        names = getattr(self, "feature_names_", self.features)
        bound.__dict__.update(bound_positions(self, schema, names))
        return bound

    def contributions(self, candidates: Candidates) -> Float32Array:
        """Return what each feature adds to the score, (N, F) float32, in the order of ``feature_names_``.

        Exact: the sum over a row and ``intercept_`` is the score, or the log-odds of a score that is a probability.
        """
        centred, missing = self._design(candidates)
        parts: Float32Array = centred * (self.coef_ / self.transform_.scale) + missing * self.missing_coef_
        return parts

    def _raw(self, candidates: Candidates) -> Float32Array:
        """Return the product of each candidate, (N,) float32."""
        centred, missing = self._design(candidates)
        # einsum adds up each row by itself, where BLAS would round by the shape of the batch.
        raw: Float32Array = np.einsum("nf,f->n", centred, self.coef_ / self.transform_.scale)
        if self.missing_coef_.any() and missing.any():
            raw += np.einsum("nf,f->n", missing.astype(np.float32), self.missing_coef_)
        raw += np.float32(self.intercept_)
        return raw

    def _design(self, candidates: Candidates) -> tuple[Float32Array, BoolArray]:
        require_fitted(self, "coef_")
        features = select(self, candidates)
        return self.transform_.centre(features.copy() if features is candidates.features else features)

    def _learn(
        self,
        names: tuple[str, ...],
        features: Float32Array,
        weight: FloatArray,
        solve: Callable[[Float32Array], tuple[FloatArray, float]],
    ) -> None:
        """Learn the transform, then the weights and the intercept that ``solve`` returns for the design matrix."""
        order, self.transform_ = Transform.learn(features, weight)
        standard, missing = self.transform_.standardise(features.take(order, axis=1))
        indicated = sometimes_missing(missing) if self.missing_indicator else np.zeros(0, np.int64)
        coef, self.intercept_ = solve(np.concatenate([standard, missing[:, indicated]], axis=1))
        self.coef_ = coef[: len(names)].astype(np.float32)
        self.missing_coef_ = np.zeros(len(names), np.float32)
        self.missing_coef_[indicated] = coef[len(names) :]
        self.feature_names_ = tuple(names[i] for i in order)
