"""Comparison: where the runs of two pipelines first differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.report import Content, Report, Table
from recokit.data import Candidates, Vocabulary
from recokit.trace import StageEvent, Trace


@dataclass(frozen=True, repr=False)
class Comparison(Report):
    """Where two pipelines first differ.

    Parameters
    ----------
    first : mapping of str to int
        Users by the first stage whose answers differ; ``"same"`` where none does.
    """

    first: Mapping[str, int]

    @property
    def stage(self) -> str:
        """The stage where most users' runs first differ, ``"same"`` if none differs."""
        differing = {name: n for name, n in self.first.items() if name != "same"}
        return max(differing, key=lambda name: differing[name]) if differing else "same"

    @property
    def shares(self) -> dict[str, float]:
        """Share of the users by first stage of divergence."""
        total = max(sum(self.first.values()), 1)
        return {name: n / total for name, n in self.first.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return stage and numbers, ready for JSON."""
        return {"stage": self.stage, "first": dict(self.first), "shares": self.shares}

    def _content(self) -> Content:
        rows = [(name, f"{n:,}", f"{self.shares[name]:.0%}") for name, n in self.first.items()]
        where = (
            "the runs do not differ" if self.stage == "same" else f"most runs first differ at {self.stage}"
        )
        return Content("First difference", [Table(("stage", "users", "share"), rows)], where)


def first_difference(mine: Trace, theirs: Trace, ids_a: Vocabulary, ids_b: Vocabulary) -> str:
    """Return the path of the first stage that answers otherwise in the second of two runs of one user."""
    a, b = _answers(mine, ids_a), _answers(theirs, ids_b)
    for name, answer in a.items():
        if name not in b:
            return name
        if not _same(answer, b[name]):
            return name
    added = [name for name in b if name not in a]
    if added:
        return added[0]
    return "same" if _ids(ids_a, mine.selected) == _ids(ids_b, theirs.selected) else "list"


def _answers(trace: Trace, ids: Vocabulary) -> dict[str, Any]:
    """Return the answer of each stage, by path, in the order of the funnel."""
    answers: dict[str, Any] = {}
    for event in trace.events:
        if event.role == "source" and event.after is not None:
            for leaf in event.after.source_names:
                name = next((one.name for one in trace.events if one.name.rpartition(".")[2] == leaf), leaf)
                answers[name] = _SourceAnswer(_n_found(trace, name), _of_source(ids, event.after, leaf))
            answers[event.name] = _ids(ids, event.after)
        elif event.name not in answers and event.after is not None:
            answers[event.name] = _answer(ids, event)
    return answers


@dataclass(frozen=True)
class _SourceAnswer:
    """The answer of a source: how many items, and by rank those of them that fusion kept."""

    n: int
    kept: Mapping[int, Any]

    def same(self, other: _SourceAnswer) -> bool:
        """Whether two sources answer alike, whatever fusion made of the answers."""
        items = {item: rank for rank, item in self.kept.items()}
        return self.n == other.n and all(
            self.kept.get(rank, item) == item and items.get(item, rank) == rank
            for rank, item in other.kept.items()
        )


def _n_found(trace: Trace, name: str) -> int:
    return sum(event.n_out for event in trace.events if event.name == name)


def _answer(ids: Vocabulary, event: StageEvent) -> Any:
    assert event.after is not None
    if event.role == "filter" and event.before is not None and event.kept is not None:
        return _ids(ids, event.before.compress(event.kept))
    if event.role == "featurizer":
        first = 0 if event.before is None else len(event.before.feature_names)
        return event.after.feature_names[first:], event.after.features[:, first:]
    if event.role == "scorer":
        return ("score",), event.after.score
    return _ids(ids, event.after)


def _of_source(ids: Vocabulary, batch: Candidates, leaf: str) -> dict[int, Any]:
    rank = batch.columns.get(f"{leaf}_rank")
    if rank is None:
        return {}
    known = np.flatnonzero(np.isfinite(rank))
    items = ids.decode(batch.item[known]).tolist()
    return dict(zip(rank[known].astype(np.int64).tolist(), items, strict=True))


def _ids(vocabulary: Vocabulary, batch: Candidates) -> list[Any]:
    return list(vocabulary.decode(batch.item).tolist())


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, _SourceAnswer) and isinstance(b, _SourceAnswer):
        return a.same(b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return a[0] == b[0] and np.array_equal(a[1], b[1], equal_nan=True)
    return bool(a == b)
