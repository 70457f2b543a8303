"""Similarity: how near an item's embedding lies to those of the user's history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recokit._utils.options import check_options, whole
from recokit.errors import ConfigurationError
from recokit.features._block import Block, Context
from recokit.typing import AnyArray, Float32Array


class Similarity(Block):
    """Cosine of the item's embedding with the items that the user had before.

    Features, for the default name: ``vector_to_history`` (with the mean of the normalised embeddings of the last items)
    and ``vector_to_last`` (with the last item's). 0 for items without an embedding, NaN without a history.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items + 1, d)
        Embeddings by item code; a row of zeros is none.
    name : str, default "vector"
        What the features' names start with.
    max_history : int, default 20
        The most recent items that make the mean.

    Raises
    ------
    ConfigurationError
        If the vectors are no finite matrix, or ``max_history`` is below 1.

    Examples
    --------
    >>> from recokit.data import Candidates, Ragged, Requests
    >>> history = Ragged.from_lists([[1, 2]])
    >>> requests = Requests.build([1], ragged={"history": history})
    >>> block = Similarity(np.array([[0, 0], [1, 0], [0, 2], [3, 0]], np.float32))
    >>> block.featurize(Candidates.from_lists([[3]], requests=requests)).astype(float).round(3).tolist()
    [[0.707, 0.0]]
    """

    family = "similarity"
    requires = ("history",)

    def __init__(self, vectors: Float32Array, *, name: str = "vector", max_history: int = 20) -> None:
        vectors = np.asarray(vectors)
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ConfigurationError(
                f"found vectors of shape {vectors.shape}; expected finite ones by item code, (n_items + 1, d)"
            )
        self.vectors, self.name, self.max_history = vectors, name, max_history
        check_options(self, {"max_history": whole(1)})
        norm = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._unit = (vectors / np.where(norm > 0, norm, 1.0)).astype(np.float32)
        self.meanings = {
            f"{name}_to_history": f"cosine with the mean of the last {max_history} items of the user",
            f"{name}_to_last": "cosine with the user's last item",
        }
        self.names = tuple(self.meanings)

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        candidates = context.candidates
        history = candidates.requests.signals()
        recent = history.last(self.max_history)
        mean = np.zeros((len(history), self._unit.shape[1]), np.float32)
        np.add.at(mean, recent.rows, self._unit[recent.values])
        norm = np.linalg.norm(mean, axis=1, keepdims=True)
        mean /= np.where(norm > 0, norm, 1.0)
        last = np.zeros_like(mean)
        filled = np.flatnonzero(history.counts)
        last[filled] = self._unit[history.values[history.offsets[1:][filled] - 1]]
        empty = history.counts[candidates.row] == 0
        cosine = np.empty((2, len(candidates)), np.float32)
        for place, profile in enumerate((mean, last)):
            cosine[place] = np.einsum("nd,nd->n", profile[candidates.row], self._unit[candidates.item])
        cosine[:, empty] = np.nan
        return cosine
