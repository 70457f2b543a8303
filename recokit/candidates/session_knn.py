"""SessionKNN: what was in the sessions nearest to the last items of a history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit._utils.options import Rule, between, optional, rules
from recokit.candidates._rows import NearestRows
from recokit.candidates._weights import decay
from recokit.data import Dataset, Requests, seconds
from recokit.data.times import Duration, duration
from recokit.typing import FloatArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(eq=False, repr=False, kw_only=True)
class SessionKNN(NearestRows):
    """Source of the items of the sessions most like the last items of the history.

    In the manner of V-SKNN (D. Jannach and M. Ludewig, "When recurrent neural networks meet the neighborhood for
    session-based recommendation", RecSys 2017): an item of the history counts ``recency`` times what the one after it
    counts, and a session by its age. Likeness is a cosine that counts rare items for more. It serves anonymous sessions
    as it serves users.

    Parameters
    ----------
    n_neighbors : int, default 100
        Sessions that count.
    gap : duration, default "30min"
        Longest pause within a session, for data without session ids. With 0, what has the same timestamp: a basket.
    recency : float, default 0.8
        What an item of the history counts against the one after it, 0 to 1.
    session_half_life : duration, optional
        Half-life of what a session counts for, as of the end of the data; by default none.
    max_history : int, default 10
        Only this many of the most recent events of each row count in ``retrieve``.
    half_life : duration, optional
        Half-life of an event's weight in ``retrieve``, as of the user's newest event.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    rows_ : scipy.sparse.csr_matrix of float32, shape (n_sessions, n_items + 1)
        1 where a session has an item.
    told_ : ndarray of float32, shape (n_items + 1,)
        How much an item tells.
    by_item_ : scipy.sparse.csr_matrix of float32, shape (n_items + 1, n_sessions)
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 1], "item": [1, 2, 3], "timestamp": [0, 60, 90_000]})
    >>> near = SessionKNN().fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[1]])})
    >>> sorted(near.retrieve(requests, limit=10).item.tolist())
    [1, 2]
    """

    needs_times = True

    _OPTIONS = rules(
        gap=Rule(f"{duration.expected}, or 0", lambda value: value == 0 or duration.holds(value)),
        recency=between(0, 1),
        session_half_life=optional(duration),
    )

    gap: Duration = "30min"
    recency: float = 0.8
    session_half_life: Duration | None = None
    max_history: int | None = 10

    def fit(self, dataset: Dataset) -> Self:
        """Cut sessions, and keep what each has."""
        rows, ended = _sessions(dataset, self.gap)
        self._keep(rows, decay(dataset.until - ended, self.session_half_life), dataset.until)
        return self

    def _queries(self, requests: Requests) -> csr_matrix:
        from scipy.sparse import csr_matrix

        offsets, item, weight = self._history_lists(requests, self.rows_.shape[1])
        place = np.arange(len(item)) - offsets[offsets_to_rows(offsets)]
        told = (weight * np.power(self.recency, place)).astype(np.float32)
        queries = csr_matrix((told, item, offsets), shape=(len(requests), self.rows_.shape[1]))
        queries.eliminate_zeros()
        queries.sort_indices()
        return queries


def _sessions(dataset: Dataset, gap: Duration) -> tuple[csr_matrix, FloatArray]:
    """Return which items each session has, (S, n_items + 1) float32, and when each ended, (S,)."""
    from scipy.sparse import coo_matrix

    log = (
        dataset.interactions.personal
        if dataset.interactions.session is None
        else dataset.interactions.signals
    )
    log = log.take(np.flatnonzero((log.weight > 0) & (log.item > 0)))
    own = log.session if log.session is not None else np.zeros(len(log), np.int64)
    order = np.lexsort((log.timestamp, own, log.user))
    user, when, session = log.user[order], log.timestamp[order], own[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = user[1:] != user[:-1]
    if log.session is not None:
        first[1:] |= session[1:] != session[:-1]
    else:
        first[1:] |= np.diff(when) > (seconds(gap) if gap else 0.0)
    code = np.cumsum(first) - 1
    n = int(code[-1]) + 1 if len(code) else 0
    ended = np.full(n, -np.inf)
    np.maximum.at(ended, code, when)
    rows = coo_matrix(
        (np.ones(len(code), np.float32), (code, log.item[order])), (n, dataset.n_items + 1)
    ).tocsr()
    rows.data[:] = 1.0
    return rows, ended
