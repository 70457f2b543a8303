"""Select: each row's list from its best candidates; where limits leave it short, carefully from all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from recokit._kernels.segments import gather_segments, rows_to_offsets
from recokit._kernels.slate_limits import broken
from recokit._utils.copies import frozen
from recokit._utils.moved import renamed
from recokit.data import Candidates, Cap, Pin
from recokit.protocols import Objective
from recokit.slates.lengthen import lengthen
from recokit.slates.solver import Lists, Solver
from recokit.slates.window import SlateProblem, cap_arrays, full_window, top_window, unbounded
from recokit.typing import BoolArray, FloatArray, IntArray

#: Candidates that a list is chosen from, by default the larger of this and five lists' worth.
POOL = 100


@frozen
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
    hurried : ndarray of int64
        Rows for which the time ran out before the search for a longer list, or one that keeps more limits, was over.
    propensity : ndarray of float64, optional
        For an objective that draws: the probability of each item in its place, given the places before it and what the
        limits allowed there; 1 for a pin. NaN in rows that were chosen again, where the draw alone does not explain the
        list.
    """

    offsets: IntArray
    index: IntArray
    relaxed: Mapping[str, BoolArray]
    repaired: IntArray
    hurried: IntArray
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
    remaining: Callable[[], float] = unbounded,
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
    remaining : callable, optional
        Gives the seconds left. Once there are none, rows that the greedy choice leaves short are not searched further.

    Returns
    -------
    Selection

    Notes
    -----
    A list is as long as the hard limits allow. Then soft limits yield in their order, only as many as it takes to reach
    that length. Both are exact for laminar caps (any two groups nested or apart); for others a mixed-integer program
    with a bound on its work looks for the items where the greedy choice ends early. A limit that cannot hold by the
    counts of its groups alone yields without a search.

    Examples
    --------
    >>> batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.9, 0.8, 0.7, 0.6]])
    >>> cap = Cap("one_each", np.array([1, 1, 2, 2]), maximum=1)
    >>> batch.item[select(batch, np.array([2]), limits=[cap]).index].tolist()
    [1, 3]
    """
    k = np.asarray(k, np.int64)
    placed = np.zeros(len(k), np.int64) if placed is None else np.minimum(placed, k)
    problem = SlateProblem(
        candidates,
        k,
        tuple(limits),
        placed,
        objective=objective,
        order=order,
        relax=relax,
        remaining=remaining,
    )
    # Of each row's own k: what a row is chosen from must not depend on the others of its batch.
    width = np.maximum(k, np.maximum(POOL, 5 * k) if pool is None else pool)
    window = top_window(problem, width)
    target = np.minimum(k, window.valid.sum(axis=1))
    caps, solver = cap_arrays(problem.caps, window.index, target), Solver(problem, window)
    lists = solver.run(caps, target, solver.standing(target))
    # Only what stood beforehand, or a pin that a hard cap forbids, leaves a limit unkept in a full list.
    selection = _selection(solver, lists, check=not problem.free)
    short = (selection.offsets[1:] - selection.offsets[:-1] < target).nonzero()[0]
    if not len(short):
        return selection
    part = problem.rows(short)
    careful = Solver(part, full_window(part, width[short]))
    longer = lengthen(careful).without_draws(part.candidates.counts > width[short])
    return _merged(problem, selection, short, _selection(careful, longer, check=True))


def _selection(solver: Solver, lists: Lists, *, check: bool) -> Selection:
    listed = lists.picked >= 0
    row = listed.nonzero()[0]
    return Selection(
        offsets=rows_to_offsets(row, len(listed)),
        index=solver.window.index[row, lists.picked[listed]],
        relaxed=solver.broken(lists) if check else {},
        repaired=lists.repaired.nonzero()[0],
        hurried=lists.hurried.nonzero()[0],
        propensity=None if lists.drawn is None else lists.drawn[listed],
    )


def _merged(problem: SlateProblem, found: Selection, rows: IntArray, part: Selection) -> Selection:
    """Put the lists of some rows in the place of the earlier ones."""
    batch = problem.candidates
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
        offsets=rows_to_offsets(batch.row[index], batch.n_rows),
        index=index,
        relaxed=relaxed,
        repaired=rows[part.repaired],
        hurried=rows[part.hurried],
        propensity=propensity,
    )


@renamed(found="selection")
def broken_limits(
    candidates: Candidates, selection: Selection, limits: Sequence[Cap]
) -> dict[str, BoolArray]:
    """Check lists against caps, of whatever origin.

    Parameters
    ----------
    candidates : Candidates
        The batch that the lists were chosen from.
    selection : Selection
        The lists.
    limits : sequence of Cap
        Caps on the batch.

    Returns
    -------
    dict of str to ndarray of bool (B,)
        For each cap the rows whose list breaks it; a share counts for the list's own length.
    """
    lengths, counts = np.diff(selection.offsets), candidates.counts
    column = np.arange(max(int(counts.max(initial=0)), 1))
    valid = column < counts[:, None]
    index = np.where(valid, candidates.offsets[:-1, None] + column, 0)
    place = np.arange(int(lengths.max(initial=0)))
    listed = place < lengths[:, None]
    position = np.where(listed, selection.offsets[:-1, None] + place, 0)
    chosen = selection.index[position] if len(selection.index) else np.zeros_like(position)
    picked = np.where(listed, chosen - candidates.offsets[:-1, None], -1)
    if not len(candidates):
        index, valid = index[:, :0], valid[:, :0]
    found: dict[str, BoolArray] = {}
    for cap, arrays in zip(limits, cap_arrays(limits, index, lengths), strict=True):
        mine = broken(picked, valid, arrays)
        found[cap.name] = found[cap.name] | mine if cap.name in found else mine
    return found
