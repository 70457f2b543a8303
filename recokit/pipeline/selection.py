"""Selection: the final list under every limit, its annotations, late checks, back-fill and fallback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from recokit._kernels.segments import gather_segments, rank_in_row, rows_to_offsets
from recokit.compose.fusion import check_retrieved, fuse
from recokit.data import Candidates, Cap, Pin, Retrieved
from recokit.data.candidates import missing
from recokit.errors import StageError
from recokit.pipeline.contracts import checked_columns, checked_limits, checked_order, checked_verdict
from recokit.pipeline.plan import Node
from recokit.pipeline.ranking import decide, exclude, featurize, keep
from recokit.pipeline.run import NO_ROWS, PROGRAMMERS_ERRORS, Outcome, Run, attempt, part_of
from recokit.pipeline.scatter import join_columns, join_retrieved, scatter, without
from recokit.protocols import Role
from recokit.slates import conflicts, select
from recokit.slates.select import Selection
from recokit.trace import Status
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["Chosen", "Selector", "either", "in_fusion_order", "join_chosen"]


class _Blamed(Exception):
    """A failure inside selection, with the stage that caused it."""

    def __init__(self, node: Node, cause: Exception) -> None:
        self.node, self.cause = node, cause
        super().__init__(f"{node.name}: {type(cause).__name__}: {cause}")


@dataclass(frozen=True, eq=False)
class _Settled:
    """Lists with and without their annotations, the candidates that no late check refused, and limits not kept."""

    shown: Candidates
    plain: Candidates
    pool: Candidates
    relaxed: Mapping[str, BoolArray]


def _joined(outcomes: list[Outcome[Chosen]]) -> Outcome[Chosen]:
    """Return what failed in any of several groups of rows."""
    failed = [outcome.failed for outcome in outcomes]
    errors = dict.fromkeys(outcome.error for outcome in outcomes if outcome.error)
    return Outcome([], np.concatenate(failed) if failed else NO_ROWS, "; ".join(errors))


class Selector:
    """Turns a run's ranked candidates into its lists."""

    def __init__(self, run: Run) -> None:
        self.run, self.plan, self.requests = run, run.plan, run.requests
        # No list is longer than the catalogue, whatever was asked for.
        self.k = np.minimum(run.requests.k, max(run.settings.n_items, 1))
        objective = () if self.plan.objective is None else (self.plan.objective,)
        self.steering = (*self.plan.rerankers, *objective)
        self.draws = any(hasattr(node.stage, "propensity") for node in objective)

    def finish(self, pool: Candidates) -> Candidates:
        """Return the final list of every row."""
        fallback = self.plan.fallback
        drawn = np.full(pool.n_rows, self.draws)
        settled = self._settle(pool, np.zeros(pool.n_rows, np.int64), drawn, relax=fallback is None)
        selected = settled.shown
        if fallback is not None and (short := self._short(selected)).any():
            settled = self._fall_back(fallback, settled, short)
            selected = settled.shown
        self._explain(settled)
        failed = self.run.status == Status.FAILED
        if failed.any():
            selected = selected.compress(~failed[selected.row])
        empty = selected.counts == 0
        if empty.any():
            self.run.mark(np.flatnonzero(empty & ~failed), Status.EMPTY, "no item passed every hard rule")
        return selected

    def _explain(self, settled: _Settled) -> None:
        """Say of the final lists which limits they break, and where limits leave them short."""
        alive = self.run.status != Status.FAILED
        for name, rows in settled.relaxed.items():
            for row in np.flatnonzero(rows & alive).tolist():
                self.run.reasons.setdefault(row, []).append(f"{name}: relaxed to fill the list")
        if self.plan.constraints:
            length = settled.shown.counts
            held = (length < self.k) & (length < settled.pool.counts) & (length > 0) & alive
            for row in np.flatnonzero(held).tolist():
                reason = f"limits leave {length[row]} of {self.k[row]} places"
                self.run.reasons.setdefault(row, []).append(reason)

    def _short(self, selected: Candidates) -> BoolArray:
        short: BoolArray = (selected.counts < self.k) & (self.run.status != Status.FAILED)
        given = self.requests.from_caller.get("items")
        return short if given is None else short & ~given

    def _fall_back(self, node: Node, settled: _Settled, short: BoolArray) -> _Settled:
        pool = settled.pool
        extra = self._ask_fallback(node, pool, short)
        done = settled.shown.compress(~short[settled.shown.row])
        placed = settled.plain.compress(short[settled.plain.row])
        nothing = np.zeros(pool.n_rows, np.bool_)  # what fills up was not drawn from all that could be shown
        filled = self._settle(placed.append(extra), placed.counts, nothing, relax=False)
        relaxed = either(settled.relaxed, ~short, filled.relaxed, short)
        still = short & self._short(filled.shown)
        if self.plan.constraints and still.any():
            # Soft limits yield only now: first the ranked reserve, then what is left of the fallback.
            placed = filled.plain
            reserve = without(pool.compress(still[pool.row]), placed)
            left = filled.pool.compress(still[filled.pool.row])
            rest = placed.append(reserve).append(without(without(left, placed), reserve))
            filled = self._settle(rest, placed.counts, nothing, relax=True)
            relaxed = either(relaxed, ~still, filled.relaxed, still)
        bit = np.uint64(filled.shown.source_names.index(node.name))
        used = np.unique(filled.shown.row[(filled.shown.sources >> bit) & np.uint64(1) == 1])
        self.run.mark(used, Status.FALLBACK, f"{node.name}: filled up")
        return _Settled(done.append(filled.shown), placed, filled.pool, relaxed)

    def _ask_fallback(self, node: Node, pool: Candidates, short: BoolArray) -> Candidates:
        """Return what the fallback finds, filtered and with features, in its own order."""
        started = self.run.deadline.elapsed()
        most = np.maximum(100, 5 * self.k) if node.limit is None else np.full(len(self.k), node.limit)
        limit = int(most.max())

        def compute(rows: IntArray) -> Retrieved:
            answer: Retrieved = node.stage.retrieve(self.requests.take(rows), limit)
            check_retrieved(answer, len(rows), self.run.settings.n_items, node.name, limit)
            return answer

        rows = self.run.rows(node)
        rows = rows[short[rows]]
        outcome = self.run.attempt(node, compute, lambda part, _: Retrieved.empty(len(part)), rows)
        answer = join_retrieved(outcome, len(self.requests))
        self.run.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
        extra = fuse((node.name,), [answer], self.requests, limit=limit)
        extra = extra.compress(rank_in_row(extra.row, extra.offsets) < most[extra.row])
        extra = without(extra, pool)
        lacking = {name: missing(len(extra), column) for name, column in pool.columns.items()}
        extra = extra.with_columns({**lacking, **extra.columns})
        self.run.record(
            node,
            node.role,
            started,
            len(answer.item),
            len(extra),
            outcome=outcome,
            n_rows=len(rows),
            after=extra,
        )
        extra = exclude(self.run, extra)
        for group in self.plan.body:
            if group.role is Role.FILTER:
                extra = keep(self.run, group.nodes, extra)
            elif group.role is Role.FEATURIZER:
                extra = featurize(self.run, group, extra)
        return extra

    # -- selection, annotation and late checks until nothing changes -------------------------------

    def _settle(self, batch: Candidates, placed: IntArray, drawn: BoolArray, *, relax: bool) -> _Settled:
        """Select and annotate; drop what a late check refuses and select again, until nothing is refused.

        Rows where ``drawn`` is set log the probability of each place; once something was refused, none is known.
        """
        while True:
            chosen = self._choose(batch, placed, relax=relax)
            plain = shown = self._with_propensity(batch, chosen, drawn)
            refused = np.zeros(len(batch), np.bool_)
            for node in self.plan.annotators:
                shown = self._annotate(node, batch, chosen, shown, refused)
            for node in self.plan.late:
                self._check_late(node, chosen, shown, refused)
            failed = self.run.status == Status.FAILED
            if failed.any():
                refused |= failed[batch.row]
            if not refused.any():
                return _Settled(shown, plain, batch, chosen.relaxed)
            lost = refused & (rank_in_row(batch.row, batch.offsets) < placed[batch.row])
            placed = placed - np.bincount(batch.row[lost], minlength=batch.n_rows)
            drawn = drawn & (np.bincount(batch.row[refused], minlength=batch.n_rows) == 0)
            batch = batch.compress(~refused)

    def _with_propensity(self, batch: Candidates, chosen: Chosen, drawn: BoolArray) -> Candidates:
        selected = batch.take(chosen.offsets, chosen.index)
        if not self.draws:
            return selected
        before = selected.columns.get("propensity", np.full(len(selected), np.nan))
        if chosen.propensity is None:
            return selected.with_columns({"propensity": before})
        return selected.with_columns({"propensity": np.where(drawn[selected.row], chosen.propensity, before)})

    def _annotate(
        self, node: Node, batch: Candidates, chosen: Chosen, selected: Candidates, refused: BoolArray
    ) -> Candidates:
        started = self.run.deadline.elapsed()
        outcome: Outcome[Mapping[str, AnyArray]] = self.run.attempt(
            node, lambda rows: checked_columns(node, part_of(selected, rows)), lambda rows, _: {}
        )
        annotated = selected.with_columns(join_columns(selected, outcome))
        self.run.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
        n_out = len(annotated)
        if hasattr(node.stage, "verify"):
            passed = self._verified(node, annotated)
            n_out = int(np.count_nonzero(passed))
            refused[chosen.index[~passed]] = True
            if len(outcome.failed):
                # No label can come: spare the rounds that would find them one list at a time.
                refused |= np.isin(batch.row, outcome.failed) & ~self._verified(node, batch)
        self.run.record(
            node,
            node.role,
            started,
            len(annotated),
            n_out,
            outcome=outcome,
            n_rows=len(self.run.rows(node)),
            before=selected,
            after=annotated,
        )
        return annotated

    def _verified(self, node: Node, batch: Candidates) -> BoolArray:
        """Return what an annotator's hard check lets through; nothing where it cannot be made."""
        outcome = self.run.on_rows(node, batch, partial(checked_verdict, node), np.False_)
        self.run.mark(outcome.failed, Status.FAILED, f"{node.name}: {outcome.error}")
        return scatter(batch, outcome, np.True_)

    def _check_late(self, node: Node, chosen: Chosen, selected: Candidates, refused: BoolArray) -> None:
        started = self.run.deadline.elapsed()
        kept, outcome = decide(self.run, node, selected)
        refused[chosen.index[~kept]] = True
        full = self.run.full
        self.run.record(
            node,
            node.role,
            started,
            len(selected),
            int(np.count_nonzero(kept)),
            outcome=outcome,
            n_rows=len(self.run.rows(node)),
            before=selected,
            after=selected.compress(kept) if full else None,
            kept=kept,
            detail={"kept_by": {node.name: kept}} if full else {},
        )

    # -- one greedy selection ----------------------------------------------------------------------

    def _choose(self, batch: Candidates, placed: IntArray, *, relax: bool) -> Chosen:
        started = self.run.deadline.elapsed()
        skipped = {node.name for node in self.steering if len(batch) and self.run.skips(node, len(batch))}
        ready = in_fusion_order(batch)
        outcomes = [
            attempt(
                self.plan.selection,
                rows,
                partial(self._solve, ready, placed, nodes, relax),
                partial(self._without_blamed, ready, placed, nodes, relax),
            )
            for rows, nodes in self._row_groups(skipped)
        ]
        chosen = join_chosen(batch, [piece for outcome in outcomes for _, piece in outcome.pieces])
        joined = outcomes[0] if len(outcomes) == 1 else _joined(outcomes)
        relaxed = {cap: int(np.count_nonzero(rows)) for cap, rows in chosen.relaxed.items() if rows.any()}
        self.run.record(
            self.plan.selection,
            "selection",
            started,
            len(batch),
            len(chosen.index),
            outcome=joined,
            detail={"relaxed": relaxed, "conflicts": chosen.conflicts}
            if self.run.full
            else {"relaxed": relaxed},
            before=ready,
            after=batch.take(chosen.offsets, chosen.index) if self.run.full else None,
        )
        return chosen

    def _row_groups(self, skipped: set[str]) -> list[tuple[IntArray, tuple[Node, ...]]]:
        """Return the rows of each combination of limits and objective that applies."""
        nodes = tuple(node for node in (*self.plan.constraints, *self.steering) if node.name not in skipped)
        if all(node.when is None for node in nodes) and not self.run.unavailable:
            return [(np.arange(len(self.requests)), nodes)]
        applies = np.zeros((len(self.requests), len(nodes)), np.bool_)
        for column, node in enumerate(nodes):
            applies[self.run.rows(node), column] = True
            lacking, what = self.run.lacking(node)
            self._give_up(node, np.flatnonzero(applies[:, column] & lacking), f"{what} could not be hydrated")
            applies[lacking, column] = False
        kinds, which = np.unique(applies, axis=0, return_inverse=True)
        return [
            (np.flatnonzero(which.ravel() == kind), tuple(nodes[i] for i in np.flatnonzero(mask)))
            for kind, mask in enumerate(kinds)
        ]

    def _give_up(self, node: Node, rows: IntArray, reason: str) -> bool:
        """Go on without a stage in some rows, and tell whether that may be: a hard limit fails them instead."""
        hard = node.role is Role.CONSTRAINT and getattr(node.stage, "hard", True)
        self.run.mark(rows, Status.FAILED if hard else Status.DEGRADED, f"{node.name}: {reason}")
        return not hard

    def _solve(
        self, batch: Candidates, placed: IntArray, nodes: tuple[Node, ...], relax: bool, rows: IntArray
    ) -> Chosen:
        part = part_of(batch, rows)
        limits: list[Cap | Pin] = []
        objective = order = None
        blamed: Node | None = None
        for node in nodes:
            try:
                if node.role is Role.CONSTRAINT:
                    limits += checked_limits(node, part)
                elif node.role is Role.RERANKER:
                    order = checked_order(node, part)
                else:
                    objective, blamed = node.stage, node
            except PROGRAMMERS_ERRORS:
                raise
            except Exception as error:  # attributed, then handled for each row alone
                raise _Blamed(node, error) from error
        try:
            selection = select(
                part,
                self.k[rows],
                limits=limits,
                objective=objective,
                order=order,
                placed=placed[rows],
                pool=getattr(objective, "pool", None),
                relax=relax,
            )
        except PROGRAMMERS_ERRORS:
            raise
        except Exception as error:
            if blamed is None:
                raise
            raise _Blamed(blamed, error) from error
        index = selection.index
        if part is not batch:
            index = gather_segments(batch.offsets, rows)[1][index]
        relaxed = {}
        for cap, mask in selection.relaxed.items():
            relaxed[cap] = np.zeros(batch.n_rows, np.bool_)
            relaxed[cap][rows] = mask
        found = self._conflicts(part, selection, limits, placed, rows) if self.run.full and limits else {}
        return Chosen(selection.offsets, index, relaxed, selection.propensity, found)

    def _conflicts(
        self,
        part: Candidates,
        selection: Selection,
        limits: list[Cap | Pin],
        placed: IntArray,
        rows: IntArray,
    ) -> dict[int, tuple[str, ...]]:
        """Return by row the smallest set of limits that no full list keeps, where a list is short or breaks one."""
        k = self.k[rows]
        troubled = np.diff(selection.offsets) < np.minimum(k, part.counts)
        for broken in selection.relaxed.values():
            troubled |= broken
        if not troubled.any():
            return {}
        names = conflicts(part, np.where(troubled, k, 0), limits, placed=np.where(troubled, placed[rows], 0))
        return {int(row): found for row, found in zip(rows.tolist(), names, strict=True) if found}

    def _without_blamed(
        self,
        batch: Candidates,
        placed: IntArray,
        nodes: tuple[Node, ...],
        relax: bool,
        rows: IntArray,
        error: Exception,
    ) -> Chosen:
        """Solve one row without the stages that fail on it; a hard limit that cannot be known fails the row."""
        while isinstance(error, _Blamed):
            failing = error.node
            if failing.on_error == "raise":
                raise StageError(
                    str(error), name=failing.name, role=str(failing.role), cause=error.cause
                ) from error
            if not self._give_up(failing, rows, f"{type(error.cause).__name__}: {error.cause}"):
                return Chosen(np.zeros(2, np.int64), np.zeros(0, np.int64), {})
            nodes = tuple(node for node in nodes if node is not failing)
            try:
                return self._solve(batch, placed, nodes, relax, rows)
            except _Blamed as another:
                error = another
        raise error


@dataclass(frozen=True, eq=False)
class Chosen:
    """Positions of a batch in list order, and which limits the lists do not keep."""

    offsets: IntArray
    index: IntArray
    relaxed: Mapping[str, BoolArray]
    propensity: FloatArray | None = None
    #: By row, the limits that cannot hold together; with full capture only.
    conflicts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def in_fusion_order(batch: Candidates) -> Candidates:
    """Return the batch with scores that keep the order of fusion in rows without any finite one."""
    finite = np.isfinite(batch.score)
    if finite.all():
        return batch
    fused = (1.0 / (1.0 + rank_in_row(batch.row, batch.offsets))).astype(np.float32)
    if finite.any():
        scored = np.zeros(batch.n_rows, np.bool_)
        scored[batch.row[finite]] = True
        fused = np.where(scored[batch.row], batch.score, fused)
    return batch.with_score(fused)


def join_chosen(batch: Candidates, pieces: list[Chosen]) -> Chosen:
    """Join what was found for the parts of a batch."""
    if len(pieces) == 1:
        return pieces[0]
    index = np.concatenate([np.zeros(0, np.int64), *(piece.index for piece in pieces)])
    order = np.argsort(batch.row[index], kind="stable")
    index = index[order]
    propensity = None
    if any(piece.propensity is not None for piece in pieces):
        parts = [
            np.full(len(piece.index), np.nan) if piece.propensity is None else piece.propensity
            for piece in pieces
        ]
        propensity = np.concatenate(parts)[order]
    relaxed: dict[str, BoolArray] = {}
    for piece in pieces:
        for cap, mask in piece.relaxed.items():
            relaxed[cap] = relaxed[cap] | mask if cap in relaxed else mask
    found = {row: names for piece in pieces for row, names in piece.conflicts.items()}
    return Chosen(rows_to_offsets(batch.row[index], batch.n_rows), index, relaxed, propensity, found)


def either(
    mine: Mapping[str, BoolArray], here: BoolArray, theirs: Mapping[str, BoolArray], there: BoolArray
) -> dict[str, BoolArray]:
    """Return limits not kept, from one source in some rows and from another in others."""
    nowhere = np.zeros(len(here), np.bool_)
    return {
        name: (mine.get(name, nowhere) & here) | (theirs.get(name, nowhere) & there)
        for name in dict.fromkeys((*mine, *theirs))
    }
