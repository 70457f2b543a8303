"""Slates: the one selection of a list, greedy, under every limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recokit._ops.segments import counts_to_offsets, gather_segments, rank_in_row, rows_to_offsets
from recokit._ops.selection import CapArrays, greedy, improve, violations
from recokit._ops.topk import sort_key
from recokit._steered import Steered
from recokit.data import Candidates, Cap, Pin, Window
from recokit.protocols import Objective
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

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
        For each soft limit that was given up in some row: the rows whose list breaks it.
    repaired : ndarray of int64
        Rows whose greedy list ended early and was lengthened by exchanges.
    propensity : ndarray of float64, optional
        For an objective that draws: the probability of each item in its place, given the places before it and what the
        limits allowed there. NaN in rows that were chosen again, where the draw alone does not explain the list.
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

    Examples
    --------
    >>> batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.9, 0.8, 0.7, 0.6]])
    >>> cap = Cap("one_each", np.array([1, 1, 2, 2]), maximum=1)
    >>> batch.item[select(batch, np.array([2]), limits=[cap]).index].tolist()
    [1, 3]
    """
    task = _Task(
        candidates,
        np.asarray(k, np.int64),
        tuple(limits),
        objective,
        order,
        np.zeros(candidates.n_rows, np.int64) if placed is None else np.minimum(placed, k),
        relax,
    )
    # Of each row's own k: what a row is chosen from must not depend on the others of its batch.
    width = np.maximum(task.k, np.maximum(POOL, 5 * task.k) if pool is None else pool)
    if any(isinstance(limit, Pin) for limit in limits):
        width = np.maximum(width, candidates.counts)  # what is pinned may stand anywhere by score
    return _within_shares(task, _widened(task, width))


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Positions of each row's candidates in order of preference, those already placed first."""

    offsets: IntArray
    index: IntArray


def _ranked(candidates: Candidates, order: IntArray | None, placed: IntArray) -> _Ranked:
    row, offsets = candidates.row, candidates.offsets
    if order is not None:
        if placed.any():
            # A reranker may move, or leave out, what is placed already.
            before = rank_in_row(row, offsets) < placed[row]
            order = np.concatenate([np.flatnonzero(before), order[~before[order]]])
            order = order[np.argsort(row[order], kind="stable")]
        counts = np.bincount(row[order], minlength=candidates.n_rows)
        return _Ranked(counts_to_offsets(counts), order)
    key = sort_key(candidates.score)
    if placed.any():
        rank = rank_in_row(row, offsets)
        before = rank < placed[row]
        return _Ranked(offsets, np.lexsort((np.where(before, rank, key), ~before, row)))
    if candidates.n_rows == 1:
        return _Ranked(offsets, np.argsort(key, kind="stable"))
    return _Ranked(offsets, np.lexsort((key, row)))


@dataclass(frozen=True, eq=False)
class _Task:
    """What is asked of one selection."""

    candidates: Candidates
    k: IntArray
    limits: tuple[Cap | Pin, ...]
    objective: Objective | None
    order: IntArray | None
    placed: IntArray
    relax: bool

    @property
    def caps(self) -> list[Cap]:
        return [limit for limit in self.limits if isinstance(limit, Cap)]

    def rows(self, rows: IntArray) -> _Task:
        """Return the task for some rows."""
        index = gather_segments(self.candidates.offsets, rows)[1]
        order = None
        if self.order is not None:
            inverse = np.full(len(self.candidates), -1, np.int64)
            inverse[index] = np.arange(len(index))
            order = inverse[self.order]
            order = order[order >= 0]
        return replace(
            self,
            candidates=self.candidates.take_rows(rows),
            k=self.k[rows],
            limits=tuple(_take_limit(limit, index) for limit in self.limits),
            order=order,
            placed=self.placed[rows],
        )


def _take_limit(limit: Cap | Pin, index: IntArray) -> Cap | Pin:
    if isinstance(limit, Pin):
        return replace(limit, position=limit.position[index])
    if limit.offsets is None:
        return replace(limit, group=limit.group[index])
    offsets, inside = gather_segments(limit.offsets, index)
    return replace(limit, group=limit.group[inside], offsets=offsets)


def _widened(task: _Task, width: IntArray) -> Selection:
    """Choose from each row's best candidates, from all of them in rows that limits leave short."""
    found = _solve(task, width)
    counts = task.candidates.counts
    narrow = np.flatnonzero((np.diff(found.offsets) < np.minimum(task.k, counts)) & (counts > width))
    if not len(narrow):
        return found
    return _merged(task, found, narrow, _solve(task.rows(narrow), counts[narrow]))


def _within_shares(task: _Task, found: Selection) -> Selection:
    """Shorten lists until each keeps to its shares of its own length: a share of k may be too much for fewer."""
    shares = [cap for cap in task.caps if cap.share is not None]
    lengths = np.diff(found.offsets)
    short = (lengths < task.k) & (lengths > 0)
    if not shares or not short.any():
        return found
    too_much = np.zeros(len(short), np.bool_)
    for name, rows in broken_limits(task.candidates, found, shares).items():
        given_up = found.relaxed.get(name)
        too_much |= rows if given_up is None else rows & ~given_up
    again = np.flatnonzero(too_much & short)
    if not len(again):
        return found
    shorter = replace(task.rows(again), k=lengths[again])
    return _merged(task, found, again, _within_shares(shorter, _solve(shorter, shorter.candidates.counts)))


def _merged(task: _Task, found: Selection, rows: IntArray, part: Selection) -> Selection:
    """Put the lists of some rows in the place of the earlier ones."""
    batch = task.candidates
    mine = ~np.isin(batch.row[found.index], rows)
    theirs = gather_segments(batch.offsets, rows)[1][part.index]
    index = np.concatenate([found.index[mine], theirs])
    order = np.argsort(batch.row[index], kind="stable")
    index = index[order]
    propensity = None
    if found.propensity is not None:
        propensity = np.concatenate([found.propensity[mine], np.full(len(theirs), np.nan)])[order]
    relaxed = {name: mask.copy() for name, mask in found.relaxed.items()}
    for mask in relaxed.values():
        mask[rows] = False
    for name, mask in part.relaxed.items():
        relaxed.setdefault(name, np.zeros(batch.n_rows, np.bool_))[rows] = mask
    repaired = np.concatenate([np.setdiff1d(found.repaired, rows), rows[part.repaired]])
    return Selection(rows_to_offsets(batch.row[index], batch.n_rows), index, relaxed, repaired, propensity)


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
    lengths = np.diff(found.offsets)
    place = np.arange(int(lengths.max(initial=0)))
    valid = place < lengths[:, None]
    position = np.where(valid, found.offsets[:-1, None] + place, 0)
    index = found.index[position] if len(found.index) else np.zeros_like(position)
    picked = np.where(valid, place, -1)
    return {cap.name: violations(picked, _cap_arrays(cap, index, lengths)) for cap in limits}


def _solve(task: _Task, width: IntArray) -> Selection:
    """Choose with every share counted for k places."""
    ranked = _ranked(task.candidates, task.order, task.placed)
    window = _window(task.candidates, ranked, width)
    drawn = None
    if hasattr(task.objective, "propensity"):
        drawn = np.full((len(task.k), int(task.k.max(initial=0))), np.nan)
    solver = _Solver(task, window, tuple(_cap_arrays(cap, window.index, task.k) for cap in task.caps), drawn)
    picked = solver.run(solver.arrays, solver.placed())
    picked, repaired = solver.repaired(picked)
    relaxed: dict[str, BoolArray] = {}
    if task.relax:
        picked, relaxed = solver.relaxed(picked)
    rows, places = np.nonzero(picked >= 0)
    index = window.index[rows, picked[rows, places]]
    propensity = None if drawn is None else drawn[rows, places]
    return Selection(rows_to_offsets(rows, len(picked)), index, relaxed, repaired, propensity)


@dataclass(frozen=True, eq=False)
class _Solver:
    """One selection on its window."""

    task: _Task
    window: Window
    arrays: tuple[CapArrays, ...]
    #: Probability of each place (B, K), written as an objective draws it; None for one that does not.
    drawn: FloatArray | None = None

    @property
    def available(self) -> IntArray:
        """Places that each row could fill without limits."""
        return np.asarray(np.minimum(self.task.k, self.window.valid.sum(axis=1)))

    def placed(self) -> IntArray:
        """Return the lists as they stand before the first choice: the window has them in front."""
        place = np.arange(int(self.task.k.max(initial=0)))
        return np.asarray(np.where(place < self.task.placed[:, None], place, -1))

    def run(self, arrays: Sequence[CapArrays], start: IntArray) -> IntArray:
        """Choose greedily from where the lists stand."""
        objective, window = self.task.objective, self.window
        steering = None if objective is None else Steered(objective, window, self.drawn)
        pinned = _pinned(self.task.limits, window)
        return greedy(window.valid, self.task.k, arrays, steering, start=start, pinned=pinned)

    def only(self, row: IntArray) -> _Solver:
        """Return the solver of one row."""
        window = Window(
            self.window.candidates, self.window.index[row], self.window.valid[row], self.window.relevance[row]
        )
        task = replace(self.task, k=self.task.k[row], placed=self.task.placed[row])
        return _Solver(task, window, tuple(cap.rows(row) for cap in self.arrays))

    def repaired(self, picked: IntArray) -> tuple[IntArray, IntArray]:
        """Lengthen lists that greedy ended early, one row after the other: few need it."""
        better = []
        short = np.flatnonzero((picked >= 0).sum(axis=1) < self.available) if self.arrays else ()
        for row in short:
            one = self.only(np.array([row]))

            def again(mask: BoolArray, one: _Solver = one) -> IntArray:
                narrowed = replace(one, window=replace(one.window, valid=mask[None]))
                return np.asarray(narrowed.run(one.arrays, one.placed())[0])

            mine = picked[row, : int(one.task.k[0])]
            longer = improve(
                mine, one.window.valid[0], int(one.task.k[0]), one.arrays, int(one.task.placed[0]), again
            )
            if longer is not mine:
                picked[row, : len(longer)] = longer
                better.append(row)
        if self.drawn is not None:
            self.drawn[better] = np.nan  # exchanged, not drawn
        return picked, np.array(better, np.int64)

    def relaxed(self, picked: IntArray) -> tuple[IntArray, dict[str, BoolArray]]:
        """Go on with ever fewer soft limits where lists are short; what stands in a list stays."""
        caps = self.task.caps
        soft = sorted((cap.relax_order, -c) for c, cap in enumerate(caps) if not cap.hard)
        given_up: list[int] = []
        for _, negative in soft:
            if ((picked >= 0).sum(axis=1) >= self.available).all():
                break
            given_up.append(-negative)
            kept = [cap for c, cap in enumerate(self.arrays) if c not in given_up]
            picked = self.run(kept, picked)
        broken = {caps[c].name: violations(picked, self.arrays[c]) for c in given_up}
        return picked, {name: rows for name, rows in broken.items() if rows.any()}


def _window(candidates: Candidates, ranked: _Ranked, width: IntArray) -> Window:
    counts = np.minimum(np.diff(ranked.offsets), width)
    place = np.arange(max(int(counts.max(initial=0)), 1))
    valid = place < counts[:, None]
    position = np.where(valid, ranked.offsets[:-1, None] + place, 0)
    index = ranked.index[position] if len(ranked.index) else np.zeros_like(position)
    return Window(candidates, index, valid, _relevance(candidates, index, valid))


def _relevance(candidates: Candidates, index: IntArray, valid: BoolArray) -> Float32Array:
    if not len(candidates):
        return np.zeros(index.shape, np.float32)
    score = candidates.score[index]
    finite = np.isfinite(score) & valid
    low = np.where(finite, score, np.inf).min(axis=1, keepdims=True)
    high = np.where(finite, score, -np.inf).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        spread = high - low
    scaled = np.where(finite, score - np.where(np.isfinite(low), low, 0), 0)
    equal = ~(spread > 0)
    return np.where(equal, finite, scaled / np.where(equal, 1, spread)).astype(np.float32)


def _cap_arrays(cap: Cap, index: IntArray, k: IntArray) -> CapArrays:
    if cap.share is not None:
        length = k if cap.within is None else np.minimum(k, cap.within)
        # The small number guards the floor against the last digit of a product such as 0.29 * 100.
        maximum = np.maximum(np.floor(cap.share * length + 1e-9).astype(np.int64), 1)
    else:
        maximum = np.full(len(k), cap.maximum, np.int64)
    return CapArrays(_groups(cap, index), maximum, cap.within, cap.sliding)


def _groups(cap: Cap, index: IntArray) -> tuple[IntArray, ...]:
    if not len(cap.group):  # nobody has a group: each candidate is alone
        return (np.broadcast_to(np.arange(index.shape[1]), index.shape),)
    if cap.offsets is None:
        return (cap.group[index],)
    start, counts = cap.offsets[index], cap.offsets[index + 1] - cap.offsets[index]
    # Where it has fewer groups than others, a candidate has a code that no other has: it is limited by nothing.
    alone = int(cap.group.max()) + 1 + np.arange(index.shape[1])
    layers = []
    for layer in range(max(int(counts.max()), 1)):
        inside = np.minimum(start + layer, len(cap.group) - 1)
        layers.append(np.where(counts > layer, cap.group[inside], alone))
    return tuple(layers)


def _pinned(limits: Sequence[Cap | Pin], window: Window) -> IntArray | None:
    pins = [limit for limit in limits if isinstance(limit, Pin)]
    if not pins or not len(window.candidates):
        return None
    position = np.max([pin.position for pin in pins], axis=0)
    return np.where(window.valid, position[window.index], 0)
