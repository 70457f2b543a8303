"""Greedy selection in the order of the window, many places at once, and one by one only where a limit interferes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise, permutations
from typing import NamedTuple

import numpy as np

from recokit._kernels.slate_limits import CapArrays
from recokit.typing import BoolArray, Float32Array, IntArray

#: Longer lists are not for this: what is compared grows with the square of their length.
MAX_PLACES = 256
#: Place at which a candidate opens that never does.
_NEVER = np.iinfo(np.int64).max
#: Comparisons of a window with a list that are made at once: they stay in the cache.
_AT_ONCE = 1 << 20


def choose_in_order(valid: BoolArray, k: IntArray, caps: Sequence[CapArrays], n_places: int) -> IntArray:
    """Choose the first candidates of each row that the maximums allow, one place after the other.

    Parameters
    ----------
    valid : ndarray of bool, shape (B, W)
        False where a window is padded.
    k : ndarray of int64, shape (B,)
        Places of each row, at most ``n_places``.
    caps : sequence of CapArrays
        All with a maximum; minimums are not looked at.
    n_places : int
        At most :data:`MAX_PLACES`.

    Returns
    -------
    ndarray of int64, shape (B, n_places)
        Window positions in list order; -1 after a row's end.

    Notes
    -----
    A list is continued by the next open candidates as if no limit were there. Up to the first of them that breaks one,
    that is the greedy choice; there one place is chosen by comparing the window with the list, and what the limits
    close is left out until it can open again. Rows need about as many rounds as limits interfere.
    """
    n_rows, width = valid.shape
    picked = np.full((n_rows, n_places), -1, np.int64)
    at_once = max(_AT_ONCE // max(len(caps) * width * n_places, 1), 1)
    for first in range(0, n_rows, at_once):
        rows = slice(first, first + at_once)
        mine = caps if n_rows <= at_once else [cap.rows(rows) for cap in caps]
        lists = _Lists(valid[rows], k[rows], mine, n_places)
        while len(lists.rows):
            lists.extend()
        picked[rows] = lists.picked
    return picked


@lru_cache(maxsize=32)
def _kinds(caps: tuple[tuple[int, int | None, bool], ...], n_places: int) -> _Kinds:
    """Return what is alike for all requests, from each cap's layers, reach and whether it slides."""
    each = [(n_places if within is None else within, slides) for n, within, slides in caps for _ in range(n)]
    place, before = np.arange(n_places)[:, None], np.arange(n_places)
    reach = [(before < place) & ((place - before if slides else place) < span) for span, slides in each]
    ends = accumulate((n for n, _, _ in caps), initial=0)
    crossed = tuple(pair for first, end in pairwise(ends) for pair in permutations(range(first, end), 2))
    span, sliding = np.array([span for span, _ in each]), np.array([slides for _, slides in each])
    return _Kinds(np.stack(reach), span[:, None, None], sliding[:, None, None], crossed)


class _Kinds(NamedTuple):
    """Layers of groups: which places before each place count there (L, K, K), spans, and who shares a cap."""

    reach: BoolArray
    span: IntArray
    sliding: BoolArray
    crossed: tuple[tuple[int, int], ...]


def _counts(same: BoolArray) -> Float32Array:
    """Return how many are set along the last axis; a product counts four times as fast as a sum."""
    return same.astype(np.float32) @ np.ones(same.shape[-1], np.float32)


class _Lists:
    """Lists of some rows as they grow.

    Attributes
    ----------
    rows : ndarray of int64, shape (R,)
        Rows whose list goes on.
    picked : ndarray of int64, shape (B, K)
    """

    def __init__(self, valid: BoolArray, k: IntArray, caps: Sequence[CapArrays], n_places: int) -> None:
        n_rows, width = valid.shape
        kinds = tuple([(len(cap.groups), cap.within, cap.sliding) for cap in caps])
        self.reach, self.span, self.sliding, self.crossed = _kinds(kinds, n_places)
        layers = [(cap, group) for cap in caps for group in cap.groups]
        maximum = np.array([cap.maximum for cap, _ in layers])
        self.maximum = np.maximum(maximum, 1)[:, :, None]
        # One more column, which -1 finds: of no candidate. Without a group, each is alone in one of its own.
        self.groups = np.full((len(layers), n_rows, width + 1), -1)
        for groups, (_, group) in zip(self.groups, layers, strict=True):
            groups[:, :width] = group
        np.copyto(self.groups, np.arange(-1, -width - 2, -1), where=self.groups < 0)
        self.k, self.open = k, valid.copy()
        self.n, self.rows = np.zeros(n_rows, np.int64), (k > 0).nonzero()[0]
        self.picked = np.full((n_rows, n_places), -1, np.int64)
        self.places = np.arange(n_places)
        #: From which place on a candidate may open again.
        self.until: IntArray | None = None
        if (maximum <= 0).any():
            none = (maximum <= 0)[:, :, None] & (self.groups[:, :, :width] >= 0)
            opens = np.where(self.sliding, _NEVER, self.span)
            self.until = np.where(none, opens, 0).max(axis=0)

    def extend(self) -> None:
        """Continue every list up to its end, or by what it takes to get past the next limit that interferes."""
        rows, n = self.rows, self.n[self.rows]
        lists = self._continued(rows, n)
        codes = self.groups[:, rows[:, None], lists]
        same = codes[..., None] == codes[..., None, :]
        for mine, theirs in self.crossed:
            same[mine] |= codes[mine][..., None] == codes[theirs][..., None, :]
        same &= self.reach[:, None]
        broken = (_counts(same) >= self.maximum[:, rows]).any(axis=0)
        listed = lists >= 0
        broken &= listed
        stopped = broken.any(axis=1)
        length = listed.sum(axis=1)
        if stopped.any():
            length = np.where(stopped, broken.argmax(axis=1), length)
            lists[self.places >= length[:, None]] = -1
        self.picked[rows], self.n[rows] = lists, length
        # What did not get longer has nothing that could come next.
        going = (stopped | (length > n)) & (length < self.k[rows])
        self.rows = rows = rows[going]
        if not len(rows):
            return
        self._close(rows, lists[going])
        stopped = stopped[going]
        if stopped.any():
            self._step(rows[stopped], codes[:, going][:, stopped], length[going][stopped])
            self.rows = rows[self.n[rows] < self.k[rows]]

    def _close(self, rows: IntArray, lists: IntArray) -> None:
        """Take what stands in lists from what is open."""
        where, place = np.nonzero(lists >= 0)
        self.open[rows[where], lists[where, place]] = False

    def _continued(self, rows: IntArray, n: IntArray) -> IntArray:
        """Return the lists followed by the next open candidates, up to a place at which a closed one may open."""
        free, end = self.open[rows], self.k[rows]
        if self.until is not None:
            until = self.until[rows]
            closed = free & (until > n[:, None])
            if closed.any():
                free &= ~closed
                end = np.minimum(end, np.where(closed, until, _NEVER).min(axis=1))
        rank = free.cumsum(axis=1)
        free &= rank <= (end - n)[:, None]
        where, candidate = np.nonzero(free)
        lists = self.picked[rows]
        lists[where, n[where] + rank[where, candidate] - 1] = candidate
        return lists

    def _step(self, rows: IntArray, codes: IntArray, n: IntArray) -> None:
        """Choose the one place at which a limit stops each of the rows, and note what is closed there."""
        groups = self.groups[:, rows, :-1]
        same = groups[..., None] == codes[:, :, None, :]
        for mine, theirs in self.crossed:
            same[mine] |= groups[mine][..., None] == codes[theirs][:, None, :]
        same &= self.reach[:, n][:, :, None, :]
        closed = _counts(same) >= self.maximum[:, rows]
        # What slides opens when the first that counts is out of reach; no more than the maximum ever counts.
        opens = np.where(self.sliding, same.argmax(axis=3) + self.span, self.span)
        until = np.where(closed, opens, 0).max(axis=0)
        if self.until is None:
            self.until = np.zeros(self.open.shape, np.int64)
        self.until[rows] = np.maximum(self.until[rows], until)
        free = self.open[rows] & (self.until[rows] <= n[:, None])
        chosen = free.argmax(axis=1)
        found = free[np.arange(len(rows)), chosen]
        rows, chosen, n = rows[found], chosen[found], n[found]
        self.picked[rows, n] = chosen
        self.open[rows, chosen] = False
        self.n[rows] = n + 1
