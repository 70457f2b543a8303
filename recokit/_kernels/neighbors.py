"""Neighbours: the largest similarities of each row of a sparse product, without building the product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.segments import counts_to_offsets, rows_to_offsets
from recokit._kernels.sorting import top_by_score
from recokit._kernels.sparse import check_format, parts_of
from recokit._native import arrays
from recokit._native.library import check, kernels
from recokit.errors import ContractError
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class Similarities:
    """A square matrix of similarities, made of the product of two sparse ones.

    A cell ``c`` of ``left @ right`` is the similarity ``c / (row_size * column_size + shrinkage)``.

    Parameters
    ----------
    left, right : scipy.sparse.csr_matrix, shapes (n, m) and (m, n)
    row_size, column_size : ndarray of float, shape (n,), optional
        1 by default.
    add_sizes : bool, default False
        ``c / (row_size + column_size - c + shrinkage)`` instead, as of sets.
    shrinkage : float, default 0.0
    least : float, default -inf
        Cells below are left out.

    Raises
    ------
    ContractError
        If the shapes do not fit, or a column of a matrix is outside it.
    """

    left: csr_matrix
    right: csr_matrix
    row_size: AnyArray | None = None
    column_size: AnyArray | None = None
    add_sizes: bool = False
    shrinkage: float = 0.0
    least: float = -np.inf

    def __post_init__(self) -> None:
        n = self.left.shape[0]
        sizes = [size for size in (self.row_size, self.column_size) if size is not None]
        if self.left.shape != self.right.shape[::-1] or any(size.shape != (n,) for size in sizes):
            raise ContractError(
                f"found matrices of shapes {self.left.shape} and {self.right.shape}; "
                "expected one to fit the other turned, and a size for each row"
            )
        for matrix in (self.left, self.right):
            check_format(matrix)

    def costs(self) -> FloatArray:
        """Return the products that each row takes, (n,)."""
        return row_costs(self.left, self.right)

    def nearest(self, start: int, stop: int, k: int) -> tuple[IntArray, IntArray, Float32Array]:
        """Return offsets, columns and similarities of the k largest above 0 of some rows, best first.

        The diagonal is left out; ties are ordered by column.
        """
        if not 0 <= start <= stop <= self.left.shape[0]:
            raise ContractError(f"found rows {start} to {stop}; expected some of 0 to {self.left.shape[0]}")
        if kernels() is None:
            return self._plain(start, stop, k)
        rows, n = stop - start, self.left.shape[0]
        k = max(min(k, n), 0)
        neighbor, score = np.empty((rows, k), np.int64), np.empty((rows, k), np.float32)
        count = np.zeros(rows, np.int64)
        held = [*parts_of(self.left), *parts_of(self.right)]
        sizes = [_size(size, n) for size in (self.row_size, self.column_size)]
        pointers = (arrays.int64, arrays.int32, arrays.float32)
        arguments = (
            *(start, stop, *(point(part) for point, part in zip(pointers * 2, held, strict=True)), n),
            *(*(arrays.float32(size) for size in sizes), int(self.add_sizes), self.shrinkage, self.least, k),
            *(arrays.int64.out(neighbor), arrays.float32.out(score), arrays.int64.out(count)),
        )
        check(kernels().rk_neighbors(*arguments))
        kept = np.arange(k) < count[:, None]
        return counts_to_offsets(count), neighbor[kept], score[kept]

    def _plain(self, start: int, stop: int, k: int) -> tuple[IntArray, IntArray, Float32Array]:
        common = (self.left[start:stop] @ self.right).tocoo()
        row, column, cell = common.row, common.col.astype(np.int64), common.data.astype(np.float32)
        n = self.left.shape[0]
        mine, theirs = _size(self.row_size, n)[row + start], _size(self.column_size, n)[column]
        below = mine + theirs - cell if self.add_sizes else mine * theirs
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            similarity = cell / (below + np.float32(self.shrinkage))
        kept = (column != row + start) & (cell >= self.least)
        kept &= (similarity >= np.finfo(np.float32).tiny) & (similarity < np.inf)
        offsets = rows_to_offsets(row[kept], stop - start)
        return top_by_score(offsets, similarity[kept], column[kept], max(k, 0))


def row_costs(left: csr_matrix, right: csr_matrix) -> FloatArray:
    """Return the products that each row of ``left @ right`` takes, (rows,)."""
    total = np.append(0.0, np.cumsum(np.diff(right.indptr).astype(np.float64)[left.indices]))
    return np.asarray(np.diff(total[left.indptr]))


def _size(size: AnyArray | None, n: int) -> Float32Array:
    return np.ones(n, np.float32) if size is None else np.require(size, np.float32, ["C", "ALIGNED"])
