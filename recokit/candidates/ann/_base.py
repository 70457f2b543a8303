"""Base of an AnnIndex: vectors, an index of them by FAISS, and searches among some of the positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recokit._kernels.top_k import top_k_products
from recokit.candidates.ann import _faiss
from recokit.typing import BoolArray, Float32Array, IntArray

#: Numbers of vectors gathered at once: 64 MB.
_BLOCK = 1 << 24
#: So few visible vectors are scanned, whatever the index: no more than about 3 ms of one core at 64 dimensions.
_SCANNED = 1 << 15
#: Codes are re-ranked among so many times as many, and at least so many more.
_RERANKED, _RERANKED_MORE = 4, 100
#: Any n_probe suits lists up to this length.
_USUAL = 100


@dataclass(frozen=True, eq=False)
class Visible:
    """The positions of a base that a search may return.

    Parameters
    ----------
    mask : ndarray of bool, shape (n,), optional
        None for all.
    position : ndarray of int64, optional
        The same in ascending order, where they are few.
    count : int
        How many.
    """

    mask: BoolArray | None
    position: IntArray | None
    count: int

    @classmethod
    def of(cls, mask: BoolArray) -> Visible:
        """Return the marked positions, listed too if a scan of them is fast."""
        count = int(np.count_nonzero(mask))
        if count == len(mask):
            return cls(None, None, count)
        return cls(mask, np.flatnonzero(mask) if count <= _SCANNED else None, count)


@dataclass(frozen=True, eq=False)
class Base:
    """Vectors of some items, and an index of them.

    Parameters
    ----------
    codes : ndarray of int64, shape (n,), optional
        Item codes, ascending; None for 1 to n.
    vectors : ndarray of float32, shape (n, D)
        C-contiguous, scaled as the metric wants them.
    kind : {"exact", "ivf", "pq", "hnsw"}
    index : faiss.Index or None
        None for ``"exact"``, which scans the vectors themselves.
    """

    codes: IntArray | None
    vectors: Float32Array
    kind: str
    index: Any

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def max_probe(self) -> int:
        """The largest useful number of lists, or width of the walk; 0 where the vectors are scanned."""
        return 0 if self.index is None else _faiss.max_probe(self.index)

    @property
    def all_codes(self) -> IntArray:
        """Item code of each position, (n,) int64."""
        return np.arange(1, len(self) + 1) if self.codes is None else self.codes

    def code_of(self, position: IntArray) -> IntArray:
        """Return item codes, 0 for position -1."""
        if self.codes is None or not len(self.codes):
            return position + 1
        return np.where(position < 0, 0, self.codes[position])

    def position_of(self, codes: IntArray) -> IntArray:
        """Return positions, -1 for items that are not here."""
        if self.codes is None:
            return np.where((codes > 0) & (codes <= len(self)), codes - 1, -1)
        if not len(self.codes):
            return np.full(len(codes), -1, np.int64)
        place = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[place] == codes, place, -1)

    def select(self, allowed: BoolArray) -> BoolArray:
        """Return a mask by item code as one by position."""
        return allowed[1 : len(self) + 1] if self.codes is None else allowed[self.codes]

    def search(
        self, queries: Float32Array, k: int, n_probe: int, visible: Visible, *, usual: int
    ) -> tuple[IntArray, Float32Array]:
        """Return positions (-1 where there are no more) and scores, (B, up to k), best first.

        ``n_probe`` suits lists of ``usual`` items out of all: longer ones, and those of a part of the items, look at
        more in proportion. A search that sees few vectors, or wants nearly all that it sees, is a scan of those: an
        index that had to step over the others would come back short.
        """
        k = min(k, visible.count)
        if self.index is None or visible.position is not None or 2 * k >= visible.count:
            return scan(self.vectors, queries, k, visible)
        share = max(1.0, k / max(usual, _USUAL)) * len(self) / visible.count
        probe = min(int(np.ceil(n_probe * share)), self.max_probe)
        chosen = None if visible.mask is None else _faiss.selector(visible.mask)
        if self.kind != "pq":
            return _faiss.search(self.index, queries, k, probe, chosen=chosen)
        wanted = min(_RERANKED * k + _RERANKED_MORE, visible.count)
        position, _ = _faiss.search(self.index, queries, wanted, probe, chosen=chosen)
        return self._rerank(queries, position, k)

    def _rerank(self, queries: Float32Array, position: IntArray, k: int) -> tuple[IntArray, Float32Array]:
        """Order positions by the vectors themselves, and keep the k best."""
        item = np.full((len(queries), k), -1, np.int64)
        score = np.full((len(queries), k), -np.inf, np.float32)
        step = max(1, _BLOCK // max(position.shape[1] * self.vectors.shape[1], 1))
        for start in range(0, len(queries), step):
            rows = slice(start, start + step)
            # Ascending: memory is read in order, and ties come in the order of codes.
            near = np.sort(position[rows], axis=1)
            exact = np.matmul(self.vectors[np.maximum(near, 0)], queries[rows, :, None])[:, :, 0]
            exact[near < 0] = -np.inf
            best = np.argsort(-exact, axis=1, kind="stable")[:, :k]
            score[rows] = np.take_along_axis(exact, best, axis=1)
            item[rows] = np.where(score[rows] > -np.inf, np.take_along_axis(near, best, axis=1), -1)
        return item, score


def scan(
    vectors: Float32Array, queries: Float32Array, k: int, visible: Visible
) -> tuple[IntArray, Float32Array]:
    """Compare all visible vectors: positions (-1 where there are no more) and scores, (B, k), ties by position."""
    listed, mask = visible.position, visible.mask
    if listed is not None:
        vectors, mask = vectors[listed], None
    position, score = _padded(*top_k_products(queries, vectors, k, usable=mask), k)
    return position if listed is None else np.append(listed, -1)[position], score


def _padded(
    offsets: IntArray, column: IntArray, score: Float32Array, k: int
) -> tuple[IntArray, Float32Array]:
    real = np.arange(k) < np.diff(offsets)[:, None]
    item = np.full(real.shape, -1, np.int64)
    value = np.full(real.shape, -np.inf, np.float32)
    item[real], value[real] = column, score
    return item, value
