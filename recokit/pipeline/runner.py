"""Runner: executes a plan on one batch. Stages return the smallest delta; the runner owns the batch and applies it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from recokit._ops.membership import pairs_in_sets
from recokit._ops.segments import counts_to_offsets
from recokit.compose import check_retrieved, fuse
from recokit.data import Candidates, Requests, Retrieved
from recokit.errors import ContractError, StageError
from recokit.pipeline.attempt import Outcome, applies_to, attempt
from recokit.pipeline.budget import Bulkhead, Deadline
from recokit.pipeline.checks import checked_features, checked_hydrated, checked_mask, checked_score
from recokit.pipeline.pieces import join_hydrated, join_retrieved, part_of, put, scatter, session_into_history
from recokit.pipeline.plan import Group, Node, Plan, provides, requires
from recokit.protocols import Hydrated, Role
from recokit.trace import StageEvent, Status
from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = ["Run", "Settings"]

T = TypeVar("T")

_PHASE: Mapping[str, str] = {
    Role.SOURCE: "candidates",
    Role.HYDRATOR: "candidates",
    Role.FEATURIZER: "features",
    Role.SCORER: "ranking",
}


@dataclass(frozen=True, eq=False)
class Settings:
    """What every run of one pipeline shares."""

    plan: Plan
    n_items: int
    validate: bool
    bulkheads: Mapping[str, Bulkhead]


class Run:
    """The state of one run: the requests as hydrated, what each stage did, and how each row fares."""

    def __init__(self, settings: Settings, requests: Requests, deadline: Deadline, *, full: bool) -> None:
        self.plan, self.settings, self.deadline, self.full = settings.plan, settings, deadline, full
        self.requests = replace(requests, remaining=deadline.remaining)
        self.events: list[StageEvent] = []
        self.status = np.full(len(requests), Status.OK, np.int64)
        self.reasons: dict[int, list[str]] = {}
        self.spent = dict.fromkeys(("candidates", "features", "ranking", "post"), 0.0)
        self.unavailable: dict[str, BoolArray] = {}
        self._applies: dict[str, IntArray] = {}

    # -- bookkeeping ---------------------------------------------------------------------------------------------------

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
        **more: Any,
    ) -> None:
        """Add one stage's event; it ends now unless its seconds are given."""
        seconds = self.deadline.elapsed() - started if seconds is None else seconds
        self.spent[_PHASE.get(role, "post")] += seconds
        if not self.full:
            more = {name: value for name, value in more.items() if name not in ("before", "after", "kept")}
        if outcome is not None and outcome.error:
            more |= {"error": outcome.error, "failed_rows": outcome.failed}
        name = node if isinstance(node, str) else node.name
        rows = len(self.requests) if n_rows is None else n_rows
        self.events.append(StageEvent(name, str(role), started, seconds, n_in, n_out, rows, **more))

    def rows(self, node: Node) -> IntArray:
        """Return the rows that a stage applies to."""
        if node.name not in self._applies:
            self._applies[node.name] = np.flatnonzero(applies_to(node, self.requests))
        return self._applies[node.name]

    def skips(self, node: Node, n_in: int) -> bool:
        """Tell whether the budget leaves no time for a stage that the answer can do without; if so, record it."""
        left, budget = self.deadline.remaining(), self.deadline.seconds
        if budget == np.inf or left > (budget / 2 if node.optional else 0.0):
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
        rows = self.rows(node) if rows is None else rows
        lacking, what = self.lacking(node)
        blocked = rows[lacking[rows]] if what else rows[:0]
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
        for name in requires(node.stage) if self.unavailable else ():
            if name in self.unavailable:
                lacking |= self.unavailable[name]
                names.append(name)
        return lacking, ", ".join(names)

    # -- phases --------------------------------------------------------------------------------------------------------

    def hydrate(self) -> None:
        """Complete the requests with what is known about the users."""
        for node in self.plan.hydrators:
            started = self.deadline.elapsed()
            outcome = self.attempt(
                node, lambda rows, node=node: checked_hydrated(node, self._requests(rows)), lambda rows, _: Hydrated()
            )
            joined = join_hydrated(outcome, len(self.requests))
            self._note_unavailable(node, outcome)
            self.requests = self.requests.hydrated(joined.columns, joined.ragged)
            self._applies.clear()  # conditions may read what a hydrator adds
            self.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
            self.record(node, node.role, started, 0, 0, outcome=outcome)
        if "session" in self.requests.ragged:
            self.requests = session_into_history(self.requests)

    def _note_unavailable(self, node: Node, outcome: Outcome[Hydrated]) -> None:
        failed = np.zeros(len(self.requests), np.bool_)
        failed[outcome.failed] = True
        for name in provides(node.stage):
            by_caller = self.requests.given.get(name, np.zeros_like(failed)) | (name in self.requests.columns)
            if (failed & ~by_caller).any():
                self.unavailable[name] = failed & ~by_caller

    def retrieve(self) -> Candidates:
        """Ask every source and fuse what they found."""
        threaded = self.settings.bulkheads
        waiting = {node.name: self._start(node) for node in self.plan.sources if node.name in threaded}
        inline = {node.name: self._retrieve(node) for node in self.plan.sources if node.name not in threaded}
        retrieved = [
            inline[node.name] if node.name in inline else self._collect(node, waiting[node.name])
            for node in self.plan.sources
        ]
        started = self.deadline.elapsed()
        batch = self._fused(retrieved)
        found = {
            name: len(part.item) for name, part in zip(self.plan.source_names, retrieved, strict=True)
        }
        if "items" in self.requests.ragged:
            found["items"] = len(self.requests.ragged["items"].values)
        self.record(
            self.plan.merge_name, Role.SOURCE, started, sum(found.values()), len(batch), detail={"by_source": found},
            after=batch,
        )
        return batch

    def _fused(self, retrieved: list[Retrieved]) -> Candidates:
        names, merge = self.plan.source_names, self.plan.merge

        def fused(parts: list[Retrieved], limit: int) -> Candidates:
            return fuse(names, parts, self.requests, by=merge.by, limit=limit, quotas=merge.quotas)

        chosen = self.requests.ragged.get("items")
        if chosen is None:
            return fused(retrieved, merge.limit)
        # Rows that rank given items only: what the sources know of these, in their order, then the others as given.
        given = self.requests.given["items"]
        free = fused([_masked(part, ~given) for part in retrieved], merge.limit)
        known = fused([_masked(part, given) for part in retrieved], max(sum(len(part.item) for part in retrieved), 1))
        known = known.compress(pairs_in_sets(known.row, known.item, chosen.offsets, chosen.values))
        asked = _masked(Retrieved(chosen.offsets, chosen.values, np.full(len(chosen.values), np.nan, np.float32)), given)
        other = fuse(("items",), [asked], self.requests, limit=max(len(asked.item), 1))
        return free.append(known).append(without(other, known))

    def _start(self, node: Node) -> Callable[[float], Retrieved] | Exception:
        requests, limit = self.requests, self._limit(node)
        try:
            return self.settings.bulkheads[node.name].start(
                node.name, lambda: node.stage.retrieve(requests, limit)
            )
        except Exception as error:  # a full bulkhead is that source's failure, met when its answer is due
            return error

    def _collect(self, node: Node, wait: Callable[[float], Retrieved] | Exception) -> Retrieved:
        """Wait for a call under way, which was made for all rows and cannot be made again row by row."""
        started = self.deadline.elapsed()
        rows, n_rows = self.rows(node), len(self.requests)

        def compute(_: IntArray) -> Retrieved:
            if isinstance(wait, Exception):
                raise wait
            answer = wait(self.deadline.for_sources())
            check_retrieved(answer, n_rows, self.settings.n_items, node.name, self._limit(node))
            return _masked(answer, np.isin(np.arange(n_rows), rows))

        outcome = attempt(node, _ONE, compute, lambda _, error: Retrieved.empty(n_rows))
        answer, failed = outcome.pieces[0][1], rows if outcome.error else rows[:0]
        return self._retrieved(node, started, Outcome([(np.arange(n_rows), answer)], failed, outcome.error))

    def _retrieve(self, node: Node) -> Retrieved:
        if self.skips(node, 0):
            return Retrieved.empty(len(self.requests))
        started = self.deadline.elapsed()

        def compute(rows: IntArray) -> Retrieved:
            answer: Retrieved = node.stage.retrieve(self._requests(rows), self._limit(node))
            check_retrieved(answer, len(rows), self.settings.n_items, node.name, self._limit(node))
            return answer

        return self._retrieved(node, started, self.attempt(node, compute, lambda rows, _: Retrieved.empty(len(rows))))

    def _retrieved(self, node: Node, started: float, outcome: Outcome[Retrieved]) -> Retrieved:
        answer = join_retrieved(outcome, len(self.requests))
        self.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
        inner = "; ".join(f"{type(error).__name__}: {error}" for _, part in outcome.pieces for error in part.errors)
        if inner:
            self.mark(self.rows(node), Status.DEGRADED, f"{node.name}: {inner}")
        self.record(
            node, node.role, started, 0, len(answer.item), outcome=outcome, n_rows=len(self.rows(node)),
            detail={"part_errors": inner} if inner else {},
        )
        return answer

    def _limit(self, node: Node) -> int:
        return node.limit or self.plan.merge.per_source or self.plan.merge.limit

    def _requests(self, rows: IntArray) -> Requests:
        return self.requests if len(rows) == len(self.requests) else self.requests.take(rows)

    def body(self, batch: Candidates) -> Candidates:
        """Filter, featurise and score, in the order of the plan."""
        batch = self.exclude(batch)
        scored = False
        for group in self.plan.body:
            if group.role is Role.FILTER:
                batch = self.filter(group.nodes, batch)
            elif group.role is Role.FEATURIZER:
                batch = self.featurize(group, batch)
            else:
                batch = self.score(group.nodes[0], batch, first=not scored)
                scored = True
            if self.settings.validate:
                batch.validate()
        return batch

    def exclude(self, batch: Candidates) -> Candidates:
        """Drop the items that the caller excluded."""
        excluded = self.requests.ragged.get("exclude")
        if excluded is None:
            return batch
        started = self.deadline.elapsed()
        kept = ~pairs_in_sets(batch.row, batch.item, excluded.offsets, excluded.values)
        after = batch.compress(kept)
        detail = {"kept_by": {"exclude": kept}} if self.full else {}
        self.record(
            "exclude", Role.FILTER, started, len(batch), len(after), before=batch, after=after, kept=kept, detail=detail
        )
        return after

    def filter(self, nodes: tuple[Node, ...], batch: Candidates) -> Candidates:
        """Apply consecutive filters as one mask. A row whose filter failed loses everything: hard rules fail closed."""
        total = np.ones(len(batch), np.bool_)
        kept_by: dict[str, BoolArray] = {}
        timings = []
        for node in nodes:
            started = self.deadline.elapsed()
            kept, outcome = self.decide(node, batch)
            total &= kept
            kept_by[node.name] = kept
            timings.append((node, started, outcome, self.deadline.elapsed() - started))
        after = batch.compress(total)
        for node, started, outcome, seconds in timings:
            kept = kept_by[node.name]
            self.record(
                node, node.role, started, len(batch), int(np.count_nonzero(kept)), outcome=outcome, seconds=seconds,
                n_rows=len(self.rows(node)), before=batch, after=after, kept=kept,
                detail={"kept_by": kept_by} if self.full else {},
            )
        return after

    def decide(self, node: Node, batch: Candidates) -> tuple[BoolArray, Outcome[BoolArray]]:
        """Return a filter's decisions; where it failed, nothing is kept and the row is FAILED."""
        outcome = self.on_rows(node, batch, lambda part: checked_mask(node, part), np.False_)
        self.mark(outcome.failed, Status.FAILED, f"{node.name}: {outcome.error}")
        return scatter(batch, outcome, np.True_), outcome

    def featurize(self, group: Group, batch: Candidates) -> Candidates:
        """Append the blocks of consecutive featurizers; a failed or skipped block is missing values."""
        blocks, names, first = [], [], len(self.events)
        for node in group.nodes:
            shape = (len(node.stage.names),)
            names.extend(node.stage.names)
            if self.skips(node, len(batch)):
                blocks.append(np.full((len(batch), *shape), np.nan, np.float32))
                continue
            started = self.deadline.elapsed()
            nothing = np.float32(np.nan)
            outcome = self.on_rows(
                node, batch, lambda part, node=node: checked_features(node, part), nothing, shape
            )
            block = scatter(batch, outcome, nothing, shape)
            blocks.append(block)
            self.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
            detail = {"nan_share": float(np.isnan(block).mean())} if self.full and block.size else {}
            self.record(
                node, node.role, started, len(batch), len(batch), outcome=outcome, n_rows=len(self.rows(node)),
                detail=detail,
            )
        features = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        after = batch.with_features(features, tuple(names))
        if self.full:
            self.events[first:] = [replace(event, before=batch, after=after) for event in self.events[first:]]
        return after

    def score(self, node: Node, batch: Candidates, *, first: bool) -> Candidates:
        """Replace the scores; where the scorer failed, the earlier scores (at first the order of fusion) stay."""
        if self.skips(node, len(batch)):
            return batch
        started = self.deadline.elapsed()
        outcome = self.on_rows(node, batch, lambda part: checked_score(node, part), np.float32(np.nan))
        failed = set(outcome.failed.tolist())
        worked = [(rows, piece) for rows, piece in outcome.pieces if int(rows[0]) not in failed]
        score = batch.score.copy()
        for rows, piece in worked:
            put(score, batch, rows, piece)
        after = batch.with_score(score)
        self.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
        n_bad = sum(self._note_not_finite(node, after, rows) for rows, _ in worked)
        detail = {"nan_share": n_bad / max(len(after), 1), "not_finite": n_bad, "first": first}
        self.record(
            node, node.role, started, len(after), len(after), outcome=outcome, n_rows=len(self.rows(node)),
            detail=detail, before=batch, after=after,
        )
        return after

    def _note_not_finite(self, node: Node, batch: Candidates, rows: IntArray) -> int:
        """Count the scores of some rows that are not finite; they sink to the end of their list."""
        bad = ~np.isfinite(batch.score)
        if not bad.any():
            return 0
        bad &= np.isin(batch.row, rows)
        where = np.unique(batch.row[bad])
        if len(where):
            message = f"{node.name}: found {batch.score[bad][0]} among the scores; expected finite ones; they rank last"
            if self.settings.validate:
                raise ContractError(message)
            self.mark(where, Status.DEGRADED, message)
        return int(np.count_nonzero(bad))

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


_ONE = np.zeros(1, np.int64)


def _masked(answer: Retrieved, mask: BoolArray) -> Retrieved:
    """Return the answer with empty lists in rows where the mask (B,) is not set."""
    if mask.all():
        return answer
    counts = np.diff(answer.offsets)
    kept = np.repeat(mask, counts)
    return replace(
        answer, offsets=counts_to_offsets(counts * mask), item=answer.item[kept], score=answer.score[kept]
    )


def without(batch: Candidates, other: Candidates) -> Candidates:
    """Return the batch without the items that the other batch has in the same row."""
    return batch.compress(~pairs_in_sets(batch.row, batch.item, other.offsets, other.item))
