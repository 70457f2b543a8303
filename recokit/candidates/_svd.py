"""The leading singular vectors of a sparse matrix, and the scaling of its cells by the degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recokit.typing import Float32Array, FloatArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["degree_power", "item_basis", "scaled"]

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
    found = np.zeros(len(degree), np.float32)
    some = degree > 0
    found[some] = degree[some] ** exponent
    return found


def scaled(matrix: csr_matrix, by_row: Float32Array, by_column: Float32Array) -> csr_matrix:
    """Return a copy of the matrix with every row and every column multiplied by a number."""
    from scipy.sparse import csr_matrix

    row = np.repeat(by_row, np.diff(matrix.indptr))
    data = matrix.data * row * by_column[matrix.indices]
    return csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
