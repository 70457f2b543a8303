"""The smallest penalised loss of a linear score."""

from __future__ import annotations

from functools import partial

import numpy as np

from recokit._ops.threads import limited_threads
from recokit.rankers._losses import Groups, Objective, loss_around
from recokit.typing import FloatArray

__all__ = ["minimise"]

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
            found = minimize(penalised, coef, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            coef = found.x
    return np.asarray(coef)


def _penalised(
    objective: Objective, design: FloatArray, regularization: float, coef: FloatArray
) -> tuple[float, FloatArray]:
    value, gradient = objective(design @ coef)
    penalty = 0.5 * regularization * float(coef @ coef)
    return value + penalty, gradient @ design + regularization * coef
