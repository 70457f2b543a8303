"""Select: each row's list from its best candidates; where limits leave it short, carefully from all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recokit._kernels.segments import counts_to_offsets, gather_segments, rows_to_offsets
from recokit._kernels.slate_limits import violations
from recokit.data import Candidates, Cap, Pin
from recokit.protocols import Objective
from recokit.slates.lengthen import settle
from recokit.slates.solver import Solver
from recokit.slates.window import Task, cap_arrays, narrow_window, wide_window
from recokit.typing import BoolArray, FloatArray, IntArray

__all__ = ["Selection", "broken_limits", "select"]

#: Candidates that a list is chosen from, by default the larger of this and five lists' worth.
POOL = 100


@dataclass(frozen=True, eq=False)
class Selection:
    """Lists chosen from a batch.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the lists.
    index : ndarray of int64
        Positions of the items in the batch, in list order.
    relaxed : mapping of str to ndarray of bool (B,)
        For each soft cap and each pin that some list does not keep: the rows whose list breaks it. A row without a
        list breaks none.
    repaired : ndarray of int64
        Rows whose greedy list ended early and was lengthened by another choice of items.
    propensity : ndarray of float64, optional
        For an objective that draws: the probability of each item in its place, given the places before it and what the
        limits allowed there; 1 for a pin. NaN in rows that were chosen again, where the draw alone does not explain the
        list.
    """

    offsets: IntArray
    index: IntArray
    relaxed: Mapping[str, BoolArray]
    repaired: IntArray
    propensity: FloatArray | None = None


def select(
    candidates: Candidates,
    k: IntArray,
    *,
    limits: Sequence[Cap | Pin] = (),
    objective: Objective | None = None,
    order: IntArray | None = None,
    placed: IntArray | None = None,
    pool: int | None = None,
    relax: bool = True,
) -> Selection:
    """Choose each row's list, one place after the other, keeping every limit at every place.

    Parameters
    ----------
    candidates : Candidates
        The batch; scores that are not finite come last, ties go by position.
    k : ndarray of int64, shape (B,)
        Places of each row.
    limits : sequence of Cap and Pin
        A share is ``max(1, floor(share * delivered length))``: a row that cannot fill k under it gets the longest list
        found whose own length allows it.
    objective : Objective, optional
        Chooses among what the limits allow; by default the best score.
    order : ndarray of int64, optional
        A reranker's order; lists are chosen along it instead of by score.
    placed : ndarray of int64, shape (B,), optional
        The first so many candidates of each row are in the list already, in that order; they count for every limit.
    pool : int, optional
        Candidates of each row to choose from, best first; all of them where that leaves a list short.
    relax : bool, default True
        Whether soft limits yield, in their order, where they leave a list short.

    Returns
    -------
    Selection

    Notes
    -----
    A list is as long as the hard limits allow. Then soft limits yield in their order, only as many as it takes to reach
    that length. Both are exact for laminar caps (any two groups nested or apart); for others a mixed-integer program
    with a bound on its work looks for the items where the greedy choice ends early.

    Examples
    --------
    >>> batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.9, 0.8, 0.7, 0.6]])
    >>> cap = Cap("one_each", np.array([1, 1, 2, 2]), maximum=1)
    >>> batch.item[select(batch, np.array([2]), limits=[cap]).index].tolist()
    [1, 3]
    """
    k = np.asarray(k, np.int64)
    placed = np.zeros(candidates.n_rows, np.int64) if placed is None else np.minimum(placed, k)
    task = Task(candidates, k, tuple(limits), objective, order, placed, relax)
    # Of each row's own k: what a row is chosen from must not depend on the others of its batch.
    width = np.maximum(k, np.maximum(POOL, 5 * k) if pool is None else pool)
    solver = Solver.of(task, narrow_window(task, width))
    target = np.minimum(k, solver.window.valid.sum(axis=1))
    start = solver.standing(target)
    picked = solver.run(solver.arrays(task.caps, target), target, start)
    # Only what stood beforehand, or a pin that a hard cap forbids, leaves a limit unkept in a full list.
    unkept = solver.unkept(picked) if task.pins or (start >= 0).any() else {}
    found = _selection(solver, picked, np.zeros(0, np.int64), unkept)
    lacking = found.offsets[1:] - found.offsets[:-1] < target
    if not lacking.any():
        return found
    short = np.flatnonzero(lacking)
    part = task.rows(short)
    careful = Solver.of(part, wide_window(part, width[short]))
    picked, repaired = settle(careful)
    careful.note(np.flatnonzero(part.candidates.counts > width[short]), np.nan)
    return _merged(task, found, short, _selection(careful, picked, repaired, careful.unkept(picked)))


def _selection(
    solver: Solver, picked: IntArray, repaired: IntArray, unkept: Mapping[str, BoolArray]
) -> Selection:
    stands = picked >= 0
    rows = stands.nonzero()[0]
    index = solver.window.index[rows, picked[stands]]
    propensity = None if solver.drawn is None else solver.drawn[stands]
    return Selection(counts_to_offsets(stands.sum(axis=1)), index, unkept, repaired, propensity)


def _merged(task: Task, found: Selection, rows: IntArray, part: Selection) -> Selection:
    """Put the lists of some rows in the place of the earlier ones."""
    batch = task.candidates
    mine = ~np.isin(batch.row[found.index], rows)
    theirs = gather_segments(batch.offsets, rows)[1][part.index]
    index = np.concatenate([found.index[mine], theirs])
    order = np.argsort(batch.row[index], kind="stable")
    index, propensity = index[order], None
    if found.propensity is not None and part.propensity is not None:
        propensity = np.concatenate([found.propensity[mine], part.propensity])[order]
    relaxed = {name: mask.copy() for name, mask in found.relaxed.items()}
    for mask in relaxed.values():
        mask[rows] = False
    for name, mask in part.relaxed.items():
        relaxed.setdefault(name, np.zeros(batch.n_rows, np.bool_))[rows] = mask
    relaxed = {name: mask for name, mask in relaxed.items() if mask.any()}
    return Selection(
        rows_to_offsets(batch.row[index], batch.n_rows), index, relaxed, rows[part.repaired], propensity
    )


def broken_limits(candidates: Candidates, found: Selection, limits: Sequence[Cap]) -> dict[str, BoolArray]:
    """Check lists against caps by counting, apart from how they were chosen.

    Parameters
    ----------
    candidates : Candidates
        The batch that the lists were chosen from.
    found : Selection
        The lists.
    limits : sequence of Cap
        Caps on the batch.

    Returns
    -------
    dict of str to ndarray of bool (B,)
        For each cap the rows whose list breaks it; a share counts for the list's own length.
    """
    lengths, counts = np.diff(found.offsets), candidates.counts
    column = np.arange(max(int(counts.max(initial=0)), 1))
    valid = column < counts[:, None]
    index = np.where(valid, candidates.offsets[:-1, None] + column, 0)
    place = np.arange(int(lengths.max(initial=0)))
    listed = place < lengths[:, None]
    position = np.where(listed, found.offsets[:-1, None] + place, 0)
    chosen = found.index[position] if len(found.index) else np.zeros_like(position)
    picked = np.where(listed, chosen - candidates.offsets[:-1, None], -1)
    broken: dict[str, BoolArray] = {}
    for cap in limits:
        arrays = cap_arrays(cap, index if len(candidates) else np.zeros((len(counts), 0), np.int64), lengths)
        mine = violations(picked, valid if len(candidates) else valid[:, :0], arrays)
        broken[cap.name] = broken[cap.name] | mine if cap.name in broken else mine
    return broken
