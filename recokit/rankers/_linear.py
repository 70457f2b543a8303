"""Linear rankers: one product for each request, on features of one scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from recokit._utils.options import finite, rules
from recokit._utils.threads import limited_threads
from recokit.data import Candidates
from recokit.rankers._inputs import FEATURES, NamedFeatures
from recokit.rankers._losses import Groups, Objective, loss_around
from recokit.rankers._scaling import Transform, sometimes_missing
from recokit.typing import Float32Array, FloatArray

#: Rows scored at a time: their features stay in a core's own cache.
_BLOCK = 4096


@dataclass(eq=False, repr=False, kw_only=True)
class LinearModel(NamedFeatures):
    """A linear ranker; subclasses say how the weights are learned and what the product means."""

    _OPTIONS = rules(regularization=finite(0), features=FEATURES)

    regularization: float = 1.0
    missing_indicator: bool = True
    features: Sequence[str] | None = None

    def contributions(self, candidates: Candidates) -> Float32Array:
        """Return what each feature adds to the score, (N, F) float32, in the order of ``feature_names_``.

        Exact: the sum over a row and ``intercept_`` is the score, or the log-odds of a score that is a probability.
        """
        centred, missing = self.transform_.centre(self._columns(candidates))
        parts = (
            centred * (self.coef_ / self.transform_.scale)[:, None] + missing * self.missing_coef_[:, None]
        )
        return np.ascontiguousarray(parts.T, np.float32)

    def _raw(self, candidates: Candidates) -> Float32Array:
        """Return the product of each candidate, (N,) float32."""
        n = len(candidates)
        raw = np.empty(n, np.float32)
        coef, indicated = self.coef_ / self.transform_.scale, np.flatnonzero(self.missing_coef_)
        for start in range(0, n, _BLOCK):
            rows = slice(start, min(start + _BLOCK, n))
            centred, missing = self.transform_.centre(self._columns(candidates, rows))
            raw[rows] = _product(centred, coef)
            if len(indicated):
                raw[rows] += _product(missing[indicated].astype(np.float32), self.missing_coef_[indicated])
        raw += np.float32(self.intercept_)
        return raw

    def _learn(
        self,
        names: tuple[str, ...],
        features: Float32Array,
        weight: FloatArray,
        solve: Callable[[Float32Array], tuple[FloatArray, float]],
    ) -> None:
        """Learn the transform, then the weights and the intercept that ``solve`` returns for the design matrix."""
        order, self.transform_ = Transform.learn(features, weight)
        standard, missing = self.transform_.standardise(features.T[order])
        indicated = sometimes_missing(missing) if self.missing_indicator else np.zeros(0, np.int64)
        coef, self.intercept_ = solve(np.concatenate([standard, missing[indicated]]).T)
        self.coef_ = coef[: len(names)].astype(np.float32)
        self.missing_coef_ = np.zeros(len(names), np.float32)
        self.missing_coef_[indicated] = coef[len(names) :]
        self._use([names[i] for i in order])


def _product(columns: Float32Array, coef: Float32Array) -> Float32Array:
    """Return the sum (N,) of columns (F, N) times their coefficients.

    einsum adds up each row by itself, where BLAS would round by the shape of the batch and start threads.
    """
    if columns.shape[1] == 1:  # a single row would be added up in another order than one of many
        return _product(np.repeat(columns, 2, axis=1), coef)[:1]
    product: Float32Array = np.einsum("fn,f->n", columns, coef)
    return product


#: LambdaRank: how often its weights, which depend on the order, are taken anew, and L-BFGS steps between.
_ROUNDS, _STEPS = 15, 20


def minimise(
    design: FloatArray, groups: Groups, loss: str, regularization: float, *, positive: bool = False
) -> FloatArray:
    """Return the weights (F,) of the smallest loss of ``design @ weights``, if asked none below 0."""
    from scipy.optimize import minimize

    n_rounds, n_steps = (_ROUNDS, _STEPS) if loss == "lambdarank" else (1, 300)
    # LambdaRank's loss has no slope where all scores are equal and the order is that of the rows: it starts from BPR.
    first = "bpr" if loss == "lambdarank" else loss
    coef = np.zeros(design.shape[1])
    bounds = [(0.0, None)] * len(coef) if positive else None
    options = {"maxiter": n_steps}
    # Threads decide how BLAS rounds, and after a hundred steps the model.
    with limited_threads(1):
        for turn in range(n_rounds):
            objective = loss_around(first if turn == 0 else loss, groups, design @ coef)
            penalised = partial(_penalised, objective, design, regularization)
            result = minimize(penalised, coef, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            coef = result.x
    return np.asarray(coef)


def _penalised(
    objective: Objective, design: FloatArray, regularization: float, coef: FloatArray
) -> tuple[float, FloatArray]:
    value, gradient = objective(design @ coef)
    penalty = 0.5 * regularization * float(coef @ coef)
    return value + penalty, gradient @ design + regularization * coef
