"""Run: the state that the phases of one run share. Stages return the smallest delta; the run keeps the books."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from recokit._kernels.segments import gather_segments
from recokit._utils.copies import with_fields
from recokit._utils.options import error_text
from recokit.budget import PHASE_BUDGET_MS, PHASE_OF_ROLE, Deadline, overruns
from recokit.compose.step import Condition
from recokit.data import Candidates, Ragged, Requests, RequestsById, Retrieved, Schema
from recokit.errors import ConfigurationError, ContractError, NotFittedError, SourceTimeout, StageError
from recokit.pipeline.paid import Paid
from recokit.pipeline.plan import Node, Plan
from recokit.protocols import Role
from recokit.trace import DEGRADED, Events, StageEvent, Trace
from recokit.typing import AnyArray, BoolArray, IntArray

if TYPE_CHECKING:
    from recokit._utils.resilience.dependency import Dependency

T = TypeVar("T")

#: Errors of the code, not of the data: they always raise.
PROGRAMMERS_ERRORS = (ContractError, ConfigurationError, NotFittedError)

NO_ROWS = np.zeros(0, np.int64)
NO_ROWS.flags.writeable = False


class Outcome(NamedTuple, Generic[T]):
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
    failed: IntArray = NO_ROWS
    error: str = ""

    @property
    def worked(self) -> list[tuple[IntArray, T]]:
        """The pieces that are no stand-ins."""
        if not len(self.failed):
            return self.pieces
        failed = set(self.failed.tolist())
        return [(rows, piece) for rows, piece in self.pieces if int(rows[0]) not in failed]

    def whole(self, n_rows: int) -> T | None:
        """Return the result if one piece covers all rows."""
        rows, piece = self.pieces[0] if len(self.pieces) == 1 else (NO_ROWS, None)
        return piece if len(rows) == n_rows else None

    def scatter(self, batch: Candidates, elsewhere: Any, shape: tuple[int, ...] = ()) -> AnyArray:
        """Return the pieces as an array (N, *shape); ``elsewhere`` stands in rows that no piece covers."""
        if self.pieces and len(self.pieces[0][0]) == len(batch.offsets) - 1:
            return np.asarray(self.pieces[0][1])
        full = np.full((len(batch.item), *shape), elsewhere)
        for rows, piece in self.pieces:
            put(full, batch, rows, piece)
        return full


def put(target: AnyArray, batch: Candidates, rows: IntArray, piece: Any) -> None:
    """Write the values of some rows' candidates into an array of the whole batch."""
    if len(rows) == len(batch.offsets) - 1:
        target[...] = piece
    else:
        target[gather_segments(batch.offsets, rows)[1]] = piece


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
        Gives the result for some rows, checked against the stage's contract.
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
    except Exception as error:  # any failure of a stage degrades its rows, as the stage's role says
        return recovered(node, rows, error, compute, stand_in)


def recovered(
    node: Node,
    rows: IntArray,
    error: Exception,
    compute: Callable[[IntArray], T],
    stand_in: Callable[[IntArray, Exception], T],
) -> Outcome[T]:
    """Go on after a failure on some rows together: each row alone, where there are several; see :func:`attempt`."""
    if isinstance(error, PROGRAMMERS_ERRORS):
        raise error
    if node.on_error == "raise":
        message = f"{node.name} failed: {describe(error)}"
        raise StageError(message, name=node.name, role=str(node.role), cause=error) from error
    # Whoever did not answer is not asked again, row by row.
    if len(rows) == 1 or isinstance(error, SourceTimeout):
        return Outcome([(rows, stand_in(rows, error))], rows, describe(error))
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
            description = describe(error)
    return Outcome(pieces, np.array(failed, np.int64), description)


def describe(error: Exception) -> str:
    """Return an error as reasons and events name it."""
    return error_text(error)


def applies_to(
    name: str, condition: Condition, requests: Requests, schema: Schema, *, unknown: bool = False
) -> BoolArray:
    """Return which rows a stage with a condition applies to, (B,) bool; ``unknown`` decides where nobody knows.

    Raises
    ------
    ContractError
        If the condition fails, or gives anything but (B,) bool.
    ConfigurationError
        If it names a context column that the requests do not have.
    """
    if isinstance(condition, str):
        mask = _known_flags(requests.column(condition), unknown=unknown)
    else:
        try:
            mask = np.asarray(condition(RequestsById(requests, schema)))
        except Exception as error:
            raise ContractError(
                f"found {describe(error)} from when of {name}; expected bool ({len(requests)},)"
            ) from error
    if mask.shape != (len(requests),) or mask.dtype != np.bool_:
        raise ContractError(
            f"found {mask.dtype} {mask.shape} from when of {name}; expected bool ({len(requests)},)"
        )
    return mask


def _known_flags(column: AnyArray, *, unknown: bool) -> AnyArray:
    """Return a context column of flags as bool, where it holds nothing but these and None; else as it is."""
    if column.dtype.kind != "O":
        return column
    values = column.tolist()
    if not all(value is None or isinstance(value, bool | np.bool_) for value in values):
        return column
    return np.array([unknown if value is None else bool(value) for value in values], np.bool_)


#: Share of the time for which a stage is waited for that it is told of.
_OWN_SHARE = 0.95
#: A filter is waited for until there is just time for the list.
_WAITS_LIKE: Mapping[str, str] = {Role.FILTER: "ranking"}


@dataclass(frozen=True, eq=False)
class Settings:
    """The circumstances that all runs of one pipeline share."""

    plan: Plan
    schema: Schema
    validate: bool
    #: By stage, what the calls of those that wait for input and output go through; elsewhere they run as they are.
    dependencies: Mapping[str, Dependency]
    #: Whether traces keep the candidates as they stood before selection, for an observer that records them.
    keep_ranked: bool = False
    #: What the catalogue flags as paid for, and no stage labels.
    paid: tuple[Paid, ...] = ()
    #: Context columns declared once, for requests that do not give them.
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return len(self.schema.item_ids)


class _Notes(list[tuple[IntArray, str]]):
    """Rows that stages served with less than they should have, and why; knows nothing of the run."""

    def __call__(self, rows: IntArray, reason: str) -> None:
        self.append((rows, reason))


class Run:
    """The state of one run: the requests as hydrated, the stages that ran, and how each row fares.

    Parameters
    ----------
    settings : Settings
        The plan and its circumstances.
    requests : Requests
        With live values pinned.
    deadline : Deadline
        When it must be over.
    full : bool
        Whether events keep batches.
    ordered : Ragged, optional
        Lists that stand already, in item codes: selection goes along them instead of choosing.
    """

    def __init__(
        self,
        settings: Settings,
        requests: Requests,
        deadline: Deadline,
        *,
        full: bool = False,
        ordered: Ragged | None = None,
    ) -> None:
        self.plan, self.settings, self.deadline = settings.plan, settings, deadline
        self.full, self.ordered = full, ordered
        self.notes = _Notes()
        #: The role of the stage at work, whose phase says how long it may wait.
        self.role: str = Role.HYDRATOR
        self.requests = with_fields(requests, remaining=self.remaining, report_degraded=self.notes)
        self.everyone = np.arange(len(requests.user))
        # No list is longer than the catalogue, however long k is.
        self.k = np.minimum(requests.k, max(settings.n_items, 1))
        self.stages: list[StageRun] = []
        self.status = np.zeros(len(requests.user), np.int64)  # Status.OK
        self.reasons: dict[int, list[str]] = {}
        #: What each source answered, in their order.
        self.retrieved: list[Retrieved] = []
        #: Rows for which a hydrator failed to provide a name.
        self.unavailable: dict[str, BoolArray] = {}
        self._applies: dict[str, IntArray] = {}

    def allowance(self) -> float:
        """Return the seconds for which the stage at work is waited for."""
        return self.deadline.for_phase(_WAITS_LIKE.get(self.role) or PHASE_OF_ROLE.get(self.role, "post"))

    def remaining(self) -> float:
        """Return the seconds that the stage at work has: one that keeps them has an answer before it is given up."""
        return _OWN_SHARE * self.allowance()

    def rows(self, node: Node) -> IntArray:
        """Return the rows that a stage applies to."""
        if node.when is None:
            return self.everyone
        if node.name not in self._applies:
            # Whether a hard rule applies to a row that lacks the flag, nobody knows: then it does.
            hard = node.role is Role.FILTER or (node.role is Role.CONSTRAINT and node.traits.hard)
            applies = applies_to(
                node.name, node.when, self.requests, self.settings.schema, unknown=hard or node.verifies
            )
            self._applies[node.name] = np.flatnonzero(applies)
        return self._applies[node.name]

    def complete(self, requests: Requests) -> None:
        """Go on with requests that a hydrator completed: conditions may read what it added."""
        self.requests = requests
        self._applies.clear()

    def mark(self, rows: IntArray, status: int, reason: str) -> None:
        """Lower rows to a status and give the reason."""
        if len(rows):
            self.status[rows] = np.maximum(self.status[rows], status)
            self.explain(rows, reason)

    def explain(self, rows: IntArray, reason: str) -> None:
        """Add a reason to rows."""
        for row in rows.tolist():
            self.reasons.setdefault(row, []).append(reason)

    def in_time(self, node: Node, batch: Candidates | None) -> IntArray | None:
        """Return the rows for which there is time for a stage that the answer can do without; None if for none.

        Those for which there is not are marked, and recorded as skipped.
        """
        rows = self.rows(node)
        if node.optional and self.requests.effort < 1.0:
            self._skip(
                node, batch, rows, f"{node.name}: skipped, served with effort {self.requests.effort:.2f}"
            )
            return None
        if self.deadline.seconds == np.inf and self.deadline.rows is None:
            return rows
        late = self.deadline.late(0.5 if node.optional else 0.0)
        if isinstance(late, np.ndarray):
            if not late[rows].any():
                return rows
            skipped, rows = rows[late[rows]], rows[~late[rows]]
        elif late:
            skipped, rows = rows, NO_ROWS
        else:
            return rows
        left, budget = self.deadline.remaining(), self.deadline.seconds
        reason = f"{node.name}: skipped, {1e3 * left:.1f} ms of {1e3 * budget:.0f} ms left"
        self._skip(node, batch, skipped, reason)
        return rows if len(rows) else None

    def _skip(self, node: Node, batch: Candidates | None, rows: IntArray, reason: str) -> None:
        with StageRun(self, node, batch, rows=rows) as stage:
            stage.skipped, stage.before = reason, None
        self.mark(rows, DEGRADED, reason)

    def lacking(self, node: Node) -> tuple[BoolArray, str]:
        """Return the rows for which a hydrator failed to provide a name that a stage requires, and these names."""
        names = [name for name in node.traits.requires if name in self.unavailable]
        rows = np.zeros(len(self.everyone), np.bool_)
        for name in names:
            rows |= self.unavailable[name]
        return rows, ", ".join(names)

    def trace(self, selected: Candidates, **about: Any) -> Trace:
        """Return the trace of the run, which is over; ``about`` has the fields that the model knows."""
        # A run that holds itself, by the requests' clock, would stay in memory until garbage is collected.
        self.requests = with_fields(
            self.requests, remaining=Requests.remaining, report_degraded=Requests.report_degraded
        )
        seconds = perf_counter() - self.deadline.started
        budget, reasons = self.deadline.seconds, self.reasons
        explained = tuple([tuple(reasons.get(row, ())) for row in self.everyone.tolist()])
        return Trace(
            requests=self.requests,
            events=Events(partial(_events, self.stages, self.deadline.started)),
            status=self.status,
            reasons=explained,
            seconds=seconds,
            budget=budget,
            overruns={} if budget == np.inf else overruns(_spent(self.stages), seconds, budget),
            selected=selected,
            **about,
        )


def _spent(stages: Sequence[StageRun]) -> Mapping[str, float]:
    """Return the seconds of each phase."""
    spent = dict.fromkeys(PHASE_BUDGET_MS, 0.0)
    for stage in stages:
        spent[stage.node.phase] += stage.seconds
    return spent


def _events(stages: Sequence[StageRun], started: float) -> Iterator[StageEvent]:
    for stage in stages:
        yield StageEvent(
            name=stage.node.name,
            role=str(stage.role),
            started=stage.started - started,
            seconds=stage.seconds,
            n_in=stage.n_in,
            n_out=stage.n_out,
            n_rows=len(stage.rows),
            error=stage.error,
            failed_rows=stage.failed,
            skipped=stage.skipped,
            detail=stage.detail or {},
            before=stage.before,
            after=stage.after,
            kept=stage.kept,
        )


class StageRun:
    """One stage at work in a run; on leaving its ``with`` block it is entered in the run's books.

    Parameters
    ----------
    run : Run
        The run.
    node : Node
        The stage.
    before : Candidates, optional
        The batch that it gets.
    role : str, optional
        The role of its event, the stage's own by default.
    rows : ndarray of int64, optional
        Rows to run on, those that the stage applies to by default.

    Attributes
    ----------
    before, after : Candidates, optional
        The batch before and after, for the trace with full capture.
    kept : ndarray of bool, optional
        A filter's decision, likewise.
    n_in, n_out : int
        Candidates before and after; as many as there were, unless it is set.
    detail : mapping
        Numbers of its role.
    skipped : str
        Why it did not run.
    """

    before: Candidates | None = None
    after: Candidates | None = None
    kept: BoolArray | None = None
    detail: Mapping[str, Any] = MappingProxyType({})
    error = skipped = ""
    failed = NO_ROWS

    def __init__(
        self,
        run: Run,
        node: Node,
        before: Candidates | None = None,
        *,
        role: str | None = None,
        rows: IntArray | None = None,
    ) -> None:
        self.run, self.node, self.role = run, node, role or node.role
        if rows is None:
            rows = run.everyone if node.when is None else run.rows(node)
        self.rows = rows
        self.n_in = self.n_out = 0 if before is None else len(before.item)
        if run.full:
            self.before = before

    def __enter__(self) -> StageRun:
        self.run.role = self.role
        self.started = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.seconds = perf_counter() - self.started
        if kind is None:
            self.run.stages.append(self)
        del self.run  # whoever keeps the trace keeps no run

    def left(self, after: Candidates) -> Candidates:
        """Note the batch that the stage leaves, and return it."""
        self.n_out = len(after.item)
        if self.run.full:
            self.after = after
        return after

    def attempt(
        self,
        compute: Callable[[IntArray], T],
        stand_in: Callable[[IntArray, Exception], T],
        *,
        failure: int = DEGRADED,
    ) -> Outcome[T]:
        """Compute the stage's result on its rows; rows that lack what it requires count as failed.

        Parameters
        ----------
        compute, stand_in
            See :func:`attempt`.
        failure : int
            Status of the rows that failed.
        """
        run = self.run
        dependency = run.settings.dependencies.get(self.node.name)
        if dependency is not None:
            compute = partial(self._in_thread, dependency, compute)
        if run.unavailable:
            outcome = self._attempt_where_available(compute, stand_in)
        else:
            outcome = attempt(self.node, self.rows, compute, stand_in)
        if run.notes or outcome.error:
            self._record(outcome, failure)
        return outcome

    def _record(self, outcome: Outcome[T], failure: int) -> None:
        """Enter what the stage reported, and how it failed."""
        run, name = self.run, self.node.name
        for rows, reason in run.notes:
            run.mark(np.unique(rows), DEGRADED, f"{name}: {reason}")
        run.notes.clear()
        if outcome.error:
            self.error, self.failed = outcome.error, outcome.failed
            run.mark(outcome.failed, failure, f"{name}: {outcome.error}")

    def _in_thread(self, dependency: Dependency, compute: Callable[[IntArray], T], rows: IntArray) -> T:
        """Return the result of a stage that waits for input and output, if it comes in time."""
        wait = dependency.start(self.node.name, lambda: compute(rows), str(self.role))
        return wait(self.run.allowance())

    def _attempt_where_available(
        self, compute: Callable[[IntArray], T], stand_in: Callable[[IntArray, Exception], T]
    ) -> Outcome[T]:
        node = self.node
        lacking, names = self.run.lacking(node)
        blocked = self.rows[lacking[self.rows]]
        if not len(blocked):
            return attempt(node, self.rows, compute, stand_in)
        error = StageError(f"{names} could not be hydrated", name=node.name, role=str(node.role))
        if node.on_error == "raise":
            raise error
        outcome = attempt(node, self.rows[~lacking[self.rows]], compute, stand_in)
        return Outcome(
            [*outcome.pieces, (blocked, stand_in(blocked, error))],
            np.concatenate([outcome.failed, blocked]),
            outcome.error or str(error),
        )

    def on(
        self,
        batch: Candidates,
        check: Callable[[Node, Candidates], T],
        stand_in: Callable[[int], T],
        *,
        failure: int = DEGRADED,
    ) -> Outcome[T]:
        """Run the stage on a batch's candidates of its rows.

        Parameters
        ----------
        batch : Candidates
            The batch.
        check : callable
            Gives the stage's checked answer for the candidates of some rows.
        stand_in : callable
            Gives the result to go on with for so many candidates of rows that failed.
        failure : int
            Status of the rows that failed.
        """
        run, node, rows = self.run, self.node, self.rows
        if (
            node.name in run.settings.dependencies
            or run.unavailable
            or not 0 < len(rows) == len(run.everyone)
        ):
            return self.attempt(*_by_rows(node, batch, check, stand_in), failure=failure)
        try:
            outcome = Outcome([(rows, check(node, batch))])
        except Exception as error:
            outcome = recovered(node, rows, error, *_by_rows(node, batch, check, stand_in))
        if run.notes or outcome.error:
            self._record(outcome, failure)
        return outcome


def _by_rows(
    node: Node, batch: Candidates, check: Callable[[Node, Candidates], T], stand_in: Callable[[int], T]
) -> tuple[Callable[[IntArray], T], Callable[[IntArray, Exception], T]]:
    """Return what gives a stage's checked answer for some rows of a batch, and what stands in for it."""

    def compute(rows: IntArray) -> T:
        return check(node, batch if len(rows) == batch.n_rows else batch.take_rows(rows))

    def without_answer(rows: IntArray, _: Exception) -> T:
        return stand_in(int(batch.counts[rows].sum()))

    return compute, without_answer
