"""Session: the caller's newest events, joined to the history that sources answer from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recokit._kernels.segments import rows_to_offsets
from recokit.data import Ragged, Requests
from recokit.data.candidates import missing
from recokit.typing import AnyArray, BoolArray


def session_into_history(requests: Requests) -> Requests:
    """Append each row's session to its history, the newest events last: sources answer from the history.

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
    given = requests.from_caller.get("history", np.zeros(n, np.bool_)) | (kept & (history.counts == 0))
    return replace(
        requests,
        ragged={**requests.ragged, "history": joined},
        from_caller={**requests.from_caller, "history": given},
    )


def _end_with(history: Ragged, session: Ragged) -> BoolArray:
    """Return which rows' history ends with their session, (B,) bool."""
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
    past = time < requests.now[row]  # events without a time of their own happen now
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
    column = lists.columns.get(name)
    return missing(len(lists.values), like.columns[name]) if column is None else column
