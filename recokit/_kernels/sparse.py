"""Sparse matrices as compiled kernels read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recokit.errors import ContractError
from recokit.typing import AnyArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def check_format(matrix: csr_matrix) -> None:
    """Raise ContractError where offsets do not ascend, or a column is outside: what a kernel indexes memory by."""
    offsets, column = matrix.indptr, matrix.indices
    n, m = matrix.shape
    ascending = len(offsets) == n + 1 and offsets[0] == 0 and (np.diff(offsets) >= 0).all()
    if not ascending or not offsets[-1] <= min(len(column), len(matrix.data)):
        raise ContractError(f"found offsets of a sparse matrix that do not ascend from 0 to {len(column)}")
    if len(column) and (column.min() < 0 or column.max() >= m):
        raise ContractError(f"found columns {column.min()} to {column.max()}; expected 0 to {m - 1}")


def parts_of(matrix: csr_matrix) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Return offsets (int64), columns (int32) and values (float32) of a CSR matrix, in order."""
    wanted = zip((matrix.indptr, matrix.indices, matrix.data), (np.int64, np.int32, np.float32), strict=True)
    offsets, column, value = (np.require(part, kind, ["C", "ALIGNED"]) for part, kind in wanted)
    return offsets, column, value
