"""Conflicts: which limits cannot hold together, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from recokit.data import Candidates, Cap, Pin
from recokit.slates.select import select
from recokit.slates.window import SlateProblem
from recokit.typing import BoolArray, IntArray

#: Limits that are tried in all combinations; of more, only so many together.
MAX_TOGETHER = 6


def conflicts(
    candidates: Candidates,
    k: IntArray,
    limits: Sequence[Cap | Pin],
    *,
    placed: IntArray | None = None,
) -> tuple[tuple[str, ...], ...]:
    """Return for each row the smallest set of limits that no full list of its candidates can keep.

    Limits are compared as if all were hard: the answer tells why soft ones were relaxed, and why lists are short.

    Parameters
    ----------
    candidates : Candidates
        The batch.
    k : ndarray of int64, shape (B,)
        Places of each row; a row with fewer candidates needs no more than it has.
    limits : sequence of Cap and Pin
        Of two sets of the same size, the one that is declared first is returned.
    placed : ndarray of int64, shape (B,), optional
        The first so many candidates of each row stand in the list already.

    Returns
    -------
    tuple of tuple of str, one for each row
        Names of the limits in order of declaration; empty where all hold together.

    Notes
    -----
    Every set is tried with a selection of its own, at most six limits together. It is meant for reports, not for every
    request.

    Examples
    --------
    >>> batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.9, 0.8, 0.7]])
    >>> seller = Cap("seller", np.array([1, 1, 2]), maximum=1)
    >>> brand = Cap("brand", np.array([1, 2, 2]), maximum=2)
    >>> conflicts(batch, np.array([3]), [brand, seller])
    (('seller',),)
    """
    names_of: list[tuple[str, ...]] = [()] * candidates.n_rows
    placed = np.zeros(candidates.n_rows, np.int64) if placed is None else placed
    strict = tuple(replace(limit, hard=True) if isinstance(limit, Cap) else limit for limit in limits)
    problem = SlateProblem(candidates, np.minimum(k, candidates.counts), strict, placed)
    names = [limit.name for limit in limits]
    rows = np.arange(candidates.n_rows)
    fails = _fails(problem, range(len(names)))
    for size in range(1, min(len(names), MAX_TOGETHER) + 1):
        for together in combinations(range(len(names)), size):
            problem, rows = problem.rows(np.flatnonzero(fails)), rows[fails]
            if not len(rows):
                return tuple(names_of)
            fails = _fails(problem, together)
            for row in rows[fails].tolist():
                names_of[row] = tuple(names[i] for i in together)
            fails = ~fails
    return tuple(names_of)


def _fails(problem: SlateProblem, together: Sequence[int]) -> BoolArray:
    """Tell for each row whether no full list keeps some of the limits."""
    limits = [problem.limits[i] for i in together]
    lists = select(problem.candidates, problem.k, limits=limits, placed=problem.placed)
    fails = np.diff(lists.offsets) < problem.k
    for broken in lists.relaxed.values():
        fails |= broken
    return np.asarray(fails)
