"""Plain lists and scores as something that the debugger runs: two stored stages and their trace."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from recokit._kernels.segments import counts_to_offsets, offsets_to_rows, rank_in_row
from recokit._utils.options import shown
from recokit.data import Candidates, Dataset, Live, Ragged, Requests, Retrieved, Schema, Table, Vocabulary
from recokit.data.query import Query
from recokit.data.vocabulary import as_ids, factorize
from recokit.errors import ConfigurationError, DataError
from recokit.protocols import Role, Runnable
from recokit.result import Recommendations
from recokit.trace import StageEvent, Status, Trace
from recokit.typing import Float32Array, IntArray

_LISTS, _SCORES = "lists", "scores"


#: What the debugger looks at.
Subject: TypeAlias = Runnable | Mapping[Any, Any] | Sequence[Any] | Recommendations


def runnable(
    subject: Subject, scores: Any = None, *, known_good: Any = None, context: Mapping[str, Any] | None = None
) -> Runnable:
    """Return a pipeline as it is, and lists as something to run; with the context that its requests have."""
    if isinstance(subject, Mapping | Recommendations | list | tuple | np.ndarray):
        return PlainLists(subject, scores, known_good)
    if scores is not None:
        raise ConfigurationError("found scores for a pipeline; expected them with lists made elsewhere")
    pipeline: Any = subject
    made: Runnable = pipeline if context is None else pipeline.with_context(context)
    return made


@dataclass(frozen=True, eq=False)
class StoredLists:
    """Source of the lists as they are stored, by user code, best first."""

    lists: Ragged

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the first ``limit`` items of each user's list."""
        found = self.lists.take(requests.user)
        kept = rank_in_row(found.rows, found.offsets) < limit
        counts = np.minimum(found.counts, limit)
        return Retrieved(counts_to_offsets(counts), found.values[kept], found.columns["score"][kept])


@dataclass(frozen=True, eq=False)
class StoredScores:
    """Scorer that gives stored scores."""

    lists: Ragged

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the score that came with each candidate, NaN where there is none."""
        width = int(max(self.lists.values.max(initial=0), candidates.item.max(initial=0))) + 1
        key = self.lists.rows * width + self.lists.values
        order = np.argsort(key)
        wanted = candidates.user * width + candidates.item
        place = np.minimum(np.searchsorted(key[order], wanted), max(len(key) - 1, 0))
        found = np.full(len(wanted), np.nan, np.float32)
        if len(key):
            known = key[order[place]] == wanted
            found[known] = self.lists.columns["score"][order[place[known]]]
        return found


@dataclass(frozen=True, eq=False)
class _Node:
    name: str
    role: Role
    stage: Any


class PlainLists:
    """A :class:`recokit.protocols.Runnable` of lists that were made elsewhere.

    Parameters
    ----------
    lists : mapping of user to item ids, sequence of lists, or Recommendations
        Best first; of a user, a mapping of item to score gives both. The users of a sequence are its positions.
    scores : mapping of user to numbers, or sequence, optional
        A score for each item of each list.
    known_good : Dataset or mapping, optional
        Items that the catalogue has besides those of the lists.

    Raises
    ------
    DataError
        If a list is none, has an item twice, or has more or fewer scores than items.
    """

    def __init__(self, lists: Any, scores: Any = None, known_good: Any = None) -> None:
        users, items, numbers = _read(lists, scores)
        rows = [as_ids(list(own)) for own in items]
        extra = _good_items(known_good)
        self.schema = _schema(users, [*rows, *extra])
        self._lists = _by_code(self.schema, users, rows, numbers)
        self._nodes = [_Node(_LISTS, Role.SOURCE, StoredLists(self._lists))]
        if numbers is not None:
            self._nodes.append(_Node(_SCORES, Role.SCORER, StoredScores(self._lists)))
        self.names = tuple(node.name for node in self._nodes)
        self.fingerprint = f"{self.schema.item_ids.fingerprint}-{len(self._lists.values)}"
        self.fitted_until = -np.inf

    def __repr__(self) -> str:
        return f"PlainLists({len(self._lists.values)} items for {len(self.schema.user_ids)} users)"

    def __iter__(self) -> Iterator[_Node]:
        return iter(self._nodes)

    def __getitem__(self, name: str) -> Any:
        return next(node.stage for node in self._nodes if node.name == name)

    def live_values(self) -> Mapping[int, Live[Any]]:
        """Return nothing: stored lists read no live values."""
        return {}

    def requests(self, users: Any = None, k: int = 10, **options: Any) -> Requests:
        """Return requests in the codes of these lists."""
        return Query(users, k, **options).encode(self.schema, time.time)

    def candidates(self, requests: Requests) -> Candidates:
        """Return whole lists, with their scores."""
        return self._scored(self._found(requests))

    def run(
        self,
        requests: Requests,
        *,
        capture: Any = "summary",
        budget_ms: float | None = None,
        observe: bool = True,
    ) -> Recommendations:
        """Return the first k of each list, with a trace as of a pipeline."""
        started = time.perf_counter()
        found = self._found(requests)
        ranked = self._scored(found)
        place = rank_in_row(ranked.row, ranked.offsets)
        selected = ranked.compress(place < requests.k[ranked.row])
        events = [self._event(_LISTS, "source", None, found)]
        if len(self._nodes) > 1:
            events.append(self._event(_SCORES, "scorer", found, ranked))
        events.append(self._event("selection", "selection", ranked, selected))
        empty = selected.counts == 0
        trace = Trace(
            requests=requests,
            events=tuple(events),
            status=np.where(empty, Status.EMPTY, Status.OK).astype(np.int64),
            reasons=tuple(("no list for this user",) if none else () for none in empty.tolist()),
            seconds=time.perf_counter() - started,
            budget=np.inf,
            overruns={},
            versions={},
            fingerprint=self.fingerprint,
            selected=selected,
            users=requests.user_ids,
            item_ids=self.schema.item_ids,
            user_ids=self.schema.user_ids,
        )
        users = np.full(len(requests), None) if requests.user_ids is None else requests.user_ids
        return Recommendations.from_candidates(selected, users, self.schema.item_ids, trace)

    def recommend(self, users: Any, k: Any = 10, *, now: Any = None, seed: int = 0) -> Recommendations:
        """Return the first k of each user's list."""
        return self.run(self.requests(users, k, now=now, seed=seed))

    def replace(self, name: str, stage: Any) -> Any:
        """Refuse: there is nothing to run again."""
        raise ConfigurationError("found plain lists; expected a pipeline, whose stages can be replaced")

    def without(self, *names: str) -> Any:
        """Refuse: there is nothing to run again."""
        raise ConfigurationError("found plain lists; expected a pipeline, whose stages can be left out")

    def with_events(self, dataset: Dataset) -> Any:
        """Refuse: there is nothing to run again."""
        raise ConfigurationError("found plain lists; expected a pipeline, which can learn of other events")

    def with_context(self, context: Any) -> Any:
        """Return the same lists: nothing in them reads a context."""
        return self

    def _found(self, requests: Requests) -> Candidates:
        lists = self._lists.take(requests.user)
        n, row = len(lists.values), offsets_to_rows(lists.offsets)
        rank = (rank_in_row(row, lists.offsets) + 1).astype(np.float32)
        return Candidates(
            requests=requests,
            offsets=lists.offsets,
            row=row,
            item=lists.values,
            score=np.full(n, np.nan, np.float32),
            sources=np.ones(n, np.uint64),
            source_names=(_LISTS,),
            columns={f"{_LISTS}_rank": rank, f"{_LISTS}_score": lists.columns["score"]},
        )

    def _scored(self, found: Candidates) -> Candidates:
        if len(self._nodes) > 1:
            return found.with_score(found.columns[f"{_LISTS}_score"])
        return found.with_score(-found.columns[f"{_LISTS}_rank"])

    def _event(self, name: str, role: str, before: Candidates | None, after: Candidates) -> StageEvent:
        n_in = 0 if before is None else len(before)
        return StageEvent(
            name=name,
            role=role,
            started=0.0,
            seconds=0.0,
            n_in=n_in,
            n_out=len(after),
            n_rows=after.n_rows,
            before=before,
            after=after,
        )


def _read(lists: Any, scores: Any) -> tuple[list[Any], list[Any], list[Any] | None]:
    """Return the users, the items of each, and the scores of each, None where there are none."""
    if isinstance(lists, Recommendations):
        rows = range(len(lists))
        own = [lists.scores(row) for row in rows] if scores is None else scores
        return list(lists.users.tolist()), [lists.ids(row) for row in rows], own
    users = list(lists) if isinstance(lists, Mapping) else list(range(len(lists)))
    items = list(lists.values()) if isinstance(lists, Mapping) else list(lists)
    for user, own in zip(users, items, strict=True):
        if isinstance(own, str | bytes) or not hasattr(own, "__len__"):
            raise DataError(
                f"found {shown(own)} of user {shown(user)}; expected a list of item ids; hint: [{shown(own)}]"
            )
    if scores is None and items and all(isinstance(own, Mapping) for own in items):
        return users, [list(own) for own in items], [list(own.values()) for own in items]
    if scores is None:
        return users, items, None
    of_users = [scores.get(user, ()) for user in users] if isinstance(scores, Mapping) else list(scores)
    if len(of_users) != len(users):
        raise DataError(f"found scores of {len(of_users)} lists; expected {len(users)}, one for each list")
    return users, items, of_users


def _good_items(known_good: Any) -> list[Any]:
    if isinstance(known_good, Dataset):
        return [known_good.item_ids.ids]
    return [as_ids(list(items)) for items in (known_good or {}).values() if len(items)]


def _schema(users: Sequence[Any], items: Sequence[Any]) -> Schema:
    named = [user for user in users if user is not None]
    user_ids = Vocabulary(factorize(as_ids(named))[1] if named else np.zeros(0, np.int64))
    filled = [part for part in items if len(part)]
    if len({part.dtype.kind for part in filled}) > 1:
        as_ids([part[0] for part in filled])  # raises: integers here, text there
    item_ids = Vocabulary(factorize(np.concatenate(filled))[1] if filled else np.zeros(0, np.int64))
    return Schema(item_ids, user_ids, Table.empty(len(item_ids)), Table.empty(len(user_ids)))


def _by_code(
    schema: Schema, users: Sequence[Any], items: Sequence[Any], scores: Sequence[Any] | None
) -> Ragged:
    """Return each user's list by code; those of nobody are left out."""
    n = len(schema.user_ids)
    of_code: list[IntArray] = [np.zeros(0, np.int64)] * (n + 1)
    score_of: list[Float32Array] = [np.zeros(0, np.float32)] * (n + 1)
    for place, (user, own) in enumerate(zip(users, items, strict=True)):
        codes = schema.item_ids.encode(own) if len(own) else np.zeros(0, np.int64)
        if len(np.unique(codes)) < len(codes):
            raise DataError(f"found an item twice in the list of user {shown(user)}; expected distinct items")
        given = np.full(len(codes), np.nan) if scores is None else np.asarray(scores[place], np.float64)
        if given.shape != codes.shape:
            raise DataError(
                f"found {given.size} scores of user {shown(user)}; expected {len(codes)}, one for each item"
            )
        if user is not None:
            code = int(schema.user_ids.encode([user])[0])
            of_code[code], score_of[code] = codes, given.astype(np.float32)
    lists = Ragged.from_lists(of_code)
    return Ragged(lists.offsets, lists.values, {"score": np.concatenate(score_of)})
