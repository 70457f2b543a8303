"""Which of the candidates that were not taken a ranker learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit._ops.hashing import uniform
from recokit._ops.segments import offsets_to_rows, rank_in_row, rows_to_offsets
from recokit.errors import ConfigurationError
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray, UInt64Array

__all__ = ["Negatives", "sample_negatives"]


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

    Raises
    ------
    ConfigurationError
        If an option is out of range.
    """

    per_positive: float = 10.0
    per_request: int = 50
    hard_share: float = 0.5
    hard_depth: int = 100

    def __post_init__(self) -> None:
        if self.per_positive < 0 or self.per_request < 0 or not self.per_positive + self.per_request:
            raise ConfigurationError(f"found {self}; expected numbers of at least 0, not both 0")
        if not 0.0 <= self.hard_share <= 1.0 or self.hard_depth < 0:
            raise ConfigurationError(
                f"found {self}; expected a hard_share from 0 to 1 and a hard_depth of at least 0"
            )


def sample_negatives(
    label: Float32Array, offsets: IntArray, item: IntArray, seed: UInt64Array, negatives: Negatives
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
    ...     label, np.array([0, 5]), np.arange(1, 6), np.array([7], np.uint64),
    ...     Negatives(per_positive=2, per_request=0, hard_share=0.0))
    >>> len(index), float(weight.sum())
    (3, 5.0)
    """
    n_rows = len(offsets) - 1
    row = offsets_to_rows(offsets)
    negative = label <= 0
    hard = negative & (rank_in_row(row, offsets) < negatives.hard_depth) & (negatives.hard_share > 0)
    easy = negative & ~hard
    n_hard, n_easy = (np.bincount(row[part], minlength=n_rows) for part in (hard, easy))
    positives = np.bincount(row[~negative], minlength=n_rows)
    wanted = np.maximum(negatives.per_request, np.ceil(negatives.per_positive * positives)).astype(np.int64)
    take_hard = np.minimum(np.ceil(negatives.hard_share * wanted).astype(np.int64), n_hard)
    take_easy = np.minimum(wanted - take_hard, n_easy)
    # What the easy part cannot give, the hard part does.
    take_hard = np.minimum(wanted - take_easy, n_hard)
    draw = uniform(seed[row], item, stream=11)
    weight = np.where(negative, 0.0, 1.0)
    for part, available, take in ((hard, n_hard, take_hard), (easy, n_easy, take_easy)):
        kept = _smallest(np.flatnonzero(part), row, draw, take, n_rows)
        weight[kept] = available[row[kept]] / take[row[kept]]
    index = np.flatnonzero(weight)
    return index, weight[index].astype(np.float32), hard[index]


def _smallest(index: IntArray, row: IntArray, draw: FloatArray, take: IntArray, n_rows: int) -> IntArray:
    """Return, of the given positions, the ``take`` ones of each row with the smallest draws."""
    order = index[np.lexsort((draw[index], row[index]))]
    rank = rank_in_row(row[order], rows_to_offsets(row[order], n_rows))
    return order[rank < take[row[order]]]
