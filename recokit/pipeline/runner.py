"""Runner: executes a plan on one batch. Stages return the smallest delta; the runner owns the batch and applies it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit._ops.membership import pairs_in_sets
from recokit._ops.segments import counts_to_offsets, gather_segments
from recokit.compose import check_retrieved, fuse
from recokit.data import Candidates, Ragged, Requests, Retrieved
from recokit.errors import ContractError
from recokit.pipeline.attempt import Outcome, applies_to, attempt
from recokit.pipeline.budget import Bulkhead, Deadline
from recokit.pipeline.plan import Group, Node, Plan, provides, requires
from recokit.protocols import Hydrated, Role
from recokit.trace import StageEvent, Status
from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = ["Run", "Settings"]

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
        self.unavailable: dict[str, IntArray] = {}

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

    def skips(self, node: Node, n_in: int) -> bool:
        """Tell whether the budget leaves no time for a stage that the answer can do without; if so, record it."""
        left = self.deadline.remaining()
        if left > (self.deadline.seconds / 2 if node.optional else 0.0):
            return False
        reason = f"{node.name}: skipped, {1e3 * left:.1f} ms of {1e3 * self.deadline.seconds:.0f} ms left"
        self.record(node, node.role, self.deadline.elapsed(), n_in, n_in, skipped=reason)
        self.mark(applies_to(node, self.requests), Status.DEGRADED, reason)
        return True

    # -- phases --------------------------------------------------------------------------------------------------------

    def hydrate(self) -> None:
        """Complete the requests with what is known about the users."""
        for node in self.plan.hydrators:
            started = self.deadline.elapsed()
            outcome = attempt(
                node,
                applies_to(node, self.requests),
                lambda rows, node=node: node.stage.hydrate(self._requests(rows)),  # type: ignore[misc]
                lambda rows, error: Hydrated(),
            )
            joined = _join_hydrated(outcome, len(self.requests))
            self.requests = self.requests.hydrated(joined.columns, joined.ragged)
            self.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
            if len(outcome.failed):
                self.unavailable |= dict.fromkeys(provides(node.stage), outcome.failed)
            self.record(node, node.role, started, 0, 0, outcome=outcome)
        if "session" in self.requests.ragged:
            self.requests = _session_into_history(self.requests)

    def retrieve(self) -> Candidates:
        """Ask every source and fuse what they found."""
        waiting = [(node, self._start(node)) for node in self.plan.sources if node.io_bound]
        answers = {node.name: self._retrieve(node) for node in self.plan.sources if not node.io_bound}
        for node, wait in waiting:
            answers[node.name] = self._retrieve(node, wait)
        names = self.plan.source_names
        retrieved = [answers[node.name] for node in self.plan.sources]
        merge, limit = self.plan.merge, self.plan.merge.limit
        chosen = self.requests.ragged.get("items")
        if chosen is not None:
            names, retrieved = (*names, "items"), [*retrieved, _as_retrieved(chosen)]
            limit = max(limit, int(sum(len(part.item) for part in retrieved)))
        started = self.deadline.elapsed()
        batch = fuse(names, retrieved, self.requests, by=merge.by, limit=limit, quotas=merge.quotas)
        if chosen is not None:
            wanted = (batch.sources >> np.uint64(len(names) - 1)) & np.uint64(1) == 1
            batch = batch.compress(wanted | ~self.requests.given["items"][batch.row])
        found = {name: len(part.item) for name, part in zip(names, retrieved, strict=True)}
        self.record(
            self.plan.merge_name,
            Role.SOURCE,
            started,
            sum(found.values()),
            len(batch),
            detail={"by_source": found},
            after=batch,
        )
        return batch

    def _start(self, node: Node) -> Callable[[float], Retrieved] | Exception:
        requests, limit = self.requests, self._limit(node)
        try:
            return self.settings.bulkheads[node.name].start(
                node.name, lambda: node.stage.retrieve(requests, limit)
            )
        except Exception as error:  # a full bulkhead is that source's failure, met when its answer is due
            return error

    def _retrieve(
        self, node: Node, wait: Callable[[float], Retrieved] | Exception | None = None
    ) -> Retrieved:
        if wait is None and self.skips(node, 0):
            return Retrieved.empty(len(self.requests))
        started = self.deadline.elapsed()
        rows = applies_to(node, self.requests)

        def compute(part: IntArray) -> Retrieved:
            if isinstance(wait, Exception):
                raise wait
            if wait is not None:
                answer = wait(self.deadline.for_sources())
                check_retrieved(
                    answer, len(self.requests), self.settings.n_items, node.name, self._limit(node)
                )
                return answer.take(part)
            answer = node.stage.retrieve(self._requests(part), self._limit(node))
            check_retrieved(answer, len(part), self.settings.n_items, node.name, self._limit(node))
            return answer

        if wait is None:
            outcome = attempt(node, rows, compute, lambda part, error: Retrieved.empty(len(part)))
        else:
            outcome = _once(node, rows, compute)
        answer = join_retrieved(outcome, len(self.requests))
        self.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
        inner = "; ".join(
            f"{type(error).__name__}: {error}" for _, part in outcome.pieces for error in part.errors
        )
        if inner:
            self.mark(rows, Status.DEGRADED, f"{node.name}: {inner}")
        self.record(
            node,
            node.role,
            started,
            0,
            len(answer.item),
            outcome=outcome,
            n_rows=len(rows),
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
            "exclude",
            Role.FILTER,
            started,
            len(batch),
            len(after),
            before=batch,
            after=after,
            kept=kept,
            detail=detail,
        )
        return after

    def filter(self, nodes: tuple[Node, ...], batch: Candidates) -> Candidates:
        """Apply consecutive filters as one mask. A row whose filter failed loses everything: hard rules fail closed."""
        total = np.ones(len(batch), np.bool_)
        kept_by: dict[str, BoolArray] = {}
        timings = []
        for node in nodes:
            started = self.deadline.elapsed()
            outcome = self.on_rows(node, batch, lambda part, node=node: checked_mask(node, part), False)  # type: ignore[misc]
            kept = scatter(batch, outcome, np.True_)
            self.fail_closed(node, batch, kept, outcome)
            total &= kept
            kept_by[node.name] = kept
            timings.append((node, started, outcome, self.deadline.elapsed() - started))
        after = batch.compress(total)
        for node, started, outcome, seconds in timings:
            kept = kept_by[node.name]
            self.record(
                node,
                node.role,
                started,
                len(batch),
                int(kept.sum()),
                outcome=outcome,
                seconds=seconds,
                before=batch,
                after=after,
                kept=kept,
                detail={"kept_by": kept_by} if self.full else {},
            )
        return after

    def fail_closed(
        self, node: Node, batch: Candidates, kept: BoolArray, outcome: Outcome[BoolArray]
    ) -> None:
        self.mark(outcome.failed, Status.FAILED, f"{node.name}: {outcome.error}")
        for name in requires(node.stage):
            rows = self.unavailable.get(name)
            if rows is not None:
                self.mark(rows, Status.FAILED, f"{node.name}: {name} could not be hydrated")
                kept[np.isin(batch.row, rows)] = False

    def featurize(self, group: Group, batch: Candidates) -> Candidates:
        """Append the blocks of consecutive featurizers; a failed or skipped block is missing values."""
        before, blocks, names = batch, [], []
        for node in group.nodes:
            n_features = len(node.stage.names)
            names.extend(node.stage.names)
            if self.skips(node, len(batch)):
                blocks.append(np.full((len(batch), n_features), np.nan, np.float32))
                continue
            started = self.deadline.elapsed()
            outcome = self.on_rows(
                node, batch, lambda part, node=node: _checked_features(node, part), np.nan, n_features
            )  # type: ignore[misc]
            block = scatter(batch, outcome, np.float32(np.nan), n_features)
            blocks.append(block)
            self.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
            detail = {"nan_share": float(np.isnan(block).mean())} if self.full and block.size else {}
            self.record(node, node.role, started, len(batch), len(batch), outcome=outcome, detail=detail)
        features = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        batch = batch.with_features(features, tuple(names))
        if self.full:
            self.events[-1] = replace(self.events[-1], before=before, after=batch)
        return batch

    def score(self, node: Node, batch: Candidates, *, first: bool) -> Candidates:
        """Replace the scores; where the scorer failed, the earlier scores (at first the order of fusion) stay."""
        if self.skips(node, len(batch)):
            return batch
        started = self.deadline.elapsed()
        outcome = self.on_rows(node, batch, lambda part: _checked_score(node, part), np.nan)
        score = batch.score.copy()
        for rows, piece in outcome.pieces:
            if not np.isin(rows, outcome.failed).all():
                _put(score, batch, rows, piece)
        after = batch.with_score(score)
        self.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
        self._note_not_finite(node, after, started, batch, outcome, first)
        return after

    def _note_not_finite(
        self,
        node: Node,
        after: Candidates,
        started: float,
        before: Candidates,
        outcome: Outcome[Any],
        first: bool,
    ) -> None:
        bad = ~np.isfinite(after.score)
        bad[np.isin(after.row, outcome.failed)] = False
        n_bad = int(bad.sum())
        if n_bad and len(applies_to(node, self.requests)) == len(self.requests):
            message = f"{node.name}: found {after.score[bad][0]} among the scores; expected finite ones; they rank last"
            if self.settings.validate:
                raise ContractError(message)
            self.mark(np.unique(after.row[bad]), Status.DEGRADED, message)
        detail = {"nan_share": n_bad / max(len(after), 1), "first": first}
        self.record(
            node,
            node.role,
            started,
            len(after),
            len(after),
            outcome=outcome,
            detail=detail,
            before=before,
            after=after,
        )

    def on_rows(
        self,
        node: Node,
        batch: Candidates,
        compute: Callable[[Candidates], AnyArray],
        fill: Any,
        width: int = 0,
    ) -> Outcome[AnyArray]:
        def part(rows: IntArray) -> Candidates:
            return batch if len(rows) == batch.n_rows else batch.take_rows(rows)

        def stand_in(rows: IntArray, error: Exception) -> AnyArray:
            n = int(batch.counts[rows].sum())
            return np.full((n, width) if width else n, fill, np.bool_ if fill is False else np.float32)

        return attempt(node, applies_to(node, self.requests), lambda rows: compute(part(rows)), stand_in)


# -- checks of what stages return -------------------------------------------------------------------------------------


def checked_mask(node: Node, batch: Candidates) -> BoolArray:
    kept = node.stage.keep(batch)
    if not isinstance(kept, np.ndarray) or kept.dtype != np.bool_ or kept.shape != (len(batch),):
        raise ContractError(_found(node, "keep", kept, f"bool ({len(batch)},)"))
    return kept.copy()


def _checked_features(node: Node, batch: Candidates) -> AnyArray:
    block = node.stage.featurize(batch)
    shape = (len(batch), len(node.stage.names))
    if not isinstance(block, np.ndarray) or block.dtype.kind != "f" or block.shape != shape:
        raise ContractError(_found(node, "featurize", block, f"float32 {shape}, one column for each name"))
    return block.astype(np.float32, copy=False)


def _checked_score(node: Node, batch: Candidates) -> AnyArray:
    score = node.stage.score(batch)
    if not isinstance(score, np.ndarray) or score.dtype.kind != "f" or score.shape != (len(batch),):
        raise ContractError(_found(node, "score", score, f"float32 ({len(batch)},)"))
    return score.astype(np.float32, copy=False)


def _found(node: Node, verb: str, value: Any, expected: str) -> str:
    found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
    return f"found {found} from {node.name}.{verb}; expected {expected}"


# -- putting pieces together ------------------------------------------------------------------------------------------


def _put(target: AnyArray, batch: Candidates, rows: IntArray, piece: AnyArray) -> None:
    if len(rows) == batch.n_rows:
        target[...] = piece
    else:
        target[gather_segments(batch.offsets, rows)[1]] = piece


def scatter(batch: Candidates, outcome: Outcome[AnyArray], outside: Any, width: int = 0) -> AnyArray:
    if len(outcome.pieces) == 1 and len(outcome.pieces[0][0]) == batch.n_rows:
        return outcome.pieces[0][1]
    full = np.full((len(batch), width) if width else len(batch), outside)
    for rows, piece in outcome.pieces:
        _put(full, batch, rows, piece)
    return full


def _once(node: Node, rows: IntArray, compute: Callable[[IntArray], Retrieved]) -> Outcome[Retrieved]:
    """Attempt a call that is already under way and cannot be retried row by row."""
    failure: list[Exception] = []

    def stand_in(part: IntArray, error: Exception) -> Retrieved:
        failure.append(error)
        return Retrieved.empty(len(part))

    single = np.zeros(1, np.int64)
    outcome = attempt(node, single, lambda _: compute(rows), lambda _, error: stand_in(rows, error))
    return Outcome([(rows, outcome.pieces[0][1])], rows if failure else outcome.failed, outcome.error)


def join_retrieved(outcome: Outcome[Retrieved], n_rows: int) -> Retrieved:
    if len(outcome.pieces) == 1 and len(outcome.pieces[0][0]) == n_rows:
        return outcome.pieces[0][1]
    counts = np.zeros(n_rows, np.int64)
    for rows, part in outcome.pieces:
        counts[rows] = np.diff(part.offsets)
    items = [part.item for _, part in outcome.pieces]
    scores = [part.score for _, part in outcome.pieces]
    if not items:
        return Retrieved.empty(n_rows)
    return Retrieved(counts_to_offsets(counts), np.concatenate(items), np.concatenate(scores))


def _join_hydrated(outcome: Outcome[Hydrated], n_rows: int) -> Hydrated:
    columns: dict[str, AnyArray] = {}
    ragged: dict[str, Ragged] = {}
    for rows, part in outcome.pieces:
        mask = np.zeros(n_rows, np.bool_)
        mask[rows] = True
        spread = np.cumsum(mask) - 1
        spread[~mask] = 0
        for name, lists in part.ragged.items():
            mine = lists if len(rows) == n_rows else lists.take(spread)
            ragged[name] = ragged.get(name, Ragged.empty(n_rows)).merge(mine, mask)
        for name, column in part.columns.items():
            blank = np.full(n_rows, np.nan) if column.dtype.kind == "f" else np.zeros(n_rows, column.dtype)
            columns[name] = np.where(mask, column[spread], columns.get(name, blank))
    return Hydrated(columns, ragged)


def _as_retrieved(chosen: Ragged) -> Retrieved:
    return Retrieved(chosen.offsets, chosen.values, np.full(len(chosen.values), np.nan, np.float32))


def _session_into_history(requests: Requests) -> Requests:
    """Append each row's session to its history: sources answer from the history, the newest events last."""
    session, history = requests.ragged["session"], requests.lists("history")
    n = len(requests)
    both = Ragged(
        np.concatenate([history.offsets, history.offsets[-1] + session.offsets[1:]]),
        np.concatenate([history.values, session.values]),
        {
            name: np.concatenate(
                [history.columns.get(name, _blank(session, name, history)), session.columns[name]]
            )
            for name in session.columns
        },
    )
    order = np.stack([np.arange(n), np.arange(n) + n], axis=1).ravel()
    interleaved = both.take(order)
    joined = Ragged(interleaved.offsets[::2], interleaved.values, interleaved.columns)
    return replace(requests, ragged={**requests.ragged, "history": joined})


def _blank(like: Ragged, name: str, history: Ragged) -> AnyArray:
    return np.zeros(len(history.values), like.columns[name].dtype)
