"""Negatives: a weighted sample of the candidates that were not taken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit._kernels.hashing import uniform
from recokit._kernels.segments import offsets_to_rows, rank_in_row, rows_to_offsets
from recokit._utils.options import Rule, at_least, between, check_options, optional
from recokit._utils.params import clone
from recokit.data import Dataset
from recokit.data.sampling import NegativeSampler
from recokit.errors import ConfigurationError
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray, UInt64Array

#: Rounds in which probabilities are capped at 1; each caps at least one more candidate of a row, mostly all at once.
_ROUNDS = 32
#: Bits of a probability as an integer.
_UNIT = 32


def _is_sampler(value: Any) -> bool:
    return isinstance(value, NegativeSampler)


_OPTIONS = {
    "per_positive": at_least(0),
    "per_request": at_least(0),
    "hard_share": between(0, 1),
    "hard_depth": at_least(0),
    "by": optional(Rule("a negative sampler, such as PopularityNegatives()", _is_sampler)),
}


@dataclass(frozen=True)
class Negatives:
    """How many of each request's negatives are kept.

    A request keeps all its positives and ``max(per_request, per_positive * positives)`` of the other candidates: the
    share ``hard_share`` of them from the first ``hard_depth`` in the order of fusion, those that compete for the
    visible places, the rest from all the others. Each kept negative carries the inverse of the probability that it
    was kept, so weighted totals stay those of all candidates and probabilities stay calibrated. Requests without
    positives keep ``per_request``: leaving them out would teach the ranker that everybody comes back.

    Parameters
    ----------
    per_positive : float, default 10
    per_request : int, default 50
    hard_share : float, default 0.5
    hard_depth : int, default 100
    by : NegativeSampler, optional
        Says which of the others to keep: in proportion to the probability with which it draws the item for the user,
        uniformly by default. What it never draws is not kept. A clone is fitted for each window on everything before
        that window's end.

    Raises
    ------
    ConfigurationError
        If an option is out of range.
    """

    per_positive: float = 10.0
    per_request: int = 50
    hard_share: float = 0.5
    hard_depth: int = 100
    by: NegativeSampler | None = None

    def __post_init__(self) -> None:
        check_options(self, _OPTIONS)
        if not self.per_positive + self.per_request:
            raise ConfigurationError("found per_positive=0 and per_request=0; expected one of them above 0")

    def fitted(self, dataset: Dataset) -> Negatives:
        """Return the same with a clone of the sampler, fitted."""
        return self if self.by is None else replace(self, by=clone(self.by).fit(dataset))

    def propensity(self, user: IntArray, item: IntArray) -> FloatArray | None:
        """Return the fitted sampler's probability of each pair (N,); None where negatives are kept uniformly."""
        return None if self.by is None else self.by.probability(user, item)


def as_negatives(given: Negatives | NegativeSampler | None) -> Negatives | None:
    """Return options: those given, or that a sampler given alone decides on all negatives.

    Examples
    --------
    >>> from recokit.data.sampling import PopularityNegatives
    >>> as_negatives(PopularityNegatives()).hard_share
    0.0
    """
    return given if given is None or isinstance(given, Negatives) else Negatives(hard_share=0.0, by=given)


def sample_negatives(
    label: Float32Array,
    offsets: IntArray,
    item: IntArray,
    *,
    seed: UInt64Array,
    negatives: Negatives,
    propensity: FloatArray | None = None,
) -> tuple[IntArray, Float32Array, BoolArray]:
    """Pick training rows among labelled candidates.

    Parameters
    ----------
    label : ndarray of float32, shape (N,)
        Gain of each candidate, rows in the order of fusion.
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the requests.
    item : ndarray of int64, shape (N,)
        Item codes.
    seed : ndarray of uint64, shape (B,)
        Seed of each request. A candidate's draw depends on this and its item alone, so the sample is the same whatever
        else is in the batch.
    negatives : Negatives
    propensity : ndarray of float64, shape (N,), optional
        In proportion to which negatives that are not hard are kept, so far as a probability can be; equal by default.

    Returns
    -------
    index : ndarray of int64
        Positions kept, ascending.
    weight : ndarray of float32
        Inverse of the probability of being kept; 1 for positives.
    hard : ndarray of bool
        Which of them are negatives from the first ``hard_depth``.

    Examples
    --------
    >>> label = np.array([1, 0, 0, 0, 0], np.float32)
    >>> index, weight, hard = sample_negatives(
    ...     label, np.array([0, 5]), np.arange(1, 6), seed=np.array([7], np.uint64),
    ...     negatives=Negatives(per_positive=2, per_request=0, hard_share=0.0))
    >>> len(index), float(weight.sum())
    (3, 5.0)
    """
    n_rows = len(offsets) - 1
    row = offsets_to_rows(offsets)
    negative = label <= 0
    hard = negative & (rank_in_row(row, offsets) < negatives.hard_depth) & (negatives.hard_share > 0)
    easy = negative & ~hard if propensity is None else negative & ~hard & (propensity > 0)
    n_hard, n_easy = (np.bincount(row[part], minlength=n_rows) for part in (hard, easy))
    positives = np.bincount(row[~negative], minlength=n_rows)
    wanted = np.maximum(negatives.per_request, np.ceil(negatives.per_positive * positives)).astype(np.int64)
    take_hard = np.minimum(np.ceil(negatives.hard_share * wanted).astype(np.int64), n_hard)
    take_easy = np.minimum(wanted - take_hard, n_easy)
    # What the easy part cannot give, the hard part does.
    take_hard = np.minimum(wanted - take_easy, n_hard)
    draw = uniform(seed[row], item, stream=11)
    weight = np.where(negative, 0.0, 1.0)
    parts = [(hard, n_hard, take_hard)]
    if propensity is None:
        parts.append((easy, n_easy, take_easy))
    else:
        kept, probability = _in_proportion(
            np.flatnonzero(easy), row, draw, take=take_easy, size=propensity, seed=seed
        )
        weight[kept] = 1.0 / probability
    for part, available, take in parts:
        kept = _smallest(np.flatnonzero(part), row, draw, take, n_rows)
        weight[kept] = available[row[kept]] / take[row[kept]]
    index = np.flatnonzero(weight)
    return index, weight[index].astype(np.float32), hard[index]


def _smallest(index: IntArray, row: IntArray, draw: FloatArray, take: IntArray, n_rows: int) -> IntArray:
    """Return, of the given positions, the ``take`` ones of each row with the smallest draws."""
    order = index[np.lexsort((draw[index], row[index]))]
    rank = rank_in_row(row[order], rows_to_offsets(row[order], n_rows))
    return order[rank < take[row[order]]]


def _in_proportion(
    index: IntArray, row: IntArray, draw: FloatArray, *, take: IntArray, size: FloatArray, seed: UInt64Array
) -> tuple[IntArray, FloatArray]:
    """Return positions, ``take`` of each row, and the probability of each to be picked: in proportion to its size.

    Systematic sampling: laid end to end in random order, each as long as its probability, those are picked that a grid
    of spacing 1 and random start falls on. That is exact where weighted draws without replacement are not. Lengths are
    integers, so that a row's sums do not depend on the rows before it.
    """
    order = index[np.lexsort((draw[index], row[index]))]
    owner, n_rows = row[order], len(take)
    probability = _capped(size[order], owner, take)
    length = np.rint(probability * (1 << _UNIT)).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(length)])
    start = (uniform(seed, np.zeros(n_rows, np.int64), stream=12) * (1 << _UNIT)).astype(np.int64)
    end = total[1:] - total[rows_to_offsets(owner, n_rows)[owner]] + start[owner]
    picked = end >> _UNIT > (end - length) >> _UNIT
    return order[picked], probability[picked]


def _capped(size: FloatArray, owner: IntArray, take: IntArray) -> FloatArray:
    """Scale sizes so that each row adds up to what it takes, none above 1."""
    n_rows = len(take)
    certain = np.zeros(len(size), np.bool_)
    for _ in range(_ROUNDS):
        open_ = np.where(certain, 0.0, size)
        left = take - np.bincount(owner[certain], minlength=n_rows)
        scale = left / np.maximum(np.bincount(owner, weights=open_, minlength=n_rows), 1e-300)
        probability = np.where(certain, 1.0, size * scale[owner])
        over = ~certain & (probability >= 1.0)
        if not over.any():
            break
        certain |= over
    return np.asarray(np.minimum(probability, 1.0))
