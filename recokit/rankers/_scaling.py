"""Features on one scale, for the linear rankers and the networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

#: A non-negative feature whose largest value is this many times its mean is counted as heavy-tailed.
HEAVY_TAIL = 8.0


@dataclass(frozen=True, eq=False)
class Transform:
    """Logarithms of heavy-tailed features, means and deviations, learned from training rows.

    Non-negative heavy-tailed features (largest value more than 8 times the mean) stand first and go through
    ``log(1 + x)``; all are standardised; a missing value (NaN or infinite) counts as the mean.

    Parameters
    ----------
    n_log : int
        How many features, the first ones, go through ``log(1 + x)``.
    mean, scale : ndarray of float32, shape (F,)
        Of the features after the logarithm.
    """

    n_log: int
    mean: Float32Array
    scale: Float32Array

    @classmethod
    def learn(cls, features: Float32Array, weight: FloatArray) -> tuple[IntArray, Transform]:
        """Learn from weighted rows (M, F); return the order that puts heavy-tailed features first, and the transform.

        Examples
        --------
        >>> x = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]] * 4 + [[2.0, 500.0]], np.float32)
        >>> order, transform = Transform.learn(x, np.ones(13))
        >>> order.tolist(), transform.n_log, float(transform.mean[1])
        ([1, 0], 1, 2.0)
        """
        heavy = np.array([_is_heavy_tailed(column) for column in features.T], np.bool_)
        order = np.argsort(~heavy, kind="stable")
        moments = [_moments(features[:, i], weight, log=bool(heavy[i])) for i in order]
        mean, scale = np.array(moments, np.float32).reshape(-1, 2).T.copy()
        return order, cls(int(heavy.sum()), mean, scale)

    def centre(self, columns: Float32Array) -> tuple[Float32Array, BoolArray]:
        """Transform columns (F, N) in place, less their means; return them with 0 where missing, and where that is.

        Features stand in rows here: each step is then one pass over long stretches of memory.
        """
        known = np.isfinite(columns)
        tails = columns[: self.n_log]
        np.maximum(tails, 0.0, out=tails)
        tails += 1.0
        np.log(tails, out=tails)
        columns -= self.mean[:, None]
        if not known.all():
            # All bits of a missing value are cleared: faster than an assignment where a mask is set.
            bits = columns.view(np.int32)
            np.bitwise_and(bits, np.negative(known, dtype=np.int32, casting="unsafe"), out=bits)
        return columns, ~known

    def standardise(self, columns: Float32Array) -> tuple[Float32Array, BoolArray]:
        """Transform columns (F, N) in place to mean 0 and deviation 1; return them, and where they were missing."""
        columns, missing = self.centre(columns)
        columns /= self.scale[:, None]
        return columns, missing


def sometimes_missing(missing: BoolArray) -> IntArray:
    """Return the features, of missing values (F, N), that are missing in some rows and known in others."""
    return np.flatnonzero(missing.any(axis=1) & ~missing.all(axis=1))


def _is_heavy_tailed(column: Float32Array) -> bool:
    known = column[np.isfinite(column)]
    if not len(known) or known.min() < 0:
        return False
    return float(known.max()) > HEAVY_TAIL * float(known.mean(dtype=np.float64))


def _moments(column: Float32Array, weight: FloatArray, *, log: bool) -> tuple[float, float]:
    known = np.isfinite(column)
    if not weight[known].any():
        return 0.0, 1.0
    values = column[known].astype(np.float64)
    values = np.log(values + 1.0) if log else values
    mean = float(np.average(values, weights=weight[known]))
    deviation = float(np.sqrt(np.average((values - mean) ** 2, weights=weight[known])))
    # A constant has no scale: rounding noise must not be blown up to one.
    return mean, deviation if deviation > 1e-6 * max(abs(mean), 1e-30) else 1.0
