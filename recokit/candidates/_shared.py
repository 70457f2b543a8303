"""What several sources share: the weighted history of each request, and small checks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from recokit._kernels.segments import rows_to_offsets
from recokit._kernels.sorting import group_pairs
from recokit.data import Dataset, Interactions, Requests, seconds
from recokit.data.events.user_history import events_of
from recokit.errors import ConfigurationError, DataError
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = [
    "Duration",
    "check_duration",
    "codes_of",
    "counted_events",
    "decay",
    "distinct_history",
    "interaction_matrix",
    "most_recent",
    "with_decay",
]

Duration: TypeAlias = str | float | dt.timedelta


def check_duration(name: str, value: Duration | None) -> None:
    """Check an option that is a positive duration, or None."""
    if value is None:
        return
    try:
        seconds(value)
    except DataError as error:
        raise ConfigurationError(
            f"found {name}={value!r}; expected a duration such as '30D', or None"
        ) from error


def decay(age: FloatArray, half_life: Duration | None) -> FloatArray:
    """Return what is left of a weight after so many seconds; ages below 0 count as 0."""
    if half_life is None:
        return np.ones(len(age))
    return np.asarray(np.exp2(-np.maximum(age, 0.0) / seconds(half_life)))


def with_decay(log: Interactions, until: float, half_life: Duration | None) -> FloatArray:
    """Return the weight of each event as of a time, (M,) float64."""
    return np.asarray(log.weight * decay(until - log.timestamp, half_life))


def counted_events(
    dataset: Dataset, events: Sequence[str] | None, window: Duration | None, half_life: Duration | None
) -> tuple[Interactions, FloatArray]:
    """Return the events that count for popularity, and their weights as of the end of the data, (M,) float64."""
    log = events_of(dataset.interactions, events)
    if window is not None:
        log = log.between(dataset.until - seconds(window), np.inf)
    return log, with_decay(log, dataset.until, half_life)


def interaction_matrix(
    dataset: Dataset, *, half_life: Duration | None = None, max_history: int | None = None
) -> csr_matrix:
    """Return the summed weights of the events that count, without empty cells.

    Parameters
    ----------
    dataset : Dataset
    half_life : duration, optional
        Half-life of a weight, as of the end of the data.
    max_history : int, optional
        Only this many of the most recent events of each user.

    Returns
    -------
    scipy.sparse.csr_matrix of float32, shape (n_users + 1, n_items + 1)
        Row and column 0 stand for what is unknown and are empty.
    """
    log = dataset.interactions
    if max_history is not None:
        log = most_recent(log, max_history)
    weight = with_decay(log, dataset.until, half_life).astype(np.float32)
    matrix = log.replace(weight=weight).matrix(dataset.n_users, dataset.n_items)
    matrix.eliminate_zeros()
    return matrix


def most_recent(log: Interactions, most: int) -> Interactions:
    """Return the last events of each user, in the order of the log."""
    offsets, position = log.by_user
    from_end = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(log))
    return log.take(np.sort(position[from_end <= most]))


def distinct_history(
    requests: Requests,
    *,
    half_life: Duration | None,
    most: int | None = None,
    events: IntArray | None = None,
) -> tuple[IntArray, IntArray, FloatArray]:
    """Sum the weights of each row's history over its distinct items, the last taken first.

    Parameters
    ----------
    requests : Requests
        With the list ``history``, oldest first; unknown items in it (code 0) are ignored. A missing time counts as
        now, a missing weight as 1.
    half_life : duration, optional
        Half-life of a weight, as of each request's own time.
    most : int, optional
        Only this many of the most recent events of each row.
    events : ndarray of int64, optional
        Only events with these codes. Rows whose history the caller gave count in full.

    Returns
    -------
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the rows.
    item : ndarray of int64, shape (N,)
    weight : ndarray of float64, shape (N,)
    """
    history = requests.lists("history")
    row, columns = history.rows, history.columns
    kept = history.values > 0
    if events is not None and "event" in columns:
        kept &= np.isin(columns["event"], events) | _given(requests)[row]
    if most is not None:
        kept &= _from_end(row, kept, len(requests)) <= most
    row, item = row[kept], history.values[kept]
    weight = np.ones(len(item))
    if "weight" in columns:
        found = columns["weight"][kept].astype(np.float64)
        weight = np.where(np.isnan(found), 1.0, found)
    if half_life is not None and "timestamp" in columns:
        age = requests.now[row] - columns["timestamp"][kept]
        weight *= decay(np.nan_to_num(age, nan=0.0), half_life)
    offsets = rows_to_offsets(row, len(requests))
    pairs = group_pairs(offsets, item)
    # Mirror the positions within each row, so that the last event comes first.
    last = pairs.last
    order = np.argsort(offsets[row[last]] + offsets[row[last] + 1] - last)
    return pairs.offsets, item[last[order]], pairs.sum(weight)[order]


def _given(requests: Requests) -> BoolArray:
    return requests.given.get("history", np.zeros(len(requests), np.bool_))


def _from_end(row: IntArray, kept: BoolArray, n_rows: int) -> AnyArray:
    """Return each kept element's 1-based place from the end of the kept ones of its row."""
    ends = np.cumsum(np.bincount(row[kept], minlength=n_rows))
    return ends[row] - np.cumsum(kept) + 1


def codes_of(names: Sequence[str], events: Sequence[str] | None) -> IntArray | None:
    """Return the codes of the named event types, None for all."""
    if events is None:
        return None
    return np.array([names.index(name) for name in events if name in names], np.int64)
