"""Placement: what put an item into its place, where that is not its score."""

from __future__ import annotations

import numpy as np

from recokit._kernels.segments import rank_in_row
from recokit._kernels.top_k import order_by_score
from recokit.data import Candidates, Pin
from recokit.pipeline.contracts import checked_limits
from recokit.pipeline.plan import PLACEMENT
from recokit.pipeline.run import PROGRAMMERS_ERRORS, Run
from recokit.pipeline.selection import Selected, in_fusion_order
from recokit.typing import AnyArray


def with_placement(run: Run, pool: Candidates, selected: Selected, listed: Candidates) -> Candidates:
    """Return lists with the column ``placement``; text, empty where the score decided.

    A pin's name stands where its item stands in its place, ``"explored"`` where an objective that draws lifted an item
    above its score, the name of another objective, or ``"limits"`` where caps held back what scored more.
    """
    placement = np.full(len(listed), "", object)
    if run.ordered is None:
        order = order_by_score(pool.row, in_fusion_order(pool).score)
        by_score = np.empty(len(pool), np.int64)
        by_score[order] = rank_in_row(pool.row, pool.offsets)
        lifted = by_score[selected.index] > rank_in_row(listed.row, listed.offsets)
        placement[lifted] = _lifter(run)
    for name, pinned in _pinned(run, listed):
        placement[pinned] = name
    if PLACEMENT in listed.columns:  # of items that stood there before the list was filled up
        before = listed.columns[PLACEMENT]
        there = np.array([bool(value) for value in before.tolist()], np.bool_)
        placement[there] = before[there]
    return listed.with_columns({PLACEMENT: placement})


def _lifter(run: Run) -> str:
    chooser = run.plan.chooser
    if chooser is None:
        return "limits" if run.plan.constraints else ""
    return "explored" if chooser.draws else chooser.leaf


def _pinned(run: Run, listed: Candidates) -> list[tuple[str, AnyArray]]:
    """Return the name of each pin and the items that stand where it wants them, (N,) bool."""
    place = rank_in_row(listed.row, listed.offsets) + 1
    found: list[tuple[str, AnyArray]] = []
    for node in run.plan.constraints:
        try:
            limits = checked_limits(node, listed)
        except PROGRAMMERS_ERRORS:
            raise
        except Exception:  # its failure is in the trace of the selection
            continue
        applies = np.isin(listed.row, run.rows(node))
        found += [
            (limit.name, applies & (limit.position == place)) for limit in limits if isinstance(limit, Pin)
        ]
    return found
