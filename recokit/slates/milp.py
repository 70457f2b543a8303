"""Repair: for one row that the greedy choice left short, how long its list can be at most, and which items make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recokit._kernels.slate_arrays import CapArrays
from recokit._kernels.slate_greedy import Chooser
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

#: Branches that the search for a set may take. Two caps need none: their program is integral.
MAX_NODES = 200


def length_bound(caps: Sequence[CapArrays], valid: BoolArray, k: int, *, start: IntArray) -> int:
    """Return a length that no list of a row can exceed, by the counts of each cap's groups alone.

    A minimum that no list of ``k`` can meet makes it 0: a shorter list cannot meet it either.

    Parameters
    ----------
    caps : sequence of CapArrays
        Caps of one row, (1, W).
    valid : ndarray of bool, shape (W,)
    k : int
        Places wanted.
    start : ndarray of int64, shape (K,)
        What stands at each place whatever the caps say, -1 where it is open.
    """
    bound = k
    for cap in caps:
        counts, standing, labels = _group_counts(cap, valid, start)
        if cap.minimum and not _within_reach(cap, counts, int(labels.max(initial=0)), k):
            return 0
        if cap.maximum is None:
            continue
        maximum, free = np.maximum(int(cap.maximum[0]), standing), int((labels == 0).sum())
        fewest = int(labels[labels > 0].min(initial=len(cap.groups)))
        if cap.sliding:
            assert cap.within is not None
            while (
                bound and free + np.minimum(counts, maximum * -(-bound // cap.within)).sum() // fewest < bound
            ):
                bound -= 1
        else:
            total = free + int(np.minimum(counts, maximum).sum()) // fewest
            if cap.within is None or total < cap.within:
                bound = min(bound, total)
    return bound


def _group_counts(cap: CapArrays, valid: BoolArray, start: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return each group's candidates, those of them that stand already, and how many groups each candidate has."""
    codes = np.sort(np.maximum(np.stack([group[0] for group in cap.groups]), -1), axis=0)
    codes[1:][codes[1:] == codes[:-1]] = -1  # a code that an item has twice counts once
    there, which = np.unique(codes, return_inverse=True)
    which, n = which.reshape(codes.shape), len(there)
    counts = np.bincount(which[:, valid].ravel(), minlength=n)
    standing = np.bincount(which[:, start[start >= 0]].ravel(), minlength=n)
    groups = (there >= 0) & (counts > 0)
    return counts[groups], standing[groups], (codes[:, valid] >= 0).sum(axis=0)


def _within_reach(cap: CapArrays, counts: IntArray, labels: int, k: int) -> bool:
    """Tell whether the places may do for the minimum of every group, and every group for its minimum."""
    places = k if cap.within is None else min(cap.within, k)
    most = min(places, int(cap.maximum[0])) if cap.maximum is not None else places
    return bool((counts >= cap.minimum).all()) and (
        not len(counts) or (cap.minimum <= most and cap.minimum * len(counts) <= places * labels)
    )


def best_stages(
    caps: Sequence[CapArrays],
    valid: BoolArray,
    relevance: Float32Array,
    k: int,
    *,
    start: IntArray,
    seconds: float = np.inf,
) -> list[tuple[int, BoolArray]] | None:
    """Choose the items of the longest list, of these the most relevant, by a mixed-integer program.

    Parameters
    ----------
    caps : sequence of CapArrays
        Caps of one row, (1, W). Of those that slide, only what any order has to keep.
    valid : ndarray of bool, shape (W,)
    relevance : ndarray of float32, shape (W,)
        From 0 to 1.
    k : int
        Places wanted.
    start : ndarray of int64, shape (K,)
        What stands at each place, -1 where it is open.
    seconds : float, optional
        The search ends after so long with the best that it has.

    Returns
    -------
    list of (int, ndarray of bool (W,)), or None
        For the end of each cap, ascending, the items to stand before it; the last are all items of the list. None where
        the search found nothing.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    counted = [cap for limit in caps for cap in _counted(limit, k)]
    items = np.flatnonzero(valid)
    n = len(items)
    ends = sorted({k, *(cap.within for cap in counted if cap.within is not None and cap.within < k)})
    program = _Program(n, len(ends))
    for stage, end in enumerate(ends):
        program.add(np.ones(n), np.arange(n) + stage * n, -np.inf, end)
        if end < k:
            program.reach(stage, end, k)
            program.nest(stage)
    for cap in counted:
        stage = ends.index(min(k, cap.within or k))
        program.count(stage, [group[0, items] for group in cap.groups], cap)
    lower, upper = np.zeros(program.n_variables), np.ones(program.n_variables)
    for place, chosen in enumerate(start[:k].tolist()):
        if chosen >= 0:
            at = int(np.searchsorted(items, chosen))
            for stage, end in enumerate(ends):
                bounds = lower if place < end else upper
                bounds[stage * n + at] = place < end
    gain = np.zeros(program.n_variables)
    # A longer list is worth more than any relevance: all of it together is less than half an item.
    gain[(len(ends) - 1) * n : len(ends) * n] = 1 + relevance[items] / (2 * k + 1)
    matrix = csr_array(
        (program.values, (program.rows, program.columns)), shape=(program.n_rows, program.n_variables)
    )
    solution = milp(
        -gain,
        constraints=LinearConstraint(matrix, program.low, program.high),
        integrality=np.ones(program.n_variables),
        bounds=Bounds(lower, upper),
        options={
            "node_limit": MAX_NODES,
            "mip_rel_gap": 0.4 / (k + 1),
            **({} if seconds == np.inf else {"time_limit": max(seconds, 0.0)}),
        },
    )
    if solution.x is None:
        return None
    stages = []
    for stage, end in enumerate(ends):
        members = np.zeros(len(valid), np.bool_)
        members[items[solution.x[stage * n : (stage + 1) * n] > 0.5]] = True
        stages.append((end, members))
    return stages


def _counted(cap: CapArrays, k: int) -> list[CapArrays]:
    """Return a cap without sliding: the first run and the whole list bound what any order can hold."""
    if not cap.sliding or cap.within is None or cap.maximum is None:
        return [cap]
    runs = -(-k // cap.within)
    return [replace(cap, sliding=False), replace(cap, sliding=False, within=None, maximum=cap.maximum * runs)]


def prepare() -> None:
    """Load the solver, so that no request waits for that."""
    import scipy.optimize  # noqa: F401


class _Program:
    """Rows of a mixed-integer program: whether an item stands before each end, and whether the list reaches it."""

    def __init__(self, n_items: int, n_stages: int) -> None:
        self.n_items, self.last = n_items, n_stages - 1
        self.n_variables, self.n_rows = n_items * n_stages + n_stages - 1, 0
        self._values: list[AnyArray] = []
        self._rows: list[IntArray] = []
        self._columns: list[IntArray] = []
        self.low: list[float] = []
        self.high: list[float] = []

    @property
    def values(self) -> AnyArray:
        return np.concatenate(self._values)

    @property
    def rows(self) -> IntArray:
        return np.concatenate(self._rows)

    @property
    def columns(self) -> IntArray:
        return np.concatenate(self._columns)

    def add(
        self, values: AnyArray, columns: IntArray, low: float, high: float, *, row: AnyArray | None = None
    ) -> None:
        """Add one row, or with ``row`` several of the same bounds."""
        row = np.zeros(len(columns), np.int64) if row is None else row
        self._values.append(values)
        self._columns.append(columns)
        self._rows.append(row + self.n_rows)
        n_new = int(row.max(initial=-1)) + 1
        self.n_rows += n_new
        self.low += [low] * n_new
        self.high += [high] * n_new

    def reach(self, stage: int, end: int, k: int) -> None:
        """Fill the places before an end if the list is so long; else all its items stand before it."""
        n, whole = self.n_items, np.arange(self.n_items) + self.last * self.n_items
        mine = np.arange(n) + stage * n
        reached = np.array([n * (self.last + 1) + stage])
        ones = np.ones(n)
        self.add(np.append(ones, -float(end)), np.append(mine, reached), 0, np.inf)
        self.add(np.append(ones, -(k - end + 1.0)), np.append(whole, reached), -np.inf, end - 1)
        self.add(np.concatenate([ones, -ones, [float(k)]]), np.concatenate([mine, whole, reached]), 0, np.inf)

    def nest(self, stage: int) -> None:
        """Let what stands before an end stand before the next one too."""
        n, each = self.n_items, np.arange(self.n_items)
        columns = np.concatenate([each + stage * n, each + (stage + 1) * n])
        self.add(np.repeat([-1.0, 1.0], n), columns, 0, np.inf, row=np.tile(each, 2))

    def count(self, stage: int, layers: Sequence[IntArray], cap: CapArrays) -> None:
        """Bound the items of every group."""
        pairs = [(np.flatnonzero(layer >= 0), layer[layer >= 0]) for layer in layers]
        item, code = np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])
        if not len(item):
            return
        item, code = np.unique(np.stack([item, code]), axis=1)  # a code that an item has twice counts once
        high = np.inf if cap.maximum is None else float(cap.maximum[0])
        row = np.unique(code, return_inverse=True)[1]
        self.add(np.ones(len(item)), item + stage * self.n_items, float(cap.minimum), high, row=row)


class Spread(Chooser):
    """The group with the most candidates left comes first, which keeps a sliding cap from ending the list."""

    def __init__(self, caps: Sequence[CapArrays], valid: BoolArray) -> None:
        self.groups = [np.where(valid, group, -1) for cap in caps for group in cap.groups]
        self.left = []
        for group in self.groups:
            codes, which, counts = np.unique(group[0], return_inverse=True, return_counts=True)
            self.left.append(np.where(codes < 0, 0, counts).astype(np.float32)[which.ravel()][None])

    def gain(self) -> AnyArray:
        """Return how many candidates the largest group of each has left, (1, W)."""
        return np.asarray(np.max(self.left, axis=0))

    def update(self, chosen: IntArray, active: BoolArray, allowed: BoolArray) -> None:
        """Count the candidate chosen out of its groups."""
        if active[0]:
            for group, left in zip(self.groups, self.left, strict=True):
                left -= (group == group[0, chosen[0]]) & (group >= 0)
