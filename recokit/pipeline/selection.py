"""Selection: each row's list chosen from its pool under every limit, without the stages that fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._kernels.segments import gather_segments, rank_in_row, rows_to_offsets
from recokit._utils.copies import frozen
from recokit.data import Candidates, Cap, Pin, Ragged
from recokit.errors import StageError
from recokit.pipeline.contracts import checked_limits, checked_order
from recokit.pipeline.plan import Node
from recokit.pipeline.run import NO_ROWS, PROGRAMMERS_ERRORS, Run, StageRun, describe
from recokit.protocols import Role
from recokit.slates import conflicts, select
from recokit.trace import DEGRADED, FAILED
from recokit.typing import BoolArray, FloatArray, IntArray


@frozen
class Selected:
    """Positions of a pool in list order, and the limits that the lists do not keep.

    Parameters
    ----------
    offsets : ndarray of int64
        CSR offsets of the lists.
    index : ndarray of int64
        Positions in the pool.
    relaxed : mapping of str to ndarray of bool (B,)
        For each limit the rows whose list breaks it.
    propensity : ndarray of float64, optional
        Probability of each item in its place, where the objective draws.
    conflicts : mapping of int to tuple of str
        By row, the limits that cannot hold together; with full capture only.
    """

    offsets: IntArray
    index: IntArray
    relaxed: Mapping[str, BoolArray]
    propensity: FloatArray | None = None
    conflicts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Failure:
    """A stage that failed inside selection, and how."""

    node: Node
    error: Exception


def choose(run: Run, pool: Candidates, placed: IntArray, *, relax: bool) -> Selected:
    """Choose the lists of all rows.

    Parameters
    ----------
    run : Run
        The run.
    pool : Candidates
        The candidates to choose from.
    placed : ndarray of int64 (B,)
        The first so many candidates of each row stand in its list already.
    relax : bool
        Whether soft limits yield where they leave a list short.
    """
    with StageRun(run, run.plan.selection, pool, role="selection") as stage:
        nodes, chooser = run.plan.constraints, run.plan.chooser
        # Lists that stand already need no objective; nor does anything once the budget is spent.
        in_time: IntArray | None = None
        if chooser is not None and run.ordered is None:
            in_time = run.in_time(chooser, pool) if stage.n_in else run.rows(chooser)
            nodes = nodes if in_time is None else (*nodes, chooser)
        batch = in_fusion_order(pool)
        choice = _Choice(run, batch, placed, relax)
        pieces: list[Selected] = []
        failed: list[IntArray] = []
        errors: dict[str, None] = {}
        for rows, applied in _row_groups(run, nodes, in_time):
            chosen, failures = choice.of_rows(rows, applied)
            pieces += chosen
            failed += [row for row, _ in failures]
            errors |= {f"{last.node.name}: {describe(last.error)}": None for _, last in failures[-1:]}
        selected = pieces[0] if len(pieces) == 1 else join_selected(batch, pieces)
        stage.n_out = len(selected.index)
        stage.error, stage.failed = "; ".join(errors), np.concatenate(failed) if failed else NO_ROWS
        relaxed = {
            cap: int(np.count_nonzero(rows)) for cap, rows in selected.relaxed.items() if any(rows.tolist())
        }
        stage.detail = {"relaxed": relaxed}
        if run.full:
            stage.detail = {"relaxed": relaxed, "conflicts": selected.conflicts}
            stage.before, stage.after = batch, pool.take(selected.offsets, selected.index)
    return selected


def _row_groups(
    run: Run, nodes: tuple[Node, ...], in_time: IntArray | None
) -> list[tuple[IntArray, tuple[Node, ...]]]:
    """Return the rows of each combination of limits and objective that applies; the objective only to some rows."""
    everyone = in_time is None or len(in_time) == len(run.everyone)
    if everyone and not run.unavailable and not [node for node in nodes if node.when is not None]:
        return [(run.everyone, nodes)]
    applies = np.zeros((len(run.everyone), len(nodes)), np.bool_)
    for column, node in enumerate(nodes):
        chooses = node is run.plan.chooser and in_time is not None
        applies[in_time if chooses else run.rows(node), column] = True
        lacking, names = run.lacking(node)
        _give_up(run, node, np.flatnonzero(applies[:, column] & lacking), f"{names} could not be hydrated")
        applies[lacking, column] = False
    kinds, which = np.unique(applies, axis=0, return_inverse=True)
    return [
        (np.flatnonzero(which.ravel() == kind), tuple(nodes[i] for i in np.flatnonzero(mask)))
        for kind, mask in enumerate(kinds)
    ]


def _give_up(run: Run, node: Node, rows: IntArray, reason: str) -> bool:
    """Go on without a stage in some rows, and return whether that may be: a hard limit fails them instead."""
    hard = node.role is Role.CONSTRAINT and node.traits.hard
    run.mark(rows, FAILED if hard else DEGRADED, f"{node.name}: {reason}")
    return not hard


@frozen
class _Choice:
    """One selection for all rows: the pool, with scores, and the circumstances of all its parts."""

    run: Run
    pool: Candidates
    placed: IntArray
    relax: bool

    def of_rows(
        self, rows: IntArray, nodes: tuple[Node, ...]
    ) -> tuple[list[Selected], list[tuple[IntArray, _Failure]]]:
        """Return the lists of some rows; where a stage fails, each row alone, and without that stage."""
        whole = self._select(rows, nodes)
        if isinstance(whole, Selected):
            return [whole], []
        if len(rows) == 1:
            return [self._without_failing(rows, nodes, whole)], [(rows, whole)]
        parts = [self.of_rows(rows[i : i + 1], nodes) for i in range(len(rows))]
        return [one for chosen, _ in parts for one in chosen], [one for _, failed in parts for one in failed]

    def _without_failing(self, row: IntArray, nodes: tuple[Node, ...], failure: _Failure) -> Selected:
        """Return one row's list without the stages that fail on it; none where a hard limit cannot be known."""
        result: Selected | _Failure = failure
        while isinstance(result, _Failure):
            node, reason = result.node, describe(result.error)
            if node.on_error == "raise":
                message = f"{node.name}: {reason}"
                raise StageError(
                    message, name=node.name, role=str(node.role), cause=result.error
                ) from result.error
            if not _give_up(self.run, node, row, reason):
                return Selected(np.zeros(2, np.int64), NO_ROWS, {})
            nodes = tuple(other for other in nodes if other is not node)
            result = self._select(row, nodes)
        return result

    def _select(self, rows: IntArray, nodes: tuple[Node, ...]) -> Selected | _Failure:
        """Select under some limits and an objective, or return the one that failed."""
        pool, everyone = self.pool, len(rows) == len(self.run.everyone)
        part = pool if everyone else pool.take_rows(rows)
        limits: list[Cap | Pin] = []
        order = None if self.run.ordered is None else listed_order(part, self.run.ordered, rows)
        chooser: Node | None = None
        for node in nodes:
            try:
                if node.role is Role.CONSTRAINT:
                    limits += checked_limits(node, part)
                elif node.role is Role.RERANKER:
                    order = checked_order(node, part)
                else:
                    chooser = node
            except PROGRAMMERS_ERRORS:
                raise
            except Exception as error:
                return _Failure(node, error)
        try:
            selection = select(
                part,
                self.run.k[rows],
                limits=limits,
                objective=None if chooser is None else chooser.stage,
                order=order,
                placed=self.placed[rows],
                pool=None if chooser is None else chooser.traits.pool,
                relax=self.relax,
                remaining=self.run.deadline.for_search,
            )
        except PROGRAMMERS_ERRORS:
            raise
        except Exception as error:
            if chooser is None:
                raise
            return _Failure(chooser, error)
        if len(selection.hurried):
            reason = "limits: no time left to search for a list that keeps more of them"
            self.run.mark(rows[selection.hurried], DEGRADED, reason)
        index, relaxed = selection.index, selection.relaxed
        if not everyone:
            index = gather_segments(pool.offsets, rows)[1][index]
            relaxed = {cap: _scattered(mask, rows, pool.n_rows) for cap, mask in relaxed.items()}
        selected = Selected(selection.offsets, index, relaxed, selection.propensity)
        return self._explained(selected, part, limits, rows) if self.run.full and limits else selected

    def _explained(
        self, selected: Selected, part: Candidates, limits: Sequence[Cap | Pin], rows: IntArray
    ) -> Selected:
        """Add the smallest set of limits that no full list keeps, for rows whose list is short or breaks one."""
        k, placed = self.run.k[rows], self.placed[rows]
        troubled = np.diff(selected.offsets) < np.minimum(k, part.counts)
        for broken in selected.relaxed.values():
            troubled |= broken[rows]
        if not troubled.any():
            return selected
        sets = conflicts(part, np.where(troubled, k, 0), limits, placed=np.where(troubled, placed, 0))
        by_row = {int(row): names for row, names in zip(rows.tolist(), sets, strict=True) if names}
        return replace(selected, conflicts=by_row)


def _scattered(mask: BoolArray, rows: IntArray, n_rows: int) -> BoolArray:
    every = np.zeros(n_rows, np.bool_)
    every[rows] = mask
    return every


def in_fusion_order(batch: Candidates) -> Candidates:
    """Return the batch with scores that keep the order of fusion in rows without any finite one."""
    finite = np.isfinite(batch.score)
    n_finite = np.count_nonzero(finite)
    if n_finite == len(finite):
        return batch
    fused = np.reciprocal(1 + rank_in_row(batch.row, batch.offsets), dtype=np.float32, casting="unsafe")
    if n_finite:
        scored = np.zeros(batch.n_rows, np.bool_)
        scored[batch.row[finite]] = True
        fused = np.where(scored[batch.row], batch.score, fused)
    return batch.with_score(fused)


def listed_order(batch: Candidates, lists: Ragged, rows: IntArray) -> IntArray:
    """Return a batch's positions, row by row: first the items of a list, in its order, then the others by score.

    Parameters
    ----------
    batch : Candidates
        Candidates of some rows.
    lists : Ragged
        Item codes of all rows.
    rows : ndarray of int64
        The rows of the batch among them.
    """
    lists = lists.take(rows)
    width = int(max(batch.item.max(initial=0), lists.values.max(initial=0))) + 1
    key = lists.rows * width + lists.values
    order = np.argsort(key)
    place, listed = locate_sorted(key[order], batch.row * width + batch.item)
    rank = np.full(len(batch.item), np.inf)
    rank[listed] = rank_in_row(lists.rows, lists.offsets)[order][place[listed]]
    return np.lexsort((-batch.score, rank, batch.row))


def join_selected(batch: Candidates, pieces: Sequence[Selected]) -> Selected:
    """Join the lists of several parts of a batch."""
    index = np.concatenate([NO_ROWS, *(piece.index for piece in pieces)])
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
    by_row = {row: names for piece in pieces for row, names in piece.conflicts.items()}
    return Selected(rows_to_offsets(batch.row[index], batch.n_rows), index, relaxed, propensity, by_row)
