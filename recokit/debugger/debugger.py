"""RecommendationDebugger: from "recommendations look bad" to the stage, the cause and the action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit.data import Candidates, Categorical, Dataset, Requests, Vocabulary
from recokit.data.segments import segments_by
from recokit.debugger.checks import CHECKS, Check
from recokit.debugger.checks_features import FeatureFreshness
from recokit.debugger.diagnosis import Diagnosis, PopulationDiagnosis
from recokit.debugger.evidence import Evidence, Runnable
from recokit.errors import ConfigurationError
from recokit.protocols import Role
from recokit.trace import Location, Trace
from recokit.typing import IntArray

__all__ = ["Comparison", "RecommendationDebugger"]

#: How many times a request's budget the debugger waits for a run of its own.
PATIENCE = 10.0


@dataclass(frozen=True)
class Comparison:
    """Where two pipelines first differ.

    Parameters
    ----------
    first : mapping of str to int
        Users by the first place of the funnel where their runs differ; ``"same"`` where they do not.
    """

    first: Mapping[str, int]

    @property
    def stage(self) -> str:
        """The place where most users' runs first differ, ``"same"`` if none differs."""
        differing = {name: n for name, n in self.first.items() if name != "same"}
        return max(differing, key=lambda name: differing[name]) if differing else "same"

    def __str__(self) -> str:
        total = sum(self.first.values())
        return "\n".join(f"{name:<12}{n:>7,} of {total:,} users" for name, n in self.first.items())


class RecommendationDebugger:
    """Walks a pipeline top-down for one user, or many, and names the stage, the cause and the action.

    It runs the user's request again with everything captured, and once more with the hard rules off; observers see
    neither run, and both read the same versions of what changes while serving. Each run may take ten times the
    request's budget, so that a slow stage is timed rather than cut off, and a hanging source is cut off at last.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted.
    known_good : Dataset or mapping, optional
        Items known to be good: each user's events in a dataset, or lists of item ids by user id. Without it the recall
        of the candidates is not assessed.
    baseline : Pipeline, optional
        A healthy pipeline to compare with.
    checks : sequence of Check
        What to look at; recokit's own by default.
    budget_ms : float, default 100
        What a request may take (R9).

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit.candidates import Popular
    >>> pipeline = rk.Pipeline([Popular(window="3650D")]).fit(rk.testing.toy_dataset())
    >>> user = pipeline.schema.user_ids.decode([1])[0]
    >>> rk.RecommendationDebugger(pipeline).diagnose(user, now=pipeline.fitted_until).verdict
    'NO_OBVIOUS_ISSUE'
    """

    def __init__(
        self,
        pipeline: Runnable,
        *,
        known_good: Dataset | Mapping[Any, Sequence[Any]] | None = None,
        baseline: Runnable | None = None,
        checks: Sequence[Check] = CHECKS,
        budget_ms: float = 100.0,
    ) -> None:
        if not budget_ms > 0:
            raise ConfigurationError(
                f"found budget_ms={budget_ms}; expected a positive number of milliseconds"
            )
        self.pipeline, self.known_good, self.baseline = pipeline, known_good, baseline
        self.checks, self.budget_ms = tuple(checks), budget_ms
        self._open = _without_filters(pipeline)
        self._open_baseline = None if baseline is None else _without_filters(baseline)

    def diagnose(self, user: Any, *, k: int = 10, **options: Any) -> Diagnosis:
        """Diagnose one user's list.

        Parameters
        ----------
        user : object
            External id; None for an anonymous user.
        k : int, default 10
            List length.
        options
            As for ``Pipeline.recommend``: ``now``, ``context``, ``history``, ``session``, ``seed``, and so on.

        Returns
        -------
        Diagnosis
        """
        requests = self.pipeline.requests([user], k, **options)
        evidence = self._gather(self.pipeline, self._open, requests, user)
        if self.baseline is not None and self._open_baseline is not None:
            # The same time and the same live values, whatever the clock says by now.
            healthy = self.baseline.requests([user], k, **{**options, "now": evidence.now})
            healthy = _replayed(healthy, evidence.trace)
            reference = self._gather(self.baseline, self._open_baseline, healthy, user)
            evidence = replace(evidence, baseline=reference)
        found = [finding for check in self.checks for finding in check.look(evidence)]
        ranked = sorted(found, key=lambda finding: -finding.severity)
        return Diagnosis(
            user, tuple(ranked), _figures(evidence), tuple(evidence.trace.funnel()), _gaps(evidence)
        )

    def diagnose_many(
        self,
        users: Sequence[Any],
        *,
        history: Dataset | None = None,
        by: Any = "activity",
        k: int = 10,
        **options: Any,
    ) -> PopulationDiagnosis:
        """Diagnose several users, by segment.

        Parameters
        ----------
        users : sequence of ids
        history : Dataset, optional
            What segments are counted in; without it there are none.
        by : object, default "activity"
            See :func:`recokit.data.segments_by`.
        k, options
            As for :meth:`diagnose`.
        """
        diagnoses = tuple(self.diagnose(user, k=k, **options) for user in users)
        return PopulationDiagnosis(diagnoses, _segment_names(users, history, by))

    def why(self, user: Any, item: Any, *, k: int = 10, **options: Any) -> Location:
        """Say where an item went in a user's run: not retrieved, removed by a rule, not selected, or shown.

        Raises
        ------
        ConfigurationError
            If the item is not in the catalogue.
        """
        code = int(self.pipeline.schema.item_ids.encode([item])[0])
        if not code:
            raise ConfigurationError(
                f"found item {item!r}, which is not in the catalogue; expected one that is"
            )
        trace = self._run(self.pipeline, self.pipeline.requests([user], k, **options))
        return trace.locate(0, code)

    def compare(self, other: Runnable, users: Sequence[Any], *, k: int = 10, **options: Any) -> Comparison:
        """Say at which place of the funnel two pipelines first differ, user by user.

        Places are ``candidates`` (as fused), ``filters``, ``features``, ``scores`` and ``list``.
        """
        first: dict[str, int] = {}
        for user in users:
            mine = self._run(self.pipeline, self.pipeline.requests([user], k, **options))
            same_time = {**options, "now": float(mine.requests.now[0])}
            asked = _replayed(other.requests([user], k, **same_time), mine)
            theirs = self._run(other, asked)
            place = _first_difference(mine, theirs, self.pipeline.schema.item_ids, other.schema.item_ids)
            first[place] = first.get(place, 0) + 1
        return Comparison(first)

    def _run(self, pipeline: Runnable, requests: Requests) -> Trace:
        return pipeline.run(
            requests, capture="full", budget_ms=PATIENCE * self.budget_ms, observe=False
        ).trace

    def _gather(self, pipeline: Runnable, opened: Runnable, requests: Requests, user: Any) -> Evidence:
        trace = self._run(pipeline, requests)
        return Evidence(
            trace=trace,
            open_trace=self._run(opened, _replayed(requests, trace)),
            stages={node.name: node.stage for node in pipeline},
            known_good=self._good_items(user, trace),
            item_ids=pipeline.schema.item_ids,
            budget=self.budget_ms / 1e3,
        )

    def _good_items(self, user: Any, trace: Trace) -> IntArray | None:
        if self.known_good is None:
            return None
        if isinstance(self.known_good, Dataset):
            log = self.known_good.interactions
            code = self.known_good.user_ids.encode([user])[0] if user is not None else 0
            items = np.unique(log.item[(log.user == code) & (code > 0)])
            ids = self.known_good.item_ids.decode(items).tolist()
        else:
            ids = self.known_good.get(user, ())
            if isinstance(ids, str | bytes):
                raise ConfigurationError(
                    f"found known_good={ids!r} of user {user!r}; expected a list of item ids; hint: [{ids!r}]"
                )
            ids = list(dict.fromkeys(ids))
        return np.sort(self.pipeline.schema.item_ids.encode(ids))


def _without_filters(pipeline: Runnable) -> Runnable:
    filters = [node.name for node in pipeline if node.role is Role.FILTER]
    opened: Runnable = pipeline.without(*filters) if filters else pipeline
    return opened


def _replayed(requests: Requests, trace: Trace) -> Requests:
    """Return the requests with the live values that the trace's run pinned."""
    return replace(requests, pinned=trace.requests.pinned)


def _figures(evidence: Evidence) -> dict[str, Any]:
    good = evidence.known_good
    among = None
    if good is not None:
        among = 0 if evidence.retrieved is None else int(np.isin(good, evidence.retrieved.item).sum())
    coverage = evidence.feature_coverage
    return {
        "candidate_count": 0 if evidence.retrieved is None else len(evidence.retrieved),
        "candidate_sources": evidence.candidate_sources,
        "known_good_in_candidates": among,
        "known_good_total": None if good is None else len(good),
        "feature_coverage": float(np.mean(list(coverage.values()))) if coverage else None,
        "feature_freshness": {
            "stale_features": len(FeatureFreshness().stale(evidence)),
            "total": 0 if evidence.ranked is None else len(evidence.ranked.feature_names),
        },
        "top_10_scores": [float(score) if np.isfinite(score) else None for score in evidence.top_scores],
        "score_spread": None if np.isnan(evidence.spread) else evidence.spread,
        "items_removed_by_rules": len({item for items in evidence.removed.values() for item in items}),
        "items_moved_by_limits_and_diversity": evidence.exchanged,
        "status": int(evidence.trace.status[0]),
    }


def _gaps(evidence: Evidence) -> tuple[str, ...]:
    gaps = []
    if evidence.known_good is None:
        gaps.append("recall of the candidates: no known-good items were given")
    elif not len(evidence.known_good):
        gaps.append("recall of the candidates: this user has no known-good item")
    if evidence.ranked is not None and evidence.ranked.feature_names and not evidence.feature_age:
        gaps.append("freshness of features: no stage tells")
    if not evidence.has_scorer:
        gaps.append("spread of the scores: nothing scores")
    return tuple(gaps)


def _segment_names(users: Sequence[Any], history: Dataset | None, by: Any) -> tuple[str, ...]:
    if history is None:
        return ("",) * len(users)
    segments: Categorical = segments_by(history, by)
    known = np.array([user is not None for user in users], np.bool_)
    codes = np.zeros(len(users), np.int64)
    codes[known] = history.user_ids.encode([user for user in users if user is not None])
    names = segments.labels.decode(segments.codes[codes])
    return tuple("" if name is None else str(name) for name in names.tolist())


def _first_difference(mine: Trace, theirs: Trace, ids_a: Vocabulary, ids_b: Vocabulary) -> str:
    def same_items(a: Candidates | None, b: Candidates | None) -> bool:
        return np.array_equal(_ids(ids_a, a), _ids(ids_b, b))

    pairs = [(_fused(trace), _ranked(trace)) for trace in (mine, theirs)]
    (fused_a, ranked_a), (fused_b, ranked_b) = pairs
    if not same_items(fused_a, fused_b):
        return "candidates"
    if not same_items(ranked_a, ranked_b):
        return "filters"
    if ranked_a is not None and ranked_b is not None:
        same = ranked_a.feature_names == ranked_b.feature_names
        if not same or not np.array_equal(ranked_a.features, ranked_b.features, equal_nan=True):
            return "features"
        if not np.array_equal(ranked_a.score, ranked_b.score, equal_nan=True):
            return "scores"
    return "same" if same_items(mine.selected, theirs.selected) else "list"


def _fused(trace: Trace) -> Candidates | None:
    return next(
        (event.after for event in trace.events if event.role == "source" and event.after is not None), None
    )


def _ranked(trace: Trace) -> Candidates | None:
    return next((event.before for event in trace.events if event.role == "selection"), None)


def _ids(vocabulary: Vocabulary, batch: Candidates | None) -> list[Any]:
    return [] if batch is None else list(vocabulary.decode(batch.item).tolist())
