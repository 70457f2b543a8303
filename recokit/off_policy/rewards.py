"""A reward model for the direct and the doubly robust estimators."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np

from recokit._kernels.hashing import mix
from recokit._utils.options import above, check_options, whole
from recokit._utils.params import Configured
from recokit.data.impressions import ImpressionLog
from recokit.typing import FloatArray, IntArray


class RewardModel(Protocol):
    """What predicts rewards: it learns from what was shown, and is asked about what another policy would show."""

    def fit(self, impressions: ImpressionLog) -> Self:
        """Learn from impressions and their labels."""
        ...

    def predict(self, impressions: ImpressionLog) -> FloatArray:
        """Return the expected label of each impression (M,), without a look at its own label, nor at its list's."""
        ...


class ItemReward(Configured):
    """Reward by item and place: clicks over expected clicks.

    ``level[place] * (clicks[item] + prior) / (expected[item] + prior)``, where ``expected`` is what the item would have
    got if it were average in its places; Chapelle and Zhang, *A dynamic Bayesian network click model for web search
    ranking*, 2009. Cross-fitted: a list's rewards are predicted from the other part of the lists, so that the doubly
    robust estimators stay unbiased. It knows nothing of users; any :class:`RewardModel` can stand in for it.

    Parameters
    ----------
    prior : float, default 20.0
        Impressions of average reward that are added to those of each item.
    n_folds : int, default 2
        Parts of the lists.

    Attributes
    ----------
    level_ : ndarray of float64, shape (n_folds, K + 1)
        Mean reward by place, in the lists outside each part; column 0 is the mean of all places.
    ratio_ : ndarray of float64, shape (n_folds, n_items + 1)
        By item code; 1 for an item that was not seen, and for code 0.

    Raises
    ------
    ConfigurationError
        If the prior is not above 0 or there are fewer than two parts.

    Examples
    --------
    >>> from recokit.datasets import make_marketplace
    >>> log = ImpressionLog.of(make_marketplace(300, 60, seed=1).impressions)
    >>> predicted = ItemReward().fit(log).predict(log)
    >>> bool(predicted[log.position == 1].mean() > predicted[log.position == 9].mean())
    True
    """

    def __init__(self, *, prior: float = 20.0, n_folds: int = 2) -> None:
        self.prior, self.n_folds = prior, n_folds
        check_options(self, {"prior": above(0), "n_folds": whole(2)})

    def fit(self, impressions: ImpressionLog) -> Self:
        """Add up rewards by item and place, for each part of the lists without it."""
        fold, label = self._fold(impressions.group), impressions.label.astype(np.float64)
        item, place = impressions.item, impressions.position
        n_places, n_items = int(place.max(initial=0)) + 1, int(item.max(initial=0)) + 1
        self.level_ = np.zeros((self.n_folds, n_places))
        self.ratio_ = np.ones((self.n_folds, n_items))
        for part in range(self.n_folds):
            rows = np.flatnonzero((fold != part) & (place > 0))
            mean = float(label[rows].mean()) if len(rows) else 0.0
            if mean == 0:
                continue
            shown = np.bincount(place[rows], minlength=n_places)
            clicks = np.bincount(place[rows], label[rows], minlength=n_places)
            self.level_[part] = np.divide(clicks, shown, out=np.full(n_places, mean), where=shown > 0)
            got = np.bincount(item[rows], label[rows], minlength=n_items)
            average = np.bincount(item[rows], self.level_[part][place[rows]], minlength=n_items)
            self.ratio_[part] = (got + self.prior * mean) / (average + self.prior * mean)
            self.ratio_[part, 0] = 1.0
        return self

    def predict(self, impressions: ImpressionLog) -> FloatArray:
        """Return the expected reward of each impression, (M,) float64.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        level, ratio = self.level_, self.ratio_
        fold = self._fold(impressions.group)
        place = np.where(impressions.position < level.shape[1], impressions.position, 0)
        item = np.where(impressions.item < ratio.shape[1], impressions.item, 0)
        return np.asarray(level[fold, place] * ratio[fold, item])

    def _fold(self, group: IntArray) -> IntArray:
        fold: IntArray = (mix(group.astype(np.uint64)) % np.uint64(self.n_folds)).astype(np.int64)
        return fold
