"""UserKNN and NextBasket: what the users nearest to a history took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from recokit._utils.options import between, rules
from recokit.candidates._rows import NearestRows
from recokit.data import Dataset, Requests
from recokit.data.times import Duration
from recokit.typing import IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(eq=False, repr=False, kw_only=True)
class UserKNN(NearestRows):
    """Source of the items of the users whose history is most like the request's.

    Likeness is the cosine of the summed weights of items, each multiplied by ``log((1 + users) / (1 + users of the
    item))``, so that what everybody has tells little (J. Breese, D. Heckerman and C. Kadie, "Empirical analysis of
    predictive algorithms for collaborative filtering", UAI 1998). An item's score is the sum over the neighbours of
    likeness x weight. A user is no neighbour of its own; new users are served from their first event on.

    Parameters
    ----------
    n_neighbors : int, default 100
        Users that count.
    half_life : duration, optional
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the
        user's newest event.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    rows_ : scipy.sparse.csr_matrix of float32, shape (n_users + 1, n_items + 1)
        Each user's weights.
    told_ : ndarray of float32, shape (n_items + 1,)
        How much an item tells.
    by_item_ : scipy.sparse.csr_matrix of float32, shape (n_items + 1, n_users + 1)
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
    >>> knn = UserKNN().fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> sorted(knn.retrieve(requests, limit=10).item.tolist())
    [1, 2]
    """

    def fit(self, dataset: Dataset) -> Self:
        """Keep every user's weights."""
        matrix = self._interaction_matrix(dataset)
        self._keep(matrix, np.ones(matrix.shape[0]), dataset.until)
        return self

    def _own_rows(self, requests: Requests) -> IntArray | None:
        return np.where(requests.user > 0, requests.user, -1)


@dataclass(eq=False, repr=False, kw_only=True)
class NextBasket(UserKNN):
    """Source of the next basket: a user's own items by decayed frequency, beside those of the nearest users.

    In the manner of TIFU-KNN (H. Hu, X. He, J. Gao and Z. Zhang, "Modeling personalized item frequency information for
    next-basket recommendation", SIGIR 2020): each user is a vector of decayed weights scaled to a sum of 1, and an
    item's score is ``own_share`` x its own weight + ``(1 - own_share)`` x that of the neighbours, by likeness.

    Parameters
    ----------
    n_neighbors : int, default 100
        Users that count.
    own_share : float, default 0.7
        What the user's own items count against those of the neighbours, 0 to 1.
    half_life : duration, default "30D"
        Half-life of an event's weight, as of the user's newest event.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
    >>> source = NextBasket().fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> source.retrieve(requests, limit=10).item.tolist()
    [2, 1]
    """

    needs_times = True

    _OPTIONS = rules(own_share=between(0, 1))

    own_share: float = 0.7
    half_life: Duration | None = "30D"

    def fit(self, dataset: Dataset) -> Self:
        """Keep every user's weights, as of that user's newest event, scaled to a sum of 1."""
        log = dataset.interactions.personal
        newest = np.full(dataset.n_users + 1, -np.inf)
        np.maximum.at(newest, log.user, log.timestamp)
        shifted = log.timestamp + (dataset.until - newest[log.user])
        order = np.argsort(shifted, kind="stable")
        aligned = log.take(order).replace(timestamp=shifted[order])
        matrix = _to_one(self._interaction_matrix(dataset.with_interactions(aligned)))
        self._keep(matrix, np.ones(matrix.shape[0]), dataset.until)
        return self

    def _queries(self, requests: Requests) -> csr_matrix:
        return _to_one(super()._queries(requests))

    def _nearest(self, queries: csr_matrix, own: IntArray | None) -> csr_matrix:
        return _to_one(super()._nearest(queries, own))

    def _added(self, queries: csr_matrix, found: csr_matrix) -> csr_matrix:
        return queries * np.float32(self.own_share) + found * np.float32(1.0 - self.own_share)


def _to_one(matrix: csr_matrix) -> csr_matrix:
    """Return a copy whose rows have a sum of 1, those without weight as they are."""
    scaled = matrix.copy()
    total = np.asarray(matrix.sum(axis=1), np.float64).ravel()
    factor = np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)
    scaled.data = (scaled.data * np.repeat(factor, np.diff(scaled.indptr))).astype(np.float32)
    return scaled
