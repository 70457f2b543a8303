"""SLIM: a sparse linear model of each item by the items most like it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._kernels.segments import offsets_to_rows, rows_to_offsets, segment_sum
from recokit._kernels.sorting import group_pairs
from recokit._utils.options import above, rules
from recokit._utils.threads import map_parts
from recokit.candidates._neighbors import Neighbors
from recokit.candidates._retrieve import best_of_rows, cost_blocks
from recokit.candidates.item_knn import ItemKNN
from recokit.data import Dataset, Retrieved
from recokit.typing import Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Cells of the matrix and elements of the systems in one step, of each thread.
_BLOCK = 1 << 21


@dataclass(eq=False, repr=False, kw_only=True)
class SLIM(Neighbors):
    """Source of what the items in the history predict together, each item by those most like it alone.

    The sparse linear methods of X. Ning and G. Karypis (ICDM 2011) learn few weights for each item. Here the few are
    chosen first, the item's nearest neighbours by cosine (their fsSLIM), and their weights are then the exact ridge
    regression on them: a local :class:`EASE`, whose memory grows with the items and not with their square. Weights
    below 0 are dropped, as in SLIM.

    Parameters
    ----------
    n_neighbors : int, default 100
        Items that each item is regressed on.
    regularization : float, default 50.0
        Above 0.
    half_life : duration, optional
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the
        user's newest event.
    max_history : int, optional
        Only this many of the most recent events of each user count, in ``fit`` and ``retrieve``; all by default.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Attributes
    ----------
    offsets_ : ndarray of int64, shape (n_items + 2,)
    neighbor_ : ndarray of int32
    similarity_ : ndarray of float32
        As those of :class:`ItemKNN`: what an item of the history adds to the score of others.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged, Requests
    >>> data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
    >>> slim = SLIM(regularization=1.0).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> slim.retrieve(requests, limit=10).item.tolist()
    [1]
    """

    _OPTIONS = rules(regularization=above(0))

    regularization: float = 50.0

    def fit(self, dataset: Dataset) -> SLIM:
        """Find each item's neighbours, and regress it on them."""
        near = ItemKNN(
            n_neighbors=self.n_neighbors, half_life=self.half_life, max_history=self.max_history
        ).fit(dataset)
        by_item = self._interaction_matrix(dataset).T.tocsr()
        blocks = [slice(*block) for block in cost_blocks(_work(near, by_item), _BLOCK, by_item.shape[0])]
        weight = np.concatenate(map_parts(lambda items: self._regressed(by_item, near, items), blocks))
        self._keep(_turned(near, weight), dataset.until)
        return self

    def _regressed(self, by_item: csr_matrix, near: ItemKNN, items: slice) -> Float32Array:
        """Return the weights of each item's neighbours, in the order of the table."""
        import torch

        offsets = near.offsets_[items.start : items.stop + 1]
        counts = np.diff(offsets)
        place = np.arange(max(counts.max(), 1)) < counts[:, None]
        columns = np.zeros((len(place), place.shape[1] + 1), np.int64)
        columns[:, :-1][place] = near.neighbor_[offsets[0] : offsets[-1]]
        columns[:, -1] = np.arange(items.start, items.stop)
        gram = _local_grams(by_item, columns)
        system, target = gram[:, :-1, :-1].copy(), gram[:, :-1, -1:].copy()
        diagonal = np.arange(place.shape[1])
        system[:, diagonal, diagonal] += np.float32(self.regularization)
        factor: Any = torch.linalg.cholesky(torch.from_numpy(system))
        weight = torch.cholesky_solve(torch.from_numpy(target), factor)[:, :, 0].numpy()
        return np.asarray(weight[place], np.float32)


def _local_grams(by_item: csr_matrix, columns: IntArray) -> Float32Array:
    """Return the products of each row's items with one another, (b, k, k), from their codes (b, k).

    One sparse product does for all rows: each row's users get columns of their own, so no two rows meet in it.
    """
    from scipy.sparse import csr_matrix

    n_rows, width = columns.shape
    part = by_item[columns.ravel()]
    own = group_pairs(part.indptr[::width].astype(np.int64), part.indices.astype(np.int64))
    starts = np.append(own.starts, len(own.order))
    column = np.empty(len(own.order), np.int64)
    column[own.order] = offsets_to_rows(starts)
    shape = (n_rows * width, len(own.starts))
    apart = csr_matrix((part.data, column, part.indptr), shape=shape)
    turned = csr_matrix(
        (part.data[own.order], offsets_to_rows(part.indptr)[own.order], starts), shape=shape[::-1]
    )
    product = (apart @ turned).tocoo()
    grams = np.zeros((n_rows, width, width), np.float32)
    grams[product.row // width, product.row % width, product.col % width] = product.data
    return grams


def _work(near: ItemKNN, by_item: csr_matrix) -> FloatArray:
    """Return what each item's regression takes to gather and to solve."""
    degree, rows = np.diff(by_item.indptr), offsets_to_rows(near.offsets_)
    gathered = segment_sum(degree[near.neighbor_], rows, len(degree)) + degree
    return np.asarray(gathered + float(np.diff(near.offsets_).max(initial=1)) ** 2)


def _turned(near: ItemKNN, weight: Float32Array) -> Retrieved:
    """Return, for each item of a history, what it adds to others: the table of regressions, transposed."""
    of = offsets_to_rows(near.offsets_)
    kept = np.flatnonzero(weight > 0)
    source, item, weight = near.neighbor_[kept].astype(np.int64), of[kept], weight[kept]
    order = np.argsort(source, kind="stable")
    offsets = rows_to_offsets(source[order], len(near.offsets_) - 1)
    return best_of_rows(offsets, weight[order], item[order], len(weight), n_codes=len(offsets))
