"""Scan: the catalogue scans, apart from the diagnosis of a request and with their own budget.

The self-test of a source asks it for the neighbours of single items, as histories of one item, and compares its answers
with those of the baseline's source. The check of arrays looks for values that are not finite and for vectors that all
point one way. The weight of each feature in a ranker is read from its contributions, where it explains them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recokit._kernels.top_k import top_k
from recokit.data import Ragged, Requests, Retrieved
from recokit.debugger.alignment import share_of_another_space
from recokit.debugger.captured import retrieved_batch
from recokit.debugger.model_scan import ModelScan
from recokit.debugger.time_scan import TimeScan
from recokit.protocols import Explainer, traits_of
from recokit.trace import StageEvent, Trace
from recokit.typing import AnyArray, BoolArray, IntArray

#: Answers of one source in the self-test, and how far down the other's may have them.
DEPTH, DEEP = 20, 100
#: Items of each user whose contributions are read.
EXPLAINED = 5
#: Rows of vectors that the check of arrays looks at.
MAX_ROWS = 200_000
#: Answers that an item must be among for its absence elsewhere to count.
SEEN_OFTEN = 2


@dataclass(frozen=True)
class Vectors:
    """An array of vectors that a stage holds.

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
    other_space : float
        Share of rows that are of another training than the rest, by the baseline's array; NaN where that is not known.
    """

    name: str
    not_finite: float
    empty: float
    alike: float
    norm: float
    other_space: float = float("nan")


@dataclass(frozen=True)
class SourceScan:
    """Figures of the scan of one source.

    Parameters
    ----------
    probes : int
        Items that it was queried with; 0 where the source does not answer by history.
    answered : float
        Share of the probes with an answer.
    usual_answered : float
        The same of the baseline's source; NaN without one.
    shared : float
        Mean share of the baseline's first 20 answers that are among the first 20 here; NaN without a baseline.
    vanished : float
        Of the items that are often among the baseline's first 20: the share that is never among the first 100 here.
    appeared : float
        The same the other way round, of the items often here: items that come and go with newer events.
    shared_of_rest : float
        Share of the baseline's answers that are among the first 100 here: of those of these items that did not vanish,
        and of the probes that have an answer.
    distinct : int
        Different answers among those to the probes.
    gone : ndarray of int64
        Codes of vanished items.
    vectors, usual_vectors : tuple of Vectors
        Arrays of the source and of the baseline's source.
    until : float
        Time up to which the source has seen events, ``inf`` where it does not know.
    seconds : float
        Time of the scan.
    """

    probes: int = 0
    answered: float = float("nan")
    usual_answered: float = float("nan")
    shared: float = float("nan")
    vanished: float = float("nan")
    appeared: float = float("nan")
    shared_of_rest: float = float("nan")
    distinct: int = 0
    gone: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    vectors: tuple[Vectors, ...] = ()
    usual_vectors: tuple[Vectors, ...] = ()
    until: float = float("inf")
    seconds: float = 0.0

    @property
    def lost(self) -> float:
        """Share of its items that the source has lost: those vanished beyond the ones that come and go anyway."""
        return max(0.0, 1.0 - (1.0 - self.vanished) / max(1.0 - self.appeared, 1e-9))


@dataclass(frozen=True)
class RankerScan:
    """The weight of each feature in a ranker, on the items that it puts first for some users.

    Parameters
    ----------
    importance : mapping of str to float
        Share of each feature in the sum of the absolute contributions.
    usual : mapping of str to float
        The same of the baseline's ranker; empty without one.
    alike : float
        Cosine of the two; NaN without a baseline.
    seconds : float
        Time of the scan.
    """

    importance: Mapping[str, float]
    usual: Mapping[str, float]
    alike: float
    seconds: float


@dataclass(frozen=True)
class Scan:
    """Figures of all scans, by path.

    Parameters
    ----------
    sources : mapping of str to SourceScan
    rankers : mapping of str to RankerScan
        Of the rankers that explain their scores.
    times : mapping of str to TimeScan
        Of hydrators, sources and blocks of features: whether their answers follow the time.
    models : mapping of str to ModelScan
        What makes the first ranker order the same candidates in another way than the baseline's.
    """

    sources: Mapping[str, SourceScan] = field(default_factory=dict)
    rankers: Mapping[str, RankerScan] = field(default_factory=dict)
    times: Mapping[str, TimeScan] = field(default_factory=dict)
    models: Mapping[str, ModelScan] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.sources or self.rankers)


def offered_in(trace: Trace) -> IntArray:
    """Return the items that the users of a run are offered."""
    batch = retrieved_batch(trace)
    return np.zeros(0, np.int64) if batch is None else batch.item


def probes_of(trace: Trace, offered: IntArray, random: np.random.Generator, size: int) -> IntArray:
    """Draw items that the users of a run have or are offered: those that matter, not the tail of the catalogue."""
    lists = [offered]
    lists += [trace.requests.ragged["history"].values] if "history" in trace.requests.ragged else []
    items = np.unique(np.concatenate(lists))
    items = items[items > 0]
    return np.sort(random.choice(items, min(size, len(items)), replace=False))


def scan_rankers(
    trace: Trace, stages: Mapping[str, Any], usual: Trace | None, usual_stages: Mapping[str, Any]
) -> dict[str, RankerScan]:
    """Return the weight of features in the rankers of a captured run, and of the baseline's."""
    scans = {}
    for event in trace.events:
        stage = stages.get(event.name)
        if event.role != "scorer" or not isinstance(stage, Explainer):
            continue
        started = time.perf_counter()
        mine = _importance(stage, event)
        theirs: dict[str, float] = {}
        usual_stage = usual_stages.get(event.name)
        for other in usual.of(event.name) if usual is not None else ():
            if isinstance(usual_stage, Explainer):
                theirs = _importance(usual_stage, other)
        names = sorted({*mine, *theirs})
        a, b = (np.array([part.get(name, 0.0) for name in names]) for part in (mine, theirs))
        whole = float(np.linalg.norm(a) * np.linalg.norm(b))
        alike = float(a @ b) / whole if whole > 0 else float("nan")
        scans[event.name] = RankerScan(mine, theirs, alike, time.perf_counter() - started)
    return scans


def _importance(stage: Explainer, event: StageEvent) -> dict[str, float]:
    if event.before is None or event.after is None or event.error or not len(event.after):
        return {}
    _, index = top_k(event.after.offsets, event.after.score, EXPLAINED)
    mask = np.zeros(len(event.before), np.bool_)
    mask[index] = True
    try:
        parts = np.abs(stage.contributions(event.before.compress(mask)))
    except Exception:  # the run itself has recorded what fails
        return {}
    share = np.nan_to_num(parts).mean(axis=0)
    return dict(zip(stage.feature_names_, (share / max(float(share.sum()), 1e-30)).tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Probes:
    """Items to query the sources with, each as a history of its own.

    Parameters
    ----------
    items : ndarray of int64
        Their codes.
    now : float
        Time of the queries.
    pinned : mapping
        Live values.
    codes : ndarray of int64, optional
        Code here of each of the baseline's items, if the vocabularies differ.
    usual_items : ndarray of int64, optional
        The baseline's codes of the items, then.
    """

    items: IntArray
    now: float
    pinned: Mapping[int, Any] = field(default_factory=dict)
    codes: IntArray | None = None
    usual_items: IntArray | None = None


def scan_source(stage: Any, usual: Any, probes: Probes) -> SourceScan:
    """Scan one source beside the baseline's, which may be None."""
    started = time.perf_counter()
    traits = traits_of(stage)
    until = traits.fitted_until if traits.fitted_until > -np.inf else np.inf
    same_codes = usual if probes.codes is None else None
    vectors = tuple(vectors_of(stage, same_codes))
    usual_vectors = () if usual is None else tuple(vectors_of(usual))
    base: dict[str, Any] = {"vectors": vectors, "usual_vectors": usual_vectors, "until": until}
    if "history" not in traits.requires:
        return SourceScan(**base, seconds=time.perf_counter() - started)
    mine = _answer(stage, probes.items, probes)
    usual_items = probes.items if probes.usual_items is None else probes.usual_items
    theirs = None if usual is None else _answer(usual, usual_items, probes)
    figures: dict[str, Any] = {}
    if mine is not None:
        answered = float(np.mean(np.diff(mine.offsets) > 0))
        figures = {"probes": len(probes.items), "answered": answered, "distinct": _distinct(mine)}
        if theirs is not None:
            there = theirs.item if probes.codes is None else probes.codes[theirs.item]
            figures |= _compared(mine, theirs.offsets, there)
    return SourceScan(**base, **figures, seconds=time.perf_counter() - started)


def _answer(stage: Any, items: IntArray, probes: Probes) -> Retrieved | None:
    requests = Requests.build(
        np.zeros(len(items), np.int64),
        now=probes.now,
        ragged={"history": Ragged(np.arange(len(items) + 1), items)},
    )
    try:
        answer: Retrieved = stage.retrieve(replace(requests, pinned=dict(probes.pinned)), DEEP)
    except Exception:  # it asks for more than a history: nothing to compare by
        return None
    return answer


def _compared(mine: Retrieved, usual_offsets: IntArray, usual: IntArray) -> dict[str, Any]:
    n_codes = int(max(mine.item.max(initial=0), usual.max(initial=0))) + 1
    (row, first), (usual_row, usual_first) = _places(mine.offsets), _places(usual_offsets)
    usual_answers, answers = usual_row * n_codes + usual, row * n_codes + mine.item
    both = np.isin(usual_answers[usual_first], answers[first])
    often, usually_often = _often(mine.item[first]), _often(usual[usual_first])
    gone, new = np.setdiff1d(usually_often, mine.item), np.setdiff1d(often, usual)
    # Of probes that have an answer: some may have none, another matter.
    rest = (
        usual_first
        & np.isin(usual, np.setdiff1d(usually_often, gone))
        & (np.diff(mine.offsets) > 0)[usual_row]
    )
    return {
        "usual_answered": float(np.mean(np.diff(usual_offsets) > 0)),
        "shared": float(both.mean()) if len(both) else float("nan"),
        "vanished": len(gone) / max(len(usually_often), 1),
        "appeared": len(new) / max(len(often), 1),
        "shared_of_rest": float(np.isin(usual_answers[rest], answers).mean()) if rest.any() else float("nan"),
        "gone": gone,
    }


def _places(offsets: IntArray) -> tuple[IntArray, BoolArray]:
    """Return the probe of each answer, and whether it is among its first."""
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return row, np.arange(len(row)) - offsets[row] < DEPTH


def _distinct(answer: Retrieved) -> int:
    """Return how many different answers there are, of those that are not empty."""
    rows = itertools.pairwise(answer.offsets.tolist())
    return len({answer.item[a:b].tobytes() for a, b in rows if b > a})


def _often(items: IntArray) -> IntArray:
    often: IntArray = np.flatnonzero(np.bincount(items) >= SEEN_OFTEN)
    return often


def vectors_of(stage: Any, usual: Any = None) -> Iterator[Vectors]:
    """Describe the float arrays of a stage that hold a vector for each of many entities, beside the baseline's."""
    for name, value in vars(stage).items():
        if _holds_vectors(value):
            other: Any = getattr(usual, name, None)
            yield _described(name, value[1 : MAX_ROWS + 1], other[1:] if _holds_vectors(other) else None)


def _holds_vectors(value: Any) -> bool:
    is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return is_float and value.ndim == 2 and len(value) > DEPTH


def _described(name: str, rows: AnyArray, usual: AnyArray | None) -> Vectors:
    length = np.linalg.norm(rows, axis=1)
    finite, some = np.isfinite(length), length > 0
    good = finite & some
    unit = rows[good] / length[good, None]
    alike = float(np.linalg.norm(unit.mean(axis=0))) if good.any() else 0.0
    norm = float(np.median(length[good])) if good.any() else 0.0
    other = float("nan") if usual is None else share_of_another_space(rows, usual[: len(rows)])
    return Vectors(
        name=name,
        not_finite=float(1 - finite.mean()),
        empty=float(np.mean(finite & ~some)),
        alike=alike,
        norm=norm,
        other_space=other,
    )
