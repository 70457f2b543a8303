"""MatchedLists: lists and what was relevant, matched once for all metrics."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from recokit._kernels.ranking_metrics import Hits, distinct_truth, find_hits, ideal_order
from recokit._kernels.segments import counts_to_offsets, multi_arange
from recokit.data.ragged import Ragged
from recokit.data.vocabulary import as_ids, factorize
from recokit.errors import DataError
from recokit.metrics._frames import Ties, read_frames
from recokit.typing import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class MatchedLists:
    """U ranked lists and what was relevant to each user, matched once; metrics read the result.

    Build it with :meth:`from_arrays` (codes), :meth:`from_lists` (ids) or :meth:`from_frames`.

    Parameters
    ----------
    lists : Ragged
        Item codes of each list, best first; 0 for an unknown item, which is never relevant.
    truth : Ragged
        Relevant item codes of each user, ascending, each once, with a column ``gain`` (float64, above 0).
    n_items : int, optional
        Size of the catalogue, for coverage.
    popularity : ndarray of float64, shape (n + 1,), optional
        Events of each item code in the past, for novelty and popularity. Items beyond its end have none.
    history : Ragged, optional
        Item codes of each user's past events, a row for each list, for what is new to the user.
    previous : Ragged, optional
        The list that each user was shown before, for staleness.
    users : ndarray, optional
        External id of each row, where it was built from frames.

    Examples
    --------
    >>> matched = MatchedLists.from_lists([["pear", "fig"], []], [["fig", "lime"], ["kiwi"]])
    >>> matched.hits.rank.tolist(), matched.n_relevant.tolist()
    ([2], [2, 1])
    """

    lists: Ragged
    truth: Ragged
    n_items: int | None = None
    popularity: FloatArray | None = None
    history: Ragged | None = None
    previous: Ragged | None = None
    users: AnyArray | None = None

    def __post_init__(self) -> None:
        for name, part in (("truth", self.truth), ("history", self.history), ("previous", self.previous)):
            if part is not None and len(part) != len(self.lists):
                raise DataError(
                    f"found {len(self.lists)} lists and {len(part)} rows of {name}; expected one for each list"
                )

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
    ) -> MatchedLists:
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
        >>> matched = MatchedLists.from_arrays([0, 3], [4, 9, 7], [0, 2], [9, 2])
        >>> matched.hits.rank.tolist()
        [2]
        """
        lists = Ragged(_offsets(list_offsets, "list"), _codes(list_items, "list"))
        if truth_offsets is None or truth_items is None:
            truth = Ragged.empty(len(lists))
        else:
            truth = Ragged(_offsets(truth_offsets, "truth"), _codes(truth_items, "relevant"))
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
        truths: Sequence[Collection[Any]] | AnyArray | None = None,
        *,
        n_items: int | None = None,
        popularity: Mapping[Any, float] | None = None,
        history: Sequence[Collection[Any]] | AnyArray | None = None,
        previous: Sequence[Collection[Any]] | AnyArray | None = None,
    ) -> MatchedLists:
        """Build from ids: one list, and one collection of relevant ids, for each user.

        Parameters
        ----------
        lists : sequence of sequences of int or str, or ndarray (U, W)
            Item ids, best first.
        truths : sequence of collections of int or str, optional
            Relevant item ids; a mapping of id to gain where they are graded. None for metrics that need none.
        n_items : int, optional
            Size of the catalogue.
        popularity : mapping of id to number, optional
            Past events of each item.
        history, previous : sequences of collections of int or str, optional
            Items of each user's past events, and the list shown before.

        Raises
        ------
        DataError
            If ids are of mixed kinds, there is not one truth for each list, or something else than one row for each
            user is given: a mapping by user, a dataframe, or texts, which would be taken apart into letters.

        Examples
        --------
        >>> MatchedLists.from_lists([[0, 8, 3]], [{8: 2.0, 5: 1.0}]).hits.gain.tolist()
        [2.0]
        """
        for name, part in (
            ("lists", lists),
            ("truths", truths),
            ("history", history),
            ("previous", previous),
        ):
            _check_rows(name, part)
        n = len(lists)
        given = [lists, [()] * n if truths is None else truths, history, previous]
        flat = [flatten([()] * n if part is None else part) for part in given]
        counted = as_ids(list(popularity or ()))
        code = _encode([*(ids for ids, _ in flat), counted])
        made = cls.from_arrays(
            flat[0][1],
            code[0],
            flat[1][1],
            code[1],
            truth_gains=None if truths is None else gains_of(truths),
            n_items=n_items,
        )
        counts = None
        if popularity is not None:
            counts = np.zeros(int(code[4].max(initial=0)) + 1)
            counts[code[4]] = list(popularity.values())
        past, shown = (None if given[i] is None else Ragged(flat[i][1], code[i]) for i in (2, 3))
        return replace(made, popularity=counts, history=past, previous=shown)

    @classmethod
    def from_frames(
        cls,
        lists: Any,
        truth: Any,
        *,
        columns: Mapping[str, str] | None = None,
        ties: Ties = "position",
        n_items: int | None = None,
    ) -> MatchedLists:
        """Build from dataframes (pandas, Polars, pyarrow, DuckDB, or mappings of arrays), a row for each item.

        Rows of the result are all users of either frame, in ascending order, see ``users``. One without a list has an
        empty one; one without a relevant item has no value of relevance.

        Parameters
        ----------
        lists : dataframe
            ``user_id``, ``item_id``, and their order: ``rank`` from 1, else ``score``, else the order of the rows. A
            score of NaN stands last.
        truth : dataframe
            ``user_id``, ``item_id``; optionally ``weight`` (or ``rating``), the gain.
        columns : mapping of str to str, optional
            recokit's name to your column name, in whichever frame it stands.
        ties : {"position", "id"}, default "position"
            Among equal ranks or scores, the order of the rows; or the larger id first, compared as text, which is what
            trec_eval does.
        n_items : int, optional
            Size of the catalogue.

        Raises
        ------
        DataError
            For missing columns or ids, a rank of NaN, and gains that are negative or not finite.

        Examples
        --------
        >>> made = {"user": ["ann", "ann", "bob"], "item": [7, 8, 7], "score": [0.1, 0.9, 0.5]}
        >>> matched = MatchedLists.from_frames(made, {"user": ["ann", "eve"], "item": [8, 7]})
        >>> matched.users.tolist(), matched.hits.rank.tolist(), matched.n_relevant.tolist()
        (['ann', 'bob', 'eve'], [1], [1, 0, 1])
        """
        users, shown, relevant, gains = read_frames(lists, truth, columns, ties)
        return cls(shown, canonical(relevant, gains), n_items, users=users)

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

    def first(self, k: int) -> MatchedLists:
        """Return the same with lists cut after k items: cheaper to match, and all that metrics of up to k look at."""
        counts = np.minimum(self.lists.counts, k)
        starts = self.lists.offsets[:-1]
        if (counts == self.lists.counts).all():
            return self
        items = self.lists.values[multi_arange(starts, counts)]
        return replace(self, lists=Ragged(counts_to_offsets(counts), items))

    def rows(self, rows: IntArray) -> MatchedLists:
        """Return the given users only."""
        return replace(
            self,
            lists=self.lists.take(rows),
            truth=self.truth.take(rows),
            history=None if self.history is None else self.history.take(rows),
            previous=None if self.previous is None else self.previous.take(rows),
            users=None if self.users is None else self.users[rows],
        )

    def top(self, k: int) -> tuple[IntArray, IntArray]:
        """Return row and item code of the first k elements of each list."""
        row = self.lists.rows
        shown = np.arange(len(row)) - self.lists.offsets[row] < k
        return row[shown], self.lists.values[shown]


def canonical(truth: Ragged, gains: AnyArray) -> Ragged:
    """Return a truth as :class:`MatchedLists` wants it; DataError for gains that are negative or not finite."""
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


def _check_rows(name: str, part: Any) -> None:
    """Refuse what can be iterated over, but is not one collection of ids for each user."""
    if part is None:
        return
    if isinstance(part, str | Mapping) or hasattr(part, "columns"):
        raise DataError(
            f"found {name} of type {type(part).__name__}; expected a sequence of one collection of ids for each user; "
            "hint: MatchedLists.from_frames takes dataframes, recokit.evaluate lists and truth by user"
        )
    if isinstance(part, np.ndarray) and part.ndim > 1:
        return
    text = next((row for row in part if isinstance(row, str)), None)
    if text is not None:
        raise DataError(
            f"found the text {text!r} in {name}; expected a collection of ids for each user; hint: [{text!r}]"
        )


def _encode(parts: list[AnyArray]) -> list[IntArray]:
    """Return codes from 1 of ids that stand in several arrays, the same in all."""
    filled = [part for part in parts if len(part)]
    mixed = len({part.dtype.kind for part in filled}) > 1
    ids = as_ids([id_ for part in filled for id_ in part.tolist()] if mixed else _joined(filled))
    return np.split(factorize(ids)[0], np.cumsum([len(part) for part in parts])[:-1])


def _joined(parts: list[AnyArray]) -> AnyArray:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _offsets(offsets: Any, what: str) -> IntArray:
    found = np.asarray(offsets, np.int64)
    if found.ndim != 1 or (np.diff(found) < 0).any():
        raise DataError(
            f"found {what} offsets that descend, or of shape {found.shape}; expected ascending ones"
        )
    return found


def _codes(items: Any, what: str) -> IntArray:
    codes = np.asarray(items, np.int64)
    if codes.ndim != 1 or codes.min(initial=0) < 0:
        raise DataError(
            f"found {what} item codes of shape {codes.shape} from {codes.min(initial=0)}; "
            "expected one dimension, from 0 (unknown); hint: use from_lists for ids"
        )
    return codes
