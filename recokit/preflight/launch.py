"""Launch: what the items of the checklist look at, measured once and only where an item asks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from recokit.budget import PHASE_OF_ROLE
from recokit.data import Dataset, validate
from recokit.data.validation.report import Check, Status
from recokit.data.validation.training_data import ValidationReport
from recokit.errors import ConfigurationError, did_you_mean
from recokit.evaluation import Evaluations
from recokit.evaluation.evaluate import evaluate
from recokit.evaluation.gate import Gate, GateResult
from recokit.preflight.limits import PreflightLimits
from recokit.result import Recommendations
from recokit.trace import Trace
from recokit.typing import FloatArray, IntArray

__all__ = ["QUALITY", "K", "Launch", "blocked_values", "item_values", "judged", "unchecked"]


#: Length of the lists that are looked at, and what they are compared by.
K, QUALITY = 10, "NDCG@10"


@dataclass(frozen=True, eq=False)
class Launch:
    """What is to be launched; see :func:`preflight` for the fields."""

    pipeline: Any
    train: Dataset
    test: Dataset | None
    baseline: Any
    now: float
    users: list[Any]
    profile: Any
    negatives: Any
    columns: Mapping[str, FloatArray | None]
    by: Any
    n_requests: int
    limits: PreflightLimits

    @cached_property
    def served(self) -> Recommendations:
        """Lists of the sampled users."""
        found: Recommendations = self.pipeline.recommend(self.users, k=K, now=self.now)
        return found

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
        return validate(self.train, now=self.now, limits=self.limits.validation)

    @cached_property
    def quality(self) -> Evaluations:
        """Figures on the test part, of the pipeline and the baseline."""
        return evaluate(
            self.subjects, self.test, [QUALITY, "MAP@10"], by=self.by, history=self.train, k=K, now=self.now
        )

    @cached_property
    def gate(self) -> GateResult:
        """Whether the pipeline may replace the baseline: overall, and in each segment."""
        limits = self.limits
        gate = Gate(
            self.quality["baseline"],
            metrics=[QUALITY],
            margin=limits.margin,
            segments=limits.segment_margin,
            min_users=limits.segment_users,
        )
        return gate.check(self.quality["pipeline"])

    @cached_property
    def depth(self) -> Evaluations:
        """Recall@50 on the test part: of longer lists, under limits of their own."""
        return evaluate(self.subjects, self.test, ["Recall@50"], history=self.train, now=self.now)

    @property
    def subjects(self) -> dict[str, Any]:
        """What is evaluated, by name."""
        return {"pipeline": self.pipeline} | ({} if self.baseline is None else {"baseline": self.baseline})

    @cached_property
    def seconds(self) -> dict[str, dict[str, FloatArray]]:
        """Durations (n_requests,) of single requests of each subject: ``"total"``, and each phase of the budget.

        The subjects take turns, so that other work on the machine slows all of them; the first turn is not counted.
        """
        turns = [
            {
                name: _phases(one.recommend([user], k=K, now=self.now).trace)
                for name, one in self.subjects.items()
            }
            for user in (self.users[n % len(self.users)] for n in range(self.n_requests + 1))
        ]
        return {
            name: {part: np.array([turn[name][part] for turn in turns[1:]]) for part in turns[0][name]}
            for name in self.subjects
        }

    def without_observers(self) -> Launch:
        """Return the same with pipelines whose observers see nothing of it."""
        return replace(self, pipeline=_quiet(self.pipeline), baseline=_quiet(self.baseline))


def _quiet(subject: Any) -> Any:
    if not hasattr(subject, "observers"):
        return subject
    subject = copy.copy(subject)
    subject.observers = ()
    return subject


def _phases(trace: Trace) -> dict[str, float]:
    """Return how long a request took, and its phases."""
    spent = {"total": trace.seconds} | dict.fromkeys((*PHASE_OF_ROLE.values(), "post"), 0.0)
    for event in trace.events:
        spent[PHASE_OF_ROLE.get(event.role, "post")] += event.seconds
    return spent


def unchecked(name: str, why: str, expected: str, hint: str = "") -> Check:
    """Return an item that lacks what it needs."""
    return Check(name, "not checked", why, expected, hint)


def judged(
    name: str, value: float, warn: float, fail: float, message: str, expected: str, hint: str, **evidence: Any
) -> Check:
    """Return an item whose value is bad above two limits."""
    status: Status = "fail" if value > fail else "warn" if value > warn else "pass"
    return Check(name, status, message, expected, "" if status == "pass" else hint, evidence=evidence)


def item_values(train: Dataset, option: str, given: Any, default: str | None) -> FloatArray | None:
    """Return numbers by item code, (n_items + 1,); None where nothing is given, or the table lacks the default column.

    Raises
    ------
    ConfigurationError
        For any other column that the table lacks, or values of another shape.
    """
    if given is None:
        return None
    if isinstance(given, str):
        if given not in train.items.names:
            if given == default:
                return None
            raise ConfigurationError(
                f"found {option}={given!r}; expected an item column of train, or values by item code; "
                f"{did_you_mean(given, train.items.names)}"
            )
        column = train.items.column(given)
    else:
        column = np.asarray(given)
    if column.shape != (train.n_items + 1,):
        ids = ", or a list of item ids" if option == "blocked" else ""
        raise ConfigurationError(
            f"found {option} of shape {column.shape}; expected values by item code, shape ({train.n_items + 1},), "
            f"the name of an item column{ids}; hint: code 0 is an unknown item"
        )
    if column.dtype.kind not in "biuf":
        column = np.unique(column.astype(str), return_inverse=True)[1]
    return np.asarray(column, np.float64)


def blocked_values(train: Dataset, given: Any) -> FloatArray | None:
    """Return 1 for each item that is forbidden; a list, tuple or set holds ids, as those of :class:`rules.Blocked`.

    Raises
    ------
    ConfigurationError
        As :func:`item_values`, or for a list as long as values by item code: which of the two it is, it cannot tell.
    DataError
        For ids of the wrong kind.
    """
    if not isinstance(given, list | tuple | set | frozenset):
        return item_values(train, "blocked", given, None)
    if len(given) == train.n_items + 1:
        raise ConfigurationError(
            f"found blocked, a {type(given).__name__} of {len(given)}; expected item ids, which are fewer; "
            "hint: np.asarray(blocked) if these are values by item code"
        )
    values = np.zeros(train.n_items + 1)
    values[train.item_ids.encode(list(given))] = 1
    values[0] = np.nan  # an item that train does not know
    return values
