"""AnnIndex: the items whose vectors are nearest to the user's, with FAISS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from recokit._configured import Configured
from recokit._ops.segments import counts_to_offsets, offsets_to_rows
from recokit.candidates import _faiss
from recokit.candidates._shared import require_fitted
from recokit.data import Dataset, Ragged, Requests, Retrieved
from recokit.errors import ConfigurationError, ContractError, DataError
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

__all__ = ["AnnIndex"]

Query: TypeAlias = "Float32Array | Callable[[Requests], Float32Array]"


class AnnIndex(Configured):
    """Source of the items whose vectors have the largest inner product, or cosine, with the request's vector.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items + 1, D)
        Item vectors by code; row 0 is ignored.
    query : ndarray of float32, shape (n_users + 1, D), or callable, optional
        User vectors by code, or a function of the requests that returns (B, D) float32. Without it, and for users
        whose row is 0 or all zeros, the vector is the mean over the items in ``history``; a request without
        history then gets no items.
    kind : {"exact", "ivf", "hnsw"}, default "exact"
        ``"exact"`` compares all items. ``"ivf"`` compares those in the lists nearest to the query, ``"hnsw"`` walks a
        graph: faster on large catalogues, some neighbours are missed. HNSW is built on one thread, so that the same
        vectors give the same graph: minutes for a million items, where IVF takes seconds.
    n_lists : int, optional
        Lists of ``"ivf"``; 2 x sqrt(n_items) by default, with at least 39 items each.
    n_probe : int, optional
        Lists looked at, or width of the walk of ``"hnsw"``; 1 of 64 lists but at least 8, and a width of 64, by
        default. More find more and take longer.
    metric : {"ip", "cosine"}, default "ip"
        Inner product, or cosine.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or vectors have the wrong type, shape or dtype.
    DataError
        In ``fit``, with row numbers: NaN or infinite vectors, items with an all-zero vector under ``"cosine"``.

    Notes
    -----
    FAISS rounds by the number of queries: a batch and single requests agree to about 1e-5. One request runs on one
    thread; batches use FAISS's OpenMP threads.

    Attributes
    ----------
    index_ : faiss.Index
    fitted_until_ : float

    Examples
    --------
    >>> data = Dataset.from_frame({"user": [1, 2], "item": [7, 8], "timestamp": [10, 20]})
    >>> vectors = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    >>> index = AnnIndex(vectors).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> index.retrieve(requests, limit=1).item.tolist()
    [2]
    """

    def __init__(
        self,
        vectors: Float32Array,
        *,
        query: Query | None = None,
        kind: Literal["exact", "ivf", "hnsw"] = "exact",
        n_lists: int | None = None,
        n_probe: int | None = None,
        metric: Literal["ip", "cosine"] = "ip",
    ) -> None:
        _check_block(vectors, "vectors", None)
        if query is not None and not callable(query):
            _check_block(query, "query", vectors.shape[1])
        if kind not in ("exact", "ivf", "hnsw"):
            raise ConfigurationError(f"found kind={kind!r}; expected 'exact', 'ivf' or 'hnsw'")
        if metric not in ("ip", "cosine"):
            raise ConfigurationError(f"found metric={metric!r}; expected 'ip' or 'cosine'")
        _check_tuning("n_lists", n_lists, kind, ("ivf",))
        _check_tuning("n_probe", n_probe, kind, ("ivf", "hnsw"))
        self.vectors, self.query, self.kind = vectors, query, kind
        self.n_lists, self.n_probe, self.metric = n_lists, n_probe, metric

    @property
    def requires(self) -> tuple[str, ...]:
        """The history, unless a function makes the queries."""
        return () if callable(self.query) else ("history",)

    def fit(self, dataset: Dataset) -> AnnIndex:
        """Check the vectors against the catalogue, and build the index."""
        _check_rows("vectors", self.vectors, dataset.n_items, "items")
        _check_finite("vectors", self.vectors)
        if self.query is not None and not callable(self.query):
            _check_rows("query", self.query, dataset.n_users, "users")
            _check_finite("query", self.query)
        self.index_ = _faiss.build(self._index_vectors(), self.kind, self.n_lists)
        self.fitted_until_ = dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` nearest items of each row that has a vector.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ContractError
            If the query function returns something other than (B, D) float32.
        DataError
            If it returns a vector that is not finite, or all zeros under ``"cosine"``; with row numbers.
        """
        require_fitted(self, "index_")
        queries, known = self._queries(requests)
        found, value = self._search(queries[known], limit)
        item = np.zeros((len(requests), found.shape[1]), np.int64)
        score = np.zeros(item.shape, np.float32)
        item[known], score[known] = found, value
        return Retrieved.from_padded(item, score)

    def similar(self, items: IntArray, k: int) -> Retrieved:
        """Return the k items nearest to each given item, itself left out.

        Parameters
        ----------
        items : ndarray of int64, shape (B,)
            Item codes; an unknown item (0) has none.
        k : int

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        require_fitted(self, "index_")
        item, score = self._search(self._scaled(self.vectors[items]), k + 1)
        other = (item != items[:, None]) & (item > 0) & (items > 0)[:, None]
        return Retrieved.from_padded(np.where(other & (np.cumsum(other, axis=1) <= k), item, 0), score)

    def state(self) -> dict[str, Any]:
        """Return what to save beside the options: FAISS's own bytes, as uint8."""
        require_fitted(self, "index_")
        # The exact index is the vectors, which are saved with the options.
        data = None if self.kind == "exact" else _faiss.to_bytes(self.index_)
        return {"index": data, "fitted_until": self.fitted_until_}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Raises
        ------
        DataError
            If the index does not fit the vectors.
        """
        if state["index"] is None:
            self.index_ = _faiss.build(self._index_vectors(), self.kind, self.n_lists)
        else:
            n_items, width = len(self.vectors) - 1, self.vectors.shape[1]
            self.index_ = _faiss.from_bytes(state["index"], n_items, width)
        self.fitted_until_ = state["fitted_until"]

    def _index_vectors(self) -> Float32Array:
        vectors = self.vectors[1:]
        if self.metric == "cosine":
            zero = np.flatnonzero(~vectors.any(axis=1)) + 1
            if len(zero):
                raise DataError(
                    f"found {len(zero)} items with an all-zero vector under metric='cosine'; expected a direction "
                    "for each; hint: metric='ip', or a vector from the item's content",
                    rows=zero,
                )
        return self._scaled(vectors)

    def _scaled(self, vectors: Float32Array) -> Float32Array:
        if self.metric == "ip":
            return np.ascontiguousarray(vectors)
        norm = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0))

    def _queries(self, requests: Requests) -> tuple[Float32Array, BoolArray]:
        """Return a vector for each row, (B, D), and which rows have one, (B,)."""
        if callable(self.query):
            return self._scaled(self._called(self.query, requests)), np.ones(len(requests), np.bool_)
        width = self.vectors.shape[1]
        vectors = np.zeros((len(requests), width), np.float32)
        if self.query is not None:
            known = requests.user > 0
            vectors[known] = self.query[requests.user[known]]
        lacking = np.flatnonzero(~vectors.any(axis=1))
        if len(lacking):
            vectors[lacking] = self._mean_of(requests.lists("history").take(lacking))
        return self._scaled(vectors), np.asarray(vectors.any(axis=1))

    def _mean_of(self, history: Ragged) -> Float32Array:
        known = history.values > 0
        row, item = offsets_to_rows(history.offsets)[known], history.values[known]
        offsets = counts_to_offsets(np.bincount(row, minlength=len(history)))
        mean = np.zeros((len(history), self.vectors.shape[1]), np.float32)
        some = np.flatnonzero(np.diff(offsets))
        if len(some):
            total = np.add.reduceat(self.vectors[item], offsets[some], axis=0)
            mean[some] = total / np.diff(offsets)[some, None].astype(np.float32)
        return mean

    def _called(self, function: Callable[[Requests], Float32Array], requests: Requests) -> Float32Array:
        vectors: Any = function(requests)
        shape = (len(requests), self.vectors.shape[1])
        if not isinstance(vectors, np.ndarray) or vectors.shape != shape or vectors.dtype != np.float32:
            raise ContractError(f"found {_shown(vectors)} from the query function; expected float32 {shape}")
        _check_finite("query", vectors, first=0)
        zero = np.flatnonzero(~vectors.any(axis=1))
        if self.metric == "cosine" and len(zero):
            raise DataError(
                "found all-zero query vectors under metric='cosine'; expected a direction", rows=zero
            )
        return vectors

    def _search(self, queries: Float32Array, limit: int) -> tuple[IntArray, Float32Array]:
        return _faiss.search(self.index_, queries, limit, self.n_probe)


def _shown(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _check_block(vectors: Any, name: str, width: int | None) -> None:
    ok = isinstance(vectors, np.ndarray) and vectors.dtype == np.float32 and vectors.ndim == 2
    if not ok or not vectors.shape[0] or not vectors.shape[1]:
        raise ConfigurationError(
            f"found {name} as {_shown(vectors)}; expected float32 (n + 1, D), row 0 for unknown codes; "
            "hint: np.ascontiguousarray(vectors, np.float32)"
        )
    if width is not None and vectors.shape[1] != width:
        raise ConfigurationError(
            f"found {name} of width {vectors.shape[1]}; expected {width}, that of vectors"
        )


def _check_tuning(name: str, value: int | None, kind: str, kinds: tuple[str, ...]) -> None:
    if value is None:
        return
    if kind not in kinds:
        raise ConfigurationError(
            f"found {name}={value} with kind={kind!r}; expected kind {' or '.join(kinds)}"
        )
    if value < 1:
        raise ConfigurationError(f"found {name}={value}; expected at least 1")


def _check_rows(name: str, vectors: Float32Array, n: int, what: str) -> None:
    if len(vectors) != n + 1:
        raise ConfigurationError(
            f"found {len(vectors)} rows in {name}; expected {n + 1}, one for each of {n} {what} and row 0 for "
            "unknown ones; hint: are these vectors of another vocabulary?"
        )


def _check_finite(name: str, vectors: AnyArray, first: int = 1) -> None:
    bad = np.flatnonzero(~np.isfinite(vectors[first:]).all(axis=1)) + first
    if len(bad):
        raise DataError(f"found NaN or infinity in {name}; expected finite vectors", rows=bad)
