"""The calls into FAISS. Shapes and dtypes are checked before: FAISS itself would read past a buffer."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import numpy as np

from recokit._utils.forks import prepare_forks
from recokit.errors import DataError
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

#: Fewer points than this for each list make poor centroids (FAISS's own threshold for a warning).
_MIN_POINTS = 39
#: Points for each list that k-means learns from.
_MAX_POINTS = 64
_ROUNDS = 10
_SEED = 1234
#: Neighbours of each item in the HNSW graph.
_HNSW_LINKS = 32
_HNSW_WIDTH = 64
#: Beyond this width the walk visits so much that a scan is as fast.
_HNSW_MAX_WIDTH = 4096
#: Dimensions that one byte of a PQ code stands for.
_PQ_DIMENSIONS = 4
_ID_BYTES = 8
#: FAISS's limit on what it reads is one for the whole process.
_READING = threading.Lock()

prepare_forks()


def _module() -> Any:
    # Its stubs lack half of what is used here.
    import faiss

    return faiss


def build(vectors: Float32Array, kind: str, n_lists: int | None) -> Any:
    """Build an inner-product index of vectors (n, D), n at least 1; ``kind`` is "ivf", "pq" or "hnsw"."""
    if kind == "hnsw":
        return _hnsw(vectors)
    n = len(vectors)
    lists = min(n_lists or max(1, min(round(2 * n**0.5), n // _MIN_POINTS)), n)
    return _inverted(vectors, kind, _centroids(vectors, lists))


def _centroids(vectors: Float32Array, n_lists: int) -> Float32Array:
    kmeans = _module().Kmeans(
        vectors.shape[1],
        n_lists,
        niter=_ROUNDS,
        seed=_SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=_MAX_POINTS,
    )
    kmeans.train(vectors)
    return np.asarray(kmeans.centroids)


def _inverted(vectors: Float32Array, kind: str, centroids: Float32Array) -> Any:
    """Return an index whose lists hold what lies near in space, and are visited by inner product.

    Lists made by inner product gather around the longest centroids. On the factors of a million items, eight lists
    made by distance hold 97% of the 100 best, and as many made by inner product 41%.
    """
    faiss = _module()
    n_lists, width = centroids.shape
    by_distance, by_product = faiss.IndexFlatL2(width), faiss.IndexFlatIP(width)
    by_distance.add(centroids)
    by_product.add(centroids)
    if kind == "pq":
        bits = min(8, int(np.log2(len(vectors))))
        index = faiss.IndexIVFPQ(
            by_distance, width, n_lists, _pq_bytes(width), max(bits, 1), faiss.METRIC_INNER_PRODUCT
        )
        index.pq.cp.min_points_per_centroid = 1
        index.cp.min_points_per_centroid = 1
        # Code books of two or more bits for each dimension are learnt from a sample, as FAISS would draw itself.
        index.train(vectors)
    else:
        index = faiss.IndexIVFFlat(by_distance, width, n_lists, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
    index.add(vectors)
    index.quantizer, index.own_fields = by_product, True
    by_product.this.disown()
    return index


def _pq_bytes(width: int) -> int:
    """Return the bytes of a code: the fewest that divide the width into parts of at most four dimensions."""
    return next(m for m in range(-(-width // _PQ_DIMENSIONS), width + 1) if width % m == 0)


def bytes_per_item(kind: str, n: int, width: int) -> float:
    """Return the bytes that an index of n items takes for each, beside the vectors themselves."""
    lists = 2.0 * float(np.sqrt(n)) * width * 4 / max(n, 1)
    return {
        "exact": 0.0,
        "ivf": 4.0 * width + _ID_BYTES + lists,
        "pq": float(_pq_bytes(width)) + _ID_BYTES + lists,
        "hnsw": 4.0 * width + 8.0 * _HNSW_LINKS + _ID_BYTES,
    }[kind]


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


def default_probe(index: Any) -> int:
    """Return how many lists are looked at, or how wide the walk is, where nobody said."""
    if isinstance(index, _module().IndexHNSW):
        return _HNSW_WIDTH
    return min(max(8, -(-int(index.nlist) // 64)), int(index.nlist))


def max_probe(index: Any) -> int:
    """Return the largest useful number of lists, or width of the walk."""
    if isinstance(index, _module().IndexHNSW):
        return min(_HNSW_MAX_WIDTH, max(int(index.ntotal), 1))
    return int(index.nlist)


def selector(visible: BoolArray) -> Any:
    """Return what lets a search see only the positions that the mask (n,) marks."""
    return _module().IDSelectorBitmap(np.packbits(visible, bitorder="little"))


def search(
    index: Any, queries: Float32Array, k: int, n_probe: int, *, chosen: Any = None
) -> tuple[IntArray, Float32Array]:
    """Return positions and scores (B, min(k, n)), best first; position -1 where fewer were found.

    Parameters
    ----------
    index : faiss.Index
    queries : ndarray of float32, shape (B, D)
    k, n_probe : int
    chosen : faiss.IDSelector, optional
        What :func:`selector` returned.
    """
    faiss = _module()
    k = min(k, int(index.ntotal))
    if queries.dtype != np.float32 or queries.ndim != 2 or queries.shape[1] != index.d:
        raise DataError(f"found queries {queries.dtype} {queries.shape}; expected float32 (B, {index.d})")
    if k < 1 or not len(queries):
        return np.zeros((len(queries), max(k, 0)), np.int64), np.zeros((len(queries), max(k, 0)), np.float32)
    if isinstance(index, faiss.IndexHNSW):
        kind, options = faiss.SearchParametersHNSW, (("efSearch", max(n_probe, k)),)
    else:
        pq = isinstance(index, faiss.IndexIVFPQ)
        kind = faiss.IVFPQSearchParameters if pq else faiss.SearchParametersIVF
        options = (("nprobe", min(n_probe, int(index.nlist))),)
    parameters = _parameters(kind, options) if chosen is None else kind(sel=chosen, **dict(options))
    score, position = index.search(np.ascontiguousarray(queries), k, params=parameters)
    return position, score


@lru_cache(maxsize=64)
def _parameters(kind: Any, options: tuple[tuple[str, int], ...]) -> Any:
    """Return how to search: made once, since every request has the same."""
    return kind(**dict(options))


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
    faiss = _module()
    with _READING:
        before = faiss.get_deserialization_vector_byte_limit()
        # No list of an index is longer than the index: a forged length must not allocate more. The table of distances
        # that PQ computes while it is read takes up to 256 bytes for each byte of its centroids.
        faiss.set_deserialization_vector_byte_limit(max(256 * data.nbytes, 1))
        try:
            index = faiss.deserialize_index(data)
        except (RuntimeError, ValueError) as error:
            raise DataError(
                f"found bytes that are no FAISS index ({error}); expected those of AnnIndex"
            ) from error
        finally:
            faiss.set_deserialization_vector_byte_limit(before)
    if not isinstance(index, faiss.IndexIVF | faiss.IndexHNSW):
        raise DataError(f"found a {type(index).__name__}; expected an index that AnnIndex builds")
    if index.ntotal != n_items or index.d != width:
        raise DataError(
            f"found an index of {index.ntotal} vectors of width {index.d}; expected {n_items} of width {width}"
        )
    return index
