"""LogisticRegression: a linear ranker that scores with one product."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np

from recokit._configured import Configured
from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError
from recokit.rankers._inputs import (
    Targets,
    all_rows,
    bound_positions,
    check_features,
    positions_of,
    require_fitted,
    select,
    sigmoid,
)
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

__all__ = ["LogisticRegression"]

#: A non-negative feature whose largest value is this many times its mean is counted as heavy-tailed.
HEAVY_TAIL = 8.0


class LogisticRegression(Configured):
    """Rank by the probability that a logistic regression gives to a positive label.

    Features are put on one scale inside: non-negative heavy-tailed ones (largest value more than 8 times the mean) go
    through ``log(1 + x)``, all are standardised by their training mean and deviation, a missing value
    (NaN or infinite) counts as the mean and, if asked, gets a weight of its own. The fitted model is plain arrays.

    Parameters
    ----------
    regularization : float, default 1.0
        Strength of the L2 penalty on the standardised weights (``1 / C`` of scikit-learn); 0 for none.
    missing_indicator : bool, default True
        Whether a feature that was missing in some training rows gets a second weight, used where it is missing.
    features : sequence of str, optional
        Features to use; all by default.

    Attributes
    ----------
    feature_names_ : tuple of str
        Features used, in the order of ``coef_``: heavy-tailed ones first.
    coef_, missing_coef_ : ndarray of float32, shape (F,)
        Weights on the standardised features, and of their absence.
    intercept_ : float
        Log-odds of a row whose features are all at their means.
    mean_, scale_ : ndarray of float32, shape (F,)
        Of the transformed features.
    n_log_ : int
        How many features go through ``log(1 + x)``.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or a feature is missing on use.

    Notes
    -----
    Rows of ``data.validation`` are trained on as well: there is nothing here to choose by them.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Candidates, RankingData
    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
    >>> one = np.ones(4, np.float32)
    >>> data = RankingData(x, ("clicks",), np.array([0, 0, 1, 1], np.float32), one, np.array([0, 4]),
    ...                    np.ones(4, np.int64), np.arange(1, 5), np.zeros(4))
    >>> ranker = LogisticRegression().fit(data)
    >>> batch = Candidates.from_lists([[7, 8]], features=[[0.5], [2.5]], feature_names=["clicks"])
    >>> low, high = ranker.score(batch)
    >>> bool(low < 0.5 < high)
    True
    """

    def __init__(
        self,
        *,
        regularization: float = 1.0,
        missing_indicator: bool = True,
        features: Sequence[str] | None = None,
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

    def fit(self, data: RankingData) -> Self:
        """Learn from labelled candidates.

        Raises
        ------
        DataError
            If there are no positives or no negatives, or a label or weight is negative.
        ConfigurationError
            If ``features`` names one that the data lacks.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression as SklearnRegression

        names = tuple(self.features) if self.features is not None else data.feature_names
        columns = positions_of(names, data.feature_names, type(self).__name__)
        targets = Targets(all_rows(data), columns)
        order = self._learn_transform(targets.features, targets.weight)
        self.feature_names_ = tuple(names[i] for i in order)
        centred, missing = self._centre(targets.features.take(order, axis=1))
        indicated = self._indicated(missing)
        model = SklearnRegression(
            C=1.0 / self.regularization if self.regularization else np.inf, max_iter=300
        )
        with warnings.catch_warnings():
            # Perfectly separated labels have no finite optimum without a penalty; the last iterate ranks them as well.
            warnings.simplefilter("ignore", ConvergenceWarning)
            design = np.concatenate([centred / self.scale_, missing[:, indicated]], axis=1)
            model.fit(design, targets.positive, sample_weight=targets.weight)
        n_features = len(names)
        self.coef_ = model.coef_[0, :n_features].astype(np.float32)
        self.missing_coef_ = np.zeros(n_features, np.float32)
        self.missing_coef_[indicated] = model.coef_[0, n_features:]
        self.intercept_ = float(model.intercept_[0])
        return self

    def bind(self, schema: Schema) -> Self:
        """Learn where the features stand; ConfigurationError where one is missing."""
        bound = copy.copy(self)
        names = getattr(self, "feature_names_", self.features)
        bound.__dict__.update(bound_positions(self, schema, names))
        return bound

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the probability of a positive, (N,) float32."""
        centred, missing = self._design(candidates)
        # einsum adds up each row by itself, where BLAS would round by the shape of the batch.
        raw = np.einsum("nf,f->n", centred, self.coef_ / self.scale_)
        if missing.any() and self.missing_coef_.any():
            raw += np.einsum("nf,f->n", missing.astype(np.float32), self.missing_coef_)
        return sigmoid(raw + np.float32(self.intercept_))

    def contributions(self, candidates: Candidates) -> Float32Array:
        """Return what each feature adds to the log-odds, (N, F) float32, in the order of ``feature_names_``.

        Exact: the sum over a row and ``intercept_`` is the log-odds of its score.
        """
        centred, missing = self._design(candidates)
        parts: Float32Array = centred * (self.coef_ / self.scale_) + missing * self.missing_coef_
        return parts

    def _design(self, candidates: Candidates) -> tuple[Float32Array, BoolArray]:
        require_fitted(self, "coef_")
        features = select(self, candidates)
        return self._centre(features.copy() if features is candidates.features else features)

    def _learn_transform(self, features: Float32Array, weight: FloatArray) -> list[int]:
        """Learn the transform of each feature; return their order, heavy-tailed ones first."""
        order: list[int] = []
        mean, scale = [], []
        heavy = [_is_heavy_tailed(column) for column in features.T]
        for tail in (True, False):
            for i in (position for position, found in enumerate(heavy) if found is tail):
                centre, deviation = _moments(features[:, i], weight, log=tail)
                order.append(i)
                mean.append(centre)
                scale.append(deviation)
        self.n_log_ = sum(heavy)
        self.mean_, self.scale_ = np.array(mean, np.float32), np.array(scale, np.float32)
        return order

    def _centre(self, values: Float32Array) -> tuple[Float32Array, BoolArray]:
        """Transform features in place, less their means; return them with 0 where missing, and where that is."""
        missing = ~np.isfinite(values)
        if self.n_log_:
            tails = values[
                :, : self.n_log_
            ].copy()  # contiguous: three passes over it are cheaper than over a slice
            np.maximum(tails, 0.0, out=tails)
            tails += 1.0
            values[:, : self.n_log_] = np.log(tails, out=tails)
        values -= self.mean_
        np.copyto(values, np.float32(0.0), where=missing)
        return values, missing

    def _indicated(self, missing: BoolArray) -> IntArray:
        """Return the features whose absence gets a weight: sometimes missing, sometimes not."""
        sometimes = missing.any(axis=0) & ~missing.all(axis=0)
        return np.flatnonzero(sometimes & self.missing_indicator)


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
