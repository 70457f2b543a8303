"""CoOccurrence: what is taken together, in one session or basket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from recokit._kernels.neighbors import Similarities
from recokit._utils.options import Rule, finite, one_of, rules
from recokit.candidates._neighbors import Neighbors
from recokit.candidates._weights import decay
from recokit.data import Dataset, seconds
from recokit.data.times import Duration, duration

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(eq=False, repr=False, kw_only=True)
class CoOccurrence(Neighbors):
    """Source of the items taken together with those of the history.

    A session ends where a user pauses for longer than ``gap``; items of one session, each counted once, occur together.

    Parameters
    ----------
    gap : duration, default "30min"
        Longest pause within a session. With 0, what has the same timestamp: a basket.
    normalization : {"cosine", "lift", "none"}, default "cosine"
        Divide the number of common sessions of two items by the geometric mean of their own numbers, by their product
        (relative to chance: rare items come first), or not at all.
    n_neighbors : int, default 100
        Neighbours kept of each item.
    min_count : float, default 0
        Fewer common sessions than that are chance; decayed where there is a half-life.
    half_life : duration, optional
        Half-life of a session in ``fit``, as of the end of the data, and of an event's weight in
        ``retrieve``, as of the user's newest event.
    max_history : int, optional
        Only this many of the most recent events count in ``retrieve``; all by default.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    offsets_ : ndarray of int64, shape (n_items + 2,)
    neighbor_ : ndarray of int32
    similarity_ : ndarray of float32
        As those of :class:`ItemKNN`.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged, Requests
    >>> data = Dataset.from_frame({"user": [1, 1, 1], "item": [1, 2, 3], "timestamp": [0, 60, 90_000]})
    >>> together = CoOccurrence().fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[1]])})
    >>> together.retrieve(requests, limit=10).item.tolist()
    [2]
    """

    _OPTIONS = rules(
        gap=Rule(f"{duration.expected}, or 0", lambda value: value == 0 or duration.holds(value)),
        normalization=one_of("cosine", "lift", "none"),
        min_count=finite(0),
    )

    gap: Duration = "30min"
    normalization: Literal["cosine", "lift", "none"] = "cosine"
    min_count: float = 0.0

    def fit(self, dataset: Dataset) -> CoOccurrence:
        """Cut sessions, and count the pairs of items within them."""
        by_session = self._sessions(dataset)
        by_item = by_session.T.tocsr()
        alone = np.asarray(by_session.multiply(by_session).sum(axis=0), np.float64).ravel()
        power = {"cosine": 0.5, "lift": 1.0, "none": 0.0}[self.normalization]
        size = np.maximum(alone, np.finfo(np.float64).tiny) ** power

        self._learn(dataset.until, Similarities(by_item, by_session, size, size, least=self.min_count))
        return self

    def _sessions(self, dataset: Dataset) -> csr_matrix:
        """Return sessions by items; the product of two cells is the decayed weight of the session."""
        from scipy.sparse import csr_matrix

        log = dataset.interactions.personal
        _, position = log.by_user
        user, item, when = log.user[position], log.item[position], log.timestamp[position]
        pause = 0.0 if self.gap == 0 else seconds(self.gap)
        new = np.ones(len(user), np.bool_)
        new[1:] = (user[1:] != user[:-1]) | (when[1:] - when[:-1] > pause)
        session = np.cumsum(new) - 1
        pair = np.unique(session * (dataset.n_items + 1) + item)
        row, column = np.divmod(pair, dataset.n_items + 1)
        row, column = row[column > 0], column[column > 0]
        weight = decay(dataset.until - when[np.flatnonzero(new)], self.half_life)
        shape = (len(weight), dataset.n_items + 1)
        return csr_matrix((np.sqrt(weight[row]).astype(np.float32), (row, column)), shape=shape)
