"""Finish: ranked candidates become the final lists, selected, annotated, checked and filled up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recokit._kernels.segments import rank_in_row
from recokit._utils.copies import frozen
from recokit.compose.fusion import check_retrieved, fuse
from recokit.data import Candidates, Retrieved
from recokit.data.candidates import missing
from recokit.pipeline.contracts import checked_columns, checked_verdict
from recokit.pipeline.paid import labelled
from recokit.pipeline.placement import with_placement
from recokit.pipeline.plan import Node
from recokit.pipeline.ranking import decide, exclude, featurize, keep, none_pass
from recokit.pipeline.retrieval import source_limit
from recokit.pipeline.run import NO_ROWS, PROGRAMMERS_ERRORS, Run, StageRun
from recokit.pipeline.scatter import join_columns, join_retrieved, without
from recokit.pipeline.selection import Selected, choose
from recokit.protocols import Role
from recokit.trace import EMPTY, FAILED, FALLBACK
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray


@frozen
class Lists:
    """The lists of all rows.

    Parameters
    ----------
    shown, plain : Candidates
        With and without their annotations.
    pool : Candidates
        The candidates that they were chosen from, without those that a check on the lists refused.
    relaxed : mapping of str to ndarray of bool (B,)
        For each limit that some list does not keep, the rows.
    """

    shown: Candidates
    plain: Candidates
    pool: Candidates
    relaxed: Mapping[str, BoolArray]

    def replace(self, rows: BoolArray, other: Lists) -> Lists:
        """Return these lists with those of the other in some rows (B,)."""
        nowhere = np.zeros(len(rows), np.bool_)
        return Lists(
            _merged(self.shown, rows, other.shown),
            _merged(self.plain, rows, other.plain),
            _merged(self.pool, rows, other.pool),
            {
                name: np.where(rows, other.relaxed.get(name, nowhere), self.relaxed.get(name, nowhere))
                for name in dict.fromkeys((*self.relaxed, *other.relaxed))
            },
        )


def _merged(mine: Candidates, rows: BoolArray, other: Candidates) -> Candidates:
    return mine.compress(~rows[mine.row]).append(other.compress(rows[other.row]))


def finish(run: Run, pool: Candidates) -> Candidates:
    """Return the final list of every row."""
    chooser, fallback = run.plan.chooser, run.plan.fallback
    placed = np.zeros(len(run.everyone), np.int64)
    drawn = np.array([chooser is not None and chooser.draws]).repeat(len(placed))
    lists = _select_until_verified(run, pool, placed, drawn, relax=fallback is None)
    if fallback is not None:
        short = _short(run, lists.shown)
        if any(short.tolist()):
            lists = _filled_up(run, fallback, lists, short)
    shown = lists.shown
    _explain(run, lists, shown.offsets[1:] - shown.offsets[:-1])
    failed = run.status == FAILED
    if any(failed.tolist()):
        shown = shown.compress(~failed[shown.row])
    empty = shown.offsets[1:] == shown.offsets[:-1]
    if any(empty.tolist()):
        run.mark(np.flatnonzero(empty & ~failed), EMPTY, "no item passed every hard rule")
    return shown


def _explain(run: Run, lists: Lists, length: IntArray) -> None:
    """Say of the final lists, of some lengths (B,), which limits they break, and where limits leave them short."""
    if not lists.relaxed and length.tolist() == run.requests.k.tolist():
        return
    alive = run.status != FAILED
    for name, rows in lists.relaxed.items():
        run.explain(np.flatnonzero(rows & alive), f"{name}: relaxed to fill the list")
    beyond = (run.requests.k > run.k) & (length == run.k) & alive
    if any(beyond.tolist()):
        for row in np.flatnonzero(beyond):
            wanted = f"{length[row]} of {run.requests.k[row]} places"
            run.explain(np.array([row]), f"{wanted}: the catalogue has no more items")
    short = (length < run.k) & alive
    if any(short.tolist()):
        _explain_sources(run, length, short)
    if run.plan.constraints:
        held = (length < run.k) & (length > 0) & alive
        if any(held.tolist()):
            for row in np.flatnonzero(held & (length < lists.pool.counts)):
                run.explain(np.array([row]), f"limits leave {length[row]} of {run.k[row]} places")


def _explain_sources(run: Run, length: IntArray, short: BoolArray) -> None:
    """Say where lists are short since sources gave as many candidates as they may."""
    bound = run.requests.from_caller.get("items")
    most = run.requests.shrunk(run.plan.merge.limit)
    total = np.zeros(len(length), np.int64)
    at_limit = np.zeros(len(length), np.bool_)
    for node, part in zip(run.plan.sources, run.retrieved, strict=True):
        counts = np.diff(part.offsets)
        total += counts
        at_limit |= counts >= source_limit(run, node)
    for row in np.flatnonzero(short & (at_limit | (total >= most))).tolist():
        if bound is None or not bound[row]:
            run.explain(
                np.array([row]),
                f"{length[row]} of {run.k[row]} places: the sources gave all the candidates that they may, {most} at "
                f"most; hint: Merge([...], limit={run.k[row]}), or Step(source, limit={run.k[row]})",
            )


# -- selection, annotation and late checks until nothing changes -------------------------------------


def _select_until_verified(
    run: Run, pool: Candidates, placed: IntArray, drawn: BoolArray, *, relax: bool
) -> Lists:
    """Select and annotate; drop what a check refuses and select again, until nothing is refused.

    Rows where ``drawn`` is set log the probability of each place; once something was refused, none is known.
    """
    while True:
        selected = choose(run, pool, placed, relax=relax)
        plain = shown = pool.take(selected.offsets, selected.index)
        if run.settings.paid:
            plain = shown = labelled(plain, run.settings.paid)
        if run.plan.chooser is not None and run.plan.chooser.draws:
            plain = shown = _with_propensity(plain, selected.propensity, drawn)
        if run.plan.shows_placement:
            plain = shown = with_placement(run, pool, selected, plain)
        shown, refused = _annotated(run, pool, selected, shown)
        if run.plan.late:
            refused += [selected.index[~checked_late(run, node, shown)] for node in run.plan.late]
        failed = run.status == FAILED
        if any(failed.tolist()):
            refused.append(np.flatnonzero(failed[pool.row]))
        if not any(map(len, refused)):
            return Lists(shown, plain, pool, selected.relaxed)
        gone = np.zeros(len(pool.item), np.bool_)
        gone[np.concatenate(refused)] = True
        lost = gone & (rank_in_row(pool.row, pool.offsets) < placed[pool.row])
        placed = placed - np.bincount(pool.row[lost], minlength=pool.n_rows)
        drawn = drawn & (np.bincount(pool.row[gone], minlength=pool.n_rows) == 0)
        pool = pool.compress(~gone)


def _annotated(
    run: Run, pool: Candidates, selected: Selected, listed: Candidates
) -> tuple[Candidates, list[IntArray]]:
    """Return the lists with the columns of all annotators, and the positions in the pool that checks refuse.

    Where an annotator writes over the columns of one with a check, that one has the last word.
    """
    labels = listed.columns.get("labels")
    refused: list[IntArray] = []
    checked: list[tuple[Node, Candidates]] = []
    for node in run.plan.annotators:
        listed, positions = _annotate(run, node, pool, selected, listed)
        refused.append(positions)
        if node.verifies:
            checked.append((node, listed))
    for node, left in checked:
        if left is not listed and not _holds(node, listed):
            listed, positions = _annotate(run, node, pool, selected, listed)
            refused.append(positions)
    if run.settings.paid and listed.columns.get("labels") is not labels:  # an annotator has labels of its own
        listed = labelled(listed, run.settings.paid)
    return listed, refused


def _holds(node: Node, listed: Candidates) -> bool:
    """Tell whether a check still lets everything through."""
    try:
        return bool(checked_verdict(node, listed).all())
    except PROGRAMMERS_ERRORS:
        raise
    except Exception:
        return False


def _with_propensity(listed: Candidates, propensity: FloatArray | None, drawn: BoolArray) -> Candidates:
    """Return the lists with the probability of each place, in rows that were drawn; elsewhere it stays as it was."""
    before = listed.columns.get("propensity", np.full(len(listed), np.nan))
    if propensity is None:
        return listed.with_columns({"propensity": before})
    return listed.with_columns({"propensity": np.where(drawn[listed.row], propensity, before)})


def _annotate(
    run: Run, node: Node, pool: Candidates, selected: Selected, listed: Candidates
) -> tuple[Candidates, IntArray]:
    """Return the lists with an annotator's columns, and the positions in the pool that it refuses."""
    refused = NO_ROWS
    with StageRun(run, node, listed) as stage:
        outcome = stage.on(listed, checked_columns, _no_columns)
        annotated = stage.left(listed.with_columns(join_columns(listed, outcome)))
        if node.verifies:
            passed = stage.on(annotated, checked_verdict, none_pass, failure=FAILED).scatter(annotated, True)
            stage.n_out = int(np.count_nonzero(passed))
            refused = selected.index[~passed]
            if len(outcome.failed):
                # No label can come: spare the rounds that would find them one list at a time.
                passed = stage.on(pool, checked_verdict, none_pass, failure=FAILED).scatter(pool, True)
                hopeless = np.isin(pool.row, outcome.failed) & ~passed
                refused = np.concatenate([refused, np.flatnonzero(hopeless)])
            stage.error, stage.failed = outcome.error, outcome.failed
    return annotated, refused


def _no_columns(n: int) -> Mapping[str, AnyArray]:
    return {}


def checked_late(run: Run, node: Node, listed: Candidates) -> BoolArray:
    """Return the decisions of a filter on the annotated lists."""
    with StageRun(run, node, listed) as stage:
        kept = decide(stage, listed)
        if run.full:
            stage.after, stage.kept = listed.compress(kept), kept
            stage.detail = {"kept_by": {node.name: kept}}
    return kept


# -- fallback ----------------------------------------------------------------------------------------


def _short(run: Run, listed: Candidates) -> BoolArray:
    """Return the rows with fewer than k items, but for those that rank the caller's items only."""
    short: BoolArray = (listed.counts < run.k) & (run.status != FAILED)
    bound = run.requests.from_caller.get("items")
    return short if bound is None else short & ~bound


def _filled_up(run: Run, node: Node, lists: Lists, short: BoolArray) -> Lists:
    """Return the lists with those of short rows filled up by the fallback."""
    extra = _ask_fallback(run, node, lists.pool, short)
    placed = lists.plain.compress(short[lists.plain.row])
    undrawn = np.zeros(len(short), np.bool_)  # items that fill up were not drawn from the whole pool
    filled = _select_until_verified(run, placed.append(extra), placed.counts, undrawn, relax=False)
    still = short & _short(run, filled.shown)
    if run.plan.constraints and any(still.tolist()):
        # Soft limits yield only now: first the ranked reserve, then the rest of the fallback.
        placed = filled.plain.compress(still[filled.plain.row])
        reserve = without(lists.pool.compress(still[lists.pool.row]), placed)
        left = without(filled.pool.compress(still[filled.pool.row]), placed)
        rest = placed.append(reserve).append(without(left, reserve))
        filled = filled.replace(still, _select_until_verified(run, rest, placed.counts, undrawn, relax=True))
    lists = lists.replace(short, filled)
    bit = np.uint64(lists.shown.source_names.index(node.name))
    used = np.unique(lists.shown.row[(lists.shown.sources >> bit) & np.uint64(1) == 1])
    run.mark(used, FALLBACK, f"{node.name}: filled up")
    return lists


def _ask_fallback(run: Run, node: Node, pool: Candidates, short: BoolArray) -> Candidates:
    """Return the fallback's items for short rows, filtered and with features, in its own order."""
    limits = np.maximum(100, 5 * run.k) if node.limit is None else np.full(len(run.k), node.limit)
    limit = int(limits.max())

    def compute(rows: IntArray) -> Retrieved:
        answer: Retrieved = node.stage.retrieve(run.requests.take(rows), limit)
        check_retrieved(answer, len(rows), run.settings.n_items, node.name, limit=limit)
        return answer

    rows = run.rows(node)
    with StageRun(run, node, rows=rows[short[rows]]) as stage:
        outcome = stage.attempt(compute, lambda part, _: Retrieved.empty(len(part)))
        answer = join_retrieved(outcome, len(run.everyone))
        extra = fuse((node.name,), [answer], run.requests, limit=limit)
        extra = without(extra.compress(rank_in_row(extra.row, extra.offsets) < limits[extra.row]), pool)
        lacking = {name: missing(len(extra), column) for name, column in pool.columns.items()}
        extra = stage.left(extra.with_columns({**lacking, **extra.columns}))
        stage.n_in = len(answer.item)
        if run.full:
            stage.detail = {"n_in_by_row": np.diff(answer.offsets)}
    extra = exclude(run, extra)
    for group in run.plan.body:
        if group.role is Role.FILTER:
            extra = keep(run, group, extra)
        elif group.role is Role.FEATURIZER:
            extra = featurize(run, group, extra)
    return extra
