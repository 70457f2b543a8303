"""Judged: lists and what was relevant, matched once for all metrics."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from recokit._ops.ranking import Hits, distinct_truth, find_hits, ideal_order
from recokit._ops.segments import counts_to_offsets
from recokit.data.ragged import Ragged
from recokit.data.vocabulary import Vocabulary, as_ids
from recokit.errors import DataError
from recokit.typing import AnyArray, FloatArray, IntArray

__all__ = ["Judged", "flatten"]


@dataclass(frozen=True, eq=False)
class Judged:
    """U ranked lists and what was relevant to each user, matched once; metrics read the result.

    Build it with :meth:`from_arrays` (codes) or :meth:`from_lists` (ids).

    Parameters
    ----------
    lists : Ragged
        Item codes of each list, best first; 0 for an unknown item, which is never relevant.
    truth : Ragged
        Relevant item codes of each user, ascending, each once, with a column ``gain`` (float64, above 0).
    n_items : int, optional
        Size of the catalogue, for coverage.

    Examples
    --------
    >>> judged = Judged.from_lists([["pear", "fig"], []], [["fig", "lime"], ["kiwi"]])
    >>> judged.hits.rank.tolist(), judged.n_relevant.tolist()
    ([2], [2, 1])
    """

    lists: Ragged
    truth: Ragged
    n_items: int | None = None

    @classmethod
    def from_arrays(
        cls,
        list_offsets: IntArray,
        list_items: IntArray,
        truth_offsets: IntArray | None = None,
        truth_items: IntArray | None = None,
        truth_gains: AnyArray | None = None,
        *,
        n_items: int | None = None,
    ) -> Judged:
        """Build from CSR arrays of item codes.

        Parameters
        ----------
        list_offsets, list_items : ndarray of int64, shapes (U + 1,) and (N,)
            The lists, best first. An item that stands twice counts the first time.
        truth_offsets, truth_items : ndarray of int64, shapes (U + 1,) and (M,), optional
            The relevant items, in any order, repeats allowed. A 0 is an item outside the catalogue: it cannot
            be hit, but counts in the denominator. None for list metrics, which need no truth.
        truth_gains : ndarray of float, shape (M,), optional
            How relevant each is, at least 0; 1 by default. 0 is not relevant; of repeats the largest counts.
        n_items : int, optional
            Size of the catalogue.

        Raises
        ------
        DataError
            For negative codes, negative or missing gains, and lengths that do not match.

        Examples
        --------
        >>> judged = Judged.from_arrays([0, 3], [4, 9, 7], [0, 2], [9, 2])
        >>> judged.hits.rank.tolist()
        [2]
        """
        lists = Ragged(np.asarray(list_offsets, np.int64), _codes(list_items, "list"))
        if truth_offsets is None or truth_items is None:
            truth = Ragged.empty(len(lists))
        else:
            truth = Ragged(np.asarray(truth_offsets, np.int64), _codes(truth_items, "relevant"))
        if len(truth) != len(lists):
            raise DataError(
                f"found {len(lists)} lists and {len(truth)} truths; expected one truth for each list"
            )
        gains = np.ones(len(truth.values)) if truth_gains is None else np.asarray(truth_gains, np.float64)
        return cls(lists, canonical(truth, gains), n_items)

    @classmethod
    def from_lists(
        cls,
        lists: Sequence[Sequence[Any] | AnyArray] | AnyArray,
        truths: Sequence[Collection[Any]] | AnyArray,
        *,
        n_items: int | None = None,
    ) -> Judged:
        """Build from ids: one list, and one collection of relevant ids, for each user.

        Parameters
        ----------
        lists : sequence of sequences of int or str, or ndarray (U, W)
            Item ids, best first.
        truths : sequence of collections of int or str
            Relevant item ids; a mapping of id to gain where they are graded.
        n_items : int, optional
            Size of the catalogue.

        Raises
        ------
        DataError
            If ids are of mixed kinds, or there is not one truth for each list.

        Examples
        --------
        >>> Judged.from_lists([[0, 8, 3]], [{8: 2.0, 5: 1.0}]).hits.gain.tolist()
        [2.0]
        """
        shown, list_offsets = flatten(lists)
        relevant, truth_offsets = flatten(truths)
        codes = _encode(
            np.concatenate([shown, relevant]) if len(shown) and len(relevant) else [*shown, *relevant]
        )
        return cls.from_arrays(
            list_offsets,
            codes[: len(shown)],
            truth_offsets,
            codes[len(shown) :],
            gains_of(truths),
            n_items=n_items,
        )

    def __len__(self) -> int:
        return len(self.lists)

    @cached_property
    def hits(self) -> Hits:
        """The relevant items of the lists, with rank and gain."""
        truth = self.truth
        return find_hits(
            self.lists.offsets, self.lists.values, truth.offsets, truth.values, truth.columns["gain"]
        )

    @cached_property
    def n_relevant(self) -> IntArray:
        """Number of relevant items of each user, (U,) int64, with those outside the catalogue."""
        return self.truth.counts

    @cached_property
    def ideal(self) -> Hits:
        """The hits of the best possible lists: all relevant items, largest gain first."""
        return ideal_order(self.truth.offsets, self.truth.columns["gain"])

    @property
    def gain(self) -> FloatArray:
        """Gain of each list element, (N,) float64: 0 where it is not relevant, or repeats an earlier one."""
        gain = np.zeros(len(self.lists.values))
        gain[self.lists.offsets[self.hits.row] + self.hits.rank - 1] = self.hits.gain
        return gain

    def top(self, k: int) -> tuple[IntArray, IntArray]:
        """Return row and item code of the first k elements of each list."""
        row = self.lists.rows
        shown = np.arange(len(row)) - self.lists.offsets[row] < k
        return row[shown], self.lists.values[shown]


def canonical(truth: Ragged, gains: AnyArray) -> Ragged:
    """Return a truth as :class:`Judged` wants it; DataError for gains that are negative or not finite."""
    gains = np.asarray(gains, np.float64)
    if gains.shape != truth.values.shape:
        raise DataError(
            f"found gains of shape {gains.shape}; expected {truth.values.shape}, one for each relevant item"
        )
    bad = np.flatnonzero(~(np.isfinite(gains) & (gains >= 0)))
    if len(bad):
        raise DataError(f"found gain {gains[bad[0]]}; expected finite gains of at least 0", rows=bad.tolist())
    offsets, item, gain = distinct_truth(truth.offsets, truth.values, gains)
    return Ragged(offsets, item, {"gain": gain})


def flatten(lists: Sequence[Collection[Any]] | AnyArray) -> tuple[AnyArray, IntArray]:
    """Return all ids, (N,), and CSR offsets of one list of ids for each row."""
    if isinstance(lists, np.ndarray) and lists.ndim == 2:
        return as_ids(lists.ravel()), np.arange(len(lists) + 1, dtype=np.int64) * lists.shape[1]
    parts = [part if isinstance(part, np.ndarray) else list(part) for part in lists]
    offsets = counts_to_offsets(np.array([len(part) for part in parts], np.int64))
    if parts and all(isinstance(part, np.ndarray) for part in parts):
        return as_ids(np.concatenate(parts)), offsets
    return as_ids(list(chain.from_iterable(parts))), offsets


def gains_of(truths: Sequence[Collection[Any]] | AnyArray) -> FloatArray | None:
    """Return the gains of truths given as mappings of id to gain, in order; None if none is a mapping."""
    if not any(isinstance(truth, Mapping) for truth in truths):
        return None
    return np.array(
        [
            gain
            for truth in truths
            for gain in (truth.values() if isinstance(truth, Mapping) else [1.0] * len(list(truth)))
        ],
        np.float64,
    )


def _encode(ids: AnyArray | list[Any]) -> IntArray:
    found = as_ids(ids)
    if found.dtype.kind == "i":
        return np.unique(found, return_inverse=True)[1].astype(np.int64) + 1
    return Vocabulary(list(dict.fromkeys(found.tolist()))).encode(found)


def _codes(items: Any, what: str) -> IntArray:
    codes = np.asarray(items, np.int64)
    if codes.ndim != 1 or codes.min(initial=0) < 0:
        raise DataError(
            f"found {what} item codes of shape {codes.shape} from {codes.min(initial=0)}; "
            "expected one dimension, from 0 (unknown); hint: use from_lists for ids"
        )
    return codes
