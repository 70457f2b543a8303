"""Losses of scores within groups, with their gradients: for the linear ranker, the networks and Blend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from recokit._kernels.hashing import row_seeds, uniform
from recokit._kernels.segments import counts_to_offsets, gather_segments, offsets_to_rows, segment_sum
from recokit.data import RankingData
from recokit.errors import DataError
from recokit.rankers._inputs import checked_labels, require_negatives
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Value and gradient (M,) for scores (M,).
Objective: TypeAlias = Callable[[FloatArray], tuple[float, FloatArray]]

LOSSES = ("softmax", "bpr", "lambdarank")
#: Most rows of lower gain that a row is compared with: a stratified sample of them stands for the rest.
MAX_PAIRS = 100


@dataclass(frozen=True, eq=False)
class Groups:
    """Labelled rows of G groups.

    Parameters
    ----------
    label, weight : ndarray of float64, shape (M,)
    offsets : ndarray of int64, shape (G + 1,)
    """

    label: FloatArray
    weight: FloatArray
    offsets: IntArray

    @cached_property
    def row(self) -> IntArray:
        """Group of each row, (M,) int64."""
        return offsets_to_rows(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def sum(self, values: AnyArray) -> FloatArray:
        """Sum values (M,) by group, (G,) float64."""
        return segment_sum(values, self.row, len(self))

    def take(self, groups: IntArray) -> tuple[IntArray, Groups]:
        """Return the positions of some groups' rows, and these groups."""
        offsets, index = gather_segments(self.offsets, groups)
        return index, Groups(self.label[index], self.weight[index], offsets)

    @cached_property
    def importance(self) -> FloatArray:
        """Weight of each group, (G,) float64: the mean weight of its positives, by gain."""
        gain = self.sum(self.label)
        return np.asarray(self.sum(self.label * self.weight) / np.where(gain > 0, gain, 1.0))


def groups_of(data: RankingData) -> tuple[IntArray, Groups]:
    """Return the positions of the rows that a ranking loss can learn from, and their groups.

    Those are the rows of weight above 0 in groups whose labels differ: elsewhere every order is as good.

    Raises
    ------
    DataError
        If labels are negative, or there is no such group.
    """
    label, weight = checked_labels(data)
    informative = _informative(data)
    if not informative.any():
        kind = "positives" if len(label) and label.all() else "labels"
        raise DataError(
            f"found only equal {kind} within each of {len(informative)} groups; expected a group with a positive and a "
            "negative; hint: a longer label_window, or more candidates"
        )
    row = offsets_to_rows(data.offsets)
    index = np.flatnonzero((weight > 0) & informative[row])
    counts = np.bincount(row[index], minlength=len(informative))[informative]
    return index, Groups(label[index], weight[index], counts_to_offsets(counts))


def rows_of(data: RankingData, max_gain: float) -> tuple[IntArray, Groups]:
    """Return the positions of rows of weight above 0, each a group of its own, labels as shares of the largest gain.

    Raises
    ------
    DataError
        If labels are negative, or there is no positive or no negative.
    """
    label, weight = checked_labels(data)
    require_negatives(label)
    index = np.flatnonzero(weight > 0)
    return index, Groups(label[index] / max_gain, weight[index], np.arange(len(index) + 1))


def can_learn(data: RankingData, *, by_row: bool) -> bool:
    """Tell whether a loss has something to judge by: a positive and a negative, within groups or at all."""
    return bool(data.label.any() and not data.label.all()) if by_row else bool(_informative(data).any())


def _informative(data: RankingData) -> BoolArray:
    """Tell which groups have rows of different labels, (G,) bool."""
    used = data.weight > 0
    row, label = offsets_to_rows(data.offsets)[used], data.label[used]
    highest = np.full(len(data.offsets) - 1, -np.inf)
    lowest = -highest
    np.maximum.at(highest, row, label)
    np.minimum.at(lowest, row, label)
    return np.asarray(highest > lowest)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of rows of one group, the first of the larger gain.

    Parameters
    ----------
    winner, loser : ndarray of int64, shape (P,)
        Positions of rows.
    weight : ndarray of float64, shape (P,)
        Product of the rows' weights, and of how many pairs each stands for.
    """

    winner: IntArray
    loser: IntArray
    weight: FloatArray

    @classmethod
    def of(cls, groups: Groups, *, seed: int = 0, max_pairs: int = MAX_PAIRS) -> Pairs:
        """Pair each row with those of lower gain in its group: all, or a stratified sample of ``max_pairs``.

        Examples
        --------
        >>> pairs = Pairs.of(Groups(np.array([0.0, 1.0, 0.5]), np.ones(3), np.array([0, 3])))
        >>> sorted(zip(pairs.winner.tolist(), pairs.loser.tolist()))
        [(1, 0), (1, 2), (2, 0)]
        """
        row = groups.row
        order = np.lexsort((groups.label, row))
        label, start = groups.label[order], groups.offsets[:-1][row]
        new = np.ones(len(order), np.bool_)
        new[1:] = (label[1:] != label[:-1]) | (row[1:] != row[:-1])
        # Sorted by gain, the rows of lower gain are the first ones of the group.
        n_lower = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0)) - start
        n_taken = np.minimum(n_lower, max_pairs)
        place = np.repeat(np.arange(len(order)), n_taken)
        nth = np.arange(len(place)) - np.repeat(counts_to_offsets(n_taken)[:-1], n_taken)
        share = n_lower[place] / n_taken[place]
        jitter = np.where(share > 1, uniform(row_seeds(seed, place), nth, stream=17), 0.0)
        lower = np.minimum(((nth + jitter) * share).astype(np.int64), n_lower[place] - 1)
        winner, loser = order[place], order[start[place] + lower]
        return cls(winner, loser, groups.weight[winner] * groups.weight[loser] * share)


def loss_around(name: str, groups: Groups, score: FloatArray, *, seed: int = 0) -> Objective:
    """Return a loss as a function of the scores; LambdaRank's weights are those at the given scores.

    ``"log"`` is the sum of every row's weighted log loss, its label the share of a positive. The others are sums
    over groups, each times its importance: ``"softmax"`` the cross entropy between gains and
    the softmax of the scores, ``"bpr"`` the mean logistic loss of the group's pairs, ``"lambdarank"`` the sum of it
    over pairs, each times what swapping the two would change NDCG by.
    """
    if name in ("log", "softmax"):
        return _log(groups) if name == "log" else _softmax(groups)
    pairs = Pairs.of(groups, seed=seed)
    row = groups.row[pairs.winner]
    if name == "lambdarank":
        return _pairwise(pairs, pairs.weight * groups.importance[row] * swap_changes(groups, pairs, score))
    total = np.bincount(row, weights=pairs.weight, minlength=len(groups))
    return _pairwise(pairs, pairs.weight * (groups.importance / np.where(total > 0, total, 1.0))[row])


def _log(groups: Groups) -> Objective:
    def objective(score: FloatArray) -> tuple[float, FloatArray]:
        value = float(groups.weight @ (np.logaddexp(0.0, score) - groups.label * score))
        return value, groups.weight * (0.5 + 0.5 * np.tanh(0.5 * score) - groups.label)

    return objective


def _softmax(groups: Groups) -> Objective:
    row, importance = groups.row, groups.importance
    gain = groups.label * groups.weight
    target = gain / groups.sum(gain)[row]

    def objective(score: FloatArray) -> tuple[float, FloatArray]:
        top = np.maximum.reduceat(score, groups.offsets[:-1])
        # A sampled negative stands for as many rows as its weight says.
        odds = groups.weight * np.exp(score - top[row])
        total = groups.sum(odds)
        entropy = np.log(total) + top - groups.sum(target * score)
        gradient = importance[row] * (odds / total[row] - target)
        return float(importance @ entropy), gradient

    return objective


def _pairwise(pairs: Pairs, weight: FloatArray) -> Objective:
    def objective(score: FloatArray) -> tuple[float, FloatArray]:
        margin = score[pairs.winner] - score[pairs.loser]
        value = float(weight @ np.logaddexp(0.0, -margin))
        push = weight * (0.5 - 0.5 * np.tanh(0.5 * margin))
        n = len(score)
        return value, segment_sum(push, pairs.loser, n) - segment_sum(push, pairs.winner, n)

    return objective


def swap_changes(groups: Groups, pairs: Pairs, score: FloatArray) -> FloatArray:
    """Return by how much NDCG changes where the rows of each pair swap places, (P,) float64 of at least 0."""
    worth = 1.0 / np.log2(weighted_ranks(groups, score) + 1.0)
    gain = groups.label[pairs.winner] - groups.label[pairs.loser]
    ideal = ideal_gain(groups)[groups.row[pairs.winner]]
    return np.asarray(gain * np.abs(worth[pairs.winner] - worth[pairs.loser]) / ideal)


def weighted_ranks(groups: Groups, score: FloatArray) -> FloatArray:
    """Return each row's rank in its group, (M,) float64: 1 and the weights of the rows above it.

    A sampled negative pushes rows down by as many places as the rows that it stands for.

    Examples
    --------
    >>> weighted_ranks(Groups(np.zeros(3), np.array([1.0, 4.0, 1.0]), np.array([0, 3])), np.array([0.1, 0.9, 0.5]))
    array([6., 1., 5.])
    """
    order = np.lexsort((-score, groups.row))
    above = np.concatenate([[0.0], np.cumsum(groups.weight[order])])
    rank = np.empty(len(score))
    rank[order] = 1.0 + above[:-1] - above[groups.offsets[:-1]][groups.row]
    return rank


def ideal_gain(groups: Groups) -> FloatArray:
    """Return the largest discounted gain that each group's rows can have, (G,) float64."""
    worth = 1.0 / np.log2(weighted_ranks(groups, groups.label) + 1.0)
    return groups.sum(groups.label * groups.weight * worth)


def mean_ndcg(groups: Groups, score: FloatArray) -> float:
    """Return the mean NDCG of the groups, each times its importance."""
    worth = 1.0 / np.log2(weighted_ranks(groups, score) + 1.0)
    ndcg = groups.sum(groups.label * groups.weight * worth) / ideal_gain(groups)
    return float(np.average(ndcg, weights=groups.importance))
