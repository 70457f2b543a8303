"""LogisticRegression: a linear ranker of probabilities."""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np

from recokit.data import Candidates, RankingData
from recokit.rankers._inputs import Targets, all_rows, sigmoid
from recokit.rankers._linear import LinearModel
from recokit.typing import BoolArray, Float32Array, FloatArray


class LogisticRegression(LinearModel):
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
    transform_ : Transform
        Means and scales of the features, and how many go through ``log(1 + x)``.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or a feature is missing on use.

    Notes
    -----
    Rows of ``data.validation`` are trained on as well: there is nothing here to choose by them. With graded labels the
    probability is the expected label as a share of the largest one.

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

    def fit(self, data: RankingData) -> Self:
        """Learn from labelled candidates.

        Raises
        ------
        DataError
            If there are no positives or no negatives, or a label or weight is negative.
        ConfigurationError
            If ``features`` names one that the data lacks.
        """
        names, columns = self._wanted(data)
        targets = Targets(all_rows(data), columns)

        def solve(design: Float32Array) -> tuple[FloatArray, float]:
            return _fit_sklearn(design, targets.positive, targets.weight, self.regularization)

        self._learn(names, targets.features, targets.weight, solve)
        return self

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the probability of a positive, (N,) float32."""
        return sigmoid(self._raw(candidates))


def _fit_sklearn(
    design: Float32Array, positive: BoolArray, weight: FloatArray, regularization: float
) -> tuple[FloatArray, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression as SklearnRegression

    model = SklearnRegression(C=1.0 / regularization if regularization else np.inf, max_iter=300)
    with warnings.catch_warnings():
        # Perfectly separated labels have no finite optimum without a penalty; the last iterate ranks them as well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(design, positive, sample_weight=weight)
    return model.coef_[0], float(model.intercept_[0])
