"""Accuracy: how many relevant items are in the list, and how far up.

Libraries differ in what they divide by. ``over`` says it, in one vocabulary for all metrics: ``"relevant"`` is the
number of relevant items of the user, ``"reachable"`` as many of these as fit, ``min(k, n_relevant)``, ``"k"`` all
places asked for, and ``"list"`` the places that the list fills.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from recokit._kernels.ranking_metrics import (
    Hits,
    average_precision,
    discount as log_discount,
    discounted_gain,
    hit_counts,
    reciprocal_rank,
)
from recokit._utils.options import check_options, one_of
from recokit.metrics.base import RelevanceMetric
from recokit.metrics.matched_lists import MatchedLists
from recokit.typing import FloatArray, IntArray

Gains = Literal["binary", "linear", "exponential"]
Discount = Literal["shifted", "clipped"]
Over = Literal["relevant", "reachable", "k", "list"]

_OVER = {
    "relevant": "n_relevant",
    "reachable": "min(k, n_relevant)",
    "k": "k, also for shorter lists",
    "list": "the length of the list, at most k",
}


#: Gains for which 2 ** gain - 1 is a line in float64.
_LINEAR_BELOW = 1e-16


def exponential_gain(gain: FloatArray, largest: FloatArray | float) -> FloatArray:
    """Return ``(2 ** gain - 1) / 2 ** largest``, exact for huge gains and for tiny ones.

    Examples
    --------
    >>> exponential_gain(np.array([3.0, 5000.0]), np.array([3.0, 5000.0])).tolist()
    [0.875, 1.0]
    """
    return np.asarray(np.exp2(gain - largest) * -np.expm1(-np.log(2.0) * gain))


class NDCG(RelevanceMetric):
    """Normalised discounted cumulative gain.

    The sum of ``gain / log2(rank + 1)`` over the hits in the first k places, divided by the same sum of the
    best possible list: the ``min(k, n_relevant)`` largest gains. Relevant items outside the catalogue count
    in the ideal. Jarvelin and Kekalainen, *Cumulated gain-based evaluation of IR techniques*, 2002; exponential gains:
    Burges et al., *Learning to rank using gradient descent*, 2005.

    Parameters
    ----------
    k : int
        How many places count.
    gains : {"binary", "linear", "exponential"}, default "binary"
        1 for each relevant item; its gain; or ``2 ** gain - 1``.
    discount : {"shifted", "clipped"}, default "shifted"
        ``1 / log2(rank + 1)``, or ``1 / log2(max(rank, 2))``, which treats the first two places alike, as in the paper
        of 2002 and in LensKit.
    over : {"reachable", "k"}, default "reachable"
        The ideal has ``min(k, n_relevant)`` hits; or k hits of gain 1 for every user, as in RecTools: lists of users
        with few relevant items can then not reach 1. Binary gains only.

    Raises
    ------
    ConfigurationError
        If k is below 1, or an option is none of those named.

    Examples
    --------
    Hits at ranks 2 and 5 with three relevant items: (1/log2 3 + 1/log2 6) / (1 + 1/log2 3 + 1/log2 4).

    >>> lists, truth = [[1, 2, 3, 4, 5]], [[2, 5, 99]]
    >>> round(NDCG(10)(lists, truth), 4)
    0.4776
    >>> round(NDCG(10, over="k")(lists, truth), 4), round(NDCG(10, discount="clipped")(lists, truth), 4)
    (0.224, 0.5438)

    Graded: the better item should be first.

    >>> round(NDCG(10, gains="linear")([["good", "best"]], [{"best": 2.0, "good": 1.0}]), 4)
    0.8597
    """

    bare = "gains"

    def __init__(
        self,
        k: int,
        *,
        gains: Gains = "binary",
        discount: Discount = "shifted",
        over: Literal["reachable", "k"] = "reachable",
    ) -> None:
        super().__init__(k)
        self.gains, self.discount, self.over = gains, discount, over
        ideals = ("reachable", "k") if gains == "binary" else ("reachable",)
        rules = {
            "gains": one_of(*get_args(Gains)),
            "discount": one_of(*get_args(Discount)),
            "over": one_of(*ideals),
        }
        check_options(self, rules)

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        gains = {"binary": "", "linear": "gain times ", "exponential": "(2^gain - 1) times "}[self.gains]
        discount = "1/log2(rank + 1)" if self.discount == "shifted" else "1/log2(max(rank, 2))"
        ideal = "min(k, n_relevant)" if self.over == "reachable" else "k"
        return f"{gains}discount {discount}; ideal over {ideal}"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        if self.gains != "binary":
            best_hits = matched.ideal.within(self.k)
            largest, first = np.zeros(len(matched)), best_hits.rank == 1
            largest[best_hits.row[first]] = best_hits.gain[first]
            return self._gained(matched.hits.within(self.k), largest) / self._gained(best_hits, largest)
        hits = matched.hits.within(self.k)
        gained = discounted_gain(replace(hits, gain=np.ones(len(hits.gain))), self._discount(hits.rank))
        best = np.minimum(matched.n_relevant, self.k) if self.over == "reachable" else self.k
        ideal = np.concatenate([[0.0], np.cumsum(self._discount(np.arange(1, self.k + 1)))])
        return np.asarray(gained / ideal[best])

    def _gained(self, hits: Hits, largest: FloatArray) -> FloatArray:
        """Return the sums of gains as shares of each row's largest: neither huge nor tiny gains lose their order."""
        most = largest[hits.row]
        gain = hits.gain / most
        if self.gains == "exponential":
            wide = most > _LINEAR_BELOW  # 2 ** gain - 1 is gain * log(2) before
            gain[wide] = exponential_gain(hits.gain[wide], most[wide]) / exponential_gain(
                most[wide], most[wide]
            )
        return discounted_gain(replace(hits, gain=gain), self._discount(hits.rank))

    def _discount(self, rank: IntArray) -> FloatArray:
        return log_discount(rank if self.discount == "shifted" else np.maximum(rank - 1, 1))


class Recall(RelevanceMetric):
    """Share of the relevant items that are in the first k places.

    ``hits / n_relevant``, over all relevant items, also when there are more than k. Manning, Raghavan and Schutze,
    *Introduction to Information Retrieval*, 2008, chapter 8.

    Parameters
    ----------
    k : int
        How many places count.
    over : {"relevant", "reachable"}, default "relevant"
        All relevant items, or ``min(k, n_relevant)`` ("capped" or "truncated" recall, as in LensKit).

    Examples
    --------
    >>> Recall(2)([["a", "b", "c"]], [["b", "c", "x", "y"]])
    0.25
    >>> Recall(2, over="reachable")([["a", "b", "c"]], [["b", "c", "x", "y"]])
    0.5
    """

    def __init__(self, k: int, *, over: Literal["relevant", "reachable"] = "relevant") -> None:
        super().__init__(k)
        one_of("relevant", "reachable").check("over", over)
        self.over = over

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        return f"hits / {_OVER[self.over]}"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        return hit_counts(matched.hits.within(self.k)) / _divisor(self.over, matched, self.k)


class Precision(RelevanceMetric):
    """Share of the first k places that hold a relevant item.

    ``hits / k``: a list shorter than k is not flattered, its missing places count as misses. Manning, Raghavan and
    Schutze, *Introduction to Information Retrieval*, 2008, chapter 8.

    Parameters
    ----------
    k : int
        How many places count.
    over : {"k", "list", "reachable"}, default "k"
        All k places; those that the list fills, as in LensKit (then undefined for an empty list); or
        ``min(k, n_relevant)``, as in implicit, which pools hits and places over users before it divides.

    Examples
    --------
    >>> Precision(4)([["a", "b"]], [["b"]]), Precision(4, over="list")([["a", "b"]], [["b"]])
    (0.25, 0.5)
    """

    def __init__(self, k: int, *, over: Literal["k", "list", "reachable"] = "k") -> None:
        super().__init__(k)
        one_of("k", "list", "reachable").check("over", over)
        self.over = over

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        return f"hits / {_OVER[self.over]}"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        return hit_counts(matched.hits.within(self.k)) / _divisor(self.over, matched, self.k)


class RPrecision(RelevanceMetric):
    """Share of relevant items in the first R places, where R is how many are relevant to the user, at most k.

    With ``k`` of at least the largest number of relevant items this is ``Rprec`` of trec_eval. Manning, Raghavan and
    Schutze, *Introduction to Information Retrieval*, 2008, chapter 8.

    Parameters
    ----------
    k : int
        How many places count at most.

    Examples
    --------
    Two are relevant: of the first two places one is right.

    >>> RPrecision(10)([["a", "b", "c"]], [["a", "c"]])
    0.5
    """

    definition = "hits in the first R = min(k, n_relevant) places, over R"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        places, hits = np.minimum(matched.n_relevant, self.k), matched.hits
        return np.bincount(hits.row[hits.rank <= places[hits.row]], minlength=len(matched)) / places


class MAP(RelevanceMetric):
    """Mean average precision.

    The average precision of a list is the sum, over the hits in the first k places, of the precision up to
    that hit, divided by ``min(k, n_relevant)``. The mean is over users. Manning, Raghavan and Schutze, *Introduction to
    Information Retrieval*, 2008, chapter 8; with a cut at k, libraries divide by different numbers.

    Parameters
    ----------
    k : int
        How many places count.
    over : {"reachable", "relevant", "k", "list"}, default "reachable"
        ``min(k, n_relevant)``; all relevant items, as in trec_eval, ranx and RecTools; k; or the smaller of the list's
        length and ``n_relevant``, as in LensKit (then undefined for an empty list).

    Examples
    --------
    Hits at ranks 1 and 3, three relevant: (1/1 + 2/3) / 3.

    >>> round(MAP(10)([["a", "b", "c"]], [["a", "c", "x"]]), 4)
    0.5556

    Hits at ranks 1 and 2 of two places, four relevant.

    >>> lists, truth = [["a", "b"]], [["a", "b", "c", "d"]]
    >>> MAP(2)(lists, truth), MAP(2, over="relevant")(lists, truth)
    (1.0, 0.5)
    """

    def __init__(self, k: int, *, over: Over = "reachable") -> None:
        super().__init__(k)
        one_of(*get_args(Over)).check("over", over)
        self.over = over

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        over = "min(length of the list, k, n_relevant)" if self.over == "list" else _OVER[self.over]
        return f"precision at each hit, summed, over {over}"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        best = _divisor(self.over, matched, self.k)
        if self.over == "list":
            best = np.minimum(best, matched.n_relevant)
        return average_precision(matched.hits.within(self.k), best)


class MRR(RelevanceMetric):
    """Mean reciprocal rank: 1 over the rank of the first relevant item in the first k places, 0 without one.

    Voorhees, *The TREC-8 question answering track report*, 1999.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    >>> MRR(10)([["a", "b", "c"]], [["b", "c"]])
    0.5
    """

    definition = "1 / rank of the first hit"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        return reciprocal_rank(matched.hits.within(self.k))


class HitRate(RelevanceMetric):
    """Share of users with at least one relevant item in the first k places.

    Deshpande and Karypis, *Item-based top-N recommendation algorithms*, 2004; "success" in information retrieval.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    >>> HitRate(1)([["a", "b"], ["b", "a"]], [["a"], ["a"]])
    0.5
    """

    definition = "1 with at least one hit, else 0"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        return (hit_counts(matched.hits.within(self.k)) > 0).astype(np.float64)


def _divisor(over: Over, matched: MatchedLists, k: int) -> IntArray:
    """Return what hits are divided by, (U,) int64."""
    if over == "relevant":
        return matched.n_relevant
    if over == "reachable":
        return np.minimum(matched.n_relevant, k)
    return np.minimum(matched.lists.counts, k) if over == "list" else np.full(len(matched), k)
