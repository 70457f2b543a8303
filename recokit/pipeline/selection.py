"""Selection: the final list under every limit, its annotations, late checks, back-fill and fallback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._ops.membership import pairs_in_sets
from recokit._ops.segments import gather_segments, rank_in_row, rows_to_offsets
from recokit.compose import check_retrieved, fuse
from recokit.data import Candidates, Cap, Pin, Retrieved
from recokit.errors import ConfigurationError, ContractError
from recokit.pipeline.attempt import Outcome, applies_to, attempt
from recokit.pipeline.plan import Node
from recokit.pipeline.runner import Run, checked_mask, join_retrieved, scatter
from recokit.protocols import Role
from recokit.slates import select
from recokit.trace import Status
from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = ["Selector"]


class _Blamed(Exception):
    """A failure inside selection, with the stage that caused it."""

    def __init__(self, node: Node, cause: Exception) -> None:
        self.node, self.cause = node, cause
        super().__init__(f"{node.name}: {type(cause).__name__}: {cause}")


@dataclass(frozen=True, eq=False)
class _Chosen:
    offsets: IntArray
    index: IntArray
    relaxed: Mapping[str, BoolArray]


class Selector:
    """Turns a run's ranked candidates into its lists."""

    def __init__(self, run: Run) -> None:
        self.run, self.plan, self.requests = run, run.plan, run.requests
        self.steering = (
            *self.plan.rerankers,
            *(() if self.plan.objective is None else (self.plan.objective,)),
        )

    def finish(self, pool: Candidates) -> Candidates:
        """Return the final list of every row."""
        fallback = self.plan.fallback
        selected, pool = self._settle(pool, np.zeros(pool.n_rows, np.int64), relax=fallback is None)
        short = self._short(selected)
        if fallback is not None and short.any():
            selected = self._fall_back(fallback, selected, pool, short)
        failed = self.run.status == Status.FAILED
        if failed.any():
            selected = selected.compress(~failed[selected.row])
        empty = np.flatnonzero((selected.counts == 0) & ~failed)
        self.run.mark(empty, Status.EMPTY, "no item passed every hard rule")
        return selected

    def _short(self, selected: Candidates) -> BoolArray:
        short = (selected.counts < self.requests.k) & (self.run.status != Status.FAILED)
        given = self.requests.given.get("items")
        return short if given is None else short & ~given

    def _fall_back(self, node: Node, selected: Candidates, pool: Candidates, short: BoolArray) -> Candidates:
        extra = self._ask_fallback(node, pool, short)
        done = selected.compress(~short[selected.row])
        placed = selected.compress(short[selected.row])
        filled, extra = self._settle(placed.append(extra), placed.counts, relax=False)
        if self.plan.constraints and (self._short(done.append(filled)) & short).any():
            # Soft limits yield only now: first the ranked reserve, then what is left of the fallback.
            reserve = _without(pool.compress(short[pool.row]), filled)
            rest = filled.append(reserve).append(_without(_without(extra, filled), reserve))
            filled, _ = self._settle(rest, filled.counts, relax=True)
        bit = np.uint64(filled.source_names.index(node.name))
        used = np.unique(filled.row[(filled.sources >> bit) & np.uint64(1) == 1])
        self.run.mark(used, Status.FALLBACK, f"{node.name}: filled up")
        return done.append(filled)

    def _ask_fallback(self, node: Node, pool: Candidates, short: BoolArray) -> Candidates:
        started = self.run.deadline.elapsed()
        limit = node.limit or int(max(100, 5 * self.requests.k.max()))

        def compute(rows: IntArray) -> Retrieved:
            answer = node.stage.retrieve(self.requests.take(rows), limit)
            check_retrieved(answer, len(rows), self.run.settings.n_items, node.name, limit)
            return answer

        rows = np.intersect1d(applies_to(node, self.requests), np.flatnonzero(short))
        outcome = attempt(node, rows, compute, lambda part, error: Retrieved.empty(len(part)))
        answer = join_retrieved(outcome, len(self.requests))
        self.run.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
        extra = _without(fuse((node.name,), [answer], self.requests, limit=limit), pool)
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
        extra = self.run.exclude(extra)
        for group in self.plan.body:
            if group.role is Role.FILTER:
                extra = self.run.filter(group.nodes, extra)
        return extra

    # -- selection, annotation and late checks until nothing changes -----------------------------------------------------

    def _settle(self, batch: Candidates, placed: IntArray, *, relax: bool) -> tuple[Candidates, Candidates]:
        """Select and annotate; drop what a late check refuses and select again, until nothing is refused."""
        while True:
            chosen = self._choose(batch, placed, relax=relax)
            selected = batch.take(chosen.offsets, chosen.index)
            refused = np.zeros(len(batch), np.bool_)
            for node in self.plan.annotators:
                selected = self._annotate(node, batch, chosen, selected, refused)
            for node in self.plan.late:
                self._check_late(node, chosen, selected, refused)
            if not refused.any():
                return selected, batch
            lost = refused & (rank_in_row(batch.row, batch.offsets) < placed[batch.row])
            placed = placed - np.bincount(batch.row[lost], minlength=batch.n_rows)
            batch = batch.compress(~refused)

    def _annotate(
        self, node: Node, batch: Candidates, chosen: _Chosen, selected: Candidates, refused: BoolArray
    ) -> Candidates:
        started = self.run.deadline.elapsed()
        whole = selected.n_rows

        def compute(rows: IntArray) -> Mapping[str, AnyArray]:
            part = selected if len(rows) == whole else selected.take_rows(rows)
            return _checked_columns(node, part)

        outcome = attempt(node, applies_to(node, self.requests), compute, lambda rows, error: {})
        annotated = selected.with_columns(_join_columns(selected, outcome))
        self.run.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
        n_out = len(annotated)
        if hasattr(node.stage, "verify"):
            passed = self._verified(node, annotated)
            n_out = int(passed.sum())
            refused[chosen.index[~passed]] = True
            if len(
                outcome.failed
            ):  # no label can come: spare the rounds that would find them one list at a time
                refused |= np.isin(batch.row, outcome.failed) & ~self._verified(node, batch)
        self.run.record(
            node, node.role, started, len(annotated), n_out, outcome=outcome, before=selected, after=annotated
        )
        return annotated

    def _verified(self, node: Node, batch: Candidates) -> BoolArray:
        try:
            passed = node.stage.verify(batch)
        except Exception as error:  # a hard check that cannot be made refuses everything
            self.run.mark(
                np.unique(batch.row), Status.FAILED, f"{node.name}: {type(error).__name__}: {error}"
            )
            return np.zeros(len(batch), np.bool_)
        if not isinstance(passed, np.ndarray) or passed.dtype != np.bool_ or passed.shape != (len(batch),):
            raise ContractError(f"found no bool ({len(batch)},) from {node.name}.verify; expected one")
        return passed

    def _check_late(self, node: Node, chosen: _Chosen, selected: Candidates, refused: BoolArray) -> None:
        started = self.run.deadline.elapsed()
        outcome = self.run.on_rows(node, selected, lambda part: checked_mask(node, part), False)
        kept = scatter(selected, outcome, np.True_)
        self.run.fail_closed(node, selected, kept, outcome)
        refused[chosen.index[~kept]] = True
        detail = {"kept_by": {node.name: kept}} if self.run.full else {}
        self.run.record(
            node,
            node.role,
            started,
            len(selected),
            int(kept.sum()),
            outcome=outcome,
            before=selected,
            after=selected.compress(kept) if self.run.full else None,
            kept=kept,
            detail=detail,
        )

    # -- one greedy selection --------------------------------------------------------------------------------------------

    def _choose(self, batch: Candidates, placed: IntArray, *, relax: bool) -> _Chosen:
        started = self.run.deadline.elapsed()
        skipped = {node.name for node in self.steering if len(batch) and self.run.skips(node, len(batch))}
        ready = batch.with_score(_fusion_score(batch))
        strict = any(node.on_error == "raise" for node in (*self.plan.constraints, *self.steering))
        name = self.plan.selection_name
        whole = Node(name, Role.RERANKER, None, on_error="raise" if strict else "degrade")
        pieces: list[_Chosen] = []
        errors: list[str] = []
        failed: list[IntArray] = []
        for rows, nodes in self._row_groups(skipped):
            outcome = attempt(
                whole,
                rows,
                lambda part, nodes=nodes: self._solve(ready, placed, part, nodes, relax),  # type: ignore[misc]
                lambda part, error, nodes=nodes: self._without_blamed(  # type: ignore[misc]
                    ready, placed, part, nodes, relax, error
                ),
            )
            pieces += [piece for _, piece in outcome.pieces]
            failed.append(outcome.failed)
            errors += [outcome.error] if outcome.error else []
        chosen = _join_chosen(batch, pieces)
        selected = batch.take(chosen.offsets, chosen.index) if self.run.full else None
        detail = {"relaxed": {cap: int(rows.sum()) for cap, rows in chosen.relaxed.items() if rows.any()}}
        outcome = Outcome([], np.concatenate(failed), "; ".join(errors))
        self.run.record(
            name,
            "selection",
            started,
            len(batch),
            len(chosen.index),
            outcome=outcome,
            detail=detail,
            before=ready,
            after=selected,
        )
        for cap, rows in chosen.relaxed.items():
            for row in np.flatnonzero(rows).tolist():
                self.run.reasons.setdefault(row, []).append(f"{cap}: relaxed to fill the list")
        return chosen

    def _row_groups(self, skipped: set[str]) -> list[tuple[IntArray, tuple[Node, ...]]]:
        """Return the rows of each combination of limits and objective that applies."""
        nodes = tuple(node for node in (*self.plan.constraints, *self.steering) if node.name not in skipped)
        if all(node.when is None for node in nodes):
            return [(np.arange(len(self.requests)), nodes)]
        applies = np.zeros((len(self.requests), len(nodes)), np.bool_)
        for column, node in enumerate(nodes):
            applies[applies_to(node, self.requests), column] = True
        kinds, which = np.unique(applies, axis=0, return_inverse=True)
        return [
            (
                np.flatnonzero(which.ravel() == kind),
                tuple(node for node, on in zip(nodes, mask, strict=True) if on),
            )
            for kind, mask in enumerate(kinds)
        ]

    def _solve(
        self, batch: Candidates, placed: IntArray, rows: IntArray, nodes: tuple[Node, ...], relax: bool
    ) -> _Chosen:
        whole = len(rows) == batch.n_rows
        part = batch if whole else batch.take_rows(rows)
        limits: list[Cap | Pin] = []
        objective = order = None
        blamed: Node | None = None
        for node in nodes:
            try:
                if node.role is Role.CONSTRAINT:
                    limits += _checked_limits(node, part)
                elif node.role is Role.RERANKER:
                    order = _checked_order(node, part)
                else:
                    objective, blamed = node.stage, node
            except (ContractError, ConfigurationError):
                raise
            except Exception as error:  # attributed, then handled for each row alone
                raise _Blamed(node, error) from error
        try:
            selection = select(
                part,
                part.requests.k,
                limits=limits,
                objective=objective,
                order=order,
                placed=placed[rows],
                pool=getattr(objective, "pool", None),
                relax=relax,
            )
        except (ContractError, ConfigurationError):
            raise
        except Exception as error:
            if blamed is None:
                raise
            raise _Blamed(blamed, error) from error
        index = selection.index if whole else gather_segments(batch.offsets, rows)[1][selection.index]
        relaxed = {}
        for cap, mask in selection.relaxed.items():
            relaxed[cap] = np.zeros(batch.n_rows, np.bool_)
            relaxed[cap][rows] = mask
        return _Chosen(selection.offsets, index, relaxed)

    def _without_blamed(
        self,
        batch: Candidates,
        placed: IntArray,
        rows: IntArray,
        nodes: tuple[Node, ...],
        relax: bool,
        error: Exception,
    ) -> _Chosen:
        """Solve one row without the stages that fail on it; a hard limit that cannot be known fails the row."""
        while isinstance(error, _Blamed):
            if error.node.role is Role.CONSTRAINT and getattr(error.node.stage, "hard", True):
                self.run.mark(rows, Status.FAILED, str(error))
                return _Chosen(np.zeros(2, np.int64), np.zeros(0, np.int64), {})
            self.run.mark(rows, Status.DEGRADED, str(error))
            nodes = tuple(node for node in nodes if node is not error.node)
            try:
                return self._solve(batch, placed, rows, nodes, relax)
            except _Blamed as another:
                error = another
        raise error


def _fusion_score(batch: Candidates) -> AnyArray:
    """Return scores in which a row without any finite one is in the order of fusion."""
    finite = np.isfinite(batch.score)
    scored = np.zeros(batch.n_rows, np.bool_)
    scored[batch.row[finite]] = True
    if scored.all():
        return batch.score
    rank = rank_in_row(batch.row, batch.offsets)
    return np.where(scored[batch.row], batch.score, (1.0 / (1.0 + rank)).astype(np.float32))


def _without(batch: Candidates, other: Candidates) -> Candidates:
    """Return the batch without the items that the other batch has in the same row."""
    return batch.compress(~pairs_in_sets(batch.row, batch.item, other.offsets, other.item))


def _join_chosen(batch: Candidates, pieces: list[_Chosen]) -> _Chosen:
    if len(pieces) == 1:
        return pieces[0]
    index = np.concatenate([piece.index for piece in pieces])
    index = index[np.argsort(batch.row[index], kind="stable")]
    relaxed: dict[str, BoolArray] = {}
    for piece in pieces:
        for cap, mask in piece.relaxed.items():
            relaxed[cap] = relaxed[cap] | mask if cap in relaxed else mask
    return _Chosen(rows_to_offsets(batch.row[index], batch.n_rows), index, relaxed)


def _join_columns(selected: Candidates, outcome: Outcome[Mapping[str, AnyArray]]) -> dict[str, AnyArray]:
    columns: dict[str, AnyArray] = {}
    for rows, part in outcome.pieces:
        for name, values in part.items():
            if len(rows) == selected.n_rows:
                columns[name] = values
                continue
            if name not in columns:
                blank: Any = None if values.dtype.kind == "O" else (np.nan if values.dtype.kind == "f" else 0)
                columns[name] = selected.columns.get(name, np.full(len(selected), blank, values.dtype)).copy()
            columns[name][gather_segments(selected.offsets, rows)[1]] = values
    return columns


def _checked_columns(node: Node, batch: Candidates) -> Mapping[str, AnyArray]:
    columns = node.stage.annotate(batch)
    if not isinstance(columns, Mapping):
        raise ContractError(
            f"found {type(columns).__name__} from {node.name}.annotate; expected a mapping of columns"
        )
    for name, values in columns.items():
        if not isinstance(values, np.ndarray) or values.shape != (len(batch),):
            shape = getattr(values, "shape", type(values).__name__)
            raise ContractError(
                f"found {shape} for {name!r} from {node.name}.annotate; expected ({len(batch)},)"
            )
    return columns


def _checked_limits(node: Node, batch: Candidates) -> tuple[Cap | Pin, ...]:
    limits = node.stage.limit(batch)
    if not isinstance(limits, tuple) or not all(isinstance(limit, Cap | Pin) for limit in limits):
        raise ContractError(
            f"found {type(limits).__name__} from {node.name}.limit; expected a tuple of Cap and Pin"
        )
    for limit in limits:
        array = (
            limit.position
            if isinstance(limit, Pin)
            else (limit.offsets if limit.offsets is not None else limit.group)
        )
        n = len(array) - (isinstance(limit, Cap) and limit.offsets is not None)
        if n != len(batch):
            raise ContractError(
                f"found limit {limit.name!r} for {n} candidates from {node.name}; expected {len(batch)}"
            )
    return limits


def _checked_order(node: Node, batch: Candidates) -> IntArray:
    order = node.stage.rerank(batch)
    found = f"{order.dtype} {order.shape}" if isinstance(order, np.ndarray) else type(order).__name__
    if not isinstance(order, np.ndarray) or order.dtype.kind != "i" or order.ndim != 1:
        raise ContractError(f"found {found} from {node.name}.rerank; expected int64 positions")
    if len(order) and (order.min() < 0 or order.max() >= len(batch)):
        raise ContractError(
            f"found position {order.max()} from {node.name}.rerank; expected 0 to {len(batch) - 1}"
        )
    if len(np.unique(order)) != len(order) or (np.diff(batch.row[order]) < 0).any():
        raise ContractError(
            f"found positions repeated or out of row order from {node.name}.rerank; expected each row's "
            "positions together, rows ascending, each at most once"
        )
    return order.astype(np.int64, copy=False)
