"""One selection to make, and the windows that its lists are chosen from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field, replace

import numpy as np

from recokit._kernels.segments import (
    any_true,
    counts_to_offsets,
    gather_segments,
    offsets_to_rows,
    rank_in_row,
)
from recokit._kernels.slate_arrays import CapArrays
from recokit._kernels.slate_window import best_window, window_of
from recokit._kernels.top_k import sort_key
from recokit._utils.copies import frozen
from recokit.data import Candidates, Cap, Pin, Window
from recokit.protocols import Objective
from recokit.typing import BoolArray, IntArray


def unbounded() -> float:
    """Return the seconds that are left where nothing limits them."""
    return np.inf


@frozen
class SlateProblem:
    """One selection: see :func:`recokit.slates.select` for its parts."""

    candidates: Candidates
    k: IntArray
    limits: tuple[Cap | Pin, ...]
    placed: IntArray
    objective: Objective | None = None
    order: IntArray | None = None
    relax: bool = True
    remaining: Callable[[], float] = unbounded
    caps: list[Cap] = field(init=False)
    pins: list[Pin] = field(init=False)
    #: Whether no place is taken beforehand, by an item placed already or by a pin.
    free: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "caps", [limit for limit in self.limits if isinstance(limit, Cap)])
        object.__setattr__(self, "pins", [limit for limit in self.limits if isinstance(limit, Pin)])
        object.__setattr__(self, "free", not (self.pins or any_true(self.placed > 0)))

    @property
    def strict(self) -> list[Cap]:
        """The caps that nothing makes yield: the hard ones, or all where none may be relaxed."""
        return [cap for cap in self.caps if cap.hard or not self.relax]

    def rows(self, rows: IntArray) -> SlateProblem:
        """Return the selection of some rows alone."""
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
            limits=tuple(limit.take(index) for limit in self.limits),
            order=order,
            placed=self.placed[rows],
        )


@frozen
class _Ranked:
    """Positions of each row's candidates in order of preference, those already placed first."""

    offsets: IntArray
    index: IntArray

    @property
    def row(self) -> IntArray:
        return offsets_to_rows(self.offsets)


def top_window(problem: SlateProblem, width: IntArray) -> Window:
    """Return the best candidates of each row, and beyond them those that are pinned or that a minimum may need."""
    needing = [cap for cap in problem.caps if cap.minimum]
    candidates = problem.candidates
    if problem.order is None and not needing and problem.free:
        return Window(candidates, *best_window(candidates.offsets, candidates.score, width))
    ranked = _ranked(problem)
    also = np.zeros(len(problem.candidates), np.bool_)
    for pin in problem.pins:
        also |= pin.position > 0
    for cap in needing:
        if cap.item is not None:
            cap = cap.take(np.arange(len(cap.item)))
        offsets = np.arange(len(problem.candidates) + 1) if cap.offsets is None else cap.offsets
        of = offsets_to_rows(offsets)
        also[of[_first(ranked, of, [cap.group], np.full(problem.candidates.n_rows, cap.minimum))]] = True
    return _window(candidates, _best(ranked, width, also))


def full_window(problem: SlateProblem, width: IntArray) -> Window:
    """Return all that a list may need: the best of each row, and k of every kind.

    Candidates of the same groups are alike to all caps; of more than k such, the worse ones are in no list.
    """
    ranked = _ranked(problem)
    everything = np.arange(len(problem.candidates))
    kinds = [layer[0] for cap in problem.caps for layer in cap.layers(everything[None])]
    also = np.zeros(len(everything), np.bool_)
    also[_first(ranked, everything, kinds, problem.k)] = True
    for pin in problem.pins:
        also |= pin.position > 0
    return _window(problem.candidates, _best(ranked, width, also))


def _first(ranked: _Ranked, of: IntArray, codes: Sequence[IntArray], max_each: IntArray) -> IntArray:
    """Return which elements, of the candidates ``of``, are among the first so many of their row with their codes."""
    rank = np.full(int(max(ranked.index.max(initial=-1), of.max(initial=-1))) + 1, -1, np.int64)
    rank[ranked.index] = np.arange(len(ranked.index))
    row = np.full(len(rank), -1, np.int64)
    row[ranked.index] = ranked.row
    there = np.flatnonzero(rank[of] >= 0)
    keys = [rank[of[there]], *(code[there] for code in codes), row[of[there]]]
    order = np.lexsort(keys)
    new = np.ones(len(order), np.bool_)
    new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys[1:]], axis=0)
    starts = np.flatnonzero(new)
    within = np.arange(len(order)) - starts[np.cumsum(new) - 1]
    return np.asarray(there[order[within < max_each[keys[-1][order]]]])


def _best(ranked: _Ranked, width: IntArray, also: BoolArray) -> _Ranked:
    row = ranked.row
    kept = (rank_in_row(row, ranked.offsets) < width[row]) | also[ranked.index]
    counts = np.bincount(row[kept], minlength=len(ranked.offsets) - 1)
    return _Ranked(counts_to_offsets(counts), ranked.index[kept])


def _ranked(problem: SlateProblem) -> _Ranked:
    candidates, order, placed = problem.candidates, problem.order, problem.placed
    row, offsets = candidates.row, candidates.offsets
    before = rank_in_row(row, offsets) < placed[row]
    if order is None:
        return _Ranked(offsets, np.lexsort((np.where(before, 0, sort_key(candidates.score)), ~before, row)))
    if placed.any():
        # A reranker may move, or leave out, what is placed already.
        order = np.concatenate([np.flatnonzero(before), order[~before[order]]])
        order = order[np.argsort(row[order], kind="stable")]
    counts = np.bincount(row[order], minlength=candidates.n_rows)
    return _Ranked(counts_to_offsets(counts), order)


def _window(candidates: Candidates, ranked: _Ranked) -> Window:
    counts = np.diff(ranked.offsets)
    return Window(candidates, *window_of(ranked.offsets, ranked.index, counts, candidates.score))


def cap_arrays(caps: Sequence[Cap], index: IntArray, length: IntArray) -> tuple[CapArrays, ...]:
    """Return caps on a window (B, W), shares counted for lists of the given lengths (B,)."""
    return tuple(
        [
            CapArrays(cap.layers(index), _maximum(cap, length), cap.minimum, cap.within, cap.sliding)
            for cap in caps
        ]
    )


def _maximum(cap: Cap, length: IntArray) -> IntArray | None:
    if cap.share is not None:
        length = length if cap.within is None else np.minimum(length, cap.within)
        # The small number guards the floor against the last digit of a product such as 0.29 * 100.
        return np.asarray(np.maximum(np.floor(cap.share * length + 1e-9).astype(np.int64), 1))
    return None if cap.maximum is None else np.array([cap.maximum]).repeat(len(length))
