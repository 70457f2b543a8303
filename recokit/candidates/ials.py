"""IALS: matrix factorisation for implicit feedback, by alternating least squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._kernels.als import Descent
from recokit._utils.options import above, finite, optional, rules, whole
from recokit._utils.params import is_fitted
from recokit._utils.threads import map_parts
from recokit.candidates._collapse import warn_if_alike
from recokit.candidates._retrieve import cost_blocks, retrieve_nearest, similar_directions
from recokit.candidates._weights import FromHistory
from recokit.data import Dataset, Requests, Retrieved
from recokit.errors import VocabularyMismatch
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Elements of the batched systems of one step: some 16 MB as float32, one thread's share of the cache and a bit.
_BLOCK = 1 << 22
#: What all pairs of a user that did not happen weigh, beside one that did: so much, or so much for each item of the
#: mean user. Where users have hundreds and all else weighs less than those, every score is near 1 and tells nothing.
_UNOBSERVED, _FOR_EACH = 100.0, 4.0
#: Steps of a half sweep, and cells of rows that take them together.
_STEPS, _CELLS = 3, 1 << 16


@dataclass(eq=False, repr=False)
class IALS(FromHistory):
    """Source by factors of users and items that explain what was taken, with all the rest as weak evidence against.

    The loss is that of Y. Hu, Y. Koren and C. Volinsky ("Collaborative filtering for implicit feedback datasets", ICDM
    2008) with regularisation scaled by frequency, as S. Rendle et al. found to matter ("Revisiting the performance of
    iALS on item recommendation benchmarks", RecSys 2022). A user's factors are not stored: they are the exact optimum
    for the history of the request, so a user unknown at ``fit`` gets what one with that history gets.

    Parameters
    ----------
    n_factors : int, default 64
    unobserved_weight : float, optional
        Weight of a pair that did not happen, beside the weight of the events of one that did. By default the mean
        weight of a pair that did, times 100, or 4 for each item of the mean user if that is more, over the number of
        items with any: the more items there are, the less one tells that was not taken.
    regularization : float, default 0.02
        Above 0.
    frequency_exponent : float, default 1.0
        A row's regularisation is multiplied by (its weights + unobserved_weight x columns) to this power.
    n_iterations : int, default 15
        Sweeps over users and items.
    half_life : duration, optional
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the
        user's newest event.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.
    seed : int, default 0
        Of the first item factors.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    item_factors_ : ndarray of float32, shape (n_items + 1, n_factors)
        By item code; zeros for items without interactions, which are never returned.
    unobserved_weight_ : float
        As given, or from the data.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
    >>> als = IALS(n_factors=2).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> sorted(als.retrieve(requests, limit=2).item.tolist())
    [1, 2]
    """

    _OPTIONS = rules(
        **dict.fromkeys(("n_factors", "n_iterations"), whole(1)),
        unobserved_weight=optional(above(0)),
        regularization=above(0),
        frequency_exponent=finite(),
    )

    n_factors: int = 64
    _: KW_ONLY
    unobserved_weight: float | None = None
    regularization: float = 0.02
    frequency_exponent: float = 1.0
    n_iterations: int = 15
    seed: int = 0

    def fit(self, dataset: Dataset) -> IALS:
        """Alternate from random item factors."""
        return self._fit(dataset, np.zeros((0, self.n_factors), np.float32), self.n_iterations)

    def partial_fit(self, dataset: Dataset, n_iterations: int = 3) -> IALS:
        """Alternate on from the factors there are: a refit for new data in a fraction of the time.

        Parameters
        ----------
        dataset : Dataset
            All data, the old and the new; items of the last one first, in their order. An unfitted model starts anew.
        n_iterations : int, default 3
            Sweeps.

        Raises
        ------
        VocabularyMismatch
            If there are fewer items than before.
        """
        if not is_fitted(self, "item_factors_"):
            return self.fit(dataset)
        if dataset.n_items + 1 < len(self.item_factors_):
            raise VocabularyMismatch(
                f"found {dataset.n_items} items; expected at least the {len(self.item_factors_) - 1} of the last fit"
            )
        return self._fit(dataset, self.item_factors_, n_iterations)

    def _fit(self, dataset: Dataset, known: Float32Array, n_iterations: int) -> IALS:
        by_user = self._interaction_matrix(dataset)
        by_item = by_user.T.tocsr()
        self.unobserved_weight_ = self.unobserved_weight or _unobserved(by_user)
        shape = (by_item.shape[0], self.n_factors)
        random = np.random.default_rng(self.seed)
        scale = 0.1 / np.sqrt(self.n_factors)
        items = (random.standard_normal(shape, np.float32) * scale).astype(np.float32)
        old = np.flatnonzero(known.any(axis=1))
        items[old] = known[old]
        items[np.diff(by_item.indptr) == 0] = 0.0
        users = np.zeros((by_user.shape[0], self.n_factors), np.float32)
        for _ in range(n_iterations):
            users = self._descended(by_user, items, users)
            items = self._descended(by_item, users, items)
        self.item_factors_, self.fitted_until_ = items, dataset.until
        warn_if_alike(self, by_user, "a smaller regularization or frequency_exponent, or more factors")
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items of the highest score; a row without a known item in its history has none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        items = self.item_factors_
        usable = np.asarray(items.any(axis=1))
        users, known = self._folded(requests)
        return retrieve_nearest(requests, limit, users, items, known=known, usable=usable)

    def user_factors(self, requests: Requests) -> Float32Array:
        """Return the factors of each row's history, (B, n_factors) float32; zeros without a known item.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        return self._folded(requests)[0]

    def similar(self, items: IntArray, k: int) -> Retrieved:
        """Return the k items of the closest direction to each item's, itself left out.

        Parameters
        ----------
        items : ndarray of int64, shape (B,)
            Item codes; an unknown item (0) has none, nor has one without interactions.
        k : int

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        return similar_directions(self.item_factors_, np.asarray(items, np.int64), k)

    def _folded(self, requests: Requests) -> tuple[Float32Array, BoolArray]:
        history = self._history_matrix(requests, len(self.item_factors_))
        history.eliminate_zeros()
        usable = np.asarray(self.item_factors_.any(axis=1))
        return self._solve(history, self.item_factors_), np.asarray(history @ usable > 0)

    def _descended(self, weight: csr_matrix, columns: Float32Array, rows: Float32Array) -> Float32Array:
        """Return the factors of rows a few steps nearer to their optimum."""
        basis = Eigenbasis(columns)
        ridge = ridges(weight, self.unobserved_weight_, self.regularization, self.frequency_exponent)
        descent = Descent(weight, basis.turned, spread=self.unobserved_weight_ * basis.value, ridge=ridge)
        start = rows @ basis.vectors
        blocks = [slice(*block) for block in cost_blocks(np.diff(weight.indptr) + 1, _CELLS, len(rows))]
        parts = map_parts(lambda block: descent.moved(start, _STEPS, block), blocks)
        return np.asarray(np.concatenate(parts) @ basis.vectors.T)

    def _solve(self, weight: csr_matrix, columns: Float32Array) -> Float32Array:
        return solve_rows(
            weight,
            columns,
            unobserved=self.unobserved_weight_,
            regularization=self.regularization,
            exponent=self.frequency_exponent,
        )


def _unobserved(weight: csr_matrix) -> float:
    """Return the weight of a pair that did not happen, from those that did."""
    n_items = len(np.unique(weight.indices))
    if not n_items:
        return 1.0
    items_of_user = float(weight.nnz / np.count_nonzero(np.diff(weight.indptr)))
    return max(_UNOBSERVED, _FOR_EACH * items_of_user) * float(weight.data.mean()) / n_items


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
    basis = Eigenbasis(columns)
    # One more, of zeros, is what short rows are filled up with.
    turned = np.concatenate([basis.turned, np.zeros((1, columns.shape[1]), np.float32)])
    spread = unobserved * basis.value
    ridge = ridges(weight, unobserved, regularization, exponent)
    out = np.zeros((weight.shape[0], columns.shape[1]), np.float32)

    def step(rows: IntArray) -> None:
        out[rows] = _solve(weight, rows, turned, spread, ridge[rows])

    map_parts(step, list(row_blocks(np.diff(weight.indptr), columns.shape[1])))
    return np.asarray(out @ basis.vectors.T)


class Eigenbasis:
    """Columns (n, D) in the basis in which their Gram matrix is diagonal."""

    def __init__(self, columns: Float32Array) -> None:
        value, vectors = np.linalg.eigh(columns.T.astype(np.float64) @ columns)
        self.value: FloatArray = np.maximum(value, 0.0)
        self.vectors: Float32Array = vectors.astype(np.float32)
        self.turned: Float32Array = columns @ self.vectors


def ridges(weight: csr_matrix, unobserved: float, regularization: float, exponent: float) -> FloatArray:
    """Return the regularisation of each row, (rows,) float64."""
    total = np.asarray(weight.sum(axis=1), np.float64).ravel()
    ridge: FloatArray = regularization * (total + unobserved * (weight.shape[1] - 1)) ** exponent
    return ridge


def row_blocks(counts: IntArray, width: int) -> Iterator[IntArray]:
    """Yield rows of about the same number of cells together; the cut does not depend on the machine."""
    some = np.flatnonzero(counts)
    order = some[np.argsort(counts[some], kind="stable")]
    start = 0
    while start < len(order):
        cells = int(counts[order[start]])
        padded = _padded(cells)
        size = padded * max(padded, width) if cells <= width else padded * width + width * width
        stop = min(start + max(_BLOCK // size, 1), len(order))
        stop = min(stop, start + int(np.searchsorted(counts[order[start:]], padded, side="right")))
        yield order[start:stop]
        start = stop


def _padded(cells: int) -> int:
    """Return the cells that a row is filled up to: little waste, and few sizes."""
    step = 4 if cells <= 32 else 8 if cells <= 128 else 64
    return -(-cells // step) * step


def padded_cells(weight: csr_matrix, rows: IntArray) -> tuple[BoolArray, IntArray, Float32Array]:
    """Return the cells of some rows side by side, (b, W): which are real, their columns and weights, 0 elsewhere."""
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
    factors: Float32Array = (torch.bmm(scaled.transpose(1, 2), answer)[:, :, 0] * root[:, 0]).numpy()
    return factors


def _by_factors(torch: Any, vectors: Any, strength: Float32Array, diagonal: Float32Array) -> Float32Array:
    """Solve the normal equations, D x D."""
    root = torch.from_numpy(np.sqrt(strength))[:, :, None]
    scaled = vectors.mul_(root).transpose(1, 2)
    system = torch.bmm(scaled, scaled.transpose(1, 2))
    system.diagonal(dim1=1, dim2=2).add_(torch.from_numpy(diagonal))
    target = torch.bmm(scaled, root)
    factors: Float32Array = torch.cholesky_solve(target, torch.linalg.cholesky(system))[:, :, 0].numpy()
    return factors
