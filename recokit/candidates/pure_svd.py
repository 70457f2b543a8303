"""PureSVD: the projection of a history on the leading item factors."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._utils.options import rules, whole
from recokit.candidates._collapse import warn_if_alike, warn_if_rough
from recokit.candidates._retrieve import retrieve_nearest
from recokit.candidates._weights import FromHistory
from recokit.data import Dataset, Requests, Retrieved
from recokit.typing import Float32Array, FloatArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(eq=False, repr=False)
class PureSVD(FromHistory):
    """Source of the items nearest to the history in the space of the leading singular vectors.

    A history ``x`` has the scores ``x V V'``, with ``V`` the right singular vectors of the user-item matrix (P.
    Cremonesi, Y. Koren and R. Turrin, "Performance of recommender algorithms on top-N recommendation tasks",
    RecSys 2010), so new users are served from their first event on.

    Parameters
    ----------
    n_factors : int, default 64
        Singular vectors; fewer where there are fewer users or items.
    half_life : duration, optional
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the
        user's newest event.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.
    seed : int, default 0
        Of the randomised decomposition.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    item_factors_ : ndarray of float32, shape (n_items + 1, n_factors)
        By item code; zeros for items without interactions, which are never returned.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
    >>> svd = PureSVD(n_factors=2).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> sorted(svd.retrieve(requests, limit=2).item.tolist())
    [1, 2]
    """

    _OPTIONS = rules(n_factors=whole(1))

    n_factors: int = 64
    _: KW_ONLY
    seed: int = 0

    def fit(self, dataset: Dataset) -> PureSVD:
        """Decompose the matrix of summed weights."""
        matrix = self._interaction_matrix(dataset)
        vectors, values = item_basis(matrix, self.n_factors, self.seed)
        warn_if_rough(type(self).__name__, matrix, vectors, values)
        vectors[np.bincount(matrix.indices, minlength=matrix.shape[1]) == 0] = 0.0
        self.item_factors_, self.fitted_until_ = vectors, dataset.until
        warn_if_alike(self, matrix, "more factors")
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items of the highest score; a row without a known item in its history has none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        vectors = self.item_factors_
        usable = np.asarray(vectors.any(axis=1))
        history = self._history_matrix(requests, len(vectors))
        return retrieve_nearest(
            requests, limit, history @ vectors, vectors, known=history @ usable > 0, usable=usable
        )


#: Power iterations; by four the leading factors of interaction matrices agree with exact ones to three digits.
_ITERATIONS = 4


def item_basis(matrix: csr_matrix, n_factors: int, seed: int) -> tuple[Float32Array, FloatArray]:
    """Return the leading right singular vectors and the singular values.

    By randomised subspace iteration (Halko, Martinsson and Tropp, 2011). There are fewer where the matrix is
    smaller than that.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix of float32, shape (n_users + 1, n_items + 1)
    n_factors : int
    seed : int

    Returns
    -------
    vectors : ndarray of float32, shape (n_items + 1, D)
    values : ndarray of float64, shape (D,)
        Largest first.
    """
    from sklearn.utils.extmath import randomized_svd

    n_factors = min(n_factors, *matrix.shape)
    if matrix.nnz == 0:
        return np.zeros((matrix.shape[1], n_factors), np.float32), np.zeros(n_factors)
    _, values, vectors = randomized_svd(matrix, n_factors, n_iter=_ITERATIONS, random_state=seed)
    return np.ascontiguousarray(vectors.T, np.float32), values.astype(np.float64)


def degree_power(degree: FloatArray, exponent: float) -> Float32Array:
    """Return ``degree ** exponent``, 0 for what has no interactions.

    Examples
    --------
    >>> degree_power(np.array([0.0, 4.0]), -0.5).tolist()
    [0.0, 0.5]
    """
    power = np.zeros(len(degree), np.float32)
    some = degree > 0
    power[some] = degree[some] ** exponent
    return power


def scaled(matrix: csr_matrix, by_row: Float32Array, by_column: Float32Array) -> csr_matrix:
    """Return a copy of the matrix with every row and every column multiplied by a number."""
    from scipy.sparse import csr_matrix

    row = np.repeat(by_row, np.diff(matrix.indptr))
    data = matrix.data * row * by_column[matrix.indices]
    return csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
