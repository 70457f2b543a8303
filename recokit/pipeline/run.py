"""Run: what the phases of one run share. Stages return the smallest delta; the run applies it and keeps the books."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np

from recokit._utils.threads import Bulkhead
from recokit.budget import PHASE_OF_ROLE, Deadline
from recokit.compose.step import Condition
from recokit.data import Candidates, Requests
from recokit.errors import ConfigurationError, ContractError, NotFittedError, StageError
from recokit.pipeline.plan import Node, Plan, requires
from recokit.trace import StageEvent, Status
from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = ["NO_ROWS", "PROGRAMMERS_ERRORS", "Outcome", "Run", "Settings", "applies_to", "attempt", "part_of"]


T = TypeVar("T")


#: Errors of the code, not of the data: they always raise.
PROGRAMMERS_ERRORS = (ContractError, ConfigurationError, NotFittedError)


NO_ROWS = np.zeros(0, np.int64)


NO_ROWS.flags.writeable = False


@dataclass(frozen=True, eq=False)
class Outcome(Generic[T]):
    """Results of a stage.

    Parameters
    ----------
    pieces : list of (rows, result)
        Together they cover every row that the stage applies to; one piece if nothing failed.
    failed : ndarray of int64
        Rows whose result is a stand-in.
    error : str
        The last error, empty if there was none.
    """

    pieces: list[tuple[IntArray, T]]
    failed: IntArray = field(default_factory=lambda: NO_ROWS)
    error: str = ""


def attempt(
    node: Node,
    rows: IntArray,
    compute: Callable[[IntArray], T],
    stand_in: Callable[[IntArray, Exception], T],
) -> Outcome[T]:
    """Compute a stage's result for some rows; none at all for no rows.

    Parameters
    ----------
    node : Node
        The stage.
    rows : ndarray of int64
        Rows to run on.
    compute : callable
        Gives the result for the rows asked, checked against the stage's contract.
    stand_in : callable
        Gives the result to go on with for rows that failed, and the error.

    Raises
    ------
    ContractError, ConfigurationError, NotFittedError
        Always: these are programmers' errors, not the data's.
    StageError
        If the stage failed and is configured to raise.
    """
    if not len(rows):
        return Outcome([])
    try:
        return Outcome([(rows, compute(rows))])
    except PROGRAMMERS_ERRORS:
        raise
    except Exception as error:  # any failure of a stage degrades its rows, as the stage's role says
        if node.on_error == "raise":
            message = f"{node.name} failed: {_describe(error)}"
            raise StageError(message, name=node.name, role=str(node.role), cause=error) from error
        if len(rows) == 1:
            return Outcome([(rows, stand_in(rows, error))], rows, _describe(error))
    return _row_by_row(rows, compute, stand_in)


def _row_by_row(
    rows: IntArray, compute: Callable[[IntArray], T], stand_in: Callable[[IntArray, Exception], T]
) -> Outcome[T]:
    pieces: list[tuple[IntArray, T]] = []
    failed: list[int] = []
    description = ""
    for row in rows.tolist():
        single = np.array([row], np.int64)
        try:
            pieces.append((single, compute(single)))
        except PROGRAMMERS_ERRORS:
            raise
        except Exception as error:
            pieces.append((single, stand_in(single, error)))
            failed.append(row)
            description = _describe(error)
    return Outcome(pieces, np.array(failed, np.int64), description)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def applies_to(name: str, condition: Condition, requests: Requests) -> BoolArray:
    """Return which rows a stage with a condition applies to, (B,) bool.

    Raises
    ------
    ContractError
        If the condition fails, or gives anything but (B,) bool.
    ConfigurationError
        If it names a context column that the requests do not have.
    """
    if isinstance(condition, str):
        mask = requests.column(condition)
    else:
        try:
            mask = np.asarray(condition(requests))
        except Exception as error:
            raise ContractError(
                f"found {_describe(error)} from when of {name}; expected bool ({len(requests)},)"
            ) from error
    if mask.shape != (len(requests),) or mask.dtype != np.bool_:
        raise ContractError(
            f"found {mask.dtype} {mask.shape} from when of {name}; expected bool ({len(requests)},)"
        )
    return mask


@dataclass(frozen=True, eq=False)
class Settings:
    """What every run of one pipeline shares."""

    plan: Plan
    n_items: int
    validate: bool
    bulkheads: Mapping[str, Bulkhead]
    #: Whether traces keep the candidates as they stood before selection, for an observer that records them.
    keep_ranked: bool = False


class _Notes(list[tuple[IntArray, str]]):
    """What stages say of rows that they served with less than they should have; knows nothing of the run."""

    def __call__(self, rows: IntArray, reason: str) -> None:
        self.append((rows, reason))


class Run:
    """The state of one run: the requests as hydrated, what each stage did, and how each row fares."""

    def __init__(self, settings: Settings, requests: Requests, deadline: Deadline, *, full: bool) -> None:
        self.plan, self.settings, self.deadline, self.full = settings.plan, settings, deadline, full
        self._notes = _Notes()
        self.requests = replace(requests, remaining=deadline.remaining, report_degraded=self._notes)
        self.events: list[StageEvent] = []
        self.status = np.zeros(len(requests), np.int64)  # Status.OK
        self.reasons: dict[int, list[str]] = {}
        self.spent = dict.fromkeys(("candidates", "features", "ranking", "post"), 0.0)
        self.unavailable: dict[str, BoolArray] = {}
        self._everyone = np.arange(len(requests))
        self._applies: dict[str, IntArray] = {}

    # -- bookkeeping -------------------------------------------------------------------------------

    def mark(self, rows: IntArray, status: Status, reason: str) -> None:
        """Lower rows to a status and give the reason."""
        if len(rows):
            self.status[rows] = np.maximum(self.status[rows], status)
            for row in rows.tolist():
                self.reasons.setdefault(row, []).append(reason)

    def record(
        self,
        node: Node | str,
        role: str,
        started: float,
        n_in: int,
        n_out: int,
        *,
        outcome: Outcome[Any] | None = None,
        n_rows: int | None = None,
        seconds: float | None = None,
        skipped: str = "",
        detail: Mapping[str, Any] | None = None,
        before: Candidates | None = None,
        after: Candidates | None = None,
        kept: BoolArray | None = None,
    ) -> None:
        """Add one stage's event; it ends now unless its seconds are given. Batches are for full capture only."""
        seconds = self.deadline.elapsed() - started if seconds is None else seconds
        self.spent[PHASE_OF_ROLE.get(role, "post")] += seconds
        if not self.full:
            before = after = kept = None
        error, failed = ("", NO_ROWS) if outcome is None else (outcome.error, outcome.failed)
        name = node if isinstance(node, str) else node.name
        rows = len(self.requests) if n_rows is None else n_rows
        what = (name, str(role), started, seconds, n_in, n_out, rows, error, failed, skipped)
        self.events.append(StageEvent(*what, {} if detail is None else detail, before, after, kept))

    def rows(self, node: Node) -> IntArray:
        """Return the rows that a stage applies to."""
        if node.when is None:
            return self._everyone
        if node.name not in self._applies:
            self._applies[node.name] = np.flatnonzero(applies_to(node.name, node.when, self.requests))
        return self._applies[node.name]

    def forget_rows(self) -> None:
        """Ask conditions again: they may read what a hydrator added."""
        self._applies.clear()

    def skips(self, node: Node, n_in: int) -> bool:
        """Tell whether the budget leaves no time for a stage that the answer can do without; if so, record it."""
        budget = self.deadline.seconds
        if budget == np.inf:
            return False
        left = self.deadline.remaining()
        if left > (budget / 2 if node.optional else 0.0):
            return False
        reason = f"{node.name}: skipped, {1e3 * left:.1f} ms of {1e3 * budget:.0f} ms left"
        rows = self.rows(node)
        self.record(node, node.role, self.deadline.elapsed(), n_in, n_in, n_rows=len(rows), skipped=reason)
        self.mark(rows, Status.DEGRADED, reason)
        return True

    def attempt(
        self,
        node: Node,
        compute: Callable[[IntArray], T],
        stand_in: Callable[[IntArray, Exception], T],
        rows: IntArray | None = None,
    ) -> Outcome[T]:
        """Run a stage on the rows that it applies to; rows that lack what it requires count as failed."""
        outcome = self._attempt(node, compute, stand_in, self.rows(node) if rows is None else rows)
        for degraded, reason in self._notes:
            self.mark(np.unique(degraded), Status.DEGRADED, f"{node.name}: {reason}")
        self._notes.clear()
        return outcome

    def _attempt(
        self,
        node: Node,
        compute: Callable[[IntArray], T],
        stand_in: Callable[[IntArray, Exception], T],
        rows: IntArray,
    ) -> Outcome[T]:
        if not self.unavailable:
            return attempt(node, rows, compute, stand_in)
        lacking, what = self.lacking(node)
        blocked = rows[lacking[rows]]
        if not len(blocked):
            return attempt(node, rows, compute, stand_in)
        error = StageError(f"{what} could not be hydrated", name=node.name, role=str(node.role))
        if node.on_error == "raise":
            raise error
        outcome = attempt(node, rows[~lacking[rows]], compute, stand_in)
        return Outcome(
            [*outcome.pieces, (blocked, stand_in(blocked, error))],
            np.concatenate([outcome.failed, blocked]),
            outcome.error or str(error),
        )

    def lacking(self, node: Node) -> tuple[BoolArray, str]:
        """Return the rows for which a hydrator failed to provide what a stage requires, and what that is."""
        lacking, names = np.zeros(len(self.requests), np.bool_), []
        for name in requires(node.stage):
            if name in self.unavailable:
                lacking |= self.unavailable[name]
                names.append(name)
        return lacking, ", ".join(names)

    def on_rows(
        self,
        node: Node,
        batch: Candidates,
        compute: Callable[[Candidates], AnyArray],
        nothing: np.generic,
        shape: tuple[int, ...] = (),
    ) -> Outcome[AnyArray]:
        """Run a stage on the candidates of the rows that it applies to; ``nothing`` stands in where it failed."""

        def stand_in(rows: IntArray, _: Exception) -> AnyArray:
            return np.full((int(batch.counts[rows].sum()), *shape), nothing)

        return self.attempt(node, lambda rows: compute(part_of(batch, rows)), stand_in)

    def requests_of(self, rows: IntArray) -> Requests:
        """Return some rows of the requests, the requests themselves for all of them."""
        return self.requests if len(rows) == len(self.requests) else self.requests.take(rows)


def part_of(batch: Candidates, rows: IntArray) -> Candidates:
    """Return some rows of a batch, the batch itself for all of them."""
    return batch if len(rows) == batch.n_rows else batch.take_rows(rows)
