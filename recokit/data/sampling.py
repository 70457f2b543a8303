"""Sampling of what a user did not take, checked against what the user took; and parts held out of a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np

from recokit._kernels.hashing import mix, row_seeds, uniform
from recokit._kernels.segments import (
    counts_to_offsets,
    gather_segments,
    multi_arange,
    offsets_to_rows,
    rank_in_row,
    rows_to_offsets,
)
from recokit._utils import options
from recokit._utils.options import finite, require
from recokit._utils.params import Configured
from recokit.data.dataset import Dataset
from recokit.errors import DataError
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, UInt64Array

#: Total mass that popularity is scaled to: integers, so that what is left beside the positives is exact.
_TOTAL_MASS = float(1 << 48)
_STREAM = 17
_HOLD_OUT_STREAM = 19


@dataclass(frozen=True, eq=False)
class Positives:
    """The distinct items of each user, for one search that checks any number of pairs.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_users + 2,)
        User ``u`` took ``item[offsets[u]:offsets[u + 1]]``.
    item : ndarray of int64, shape (M,)
        Item codes, ascending for each user.
    n_items : int
        Items of the catalogue.

    Examples
    --------
    >>> data = Dataset.from_frame({"user": [1, 1, 2], "item": [7, 8, 8], "timestamp": [10, 20, 30]})
    >>> Positives.of(data).contains(np.array([1, 2]), np.array([1, 1])).tolist()
    [True, False]
    """

    offsets: IntArray
    item: IntArray
    n_items: int

    @classmethod
    def of(cls, dataset: Dataset) -> Positives:
        """Read the pairs with an event that is a signal."""
        log = dataset.interactions
        taken = log.counted & (log.item > 0)
        width = dataset.n_items + 1
        key = np.sort(log.user[taken] * width + log.item[taken])
        # Not numpy.unique, whose hash table is several times slower than this sort.
        key = key[np.concatenate([[True], key[1:] != key[:-1]])] if len(key) else key
        return cls(rows_to_offsets(key // width, dataset.n_users + 1), key % width, dataset.n_items)

    def __len__(self) -> int:
        return len(self.item)

    @property
    def n_users(self) -> int:
        """Users with a row here; codes run from 1 to this number."""
        return len(self.offsets) - 2

    @property
    def counts(self) -> IntArray:
        """How many users took each item, (n_items + 1,) int64."""
        return np.bincount(self.item, minlength=self.n_items + 1)

    def contains(self, user: IntArray, item: IntArray) -> BoolArray:
        """Tell for each pair (N,) whether the user took the item."""
        start, end = self.offsets[user], self.offsets[user + 1]
        place = start + count_until(self.item, start, end, item)
        found = place > start
        return np.asarray(found & (self.item[np.where(found, place - 1, 0)] == item) if len(self) else found)


@dataclass(frozen=True, eq=False)
class Sampled:
    """Negatives of B rows.

    Parameters
    ----------
    item : ndarray of int64, shape (B, n)
        Item codes; 0 where a row has nothing to draw from.
    probability : ndarray of float64, shape (B, n)
        With which each draw gives this item to this user; 0 where there is none.
    """

    item: IntArray
    probability: FloatArray

    @property
    def weight(self) -> Float32Array:
        """Inverse sampling weight (B, n): sums weighted by it estimate those over all that could be drawn."""
        inverse = np.zeros(self.probability.shape)
        np.divide(1.0, self.probability * self.item.shape[1], out=inverse, where=self.probability > 0)
        return inverse.astype(np.float32)


@runtime_checkable
class NegativeSampler(Protocol):
    """Draws items that a user is not known to have taken."""

    def fit(self, dataset: Dataset) -> Self:
        """Learn what was taken."""
        ...

    def sample(self, user: IntArray, n: int, *, seed: int = 0, key: IntArray | None = None) -> Sampled:
        """Draw n items, with replacement, for each of the users (B,)."""
        ...

    def probability(self, user: IntArray, item: IntArray) -> FloatArray:
        """Return the probability (N,) with which a draw for the user gives the item."""
        ...


class _Weighted(Configured, ABC):
    """Samples each item in proportion to its mass, what the user took left out.

    Drawn by inverting the distribution without the user's positives: one search among these and one in the catalogue,
    whatever the user's share of it is. Nothing is drawn and rejected.
    """

    @abstractmethod
    def _mass(self, positives: Positives) -> IntArray:
        """Return the mass of each item, (n_items + 1,) int64, row 0 zero."""

    def fit(self, dataset: Dataset) -> Self:
        """Learn what was taken, by whom and how often."""
        positives = Positives.of(dataset)
        self.positives_ = positives
        self.mass_ = self._mass(positives)
        self.cumulative_ = np.cumsum(self.mass_)
        taken = counts_to_offsets(self.mass_[positives.item])
        own = taken[positives.offsets]
        # For each positive: the mass of what its user did not take, among the items before it.
        user = offsets_to_rows(positives.offsets)
        self.before_ = self.cumulative_[positives.item - 1] - (taken[:-1] - own[user])
        self.taken_ = taken
        self.left_ = self.cumulative_[-1] - np.diff(own)
        return self

    def sample(self, user: IntArray, n: int, *, seed: int = 0, key: IntArray | None = None) -> Sampled:
        """Draw n items, with replacement, for each row.

        Parameters
        ----------
        user : ndarray of int64, shape (B,)
            User codes; 0 for somebody who took nothing.
        n : int
        seed : int, default 0
        key : ndarray of int64, shape (B,), optional
            What tells rows of one user apart, such as the position of the event they belong to. Without it all rows of
            a user get the same items. A row's draws depend on the seed, its user and its key alone.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        draw = draws(user, n, seed, key).ravel()
        owner = np.repeat(user, n)
        left = self.left_[owner]
        target = np.minimum((draw * left).astype(np.int64), left - 1)
        start, end = self.positives_.offsets[owner], self.positives_.offsets[owner + 1]
        passed = count_until(self.before_, start, end, target)
        target += self.taken_[start + passed] - self.taken_[start]
        item = np.searchsorted(self.cumulative_, target, side="right")
        item[left <= 0] = 0
        shape = (len(user), n)
        return Sampled(item.reshape(shape), self._probability(owner, item).reshape(shape))

    def probability(self, user: IntArray, item: IntArray) -> FloatArray:
        """Return the probability (N,) with which a draw for the user gives the item; 0 for what the user took."""
        return np.where(self.positives_.contains(user, item), 0.0, self._probability(user, item))

    def _probability(self, user: IntArray, item: IntArray) -> FloatArray:
        return np.asarray(self.mass_[item] / np.maximum(self.left_[user], 1))


class UniformNegatives(_Weighted):
    """Negatives drawn uniformly from the catalogue, never one that the user took.

    Examples
    --------
    >>> data = Dataset.from_frame({"user": [1, 1, 2], "item": [1, 2, 3], "timestamp": [10, 20, 30]})
    >>> sampled = UniformNegatives().fit(data).sample(np.array([1]), 4)
    >>> sampled.item.tolist(), sampled.weight.tolist()
    ([[3, 3, 3, 3]], [[0.25, 0.25, 0.25, 0.25]])
    """

    def _mass(self, positives: Positives) -> IntArray:
        mass = np.ones(positives.n_items + 1, np.int64)
        mass[0] = 0
        return mass


class PopularityNegatives(_Weighted):
    """Negatives drawn in proportion to a power of popularity, never one that the user took.

    Parameters
    ----------
    alpha : float, default 0.75
        Power of the number of users that took the item. 0 is uniform, 1 is what negatives from the same batch
        come to; 0.75 is the value of word2vec (Mikolov et al., 2013). Above 0, items that nobody took are never drawn.

    Raises
    ------
    ConfigurationError
        If alpha is not a finite number of at least 0.

    Examples
    --------
    >>> data = Dataset.from_frame({"user": [1, 2, 3, 3], "item": [1, 1, 2, 3], "timestamp": [1, 2, 3, 4]})
    >>> sampler = PopularityNegatives(alpha=1).fit(data)
    >>> sampler.probability(np.array([0, 0, 2]), np.array([1, 2, 2])).round(2).tolist()
    [0.5, 0.25, 0.5]
    """

    def __init__(self, *, alpha: float = 0.75) -> None:
        require(finite(0), alpha=alpha)
        self.alpha = alpha

    def _mass(self, positives: Positives) -> IntArray:
        counts = positives.counts
        share = np.zeros(len(counts))
        # Relative to the largest, so that no power overflows.
        share[1:] = (counts[1:] / max(int(counts.max(initial=0)), 1)) ** self.alpha
        scaled = np.rint(share / max(share.sum(), 1e-300) * _TOTAL_MASS).astype(np.int64)
        return np.where((share > 0) & (scaled == 0), 1, scaled)


def draws(user: IntArray, n: int, seed: int, key: IntArray | None) -> FloatArray:
    """Return n uniform draws in (0, 1) for each row, (B, n), by seed, user and key alone."""
    seeds: UInt64Array = row_seeds(seed, user)
    if key is not None:
        seeds = mix(seeds ^ mix(np.asarray(key).astype(np.uint64)))
    counter = np.tile(np.arange(n), len(user))
    return uniform(np.repeat(seeds, n), counter, stream=_STREAM).reshape(len(user), n)


def count_until(values: IntArray, start: IntArray, end: IntArray, limit: IntArray) -> IntArray:
    """Count, of the ascending values from ``start`` to ``end``, those up to a limit; for N segments at a time.

    Examples
    --------
    >>> values = np.array([1, 4, 9, 2, 2])
    >>> count_until(values, np.array([0, 3]), np.array([3, 5]), np.array([4, 1])).tolist()
    [2, 0]
    """
    low, high = start.copy(), end.copy()
    for _ in range(int((end - start).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        open_ = low < high
        below = open_ & (values[np.where(open_, middle, 0)] <= limit)
        low = np.where(below, middle + 1, low)
        high = np.where(open_ & ~below, middle, high)
    return low - start


def log_q(counts: AnyArray) -> Float32Array:
    """Return the log of the probability with which an item stands in a batch of events, for logQ correction.

    Negatives from the same batch come in proportion to popularity. Subtracted from the scores in the softmax, this
    makes up for it (Yi et al., 2019).

    Parameters
    ----------
    counts : ndarray, shape (n_items + 1,)
        How often each item code occurs in the training events; item 0 is left out of the total. An item that does not
        occur counts 1: what cannot be drawn needs no correction, and its logarithm would be infinite.

    Returns
    -------
    ndarray of float32, shape (n_items + 1,)

    Examples
    --------
    >>> np.exp(log_q(np.array([0, 3, 1]))).round(2).tolist()
    [0.25, 0.75, 0.25]
    """
    counts = np.maximum(np.asarray(counts, np.float64), 1.0)
    return np.asarray(np.log(counts) - np.log(counts[1:].sum()), np.float32)


def accidental_hits(
    user: IntArray, item: IntArray, positives: Positives | None = None, *, pool: IntArray | None = None
) -> BoolArray:
    """Tell which negatives shared by a batch are positives of a row after all.

    Parameters
    ----------
    user, item : ndarray of int64, shape (B,)
        The batch: who took what.
    positives : Positives, optional
        What else each user took; without it only the row's own item counts.
    pool : ndarray of int64, shape (C,), optional
        The shared negatives. By default the items of the batch itself, whose diagonal, each row's own positive, is
        never marked.

    Returns
    -------
    ndarray of bool, shape (B, C)
        Set where the negative must not count: mask it with ``-inf`` in the softmax.

    Examples
    --------
    >>> accidental_hits(np.array([1, 2, 3]), np.array([5, 6, 5])).astype(int).tolist()
    [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    """
    shared = item if pool is None else pool
    hits = np.zeros((len(item), len(shared)), np.bool_)
    row, taken = np.arange(len(item)), item
    if positives is not None:
        offsets, index = gather_segments(positives.offsets, user)
        row = np.concatenate([row, offsets_to_rows(offsets)])
        taken = np.concatenate([taken, positives.item[index]])
    order = np.argsort(shared, kind="stable")
    first, last = (np.searchsorted(shared[order], taken, side=side) for side in ("left", "right"))
    hits[np.repeat(row, last - first), order[multi_arange(first, last - first)]] = True
    if pool is None:
        np.fill_diagonal(hits, False)
    return hits


def hold_out(dataset: Dataset, share: float = 0.2, *, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Hold out a share of each user's items, with all events of these pairs.

    Parameters
    ----------
    dataset : Dataset
        What to cut from; only the train part of a split, where there is a test part.
    share : float, default 0.2
        Of each user's distinct items, rounded, at least one; the user keeps at least one. Users with a single item keep
        it.
    seed : int, default 0
        Which items: by user and item alone, whatever else is in the data.

    Returns
    -------
    train, held : Dataset
        Without a cut: the parts overlap in time.

    Raises
    ------
    ConfigurationError
        Unless ``0 < share < 1``.
    DataError
        If no user has two items.

    Examples
    --------
    >>> data = Dataset.from_frame({"user": [1] * 5, "item": range(5), "timestamp": range(5)})
    >>> [len(part.interactions) for part in hold_out(data, 0.4)]
    [3, 2]
    """
    require(options.share, share=share)
    log = dataset.interactions
    width = dataset.n_items + 1
    pair, of_event = np.unique(log.user * width + log.item, return_inverse=True)
    user, item = pair // width, pair % width
    offsets = rows_to_offsets(user, dataset.n_users + 1)
    n_items = np.diff(offsets)
    take = np.clip(np.rint(share * n_items), 1, np.maximum(n_items - 1, 0)).astype(np.int64)
    take[n_items < 2] = 0
    take[0] = 0
    order = np.lexsort((uniform(row_seeds(seed, user), item, stream=_HOLD_OUT_STREAM), user))
    held = np.zeros(len(pair), np.bool_)
    held[order] = rank_in_row(user, offsets) < take[user]
    if not held.any():
        raise DataError(
            f"found no user with two items among {dataset.n_users}; expected some, to hold one of them out"
        )
    events = held[of_event]
    first, second = (log.take(np.flatnonzero(part)) for part in (~events, events))
    return dataset.with_interactions(first), dataset.with_interactions(second)
