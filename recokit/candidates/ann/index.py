"""AnnIndex: the items whose vectors are nearest to the user's, with FAISS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from recokit._kernels.segments import counts_to_offsets, offsets_to_rows
from recokit._utils.params import require_fitted
from recokit.candidates.ann import _checks as inputs
from recokit.candidates.ann import _snapshot as _ann_state
from recokit.candidates.ann._maintenance import Upkeep
from recokit.candidates.ann._snapshot import Changes, Snapshot
from recokit.data import Dataset, Live, Ragged, Requests, Retrieved
from recokit.errors import ConfigurationError, ContractError, DataError
from recokit.typing import BoolArray, Float32Array, IntArray

__all__ = ["AnnIndex"]

Query: TypeAlias = "Float32Array | Callable[[Requests], Float32Array]"
Filter: TypeAlias = "BoolArray | Live[BoolArray] | Callable[[Requests], BoolArray | Ragged]"
_KINDS = ("auto", "exact", "ivf", "pq", "hnsw")
_PROBING = ("ivf", "pq", "hnsw")


class AnnIndex(Upkeep):
    """Source of the items whose vectors have the largest inner product, or cosine, with the request's vector.

    Items can be added, replaced and deleted between rebuilds. A run sees one state of the index, whole.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items + 1, D)
        Item vectors by code; row 0 is ignored. A memory-mapped array will do.
    query : ndarray of float32, shape (n_users + 1, D), or callable, optional
        User vectors by code, or a function of the requests that returns (B, D) float32. Without it, and for users
        whose row is 0 or all zeros, the vector is the mean over the items in ``history`` (of their directions, under
        ``"cosine"``); a request without history then gets no items.
    kind : {"auto", "exact", "ivf", "pq", "hnsw"}, default "auto"
        ``"exact"`` compares all items and takes no memory but the vectors'. ``"ivf"`` compares those in the lists
        nearest to the query. ``"pq"`` does so on codes of a quarter of a byte for each dimension, and re-ranks the
        best by the vectors. ``"hnsw"`` walks a graph, built on one thread so that the same vectors give the same
        graph: minutes for a million items, where the others take seconds; it suits ``"cosine"`` better than ``"ip"``.
        ``"auto"`` takes exact up to 50,000 items of 64 dimensions, above that IVF, or PQ where ``memory`` says so;
        ``choice_`` tells.
    n_lists : int, optional
        Lists of ``"ivf"`` and ``"pq"``; 2 x sqrt(n_items) by default, with at least 39 items each.
    n_probe : int, optional
        Lists looked at, or width of the walk of ``"hnsw"``; 1 of 64 lists but at least 8, and a width of 64, by
        default. More find more and take longer. Rows with excluded items, and filters, look at more in proportion.
    metric : {"ip", "cosine"}, default "ip"
        Inner product, or cosine.
    recall : float, optional
        Choose the smallest ``n_probe`` that finds this share of the true 100 nearest, as :meth:`tune` does.
    memory : int, optional
        Bytes that ``"auto"`` may take beside the vectors; no limit by default.
    allowed : ndarray of bool (n_items + 1,), Live of one, or callable, optional
        The items that may be found: a filter pushed down into the search, which still fills its lists. A function
        of the requests returns such a mask, or a Ragged of item codes, one list for each row.
    missing : {"error", "skip"}, default "error"
        What to do with items whose vector is NaN throughout, or all zeros under ``"cosine"``: refuse them, or leave
        them out (all-zero ones under ``"ip"`` too) until :meth:`upsert` brings a vector.
    name : str, default "ann_index"
        Name in paths and traces; two of these in one pipeline need two names.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or vectors have the wrong type, shape or dtype.
    DataError
        In ``fit``, with row numbers: NaN or infinite vectors, items with an all-zero vector under ``"cosine"``.

    Notes
    -----
    FAISS and BLAS round by the number of queries: a batch and single requests agree to about 1e-5. FAISS answers one
    request on one thread, batches on OpenMP threads. An index that finds less than was asked for is
    backed by a comparison of all vectors, so lists are never short while items remain. ``exclude`` lists of the
    requests are honoured.

    Attributes
    ----------
    live_ : Live of the state that is searched
    choice_ : Choice
        Which index was built, and why.
    fitted_until_ : float

    Examples
    --------
    >>> data = Dataset.from_frame({"user": [1, 2], "item": [7, 8], "timestamp": [10, 20]})
    >>> vectors = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    >>> index = AnnIndex(vectors).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2]])})
    >>> index.retrieve(requests, limit=1).item.tolist()
    [2]
    >>> index.delete([2])
    >>> index.retrieve(requests, limit=1).item.tolist()
    [1]
    """

    def __init__(
        self,
        vectors: Float32Array,
        *,
        query: Query | None = None,
        kind: Literal["auto", "exact", "ivf", "pq", "hnsw"] = "auto",
        n_lists: int | None = None,
        n_probe: int | None = None,
        metric: Literal["ip", "cosine"] = "ip",
        recall: float | None = None,
        memory: int | None = None,
        allowed: Filter | None = None,
        missing: Literal["error", "skip"] = "error",
        name: str = "ann_index",
    ) -> None:
        inputs.check_block(vectors, "vectors", None)
        if query is not None and not callable(query):
            inputs.check_block(query, "query", vectors.shape[1])
        if kind not in _KINDS:
            raise ConfigurationError(f"found kind={kind!r}; expected one of {', '.join(map(repr, _KINDS))}")
        if metric not in ("ip", "cosine"):
            raise ConfigurationError(f"found metric={metric!r}; expected 'ip' or 'cosine'")
        if missing not in ("error", "skip"):
            raise ConfigurationError(f"found missing={missing!r}; expected 'error' or 'skip'")
        if not name.isidentifier():
            raise ConfigurationError(f"found name {name!r}; expected an identifier such as 'similar_items'")
        inputs.check_tuning("n_lists", n_lists, kind, ("ivf", "pq"))
        inputs.check_tuning("n_probe", n_probe, kind, _PROBING)
        inputs.check_tuning("memory", memory, kind, ("auto",))
        inputs.check_share("recall", recall)
        if recall is not None and (n_probe is not None or kind == "exact"):
            given = "n_probe" if n_probe is not None else "kind='exact'"
            raise ConfigurationError(f"found recall={recall} with {given}; expected one of the two")
        inputs.check_filter(allowed)
        self.vectors, self.query, self.kind = vectors, query, kind
        self.n_lists, self.n_probe, self.metric = n_lists, n_probe, metric
        self.recall, self.memory, self.allowed = recall, memory, allowed
        self.missing, self.name = missing, name

    @property
    def requires(self) -> tuple[str, ...]:
        """The history, unless a function makes the queries."""
        return () if callable(self.query) else ("history",)

    @property
    def index_(self) -> Any:
        """FAISS's index of the base, whose position p is the p-th item code in it; None where kind is exact."""
        return self._now().base.index

    def fit(self, dataset: Dataset) -> AnnIndex:
        """Check the vectors against the catalogue, and build the index."""
        inputs.check_rows("vectors", self.vectors, dataset.n_items, "items")
        if self.query is not None and not callable(self.query):
            inputs.check_rows("query", self.query, dataset.n_users, "users")
            inputs.check_finite("query", self.query)
        codes, vectors = self._given()
        base = self._built(codes, vectors)
        changes = Changes.none(vectors.shape[1])
        n_probe = self._probe(base)
        snapshot = Snapshot(base, changes, dataset.n_items, n_probe, 0, dataset.until)
        self.live_ = Live(self._tuned(snapshot), name=self.name)
        self.fitted_until_ = dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` nearest items of each row that has a vector.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ContractError
            If the query function returns something other than (B, D) float32, or the filter has the wrong form.
        DataError
            If it returns a vector that is not finite, or all zeros under ``"cosine"``; with row numbers.
        """
        require_fitted(self, "live_")
        snapshot = requests.read(self.live_)
        queries, known = self._queries(requests, snapshot)
        allowed = self.allowed(requests) if callable(self.allowed) else requests.read(self.allowed)
        rows = np.flatnonzero(known)
        if isinstance(allowed, Ragged):
            self._check_lists("allowed", allowed, len(requests))
            allowed = allowed.take(rows)
        exclude = requests.ragged.get("exclude")
        found, value = self._filtered(
            snapshot, queries[rows], limit, allowed, None if exclude is None else exclude.take(rows)
        )
        item = np.zeros((len(requests), found.shape[1]), np.int64)
        score = np.zeros(item.shape, np.float32)
        item[rows], score[rows] = found, value
        return Retrieved.from_padded(item, score)

    def search(
        self,
        queries: Float32Array,
        k: int,
        *,
        allowed: BoolArray | Ragged | None = None,
        exclude: Ragged | None = None,
    ) -> Retrieved:
        """Return the k items nearest to each given vector.

        Parameters
        ----------
        queries : ndarray of float32, shape (B, D)
        k : int
        allowed : ndarray of bool (n_items + 1,), or Ragged, optional
            Items that may be found, the same for all rows, or a list of codes for each.
        exclude : Ragged, optional
            For each row, item codes that it must not get.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        DataError
            For vectors of another dtype or width, with NaN, or all zeros under ``"cosine"``; with row numbers.
        ContractError
            If a filter has the wrong form.
        """
        snapshot = self._now()
        for name, lists in (("allowed", allowed), ("exclude", exclude)):
            if isinstance(lists, Ragged):
                self._check_lists(name, lists, len(queries))
        queries = self._checked(queries)
        return Retrieved.from_padded(*self._filtered(snapshot, queries, k, allowed, exclude))

    def similar(self, items: IntArray, k: int) -> Retrieved:
        """Return the k items nearest to each given item, itself left out.

        Parameters
        ----------
        items : ndarray of int64, shape (B,)
            Item codes; an unknown item (0) has none, nor has one without a vector.
        k : int

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        snapshot = self._now()
        items = np.asarray(items, np.int64)
        vectors = self._vectors_of(items, snapshot)
        rows = np.flatnonzero((items > 0) & vectors.any(axis=1))
        own = Ragged(np.arange(len(rows) + 1), items[rows])
        found, value = snapshot.search(vectors[rows], k, exclude=own)
        item = np.zeros((len(items), found.shape[1]), np.int64)
        score = np.zeros(item.shape, np.float32)
        item[rows], score[rows] = found, value
        return Retrieved.from_padded(item, score)

    def state(self) -> dict[str, Any]:
        """Return what to save beside the options: the changes, and FAISS's own bytes as uint8."""
        state = _ann_state.state_of(self._now(), self._given_vectors())
        return {**state, "choice": self.choice_, "fitted_until": self.fitted_until_}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Raises
        ------
        DataError
            If the index does not fit the vectors.
        """
        snapshot = _ann_state.snapshot_from(state, self._given_vectors)
        self.live_ = Live(snapshot, name=self.name)
        self.choice_, self.fitted_until_ = state["choice"], state["fitted_until"]

    def __getstate__(self) -> dict[str, Any]:
        attributes = dict(vars(self))
        if "live_" in attributes:
            attributes["live_"] = self.live_.pin()[1]  # a lock cannot be pickled
        return attributes

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        vars(self).update(attributes)
        if "live_" in attributes:
            self.live_ = Live(attributes["live_"], name=self.name)

    def __copy__(self) -> AnnIndex:
        # A bound copy searches the same live state.
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def _given(self) -> tuple[IntArray | None, Float32Array]:
        if self.missing == "error":
            inputs.check_finite("vectors", self.vectors)
            if self.metric == "cosine":
                inputs.require_direction(self.vectors[1:], np.arange(1, len(self.vectors)), "items")
        else:
            some = np.isfinite(self.vectors).any(axis=1, keepdims=True)
            inputs.check_finite("vectors", np.where(some, self.vectors, np.float32(0)))
        return self._given_vectors()

    def _filtered(
        self,
        snapshot: Snapshot,
        queries: Float32Array,
        k: int,
        allowed: Any,
        exclude: Ragged | None,
    ) -> tuple[IntArray, Float32Array]:
        if k < 0:
            raise DataError(f"found k={k}; expected at least 0")
        if not isinstance(allowed, Ragged):
            if allowed is not None:
                inputs.check_allowed(allowed, snapshot.n_items)
            return snapshot.search(queries, k, allowed=allowed, exclude=exclude)
        item = np.zeros((len(queries), k), np.int64)
        score = np.zeros(item.shape, np.float32)
        for row in range(len(queries)):  # each row compares vectors of its own
            codes = np.unique(allowed.row(row))
            one = None if exclude is None else exclude.take(np.array([row]))
            found, value = snapshot.search(queries[row : row + 1], k, allowed=codes, exclude=one)
            item[row, : found.shape[1]], score[row, : found.shape[1]] = found[0], value[0]
        return item, score

    def _check_lists(self, name: str, lists: Ragged, n_rows: int) -> None:
        if len(lists) != n_rows:
            raise ContractError(f"found {len(lists)} lists in {name}; expected {n_rows}, one for each row")

    def _queries(self, requests: Requests, snapshot: Snapshot) -> tuple[Float32Array, BoolArray]:
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
            vectors[lacking] = self._mean_of(requests.lists("history").take(lacking), snapshot)
        return self._scaled(vectors), np.asarray(vectors.any(axis=1))

    def _vectors_of(self, items: IntArray, snapshot: Snapshot) -> Float32Array:
        """Return the vectors of items as they are now; a deleted one still has that of ``fit``."""
        given = np.zeros((len(items), self.vectors.shape[1]), np.float32)
        there = (items > 0) & (items < len(self.vectors))
        given[there] = np.nan_to_num(self._scaled(self.vectors[items[there]]), nan=0.0)
        return snapshot.vectors_of(items, given)

    def _mean_of(self, history: Ragged, snapshot: Snapshot) -> Float32Array:
        known = history.values > 0
        row, item = offsets_to_rows(history.offsets)[known], history.values[known]
        offsets = counts_to_offsets(np.bincount(row, minlength=len(history)))
        mean = np.zeros((len(history), self.vectors.shape[1]), np.float32)
        some = np.flatnonzero(np.diff(offsets))
        if len(some):
            total = np.add.reduceat(self._vectors_of(item, snapshot), offsets[some], axis=0)
            mean[some] = total / np.diff(offsets)[some, None].astype(np.float32)
        return mean

    def _called(self, function: Callable[[Requests], Float32Array], requests: Requests) -> Float32Array:
        vectors: Any = function(requests)
        shape = (len(requests), self.vectors.shape[1])
        if not isinstance(vectors, np.ndarray) or vectors.shape != shape or vectors.dtype != np.float32:
            raise ContractError(
                f"found {inputs.shown(vectors)} from the query function; expected float32 {shape}"
            )
        return self._checked(vectors)
