"""SLIM: a sparse linear model of each item by the items most like it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._ops.packed import top_by_score
from recokit._ops.segments import offsets_to_rows, rows_to_offsets
from recokit._ops.threads import map_parts
from recokit.candidates._neighbors import Neighbors
from recokit.candidates._shared import Duration, check_duration, interaction_matrix
from recokit.candidates.item_knn import ItemKNN
from recokit.data import Dataset, Retrieved
from recokit.errors import ConfigurationError
from recokit.typing import Float32Array, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["SLIM"]

#: Elements of the systems solved in one step.
_BLOCK = 1 << 22


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
        Half-life of an event's weight: in ``fit`` as of the end of the data, in ``retrieve`` as of the request.
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

    def __init__(
        self,
        *,
        n_neighbors: int = 100,
        regularization: float = 50.0,
        half_life: Duration | None = None,
        max_history: int | None = None,
    ) -> None:
        if n_neighbors < 1:
            raise ConfigurationError(f"found n_neighbors={n_neighbors}; expected at least 1")
        if not 0 < regularization < np.inf:
            raise ConfigurationError(f"found regularization={regularization}; expected a number above 0")
        if max_history is not None and max_history < 1:
            raise ConfigurationError(f"found max_history={max_history}; expected at least 1")
        check_duration("half_life", half_life)
        self.n_neighbors, self.regularization = n_neighbors, regularization
        self.half_life, self.max_history = half_life, max_history

    def fit(self, dataset: Dataset) -> SLIM:
        """Find each item's neighbours, and regress it on them."""
        options = {"half_life": self.half_life, "max_history": self.max_history}
        near = ItemKNN(n_neighbors=self.n_neighbors, **options).fit(dataset)  # type: ignore[arg-type]
        matrix = interaction_matrix(dataset, half_life=self.half_life, max_history=self.max_history)
        gram = (matrix.T.tocsr() @ matrix).tocsr()
        gram.sort_indices()
        weight = np.concatenate(
            [
                np.zeros(0, np.float32),
                *map_parts(lambda items: self._regressed(gram, near, items), list(_blocks(near.offsets_))),
            ]
        )
        self._learn(_turned(near, weight), dataset.until)
        return self

    def _regressed(self, gram: csr_matrix, near: ItemKNN, items: slice) -> Float32Array:
        """Return the weights of each item's neighbours, in the order of the table."""
        import torch

        offsets = near.offsets_[items.start : items.stop + 1]
        counts = np.diff(offsets)
        place = np.arange(max(counts.max(), 1)) < counts[:, None]
        columns = np.zeros(place.shape, np.int64)
        columns[place] = near.neighbor_[offsets[0] : offsets[-1]]
        system = np.zeros((*place.shape, place.shape[1]), np.float32)
        target = np.zeros(place.shape, np.float32)
        for row in np.flatnonzero(counts):  # a slice of the sparse matrix each
            mine = columns[row, : counts[row]]
            system[row, : counts[row], : counts[row]] = gram[mine][:, mine].toarray()
            target[row, : counts[row]] = gram[items.start + row, mine].toarray()
        diagonal = np.arange(place.shape[1])
        system[:, diagonal, diagonal] += np.float32(self.regularization)
        factor: Any = torch.linalg.cholesky(torch.from_numpy(system))
        found = torch.cholesky_solve(torch.from_numpy(target)[:, :, None], factor)[:, :, 0].numpy()
        return np.asarray(found[place], np.float32)


def _blocks(offsets: IntArray) -> Iterator[slice]:
    """Cut the items into blocks whose systems fit the budget."""
    widest = int(np.diff(offsets).max(initial=1)) or 1
    step = max(_BLOCK // (widest * widest), 1)
    n = len(offsets) - 1
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def _turned(near: ItemKNN, weight: Float32Array) -> Retrieved:
    """Return, for each item of a history, what it adds to others: the table of regressions, transposed."""
    of = offsets_to_rows(near.offsets_)
    kept = np.flatnonzero(weight > 0)
    source, item, weight = near.neighbor_[kept].astype(np.int64), of[kept], weight[kept]
    order = np.argsort(source, kind="stable")
    offsets = rows_to_offsets(source[order], len(near.offsets_) - 1)
    return Retrieved(
        *top_by_score(offsets, weight[order], item[order], max(int(np.diff(offsets).max(initial=1)), 1))
    )
