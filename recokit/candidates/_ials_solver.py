"""The exact least-squares step of iALS: the best factors of many rows, given those of the columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._ops.threads import map_parts
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["padded_cells", "row_blocks", "solve_rows"]

#: Elements of the batched systems of one step: some 16 MB as float32, one thread's share of the cache and a bit.
_BLOCK = 1 << 22


def solve_rows(
    weight: csr_matrix,
    columns: Float32Array,
    *,
    unobserved: float,
    regularization: float,
    exponent: float,
) -> Float32Array:
    """Return the factors that minimise each row's weighted squared error, (rows, D) float32.

    Row ``u`` minimises ``sum_i w_ui (1 - x'v_i)^2 + unobserved * sum_all (x'v_i)^2 + reg_u |x|^2``, with ``reg_u =
    regularization * (sum_i w_ui + unobserved * n)^exponent``. In the eigenbasis of the columns' Gram matrix all but the
    observed cells is diagonal, so a row of n cells takes an n x n system where n is below D, and D x D above.

    Parameters
    ----------
    weight : scipy.sparse.csr_matrix of float32, shape (rows, n + 1)
        Above 0 where observed.
    columns : ndarray of float32, shape (n + 1, D)
    unobserved, regularization, exponent : float
    """
    gram = columns.T.astype(np.float64) @ columns
    value, basis = np.linalg.eigh(gram)
    # One more, of zeros, is what short rows are filled up with.
    turned = np.zeros((len(columns) + 1, columns.shape[1]), np.float32)
    np.matmul(columns, basis.astype(np.float32), out=turned[:-1])
    spread = unobserved * np.maximum(value, 0.0)
    total = np.asarray(weight.sum(axis=1), np.float64).ravel()
    ridge = regularization * (total + unobserved * (len(columns) - 1)) ** exponent
    out = np.zeros((weight.shape[0], columns.shape[1]), np.float32)

    def step(rows: IntArray) -> None:
        out[rows] = _solve(weight, rows, turned, spread, ridge[rows])

    map_parts(step, list(row_blocks(np.diff(weight.indptr), columns.shape[1])))
    return out @ basis.T.astype(np.float32)


def row_blocks(counts: IntArray, width: int) -> Iterator[IntArray]:
    """Yield rows of about the same number of cells together; the cut does not depend on the machine."""
    some = np.flatnonzero(counts)
    order = some[np.argsort(counts[some], kind="stable")]
    start = 0
    while start < len(order):
        cells = int(counts[order[start]])
        most = _padded(cells)
        size = most * max(most, width) if cells <= width else most * width + width * width
        stop = min(start + max(_BLOCK // size, 1), len(order))
        stop = min(stop, start + int(np.searchsorted(counts[order[start:]], most, side="right")))
        yield order[start:stop]
        start = stop


def _padded(cells: int) -> int:
    """Return the cells that a row is filled up to: little waste, and few sizes."""
    step = 4 if cells <= 32 else 8 if cells <= 128 else 64
    return -(-cells // step) * step


def padded_cells(weight: csr_matrix, rows: IntArray) -> tuple[BoolArray, IntArray, Float32Array]:
    """Return the cells of some rows side by side, (b, most): which are real, their columns and weights, 0 elsewhere."""
    part = weight[rows]
    counts = np.diff(part.indptr)
    place = np.arange(counts.max()) < counts[:, None]
    column = np.zeros(place.shape, np.int64)
    strength = np.zeros(place.shape, np.float32)
    column[place], strength[place] = part.indices, part.data
    return place, column, strength


def _solve(
    weight: csr_matrix, rows: IntArray, turned: Float32Array, spread: FloatArray, ridge: FloatArray
) -> Float32Array:
    """Return the factors of some rows in the eigenbasis."""
    import torch

    place, column, strength = padded_cells(weight, rows)
    column[~place] = len(turned) - 1
    vectors = torch.from_numpy(turned.take(column, axis=0))
    diagonal = (spread + ridge[:, None]).astype(np.float32)
    if place.shape[1] < turned.shape[1]:
        return _by_cells(torch, vectors, strength, place, diagonal)
    return _by_factors(torch, vectors, strength, diagonal)


def _by_cells(
    torch: Any, vectors: Any, strength: Float32Array, place: Any, diagonal: Float32Array
) -> Float32Array:
    """Solve in the space of the cells: x = S V' (V S V' + 1/w)^-1 1, with S the inverse of the diagonal."""
    root = torch.from_numpy(1.0 / np.sqrt(diagonal))[:, None, :]
    scaled = vectors * root
    system = torch.bmm(scaled, scaled.transpose(1, 2))
    noise = np.where(place, 1.0 / np.where(place, strength, 1.0), 1.0).astype(np.float32)
    system.diagonal(dim1=1, dim2=2).add_(torch.from_numpy(noise))
    target = torch.from_numpy(place.astype(np.float32))[:, :, None]
    answer = torch.cholesky_solve(target, torch.linalg.cholesky(system))
    found: Float32Array = (torch.bmm(scaled.transpose(1, 2), answer)[:, :, 0] * root[:, 0]).numpy()
    return found


def _by_factors(torch: Any, vectors: Any, strength: Float32Array, diagonal: Float32Array) -> Float32Array:
    """Solve the normal equations, D x D."""
    root = torch.from_numpy(np.sqrt(strength))[:, :, None]
    scaled = vectors.mul_(root).transpose(1, 2)
    system = torch.bmm(scaled, scaled.transpose(1, 2))
    system.diagonal(dim1=1, dim2=2).add_(torch.from_numpy(diagonal))
    target = torch.bmm(scaled, root)
    found: Float32Array = torch.cholesky_solve(target, torch.linalg.cholesky(system))[:, :, 0].numpy()
    return found
