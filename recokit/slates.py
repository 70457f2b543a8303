"""Slate selection: from scored candidates to a list, within every limit.

:func:`select` is the one place where lists are made. The pipeline calls it with what its constraints, its
objective and its reranker said; :func:`check_limits` checks a list against the limits on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recokit._ops.caps import CapArrays, share_of
from recokit._ops.segments import counts_to_offsets, multi_arange, offsets_to_rows
from recokit._ops.selection import Filled, Problem, Steering, fill
from recokit._ops.topk import order_by_score, top_k_dense
from recokit.data.candidates import Candidates
from recokit.data.limits import Cap, Pin, Window
from recokit.errors import ConfigurationError, ContractError
from recokit.protocols import Objective
from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = ["Selection", "Violation", "check_limits", "select"]

#: Candidates that selection looks at first: this many, or this many times the list's length.
LEAST_POOL, POOL_PER_PLACE = 100, 5
_BLOCK, _WIDE_BLOCK = 512, 64


@dataclass(frozen=True, eq=False)
class Selection:
    """Lists chosen from candidates.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        Row ``b`` has the list ``index[offsets[b]:offsets[b + 1]]``.
    index : ndarray of int64
        Positions in the candidates, in list order: what ``Candidates.take(offsets, index)`` wants.
    relaxed : mapping of str to ndarray of bool (B,)
        For each soft limit, the rows whose list breaks it.
    repaired : ndarray of int64
        Rows in which the greedy list came short and an exchange of items lengthened it.
    """

    offsets: IntArray
    index: IntArray
    relaxed: Mapping[str, BoolArray] = field(default_factory=dict)
    repaired: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def counts(self) -> IntArray:
        """Length of each list, (B,) int64."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Violation:
    """One broken limit of one list.

    Parameters
    ----------
    name : str
        Name of the limit.
    row : int
        Request row.
    group : int
        Group that is too large; for a pin, the 1-based place wanted.
    place : int
        1-based place where the run of places starts that holds too many; for a pin, the place found.
    count, limit : int
        Items of the group, and how many were allowed.
    """

    name: str
    row: int
    group: int
    place: int
    count: int
    limit: int


def select(
    candidates: Candidates,
    k: int | IntArray,
    *,
    limits: Sequence[Cap | Pin] = (),
    objective: Objective | None = None,
    order: IntArray | None = None,
    placed: IntArray | None = None,
    pool: int | None = None,
    relax: bool = True,
) -> Selection:
    """Choose each row's list: the best candidates, in order, within the limits.

    Places are filled one after the other with the best candidate that every limit still allows. A row that
    comes short is looked at again with all its candidates; where two caps starve each other one item is
    exchanged to make room; then soft limits are loosened in their declared order, no further than the longest
    list needs. Hard limits are never broken: the list ends early.

    Parameters
    ----------
    candidates : Candidates
        Scored candidates. Scores that are not finite sink to the end, and may still be chosen last.
    k : int or ndarray of int64, shape (B,)
        List length wanted.
    limits : sequence of Cap or Pin, default ()
        Limits, such as constraints return.
    objective : Objective, optional
        Chooses the next item; the largest score without one. Ties go to the better score.
    order : ndarray of int64, optional
        Positions of candidates in the order that replaces the scores'; those left out follow by score.
    placed : ndarray of int64, shape (B,), optional
        The first so many candidates of each row are already in the list, in that order. They stay and count.
    pool : int, optional
        Best candidates that are looked at first, for each row; by default the larger of 100 and ``5 * k``.
    relax : bool, default True
        Loosen soft limits to fill the list. Without, it ends early.

    Returns
    -------
    Selection

    Raises
    ------
    ContractError
        If a limit or the order does not fit the candidates.

    Notes
    -----
    A pinned candidate stands at its place unless a hard cap forbids it, and counts towards every cap before the
    list is filled around it; of two candidates with one place the better one has it. Rows that end before a
    pin's place have it at their end. Results do not depend on what else is in the batch.

    Examples
    --------
    >>> candidates = Candidates.from_lists([[4, 5, 6]], scores=[[0.9, 0.8, 0.1]])
    >>> seller = Cap("seller", np.array([1, 1, 2]), maximum=1)
    >>> select(candidates, 2, limits=[seller]).index.tolist()
    [0, 2]
    """
    wanted = np.broadcast_to(np.asarray(k, np.int64), (candidates.n_rows,))
    caps = [limit for limit in limits if isinstance(limit, Cap)]
    for limit in limits:
        _check_limit(limit, len(candidates))
    request = _Request(
        candidates,
        wanted,
        np.zeros(candidates.n_rows, np.int64) if placed is None else placed,
        caps,
        _pinned(limits, len(candidates)),
        objective,
        candidates.score if order is None else _ordered(candidates, order),
        np.maximum(wanted * POOL_PER_PLACE, LEAST_POOL) if pool is None else np.maximum(wanted, pool),
    )
    soft = [c for c in range(len(caps) - 1, -1, -1) if not caps[c].hard]
    soft.sort(key=lambda c: caps[c].relax_order)
    parts = [
        _select_rows(request, rows, soft if relax else [])
        for rows in _blocks(np.arange(candidates.n_rows), _BLOCK)
    ]
    return _join(request, parts, soft)


@dataclass(frozen=True, eq=False)
class _Request:
    """What :func:`select` was asked, complete."""

    candidates: Candidates
    k: IntArray
    placed: IntArray
    caps: list[Cap]
    pins: IntArray | None
    objective: Objective | None
    key: AnyArray
    pool: IntArray


@dataclass(frozen=True, eq=False)
class _Part:
    """The lists of some rows: positions in the candidates (R, K), -1 after the end."""

    index: IntArray
    length: IntArray
    repaired: BoolArray
    extra: IntArray


def _blocks(rows: IntArray, size: int) -> Iterator[IntArray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _select_rows(request: _Request, rows: IntArray, soft: list[int]) -> _Part:
    counts = request.candidates.counts[rows]
    part = _fill(request, rows, request.pool[rows], [])
    again = part.length < np.minimum(request.k[rows], counts)
    if not soft:  # the same candidates under the same limits would give the same list
        again &= counts - request.placed[rows] > request.pool[rows]
    for some in _blocks(np.flatnonzero(again), _WIDE_BLOCK):
        wide = _fill(request, rows[some], counts[some], soft)
        part.index[some, : wide.index.shape[1]] = wide.index
        part.length[some], part.repaired[some] = wide.length, wide.repaired
        part.extra[:, some] = wide.extra
    return part


def _fill(request: _Request, rows: IntArray, pool: IntArray, soft: list[int]) -> _Part:
    window = _window(request, rows, pool)
    placed = request.placed[rows]
    problem = Problem(
        window.valid,
        request.k[rows],
        placed,
        tuple(_cap_arrays(cap, window) for cap in request.caps),
        None if request.pins is None else np.where(window.valid, request.pins[window.index] - 1, -1),
    )
    if request.objective is not None:
        problem = replace(problem, steering=_steering(request.objective, window, placed))
    filled: Filled = fill(problem, soft)
    index = np.take_along_axis(window.index, np.maximum(filled.picks, 0), axis=1) if len(request.key) else filled.picks
    width = int(request.k[rows].max(initial=0))
    full = np.full((len(rows), width), -1, np.int64)
    full[:, : index.shape[1]] = np.where(filled.picks >= 0, index, -1)
    return _Part(full, filled.length, filled.repaired, filled.extra)


def _window(request: _Request, rows: IntArray, pool: IntArray) -> Window:
    """Return the part already placed, then each row's best candidates, then pinned ones that are not among them."""
    candidates = request.candidates
    starts, counts = candidates.offsets[rows], candidates.counts[rows]
    key = _dense(request.key, starts, counts)
    placed = request.placed[rows]
    if placed.any():
        key[np.arange(key.shape[1]) < placed[:, None]] = np.finfo(key.dtype).max
    size = np.minimum(pool + placed, counts)
    column = top_k_dense(key, int(size.max(initial=0)))
    valid = np.arange(column.shape[1]) < size[:, None]
    if request.pins is not None:
        column, valid = _with_pinned(request.pins, starts, counts, column, valid)
    index = np.where(valid, starts[:, None] + column, 0)
    score = candidates.score[index] if len(candidates) else np.zeros(index.shape, np.float32)
    return Window(candidates, index, valid, _relevance(score, valid))


def _dense(values: AnyArray, starts: IntArray, counts: IntArray) -> AnyArray:
    """Pad ragged rows with NaN to (R, widest row)."""
    if len(counts) == 1:
        return values[starts[0] : starts[0] + counts[0]].reshape(1, -1).copy()
    dense = np.full((len(counts), int(counts.max(initial=0))), np.nan, values.dtype)
    dense[np.arange(dense.shape[1]) < counts[:, None]] = values[multi_arange(starts, counts)]
    return dense


def _with_pinned(
    pins: IntArray, starts: IntArray, counts: IntArray, column: IntArray, valid: BoolArray
) -> tuple[IntArray, BoolArray]:
    outside = np.arange(int(counts.max(initial=0))) < counts[:, None]
    outside[outside] = pins[multi_arange(starts, counts)] > 0
    row, place = np.nonzero(valid)
    outside[row, column[row, place]] = False
    more = top_k_dense(np.where(outside, 1.0, 0.0), int(outside.sum(axis=1).max(initial=0)))
    also = np.take_along_axis(outside, more, axis=1)
    return np.concatenate([column, more], axis=1), np.concatenate([valid, also], axis=1)


def _relevance(score: AnyArray, valid: BoolArray) -> AnyArray:
    """Scale scores to 0..1 within each row."""
    usable = valid & np.isfinite(score)
    low = np.where(usable, score, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(usable, score, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    flat = ~(high > low)
    low = np.where(flat, 0.0, low)
    spread = np.where(flat, 1.0, high.astype(np.float64) - low)
    relevance = np.where(flat, 1.0, (score - low) / spread)
    return np.where(usable, relevance, 0.0).astype(np.float32)
