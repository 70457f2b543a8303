"""Retrieval: the requests completed with facts about the users, and the answers of all sources, fused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit.compose.fusion import check_retrieved, fuse
from recokit.data import Candidates, Ragged, Requests, Retrieved
from recokit.data.context import SEARCH, with_context, with_unknown
from recokit.data.requests import Hydrated
from recokit.errors import did_you_mean
from recokit.pipeline.contracts import checked_hydrated
from recokit.pipeline.plan import Node
from recokit.pipeline.run import Outcome, Run, StageRun, attempt, describe
from recokit.pipeline.scatter import join_hydrated, join_retrieved, masked, without
from recokit.pipeline.session import session_into_history
from recokit.trace import DEGRADED
from recokit.typing import IntArray

_ONE = np.zeros(1, np.int64)


def retrieve(run: Run) -> Candidates:
    """Hydrate the requests, ask every source and fuse their answers."""
    hydrate(run)
    sources, threaded = run.plan.sources, run.settings.dependencies
    waiting = {node.name: _start(run, node) for node in sources if node.name in threaded}
    answers = {node.name: _ask(run, node) for node in sources if node.name not in threaded}
    retrieved = [
        answers[node.name] if node.name in answers else _wait_for(run, node, waiting[node.name])
        for node in sources
    ]
    run.retrieved = retrieved
    with StageRun(run, run.plan.fusion) as stage:
        counts = {name: len(part.item) for name, part in zip(run.plan.source_names, retrieved, strict=True)}
        batch = _fused(run, retrieved)
        if "items" in run.requests.ragged:
            counts["items"] = len(run.requests.ragged["items"].values)
        if run.ordered is not None:
            counts["ordered"] = len(run.ordered.values)
            batch = _with_ordered(batch, run.ordered, run.requests)
        stage.n_in, stage.detail = sum(counts.values()), {"by_source": counts}
        if run.full:
            by_row = np.sum([np.diff(part.offsets) for part in retrieved], axis=0)
            if "items" in run.requests.ragged:
                by_row += run.requests.ragged["items"].counts
            stage.detail = {**stage.detail, "n_in_by_row": by_row}
        stage.left(batch)
    return batch


# -- requests ----------------------------------------------------------------------------------------


def hydrate(run: Run) -> None:
    """Complete the requests with facts about the users; a context column that nobody gave is there, and unknown."""
    outside, hydrated = run.plan.context
    if run.settings.context:
        run.requests = with_context(run.requests, run.settings.context)
    if outside:
        for name in sorted(outside - run.requests.columns.keys() - SEARCH):
            run.explain(run.everyone, f"{name} is unknown: {did_you_mean(name, run.requests.columns)}")
        run.requests = with_unknown(run.requests, outside)
    for node in run.plan.hydrators:
        with StageRun(run, node) as stage:

            def compute(rows: IntArray, node: Node = node) -> Hydrated:
                return checked_hydrated(node, _requests_of(run, rows))

            outcome = stage.attempt(compute, lambda rows, _: Hydrated())
            joined = join_hydrated(outcome, len(stage.run.everyone))
            if outcome.error:
                _note_unavailable(run, node, outcome.failed)
            run.complete(run.requests.hydrated(joined.columns, joined.ragged))
    if hydrated:
        run.complete(with_unknown(run.requests, hydrated))
    if "session" in run.requests.ragged:
        run.requests = session_into_history(run.requests)


def _requests_of(run: Run, rows: IntArray) -> Requests:
    """Return some rows of the requests, the requests themselves for all of them."""
    return run.requests if len(rows) == len(run.everyone) else run.requests.take(rows)


def _note_unavailable(run: Run, node: Node, rows: IntArray) -> None:
    failed = np.zeros(len(run.everyone), np.bool_)
    failed[rows] = True
    for name in node.traits.provides:
        in_column = run.requests.columns_from_caller.get(name, name in run.requests.columns)
        by_caller = run.requests.from_caller.get(name, np.zeros_like(failed)) | in_column
        if (failed & ~by_caller).any():
            run.unavailable[name] = failed & ~by_caller


# -- sources -----------------------------------------------------------------------------------------


def _ask(run: Run, node: Node) -> Retrieved:
    """Return a source's answer for the rows that it applies to."""
    rows = run.in_time(node, None)
    if rows is None:
        return Retrieved.empty(len(run.everyone))
    limit = source_limit(run, node)

    def compute(rows: IntArray) -> Retrieved:
        answer: Retrieved = node.stage.retrieve(_requests_of(run, rows), limit)
        check_retrieved(answer, len(rows), run.settings.n_items, node.name, limit=limit)
        return answer

    with StageRun(run, node, rows=rows) as stage:
        outcome = stage.attempt(compute, lambda rows, _: Retrieved.empty(len(rows)))
        return _entered(stage, outcome)


def _start(run: Run, node: Node) -> Callable[[float], Retrieved] | Exception:
    requests, limit = run.requests, source_limit(run, node)
    try:
        return run.settings.dependencies[node.name].start(
            node.name, lambda: node.stage.retrieve(requests, limit)
        )
    except Exception as error:  # a full bulkhead is that source's failure, met when its answer is due
        return error


def _wait_for(run: Run, node: Node, wait: Callable[[float], Retrieved] | Exception) -> Retrieved:
    """Wait for a call under way, which was made for all rows and cannot be made again row by row."""
    n_rows = len(run.everyone)

    def compute(_: IntArray) -> Retrieved:
        if isinstance(wait, Exception):
            raise wait
        answer = wait(run.deadline.for_phase("candidates"))
        check_retrieved(answer, n_rows, run.settings.n_items, node.name, limit=source_limit(run, node))
        return masked(answer, np.isin(run.everyone, stage.rows))

    with StageRun(run, node) as stage:
        outcome = attempt(node, _ONE, compute, lambda _, error: Retrieved.empty(n_rows))
        if outcome.error:
            stage.error, stage.failed = outcome.error, stage.rows
            run.mark(stage.rows, DEGRADED, f"{node.name}: {outcome.error}")
        return _entered(stage, Outcome([(run.everyone, outcome.pieces[0][1])]))


def _entered(stage: StageRun, outcome: Outcome[Retrieved]) -> Retrieved:
    """Return a source's lists for all rows, with their number and the failures inside it noted."""
    answer = join_retrieved(outcome, len(stage.run.everyone))
    stage.n_out = len(answer.item)
    if stage.run.full:
        stage.detail = {**stage.detail, "n_out_by_row": np.diff(answer.offsets)}
    if answer.errors:
        inner = "; ".join(map(describe, answer.errors))
        stage.run.mark(stage.rows, DEGRADED, f"{stage.node.name}: {inner}")
        stage.detail = {**stage.detail, "part_errors": inner}
    return answer


def source_limit(run: Run, node: Node) -> int:
    """Return how many items a source may give for a row."""
    return run.requests.shrunk(node.limit or run.plan.merge.per_source or run.plan.merge.limit)


# -- fusion ------------------------------------------------------------------------------------------


def _fused(run: Run, retrieved: Sequence[Retrieved]) -> Candidates:
    names, merge, requests = run.plan.source_names, run.plan.merge, run.requests
    most = requests.shrunk(merge.limit)
    items = requests.ragged.get("items")
    if items is None:
        return fuse(names, retrieved, requests, by=merge.by, limit=most, quotas=merge.quotas)
    # Rows that rank the caller's items only: those that sources retrieved, in their order, then the others.
    bound = requests.from_caller["items"]
    limit = max(sum(len(part.item) for part in retrieved), 1)
    free = [masked(part, ~bound) for part in retrieved]
    batch = fuse(names, free, requests, by=merge.by, limit=most, quotas=merge.quotas)
    bound_parts = [masked(part, bound) for part in retrieved]
    known = fuse(names, bound_parts, requests, by=merge.by, limit=limit, quotas=merge.quotas)
    known = known.compress(pairs_in_sets(known.row, known.item, items.offsets, items.values))
    listed = _as_candidates("items", items, requests)
    listed = listed.compress(bound[listed.row])
    for name in run.plan.passed_over:
        lists = requests.lists(name)
        listed = listed.compress(~pairs_in_sets(listed.row, listed.item, lists.offsets, lists.values))
    return batch.append(known).append(without(listed, known))


def _with_ordered(batch: Candidates, ordered: Ragged, requests: Requests) -> Candidates:
    """Return the batch with all items of lists that stand already; rows that rank the caller's items only stay."""
    listed = without(_as_candidates("ordered", ordered, requests), batch)
    bound = requests.from_caller.get("items")
    return batch.append(listed if bound is None else listed.compress(~bound[listed.row]))


def _as_candidates(name: str, lists: Ragged, requests: Requests) -> Candidates:
    """Return lists of items as the answer of a source."""
    unscored = Retrieved(lists.offsets, lists.values, np.full(len(lists.values), np.nan, np.float32))
    return fuse((name,), [unscored], requests, limit=max(len(lists.values), 1))
