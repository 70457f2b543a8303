"""Scan: the catalogue scans, apart from the diagnosis of a request and with their own budget.

The self-test of a source asks it for the neighbours of single items, as histories of one item, and compares its answers
with those of the baseline's source. The check of arrays looks for values that are not finite and for vectors that all
point one way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recokit.data import Ragged, Requests, Retrieved
from recokit.typing import AnyArray, IntArray

__all__ = ["SourceScan", "Vectors", "scan_source", "vectors_of"]

#: Answers of the self-test that are compared.
DEPTH = 20
#: Rows of vectors that the check of arrays looks at, at most.
MOST_ROWS = 200_000
#: Baseline answers that an item must be among before its absence tells anything.
SEEN_OFTEN = 2


@dataclass(frozen=True)
class Vectors:
    """What the arrays of a stage are like.

    Parameters
    ----------
    name : str
        Attribute.
    not_finite : float
        Share of rows with a value that is NaN or infinite.
    empty : float
        Share of rows of zeros.
    alike : float
        Length of the mean of the unit vectors: near 1 where they all point one way, near 0 where they spread.
    norm : float
        Median length of the others.
    """

    name: str
    not_finite: float
    empty: float
    alike: float
    norm: float


@dataclass(frozen=True)
class SourceScan:
    """What the scan of one source found.

    Parameters
    ----------
    probes : int
        Items whose neighbours were asked for; 0 where the source does not answer by history.
    answered : float
        Share of the probes with an answer.
    usual_answered : float
        The same of the baseline's source; NaN without one.
    shared : float
        Mean share of the baseline's first 20 answers that are among the first 20 here; NaN without a baseline.
    vanished : float
        Of the items that are often among the baseline's answers: the share that is never among the answers here.
    shared_of_rest : float
        ``shared`` among the items that did not vanish.
    gone : ndarray of int64
        Codes of vanished items.
    vectors, usual_vectors : tuple of Vectors
        Arrays of the source and of the baseline's source.
    until : float
        Time up to which the source has seen events, ``inf`` where it does not tell.
    seconds : float
        What the scan took.
    """

    probes: int = 0
    answered: float = float("nan")
    usual_answered: float = float("nan")
    shared: float = float("nan")
    vanished: float = float("nan")
    shared_of_rest: float = float("nan")
    gone: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    vectors: tuple[Vectors, ...] = ()
    usual_vectors: tuple[Vectors, ...] = ()
    until: float = float("inf")
    seconds: float = 0.0


def scan_source(
    stage: Any,
    usual: Any,
    items: IntArray,
    now: float,
    codes: IntArray | None,
    usual_items: IntArray | None,
    pinned: Mapping[int, Any],
) -> SourceScan:
    """Scan one source.

    Parameters
    ----------
    stage, usual : object
        The source, and the baseline's, or None.
    items : ndarray of int64
        Codes to ask with.
    now : float
        Time of the probes.
    codes : ndarray of int64, optional
        Code here of each of the baseline's items, if the vocabularies differ.
    usual_items : ndarray of int64, optional
        The baseline's codes of ``items``.
    pinned : mapping
        Live values.
    """
    started = time.perf_counter()
    until = float(getattr(stage, "fitted_until_", np.inf))
    vectors = tuple(vectors_of(stage))
    usual_vectors = () if usual is None else tuple(vectors_of(usual))
    base: dict[str, Any] = {"vectors": vectors, "usual_vectors": usual_vectors, "until": until}
    if "history" not in getattr(stage, "requires", ()):
        return SourceScan(**base, seconds=time.perf_counter() - started)
    mine = _ask(stage, items, now, pinned)
    theirs = (
        None if usual is None else _ask(usual, items if usual_items is None else usual_items, now, pinned)
    )
    found: dict[str, Any] = {}
    if mine is not None:
        found = {"probes": len(items), "answered": float(np.mean(np.diff(mine.offsets) > 0))}
        if theirs is not None:
            there = theirs.item if codes is None else codes[theirs.item]
            found |= _compared(mine, theirs.offsets, there)
    return SourceScan(**base, **found, seconds=time.perf_counter() - started)


def _ask(stage: Any, items: IntArray, now: float, pinned: Mapping[int, Any]) -> Retrieved | None:
    requests = Requests.build(
        np.zeros(len(items), np.int64), now=now, ragged={"history": Ragged(np.arange(len(items) + 1), items)}
    )
    try:
        answer: Retrieved = stage.retrieve(replace(requests, pinned=dict(pinned)), DEPTH)
    except Exception:  # it asks for more than a history: nothing to compare by
        return None
    return answer


def _compared(mine: Retrieved, usual_offsets: IntArray, usual: IntArray) -> dict[str, Any]:
    n = len(usual_offsets) - 1
    row, usual_row = (
        np.repeat(np.arange(n), np.diff(mine.offsets)),
        np.repeat(np.arange(n), np.diff(usual_offsets)),
    )
    n_codes = int(max(mine.item.max(initial=0), usual.max(initial=0))) + 1
    both = np.isin(usual_row * n_codes + usual, row * n_codes + mine.item)
    often = np.flatnonzero(np.bincount(usual, minlength=n_codes) >= SEEN_OFTEN)
    gone = np.setdiff1d(often, mine.item)
    rest = ~np.isin(usual, gone)
    return {
        "usual_answered": float(np.mean(np.diff(usual_offsets) > 0)),
        "shared": float(both.mean()) if len(both) else float("nan"),
        "vanished": len(gone) / len(often) if len(often) else 0.0,
        "shared_of_rest": float(both[rest].mean()) if rest.any() else float("nan"),
        "gone": gone,
    }


def vectors_of(stage: Any) -> Iterator[Vectors]:
    """Describe the float arrays of a stage that hold a vector for each of many entities."""
    for name, value in vars(stage).items():
        array = getattr(value, "value", value)
        if (
            isinstance(array, np.ndarray)
            and array.dtype.kind == "f"
            and array.ndim == 2
            and len(array) > DEPTH
        ):
            yield _described(name, array[1 : MOST_ROWS + 1])


def _described(name: str, rows: AnyArray) -> Vectors:
    length = np.linalg.norm(rows, axis=1)
    finite, some = np.isfinite(length), length > 0
    good = finite & some
    unit = rows[good] / length[good, None]
    alike = float(np.linalg.norm(unit.mean(axis=0))) if good.any() else 0.0
    norm = float(np.median(length[good])) if good.any() else 0.0
    return Vectors(name, float(1 - finite.mean()), float(np.mean(finite & ~some)), alike, norm)
