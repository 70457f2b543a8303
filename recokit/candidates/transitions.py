"""Transitions: what users took next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.neighbors import Similarities
from recokit._kernels.segments import offsets_to_rows
from recokit._utils.options import between, optional, rules
from recokit.candidates._neighbors import Neighbors
from recokit.candidates._weights import decay
from recokit.data import Dataset, Requests, seconds
from recokit.data.times import Duration, duration
from recokit.typing import FloatArray, IntArray

if TYPE_CHECKING:
    pass


@dataclass(eq=False, repr=False, kw_only=True)
class Transitions(Neighbors):
    """Source of the items that followed the last ones of the history: a Markov chain of first order.

    A transition from one item to another that the same user took next counts as much as the event that it leads to
    weighs, and as ``half_life`` leaves of it; its share of all transitions from the item is its strength. The light
    sibling of :class:`SASRec`.

    Parameters
    ----------
    n_neighbors : int, default 100
        Followers kept of each item.
    recency : float, default 0.5
        What an item of the history counts against the one after it: its followers weigh ``recency ** place``, the
        last item's place being 0. With 0 only the last one counts.
    gap : duration, optional
        Events further apart than this are no transition; any two in a row are, by default.
    half_life : duration, optional
        Half-life of a transition, as of the end of the data.
    max_history : int, default 10
        Only this many of the most recent events count in ``retrieve``.

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
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 3], "timestamp": [1, 2, 3, 4]})
    >>> chain = Transitions().fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[1]])})
    >>> chain.retrieve(requests, limit=10).item.tolist()
    [2, 3]
    """

    needs_times = True

    _OPTIONS = rules(recency=between(0, 1), gap=optional(duration))

    recency: float = 0.5
    gap: Duration | None = None
    max_history: int | None = 10

    def fit(self, dataset: Dataset) -> Transitions:
        """Count who took what after what."""
        from scipy.sparse import coo_matrix, identity

        log = dataset.interactions.personal
        _, position = log.by_user
        user, item, when = log.user[position], log.item[position], log.timestamp[position]
        next_to = (user[1:] == user[:-1]) & (item[1:] != item[:-1]) & (item[1:] > 0) & (item[:-1] > 0)
        if self.gap is not None:
            next_to &= when[1:] - when[:-1] <= seconds(self.gap)
        first = np.flatnonzero(next_to)
        weight = log.weight[position][first + 1] * decay(dataset.until - when[first + 1], self.half_life)
        n_codes = dataset.n_items + 1
        count = coo_matrix((weight, (item[first], item[first + 1])), shape=(n_codes, n_codes)).tocsr()
        total = np.repeat(np.asarray(count.sum(axis=1)).ravel(), np.diff(count.indptr))
        share = np.divide(count.data, total, out=np.zeros_like(count.data), where=total > 0)
        count.data = share.astype(np.float32)

        self._learn(dataset.until, Similarities(count, identity(n_codes, np.float32, "csr")))
        return self

    def _weighted_history(self, requests: Requests) -> tuple[IntArray, IntArray, FloatArray]:
        offsets, item, _ = super()._weighted_history(requests)
        place = np.arange(len(item)) - offsets[offsets_to_rows(offsets)]
        return offsets, item, np.power(self.recency, place)
