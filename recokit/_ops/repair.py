"""Augmenting repair: where two caps starve a greedy list, exchange one item to make room for one more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recokit._ops.caps import CapArrays, crowding, same_group
from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = ["repair"]


def repair(
    valid: BoolArray,
    picks: IntArray,
    got: IntArray,
    length: IntArray,
    caps: Sequence[CapArrays],
    limits: IntArray,
    fixed: BoolArray,
) -> tuple[IntArray, IntArray]:
    """Lengthen lists that ended early: append what fits, else swap one item out and two in.

    Parameters
    ----------
    valid : ndarray of bool, shape (B, W)
        Candidates, best first.
    picks : ndarray of int64, shape (B, K)
        Window positions in list order; negative after the end.
    got, length : ndarray of int64, shape (B,)
        Length of each list, and the length wanted.
    caps : sequence of CapArrays
        The C caps.
    limits : ndarray of int64, shape (C, B)
        The caps' limits.
    fixed : ndarray of bool, shape (B, K)
        Places that must not change.

    Returns
    -------
    picks, got : ndarray
        New lists; those that cannot be lengthened by one exchange at a time stay as they are.

    Notes
    -----
    The item that replaces another takes its place, so limits on runs of places are judged exactly. The last
    place that can be exchanged is taken, and the best candidates for it. With two caps that each put a candidate
    in one group, no single exchange is overlooked; a chain of several exchanges is not searched for.
    """
    picks, got = picks.copy(), got.copy()
    rows = np.flatnonzero(got < length)
    while len(rows):
        move = _find_move(
            valid[rows],
            np.where(np.arange(picks.shape[1]) < got[rows, None], picks[rows], -1),
            got[rows],
            [cap.take(rows) for cap in caps],
            limits[:, rows],
            fixed[rows],
        )
        moved = move.last >= 0
        swapped = moved & (move.place >= 0)
        picks[rows[swapped], move.place[swapped]] = move.instead[swapped]
        rows = rows[moved]
        picks[rows, got[rows]] = move.last[moved]
        got[rows] += 1
        rows = rows[got[rows] < length[rows]]
    return picks, got


@dataclass(frozen=True, eq=False)
class _Move:
    """Put ``instead`` at ``place`` (none if negative) and append ``last`` (no move if negative), each (B,)."""

    place: IntArray
    instead: IntArray
    last: IntArray


@dataclass(frozen=True, eq=False)
class _Crowd:
    """What one cap counts: same (M, K, B, W), and the crowd that a candidate would meet, by place exchanged.

    ``at_place`` (M, K, B, W) is met at the place itself, ``at_end`` at the end of the list; ``seen`` (K, B) tells
    whether an item at the place counts at the end.
    """

    same: BoolArray
    at_place: AnyArray
    at_end: AnyArray
    seen: BoolArray
    end: AnyArray


def _crowd(cap: CapArrays, picks: IntArray, got: IntArray) -> _Crowd:
    """Count groups around every place of the lists, and at their ends. A limit that does not hold there counts -1."""
    same = same_group(cap.group, picks.T)
    place = np.arange(picks.shape[1])
    if cap.sliding:
        assert cap.within is not None
        at_place = np.stack([crowding(same, j, cap.within) for j in place.tolist()], axis=1)
        seen = place[:, None] > got - cap.within
        counted = same & seen[:, :, None]
        end = counted.sum(axis=1)
        return _Crowd(same, at_place, end[:, None] - counted, seen, end)
    within = picks.shape[1] + 1 if cap.within is None else cap.within
    inside = place < within
    counted = same & inside[:, None, None]
    total = counted.sum(axis=1)
    without = total[:, None] - counted
    open_end = (got >= within)[:, None]
    seen = inside[:, None] & (got < within)
    return _Crowd(
        same,
        np.where(inside[:, None, None], without, -1),
        np.where(open_end, -1, without),
        seen,
        np.where(open_end, -1, total),
    )


def _find_move(
    valid: BoolArray,
    picks: IntArray,
    got: IntArray,
    caps: Sequence[CapArrays],
    limits: IntArray,
    fixed: BoolArray,
) -> _Move:
    n_rows, width = valid.shape
    rows = np.arange(n_rows)
    used = np.zeros((n_rows, width + 1), np.bool_)
    np.put_along_axis(used, picks, True, axis=1)
    unused = valid & ~used[:, :-1]
    crowds = [_crowd(cap, picks, got) for cap in caps]
    below = [limit[:, None] for limit in limits]
    appendable, fits = unused, np.broadcast_to(unused, (picks.shape[1], n_rows, width))
    for crowd, limit in zip(crowds, below, strict=True):
        appendable = appendable & (crowd.end < limit).all(axis=0)
        fits = fits & (crowd.at_place < limit).all(axis=0)
    movable = ((picks >= 0) & ~fixed).T
    place, instead = np.full(n_rows, -1), np.full(n_rows, -1)
    last = np.where(appendable.any(axis=1), appendable.argmax(axis=1), -1)
    stuck = last < 0
    for avoided in crowds:
        # What comes in must leave the room of at least one cap to the item that is appended.
        options = fits & ~avoided.same.any(axis=0)
        first = options.argmax(axis=2)
        rest = np.broadcast_to(unused, options.shape).copy()
        np.put_along_axis(rest, first[:, :, None], False, axis=2)
        for cap, crowd, limit in zip(caps, crowds, below, strict=True):
            joined = same_group(cap.group, first) & crowd.seen[:, :, None]
            rest &= (crowd.at_end + joined < limit).all(axis=0)
        works = movable & options.any(axis=2) & rest.any(axis=2) & stuck
        latest = len(works) - 1 - works[::-1].argmax(axis=0)
        better = works.any(axis=0) & (latest > place)
        place = np.where(better, latest, place)
        instead = np.where(better, first[latest, rows], instead)
        last = np.where(better, rest[latest, rows].argmax(axis=1), last)
    return _Move(place, instead, last)
