"""What all models of neighbours share: the table of each item's neighbours, how it is found, and how it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import counts_to_offsets, multi_arange, offsets_to_rows, rows_to_offsets
from recokit._kernels.sorting import bits_for, group_pairs, top_by_score
from recokit._utils.params import Configured, require_fitted
from recokit._utils.threads import map_parts
from recokit.candidates._shared import Duration, distinct_history
from recokit.data import Ragged, Requests, Retrieved
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Neighbors", "best_of_rows", "cost_blocks", "joined", "nearest_neighbors"]

#: Products of one block in fit: bounds its memory to a few hundred MB.
_FIT_BLOCK = 1 << 24
#: Scores that are sorted together.
_SORT_BLOCK = 1 << 20
#: Neighbours looked at in one block of requests: sort keys of small blocks fit into 32 bits and the cache.
_SERVE_BLOCK = 1 << 14


def nearest_neighbors(
    cost: AnyArray, rows_of: Callable[[int, int], csr_matrix], n_neighbors: int
) -> Retrieved:
    """Return the largest similarities above 0 of each item's row, itself left out, ties by code.

    Parameters
    ----------
    cost : ndarray of float, shape (n_codes,)
        What each row takes to compute, for blocks of about the same work.
    rows_of : callable
        From ``start, stop`` to those rows of the item-item matrix, (stop - start, n_codes). Called from several
        threads.
    n_neighbors : int
    """

    def best(part: tuple[int, int]) -> tuple[IntArray, IntArray, Float32Array]:
        start, stop = part
        similar = rows_of(start, stop)
        found = _promising(
            similar.indptr, similar.data, n_neighbors + 1
        )  # one more: itself may be among them
        row = np.searchsorted(similar.indptr, found, side="right") - 1
        other = row + start != similar.indices[found]
        row, found = row[other], found[other]
        return top_by_score(
            rows_to_offsets(row, stop - start),
            similar.data[found],
            similar.indices[found].astype(np.int64),
            n_neighbors,
        )

    return joined(map_parts(best, list(cost_blocks(cost, _FIT_BLOCK, len(cost)))))


class Neighbors(Configured):
    """Source that adds up, over the history, weight x similarity of each item's neighbours."""

    requires = ("history",)

    half_life: Duration | None
    max_history: int | None
    offsets_: IntArray
    neighbor_: IntArray
    similarity_: Float32Array
    fitted_until_: float

    def _learn(self, table: Retrieved, until: float) -> None:
        self.offsets_, self.similarity_ = table.offsets, table.score
        self.neighbor_ = table.item.astype(np.int32)
        self.fitted_until_ = until

    def _history(self, requests: Requests) -> tuple[IntArray, IntArray, FloatArray]:
        """Return offsets, distinct items and weights; items that the model does not know are left out."""
        offsets, item, weight = distinct_history(requests, half_life=self.half_life, most=self.max_history)
        inside = item < len(self.offsets_) - 1
        if inside.all():
            return offsets, item, weight
        row = offsets_to_rows(offsets)[inside]
        return rows_to_offsets(row, len(requests)), item[inside], weight[inside]

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` best neighbours of each row's history; a row without a known item has none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        require_fitted(self, "offsets_")
        offsets, item, weight = self._history(requests)
        exclude = requests.ragged.get("exclude")
        start = self.offsets_[item]
        counts = self.offsets_[item + 1] - start
        ends = counts_to_offsets(counts)[offsets]  # of each row, in neighbours

        def best(part: tuple[int, int]) -> tuple[IntArray, IntArray, Float32Array]:
            first, last = part
            here = slice(offsets[first], offsets[last])
            index = multi_arange(start[here], counts[here])
            gain = np.repeat(weight[here], counts[here]) * self.similarity_[index]
            found = self.neighbor_[index].astype(np.int64)
            pairs = group_pairs(ends[first : last + 1] - ends[first], found)
            score = pairs.sum(gain).astype(np.float32)
            left, score, found = _outside(exclude, first, last, pairs.offsets, score, found[pairs.first])
            return top_by_score(left, score, found, limit)

        blocks = list(cost_blocks(np.diff(ends), _SERVE_BLOCK, len(self.offsets_)))
        return joined(map_parts(best, blocks))

    def similar(self, items: IntArray, k: int) -> Retrieved:
        """Return the k most similar items of each given item, most similar first.

        Parameters
        ----------
        items : ndarray of int64, shape (B,)
            Item codes; an unknown item (0) has no neighbours.
        k : int
            At most ``n_neighbors`` are known.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        require_fitted(self, "offsets_")
        start = self.offsets_[items]
        counts = np.minimum(self.offsets_[items + 1] - start, k)
        index = multi_arange(start, counts)
        return Retrieved(
            counts_to_offsets(counts), self.neighbor_[index].astype(np.int64), self.similarity_[index]
        )


def _promising(offsets: IntArray, value: Float32Array, k: int) -> IntArray:
    """Return the places, ascending, of every row's k largest values above 0, and of those that equal the k-th."""
    counts, tiny = np.diff(offsets), np.finfo(np.float32).tiny
    short = multi_arange(offsets[:-1], np.where(counts > k, 0, counts))
    found = [short[value[short] >= tiny]]
    # Row by row: a partition of each is many times faster than sorting all of them.
    for row in np.flatnonzero(counts > k):
        start, stop = offsets[row], offsets[row + 1]
        values = value[start:stop]
        floor = np.partition(values, stop - start - k)[stop - start - k]
        found.append(start + np.flatnonzero(values >= max(floor, tiny)))
    return np.sort(np.concatenate(found))


def cost_blocks(cost: AnyArray, budget: int, n_codes: int) -> Iterator[tuple[int, int]]:
    """Cut rows into blocks whose cost is within the budget, or of one row.

    A block has no more rows than a packed sort key has room for beside a score (32 bits) and an item code.
    """
    most = 1 << max(31 - bits_for(n_codes), 0)
    total = np.cumsum(cost)
    start, done = 0, 0.0
    while start < len(cost):
        stop = int(np.searchsorted(total, done + budget, side="right"))
        stop = min(max(stop, start + 1), start + most)
        yield start, stop
        start, done = stop, float(total[stop - 1])


def best_of_rows(
    offsets: IntArray, score: Float32Array, item: IntArray, limit: int, n_codes: int
) -> Retrieved:
    """Return the ``limit`` best of each row, ties by code, whatever the number of rows and of codes."""
    parts = []
    for first, last in cost_blocks(np.diff(offsets), _SORT_BLOCK, n_codes):
        here = slice(offsets[first], offsets[last])
        parts.append(top_by_score(offsets[first : last + 1] - offsets[first], score[here], item[here], limit))
    return joined(parts)


def _outside(
    exclude: Ragged | None, first: int, last: int, offsets: IntArray, score: Float32Array, item: IntArray
) -> tuple[IntArray, Float32Array, IntArray]:
    """Drop from rows ``first`` to ``last`` what the requests exclude."""
    if exclude is None:
        return offsets, score, item
    out = exclude.take(np.arange(first, last))
    row = offsets_to_rows(offsets)
    kept = ~pairs_in_sets(row, item, out.offsets, out.values)
    return rows_to_offsets(row[kept], last - first), score[kept], item[kept]


def joined(parts: list[tuple[IntArray, IntArray, Float32Array]]) -> Retrieved:
    """Return the answers of consecutive rows, each offsets, items and scores, as one."""
    if len(parts) == 1:
        return Retrieved(*parts[0])
    if not parts:
        return Retrieved.empty(0)
    counts = np.concatenate([np.diff(offsets) for offsets, _, _ in parts])
    return Retrieved(
        counts_to_offsets(counts),
        np.concatenate([item for _, item, _ in parts]),
        np.concatenate([score for _, _, score in parts]),
    )
