"""Truth: what was relevant to whom, in one form whatever it was given as."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit.data import Dataset, Ragged, Vocabulary
from recokit.data.vocabulary import as_ids
from recokit.errors import DataError
from recokit.metrics.matched_lists import canonical, flatten, gains_of
from recokit.typing import AnyArray


@dataclass(frozen=True, eq=False)
class Truth:
    """U users with at least one relevant item each.

    Parameters
    ----------
    users : Vocabulary
        External ids; user code ``u`` is row ``u - 1`` of ``lists``.
    lists : Ragged
        Relevant item codes, canonical, with a column ``gain``.
    items : Vocabulary or None
        Ids of these codes; None where they are the codes of the recommender itself.
    start : float or None
        Time of the first event, None where the truth has no times.
    n_without : int
        Users that were asked for, or given, without a relevant item.
    """

    users: Vocabulary
    lists: Ragged
    items: Vocabulary | None = None
    start: float | None = None
    n_without: int = 0

    def __len__(self) -> int:
        return len(self.users)

    def in_codes_of(self, items: Vocabulary) -> Ragged:
        """Return the lists in a recommender's item codes; each item unknown to it is a 0 of its own."""
        if self.items is None or self.items == items:
            return self.lists
        codes = np.concatenate([[0], items.encode(self.items.ids)])
        lists = Ragged(self.lists.offsets, codes[self.lists.values])
        return canonical(lists, self.lists.columns["gain"])

    @classmethod
    def of(cls, truth: Any, users: Iterable[Any] | None) -> Truth:
        """Read a Dataset, a mapping or a Ragged; keep the given users only.

        Raises
        ------
        DataError
            If it is none of these, or no user has a relevant item.
        """
        if isinstance(truth, Dataset):
            read = truth_of_dataset(truth)
        elif isinstance(truth, Mapping):
            read = _of_mapping(truth)
        elif isinstance(truth, Ragged):
            read, users = _of_ragged(truth, users), None
        else:
            raise DataError(
                f"found {type(truth).__name__} for the truth; expected a Dataset, "
                "a mapping of user id to item ids, or a Ragged of item codes"
            )
        read = read if users is None else _only(read, users)
        if not len(read):
            raise DataError(
                f"found no user with a relevant item among {read.n_without}; expected at least one; "
                "hint: is the test part empty, or are these other users?"
            )
        return read


def truth_of_dataset(test: Dataset) -> Truth:
    """Return what a test part says was relevant: there may be nothing."""
    log = test.interactions
    offsets, order = log.by_user
    weight = np.where(log.counted, log.weight, np.float32(0))
    lists = canonical(Ragged(offsets, log.item[order]), weight[order])
    rows = np.flatnonzero(lists.counts > 0)
    rows = rows[rows > 0]  # user 0 is nobody in particular
    start = float(log.timestamp[0]) if len(log) else None
    n_without = int(np.count_nonzero(np.diff(offsets)[1:])) - len(rows)
    return Truth(Vocabulary(test.user_ids.decode(rows)), lists.take(rows), test.item_ids, start, n_without)


def _of_mapping(truth: Mapping[Any, Any]) -> Truth:
    relevant = list(truth.values())
    ids, offsets = flatten(relevant)
    items = Vocabulary(np.unique(ids))
    gains = gains_of(relevant)
    lists = canonical(Ragged(offsets, items.encode(ids)), np.ones(len(ids)) if gains is None else gains)
    return _with_relevant(Truth(Vocabulary(list(truth)), lists, items))


def _of_ragged(truth: Ragged, users: Iterable[Any] | None) -> Truth:
    if users is None:
        raise DataError(
            "found a Ragged truth without users; expected users=, one user id for each of its rows"
        )
    ids = Vocabulary(list(users))
    if len(ids) != len(truth):
        raise DataError(
            f"found {len(truth)} rows of truth for {len(ids)} users; expected one row for each user"
        )
    weight = next((truth.columns[name] for name in ("gain", "weight") if name in truth.columns), None)
    return _with_relevant(
        Truth(ids, canonical(truth, np.ones(len(truth.values)) if weight is None else weight))
    )


def _with_relevant(truth: Truth) -> Truth:
    return _rows(truth, np.flatnonzero(truth.lists.counts > 0), len(truth))


def _only(truth: Truth, users: Iterable[Any]) -> Truth:
    wanted = Vocabulary(as_ids(list(users)))
    codes = truth.users.encode(wanted.ids)
    return _rows(truth, codes[codes > 0] - 1, len(wanted))


def _rows(truth: Truth, rows: AnyArray, n_asked: int) -> Truth:
    return replace(
        truth,
        users=Vocabulary(truth.users.ids[rows]),
        lists=truth.lists.take(rows),
        n_without=n_asked - len(rows),
    )
