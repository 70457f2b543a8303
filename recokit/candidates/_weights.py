"""Events and histories with their weights: what is left of each, by user and item, as lists and as matrices."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.history import weighted_items
from recokit._kernels.segments import rows_to_offsets
from recokit._utils.options import optional, rules, whole
from recokit.compose.alone.sources import AloneSource
from recokit.data import Dataset, Interactions, Requests, event_types, seconds
from recokit.data.events.user_history import events_of
from recokit.data.times import Duration, duration
from recokit.errors import DataWarning
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(eq=False, repr=False, kw_only=True)
class FromHistory(AloneSource):
    """Source that answers from the weighted history of each request. Abstract."""

    requires = ("history",)

    _OPTIONS = rules(half_life=optional(duration), max_history=optional(whole(1)))

    half_life: Duration | None = None
    max_history: int | None = None

    def _interaction_matrix(self, dataset: Dataset) -> csr_matrix:
        """Return the summed weights of the events that count, without empty cells.

        Returns
        -------
        scipy.sparse.csr_matrix of float32, shape (n_users + 1, n_items + 1)
            Row and column 0 stand for unknown users and items and are empty.
        """
        log = dataset.interactions.personal
        if self.max_history is not None:
            log = _most_recent(log, self.max_history)
        weight = _felt(with_decay(log, dataset.until, self.half_life))
        matrix = log.replace(weight=weight).matrix(dataset.n_users, dataset.n_items)
        matrix.eliminate_zeros()
        if len(dataset.interactions) and not matrix.nnz:
            why = "no event weighs more than 0" if self.half_life is None else f"half_life={self.half_life!r}"
            warnings.warn(
                f"found nothing to learn from in {len(dataset.interactions)} events for {type(self).__name__}: {why}",
                DataWarning,
                stacklevel=3,
            )
        return matrix

    def _history_lists(self, requests: Requests, n_codes: int) -> tuple[IntArray, IntArray, FloatArray]:
        """Return offsets, distinct items and weights of each row's history, without items added since ``fit``."""
        offsets, item, weight = distinct_history(
            requests, half_life=self.half_life, max_history=self.max_history
        )
        inside = item < n_codes
        if not inside.all():
            total = np.concatenate([[0], np.cumsum(inside)])
            offsets, item, weight = total[offsets], item[inside], weight[inside]
        return offsets, item, weight

    def _history_matrix(self, requests: Requests, n_codes: int) -> csr_matrix:
        """Return the weighted distinct items of each row's history.

        Returns
        -------
        scipy.sparse.csr_matrix of float32, shape (B, n_codes)
            Columns are item codes, sorted within each row.
        """
        from scipy.sparse import csr_matrix

        offsets, item, weight = self._history_lists(requests, n_codes)
        matrix = csr_matrix((_felt(weight), item, offsets), shape=(len(requests), n_codes))
        matrix.eliminate_zeros()
        matrix.sort_indices()
        return matrix


#: What weighs less than this is left out of models: its inverse has to be finite in float32.
_LEAST = 1e-30


def _felt(weight: FloatArray) -> Float32Array:
    """Return weights as float32, 0 where nothing is left of one."""
    return np.where(weight < _LEAST, 0.0, weight).astype(np.float32)


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
    log = events_of(dataset.interactions.signals, events)
    if window is not None:
        log = log.between(dataset.until - seconds(window), np.inf)
    return log, with_decay(log, dataset.until, half_life)


def _most_recent(log: Interactions, n: int) -> Interactions:
    """Return the last events of each user, in the order of the log."""
    offsets, position = log.by_user
    from_end = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(log))
    return log.take(np.sort(position[from_end <= n]))


def distinct_history(
    requests: Requests,
    *,
    half_life: Duration | None,
    max_history: int | None = None,
    events: IntArray | None = None,
) -> tuple[IntArray, IntArray, FloatArray]:
    """Sum the weights of each row's history over its distinct items, the last taken first.

    Parameters
    ----------
    requests : Requests
        With the list ``history``, oldest first; unknown items in it (code 0) are ignored. A missing time counts as
        that of the newest event, a missing weight as 1, and what weighs 0 is no signal.
    half_life : duration, optional
        Half-life of a weight, as of each row's newest event that counts: what a user's events weigh beside each other
        does not depend on how long the user was away.
    max_history : int, optional
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
    history = requests.signals()
    offsets, item, columns = history.offsets, history.values, history.columns
    weight, time = columns.get("weight"), columns.get("timestamp")
    if max_history is not None or (events is not None and "event" in columns):
        row, kept = history.rows, item > 0
        if events is not None and "event" in columns:
            from_caller = requests.from_caller.get("history", np.zeros(len(requests), np.bool_))
            kept &= np.isin(columns["event"], events) | from_caller[row]
        if max_history is not None:
            kept &= _from_end(row, kept, len(requests)) <= max_history
        offsets, item = rows_to_offsets(row[kept], len(requests)), item[kept]
        weight = None if weight is None else weight[kept]
        time = None if time is None else time[kept]
    return weighted_items(
        offsets, item, weight=weight, time=time, half_life=None if half_life is None else seconds(half_life)
    )


def _from_end(row: IntArray, kept: BoolArray, n_rows: int) -> AnyArray:
    """Return each kept element's 1-based place from the end of the kept ones of its row."""
    ends = np.cumsum(np.bincount(row[kept], minlength=n_rows))
    return ends[row] - np.cumsum(kept) + 1


def codes_of(names: Sequence[str], events: Sequence[str] | None) -> IntArray | None:
    """Return the codes of the named event types, None for all."""
    return None if events is None else event_types.codes_of(names, events)
