"""Sources that find the rows of a matrix nearest to a history, users or sessions, and add up what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit._kernels.sorting import top_by_score
from recokit._utils.options import rules, whole
from recokit._utils.threads import map_parts
from recokit.candidates._retrieve import best_of_rows, cost_blocks, joined
from recokit.candidates._weights import FromHistory
from recokit.data import Ragged, Requests, Retrieved
from recokit.typing import Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: Products of one block of requests: some 32 MB.
_BLOCK = 1 << 22


@dataclass(eq=False, repr=False, kw_only=True)
class NearestRows(FromHistory):
    """Source that adds up similarity x content of the rows nearest to each history. Abstract.

    A row's similarity is the cosine of its weights with the history's, each item's weights multiplied by how rare it
    is, times what the row counts for.
    """

    _OPTIONS = rules(n_neighbors=whole(1))

    n_neighbors: int = 100

    def _keep(self, rows: csr_matrix, worth: FloatArray, until: float) -> None:
        """Keep rows (R, n_items + 1), what each counts for (R,), and how much each item tells."""
        rows.eliminate_zeros()
        rows.sort_indices()
        n_rows = max(int(np.count_nonzero(np.diff(rows.indptr))), 1)
        frequency = np.bincount(rows.indices, minlength=rows.shape[1])
        self.told_ = np.log((1.0 + n_rows) / (1.0 + frequency)).astype(np.float32) + np.float32(1e-3)
        self.rows_, self.fitted_until_ = rows, until
        told = rows.copy()
        told.data = told.data * self.told_[told.indices]
        norm = np.sqrt(np.asarray(told.multiply(told).sum(axis=1)).ravel())
        scale = np.divide(worth, norm, out=np.zeros(len(norm)), where=norm > 0)
        told.data = (told.data * np.repeat(scale, np.diff(told.indptr))).astype(np.float32)
        #: By item: the rows that have it, with the item's part of their similarity.
        self.by_item_ = told.T.tocsr()

    def _queries(self, requests: Requests) -> csr_matrix:
        """Return the weighted items of each row's history, (B, n_items + 1) float32."""
        return self._history_matrix(requests, self.rows_.shape[1])

    def _own_rows(self, requests: Requests) -> IntArray | None:
        """Return the row that is the request's own history, and so no neighbour of it; None where there are none."""
        return None

    def _added(self, queries: csr_matrix, found: csr_matrix) -> csr_matrix:
        """Return the scores, from what the histories hold and what their neighbours do."""
        return found

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items that weigh most in the nearest rows; a row without a neighbour has none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        queries = self._queries(requests)
        own = self._own_rows(requests)
        cost = queries.astype(np.bool_) @ np.diff(self.by_item_.indptr).astype(np.float64)

        def best(part: tuple[int, int]) -> tuple[IntArray, IntArray, Float32Array]:
            first, last = part
            here = queries[first:last]
            near = self._nearest(here, None if own is None else own[first:last])
            scores = self._added(here, near @ self.rows_).tocsr()
            row, item = offsets_to_rows(scores.indptr.astype(np.int64)), scores.indices.astype(np.int64)
            kept = (scores.data > 0) & (item > 0)
            lists = _allowed(
                requests=requests,
                first=first,
                last=last,
                row=row[kept],
                item=item[kept],
                score=scores.data[kept],
            )
            found = best_of_rows(lists.offsets, lists.score, lists.item, limit, n_codes=self.rows_.shape[1])
            return found.offsets, found.item, found.score

        return joined(map_parts(best, list(cost_blocks(cost + 1, _BLOCK, self.rows_.shape[1]))))

    def _nearest(self, queries: csr_matrix, own: IntArray | None) -> csr_matrix:
        """Return each history's similarity with its nearest rows, (b, R), of those that share an item with it."""
        from scipy.sparse import csr_matrix

        told = queries.copy()
        told.data = told.data * self.told_[told.indices]
        norm = np.sqrt(np.asarray(told.multiply(told).sum(axis=1)).ravel())
        told.data = told.data / np.repeat(np.maximum(norm, 1e-30), np.diff(told.indptr)).astype(np.float32)
        shared = (told @ self.by_item_).tocsr()
        row, code = offsets_to_rows(shared.indptr.astype(np.int64)), shared.indices.astype(np.int64)
        score = shared.data
        if own is not None:
            score = np.where(code == own[row], 0.0, score).astype(np.float32)
        offsets, code, score = top_by_score(shared.indptr.astype(np.int64), score, code, self.n_neighbors)
        return csr_matrix((score, code, offsets), shape=shared.shape)


def _allowed(
    requests: Requests, first: int, last: int, row: IntArray, item: IntArray, score: Float32Array
) -> Retrieved:
    """Return scored items of some rows as lists, without those that the requests exclude."""
    from recokit._kernels.membership import pairs_in_sets
    from recokit._kernels.segments import rows_to_offsets

    exclude: Ragged | None = requests.ragged.get("exclude")
    if exclude is not None:
        part = exclude.take(np.arange(first, last))
        kept = ~pairs_in_sets(row, item, part.offsets, part.values)
        row, item, score = row[kept], item[kept], score[kept]
    return Retrieved(rows_to_offsets(row, last - first), item, score.astype(np.float32))
