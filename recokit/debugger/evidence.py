"""Evidence: what one captured run shows, and the same run with the hard rules off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from recokit.data import Candidates, Requests, Schema
from recokit.result import Recommendations
from recokit.trace import StageEvent, Trace
from recokit.typing import FloatArray, IntArray

__all__ = ["TOP", "Evidence", "Runnable"]

#: How many items from the top the checks look at (R38: of the top 20).
TOP = 20
#: Candidates' scores that differ by less than this share of their size differ by rounding only.
ROUNDING = 1e-6


class Runnable(Protocol):
    """What the debugger needs of a pipeline; ``recokit.Pipeline`` has it."""

    schema: Schema
    names: tuple[str, ...]
    fitted_until: float

    def requests(self, users: Any = None, k: int = 10, **options: Any) -> Requests: ...

    def run(
        self,
        requests: Requests,
        *,
        capture: Any = "summary",
        budget_ms: float | None = None,
        observe: bool = True,
    ) -> Recommendations: ...

    def without(self, *names: str) -> Any: ...

    def __iter__(self) -> Any: ...


@dataclass(frozen=True, eq=False)
class Evidence:
    """One user's run, as checks read it. Row 0 is the user.

    Parameters
    ----------
    trace : Trace
        The captured run.
    open_trace : Trace
        The same requests with the hard rules off.
    stages : mapping of str to object
        The pipeline's fitted stages, by path.
    known_good : ndarray of int64, optional
        Codes of items known to be good for the user, 0 for each that the catalogue does not have; None where nobody
        said.
    item_ids : ndarray-like vocabulary
        Decodes items for evidence.
    budget : float
        Seconds that a request may take.
    baseline : Evidence, optional
        The same user's run on a healthy pipeline.
    """

    trace: Trace
    open_trace: Trace
    stages: Mapping[str, Any]
    known_good: IntArray | None
    item_ids: Any
    budget: float
    baseline: Evidence | None = field(default=None, repr=False)

    @property
    def now(self) -> float:
        """Request time."""
        return float(self.trace.requests.now[0])

    @property
    def k(self) -> int:
        """List length wanted."""
        return int(self.trace.requests.k[0])

    @property
    def selected(self) -> IntArray:
        """Codes of the list as served."""
        return self.trace.selected.item

    @cached_property
    def cold(self) -> bool:
        """Whether the user is known to have no history at the request's time."""
        requests = self.trace.requests
        if "history" in requests.ragged:
            return len(requests.ragged["history"].values) == 0
        return self.unknown

    @property
    def unknown(self) -> bool:
        """Whether the model does not know the user."""
        return int(self.trace.requests.user[0]) == 0

    @cached_property
    def retrieved(self) -> Candidates | None:
        """The candidates as fused, before any rule."""
        found = [event for event in self.trace.events if event.role == "source" and event.after is not None]
        return found[0].after if found else None

    @cached_property
    def candidate_sources(self) -> dict[str, int]:
        """Candidates by source; an item that two sources found counts for both."""
        batch = self.retrieved
        if batch is None:
            return {}
        bits = [
            int(((batch.sources >> np.uint64(bit)) & np.uint64(1)).sum())
            for bit in range(len(batch.source_names))
        ]
        return dict(zip(batch.source_names, bits, strict=True))

    def first_of(self, source: str) -> IntArray:
        """Return the codes of the items that one source ranks first, those of them that are candidates."""
        rank = None if self.retrieved is None else self.retrieved.columns.get(f"{source}_rank")
        if self.retrieved is None or rank is None:
            return np.zeros(0, np.int64)
        return self.retrieved.item[rank <= TOP]

    @cached_property
    def dead_features(self) -> list[str]:
        """Features without a value for any candidate."""
        batch = self.ranked
        if batch is None or not len(batch):
            return []
        there = np.any(np.isfinite(batch.features), axis=0)
        return [name for i, name in enumerate(batch.feature_names) if not there[i]]

    @cached_property
    def ranked(self) -> Candidates | None:
        """The candidates as they were scored, before selection."""
        return _before_selection(self.trace)

    @cached_property
    def top(self) -> IntArray:
        """Positions in ``ranked`` of the best by score; the best, not the first retrieved."""
        return _best(self.ranked, TOP)

    @cached_property
    def top_scores(self) -> FloatArray:
        """Scores of the ten best, descending, as they are (NaN included)."""
        return self.scores[self.top[:10]]

    @cached_property
    def scores(self) -> FloatArray:
        """What the last scorer said of the ``ranked`` ones, NaN included, where selection had to put a stand-in."""
        if self.ranked is None:
            return np.zeros(0)
        scored = [
            event.after for event in self.trace.events if event.role == "scorer" and event.after is not None
        ]
        if not scored or not len(scored[-1]):
            return self.ranked.score.astype(np.float64)
        order = np.argsort(scored[-1].item)
        place = order[np.searchsorted(scored[-1].item[order], self.ranked.item)]
        return scored[-1].score[place].astype(np.float64)

    @cached_property
    def spread(self) -> float:
        """Range of the ten best scores, on the ranker's own scale; NaN without two finite scores."""
        finite = self.top_scores[np.isfinite(self.top_scores)]
        return float(finite.max() - finite.min()) if len(finite) > 1 else float("nan")

    @cached_property
    def relative_spread(self) -> float:
        """Range of the ten best as a share of the range of the upper half: the same for a ranker times any number.

        The lower half has no say, so that demoted candidates far below do not make the best look alike.
        """
        if not np.isfinite(self.spread):
            return float("nan")
        score = self.scores[np.isfinite(self.scores)]
        upper = score[score >= np.median(score)]
        whole = max(float(upper.max() - upper.min()), ROUNDING * float(np.abs(upper).max()))
        return self.spread / whole if whole > 0 else 0.0

    @cached_property
    def has_scorer(self) -> bool:
        """Whether anything is meant to score."""
        return any(event.role == "scorer" for event in self.trace.events)

    @cached_property
    def feature_coverage(self) -> dict[str, float]:
        """Share of the top items with a value, by feature; one that a new user cannot have is left out."""
        batch = self.ranked
        if batch is None or not batch.feature_names or not len(self.top):
            return {}
        there = np.isfinite(batch.features)
        covered = there[self.top].mean(axis=0)
        known = np.ones(len(covered), np.bool_)
        if (self.cold or self.unknown) and there.any():
            # Missing for every candidate: the user's own past or attributes. There are none, which is no fault.
            known = np.any(there, axis=0)
        return {name: float(covered[i]) for i, name in enumerate(batch.feature_names) if known[i]}

    @cached_property
    def feature_age(self) -> dict[str, float]:
        """Age of each feature in seconds at the request's time, where its stage tells."""
        names = set() if self.ranked is None else set(self.ranked.feature_names)
        ages: dict[str, float] = {}
        for stage in self.stages.values():
            if hasattr(stage, "freshness"):
                known = stage.freshness()
                ages |= {name: self.now - known[name] for name in known if name in names}
        return ages

    @cached_property
    def removed(self) -> dict[str, list[int]]:
        """Of the best candidates with the hard rules off: those that each rule removed, by the rule's own record."""
        open_batch = _before_selection(self.open_trace)
        wanted = [] if open_batch is None else open_batch.item[_best(open_batch, TOP)].tolist()
        found: dict[str, list[int]] = {}
        for event in self.trace.events:
            if event.role != "filter" or event.before is None or event.kept is None:
                continue
            gone = set(event.before.item[~event.kept].tolist())
            found[event.name] = sorted(
                {*found.get(event.name, []), *(item for item in wanted if item in gone)}
            )
        return found

    @cached_property
    def n_open(self) -> int:
        """Candidates with the hard rules off."""
        batch = _before_selection(self.open_trace)
        return 0 if batch is None else len(batch)

    @cached_property
    def exchanged(self) -> int:
        """Items of the top k by score that limits and diversity kept off the list."""
        if self.ranked is None:
            return 0
        best = self.ranked.item[self.top[: self.k]]
        return len(np.setdiff1d(best, self.selected))

    def ids(self, codes: Any) -> list[Any]:
        """Return external ids, ten at most."""
        return list(self.item_ids.decode(np.asarray(codes, np.int64)[:10]).tolist())

    def slowest(self) -> StageEvent | None:
        """Return the stage that took longest."""
        return max(self.trace.events, key=lambda event: event.seconds, default=None)


def _before_selection(trace: Trace) -> Candidates | None:
    return next((event.before for event in trace.events if event.role == "selection"), None)


def _best(batch: Candidates | None, n: int) -> IntArray:
    if batch is None:
        return np.zeros(0, np.int64)
    key = np.where(np.isfinite(batch.score), -batch.score, np.inf)
    return np.argsort(key, kind="stable")[:n]
