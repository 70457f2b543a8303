"""The calls into FAISS. Shapes and dtypes are checked before: FAISS itself would read past a buffer."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.errors import DataError
from recokit.typing import AnyArray, Float32Array, IntArray

__all__ = ["build", "from_bytes", "search", "to_bytes"]

#: Fewer points than this for each list make poor centroids (FAISS's own threshold for a warning).
_MIN_POINTS = 39
#: Points for each list that k-means learns from.
_MAX_POINTS = 64
#: Neighbours of each item in the HNSW graph.
_HNSW_LINKS = 32
_HNSW_WIDTH = 64


def _module() -> Any:
    # Its stubs lack half of what is used here.
    import faiss

    return faiss


def build(vectors: Float32Array, kind: str, n_lists: int | None) -> Any:
    """Build an inner-product index of vectors (n, D); position p is item code p + 1."""
    faiss = _module()
    n, width = vectors.shape
    if kind == "hnsw":
        return _hnsw(vectors)
    index = faiss.IndexFlatIP(width)
    if kind == "ivf" and n:
        lists = n_lists or max(1, min(round(2 * n**0.5), n // _MIN_POINTS))
        index = faiss.IndexIVFFlat(index, width, min(lists, n), faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = _MAX_POINTS
        index.train(vectors)
    index.add(vectors)
    return index


def _hnsw(vectors: Float32Array) -> Any:
    faiss = _module()
    index = faiss.IndexHNSWFlat(vectors.shape[1], _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    threads = faiss.omp_get_max_threads()
    # Threads would race for their place in the graph, and the same vectors give another one each time.
    faiss.omp_set_num_threads(1)
    try:
        index.add(vectors)
    finally:
        faiss.omp_set_num_threads(threads)
    return index


def search(index: Any, queries: Float32Array, k: int, n_probe: int | None) -> tuple[IntArray, Float32Array]:
    """Return item codes and scores (B, min(k, n)), best first; code 0 where fewer were found."""
    faiss = _module()
    k = min(k, int(index.ntotal))
    if queries.shape[1] != index.d:
        raise DataError(f"found queries of width {queries.shape[1]}; expected {index.d}")
    if not k or not len(queries):
        return np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k), np.float32)
    parameters = None
    if isinstance(index, faiss.IndexIVF):
        default = max(8, -(-int(index.nlist) // 64))
        parameters = faiss.SearchParametersIVF(nprobe=min(n_probe or default, int(index.nlist)))
    elif isinstance(index, faiss.IndexHNSW):
        parameters = faiss.SearchParametersHNSW(efSearch=max(n_probe or _HNSW_WIDTH, k))
    score, position = index.search(np.ascontiguousarray(queries), k, params=parameters)
    return position + 1, score


def to_bytes(index: Any) -> AnyArray:
    """Serialise an index to uint8."""
    return np.asarray(_module().serialize_index(index))


def from_bytes(data: AnyArray, n_items: int, width: int) -> Any:
    """Read an index back.

    Raises
    ------
    DataError
        If the bytes are no index, or one of other vectors.
    """
    try:
        index = _module().deserialize_index(data)
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"found bytes that are no FAISS index ({error}); expected those of AnnIndex"
        ) from error
    if index.ntotal != n_items or index.d != width:
        raise DataError(
            f"found an index of {index.ntotal} vectors of width {index.d}; expected {n_items} of width {width}"
        )
    return index
