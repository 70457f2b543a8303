"""Metrics of a user who reads from the top and may stop, and of the order as a whole."""

from __future__ import annotations

from typing import Literal

import numpy as np

from recokit._kernels.ranking_metrics import cascade_gain, discounted_gain, hit_counts, misses_above
from recokit._utils.options import above, check_options, one_of, require, share
from recokit.errors import DataError
from recokit.metrics.accuracy import exponential_gain
from recokit.metrics.base import RelevanceMetric, SizedMetric
from recokit.metrics.matched_lists import MatchedLists
from recokit.typing import FloatArray


class RBP(RelevanceMetric):
    """Rank-biased precision: the rate of relevant items seen by a user who goes on with a fixed probability.

    ``(1 - p) * sum(p ** (rank - 1))`` over the hits in the first k places. Moffat and Zobel, *Rank-biased precision for
    measurement of retrieval effectiveness*, 2008. Not divided by the best possible value, so it reaches 1 only where
    everything is relevant.

    Parameters
    ----------
    k : int
        How many places count.
    p : float, default 0.85
        Persistence: probability of going on to the next place. 0.85 as in LensKit; the paper uses 0.5 to 0.95.
    gains : {"binary", "linear"}, default "binary"
        1 for each relevant item, or its gain, as in ranx; a mean gain then, not bounded by 1.

    Examples
    --------
    Hits at ranks 1 and 3: 0.5 * (1 + 0.25).

    >>> RBP(10, p=0.5)([["a", "b", "c"]], [["a", "c"]])
    0.625
    """

    bare = "gains"

    def __init__(self, k: int, *, p: float = 0.85, gains: Literal["binary", "linear"] = "binary") -> None:
        super().__init__(k)
        self.p, self.gains = p, gains
        check_options(self, {"p": share, "gains": one_of("binary", "linear")})

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        return f"(1 - p) * p^(rank - 1) {'times gain ' if self.gains == 'linear' else ''}over hits, p = {self.p:g}"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        hits = matched.hits.within(self.k)
        weight = np.asarray((1.0 - self.p) * self.p ** (hits.rank - 1.0), np.float64)
        if self.gains == "linear":
            return discounted_gain(hits, weight)
        return np.bincount(hits.row, weights=weight, minlength=len(matched)).astype(np.float64)


class ERR(RelevanceMetric):
    """Expected reciprocal rank: 1 / rank of the place where a user is satisfied and stops.

    An item of gain g satisfies with probability ``R = (2 ** g - 1) / 2 ** max_gain``; the value is the sum over places
    of ``R / rank`` times the probability that nothing above satisfied. Chapelle, Metzler, Zhang and Grinspan, *Expected
    reciprocal rank for graded relevance*, 2009.

    Parameters
    ----------
    k : int
        How many places count.
    max_gain : float, default 1.0
        The largest gain of the scale: 1 for binary relevance, 4 for grades from 0 to 4.

    Raises
    ------
    DataError
        Where a gain is above ``max_gain``.

    Examples
    --------
    Binary hits at ranks 1 and 3 satisfy by a half each: 1/2 + 1/2 * 1/2 / 3.

    >>> round(ERR(10)([["a", "b", "c"]], [["a", "c"]]), 4)
    0.5833
    """

    def __init__(self, k: int, *, max_gain: float = 1.0) -> None:
        super().__init__(k)
        require(above(0), max_gain=max_gain)
        self.max_gain = max_gain

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        return f"R / rank, each by the chance to get there; R = (2^gain - 1) / 2^{self.max_gain:g}"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        largest = matched.truth.columns["gain"].max(initial=0.0) if len(matched.truth.values) else 0.0
        if largest > self.max_gain:
            raise DataError(
                f"found gain {largest:g} for {self.name}; expected at most max_gain={self.max_gain:g}; "
                f"hint: ERR({self.k}, max_gain={largest:g})"
            )
        hits = matched.hits.within(self.k)
        return cascade_gain(hits, exponential_gain(hits.gain, self.max_gain))


class AUC(SizedMetric, RelevanceMetric):
    """Area under the ROC curve of each user's list: how likely a relevant item stands above another one.

    Items that are not in the first k places count as tied below them. With a list of the whole catalogue it is the AUC
    of the full order; with a shorter one it is that of ``implicit.evaluation``. Undefined where nothing, or everything,
    is relevant. For scores of logged rows see :func:`recokit.metrics.gauc`.

    Parameters
    ----------
    k : int
        How many places count.
    n_items : int, optional
        Size of the catalogue; by default what the matched lists say.

    Examples
    --------
    Of four items two are relevant, at ranks 1 and 3: of the four pairs of a relevant and another item three are in
    order.

    >>> AUC(4, n_items=4)([["a", "b", "c", "d"]], [["a", "c"]])
    0.75
    """

    definition = "share of pairs of a relevant and another item in order; not listed = tied last"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        hits = matched.hits.within(self.k)
        n_hits, positive = hit_counts(hits), matched.n_relevant
        n_misses = np.minimum(matched.lists.counts, self.k) - n_hits
        negative = self.size(matched.n_items) - positive
        listed = n_hits * n_misses - misses_above(hits)
        below = (n_hits + positive) / 2.0 * (negative - n_misses)
        return np.where(negative > 0, (listed + below) / (positive * negative), np.nan)
