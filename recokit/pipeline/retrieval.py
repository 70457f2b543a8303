"""Retrieval: the requests completed with what is known of the users, and every source's answer, fused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit.compose.fusion import check_retrieved, fuse
from recokit.data import Candidates, Retrieved
from recokit.data.requests import Hydrated
from recokit.pipeline.contracts import checked_hydrated
from recokit.pipeline.plan import Node, provides
from recokit.pipeline.run import Outcome, Run, attempt
from recokit.pipeline.scatter import join_hydrated, join_retrieved, masked, without
from recokit.pipeline.session import session_into_history
from recokit.protocols import Role
from recokit.trace import Status
from recokit.typing import IntArray

__all__ = ["retrieve"]

_ONE = np.zeros(1, np.int64)


def _hydrate(run: Run) -> None:
    """Complete the requests with what is known about the users."""
    for node in run.plan.hydrators:
        started = run.deadline.elapsed()
        outcome = run.attempt(node, partial(_hydrated, run, node), lambda rows, _: Hydrated())
        joined = join_hydrated(outcome, len(run.requests))
        _note_unavailable(run, node, outcome)
        run.requests = run.requests.hydrated(joined.columns, joined.ragged)
        run.forget_rows()
        run.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
        run.record(node, node.role, started, 0, 0, outcome=outcome)
    if "session" in run.requests.ragged:
        run.requests = session_into_history(run.requests)


def _hydrated(run: Run, node: Node, rows: IntArray) -> Hydrated:
    return checked_hydrated(node, run.requests_of(rows))


def _note_unavailable(run: Run, node: Node, outcome: Outcome[Hydrated]) -> None:
    if not outcome.error:
        return
    failed = np.zeros(len(run.requests), np.bool_)
    failed[outcome.failed] = True
    for name in provides(node.stage):
        by_caller = run.requests.from_caller.get(name, np.zeros_like(failed)) | (name in run.requests.columns)
        if (failed & ~by_caller).any():
            run.unavailable[name] = failed & ~by_caller


def retrieve(run: Run) -> Candidates:
    """Hydrate the requests, ask every source and fuse what they found."""
    _hydrate(run)
    threaded = run.settings.bulkheads
    waiting = {node.name: _start(run, node) for node in run.plan.sources if node.name in threaded}
    inline = {node.name: _retrieve(run, node) for node in run.plan.sources if node.name not in threaded}
    retrieved = [
        inline[node.name] if node.name in inline else _collect(run, node, waiting[node.name])
        for node in run.plan.sources
    ]
    started = run.deadline.elapsed()
    batch = _fused(run, retrieved)
    found = {name: len(part.item) for name, part in zip(run.plan.source_names, retrieved, strict=True)}
    if "items" in run.requests.ragged:
        found["items"] = len(run.requests.ragged["items"].values)
    run.record(
        run.plan.merge_name,
        Role.SOURCE,
        started,
        sum(found.values()),
        len(batch),
        detail={"by_source": found},
        after=batch,
    )
    return batch


def _fused(run: Run, retrieved: list[Retrieved]) -> Candidates:
    names, merge = run.plan.source_names, run.plan.merge

    def fused(parts: list[Retrieved], limit: int) -> Candidates:
        return fuse(names, parts, run.requests, by=merge.by, limit=limit, quotas=merge.quotas)

    chosen = run.requests.ragged.get("items")
    if chosen is None:
        return fused(retrieved, merge.limit)
    # Rows that rank given items only: what the sources know of these, in their order, then the others as given.
    given = run.requests.from_caller["items"]
    free = fused([masked(part, ~given) for part in retrieved], merge.limit)
    known = fused(
        [masked(part, given) for part in retrieved], max(sum(len(part.item) for part in retrieved), 1)
    )
    known = known.compress(pairs_in_sets(known.row, known.item, chosen.offsets, chosen.values))
    asked = masked(
        Retrieved(chosen.offsets, chosen.values, np.full(len(chosen.values), np.nan, np.float32)), given
    )
    other = fuse(("items",), [asked], run.requests, limit=max(len(asked.item), 1))
    return free.append(known).append(without(other, known))


def _start(run: Run, node: Node) -> Callable[[float], Retrieved] | Exception:
    requests, limit = run.requests, _limit(run, node)
    try:
        return run.settings.bulkheads[node.name].start(
            node.name, lambda: node.stage.retrieve(requests, limit)
        )
    except Exception as error:  # a full bulkhead is that source's failure, met when its answer is due
        return error


def _collect(run: Run, node: Node, wait: Callable[[float], Retrieved] | Exception) -> Retrieved:
    """Wait for a call under way, which was made for all rows and cannot be made again row by row."""
    started = run.deadline.elapsed()
    rows, n_rows = run.rows(node), len(run.requests)

    def compute(_: IntArray) -> Retrieved:
        if isinstance(wait, Exception):
            raise wait
        answer = wait(run.deadline.for_sources())
        check_retrieved(answer, n_rows, run.settings.n_items, node.name, _limit(run, node))
        return masked(answer, np.isin(np.arange(n_rows), rows))

    outcome = attempt(node, _ONE, compute, lambda _, error: Retrieved.empty(n_rows))
    answer, failed = outcome.pieces[0][1], rows if outcome.error else rows[:0]
    return _retrieved(run, node, started, Outcome([(np.arange(n_rows), answer)], failed, outcome.error))


def _retrieve(run: Run, node: Node) -> Retrieved:
    if run.skips(node, 0):
        return Retrieved.empty(len(run.requests))
    started = run.deadline.elapsed()

    def compute(rows: IntArray) -> Retrieved:
        answer: Retrieved = node.stage.retrieve(run.requests_of(rows), _limit(run, node))
        check_retrieved(answer, len(rows), run.settings.n_items, node.name, _limit(run, node))
        return answer

    return _retrieved(
        run, node, started, run.attempt(node, compute, lambda rows, _: Retrieved.empty(len(rows)))
    )


def _retrieved(run: Run, node: Node, started: float, outcome: Outcome[Retrieved]) -> Retrieved:
    answer = join_retrieved(outcome, len(run.requests))
    run.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
    inner = "; ".join(
        f"{type(error).__name__}: {error}" for _, part in outcome.pieces for error in part.errors
    )
    if inner:
        run.mark(run.rows(node), Status.DEGRADED, f"{node.name}: {inner}")
    run.record(
        node,
        node.role,
        started,
        0,
        len(answer.item),
        outcome=outcome,
        n_rows=len(run.rows(node)),
        detail={"part_errors": inner} if inner else {},
    )
    return answer


def _limit(run: Run, node: Node) -> int:
    return node.limit or run.plan.merge.per_source or run.plan.merge.limit
