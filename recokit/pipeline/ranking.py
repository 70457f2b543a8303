"""Ranking: what the sources found, filtered, described by features and scored, in the order of the plan."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit.data import Candidates
from recokit.errors import ContractError
from recokit.pipeline.contracts import checked_features, checked_mask, checked_score
from recokit.pipeline.plan import Group, Node
from recokit.pipeline.run import Outcome, Run
from recokit.pipeline.scatter import put, scatter
from recokit.protocols import Role
from recokit.trace import Status
from recokit.typing import BoolArray, IntArray

__all__ = ["decide", "exclude", "featurize", "keep", "rank"]


def rank(run: Run, batch: Candidates) -> Candidates:
    """Filter, featurise and score, in the order of the plan."""
    batch = exclude(run, batch)
    scored = False
    for group in run.plan.body:
        if group.role is Role.FILTER:
            batch = keep(run, group.nodes, batch)
        elif group.role is Role.FEATURIZER:
            batch = featurize(run, group, batch)
        else:
            batch = score(run, group.nodes[0], batch, first=not scored)
            scored = True
        if run.settings.validate:
            batch.validate()
    return batch


def exclude(run: Run, batch: Candidates) -> Candidates:
    """Drop the items that the caller excluded."""
    excluded = run.requests.ragged.get("exclude")
    if excluded is None:
        return batch
    started = run.deadline.elapsed()
    kept = ~pairs_in_sets(batch.row, batch.item, excluded.offsets, excluded.values)
    after = batch.compress(kept)
    detail = {"kept_by": {"exclude": kept}} if run.full else {}
    run.record(
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


def keep(run: Run, nodes: tuple[Node, ...], batch: Candidates) -> Candidates:
    """Apply consecutive filters as one mask. A row whose filter failed loses everything: hard rules fail closed."""
    total = np.ones(len(batch), np.bool_)
    kept_by: dict[str, BoolArray] = {}
    timings = []
    for node in nodes:
        started = run.deadline.elapsed()
        kept, outcome = decide(run, node, batch)
        total &= kept
        kept_by[node.name] = kept
        timings.append((node, started, outcome, run.deadline.elapsed() - started))
    after = batch.compress(total)
    for node, started, outcome, seconds in timings:
        kept = kept_by[node.name]
        run.record(
            node,
            node.role,
            started,
            len(batch),
            int(np.count_nonzero(kept)),
            outcome=outcome,
            seconds=seconds,
            n_rows=len(run.rows(node)),
            before=batch,
            after=after,
            kept=kept,
            detail={"kept_by": kept_by} if run.full else {},
        )
    return after


def decide(run: Run, node: Node, batch: Candidates) -> tuple[BoolArray, Outcome[BoolArray]]:
    """Return a filter's decisions; where it failed, nothing is kept and the row is FAILED."""
    outcome = run.on_rows(node, batch, partial(checked_mask, node), np.False_)
    if outcome.error:
        run.mark(outcome.failed, Status.FAILED, f"{node.name}: {outcome.error}")
    return scatter(batch, outcome, np.True_), outcome


def featurize(run: Run, group: Group, batch: Candidates) -> Candidates:
    """Append the blocks of consecutive featurizers; a failed or skipped block is missing values."""
    blocks, names, first = [], [], len(run.events)
    for node in group.nodes:
        shape = (len(node.stage.names),)
        names.extend(node.stage.names)
        if run.skips(node, len(batch)):
            blocks.append(np.full((len(batch), *shape), np.nan, np.float32))
            continue
        started = run.deadline.elapsed()
        nothing = np.float32(np.nan)
        outcome = run.on_rows(node, batch, partial(checked_features, node), nothing, shape)
        block = scatter(batch, outcome, nothing, shape)
        blocks.append(block)
        run.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
        detail = {"nan_share": float(np.isnan(block).mean())} if run.full and block.size else {}
        run.record(
            node,
            node.role,
            started,
            len(batch),
            len(batch),
            outcome=outcome,
            n_rows=len(run.rows(node)),
            detail=detail,
        )
    features = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
    after = batch.with_features(features, tuple(names))
    if run.full:
        run.events[first:] = [replace(event, before=batch, after=after) for event in run.events[first:]]
    return after


def score(run: Run, node: Node, batch: Candidates, *, first: bool) -> Candidates:
    """Replace the scores; where the scorer failed, the earlier scores (at first the order of fusion) stay."""
    if run.skips(node, len(batch)):
        return batch
    started = run.deadline.elapsed()
    outcome = run.on_rows(node, batch, partial(checked_score, node), np.float32(np.nan))
    failed = set(outcome.failed.tolist())
    worked = [(rows, piece) for rows, piece in outcome.pieces if int(rows[0]) not in failed]
    score = batch.score.copy()
    for rows, piece in worked:
        put(score, batch, rows, piece)
    after = batch.with_score(score)
    run.mark(outcome.failed, Status.DEGRADED, f"{node.name}: {outcome.error}")
    n_bad = sum(_note_not_finite(run, node, after, rows) for rows, _ in worked)
    detail = {"nan_share": n_bad / max(len(after), 1), "not_finite": n_bad, "first": first}
    run.record(
        node,
        node.role,
        started,
        len(after),
        len(after),
        outcome=outcome,
        n_rows=len(run.rows(node)),
        detail=detail,
        before=batch,
        after=after,
    )
    return after


def _note_not_finite(run: Run, node: Node, batch: Candidates, rows: IntArray) -> int:
    """Count the scores of some rows that are not finite; they sink to the end of their list."""
    bad = ~np.isfinite(batch.score)
    if not bad.any():
        return 0
    bad &= np.isin(batch.row, rows)
    where = np.unique(batch.row[bad])
    if len(where):
        message = (
            f"{node.name}: found {batch.score[bad][0]} among the scores; expected finite ones; they rank last"
        )
        if run.settings.validate:
            raise ContractError(message)
        run.mark(where, Status.DEGRADED, message)
    return int(np.count_nonzero(bad))
