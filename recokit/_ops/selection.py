"""Greedy slate selection under caps, for a batch of padded windows at once. Loops run over places, never candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from recokit.typing import AnyArray, BoolArray, IntArray

__all__ = ["CapArrays", "Steering", "greedy", "improve", "violations"]

#: Candidates that the repair looks at for each place: the best by preference. Bounds its cost to a square of this.
REPAIR_POOL = 200
_LOWEST = np.float32(-3e38)


@dataclass(frozen=True, eq=False)
class CapArrays:
    """One cap on windows of W candidates.

    Parameters
    ----------
    groups : tuple of ndarray of int64, each (B, W)
        Group codes; a candidate in several groups has one in each array, and one of its own where it has fewer.
    maximum : ndarray of int64, shape (B,)
        Most items of a group.
    within : int, optional
        The cap holds in the first ``within`` places, or with ``sliding`` in every run of so many places.
    sliding : bool
    """

    groups: tuple[IntArray, ...]
    maximum: IntArray
    within: int | None = None
    sliding: bool = False

    def rows(self, rows: IntArray) -> CapArrays:
        """Return the cap for some rows."""
        groups = tuple(group[rows] for group in self.groups)
        return CapArrays(groups, self.maximum[rows], self.within, self.sliding)


class Steering(Protocol):
    """What chooses among the allowed candidates; an objective bound to its window."""

    def gain(self) -> AnyArray: ...

    def update(self, chosen: IntArray, active: BoolArray, allowed: BoolArray) -> None: ...


#: More than any list is long: a cap that holds no longer.
_UNLIMITED = np.iinfo(np.int32).max


class _Counts:
    """The caps that count from the first place on, stacked: a step costs the same few operations for all of them."""

    def __init__(self, caps: Sequence[CapArrays]) -> None:
        layers = [(cap, group) for cap in caps for group in cap.groups]
        self.groups = np.stack([group for _, group in layers])
        self.maximum = np.stack([cap.maximum for cap, _ in layers])[:, :, None]
        self.ends = np.array([_UNLIMITED if cap.within is None else cap.within for cap, _ in layers])
        self.end_places = set(self.ends.tolist())
        self.count = np.zeros(self.groups.shape, np.int32)
        # A candidate in several groups: each of its layers meets each layer of what is chosen.
        self.others = [
            (mine, theirs)
            for mine, (cap, _) in enumerate(layers)
            for theirs, (other, _) in enumerate(layers)
            if other is cap and mine != theirs
        ]

    def allowed(self, available: BoolArray, place: int) -> BoolArray:
        """Return what is available and in no full group."""
        if place in self.end_places:
            over = self.ends == place
            self.maximum = np.where(over[:, None, None], _UNLIMITED, self.maximum)
        return np.asarray(available & (self.count < self.maximum).all(axis=0))

    def update(self, rows: IntArray, chosen: IntArray, active: BoolArray) -> None:
        """Count, for every candidate, what is chosen of its groups."""
        picked = self.groups[:, rows, chosen]
        picked[:, ~active] = -1
        picked = picked[:, :, None]
        same = self.groups == picked
        for mine, theirs in self.others:
            same[mine] |= self.groups[mine] == picked[theirs]
        self.count += same


class _Sliding:
    """A cap on every run of so many places."""

    def __init__(self, cap: CapArrays) -> None:
        self.cap, self.recent = cap, []  # type: tuple[CapArrays, list[IntArray]]
        self.rows = np.arange(len(cap.maximum))

    def allowed(self) -> BoolArray:
        """Return what the last places allow at the next one, (B, W)."""
        cap = self.cap
        allowed = np.broadcast_to((cap.maximum > 0)[:, None], cap.groups[0].shape).copy()
        for codes in self.recent:
            for code in codes:
                count = sum((other == code).any(axis=0).astype(np.int64) for other in self.recent)
                full = np.where((count >= cap.maximum) & (code >= 0), code, -1)[:, None]
                for group in cap.groups:
                    allowed &= group != full
        return allowed

    def update(self, chosen: IntArray, active: BoolArray) -> None:
        """Remember the candidates chosen, forget what has left the run."""
        assert self.cap.within is not None
        # -1 is no group: a row that chose nothing.
        codes = np.stack([np.where(active, group[self.rows, chosen], -1) for group in self.cap.groups])
        self.recent = [*self.recent, codes][-(self.cap.within - 1) :] if self.cap.within > 1 else []


def greedy(
    valid: BoolArray,
    k: IntArray,
    caps: Sequence[CapArrays],
    steering: Steering | None,
    *,
    start: IntArray,
    pinned: IntArray | None = None,
) -> IntArray:
    """Choose up to k candidates of each row, one place after the other.

    Parameters
    ----------
    valid : ndarray of bool, shape (B, W)
        False where a window is padded.
    k : ndarray of int64, shape (B,)
        Places of each row.
    caps : sequence of CapArrays
        Kept at every place, except by what stands there already.
    steering : Steering, optional
        Gains; None takes the candidates in the order of the window.
    start : ndarray of int64, shape (B, max k)
        Window positions that stand in the list already, from its first place on; -1 where it is open.
    pinned : ndarray of int64, shape (B, W), optional
        1-based place that a candidate is pinned to, 0 for none. A pin yields to the caps.

    Returns
    -------
    ndarray of int64, shape (B, max k)
        Window positions in list order; -1 after a row's end.
    """
    rows = np.arange(len(valid))
    n_places = int(k.max(initial=0))
    if not caps and steering is None and pinned is None and not (start >= 0).any():
        # Nothing to decide: the window is in order, its padding last.
        ends = np.minimum(k, valid.sum(axis=1))[:, None]
        return np.asarray(np.where(np.arange(n_places) < ends, np.arange(n_places), -1))
    n_standing = int((start >= 0).sum(axis=1).max(initial=0))
    available = valid.copy()
    available[np.nonzero(start >= 0)[0], start[start >= 0]] = False
    counted = [cap for cap in caps if not cap.sliding]
    counts = _Counts(counted) if counted else None
    sliding = [_Sliding(cap) for cap in caps if cap.sliding]
    picked = np.full((len(valid), n_places), -1, np.int64)
    going = k > 0
    shortest = int(k.min(initial=n_places))
    for place in range(n_places):
        allowed = available if counts is None else counts.allowed(available, place)
        for run in sliding:
            allowed = allowed & run.allowed()
        if pinned is not None:
            allowed = _unpinned(allowed, pinned, place)
        chosen = _best(allowed, steering)
        active = allowed[rows, chosen]
        if place < n_standing:
            stands = start[:, place] >= 0
            chosen, active = np.where(stands, start[:, place], chosen), active | stands
        going &= active
        if place >= shortest:
            going &= place < k
        if not going.any():
            break
        picked[:, place] = chosen
        picked[~going, place] = -1
        if steering is not None:
            steering.update(chosen, going, allowed)
        available[rows, chosen] = False
        if counts is not None:
            counts.update(rows, chosen, going)
        for run in sliding:
            run.update(chosen, going)
    return picked


def _best(allowed: BoolArray, steering: Steering | None) -> IntArray:
    if steering is None:
        return np.asarray(allowed.argmax(axis=1))
    gain = np.fmax(steering.gain(), _LOWEST)
    return np.asarray(np.where(allowed, gain, -np.inf).argmax(axis=1))


def _unpinned(allowed: BoolArray, pinned: IntArray, place: int) -> BoolArray:
    """Return what may stand at a place: what is pinned there, else what is not pinned to a later one."""
    here = allowed & (pinned == place + 1)
    return np.where(here.any(axis=1, keepdims=True), here, allowed & (pinned <= place))


def violations(picked: IntArray, cap: CapArrays) -> BoolArray:
    """Tell for each row whether its list breaks a cap: an independent check, by counting.

    Parameters
    ----------
    picked : ndarray of int64, shape (B, K)
        Window positions, -1 after a row's end.
    cap : CapArrays

    Returns
    -------
    ndarray of bool, shape (B,)
    """
    n_rows, n_places = picked.shape
    broken = np.zeros(n_rows, np.bool_)
    span = n_places if cap.within is None else min(cap.within, n_places)
    if not span:
        return broken
    rows = np.arange(n_rows)[:, None]
    codes = np.stack([np.where(picked >= 0, group[rows, picked], -1) for group in cap.groups])
    last = n_places - span + 1 if cap.sliding else 1
    for start in range(last):
        run = codes[:, :, start : start + span]
        for place in range(run.shape[2]):
            for layer in range(len(cap.groups)):
                code = run[layer, :, place]
                count = (run == code[:, None]).any(axis=0).sum(axis=1)
                broken |= (code >= 0) & (count > cap.maximum)
    return broken


def improve(
    picked: IntArray,
    valid: BoolArray,
    k: int,
    caps: Sequence[CapArrays],
    placed: int,
    again: Callable[[BoolArray], IntArray],
) -> IntArray:
    """Lengthen one row's list by exchanging one item for two, where two caps starve the greedy choice.

    Greedy keeps to one cap at a time and can end early although a longer list exists (in about 6% of slates under two
    caps). Each round drops one item and adds two from the best candidates; order is chosen again among the new set.

    Parameters
    ----------
    picked : ndarray of int64, shape (K,)
        The row's window positions, -1 after its end.
    valid : ndarray of bool, shape (W,)
    k : int
        Places wanted.
    caps : sequence of CapArrays
        Caps of this row alone, (1, W).
    placed : int
        The first so many places stay as they are.
    again : callable
        Chooses anew among the candidates of a mask (W,); returns positions like ``picked``.

    Returns
    -------
    ndarray of int64, shape (K,)
        A longer list, or ``picked`` itself.
    """
    while (length := int((picked >= 0).sum())) < k:
        chosen = picked[:length]
        free = np.setdiff1d(np.flatnonzero(valid), chosen)[:REPAIR_POOL]
        exchange = _exchange(chosen, free, placed, [cap for cap in caps if cap.within is None])
        if exchange is None:
            return picked
        mask = np.zeros(len(valid), np.bool_)
        mask[np.setdiff1d(chosen, exchange[:1])] = True
        mask[exchange[1:]] = True
        longer = again(mask)
        if (longer >= 0).sum() <= length:
            return picked
        picked = longer
    return picked


def _exchange(chosen: IntArray, free: IntArray, placed: int, caps: Sequence[CapArrays]) -> IntArray | None:
    """Find an item to drop and two to add that every whole-list cap allows."""
    for drop in chosen[placed:]:
        kept = chosen[chosen != drop]
        fits = np.ones(len(free), np.bool_)
        pair = ~np.eye(len(free), dtype=np.bool_)
        for cap in caps:
            groups = np.stack([group[0] for group in cap.groups])
            mine, theirs = groups[:, None, free, None], groups[None, :, None, kept]
            left = cap.maximum[0] - (mine == theirs).any(axis=1).sum(axis=2)
            fits &= (left >= 1).all(axis=0)
            same = (groups[:, None, None, free] == groups[None, :, free, None]).any(axis=1)
            pair &= ~(same & (left < 2)[:, None, :]).any(axis=0)
        pair &= fits[:, None] & fits[None, :]
        if pair.any():
            first, second = np.unravel_index(int(np.argmax(pair)), pair.shape)
            return np.array([drop, free[first], free[second]])
    return None
