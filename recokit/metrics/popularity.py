"""How popular what is shown is, and how much of it is new: to everybody, and to the user."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.ranking_metrics import Hits
from recokit._kernels.segments import segment_sum
from recokit._utils.options import require, share, whole
from recokit.data.ragged import Ragged
from recokit.errors import ConfigurationError
from recokit.metrics.base import RelevanceMetric, UserMetric
from recokit.metrics.diversity import history_of
from recokit.metrics.matched_lists import MatchedLists
from recokit.typing import BoolArray, FloatArray, IntArray


class ListMean(UserMetric):
    """The mean of a value over the items in the first k places; undefined for an empty list."""

    def per_user(self, matched: MatchedLists) -> FloatArray:
        """Return the mean of each list, (U,) float64, NaN for an empty one."""
        row, item = matched.top(self.k)
        return mean_by_row(self._of_items(matched, row, item), row, len(matched))

    @abstractmethod
    def _of_items(self, matched: MatchedLists, row: IntArray, item: IntArray) -> FloatArray | BoolArray: ...


class Novelty(ListMean):
    """Mean self-information of the items shown, in bits: how little popularity gives them away.

    ``-log2(c_i / sum(c))`` for an item with ``c_i`` past events. An item without any counts as if it had one. Zhou et
    al., *Solving the apparent diversity-accuracy dilemma*, 2010; Castells, Hurley and Vargas, *Novelty and diversity in
    recommender systems*, 2015 (free discovery). Undefined for an empty list.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    ``(-log2(6 / 8) - log2(2 / 8)) / 2``.

    >>> round(Novelty(2)([["a", "b"]], popularity={"a": 6, "b": 2}), 4)
    1.2075
    """

    needs_history = True
    definition = "mean -log2(share of past events) of the items shown"
    bounds = (0.0, np.inf)

    def _of_items(self, matched: MatchedLists, row: IntArray, item: IntArray) -> FloatArray:
        counts = popularity_of(self, matched)
        return np.asarray(np.log2(counts.sum()) - np.log2(np.maximum(at(counts, item), 1.0)))


class ARP(ListMean):
    """Average recommendation popularity: mean number of past events of the items shown.

    Yin et al., *Challenging the long tail recommendation*, 2012; Abdollahpouri, Burke and Mobasher, *Managing
    popularity bias in recommender systems with personalized re-ranking*, 2019. Undefined for an empty list.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    >>> ARP(2)([["a", "b"]], popularity={"a": 6, "b": 2})
    4.0
    """

    needs_history = True
    definition = "mean number of past events of the items shown"
    bounds = (0.0, np.inf)

    def _of_items(self, matched: MatchedLists, row: IntArray, item: IntArray) -> FloatArray:
        return at(popularity_of(self, matched), item)


class APLT(ListMean):
    """Average percentage of long-tail items: the share of the list that is outside the popular head.

    The head is the smallest set of most popular items that holds ``head`` of all past events; of equally popular items
    the smaller code is in it first. Abdollahpouri, Burke and Mobasher, *Managing popularity bias in recommender systems
    with personalized re-ranking*, 2019. Undefined for an empty list.

    Parameters
    ----------
    k : int
        How many places count.
    head : float, default 0.8
        Share of the events that the head holds, as in the paper.

    Examples
    --------
    >>> counts = {"a": 8, "b": 1, "c": 1}
    >>> APLT(2)([["a", "b"]], popularity=counts), APLT(2, head=0.9)([["a", "b"]], popularity=counts)
    (0.5, 0.0)
    """

    needs_history = True

    def __init__(self, k: int, *, head: float = 0.8) -> None:
        super().__init__(k)
        require(share, head=head)
        self.head = head

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        return f"share of items outside the head, which has {self.head:.0%} of past events"

    def _of_items(self, matched: MatchedLists, row: IntArray, item: IntArray) -> BoolArray:
        counts = popularity_of(self, matched)
        order = np.argsort(-counts, kind="stable")
        before = np.cumsum(counts[order]) - counts[order]
        is_head = np.zeros(len(counts), np.bool_)
        is_head[order] = before < self.head * counts.sum() * (1 - 1e-12)
        return ~np.asarray(at(is_head, item), np.bool_)


class PopularityLift(UserMetric):
    """How much more popular the list is than what the user chose: ``(ARP of list - ARP of history) / ARP of history``.

    Abdollahpouri, Mansoury, Burke and Mobasher, *The connection between popularity bias, calibration, and fairness in
    recommendation*, 2020, there for a group of users: the mean over its users here. 0 is as popular as the history.
    Undefined without a list, or without history.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    The history's items have 6 and 2 events, the list's 6: (6 - 4) / 4.

    >>> PopularityLift(1)([["a"]], popularity={"a": 6, "b": 2}, history=[["a", "b"]])
    0.5
    """

    needs_history = True
    definition = "(mean popularity of the list - of the history) / of the history"
    bounds = (-1.0, np.inf)

    def per_user(self, matched: MatchedLists) -> FloatArray:
        """Return the lift of each list, (U,) float64, NaN without history or list."""
        counts, past = popularity_of(self, matched), history_of(self, matched)
        row, item = matched.top(self.k)
        mine = mean_by_row(at(counts, item), row, len(matched))
        theirs = mean_by_row(at(counts, past.values), past.rows, len(matched))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(theirs > 0, mine / theirs - 1.0, np.nan)


class Unexpectedness(ListMean):
    """Share of the list that is neither in the user's history nor among the most popular items.

    Adamopoulos and Tuzhilin, *On unexpectedness in recommender systems*, 2014, with these two sets for what a user
    expects. Undefined for an empty list.

    Parameters
    ----------
    k : int
        How many places count.
    n_popular : int, default 100
        How many of the most popular items everybody expects; of equally popular ones the smaller code first.

    Examples
    --------
    >>> counts = {"a": 9, "b": 2, "c": 1}
    >>> Unexpectedness(4, n_popular=1)([["a", "b", "c", "d"]], popularity=counts, history=[["b"]])
    0.5
    """

    needs_history = True

    def __init__(self, k: int, *, n_popular: int = 100) -> None:
        super().__init__(k)
        require(whole(1), n_popular=n_popular)
        self.n_popular = n_popular

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        return f"share of items outside the history and the {self.n_popular} most popular"

    def _of_items(self, matched: MatchedLists, row: IntArray, item: IntArray) -> BoolArray:
        return unexpected(self, matched, row, item, n_popular=self.n_popular)


class Serendipity(RelevanceMetric):
    """Share of the first k places with an item that is relevant and unexpected.

    Unexpected as in :class:`Unexpectedness`. Ge, Delgado-Battenfeld and Jannach, *Beyond accuracy*, 2010, whose
    primitive model is the popularity list. Undefined for users without a relevant item.

    Parameters
    ----------
    k : int
        How many places count; a list shorter than k is not flattered.
    n_popular : int, default 100
        How many of the most popular items everybody expects.

    Examples
    --------
    Two hits, one of which is the most popular item.

    >>> counts = {"a": 9, "b": 2, "c": 1}
    >>> Serendipity(4, n_popular=1)([["a", "c", "d"]], [["a", "c"]], popularity=counts, history=[["b"]])
    0.25
    """

    needs_history = True

    def __init__(self, k: int, *, n_popular: int = 100) -> None:
        super().__init__(k)
        require(whole(1), n_popular=n_popular)
        self.n_popular = n_popular

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        return f"hits outside the history and the {self.n_popular} most popular / k"

    def _per_user(self, matched: MatchedLists) -> FloatArray:
        hits: Hits = matched.hits.within(self.k)
        item = matched.lists.values[matched.lists.offsets[hits.row] + hits.rank - 1]
        surprise = unexpected(self, matched, hits.row, item, n_popular=self.n_popular)
        return segment_sum(surprise, hits.row, len(matched)) / self.k


class RepeatShare(ListMean):
    """Share of the list that the user has had before: items of the history.

    Anderson, Kumar, Tomkins and Vassilvitskii, *The dynamics of repeat consumption*, 2014. Undefined for an empty list.

    Parameters
    ----------
    k : int
        How many places count.

    Examples
    --------
    >>> RepeatShare(4)([["a", "b", "c", "d"]], history=[["b", "b", "x"]])
    0.25
    """

    needs_history = True
    definition = "share of items that are in the user's history"

    def _of_items(self, matched: MatchedLists, row: IntArray, item: IntArray) -> BoolArray:
        return _within(row, item, history_of(self, matched))


class Staleness(ListMean):
    """Share of the list that the user was already shown in the list before.

    1 minus the temporal diversity of Lathia, Hailes, Capra and Amatriain, *Temporal diversity in recommender systems*,
    2010. Undefined for an empty list.

    Parameters
    ----------
    k : int
        How many places count, of either list.

    Examples
    --------
    >>> Staleness(2)([["a", "b"]], previous=[["c", "a", "b"]])
    0.5
    """

    definition = "share of items that were in the previous list"

    def _of_items(self, matched: MatchedLists, row: IntArray, item: IntArray) -> BoolArray:
        if matched.previous is None:
            raise ConfigurationError(
                f"found no previous lists for {self.name}; expected previous=, the lists that the users saw before"
            )
        before = MatchedLists(matched.previous, Ragged.empty(len(matched))).first(self.k)
        return _within(row, item, before.lists)


def unexpected(
    metric: UserMetric, matched: MatchedLists, row: IntArray, item: IntArray, *, n_popular: int
) -> BoolArray:
    """Tell which items, one for each row index, the user does not expect."""
    counts = popularity_of(metric, matched)
    popular = np.argsort(-counts, kind="stable")[:n_popular]
    expected = np.zeros(len(counts), np.bool_)
    expected[popular[counts[popular] > 0]] = True
    return ~(np.asarray(at(expected, item), np.bool_) | _within(row, item, history_of(metric, matched)))


def popularity_of(metric: UserMetric, matched: MatchedLists) -> FloatArray:
    """Return past events by item code; ConfigurationError where they are not known."""
    if matched.popularity is None:
        raise ConfigurationError(
            f"found no popularity for {metric.name}; expected popularity=, such as "
            "MatchedLists.from_lists(lists, truths, popularity=...), or evaluate(..., history=train)"
        )
    return matched.popularity


def at(by_item: FloatArray | BoolArray, item: IntArray) -> FloatArray:
    """Return the value of each item code, 0 for unknown items and those beyond the end."""
    inside = (item > 0) & (item < len(by_item))
    return np.where(inside, by_item[np.where(inside, item, 0)], 0).astype(np.float64)


def mean_by_row(values: FloatArray | BoolArray, row: IntArray, n_rows: int) -> FloatArray:
    """Return the mean of values (N,) by row index, (n_rows,) float64, NaN where there are none."""
    with np.errstate(invalid="ignore"):
        return np.asarray(segment_sum(values, row, n_rows) / np.bincount(row, minlength=n_rows))


def _within(row: IntArray, item: IntArray, sets: Ragged) -> BoolArray:
    return pairs_in_sets(row, item, sets.offsets, sets.values) & (item > 0)
