"""Models of neighbours: the table of each item's neighbours, how it is computed, and how it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import counts_to_offsets, multi_arange, offsets_to_rows, rows_to_offsets
from recokit._kernels.sorting import group_pairs, top_by_score
from recokit._utils.options import rules, whole
from recokit._utils.threads import map_parts
from recokit.candidates._retrieve import cost_blocks, joined
from recokit.candidates._weights import FromHistory
from recokit.data import Ragged, Requests, Retrieved
from recokit.typing import Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from recokit._kernels.neighbors import Similarities

if TYPE_CHECKING:
    pass

#: Products of one block in fit: bounds its memory to a few hundred MB.
_FIT_BLOCK = 1 << 24
#: Neighbours looked at in one block of requests: sort keys of small blocks fit into 32 bits and the cache.
_SERVE_BLOCK = 1 << 14


@dataclass(eq=False, repr=False, kw_only=True)
class Neighbors(FromHistory):
    """Source that adds up, over the history, weight x similarity of each item's neighbours. Abstract."""

    _OPTIONS = rules(n_neighbors=whole(1))

    n_neighbors: int = 100

    def _learn(self, until: float, similarities: Similarities) -> None:
        """Keep the nearest neighbours of each item, a block of items at a time."""

        def best(part: tuple[int, int]) -> tuple[IntArray, IntArray, Float32Array]:
            return similarities.nearest(*part, self.n_neighbors)

        cost = similarities.costs()
        self._keep(joined(map_parts(best, list(cost_blocks(cost, _FIT_BLOCK, len(cost))))), until)

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
        start = self.offsets_[items]
        counts = np.minimum(self.offsets_[items + 1] - start, k)
        index = multi_arange(start, counts)
        return Retrieved(
            counts_to_offsets(counts), self.neighbor_[index].astype(np.int64), self.similarity_[index]
        )


def _without(lists: Retrieved, exclude: Ragged) -> Retrieved:
    """Return the lists without the items of other lists, row by row."""
    row = offsets_to_rows(lists.offsets)
    kept = ~pairs_in_sets(row, lists.item, exclude.offsets, exclude.values)
    return Retrieved(rows_to_offsets(row[kept], len(exclude)), lists.item[kept], lists.score[kept])
