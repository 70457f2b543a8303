"""Labels of candidates: what their users went on to do."""

from __future__ import annotations

import numpy as np

from recokit._ops.membership import locate_sorted
from recokit._ops.segments import rows_to_offsets
from recokit.data import Candidates, Interactions, Ragged, Requests
from recokit.typing import BoolArray, Float32Array, IntArray

__all__ = ["label_candidates", "window_truth"]


def window_truth(requests: Requests, events: Interactions) -> Ragged:
    """Return what each request's user did in a window.

    An event belongs to its user's latest request at or before it, so with one request for each session every session
    has its own truth. Requests of one user must differ in time.

    Parameters
    ----------
    requests : Requests
        The B requests of the window.
    events : Interactions
        The events of the window; those of no request, or of weight 0, are left out.

    Returns
    -------
    Ragged
        For each request, item codes ascending, with column ``gain`` (float32): the largest weight of the request's
        events on that item, so a purchase outweighs the views before it.
    """
    row, belongs = _latest_request(requests, events)
    belongs &= (events.weight > 0) & (events.item > 0)
    row, item, weight = row[belongs], events.item[belongs], events.weight[belongs]
    order = np.lexsort((item, row))
    row, item, weight = row[order], item[order], weight[order]
    first = np.ones(len(row), np.bool_)
    first[1:] = (row[1:] != row[:-1]) | (item[1:] != item[:-1])
    starts = np.flatnonzero(first)
    gain = np.maximum.reduceat(weight, starts) if len(starts) else weight
    return Ragged(
        rows_to_offsets(row[starts], len(requests)), item[starts], {"gain": gain.astype(np.float32)}
    )


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
    if len(truth.values) and len(label):
        width = max(int(truth.values.max()), int(candidates.item.max())) + 1
        position, found = locate_sorted(
            truth.rows * width + truth.values, candidates.row * width + candidates.item
        )
        label[found] = truth.columns["gain"][position[found]]
    return label
