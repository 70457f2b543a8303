"""Ranking: candidates filtered, described by features and scored, in the order of the plan."""

from __future__ import annotations

from functools import partial

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit.data import Candidates
from recokit.errors import ContractError
from recokit.pipeline.contracts import checked_features, checked_mask, checked_score
from recokit.pipeline.plan import EXCLUDE, Group, Node
from recokit.pipeline.run import Outcome, Run, StageRun, put
from recokit.protocols import Role
from recokit.trace import DEGRADED, FAILED
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

_MISSING = np.float32(np.nan)


def rank(run: Run, batch: Candidates) -> Candidates:
    """Filter, featurise and score, in the order of the plan."""
    batch = exclude(run, batch)
    first = True
    for group in run.plan.body:
        if group.role is Role.FILTER:
            batch = keep(run, group, batch)
        elif group.role is Role.FEATURIZER:
            batch = featurize(run, group, batch)
        else:
            batch = score(run, group.nodes[0], batch, first=first)
            first = False
        if run.settings.validate:
            batch.validate()
    return batch


def exclude(run: Run, batch: Candidates) -> Candidates:
    """Drop the items that the caller excluded."""
    excluded = run.requests.ragged.get("exclude")
    if excluded is None:
        return batch
    with StageRun(run, EXCLUDE, batch) as stage:
        kept = ~pairs_in_sets(batch.row, batch.item, excluded.offsets, excluded.values)
        after = stage.left(batch.compress(kept))
        if run.full:
            stage.kept, stage.detail = kept, {"kept_by": {EXCLUDE.name: kept}}
    return after


def keep(run: Run, group: Group, batch: Candidates) -> Candidates:
    """Apply consecutive filters as one mask. A row whose filter failed loses everything: hard rules fail closed."""
    decided = []
    for node in group.nodes:
        with StageRun(run, node, batch) as stage:
            kept = decide(stage, batch)
        decided.append((stage, kept))
    total = decided[0][1]
    for _, kept in decided[1:]:
        total = total & kept
    after = batch.compress(total)
    if run.full:
        kept_by = {stage.node.name: kept for stage, kept in decided}
        for stage, kept in decided:
            stage.after, stage.kept, stage.detail = after, kept, {"kept_by": kept_by}
    return after


def none_pass(n: int) -> BoolArray:
    """Return the decisions of a check that cannot be made."""
    return np.zeros(n, np.bool_)


def decide(stage: StageRun, batch: Candidates) -> BoolArray:
    """Return a filter's decisions; where it failed, nothing is kept and the row is FAILED."""
    outcome = stage.on(batch, checked_mask, none_pass, failure=FAILED)
    kept = outcome.scatter(batch, np.True_)
    stage.n_out = int(np.count_nonzero(kept))
    return kept


def featurize(run: Run, group: Group, batch: Candidates) -> Candidates:
    """Append the blocks of consecutive featurizers; a failed or skipped block is missing values."""
    features = np.empty((len(batch.item), len(group.feature_names)), np.float32)
    stages: list[StageRun] = []
    for node, span in zip(group.nodes, group.spans, strict=True):
        rows = run.in_time(node, batch)
        if rows is None:
            features[:, span] = _MISSING
            stages.append(run.stages[-1])
            continue
        with StageRun(run, node, batch, rows=rows) as stage:
            outcome = stage.on(
                batch, partial(_features, whole=batch, out=features, span=span), partial(_missing, span=span)
            )
            block = outcome.whole(len(run.everyone))
            if block is None:
                features[:, span] = outcome.scatter(batch, _MISSING, (span.stop - span.start,))
            elif block is not features:
                features[:, span] = block
            if run.full and len(features) and span.start < span.stop:
                stage.detail = {"nan_share": float(np.isnan(features[:, span]).mean())}
        stages.append(stage)
    after = batch.with_features(features, group.feature_names)
    if run.full:
        for stage in stages:
            stage.before, stage.after = batch, after
    return after


def _features(
    node: Node, batch: Candidates, *, whole: Candidates, out: Float32Array, span: slice
) -> Float32Array:
    """Return a featurizer's block; the matrix of the whole batch where the block is written into it."""
    # One that waits may still write long after it was given up: never into the batch's own matrix.
    if not node.fills or node.io_bound or batch is not whole:
        return checked_features(node, batch, span.stop - span.start)
    node.stage.featurize_into(batch, out, span.start)
    return out


def _missing(n: int, span: slice) -> Float32Array:
    return np.full((n, span.stop - span.start), _MISSING)


def score(run: Run, node: Node, batch: Candidates, *, first: bool) -> Candidates:
    """Replace the scores; where the scorer failed, the earlier scores (at first the order of fusion) stay."""
    rows = run.in_time(node, batch)
    if rows is None:
        return batch
    with StageRun(run, node, batch, rows=rows) as stage:
        outcome = stage.on(batch, checked_score, partial(np.full, fill_value=_MISSING))
        after = stage.left(batch.with_score(_scores(batch, outcome)))
        n_bad = _sink_not_finite(stage, after, outcome.worked)
        stage.detail = {"nan_share": n_bad / max(len(after.item), 1), "not_finite": n_bad, "first": first}
    return after


def _scores(batch: Candidates, outcome: Outcome[AnyArray]) -> AnyArray:
    """Return the new scores, the earlier ones in rows that failed or that the scorer does not apply to."""
    worked = outcome.worked
    if len(worked) == 1 and len(worked[0][0]) == batch.n_rows:
        return worked[0][1]
    scores = batch.score.copy()
    for rows, piece in worked:
        put(scores, batch, rows, piece)
    return scores


def _sink_not_finite(stage: StageRun, batch: Candidates, worked: list[tuple[IntArray, AnyArray]]) -> int:
    """Count the scores that are not finite; they sink to the end of their list, and their row is DEGRADED."""
    finite = np.isfinite(batch.score)
    if np.count_nonzero(finite) == len(finite):
        return 0
    bad = ~finite
    bad &= np.isin(batch.row, np.concatenate([rows for rows, _ in worked])) if worked else False
    if not bad.any():
        return 0
    message = f"{stage.node.name}: found {batch.score[bad][0]} among the scores; expected finite ones; they rank last"
    if stage.run.settings.validate:
        raise ContractError(message)
    stage.run.mark(np.unique(batch.row[bad]), DEGRADED, message)
    return int(np.count_nonzero(bad))
