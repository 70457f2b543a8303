"""A half sweep of weighted matrix factorisation: each row of factors some steps nearer to its optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.sparse import check_format, parts_of
from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.errors import ContractError
from recokit.typing import Float32Array, FloatArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Factors are filled up with zeros to a multiple of this: the lanes of the kernel's sums.
_LANES = 16


class Descent:
    """The systems of all rows, ``(diag(spread + ridge) + sum of w v v') x = sum of w v``, over each row's cells.

    Parameters
    ----------
    weight : scipy.sparse.csr_matrix of float32, shape (rows, n)
    vectors : ndarray of float32, shape (n, D)
    spread : ndarray of float, shape (D,)
    ridge : ndarray of float, shape (rows,)

    Raises
    ------
    ContractError
        If the shapes do not fit, or a column of the weights is outside.
    """

    def __init__(
        self, weight: csr_matrix, vectors: Float32Array, *, spread: FloatArray, ridge: FloatArray
    ) -> None:
        n, d = vectors.shape
        if weight.shape[1] != n or spread.shape != (d,) or ridge.shape != (weight.shape[0],):
            raise ContractError(
                f"found weights of shape {weight.shape}, vectors {vectors.shape}, spread {spread.shape}, ridge "
                f"{ridge.shape}; expected (rows, n), (n, D), (D,), (rows,)"
            )
        check_format(weight)
        self.weight, self.n_factors, self.width = weight, d, -(-d // _LANES) * _LANES
        self.vectors = self._filled(vectors)
        self.spread, self.ridge = np.ones(self.width, np.float32), ridge.astype(np.float32)
        self.spread[:d] = spread

    def moved(self, factors: Float32Array, steps: int, rows: slice = slice(None)) -> Float32Array:
        """Return the factors (b, D) of some rows after some steps of conjugate gradients; rows without cells stay."""
        start, stop, _ = rows.indices(self.weight.shape[0])
        x = self._filled(factors[start:stop])
        if kernels() is None:
            return self._plain(x, steps, start, stop)[:, : self.n_factors]
        cells = self.weight[start:stop]
        offsets, column, value = parts_of(cells)
        arguments = (
            *(0, len(x), arrays.int64(offsets), arrays.int32(column), arrays.float32(value)),
            *(arrays.float32(self.vectors), self.width, arrays.float32(self.spread)),
            *(arrays.float32(self.ridge[start:stop]), steps, arrays.float32.out(x)),
        )
        check(kernels().rk_als_rows(*arguments))
        return x[:, : self.n_factors]

    def _plain(self, x: Float32Array, steps: int, start: int, stop: int) -> Float32Array:
        cells = self.weight[start:stop].astype(np.float32)
        row, vector = np.repeat(np.arange(len(x)), np.diff(cells.indptr)), self.vectors[cells.indices]
        some = np.diff(cells.indptr)[:, None] > 0
        diagonal = self.spread + self.ridge[start:stop, None]

        def applied(direction: Float32Array) -> Float32Array:
            along = cells.copy()
            along.data = cells.data * np.einsum("nd,nd->n", vector, direction[row])
            return np.asarray(diagonal * direction + along @ self.vectors)

        rest = np.where(some, cells @ self.vectors - applied(x), np.float32(0))
        scale = np.asarray(diagonal + cells @ self.vectors**2)
        scale[~some[:, 0]] = 1
        direction = rest / scale
        size = (rest * direction).sum(axis=1, keepdims=True)
        for _ in range(steps):
            ahead = applied(direction)
            length = _ratio(size, (direction * ahead).sum(axis=1, keepdims=True))
            x, rest = x + length * direction, rest - length * ahead
            following = (rest * rest / scale).sum(axis=1, keepdims=True)
            direction = rest / scale + _ratio(following, size) * direction
            size = following
        return x

    def _filled(self, values: Float32Array) -> Float32Array:
        filled = np.zeros((len(values), self.width), np.float32)
        filled[:, : self.n_factors] = values
        return filled


def _ratio(above: Float32Array, below: Float32Array) -> Float32Array:
    """Return quotients, 0 where a row has nothing left to go."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 2.0**-100)
