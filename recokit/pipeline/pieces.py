"""Pieces: results of a stage on some of the rows, put together for the whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from recokit._ops.membership import pairs_in_sets
from recokit._ops.segments import counts_to_offsets, gather_segments, rows_to_offsets
from recokit.data import Candidates, Ragged, Requests, Retrieved
from recokit.data.candidates import missing
from recokit.pipeline.attempt import Outcome
from recokit.protocols import Hydrated
from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = [
    "join_columns",
    "join_hydrated",
    "join_retrieved",
    "masked",
    "part_of",
    "put",
    "scatter",
    "session_into_history",
    "without",
]


def part_of(batch: Candidates, rows: IntArray) -> Candidates:
    """Return some rows of a batch, the batch itself for all of them."""
    return batch if len(rows) == batch.n_rows else batch.take_rows(rows)


def masked(answer: Retrieved, mask: BoolArray) -> Retrieved:
    """Return the answer with empty lists in rows where the mask (B,) is not set."""
    if mask.all():
        return answer
    counts = np.diff(answer.offsets)
    kept = np.repeat(mask, counts)
    return replace(
        answer, offsets=counts_to_offsets(counts * mask), item=answer.item[kept], score=answer.score[kept]
    )


def without(batch: Candidates, other: Candidates) -> Candidates:
    """Return the batch without the items that the other batch has in the same row."""
    return batch.compress(~pairs_in_sets(batch.row, batch.item, other.offsets, other.item))


def put(target: AnyArray, batch: Candidates, rows: IntArray, piece: Any) -> None:
    """Write what belongs to some rows."""
    if len(rows) == batch.n_rows:
        target[...] = piece
    else:
        target[gather_segments(batch.offsets, rows)[1]] = piece


def scatter(
    batch: Candidates, outcome: Outcome[AnyArray], outside: Any, shape: tuple[int, ...] = ()
) -> AnyArray:
    """Return an array (N, *shape) of the pieces; ``outside`` stands in rows that no piece covers."""
    if len(outcome.pieces) == 1 and len(outcome.pieces[0][0]) == batch.n_rows:
        return outcome.pieces[0][1]
    full = np.full((len(batch), *shape), outside)
    for rows, piece in outcome.pieces:
        put(full, batch, rows, piece)
    return full


def join_retrieved(outcome: Outcome[Retrieved], n_rows: int) -> Retrieved:
    """Return the lists of all rows; rows that no piece covers have none."""
    if len(outcome.pieces) == 1 and len(outcome.pieces[0][0]) == n_rows:
        return outcome.pieces[0][1]
    if not outcome.pieces:
        return Retrieved.empty(n_rows)
    parts = [part for _, part in outcome.pieces]
    rows = np.concatenate([rows for rows, _ in outcome.pieces])
    offsets = counts_to_offsets(np.concatenate([np.diff(part.offsets) for part in parts]))
    item, score = (
        np.concatenate([part.item for part in parts]),
        np.concatenate([part.score for part in parts]),
    )
    joined = Retrieved(offsets, item, score).take(np.argsort(rows, kind="stable"))
    counts = np.zeros(n_rows, np.int64)
    counts[np.sort(rows)] = np.diff(joined.offsets)
    return replace(joined, offsets=counts_to_offsets(counts))


def join_hydrated(outcome: Outcome[Hydrated], n_rows: int) -> Hydrated:
    """Return columns and lists of all rows, missing values and empty lists where no piece covers a row."""
    columns: dict[str, AnyArray] = {}
    ragged: dict[str, Ragged] = {}
    for rows, part in outcome.pieces:
        if len(rows) == n_rows:
            return part
        mask = np.zeros(n_rows, np.bool_)
        mask[rows] = True
        place = np.zeros(n_rows, np.int64)
        place[rows] = np.arange(len(rows))
        for name, lists in part.ragged.items():
            ragged[name] = ragged.get(name, Ragged.empty(n_rows)).merge(lists.take(place), mask)
        for name, column in part.columns.items():
            columns[name] = np.where(mask, column[place], columns.get(name, missing(n_rows, column)))
    return Hydrated(columns, ragged)


def join_columns(batch: Candidates, outcome: Outcome[Mapping[str, AnyArray]]) -> dict[str, AnyArray]:
    """Return columns of all rows: as they were, or missing, where no piece covers a row."""
    columns: dict[str, AnyArray] = {}
    for rows, part in outcome.pieces:
        for name, values in part.items():
            if len(rows) == batch.n_rows:
                columns[name] = values
                continue
            if name not in columns:
                before = batch.columns.get(name)
                columns[name] = missing(len(batch), values) if before is None else before.copy()
            put(columns[name], batch, rows, values)
    return columns


def session_into_history(requests: Requests) -> Requests:
    """Append each row's session to its history, which is what sources answer from; the newest events last.

    A history that ends with the session already has it, so requests that went through here may run again; so does one
    with the same item at the same time, as where a session store outlives a refit. Where the session is all there is,
    the row's history counts as given by the caller.
    """
    session, history = requests.ragged["session"], requests.lists("history")
    kept = session.counts > 0
    kept[_end_with(history, session)] = False
    session = _without_known(_with_event_columns(session, requests, kept), history, requests)
    n = len(requests)
    both = Ragged(
        np.concatenate([history.offsets, history.offsets[-1] + session.offsets[1:]]),
        np.concatenate([history.values, session.values]),
        {
            name: np.concatenate([_column(history, name, session), _column(session, name, history)])
            for name in {**history.columns, **session.columns}
        },
    )
    interleaved = both.take(np.stack([np.arange(n), np.arange(n) + n], axis=1).ravel())
    joined = Ragged(interleaved.offsets[::2], interleaved.values, interleaved.columns)
    given = requests.given.get("history", np.zeros(n, np.bool_)) | (kept & (history.counts == 0))
    return replace(
        requests,
        ragged={**requests.ragged, "history": joined},
        given={**requests.given, "history": given},
    )


def _end_with(history: Ragged, session: Ragged) -> BoolArray:
    """Tell which rows' history ends with their session, (B,) bool."""
    if not len(history.values):
        return np.equal(session.counts, 0)
    row = session.rows
    place = history.offsets[row + 1] - session.offsets[row + 1] + np.arange(len(session.values))
    inside = place >= history.offsets[row]
    same = inside & (history.values[np.where(inside, place, 0)] == session.values)
    wrong: BoolArray = np.bincount(row[~same], minlength=len(session)) > 0
    return ~wrong


def _with_event_columns(session: Ragged, requests: Requests, kept: BoolArray) -> Ragged:
    """Return the sessions of some rows as events of right now."""
    row = session.rows
    columns: dict[str, AnyArray] = {
        "timestamp": requests.now[row],
        "weight": np.ones(len(row), np.float32),
        "event": np.zeros(len(row), np.int64),
    }
    some = Ragged(session.offsets, session.values, columns | dict(session.columns))
    return Ragged.empty(len(session)).merge(some, kept)


def _without_known(session: Ragged, history: Ragged, requests: Requests) -> Ragged:
    """Return the sessions without past events that the history has: the same item at the same time."""
    row, item, time = session.rows, session.values, session.columns["timestamp"]
    past = time < requests.now[row]  # what the caller gives has no time but now
    if not past.any() or "timestamp" not in history.columns:
        return session
    both = [
        np.concatenate([mine, other])
        for mine, other in ((time, history.columns["timestamp"]), (item, history.values), (row, history.rows))
    ]
    order = np.lexsort(both)
    new = np.ones(len(order), np.bool_)
    new[1:] = np.any([part[order][1:] != part[order][:-1] for part in both], axis=0)
    event = np.empty(len(order), np.int64)
    event[order] = np.cumsum(new)
    kept = ~(past & np.isin(event[: len(row)], event[len(row) :]))
    columns = {name: column[kept] for name, column in session.columns.items()}
    return Ragged(rows_to_offsets(row[kept], len(session)), item[kept], columns)


def _column(lists: Ragged, name: str, like: Ragged) -> AnyArray:
    found = lists.columns.get(name)
    return missing(len(lists.values), like.columns[name]) if found is None else found
