"""List sources: lists that are stored, or served by a pipeline, handed out chunk by chunk to be evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from recokit._utils.options import shown
from recokit.data import Ragged, Schema, Vocabulary
from recokit.data.context import Declared, context_columns
from recokit.errors import ContractError, DataError
from recokit.evaluation.truth import Truth
from recokit.protocols import Recommender
from recokit.result import Recommendations
from recokit.trace import Status
from recokit.typing import IntArray

#: Status of a user without any row in the recommendations.
MISSING = max(Status) + 1


@dataclass(frozen=True, eq=False)
class Chunk:
    """The lists of a chunk of users.

    Parameters
    ----------
    lists : Ragged
        Item codes of the recommender.
    status : ndarray of int64
        :class:`~recokit.trace.Status` of each list, :data:`MISSING` where there is none.
    items : Vocabulary
        The recommender's item vocabulary.
    """

    lists: Ragged
    status: IntArray
    items: Vocabulary


class ListSource(Protocol):
    """Hands out the lists of the truth's users ``start`` to ``stop``."""

    n_outside: int

    def chunk(self, start: int, stop: int) -> Chunk:
        """Return the lists of these users."""
        ...


class StoredLists:
    """Recommendations made before."""

    def __init__(self, stored: Recommendations, truth: Truth) -> None:
        known = np.array([user is not None for user in stored.users.tolist()], np.bool_)
        codes = np.zeros(len(stored), np.int64)
        codes[known] = truth.users.encode(stored.users[known])
        rows = np.flatnonzero(codes)
        first = np.unique(codes[rows], return_index=True)[1]
        if len(first) != len(rows):
            again = np.setdiff1d(rows, rows[first])
            raise DataError(
                f"found more than one list for user {stored.users[again[0]]!r}; expected one for each user",
                rows=again.tolist(),
            )
        self._stored = stored
        # Users without a list share an empty row after the last one.
        self._row = np.full(len(truth), len(stored), np.int64)
        self._row[codes[rows] - 1] = rows
        self._lists = Ragged(np.append(stored.offsets, stored.offsets[-1]), stored.item)
        self._status = np.append(stored.status, MISSING)
        self.n_outside = len(stored) - len(rows)

    def chunk(self, start: int, stop: int) -> Chunk:
        """Return the stored lists of these users."""
        rows = self._row[start:stop]
        return Chunk(self._lists.take(rows), self._status[rows], self._stored.item_ids)


class ServedLists:
    """A pipeline that is asked for each chunk."""

    n_outside = 0

    def __init__(
        self,
        pipeline: Recommender,
        truth: Truth,
        k: int,
        now: float | None,
        *,
        seed: int,
        context: Declared,
    ) -> None:
        self._context = context
        self._pipeline, self._users, self._k, self._seed = pipeline, truth.users.ids, k, seed
        self._options: dict[str, Any] = {} if now is None else {"now": now}

    def chunk(self, start: int, stop: int) -> Chunk:
        """Ask for the lists of these users."""
        users = self._users[start:stop]
        options = dict(self._options)
        if self._context:
            options["context"] = context_columns(self._context, users.tolist())
        made = self._pipeline.recommend(users, k=self._k, seed=self._seed, **options)
        if not isinstance(made, Recommendations) or len(made) != len(users):
            found = f"{len(made)} lists" if isinstance(made, Recommendations) else type(made).__name__
            raise ContractError(
                f"found {found} from {type(self._pipeline).__name__}.recommend; "
                f"expected Recommendations with {len(users)} lists, one for each user"
            )
        return Chunk(Ragged(made.offsets, made.item), made.status, made.item_ids)


def _require_common_items(subject: Any, truth: Truth) -> None:
    """Raise DataError where a pipeline knows no item of the truth: every list would miss, whatever it is worth."""
    schema = getattr(subject, "schema", None)
    if not isinstance(schema, Schema) or truth.items is None:
        return
    items = truth.items.decode(np.unique(truth.lists.values[truth.lists.values > 0]))
    if len(items) and not schema.item_ids.encode(items).any():
        raise DataError(
            f"found none of the {len(items)} items of the truth in the catalogue of {type(subject).__name__}, such as "
            f"{shown(items[0])}; expected some in common; hint: are ids written alike in both?"
        )


def source_of(
    subject: Any, truth: Truth, *, k: int, now: float | None, seed: int, context: Declared
) -> ListSource:
    """Return the lists of recommendations, or of anything with ``recommend``.

    Raises
    ------
    DataError
        If it is neither.
    """
    if isinstance(subject, Recommendations):
        return StoredLists(subject, truth)
    if not isinstance(subject, type) and callable(getattr(subject, "recommend", None)):
        _require_common_items(subject, truth)
        return ServedLists(subject, truth, k, now, seed=seed, context=context)
    raise DataError(
        f"found {subject!r} to evaluate; expected a pipeline, Recommendations, or a mapping of names to these"
    )
