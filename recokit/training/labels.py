"""Labels of candidates: the events that followed, and their weights."""

from __future__ import annotations

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._kernels.segments import rows_to_offsets
from recokit.data import Candidates, Interactions, Ragged, Requests
from recokit.typing import BoolArray, Float32Array, IntArray


def window_truth(requests: Requests, events: Interactions) -> Ragged:
    """Return the items that each request's user took in a window, with their gains.

    An event belongs to its user's latest request at or before it, so with one request for each session every session
    has its own truth. Requests of one user must differ in time.

    Parameters
    ----------
    requests : Requests
        The B requests of the window.
    events : Interactions
        The events of the window; those of no request, of weight 0, or taken back by their user, are left out.

    Returns
    -------
    Ragged
        For each request, item codes ascending, with column ``gain`` (float32): the largest weight of the request's
        events on that item, so a purchase outweighs the views before it.
    """
    order, offsets, item, starts = _by_item(requests, events, events.counted)
    weight = events.weight[order]
    gain = np.maximum.reduceat(weight, starts) if len(starts) else weight
    return Ragged(offsets, item, {"gain": gain.astype(np.float32)})


def window_events(requests: Requests, events: Interactions) -> Ragged:
    """Return which types of events each request's user did in a window.

    Parameters
    ----------
    requests, events
        As for :func:`window_truth`; events of weight 0 are there too.

    Returns
    -------
    Ragged
        For each request, item codes ascending, with a column ``event.{name}`` (bool) for each type of event.
    """
    order, offsets, item, starts = _by_item(requests, events, np.ones(len(events), np.bool_))
    event = events.event[order]
    columns = {
        f"event.{name}": np.logical_or.reduceat(event == code, starts)
        if len(starts)
        else np.zeros(0, np.bool_)
        for code, name in enumerate(events.event_names)
    }
    return Ragged(offsets, item, columns)


def _by_item(
    requests: Requests, events: Interactions, used: BoolArray
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return the positions of the used events by request and item; the distinct items as CSR; where each starts."""
    row, belongs = _latest_request(requests, events)
    index = np.flatnonzero(belongs & used & (events.item > 0))
    order = index[np.lexsort((events.item[index], row[index]))]
    owner, item = row[order], events.item[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (owner[1:] != owner[:-1]) | (item[1:] != item[:-1])
    starts = np.flatnonzero(first)
    return order, rows_to_offsets(owner[starts], len(requests)), item[starts], starts


def _latest_request(requests: Requests, events: Interactions) -> tuple[IntArray, BoolArray]:
    n = len(requests)
    user = np.concatenate([requests.user, events.user])
    time = np.concatenate([requests.now, events.timestamp])
    is_event = np.arange(len(user)) >= n
    order = np.lexsort((is_event, time, user))
    # Position, in this order, of the last request seen so far; -1 before the first.
    latest = np.maximum.accumulate(np.where(is_event[order], -1, np.arange(len(order))))
    known = latest >= 0
    row = np.where(known, order[np.maximum(latest, 0)], 0)
    same = known & (user[row] == user[order])
    spread, belongs = np.zeros(len(user), np.int64), np.zeros(len(user), np.bool_)
    spread[order], belongs[order] = np.where(same, row, 0), same
    return spread[n:], belongs[n:]


def label_candidates(candidates: Candidates, truth: Ragged) -> Float32Array:
    """Return each candidate's gain, (N,) float32; 0 where its user did nothing with it.

    Parameters
    ----------
    candidates : Candidates
        Candidates of B requests.
    truth : Ragged
        What the users of the same B requests did, from :func:`window_truth`.

    Examples
    --------
    >>> batch = Candidates.from_lists([[3, 5], [5]])
    >>> truth = Ragged(np.array([0, 1, 1]), np.array([5]), {"gain": np.array([0.5], np.float32)})
    >>> label_candidates(batch, truth).tolist()
    [0.0, 0.5, 0.0]
    """
    label = np.zeros(len(candidates), np.float32)
    position, taken = _find(candidates, truth)
    if len(position):
        label[taken] = truth.columns["gain"][position]
    return label


def label_events(candidates: Candidates, truth: Ragged) -> dict[str, BoolArray]:
    """Return for each type of event whether it happened to each candidate: columns ``event.{name}`` (N,) bool.

    Parameters
    ----------
    candidates : Candidates
        Candidates of B requests.
    truth : Ragged
        What the users of the same B requests did, from :func:`window_events`.

    Examples
    --------
    >>> batch = Candidates.from_lists([[3, 5], [5]])
    >>> truth = Ragged(np.array([0, 1, 1]), np.array([5]), {"event.click": np.array([True])})
    >>> label_events(batch, truth)["event.click"].tolist()
    [False, True, False]
    """
    position, taken = _find(candidates, truth)
    columns = {}
    for name, happened in truth.columns.items():
        columns[name] = np.zeros(len(candidates), np.bool_)
        columns[name][taken] = happened[position]
    return columns


def _find(candidates: Candidates, truth: Ragged) -> tuple[IntArray, BoolArray]:
    """Return the places in the truth of the candidates that are there, and which these are, (N,) bool."""
    if not (len(truth.values) and len(candidates)):
        return np.zeros(0, np.int64), np.zeros(len(candidates), np.bool_)
    width = max(int(truth.values.max()), int(candidates.item.max())) + 1
    position, taken = locate_sorted(
        truth.rows * width + truth.values, candidates.row * width + candidates.item
    )
    return position[taken], taken
