"""AnnIndex: the items whose vectors are nearest to the user's, with FAISS."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np

from recokit._kernels.segments import counts_to_offsets, offsets_to_rows
from recokit._utils.options import at_least, between, check_options, identifier, one_of, optional, whole
from recokit.candidates.ann import _checks as inputs, _faiss
from recokit.candidates.ann._base import Base
from recokit.candidates.ann._quality import (
    Choice,
    IndexHealth,
    Recall,
    choose,
    health_of,
    measure,
    smallest_probe,
)
from recokit.candidates.ann._snapshot import Changes, Snapshot, snapshot_from, state_of
from recokit.compose.alone.sources import AloneSource
from recokit.data import Dataset, Live, Ragged, Requests, RequestsById, Retrieved, Schema
from recokit.data.by_id import known_lists
from recokit.errors import ConfigurationError, ContractError, DataError
from recokit.typing import BoolArray, Float32Array, IntArray

Query: TypeAlias = "Float32Array | Callable[[Any], Float32Array]"
Filter: TypeAlias = (
    "BoolArray | Live[BoolArray] | Callable[[Any], BoolArray | Ragged | Sequence[Sequence[Any]]]"
)

#: Length of the lists that recall is measured on, and how many queries are sampled for it.
_K, _QUERIES = 100, 256
#: Changes are short and rare: one lock for all indexes keeps the stages free of locks, which no copy could carry.
_WRITING = threading.Lock()

_NUMBER = whole(0)
_OPTIONS = {
    "kind": one_of("auto", "exact", "ivf", "pq", "hnsw"),
    "metric": one_of("ip", "cosine"),
    "missing": one_of("error", "skip"),
    "n_lists": optional(whole(1)),
    "n_probe": optional(whole(1)),
    "memory": optional(at_least(1)),
    "recall": optional(between(0, 1, open_low=True)),
    "name": identifier("similar_items"),
}
#: The kinds that an option is for.
_KINDS = {"n_lists": ("ivf", "pq"), "n_probe": ("ivf", "pq", "hnsw"), "memory": ("auto",)}


class AnnIndex(AloneSource):
    """Source of the items whose vectors have the largest inner product, or cosine, with the request's vector.

    Items can be added, replaced and deleted between rebuilds. A run sees one state of the index, whole.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items + 1, D)
        Item vectors by code; row 0 is ignored. A memory-mapped array will do.
    query : ndarray of float32, shape (n_users + 1, D), or callable, optional
        User vectors by code, or a function of the requests, in external ids (:class:`recokit.data.RequestsById`), that
        returns (B, D) float32; ``encode`` of a fitted :class:`SASRec` or :class:`TwoTower` is one. Without it, and for
        users whose row is 0 or all zeros, the vector is the mean over the items in ``history`` (of their directions,
        under ``"cosine"``); a request without history then gets no items.
    kind : {"auto", "exact", "ivf", "pq", "hnsw"}, default "auto"
        ``"exact"`` compares all items and takes no memory but the vectors'. ``"ivf"`` compares those in the lists
        nearest to the query. ``"pq"`` does so on codes of a quarter of a byte for each dimension, and re-ranks the
        best by the vectors. ``"hnsw"`` walks a graph, built on one thread so that the same vectors give the same
        graph: minutes for a million items, where the others take seconds; it suits ``"cosine"`` better than ``"ip"``.
        ``"auto"`` takes exact up to 50,000 items of 64 dimensions, above that IVF, or PQ where ``memory`` says so;
        ``choice_`` says which.
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
        of the requests, in external ids, returns a list of item ids for each row; or such a mask, or a Ragged of item
        codes.
    missing : {"error", "skip"}, default "error"
        What to do with items whose vector is NaN throughout, or all zeros under ``"cosine"``: refuse them, or leave
        them out (all-zero ones under ``"ip"`` too) until :meth:`upsert` brings a vector.
    name : str, default "ann_index"
        Name in paths and traces; two of these in one pipeline need two names.
    codes : bool, default False
        Whether functions get the :class:`Requests` themselves, in codes. Used without a pipeline, which would bind it,
        they get them anyway.

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

    live_: Live[Snapshot]
    choice_: Choice
    #: The model's vocabularies, once bound.
    schema_: Schema | None = None

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
        codes: bool = False,
    ) -> None:
        self.vectors, self.query, self.kind = vectors, query, kind
        self.n_lists, self.n_probe, self.metric = n_lists, n_probe, metric
        self.recall, self.memory, self.allowed = recall, memory, allowed
        self.missing, self.name, self.codes = missing, name, codes
        inputs.check_block(vectors, "vectors", None)
        if query is not None and not callable(query):
            inputs.check_block(query, "query", vectors.shape[1])
        check_options(self, _OPTIONS)
        for option, kinds in _KINDS.items():
            if getattr(self, option) is not None and kind not in kinds:
                raise ConfigurationError(
                    f"found {option}={getattr(self, option)} with kind={kind!r}; expected kind {' or '.join(kinds)}"
                )
        if recall is not None and (n_probe is not None or kind == "exact"):
            other = "n_probe" if n_probe is not None else "kind='exact'"
            raise ConfigurationError(f"found recall={recall} with {other}; expected one of the two")
        inputs.check_filter(allowed)

    @property
    def requires(self) -> tuple[str, ...]:
        """The history, unless a function makes the queries."""
        return () if callable(self.query) else ("history",)

    @property
    def own_code(self) -> bool:
        """Whether a function of the user's own makes the queries, or says what may be found."""
        return callable(self.query) or callable(self.allowed)

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
        self._check_values()
        base = self._build(*self._usable_vectors())
        snapshot = Snapshot(
            base=base,
            changes=Changes.none(self.vectors.shape[1]),
            n_items=dataset.n_items,
            n_probe=self._probe(base),
            number=0,
            until=dataset.until,
        )
        self.live_ = Live(self._tuned(snapshot), name=self.name)
        self.fitted_until_ = dataset.until
        return self

    def bind(self, schema: Schema) -> AnnIndex:
        """Return a copy that knows the ids."""
        bound = copy.copy(self)
        bound.schema_ = schema if self.own_code else None
        return bound

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
        snapshot = requests.read(self.live_)
        queries, known = self._queries(requests, snapshot)
        allowed = self._allowed(requests)
        if isinstance(allowed, Ragged):
            _check_lists("allowed", allowed, len(requests))
        exclude = requests.ragged.get("exclude")
        rows = known.nonzero()[0]
        if len(rows) == len(known):
            return Retrieved.from_padded(*self._search(snapshot, queries, limit, allowed, exclude))
        allowed = allowed.take(rows) if isinstance(allowed, Ragged) else allowed
        exclude = None if exclude is None else exclude.take(rows)
        found = self._search(snapshot, queries[rows], limit, allowed, exclude)
        return _in_rows(found, rows, len(requests))

    def search(
        self,
        queries: Float32Array,
        k: int,
        *,
        allowed: BoolArray | Ragged | None = None,
        exclude: Ragged | None = None,
    ) -> Retrieved:
        """Return the k items nearest to each vector.

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
                _check_lists(name, lists, len(queries))
        queries = self._checked(queries)
        return Retrieved.from_padded(*self._search(snapshot, queries, k, allowed, exclude))

    def similar(self, items: IntArray, k: int) -> Retrieved:
        """Return the k items nearest to each item, itself left out.

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
        return _in_rows(snapshot.search(vectors[rows], k, exclude=own), rows, len(items))

    def upsert(
        self,
        items: IntArray,
        vectors: Float32Array,
        *,
        n_items: int | None = None,
        at: float = float("nan"),
    ) -> None:
        """Add items, or replace their vectors; runs that begin later see all of it, runs under way none.

        The items stand in a small tail that every search compares in full, until :meth:`rebuild` merges them.

        Parameters
        ----------
        items : ndarray of int, shape (N,)
            Distinct item codes.
        vectors : ndarray of float32, shape (N, D)
        n_items : int, optional
            The catalogue's new size, where its vocabulary was extended. A pipeline serves the codes of its own
            vocabulary only: fit it again before its index learns of others.
        at : float, optional
            Time of the change, seconds since 1970, for :meth:`health`.

        Raises
        ------
        DataError
            For codes outside the catalogue, repeats, or vectors that are not float32 (N, D), finite, and under
            ``"cosine"`` not all zeros; with row numbers. Nothing is changed then.
        """
        self._change(items, vectors, n_items, at)

    def delete(self, items: IntArray, *, at: float = float("nan")) -> None:
        """Delete items; runs that begin later find none of them. What is not there stays away.

        Parameters
        ----------
        items : ndarray of int, shape (N,)
            Distinct item codes.
        at : float, optional
            Time of the change, seconds since 1970.
        """
        self._change(items, None, None, at)

    def rebuild(self, *, until: float | None = None) -> None:
        """Build the base anew with all changes; changes that come meanwhile stay in the tail.

        Parameters
        ----------
        until : float, optional
            Time up to which the vectors know the data; that of ``fit`` by default.
        """
        began = self._now()
        base = self._build(*began.merged())
        none = Changes.none(self.vectors.shape[1])
        tuned = self._tuned(replace(began, base=base, changes=none, n_probe=self._probe(base)))
        with _WRITING:
            until = began.until if until is None else until
            self.live_.set(self._now().rebased(base, began, tuned.n_probe, until))

    def tune(self, recall: float, queries: int | Float32Array = _QUERIES, *, k: int = _K) -> Recall:
        """Search with the smallest ``n_probe`` that finds a share of the true k nearest.

        Parameters
        ----------
        recall : float
            Above 0, at most 1.
        queries : int or ndarray of float32 (B, D), default 256
            Vectors, or how many to sample: users' where ``query`` is an array, else items'. Bring vectors of real
            requests where you have them; users' and items' lie apart under ``"ip"``.
        k : int, default 100
            Length of the lists compared.

        Returns
        -------
        Recall
            With the ``n_probe`` taken; below ``recall`` if even the largest does not reach it.
        """
        _OPTIONS["recall"].check("recall", recall)
        snapshot = self._now()
        reached = smallest_probe(snapshot, self._sample(queries, snapshot), k, recall)
        with _WRITING:
            self.live_.set(replace(self._now(), n_probe=reached.n_probe))
        return reached

    def measure_recall(self, queries: int | Float32Array = _QUERIES, *, k: int = _K) -> Recall:
        """Compare a search with a comparison of all items; parameters as those of :meth:`tune`."""
        snapshot = self._now()
        return measure(snapshot, self._sample(queries, snapshot), k)

    def health(self, now: float) -> IndexHealth:
        """Return how old the index is at a time (seconds since 1970), and the share of the catalogue that it lacks."""
        return health_of(self._now(), now)

    def freshness(self, now: float) -> IndexHealth:
        """Return :meth:`health`; the old name, for one release."""
        warnings.warn("AnnIndex.freshness has moved; write AnnIndex.health", DeprecationWarning, stacklevel=2)
        return self.health(now)

    def state(self) -> dict[str, Any]:
        """Return what to save beside the options: the changes, and FAISS's own bytes as uint8."""
        state = state_of(self._now(), self._usable_vectors())
        return {**state, "choice": self.choice_, "fitted_until": self.fitted_until_}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Raises
        ------
        DataError
            If the index does not fit the vectors.
        """
        snapshot = snapshot_from(state, self._usable_vectors)
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

    def _now(self) -> Snapshot:
        live: Live[Snapshot] = self.live_
        return live.pin()[1]

    def _check_values(self) -> None:
        """Check the vectors themselves: finite, and under the cosine not all zeros, where none may be missing."""
        if self.missing == "error":
            inputs.check_finite("vectors", self.vectors)
            if self.metric == "cosine":
                inputs.require_direction(self.vectors[1:], np.arange(1, len(self.vectors)), "items")
        else:
            some = np.isfinite(self.vectors).any(axis=1, keepdims=True)
            inputs.check_finite("vectors", np.where(some, self.vectors, np.float32(0)))

    def _usable_vectors(self) -> tuple[IntArray | None, Float32Array]:
        """Return the codes (None for all) and the scaled vectors of the items that have one in the options."""
        vectors = self.vectors[1:]
        if self.missing == "error":
            return None, self._scaled(vectors)
        there = np.isfinite(vectors).any(axis=1) & vectors.any(axis=1)
        return np.flatnonzero(there) + 1, self._scaled(vectors[there])

    def _build(self, codes: IntArray | None, vectors: Float32Array) -> Base:
        """Choose and build the index of vectors."""
        n, width = vectors.shape
        self.choice_ = choose(self.kind, n, width, self.memory, recall=self.recall)
        kind = self.choice_.kind
        index = None if kind == "exact" else _faiss.build(vectors, kind, self.n_lists)
        return Base(codes, vectors, kind, index)

    def _probe(self, base: Base) -> int:
        if base.index is None:
            return 1
        return self.n_probe or _faiss.default_probe(base.index)

    def _tuned(self, snapshot: Snapshot) -> Snapshot:
        if self.recall is None or snapshot.base.index is None:
            return snapshot
        reached = smallest_probe(snapshot, self._sample(_QUERIES, snapshot), _K, self.recall)
        return replace(snapshot, n_probe=reached.n_probe)

    def _sample(self, queries: int | Float32Array, snapshot: Snapshot) -> Float32Array:
        if isinstance(queries, np.ndarray):
            return self._checked(queries)
        vectors = snapshot.base.vectors
        if self.query is not None and not callable(self.query) and self.query[1:].any():
            vectors = self.query[1:][self.query[1:].any(axis=1)]
        chosen = np.random.default_rng(0).choice(len(vectors), min(queries, len(vectors)), replace=False)
        return self._scaled(vectors[np.sort(chosen)])

    def _change(self, items: Any, vectors: Any, n_items: int | None, at: float) -> None:
        """Add or replace items, or delete them where there are no vectors."""
        with _WRITING:
            snapshot = self._now()
            size = snapshot.n_items if n_items is None else n_items
            if size < snapshot.n_items:
                raise DataError(
                    f"found n_items={size}; expected at least {snapshot.n_items}, the size so far"
                )
            codes, width = inputs.as_codes(items, size), self.vectors.shape[1]
            if vectors is None:
                scaled = np.zeros((len(codes), width), np.float32)
            else:
                inputs.check_vectors("vectors", vectors, len(codes), width)
                if self.metric == "cosine":
                    inputs.require_direction(vectors, np.arange(len(codes)), "items")
                scaled = self._scaled(vectors)
            alive = vectors is not None
            self.live_.set(snapshot.changed_to(codes, scaled, alive=alive, n_items=size, at=at))

    def _search(
        self, snapshot: Snapshot, queries: Float32Array, k: int, allowed: Any, exclude: Ragged | None
    ) -> tuple[IntArray, Float32Array]:
        """Return item codes and scores, (B, up to k), of the items allowed to all rows or to each."""
        _NUMBER.check("k", k, DataError)
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

    def _asked(self, requests: Requests) -> Requests | RequestsById:
        """Return requests as functions of the user's own get them."""
        return requests if self.codes or self.schema_ is None else RequestsById(requests, self.schema_)

    def _allowed(self, requests: Requests) -> Any:
        """Return which items may be found: a mask for all rows, or a list of codes for each; None for all."""
        if not callable(self.allowed):
            return requests.read(self.allowed)
        given: Any = self.allowed(self._asked(requests))
        if self.schema_ is None or self.codes or not isinstance(given, list | tuple):
            return given
        return known_lists(given, self.schema_.item_ids)

    def _queries(self, requests: Requests, snapshot: Snapshot) -> tuple[Float32Array, BoolArray]:
        """Return a vector for each row, (B, D), and which rows have one, (B,)."""
        width = self.vectors.shape[1]
        if callable(self.query):
            made: Any = self.query(self._asked(requests))
            shape = (len(requests), width)
            if not isinstance(made, np.ndarray) or made.shape != shape or made.dtype != np.float32:
                raise ContractError(
                    f"found {inputs.shown(made)} from the query function; expected float32 {shape}"
                )
            return self._checked(made), np.ones(len(requests), np.bool_)
        if self.query is None:
            vectors = np.zeros((len(requests), width), np.float32)
        else:
            vectors = self.query[requests.user]
            vectors[requests.user == 0] = 0.0
        known = np.asarray(vectors.any(axis=1))
        lacking = (~known).nonzero()[0]
        if len(lacking):
            vectors[lacking] = self._mean_of(requests.signals().take(lacking), snapshot)
            known = np.asarray(vectors.any(axis=1))
        return self._scaled(vectors), known

    def _vectors_of(self, items: IntArray, snapshot: Snapshot) -> Float32Array:
        """Return the vectors of items as they are now; a deleted one still has that of ``fit``."""
        fitted = np.zeros((len(items), self.vectors.shape[1]), np.float32)
        there = (items > 0) & (items < len(self.vectors))
        fitted[there] = np.nan_to_num(self._scaled(self.vectors[items[there]]), nan=0.0)
        return snapshot.vectors_of(items, fitted)

    def _mean_of(self, history: Ragged, snapshot: Snapshot) -> Float32Array:
        """Return the mean vector of each history, zeros for empty ones."""
        known = history.values > 0
        row, item = offsets_to_rows(history.offsets)[known], history.values[known]
        offsets = counts_to_offsets(np.bincount(row, minlength=len(history)))
        mean = np.zeros((len(history), self.vectors.shape[1]), np.float32)
        some = np.flatnonzero(np.diff(offsets))
        if len(some):
            total = np.add.reduceat(self._vectors_of(item, snapshot), offsets[some], axis=0)
            mean[some] = total / np.diff(offsets)[some, None].astype(np.float32)
        return mean

    def _checked(self, queries: Float32Array) -> Float32Array:
        inputs.check_vectors("queries", queries, None, self.vectors.shape[1])
        if self.metric == "cosine":
            inputs.require_direction(queries, np.arange(len(queries)), "queries")
        return self._scaled(queries)

    def _scaled(self, vectors: Float32Array) -> Float32Array:
        if self.metric == "ip":
            return np.ascontiguousarray(vectors)
        norm = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0))


def _check_lists(name: str, lists: Ragged, n_rows: int) -> None:
    if len(lists) != n_rows:
        raise ContractError(f"found {len(lists)} lists in {name}; expected {n_rows}, one for each row")


def _in_rows(found: tuple[IntArray, Float32Array], rows: IntArray, n_rows: int) -> Retrieved:
    """Return the lists of some rows as those of all rows."""
    item = np.zeros((n_rows, found[0].shape[1]), np.int64)
    score = np.zeros(item.shape, np.float32)
    item[rows], score[rows] = found
    return Retrieved.from_padded(item, score)
