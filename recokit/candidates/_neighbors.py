"""Models of neighbours: the table of each item's neighbours, how it is computed, and how it serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import counts_to_offsets, multi_arange, offsets_to_rows, rows_to_offsets
from recokit._kernels.sorting import group_pairs, top_by_score
from recokit._utils.options import rules, whole
from recokit._utils.params import require_fitted
from recokit._utils.threads import map_parts
from recokit.candidates._retrieve import cost_blocks, joined
from recokit.candidates._weights import FromHistory
from recokit.data import Ragged, Requests, Retrieved
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Products of one block in fit: bounds its memory to a few hundred MB.
_FIT_BLOCK = 1 << 24
#: Neighbours looked at in one block of requests: sort keys of small blocks fit into 32 bits and the cache.
_SERVE_BLOCK = 1 << 14


def _nearest(cost: AnyArray, rows_of: Callable[[int, int], csr_matrix], n_neighbors: int) -> Retrieved:
    """Return the largest similarities above 0 of each item's row, itself left out, ties by code."""

    def best(part: tuple[int, int]) -> tuple[IntArray, IntArray, Float32Array]:
        start, stop = part
        similar = rows_of(start, stop)
        place = _promising(similar.indptr, similar.data, n_neighbors + 1)  # itself may be among them
        row = np.searchsorted(similar.indptr, place, side="right") - 1
        other = row + start != similar.indices[place]
        row, place = row[other], place[other]
        return top_by_score(
            rows_to_offsets(row, stop - start),
            similar.data[place],
            similar.indices[place].astype(np.int64),
            n_neighbors,
        )

    return joined(map_parts(best, list(cost_blocks(cost, _FIT_BLOCK, len(cost)))))


def row_costs(by_item: csr_matrix, by_user: csr_matrix) -> FloatArray:
    """Return the products that each row of ``by_item @ by_user`` takes: the items of each of its users."""
    return np.asarray(by_item.astype(np.bool_) @ np.diff(by_user.indptr).astype(np.float64))


@dataclass(eq=False, repr=False, kw_only=True)
class Neighbors(FromHistory):
    """Source that adds up, over the history, weight x similarity of each item's neighbours. Abstract."""

    _OPTIONS = rules(n_neighbors=whole(1))

    n_neighbors: int = 100

    def _learn(self, until: float, cost: AnyArray, rows_of: Callable[[int, int], csr_matrix]) -> None:
        """Keep the nearest neighbours of each item.

        Parameters
        ----------
        until : float
            End of the data.
        cost : ndarray of float, shape (n_codes,)
            Products that each row takes, for blocks of about the same work.
        rows_of : callable
            From ``start, stop`` to those rows of the item-item matrix, (stop - start, n_codes). Called from several
            threads.
        """
        self._keep(_nearest(cost, rows_of, self.n_neighbors), until)

    def _keep(self, table: Retrieved, until: float) -> None:
        self.offsets_, self.similarity_ = table.offsets, table.score
        self.neighbor_ = table.item.astype(np.int32)
        self.fitted_until_ = until

    def _weighted_history(self, requests: Requests) -> tuple[IntArray, IntArray, FloatArray]:
        """Return offsets, distinct items and weights of each row's history, the last taken first."""
        return self._history_lists(requests, len(self.offsets_) - 1)

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` best neighbours of each row's history; a row without a known item has none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        require_fitted(self, "offsets_")
        offsets, item, weight = self._weighted_history(requests)
        exclude = requests.ragged.get("exclude")
        start = self.offsets_[item]
        counts = self.offsets_[item + 1] - start
        ends = counts_to_offsets(counts)[offsets]  # of each row, in neighbours

        def best(part: tuple[int, int]) -> tuple[IntArray, IntArray, Float32Array]:
            first, last = part
            here = slice(offsets[first], offsets[last])
            index = multi_arange(start[here], counts[here])
            gain = np.repeat(weight[here], counts[here]) * self.similarity_[index]
            neighbor = self.neighbor_[index].astype(np.int64)
            pairs = group_pairs(ends[first : last + 1] - ends[first], neighbor)
            lists = Retrieved(pairs.offsets, neighbor[pairs.first], pairs.sum(gain).astype(np.float32))
            if exclude is not None:
                lists = _without(lists, exclude.take(np.arange(first, last)))
            return top_by_score(lists.offsets, lists.score, lists.item, limit)

        blocks = list(cost_blocks(np.diff(ends), _SERVE_BLOCK, len(self.offsets_)))
        return joined(map_parts(best, blocks))

    def similar(self, items: IntArray, k: int) -> Retrieved:
        """Return the k most similar items of each item, most similar first.

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
    places = [short[value[short] >= tiny]]
    # Row by row: a partition of each is many times faster than sorting all of them.
    for row in np.flatnonzero(counts > k):
        start, stop = offsets[row], offsets[row + 1]
        values = value[start:stop]
        floor = np.partition(values, stop - start - k)[stop - start - k]
        places.append(start + np.flatnonzero(values >= max(floor, tiny)))
    return np.sort(np.concatenate(places))


def _without(lists: Retrieved, exclude: Ragged) -> Retrieved:
    """Return the lists without the items of other lists, row by row."""
    row = offsets_to_rows(lists.offsets)
    kept = ~pairs_in_sets(row, lists.item, exclude.offsets, exclude.values)
    return Retrieved(rows_to_offsets(row[kept], len(exclude)), lists.item[kept], lists.score[kept])
