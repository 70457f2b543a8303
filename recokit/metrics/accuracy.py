"""Accuracy: how many relevant items are in the list, and how far up."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from recokit._ops.ranking import (
    Hits,
    average_precision,
    discount,
    discounted_gain,
    hit_counts,
    reciprocal_rank,
)
from recokit.errors import ConfigurationError, did_you_mean
from recokit.metrics.base import RelevanceMetric
from recokit.metrics.judged import Judged
from recokit.typing import FloatArray

__all__ = ["MAP", "MRR", "NDCG", "HitRate", "Precision", "Recall"]

Gains = Literal["binary", "linear", "exponential"]


class NDCG(RelevanceMetric):
    """Normalised discounted cumulative gain.

    The sum of ``gain / log2(rank + 1)`` over the hits in the first k places, divided by the same sum of the
    best possible list: the ``min(k, n_relevant)`` largest gains. Relevant items outside the catalogue count
    in the ideal. Jarvelin and Kekalainen, *Cumulated gain-based evaluation of IR techniques*, 2002.

    Parameters
    ----------
    k : int
        How many places count.
    gains : {"binary", "linear", "exponential"}, default "binary"
        1 for each relevant item; its gain; or ``2 ** gain - 1``.

    Raises
    ------
    ConfigurationError
        If k is below 1, or the gains are none of the three.

    Examples
    --------
    Hits at ranks 2 and 5 with three relevant items: (1/log2 3 + 1/log2 6) / (1 + 1/log2 3 + 1/log2 4).

    >>> round(NDCG(10)([[1, 2, 3, 4, 5]], [[2, 5, 99]]), 4)
    0.4776

    Graded: the better item should be first.

    >>> round(NDCG(10, gains="linear")([["good", "best"]], [{"best": 2.0, "good": 1.0}]), 4)
    0.8597
    """

    definition = "discount 1/log2(rank + 1); ideal over min(k, n_relevant)"

    def __init__(self, k: int, *, gains: Gains = "binary") -> None:
        super().__init__(k)
        if gains not in get_args(Gains):
            raise ConfigurationError(f"found gains={gains!r}; {did_you_mean(str(gains), get_args(Gains))}")
        self.gains = gains

    @property
    def name(self) -> str:
        """``"NDCG@10"``; with other than binary gains ``"NDCG@10:linear"``."""
        return super().name if self.gains == "binary" else f"{super().name}:{self.gains}"

    def _per_user(self, judged: Judged) -> FloatArray:
        found = discounted_gain(self._gained(judged.hits.within(self.k)))
        if self.gains != "binary":
            return found / discounted_gain(self._gained(judged.ideal.within(self.k)))
        best = np.minimum(judged.n_relevant, self.k)
        ideal = np.concatenate([[0.0], np.cumsum(discount(np.arange(1, best.max(initial=0) + 1)))])
        return np.asarray(found / ideal[best])

    def _gained(self, hits: Hits) -> Hits:
        if self.gains == "linear":
            return hits
        gain = np.ones(len(hits.gain)) if self.gains == "binary" else np.exp2(hits.gain) - 1.0
        return Hits(hits.n_rows, hits.row, hits.rank, gain)


class Recall(RelevanceMetric):
    """Share of the relevant items that are in the first k places.

    ``hits / n_relevant``, over all relevant items, also when there are more than k.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    >>> Recall(2)([["a", "b", "c"]], [["b", "c", "x", "y"]])
    0.25
    """

    definition = "hits / n_relevant"

    def _per_user(self, judged: Judged) -> FloatArray:
        return hit_counts(judged.hits.within(self.k)) / judged.n_relevant


class Precision(RelevanceMetric):
    """Share of the first k places that hold a relevant item.

    ``hits / k``: a list shorter than k is not flattered, its missing places count as misses.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    >>> Precision(4)([["a", "b"]], [["b"]])
    0.25
    """

    definition = "hits / k, also for shorter lists"

    def _per_user(self, judged: Judged) -> FloatArray:
        return hit_counts(judged.hits.within(self.k)) / self.k


class MAP(RelevanceMetric):
    """Mean average precision.

    The average precision of a list is the sum, over the hits in the first k places, of the precision up to
    that hit, divided by ``min(k, n_relevant)``. The mean is over users. Definition of trec_eval, with the
    list cut at k.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    Hits at ranks 1 and 3, three relevant: (1/1 + 2/3) / 3.

    >>> round(MAP(10)([["a", "b", "c"]], [["a", "c", "x"]]), 4)
    0.5556
    """

    definition = "precision at each hit, summed, over min(k, n_relevant)"

    def _per_user(self, judged: Judged) -> FloatArray:
        return average_precision(judged.hits.within(self.k), np.minimum(judged.n_relevant, self.k))


class MRR(RelevanceMetric):
    """Mean reciprocal rank: 1 over the rank of the first relevant item in the first k places, 0 without one.

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

    def _per_user(self, judged: Judged) -> FloatArray:
        return reciprocal_rank(judged.hits.within(self.k))


class HitRate(RelevanceMetric):
    """Share of users with at least one relevant item in the first k places.

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

    def _per_user(self, judged: Judged) -> FloatArray:
        return (hit_counts(judged.hits.within(self.k)) > 0).astype(np.float64)
