"""The longest lists that the limits allow, and which soft limits yield for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recokit._kernels.slate_limits import CapArrays, violations
from recokit.data import Cap
from recokit.slates.milp import Spread, best_stages, length_bound
from recokit.slates.solver import Solver
from recokit.typing import BoolArray, IntArray

__all__ = ["settle"]


def settle(solver: Solver) -> tuple[IntArray, IntArray]:
    """Choose the lists of rows that the plain greedy choice left short: the longest, with as few limits relaxed.

    Returns
    -------
    picked : ndarray of int64, shape (B, max k)
    repaired : ndarray of int64
        Rows whose items a repair chose.
    """
    task = solver.task
    length = target = np.minimum(task.k, solver.window.valid.sum(axis=1))
    picked, repaired = _longest(solver, task.strict, length, target)
    # Shares, pins and minimums depend on the length: a list that is shorter is chosen for its own.
    fixed = not task.pins and all(cap.share is None and not cap.minimum for cap in task.caps)
    while (shorter := np.flatnonzero((picked >= 0).sum(axis=1) < length)).size:
        length = _next_length(picked, solver.standing(length), length)
        part = solver.only(shorter)
        again, again_repaired = _longest(
            part, task.strict, length[shorter], (length if task.relax else target)[shorter]
        )
        picked[shorter, : again.shape[1]] = again
        picked[shorter, again.shape[1] :] = -1
        repaired[shorter] = again_repaired
        solver.note(shorter, part.drawn if fixed else np.nan)
    if task.relax and len(task.strict) < len(task.caps):
        picked, repaired = _relaxed(solver, length, picked, repaired)
        if not fixed:
            solver.note(np.flatnonzero(length < target), np.nan)
    return picked, np.flatnonzero(repaired)


def _longest(
    solver: Solver, caps: Sequence[Cap], length: IntArray, k: IntArray
) -> tuple[IntArray, BoolArray]:
    """Return lists up to k under caps whose shares count for a length, and which of them were repaired."""
    arrays, start, placed = solver.arrays(caps, length), solver.standing(length), solver.placed(length)
    picked = solver.run(arrays, k, start)
    repaired = np.zeros(len(picked), np.bool_)
    for row in np.flatnonzero((picked >= 0).sum(axis=1) < k):
        one = solver.only(np.array([row]))
        mine = tuple(cap.rows(np.array([row])) for cap in arrays)
        best = before = picked[row : row + 1, : int(one.task.k[0])]
        # A pin that leaves the hard limits no list yields.
        for stands in (start, placed) if (start[row] != placed[row]).any() else (start,):
            best = _repaired(one, mine, int(k[row]), stands[row : row + 1, : best.shape[1]], best)
        repaired[row] = best is not before
        picked[row, : best.shape[1]] = best[0]
    solver.note(np.flatnonzero(repaired), np.nan)
    return picked, repaired


def _next_length(picked: IntArray, standing: IntArray, length: IntArray) -> IntArray:
    """Return the next shorter lengths to try: as found, or so that a pin that was not reached is beyond the end."""
    found = (picked >= 0).sum(axis=1)
    place = np.arange(standing.shape[1])
    unreached = np.where((standing >= 0) & (place >= found[:, None]), place, 0).max(axis=1, initial=0)
    return np.asarray(np.where(found < length, np.maximum(found, unreached), length))


def _relaxed(
    solver: Solver, length: IntArray, strictly: IntArray, strictly_repaired: BoolArray
) -> tuple[IntArray, BoolArray]:
    """Return lists of the given lengths under as many soft limits as can hold; what stands under more of them stays."""
    caps = solver.task.caps
    soft = sorted((cap.relax_order, -c) for c, cap in enumerate(caps) if not cap.hard)
    strictly_drawn = None if solver.drawn is None else solver.drawn.copy()
    solver.note(np.arange(len(length)), np.nan)
    standing = solver.standing(length)
    # Pins that the hard limits had no list with have yielded already.
    held = ((standing < 0) | (standing == strictly)).all(axis=1)
    picked = np.where(held[:, None], standing, solver.placed(length))
    repaired = np.zeros(len(picked), np.bool_)
    for level in range(len(soft) + 1):
        short = np.flatnonzero((picked >= 0).sum(axis=1) < length)
        if not len(short):
            break
        given_up = {-c for _, c in soft[:level]}
        kept = [cap for c, cap in enumerate(caps) if c not in given_up]
        part, n = solver.only(short), length[short]
        longer = part.run(part.arrays(kept, n), n, picked[short])
        rest = np.flatnonzero((longer >= 0).sum(axis=1) < n)
        if len(rest):
            anew, mended = _longest(part.only(rest), kept, n[rest], n[rest])
            whole = (anew >= 0).sum(axis=1) == n[rest]
            longer[rest[whole], : anew.shape[1]] = anew[whole]
            longer[rest[whole], anew.shape[1] :] = -1
            repaired[short[rest[whole]]] = mended[whole]
            part.note(rest[whole], np.nan)
        picked[short] = longer
        solver.note(short, part.drawn)
    solver.note(np.flatnonzero(~held), np.nan)
    short = (picked >= 0).sum(axis=1) < length
    picked[short], repaired[short] = strictly[short], strictly_repaired[short]
    if strictly_drawn is not None:
        solver.note(np.flatnonzero(short), strictly_drawn[short])
    return picked, repaired


def _repaired(
    one: Solver, arrays: tuple[CapArrays, ...], k: int, start: IntArray, picked: IntArray
) -> IntArray:
    """Return the longest list of one row that other ways to choose it find; ``picked`` itself if none is longer."""
    valid = one.window.valid
    best, most = picked, np.array([k])
    minimums = [cap for cap in arrays if cap.minimum]

    def better(found: IntArray) -> bool:
        nonlocal best
        longer = (found >= 0).sum() > (best >= 0).sum()
        # What slides can keep an item of the set from its stage: then later ones fill places that a minimum needs.
        if longer and not any(violations(found, valid, cap)[0] for cap in minimums):
            best = found
        return bool((best >= 0).sum() >= bound)

    bound = length_bound(arrays, valid[0], k)
    if better(picked):
        return best
    if minimums and better(one.run(arrays, most, start, early=k)):
        return best
    sliding = [cap for cap in arrays if cap.sliding]
    stages = best_stages(arrays, valid[0], one.window.relevance[0], k, start[0])
    if stages is not None:
        for steering in (None, Spread(sliding, stages[-1][1][None])) if sliding else (None,):
            # The set keeps the minimums; its stages, the caps on the first places.
            maximums = [replace(cap, minimum=0) for cap in arrays if cap.maximum is not None]
            found = start
            for end, members in stages:
                inside = np.where(np.arange(start.shape[1]) < end, np.maximum(found, start), start)
                found = one.run(maximums, np.array([end]), inside, valid=members[None], steering=steering)
            if better(found):
                return best
    if sliding:
        length, back = int((picked >= 0).sum()), 1
        while back < 2 * length:
            # As much of the greedy list as can stay in front of one that spreads the groups.
            kept = np.where(np.arange(start.shape[1]) < length - back, picked, start)
            if better(one.run(arrays, most, kept, steering=Spread(sliding, valid))):
                return best
            back *= 2
    return best
