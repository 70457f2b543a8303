"""Lists alone: rules and diversity over scores and columns, as arrays."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit._kernels.segments import rows_to_offsets
from recokit._utils.copies import with_fields
from recokit._utils.options import require, whole
from recokit._utils.params import Configured, get_params
from recokit.data.candidates import Candidates
from recokit.data.dataset import Dataset
from recokit.data.query import Query
from recokit.errors import ConfigurationError, DataError
from recokit.protocols import Role, bound, role_of, traits_of
from recokit.slates.select import select
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray


class AloneObjective(Configured):
    """An objective that also selects from scores alone. Abstract."""

    def select(
        self,
        scores: Any,
        vectors: Any = None,
        k: int = 10,
        *,
        columns: Any = None,
        ids: Any = None,
        history: Any = None,
        rules: Sequence[Any] = (),
    ) -> Any:
        """Select k of N items, by their scores and what they are like.

        Parameters
        ----------
        scores : array (N,), or (B, N) for several lists of the same items
            An item of ``-inf`` is no candidate.
        vectors : array (N, D), optional
            What items are compared by.
        k : int, default 10
        columns : dataframe or mapping of str to array (N,), optional
            What is known of the items, for objectives and rules that read columns.
        ids : array (N,), optional
            The items' ids.
        history : list of ids, optional
            Of each list's user, for objectives that read it.
        rules : sequence of rules
            Limits and filters that hold as well.

        Returns
        -------
        ndarray (k,), or a list of them
            The items' ids, or their positions where there are none, best first.
        """
        items = Items.of(scores, columns, ids)
        stage = self if vectors is None else _comparing(self, items.vectors(vectors))
        return items.chosen([*rules, stage], k, history=history)


class AloneRule(Configured):
    """A rule that also holds over arrays alone. Abstract."""

    def select(
        self,
        scores: Any,
        columns: Any = None,
        k: int = 10,
        *,
        ids: Any = None,
        history: Any = None,
        context: Mapping[str, Any] | None = None,
        now: Any = None,
    ) -> Any:
        """Select the best k of N items by their scores, under this rule.

        Parameters
        ----------
        scores : array (N,), or (B, N) for several lists of the same items
            An item of ``-inf`` is no candidate.
        columns : dataframe or mapping of str to array (N,), optional
            The item columns that the rule reads.
        k : int, default 10
        ids : array (N,), optional
            The items' ids.
        history : list of ids, optional
            What the user has had, for rules that read it.
        context : mapping, optional
            Columns of the request.
        now : optional
            Request time; the present by default.

        Returns
        -------
        ndarray (k,), or a list of them
            The items' ids, or their positions where there are none, best first.
        """
        items = Items.of(scores, columns, ids)
        return items.chosen([self], k, history=history, context=context, now=now)

    def allows(
        self,
        columns: Any = None,
        *,
        ids: Any = None,
        history: Any = None,
        context: Mapping[str, Any] | None = None,
        now: Any = None,
    ) -> BoolArray:
        """Tell which items a filter lets through, (N,) bool; parameters as for :meth:`select`.

        Raises
        ------
        ConfigurationError
            If the rule is no filter: a limit of the list decides about lists, not items.
        """
        if role_of(self) is not Role.FILTER:
            raise ConfigurationError(
                f"found the {role_of(self).value} {type(self).__name__}; expected a filter; hint: .select(scores, ...)"
            )
        n = _length(columns, ids)
        items = Items.of(np.zeros(n), columns, ids)
        batch = items.batch(1, history=history, context=context, now=now)
        kept: BoolArray = bound(self, items.schema(batch)).keep(batch)
        return kept[np.argsort(items.place[batch.item])]


@dataclass(frozen=True, eq=False)
class Items:
    """N items with scores (B, N), as a catalogue of their own.

    Parameters
    ----------
    scores : ndarray of float64, shape (B, N)
    ids : ndarray (N,)
        What answers name items by.
    dataset : Dataset
        The catalogue.
    code : ndarray of int64, shape (N,)
        The items' codes in it.
    place : ndarray of int64, shape (N + 1,)
        Position of each code.
    single : bool
        Whether the scores came as one list.
    """

    scores: FloatArray
    ids: AnyArray
    dataset: Dataset
    code: IntArray
    place: IntArray
    single: bool

    @classmethod
    def of(cls, scores: Any, columns: Any, ids: Any) -> Items:
        """Read scores, columns and ids; DataError where they do not go together."""
        array = np.asarray(scores)
        if array.ndim not in (1, 2) or array.dtype.kind not in "biuf":
            raise DataError(
                f"found scores of shape {array.shape} and type {array.dtype}; expected numbers, one for each item, "
                "(N,), or (B, N) for several lists"
            )
        values = np.atleast_2d(array).astype(np.float64)
        n = values.shape[1]
        bad = np.isnan(values) | (values == np.inf)
        if bad.any():
            raise DataError(
                f"found score {values[bad][0]}; expected finite numbers, -inf for what is no candidate",
                rows=np.flatnonzero(bad.any(axis=0)),
            )
        named: AnyArray = np.arange(n) if ids is None else np.asarray(ids)
        if named.shape != (n,):
            raise DataError(f"found ids of shape {named.shape}; expected {n}, one for each score")
        dataset = Dataset.from_frame(None, items=_catalogue(columns, named))
        code = dataset.item_ids.encode(named)
        place = np.zeros(n + 1, np.int64)
        place[code] = np.arange(n)
        return cls(scores=values, ids=named, dataset=dataset, code=code, place=place, single=array.ndim == 1)

    def vectors(self, vectors: Any) -> FloatArray:
        """Return vectors (N, D) by code, zeros for the unknown item."""
        given = np.asarray(vectors)
        n = len(self.ids)
        if given.ndim != 2 or len(given) != n or given.dtype.kind not in "biuf":
            raise DataError(f"found vectors of shape {given.shape}; expected ({n}, D), one for each item")
        table = np.zeros((n + 1, given.shape[1]))
        table[self.code] = given
        return table

    def schema(self, batch: Candidates) -> Any:
        """Return what stages may bind to."""
        provided = frozenset({"history", "owned", "earlier", "session", *batch.requests.columns})
        return replace(self.dataset.schema, provided=provided)

    def batch(
        self,
        k: int,
        *,
        history: Any = None,
        context: Mapping[str, Any] | None = None,
        now: Any = None,
    ) -> Candidates:
        """Return the items of each list that have a score, as candidates."""
        require(whole(1), k=k)
        n_lists = len(self.scores)
        past = None if history is None else [history] * n_lists if self.single else list(history)
        query = Query([None] * n_lists, k, history=past, context=context, now=now)
        requests = query.encode(self.dataset.schema, time.time)
        if past is not None:
            requests = with_fields(
                requests,
                ragged={**requests.ragged, "owned": requests.ragged["history"]},
                from_caller={**requests.from_caller, "owned": requests.from_caller["history"]},
            )
        row, position = np.nonzero(self.scores > -np.inf)
        n = len(row)
        return Candidates(
            requests=requests,
            offsets=rows_to_offsets(row, n_lists),
            row=row,
            item=self.code[position],
            score=self.scores[row, position].astype(np.float32),
            sources=np.zeros(n, np.uint64),
        )

    def chosen(self, stages: Sequence[Any], k: int, **request: Any) -> Any:
        """Return the ids of the lists that stages of any role make of the scores."""
        batch = self.batch(k, **request)
        schema = self.schema(batch)
        limits: list[Any] = []
        objective = None
        for stage in (bound(stage, schema) for stage in stages):
            role = role_of(stage)
            if role is Role.FILTER:
                batch = batch.compress(stage.keep(batch))
            elif role is Role.SCORER:
                batch = batch.with_score(stage.score(batch))
            elif role is Role.CONSTRAINT:
                limits.append(stage)
            elif role is Role.OBJECTIVE:
                objective = stage
            else:
                raise ConfigurationError(
                    f"found the {role.value} {type(stage).__name__}; expected a filter, a boost or a limit; "
                    "hint: put it into a Pipeline"
                )
        found = select(
            batch,
            batch.requests.k,
            limits=[limit for stage in limits for limit in stage.limit(batch)],
            objective=objective,
            pool=traits_of(objective).pool,
        )
        ids = self.ids[self.place[batch.item[found.index]]]
        lists = np.split(ids, found.offsets[1:-1])
        return lists[0] if self.single else lists


def _length(columns: Any, ids: Any) -> int:
    if ids is not None:
        return len(ids)
    if columns is None:
        raise DataError("found neither columns nor ids; expected what the rule reads of the items")
    if not isinstance(columns, Mapping):
        return len(columns)
    return len(next(iter(columns.values()), ()))


def _catalogue(columns: Any, ids: AnyArray) -> Any:
    """Return an item table: a frame's columns, with the ids."""
    if columns is None:
        return {"item_id": ids}
    if isinstance(columns, Mapping):
        table = {str(name).removeprefix("item."): column for name, column in columns.items()}
    else:
        import narwhals.stable.v2 as nw

        frame = nw.from_native(columns, eager_only=True)
        table = {name: frame[name] for name in frame.columns}
    for name, column in table.items():
        if len(column) != len(ids):
            raise DataError(
                f"found {len(column)} values in column {name!r}; expected {len(ids)}, one for each score"
            )
    return {
        **{name: column for name, column in table.items() if name not in ("item_id", "item")},
        "item_id": ids,
    }


def _comparing(objective: Any, vectors: FloatArray) -> Any:
    """Return an objective that compares items by vectors, or whose inner one does."""
    params = get_params(objective)
    if "vectors" in params:
        return type(objective)(**{**params, "vectors": vectors})
    inner = params.get("objective")
    if inner is not None:
        return type(objective)(**{**params, "objective": _comparing(inner, vectors)})
    raise ConfigurationError(
        f"found vectors for {type(objective).__name__}, which compares items by labels or not at all; expected none; "
        "hint: columns={...}"
    )
