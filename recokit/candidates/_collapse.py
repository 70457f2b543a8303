"""Whether a fitted source tells users apart at all, and whether factors converged."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit.data import Ragged, Requests
from recokit.errors import FitWarning
from recokit.typing import Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Users that are asked for, so many at a time that their scores take little memory, and places of each list.
_USERS, _AT_A_TIME, _PLACES = 200, 20, 10
#: With fewer items most lists have most items; with fewer users lists may be alike by chance.
_FEWEST_ITEMS, _FEWEST_USERS = 100, 50
#: Users whose lists share so much are not told apart. In sound fits on the development data it is at most .5.
_ALIKE = 0.8
#: Factors that are looked at, and the part of one that may be left when the matrix is applied once more. Sound
#: fits leave at most .4 of the last one.
_FACTORS, _RESIDUAL = 8, 0.7


def warn_if_alike(source: Any, matrix: csr_matrix, hint: str) -> None:
    """Warn if a fitted source gives everybody the same list, as popularity does.

    Parameters
    ----------
    source : Source
        Answers from the list ``history`` of requests.
    matrix : scipy.sparse.csr_matrix of float32, shape (n_users + 1, n_items + 1)
        What it learned from.
    hint : str
        What to change.
    """
    users = np.flatnonzero(np.diff(matrix.indptr))
    if len(np.unique(matrix.indices)) < _FEWEST_ITEMS or len(users) < _FEWEST_USERS:
        return
    users = users[np.unique(np.linspace(0, len(users) - 1, _USERS).astype(np.int64))]
    part = matrix[users]
    history = Ragged(part.indptr.astype(np.int64), part.indices.astype(np.int64), {"weight": part.data})
    requests = Requests.build(users, ragged={"history": history})
    rows = np.array_split(np.arange(len(users)), np.arange(_AT_A_TIME, len(users), _AT_A_TIME))
    items = [source.retrieve(requests.take(some), _PLACES).item for some in rows]
    alike = _shared(np.concatenate(items), len(users))
    if alike >= _ALIKE:
        warnings.warn(
            f"found {type(source).__name__} with nearly one list for everybody, as popularity has: two of "
            f"{len(users)} users share {alike:.0%} of their first {_PLACES} items; expected lists that differ; "
            f"hint: {hint}",
            FitWarning,
            stacklevel=3,
        )


def _shared(items: IntArray, n_lists: int) -> float:
    """Return the share of a list's items that another of the lists has, in the mean of all pairs of lists."""
    times = np.bincount(items).astype(np.float64)
    return float((times * (times - 1)).sum() / (max(n_lists - 1, 1) * max(len(items), 1)))


def warn_if_rough(name: str, matrix: csr_matrix, vectors: Float32Array, values: FloatArray) -> None:
    """Warn if some leading right singular vectors of a matrix are none: the iteration ended too early.

    Parameters
    ----------
    name : str
        Of the source.
    matrix : scipy.sparse.csr_matrix of float32, shape (m, n)
    vectors : ndarray of float32, shape (n, D)
    values : ndarray of float64, shape (D,)
        Singular values, largest first.
    """
    real = np.flatnonzero(values > 1e-3 * values.max(initial=0.0))
    if not len(real):
        return
    some = real[np.unique(np.linspace(0, len(real) - 1, _FACTORS).astype(np.int64))]
    applied = np.asarray(matrix.T @ (matrix @ vectors[:, some]))
    left = np.linalg.norm(applied - vectors[:, some] * values[some] ** 2, axis=0) / values[some] ** 2
    if left.max() > _RESIDUAL:
        warnings.warn(
            f"found the spectrum of {name} not converged: {left.max():.0%} of factor {some[left.argmax()] + 1} of "
            f"{len(values)} is none of the matrix's; expected at most {_RESIDUAL:.0%}; hint: fewer n_factors",
            FitWarning,
            stacklevel=3,
        )
