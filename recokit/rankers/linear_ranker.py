"""LinearRanker: a linear ranker that learns the order within each request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from recokit._utils.options import one_of, rules
from recokit.data import Candidates, RankingData
from recokit.rankers._inputs import all_rows
from recokit.rankers._linear import LinearModel, minimise
from recokit.rankers._losses import LOSSES, groups_of
from recokit.typing import Float32Array, FloatArray


@dataclass(eq=False, repr=False)
class LinearRanker(LinearModel):
    """Rank by a linear score that was trained on the order within each request.

    Features are transformed as by :class:`LogisticRegression`. Where that one asks how likely each candidate is taken,
    this one asks only which of a request's candidates come first: features of a whole request, such as how
    active its user is, cannot mislead it, and its scores are no probabilities.

    Parameters
    ----------
    loss : {"softmax", "bpr", "lambdarank"}, default "softmax"
        ``"softmax"``, listwise: cross entropy between a request's gains and the softmax of its scores (ListNet; Cao
        et al., 2007). ``"bpr"``, pairwise: logistic loss of every pair of different gain (RankNet; Burges et al., 2005;
        BPR; Rendle et al., 2009). ``"lambdarank"``: pairs count by what swapping them would change NDCG by (Burges,
        2010), learned by the alternation of LambdaLoss (Wang et al., 2018).
    regularization : float, default 1.0
        Strength of the L2 penalty on the standardised weights, beside a sum over requests; 0 for none.
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
        Always 0: it would change no order.
    transform_ : Transform
        Means and scales of the features, and how many go through ``log(1 + x)``.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or a feature is missing on use.

    Notes
    -----
    Groups without a difference between labels teach nothing and are left out. A group counts by the mean weight of its
    positives. A sampled negative counts as many times as its inverse sampling weight says, in the softmax, in
    the pairs and in the ranks of NDCG. A row is compared with at most 100 of lower gain, a fixed sample of them.
    Rows of ``data.validation`` are trained on as well.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Candidates, RankingData
    >>> x = np.array([[0.0], [1.0], [5.0], [6.0]], np.float32)
    >>> data = RankingData(x, ("clicks",), np.array([0, 1, 0, 1], np.float32), np.ones(4, np.float32),
    ...                    np.array([0, 2, 4]), np.array([1, 1, 2, 2]), np.array([1, 2, 1, 2]), np.zeros(4))
    >>> ranker = LinearRanker("bpr").fit(data)
    >>> batch = Candidates.from_lists([[7, 8]], features=[[0.5], [2.5]], feature_names=["clicks"])
    >>> low, high = ranker.score(batch)
    >>> bool(low < high)
    True
    """

    _OPTIONS = rules(loss=one_of(*LOSSES))

    loss: str = "softmax"

    def fit(self, data: RankingData) -> Self:
        """Learn from labelled candidates.

        Raises
        ------
        DataError
            If no group has different labels, or a label is negative.
        ConfigurationError
            If ``features`` names one that the data lacks.
        """
        names, columns = self._wanted(data)
        rows = all_rows(data)
        index, groups = groups_of(rows)

        def solve(design: Float32Array) -> tuple[FloatArray, float]:
            return minimise(design.astype(np.float64), groups, self.loss, self.regularization), 0.0

        self._learn(names, rows.features[np.ix_(index, columns)], groups.weight, solve)
        return self

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the product, (N,) float32; any scale."""
        return self._raw(candidates)
