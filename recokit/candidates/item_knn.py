"""ItemKNN: items whose users are the users of the items in the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from recokit._kernels.segments import segment_sum
from recokit._utils.options import between, finite, one_of, rules
from recokit.candidates._neighbors import Neighbors
from recokit.data import Dataset
from recokit.typing import Float32Array, FloatArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: How soon a weight saturates, and how far an item's length counts, in BM25.
_K1, _B = 1.2, 0.75


@dataclass(eq=False, repr=False, kw_only=True)
class ItemKNN(Neighbors):
    """Source of the neighbours of the items in the history, by item-item similarity.

    An item's score is the sum over the history of weight x similarity. Since the answer comes from the request's
    history, new users are served from their first event on. Items of the history are not excluded: that is a rule,
    such as ``rules.NotOwned``.

    Parameters
    ----------
    n_neighbors : int, default 100
        Neighbours kept of each item.
    similarity : {"cosine", "jaccard"}, default "cosine"
        Between the items' columns of the user-item matrix of summed weights; ``"jaccard"`` looks only at who took
        an item at all.
    asymmetry : float, default 0.5
        Share of the history's item in the normalisation of ``"cosine"``: ``|i|^(2a) |j|^(2 - 2a)`` below the product
        (F. Aiolli, "Efficient top-n recommendation for very large scale binary rated datasets", RecSys 2013). Above
        1/2 popular items come up more.
    weighting : {"none", "tfidf", "bm25"}, default "none"
        Of the matrix before that, each item a document of its users: ``"tfidf"`` multiplies the square root of a
        weight by ``log((1 + n_items) / (1 + items of the user))``, so that users of everything count less;
        ``"bm25"`` saturates weights too, by the item's length (k1 1.2, b 0.75; S. Robertson and H. Zaragoza, 2009).
    shrinkage : float, default 0.0
        Added to the denominator: similarities that few users support shrink.
    half_life : duration, optional
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the
        user's newest event.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.
        Bounds the cost of very active users, which grows with the square of their events.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    offsets_ : ndarray of int64, shape (n_items + 2,)
        Item ``i`` has the neighbours ``offsets_[i]:offsets_[i + 1]``.
    neighbor_ : ndarray of int32
        Item codes, most similar first, ties by code.
    similarity_ : ndarray of float32
        All above 0.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged, Requests
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
    >>> knn = ItemKNN(n_neighbors=2).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> knn.retrieve(requests, limit=10).item.tolist()
    [1]
    """

    _OPTIONS = rules(
        similarity=one_of("cosine", "jaccard"),
        asymmetry=between(0, 1),
        weighting=one_of("none", "tfidf", "bm25"),
        shrinkage=finite(0),
    )

    similarity: Literal["cosine", "jaccard"] = "cosine"
    asymmetry: float = 0.5
    weighting: Literal["none", "tfidf", "bm25"] = "none"
    shrinkage: float = 0.0

    def fit(self, dataset: Dataset) -> ItemKNN:
        """Find each item's neighbours, a block of items at a time."""
        from recokit._kernels.neighbors import Similarities

        by_user = self._matrix(dataset)
        by_item = by_user.T.tocsr()
        mine, theirs = self._sizes(_squared_norms(by_item))
        self._learn(
            dataset.until,
            Similarities(
                by_item,
                by_user,
                mine,
                theirs,
                add_sizes=self.similarity == "jaccard",
                shrinkage=self.shrinkage,
            ),
        )
        return self

    def _matrix(self, dataset: Dataset) -> csr_matrix:
        """Return the user-item matrix of the events that count, without empty cells."""
        matrix = self._interaction_matrix(dataset)
        if self.similarity == "jaccard":
            matrix.data[:] = 1.0
        elif self.weighting != "none":
            matrix = _weighted(matrix, saturated=self.weighting == "bm25")
        return matrix

    def _sizes(self, norms: FloatArray) -> tuple[Float32Array, Float32Array]:
        """Return the factors of the denominator, of the history's item and of the other one."""
        if self.similarity == "jaccard":
            return norms.astype(np.float32), norms.astype(np.float32)
        one, other = norms**self.asymmetry, norms ** (1.0 - self.asymmetry)
        return one.astype(np.float32), other.astype(np.float32)


def _weighted(matrix: csr_matrix, *, saturated: bool) -> csr_matrix:
    """Return TF-IDF or BM25 weights, each item a document of its users."""
    idf = np.log((1.0 + matrix.shape[1]) / (1.0 + np.diff(matrix.indptr)))
    weight = np.sqrt(matrix.data)
    if saturated:
        length = np.bincount(matrix.indices, matrix.data, minlength=matrix.shape[1])
        average = length.sum() / max(np.count_nonzero(length), 1)
        norm = _K1 * (1.0 - _B + _B * length[matrix.indices] / max(average, 1e-30))
        weight = matrix.data * (_K1 + 1.0) / (matrix.data + norm)
    matrix.data = (weight * np.repeat(idf, np.diff(matrix.indptr))).astype(np.float32)
    matrix.eliminate_zeros()
    return matrix


def _squared_norms(by_item: csr_matrix) -> FloatArray:
    row = np.repeat(np.arange(by_item.shape[0]), np.diff(by_item.indptr))
    return segment_sum(by_item.data.astype(np.float64) ** 2, row, by_item.shape[0])
