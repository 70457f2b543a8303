"""EASE: a linear model of each item by all other items, in closed form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recokit._utils.options import Rule, above, optional, rules
from recokit.candidates._collapse import warn_if_alike
from recokit.candidates._retrieve import retrieve_scored
from recokit.candidates._weights import FromHistory
from recokit.data import Dataset, Requests, Retrieved
from recokit.errors import DataError
from recokit.typing import Float32Array, IntArray

#: Elements of the item-item matrix that one step works on: 64 MB as float32.
_BLOCK = 1 << 24
#: Rows of the matrix inverted at a time.
_INVERTED = 2048


@dataclass(eq=False, repr=False, kw_only=True)
class EASE(FromHistory):
    """Source of what the items in the history predict together, by a linear model in closed form.

    The item-item weights ``B`` minimise ``|X - X B|^2 + regularization |B|^2`` with a zero diagonal (H. Steck,
    "Embarrassingly shallow autoencoders for sparse data", WWW 2019). The model is a dense matrix: memory grows with
    the square of the items and time with their cube. Past some 50,000 items use :class:`SLIM`, its sparse
    relative.

    Parameters
    ----------
    regularization : float, default 500.0
        Above 0; the paper's optima lie between 200 and 1,000 for weights of 1.
    half_life : duration, optional
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the
        user's newest event.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.
    max_memory : float, optional
        Bytes that ``fit`` may take, 4 for each pair of items; what the machine has left by default.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    weight_ : ndarray of float32, shape (n_items + 1, n_items + 1)
        Row ``i``: what item ``i`` in the history adds to the score of each item.
    known_ : ndarray of bool, shape (n_items + 1,)
        Items with interactions; the others are never returned.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
    >>> ease = EASE(regularization=1.0).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> ease.retrieve(requests, limit=1).item.tolist()
    [1]
    """

    _OPTIONS = rules(
        regularization=above(0),
        max_memory=optional(Rule("bytes above 0", lambda value: value > 0)),
    )

    regularization: float = 500.0
    max_memory: float | None = None

    def fit(self, dataset: Dataset) -> EASE:
        """Invert the regularised item-item matrix, in its own place.

        Raises
        ------
        DataError
            If the matrix does not fit into the memory allowed.
        """
        _require_memory(dataset.n_items, self.max_memory)
        matrix = self._interaction_matrix(dataset)
        by_item = matrix.T.tocsr()
        weight = np.empty((by_item.shape[0], by_item.shape[0]), np.float32)
        for rows in _row_blocks(len(weight)):
            (by_item[rows] @ matrix).toarray(out=weight[rows])
        weight.flat[:: len(weight) + 1] += np.float32(self.regularization)
        _invert(weight)
        diagonal = weight.diagonal().copy()
        for rows in _row_blocks(len(weight)):
            weight[rows] /= -diagonal
        np.fill_diagonal(weight, 0.0)
        self.weight_, self.known_ = weight, np.diff(by_item.indptr) > 0
        self.fitted_until_ = dataset.until
        warn_if_alike(self, matrix, "a smaller regularization")
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items of the highest score; a row without a known item in its history has none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        n_codes = len(self.weight_)
        history = self._history_matrix(requests, n_codes)

        def score(rows: IntArray) -> Float32Array:
            return np.asarray(history[rows] @ self.weight_)

        return retrieve_scored(
            requests, limit, n_codes, score, known=history @ self.known_ > 0, usable=self.known_
        )


def _row_blocks(n: int) -> Iterator[slice]:
    step = max(_BLOCK // n, 1)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def _invert(matrix: Float32Array, block: int = _INVERTED) -> None:
    """Replace a symmetric positive definite matrix by its inverse, with room for one block of columns beside it.

    One block of rows after the other is swept: with ``P`` the inverse of its diagonal block and ``C`` its columns, the
    rest becomes ``A - C P C'`` and the columns become ``C P``; when all are swept the matrix is minus its inverse. All
    stays symmetric, so only the blocks from the diagonal on are kept up, by plain matrix products: LAPACK's own inverse
    has been seen to crash at 41,000 rows.
    """
    n = len(matrix)
    blocks = [slice(start, min(start + block, n)) for start in range(0, n, block)]
    room = np.empty((min(block, n), n), np.float32)
    for here in blocks:
        columns = np.concatenate([matrix[: here.start, here], matrix[here, here.start :].T])
        pivot = _inverse_block(matrix[here, here])
        swept = columns @ pivot
        for rows in blocks:
            if rows != here:
                part = np.matmul(
                    swept[rows], columns[rows.start :].T, out=room[: len(swept[rows]), rows.start :]
                )
                matrix[rows, rows.start :] -= part
        matrix[: here.start, here] = swept[: here.start]
        matrix[here, here.stop :] = swept[here.stop :].T
        matrix[here, here] = -pivot
    for rows in blocks:
        part = matrix[rows, rows]
        part[...] = np.triu(part) + np.triu(part, 1).T
        matrix[rows.stop :, rows] = matrix[rows, rows.stop :].T
    np.negative(matrix, out=matrix)


def _inverse_block(block: Float32Array) -> Float32Array:
    from scipy.linalg import cho_factor, cho_solve

    try:
        factor = cho_factor(block.astype(np.float64))
    except np.linalg.LinAlgError as error:
        raise DataError(
            "found an item-item matrix that is singular in float32; expected it positive definite; "
            "hint: raise regularization, it must stand out against the largest summed weight of an item"
        ) from error
    return np.asarray(cho_solve(factor, np.eye(len(block)))).astype(np.float32)


def _require_memory(n_items: int, allowed: float | None) -> None:
    needed = 4.0 * (n_items + 1) ** 2
    limit = _free_memory() if allowed is None else allowed
    if needed > limit:
        raise DataError(
            f"found {n_items:,} items, whose matrix takes {needed / 1e9:,.1f} GB; expected at most "
            f"{limit / 1e9:,.1f} GB; hint: candidates.SLIM keeps only each item's neighbours, or take fewer items"
        )


def _free_memory() -> float:
    """Return the bytes that are left, infinity where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return 1024.0 * float(fields["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        pass
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return np.inf
