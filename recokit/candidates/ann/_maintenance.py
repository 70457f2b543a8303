"""What happens to an AnnIndex between fits: items come and go, the base is rebuilt, its recall is measured."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from recokit._utils.params import Configured, require_fitted
from recokit.candidates.ann import _checks as inputs
from recokit.candidates.ann import _faiss
from recokit.candidates.ann._base import Base
from recokit.candidates.ann._quality import (
    Choice,
    Freshness,
    Recall,
    choose,
    freshness_of,
    measure,
    narrowest,
)
from recokit.candidates.ann._snapshot import Changes, Snapshot
from recokit.data import Live
from recokit.errors import DataError
from recokit.typing import Float32Array, IntArray

__all__ = ["Upkeep"]

_ITEMS = 100
#: Changes are short and rare: one lock for all indexes keeps the stages free of locks, which no copy could carry.
_WRITING = threading.Lock()


class Upkeep(Configured):
    """The part of :class:`AnnIndex` that changes and watches it; see there for the options."""

    vectors: Float32Array
    query: Any
    kind: Literal["auto", "exact", "ivf", "pq", "hnsw"]
    n_lists: int | None
    n_probe: int | None
    metric: Literal["ip", "cosine"]
    recall: float | None
    memory: int | None
    missing: Literal["error", "skip"]
    live_: Live[Snapshot]
    choice_: Choice

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
            Time of the change, seconds since 1970, for :meth:`freshness`.

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
        codes, vectors = began.merged()
        base = self._built(codes, vectors)
        tuned = self._tuned(
            replace(began, base=base, changes=Changes.none(self.vectors.shape[1]), n_probe=self._probe(base))
        )
        with _WRITING:
            until = began.until if until is None else until
            self.live_.set(self._now().rebased(base, began, tuned.n_probe, until))

    def tune(self, recall: float, queries: int | Float32Array = 256, *, k: int = _ITEMS) -> Recall:
        """Search with the smallest ``n_probe`` that finds the wanted share of the true k nearest.

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
            With the ``n_probe`` taken; below the wanted recall if even the largest does not reach it.
        """
        inputs.check_share("recall", recall)
        snapshot = self._now()
        found = narrowest(snapshot, self._sample(queries, snapshot), k, recall)
        with _WRITING:
            self.live_.set(replace(self._now(), n_probe=found.n_probe))
        return found

    def measure_recall(self, queries: int | Float32Array = 256, *, k: int = _ITEMS) -> Recall:
        """Compare what a search finds with a comparison of everything; parameters as those of :meth:`tune`."""
        snapshot = self._now()
        return measure(snapshot, self._sample(queries, snapshot), k)

    def freshness(self, now: float) -> Freshness:
        """Tell how old the index is at a time (seconds since 1970), and which share of the catalogue it lacks."""
        return freshness_of(self._now(), now)

    def _now(self) -> Snapshot:
        require_fitted(self, "live_")
        return self.live_.pin()[1]

    def _given_vectors(self) -> tuple[IntArray | None, Float32Array]:
        """Return what the options hold: codes (None for all), and vectors as the metric wants them."""
        vectors = self.vectors[1:]
        if self.missing == "error":
            return None, self._scaled(vectors)
        there = np.isfinite(vectors).any(axis=1) & vectors.any(axis=1)
        return np.flatnonzero(there) + 1, self._scaled(vectors[there])

    def _built(self, codes: IntArray | None, vectors: Float32Array) -> Base:
        """Build the index of vectors, and note which it is."""
        n, width = vectors.shape
        self.choice_ = choose(self.kind, n, width, self.memory, self.recall)
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
        found = narrowest(snapshot, self._sample(256, snapshot), _ITEMS, self.recall)
        return replace(snapshot, n_probe=found.n_probe)

    def _sample(self, queries: int | Float32Array, snapshot: Snapshot) -> Float32Array:
        if isinstance(queries, np.ndarray):
            return self._checked(queries)
        vectors = snapshot.base.vectors
        if self.query is not None and not callable(self.query) and self.query[1:].any():
            vectors = self.query[1:][self.query[1:].any(axis=1)]
        chosen = np.random.default_rng(0).choice(len(vectors), min(queries, len(vectors)), replace=False)
        return self._scaled(vectors[np.sort(chosen)])

    def _change(self, items: Any, vectors: Any, n_items: int | None, at: float) -> None:
        require_fitted(self, "live_")
        with _WRITING:
            snapshot = self._now()
            size = snapshot.n_items if n_items is None else n_items
            if size < snapshot.n_items:
                raise DataError(
                    f"found n_items={size}; expected at least {snapshot.n_items}, the size so far"
                )
            codes = inputs.as_codes(items, size)
            width = self.vectors.shape[1]
            if vectors is None:
                scaled = np.zeros((len(codes), width), np.float32)
            else:
                inputs.check_vectors("vectors", vectors, len(codes), width)
                if self.metric == "cosine":
                    inputs.require_direction(vectors, np.arange(len(codes)), "items")
                scaled = self._scaled(vectors)
            alive = vectors is not None
            self.live_.set(snapshot.changed_to(codes, scaled, alive=alive, n_items=size, at=at))

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
