"""Quality of an AnnIndex: which index was chosen and why, its recall, and its age and coverage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from recokit.candidates.ann import _faiss
from recokit.candidates.ann._snapshot import Snapshot
from recokit.typing import Float32Array

#: Up to so many floats a scan of all vectors takes about a millisecond or two of one core.
_SCANNED = 50_000 * 64
#: Queries compared at once: 256 lists of 100.
_BLOCK = 256


@dataclass(frozen=True)
class Choice:
    """Which index ``AnnIndex`` built.

    Parameters
    ----------
    kind : {"exact", "ivf", "pq", "hnsw"}
    reason : str
        Why.
    bytes_per_item : float
        Memory for each item beside the vectors themselves; an estimate.
    """

    kind: str
    reason: str
    bytes_per_item: float


@dataclass(frozen=True)
class Recall:
    """How much of the true nearest items a search finds.

    Parameters
    ----------
    k : int
        Length of the lists compared.
    mean : float
        Share of the true k nearest that was found, mean over the queries; NaN without queries or items.
    low : float
        The same for the query at the 5th percentile.
    n_queries : int
    n_probe : int
        Lists looked at, or width of the walk.
    """

    k: int
    mean: float
    low: float
    n_queries: int
    n_probe: int


@dataclass(frozen=True)
class IndexHealth:
    """How old an index is, and what it lacks.

    Parameters
    ----------
    age : float
        Seconds since the data that the base was built from ends.
    since_change : float
        Seconds since the last item was added, replaced or deleted; NaN where its time is not known.
    n_catalogue : int
        Items of the catalogue.
    n_searchable : int
        Items that a search can find.
    missing : float
        Share of the catalogue that no search finds; 0 for an empty catalogue.
    n_changed : int
        Items added, replaced or deleted since the base was built; a rebuild merges them.
    changed : float
        The same as a share of the catalogue.
    """

    age: float
    since_change: float
    n_catalogue: int
    n_searchable: int
    missing: float
    n_changed: int
    changed: float


def choose(kind: str, n: int, width: int, memory: int | None, *, recall: float | None) -> Choice:
    """Choose an index by the size of the catalogue, the memory and the recall, unless its kind is named."""

    def chosen(kind: str, reason: str) -> Choice:
        return Choice(kind, reason, _faiss.bytes_per_item(kind, n, width))

    if not n:
        return chosen("exact", "there are no vectors")
    if kind != "auto":
        return chosen(kind, "it was named")
    if n * width <= _SCANNED:
        return chosen("exact", f"{n:,} items x {width} are compared in a millisecond or two")
    if recall is not None and recall >= 1:
        return chosen("exact", "recall=1 leaves nothing to skip")
    needs = {kind: int(n * _faiss.bytes_per_item(kind, n, width)) for kind in ("ivf", "pq")}
    if memory is None or needs["ivf"] <= memory:
        return chosen("ivf", f"{n:,} items x {width} are too many to compare for each request")
    if needs["pq"] <= memory:
        return chosen("pq", f"IVF needs {needs['ivf']:,} bytes of the {memory:,} allowed, PQ {needs['pq']:,}")
    return chosen(
        "exact", f"PQ needs {needs['pq']:,} bytes of the {memory:,} allowed, a scan none; it is slow"
    )


def health_of(snapshot: Snapshot, now: float) -> IndexHealth:
    """Describe a snapshot as of a time."""
    catalogue, changed = snapshot.n_items, len(snapshot.changes)
    return IndexHealth(
        age=now - snapshot.until,
        since_change=now - snapshot.changed,
        n_catalogue=catalogue,
        n_searchable=snapshot.n_searchable,
        missing=1 - snapshot.n_searchable / catalogue if catalogue else 0.0,
        n_changed=changed,
        changed=changed / catalogue if catalogue else 0.0,
    )


def measure(snapshot: Snapshot, queries: Float32Array, k: int) -> Recall:
    """Compare a search with a comparison of everything."""
    return _measure_with(snapshot, queries, k)(snapshot.n_probe)


def smallest_probe(snapshot: Snapshot, queries: Float32Array, k: int, recall: float) -> Recall:
    """Return the smallest ``n_probe`` with a recall, found by halving; the largest where none has it."""
    at = _measure_with(snapshot, queries, k)
    if snapshot.base.index is None or not len(queries):
        return at(snapshot.n_probe)
    low, high, largest = 0, 1, snapshot.base.max_probe
    best = at(high)
    while best.mean < recall and high < largest:
        low, high = high, min(2 * high, largest)
        best = at(high)
    while high - low > 1:
        middle = (low + high) // 2
        between = at(middle)
        if between.mean >= recall:
            high, best = middle, between
        else:
            low = middle
    return best


def _measure_with(snapshot: Snapshot, queries: Float32Array, k: int) -> Callable[[int], Recall]:
    """Return a function from ``n_probe`` to its recall; the true lists are computed once."""
    truth = snapshot.search(queries, k, exact=True)[0]

    def at(n_probe: int) -> Recall:
        probing = replace(snapshot, n_probe=n_probe)
        shares = np.concatenate(
            [
                _shares(truth[i : i + _BLOCK], probing.search(queries[i : i + _BLOCK], k)[0])
                for i in range(0, max(len(queries), 1), _BLOCK)
            ]
        )
        known = len(shares) and truth.shape[1]
        mean = float(shares.mean()) if known else float("nan")
        low = float(np.quantile(shares, 0.05)) if known else float("nan")
        return Recall(k, mean, low, len(queries), n_probe)

    return at


def _shares(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the share of each row's true items that was found, (B,) float64."""
    if not truth.size:
        return np.zeros(len(truth))
    width = int(max(truth.max(), found.max(initial=0))) + 1
    row = np.arange(len(truth))[:, None] * width
    hit = np.isin(row + truth, row + found) & (truth > 0)
    return np.asarray(hit.sum(axis=1) / np.maximum((truth > 0).sum(axis=1), 1))
