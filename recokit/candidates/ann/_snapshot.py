"""Snapshot of an AnnIndex: an immutable base, and the items changed since it was built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import counts_to_offsets
from recokit.candidates.ann import _faiss
from recokit.candidates.ann._base import Base, Visible, scan
from recokit.data import Ragged
from recokit.errors import DataError
from recokit.typing import BoolArray, Float32Array, IntArray

#: How much further a search looks for rows that came back short.
_WIDER = 4


#: What a search may return: a mask by item code, or ascending item codes.
Allowed = BoolArray | IntArray | None


@dataclass(frozen=True, eq=False)
class Changes:
    """The items changed since the base was built, each once, as it is now.

    Parameters
    ----------
    code : ndarray of int64, shape (T,)
        Item codes, ascending.
    vector : ndarray of float32, shape (T, D)
        Zeros for a deleted item.
    alive : ndarray of bool, shape (T,)
        False for a deleted item.
    number : ndarray of int64, shape (T,)
        The number of the change, counted from 1, by which a rebuild knows the changes that came while it worked.
    """

    code: IntArray
    vector: Float32Array
    alive: BoolArray
    number: IntArray

    @classmethod
    def none(cls, width: int) -> Changes:
        """Return no changes to vectors of this width."""
        empty = np.zeros(0, np.int64)
        return cls(empty, np.zeros((0, width), np.float32), np.zeros(0, np.bool_), empty)

    def __len__(self) -> int:
        return len(self.code)

    def take(self, which: IntArray | BoolArray) -> Changes:
        """Return some of the changes."""
        return Changes(self.code[which], self.vector[which], self.alive[which], self.number[which])

    def put(self, code: IntArray, vector: Float32Array, number: int, *, alive: bool) -> Changes:
        """Return the changes with these items, distinct, put in place of what they were."""
        kept = self.take(~np.isin(self.code, code))
        both = Changes(
            np.concatenate([kept.code, code]),
            np.concatenate([kept.vector, vector]),
            np.concatenate([kept.alive, np.full(len(code), alive)]),
            np.concatenate([kept.number, np.full(len(code), number, np.int64)]),
        )
        return both.take(np.argsort(both.code))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A base and its changes, as one run sees them.

    Parameters
    ----------
    base : Base
    changes : Changes
    n_items : int
        Size of the catalogue; item codes run from 1 to it.
    n_probe : int
        How widely the base is searched.
    number : int
        Changes made since ``fit``.
    until : float
        Time of the data that the base was built from, seconds since 1970.
    changed : float
        Time of the last change, NaN where it is not known.
    """

    base: Base
    changes: Changes
    n_items: int
    n_probe: int
    number: int
    until: float
    changed: float = float("nan")

    @cached_property
    def in_base(self) -> Visible:
        """The positions of the base that were not changed since."""
        mask = np.ones(len(self.base), np.bool_)
        position = self.base.position_of(self.changes.code)
        mask[position[position >= 0]] = False
        return Visible.of(mask)

    @cached_property
    def tail(self) -> Changes:
        """The changed items that were not deleted."""
        return self.changes.take(self.changes.alive)

    @property
    def n_searchable(self) -> int:
        """How many items a search can find."""
        return self.in_base.count + len(self.tail)

    def changed_to(
        self,
        code: IntArray,
        vector: Float32Array,
        *,
        alive: bool,
        n_items: int,
        at: float,
    ) -> Snapshot:
        """Return a snapshot with these items, distinct, added, replaced or (not alive) deleted."""
        number = self.number + 1
        changes = self.changes.put(code, vector, number, alive=alive)
        return replace(self, changes=changes, n_items=n_items, number=number, changed=at)

    def merged(self) -> tuple[IntArray, Float32Array]:
        """Return the codes, ascending, and the vectors of all searchable items."""
        if not len(self.changes):
            return self.base.all_codes, self.base.vectors
        kept = self.in_base.mask if self.in_base.mask is not None else np.ones(len(self.base), np.bool_)
        code = np.concatenate([self.base.all_codes[kept], self.tail.code])
        order = np.argsort(code)
        return code[order], np.concatenate([self.base.vectors[kept], self.tail.vector])[order]

    def rebased(self, base: Base, built_from: Snapshot, n_probe: int, until: float) -> Snapshot:
        """Return this snapshot on a base that an earlier one was merged into: later changes stay."""
        changes = self.changes.take(self.changes.number > built_from.number)
        return replace(self, base=base, changes=changes, n_probe=n_probe, until=until)

    def vectors_of(self, codes: IntArray, default: Float32Array) -> Float32Array:
        """Return the vector of each item, (N, D), the default (N, D) for those that are not searchable."""
        vectors = default.copy()
        position = self.base.position_of(codes)
        vectors[position >= 0] = self.base.vectors[position[position >= 0]]
        if len(self.tail):
            place = np.minimum(np.searchsorted(self.tail.code, codes), len(self.tail) - 1)
            same = self.tail.code[place] == codes
            vectors[same] = self.tail.vector[place[same]]
        return vectors

    def search(
        self,
        queries: Float32Array,
        k: int,
        *,
        allowed: Allowed = None,
        exclude: Ragged | None = None,
        exact: bool = False,
    ) -> tuple[IntArray, Float32Array]:
        """Return item codes (0 where there are no more) and scores, (B, up to k), best first, ties by code.

        Parameters
        ----------
        queries : ndarray of float32, shape (B, D)
            Finite.
        k : int
        allowed : ndarray, optional
            One filter for all rows: bool by item code (n_items + 1,), or ascending item codes.
        exclude : Ragged, optional
            For each row, item codes that it must not get.
        exact : bool, default False
            Compare all vectors, whatever the index.
        """
        visible, tail = self._visible(allowed)
        k = min(k, visible.count + len(tail))
        if exclude is None and not len(tail):
            return _in_order(*self._search_base(queries, k, 0, visible, None, exact=exact))
        item = np.zeros((len(queries), k), np.int64)
        score = np.full(item.shape, -np.inf, np.float32)
        for rows, extra in _by_extra(exclude, len(queries)):
            part = queries[rows]
            lists = exclude.take(rows) if exclude is not None and extra else None
            nearest = self._search_base(part, k, extra, visible, lists, exact=exact)
            item[rows], score[rows] = _merge(nearest, _search_tail(tail, part, k + extra, lists), k)
        return item, score

    def _visible(self, allowed: Allowed) -> tuple[Visible, Changes]:
        if allowed is None:
            return self.in_base, self.tail
        standing = self.in_base.mask
        if allowed.dtype == np.bool_:
            mask = self.base.select(cast(BoolArray, allowed))
            mask = mask if standing is None else mask & standing
            return Visible.of(mask), self.tail.take(allowed[self.tail.code])
        position = self.base.position_of(cast(IntArray, allowed))
        position = position[position >= 0]
        if standing is not None:
            position = position[standing[position]]
        tail = self.tail.take(np.isin(self.tail.code, allowed))
        return Visible(None, position, len(position)), tail

    def _search_base(
        self,
        queries: Float32Array,
        k: int,
        extra: int,
        visible: Visible,
        exclude: Ragged | None,
        *,
        exact: bool,
    ) -> tuple[IntArray, Float32Array]:
        wanted = min(k + extra, visible.count)
        if exact:
            position, score = scan(self.base.vectors, queries, wanted, visible)
            return _without(self.base.code_of(position), score, exclude)
        probe = self.n_probe
        position, score = self.base.search(queries, wanted, probe, visible, usual=k)
        # An index may come back with less than there is: those rows look further, at last at everything.
        short = (position[:, -1] < 0).nonzero()[0] if wanted else np.zeros(0, np.int64)
        while len(short) and probe < self.base.max_probe:
            probe = min(_WIDER * probe, self.base.max_probe)
            further = self.base.search(queries[short], wanted, probe, visible, usual=k)
            position[short], score[short] = further
            short = short[further[0][:, -1] < 0]
        if len(short) and self.base.index is not None:
            position[short], score[short] = scan(self.base.vectors, queries[short], wanted, visible)
        return _without(self.base.code_of(position), score, exclude)


def _by_extra(exclude: Ragged | None, n_rows: int) -> list[tuple[IntArray, int]]:
    """Group rows by how many more items than k they must ask for: their excluded ones, up to a power of two.

    So a row with a hundred thousand excluded items does not make the others ask for as many.
    """
    if exclude is None:
        return [(np.arange(n_rows), 0)] if n_rows else []
    counts = exclude.counts
    extra = np.where(counts > 0, 1 << np.ceil(np.log2(np.maximum(counts, 1))).astype(np.int64), 0)
    return [(np.flatnonzero(extra == size), int(size)) for size in np.unique(extra)]


def _search_tail(
    tail: Changes, queries: Float32Array, k: int, exclude: Ragged | None
) -> tuple[IntArray, Float32Array]:
    count = len(tail)
    position, score = scan(tail.vector, queries, min(k, count), Visible(None, None, count))
    code = np.where(position < 0, 0, tail.code[position]) if count else position
    return _without(code, score, exclude)


def _without(item: IntArray, score: Float32Array, exclude: Ragged | None) -> tuple[IntArray, Float32Array]:
    """Blank what a row must not get, and what is no item."""
    hidden = item <= 0
    if exclude is None and not hidden.any():
        return item, score.astype(np.float32, copy=False)
    if exclude is not None and item.size:
        row = np.repeat(np.arange(len(item)), item.shape[1])
        excluded = pairs_in_sets(row, np.maximum(item, 0).ravel(), exclude.offsets, exclude.values)
        hidden |= excluded.reshape(item.shape)
    return np.where(hidden, 0, item), np.where(hidden, -np.inf, score).astype(np.float32)


def _in_order(item: IntArray, score: Float32Array) -> tuple[IntArray, Float32Array]:
    """Return lists that come best first with their ties in the order of codes."""
    if (score[:, 1:] < score[:, :-1]).all():
        return item, score
    order = np.lexsort((item, -score), axis=1)
    return np.take_along_axis(item, order, axis=1), np.take_along_axis(score, order, axis=1)


def _merge(
    base: tuple[IntArray, Float32Array], tail: tuple[IntArray, Float32Array], k: int
) -> tuple[IntArray, Float32Array]:
    """Return the k best of both."""
    item, score = np.hstack([base[0], tail[0]]), np.hstack([base[1], tail[1]])
    offsets = counts_to_offsets(np.full(len(item), item.shape[1], np.int64))
    row = np.repeat(np.arange(len(item)), item.shape[1])
    order = np.lexsort((item.ravel(), -score.ravel(), row))
    first = (offsets[:-1, None] + np.arange(k)).ravel()
    order = order[first].reshape(len(item), k)
    return item.ravel()[order], score.ravel()[order]


#: Item codes (None for all) and vectors, as the options of an AnnIndex hold them.
Own = tuple[IntArray | None, Float32Array]


def state_of(snapshot: Snapshot, own: Own) -> dict[str, Any]:
    """Return a snapshot as arrays and numbers; vectors that the options hold are left to them."""
    base = snapshot.base
    same = base.vectors.shape == own[1].shape and bool(np.array_equal(base.vectors, own[1]))
    return {
        "codes": base.codes,
        "vectors": None if same else base.vectors,
        "kind": base.kind,
        "index": None if base.index is None else _faiss.to_bytes(base.index),
        "changes": snapshot.changes,
        "n_items": snapshot.n_items,
        "n_probe": snapshot.n_probe,
        "number": snapshot.number,
        "until": snapshot.until,
        "changed": snapshot.changed,
    }


def snapshot_from(state: dict[str, Any], own: Callable[[], Own]) -> Snapshot:
    """Return the snapshot that :func:`state_of` described.

    Raises
    ------
    DataError
        If codes, vectors and index do not belong together.
    """
    codes = state["codes"]
    vectors = own()[1] if state["vectors"] is None else np.ascontiguousarray(state["vectors"])
    if codes is not None and len(codes) != len(vectors):
        raise DataError(f"found {len(codes)} item codes for {len(vectors)} vectors; expected one for each")
    index = None
    if state["index"] is not None:
        index = _faiss.from_bytes(state["index"], len(vectors), vectors.shape[1])
    return Snapshot(
        base=Base(codes, vectors, state["kind"], index),
        changes=state["changes"],
        n_items=state["n_items"],
        n_probe=state["n_probe"],
        number=state["number"],
        until=state["until"],
        changed=state["changed"],
    )
