"""LaunchContext: what the items of the checklist look at, measured once and only where an item asks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from recokit.budget import PHASE_OF_ROLE
from recokit.data import Dataset, validate
from recokit.data.validation.report import Check, Status
from recokit.data.validation.training_data import ValidationReport
from recokit.evaluation import Evaluations
from recokit.evaluation.evaluate import evaluate
from recokit.evaluation.gate import Gate, GateResult
from recokit.monitoring.drift.profile import ReferenceProfile
from recokit.preflight.limits import PreflightLimits
from recokit.result import Recommendations
from recokit.trace import Trace
from recokit.typing import AnyArray, FloatArray, IntArray

#: Length of the lists that are looked at, and the metric that they are compared by.
K, QUALITY = 10, "NDCG@10"


@dataclass(frozen=True)
class Item:
    """An item of the checklist: what a pass needs, and what helps otherwise."""

    name: str
    expected: str
    hint: str = ""

    def check(
        self,
        status: Status,
        message: str,
        hint: str | None = None,
        *,
        evidence: Mapping[str, Any] | None = None,
    ) -> Check:
        """Return the item with a verdict; a pass needs no hint."""
        if hint is None:
            hint = "" if status == "pass" else self.hint
        return Check(self.name, status, message, self.expected, hint, evidence=evidence or {})

    def unchecked(self, why: str, hint: str = "", *, evidence: Mapping[str, Any] | None = None) -> Check:
        """Return the item where something that it needs is not there."""
        return self.check("not checked", why, hint, evidence=evidence)

    def graded(
        self,
        value: float,
        message: str,
        *,
        warn: float,
        fail: float,
        evidence: Mapping[str, Any] | None = None,
    ) -> Check:
        """Return the item with a verdict on a value that is bad above two limits."""
        status: Status = "fail" if value > fail else "warn" if value > warn else "pass"
        return self.check(status, message, evidence=evidence)


@dataclass(frozen=True, eq=False, kw_only=True)
class LaunchContext:
    """The pipeline to be launched, what it is compared with, and what it serves; see :func:`preflight`."""

    pipeline: Any
    train: Dataset
    test: Dataset | None = None
    baseline: Any = None
    now: float
    users: list[Any]
    profile: ReferenceProfile | None = None
    negatives: Any = None
    event_ids: AnyArray | None = None
    impressions: Any = None
    columns: Mapping[str, FloatArray | None] = field(default_factory=dict)
    by: Any = "activity"
    n_requests: int = 1
    limits: PreflightLimits = field(default_factory=PreflightLimits)

    @cached_property
    def served(self) -> Recommendations:
        """Lists of the sampled users."""
        lists: Recommendations = self.pipeline.recommend(self.users, k=K, now=self.now)
        return lists

    @cached_property
    def row(self) -> IntArray:
        """Row of each served item."""
        return np.repeat(np.arange(len(self.served)), np.diff(self.served.offsets))

    @cached_property
    def item(self) -> IntArray:
        """Item code in train of each served item, 0 for one that train does not know."""
        if self.served.item_ids == self.train.item_ids:
            return self.served.item
        return self.train.item_ids.encode(self.served.item_ids.decode(self.served.item))

    @cached_property
    def validation(self) -> ValidationReport:
        """The training data, validated."""
        return validate(
            self.train,
            now=self.now,
            impressions=self.impressions,
            event_ids=self.event_ids,
            limits=self.limits.validation,
        )

    @cached_property
    def quality(self) -> Evaluations:
        """Figures on the test part, of the pipeline and the baseline."""
        metrics = [QUALITY, "MAP@10"]
        return evaluate(self.subjects, self.test, metrics, by=self.by, history=self.train, k=K, now=self.now)

    @cached_property
    def gate(self) -> GateResult:
        """Whether the pipeline may replace the baseline by each metric: overall, and in each segment."""
        results = [
            Gate(
                evaluations["baseline"],
                metrics=metrics,
                margin=self.limits.margin,
                segments=self.limits.segment_margin,
                min_users=self.limits.segment_users,
            ).check(evaluations["pipeline"])
            for evaluations, metrics in ((self.quality, [QUALITY, "MAP@10"]), (self.depth, ["Recall@50"]))
        ]
        return replace(results[0], conditions=tuple(one for result in results for one in result.conditions))

    @cached_property
    def depth(self) -> Evaluations:
        """Recall@50 on the test part: of longer lists, under limits of their own."""
        metrics = ["Recall@50"]
        return evaluate(self.subjects, self.test, metrics, by=self.by, history=self.train, now=self.now)

    @property
    def subjects(self) -> dict[str, Any]:
        """The pipeline and, if there is one, the baseline, by name."""
        return {"pipeline": self.pipeline} | ({} if self.baseline is None else {"baseline": self.baseline})

    @cached_property
    def seconds(self) -> dict[str, dict[str, FloatArray]]:
        """Durations (n_requests,) of single requests of each subject: ``"total"``, and each phase of the budget.

        The subjects take turns, so that other work on the machine slows all of them; the first turn is not counted.
        """
        turns = [
            {
                name: _phases(subject.recommend([user], k=K, now=self.now).trace)
                for name, subject in self.subjects.items()
            }
            for user in (self.users[n % len(self.users)] for n in range(self.n_requests + 1))
        ]
        return {
            name: {part: np.array([turn[name][part] for turn in turns[1:]]) for part in turns[0][name]}
            for name in self.subjects
        }

    def without_observers(self) -> LaunchContext:
        """Return the same with pipelines whose observers see nothing of it."""
        return replace(self, pipeline=_unobserved(self.pipeline), baseline=_unobserved(self.baseline))


def _unobserved(subject: Any) -> Any:
    # Whatever recommends may be a baseline: a service has no observers.
    if not hasattr(subject, "observers"):
        return subject
    subject = copy.copy(subject)
    subject.observers = ()
    return subject


def _phases(trace: Trace) -> dict[str, float]:
    """Return the seconds of a request, and those of its phases."""
    spent = {"total": trace.seconds} | dict.fromkeys((*PHASE_OF_ROLE.values(), "post"), 0.0)
    for event in trace.events:
        spent[PHASE_OF_ROLE.get(event.role, "post")] += event.seconds
    return spent
