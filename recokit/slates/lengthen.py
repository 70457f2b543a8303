"""The longest lists that the limits allow, and which soft limits yield for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from recokit._kernels.slate_arrays import CapArrays
from recokit._kernels.slate_limits import broken, maximums
from recokit.data import Cap
from recokit.slates.milp import Spread, best_stages, length_bound
from recokit.slates.solver import Lists, Solver
from recokit.typing import IntArray


def lengthen(solver: Solver) -> Lists:
    """Choose the lists of rows that the plain greedy choice left short: the longest, with as few limits relaxed.

    The longest length is tried first; rows without a list of that length try the next shorter one.
    """
    problem = solver.problem
    length = target = np.minimum(problem.k, solver.window.valid.sum(axis=1))
    lists = _longest(solver, problem.strict, length, target)
    # Shares, pins and minimums depend on the length: a list that is shorter is chosen for its own.
    independent_of_length = not problem.pins and all(
        cap.share is None and not cap.minimum for cap in problem.caps
    )
    while (shorter := np.flatnonzero(lists.length < length)).size:
        length = _next_length(lists.picked, solver.standing(length).picked, length)
        wanted = (length if problem.relax else target)[shorter]
        again = _longest(solver.rows(shorter), problem.strict, length[shorter], wanted)
        lists = lists.replace(shorter, again)
        if not independent_of_length:
            lists = lists.without_draws(shorter)
    if problem.relax and len(problem.strict) < len(problem.caps):
        lists = _relaxed(solver, length, lists)
        if not independent_of_length:
            lists = lists.without_draws(length < target)
    return lists


def _longest(solver: Solver, caps: Sequence[Cap], length: IntArray, k: IntArray) -> Lists:
    """Return lists up to k under caps whose shares count for a length."""
    arrays, start, placed = solver.arrays(caps, length), solver.standing(length), solver.placed(length)
    lists = solver.run(arrays, k, start)
    for row in np.flatnonzero(lists.length < k).tolist():
        only = np.array([row])
        one, mine = solver.rows(only), tuple(cap.rows(only) for cap in arrays)
        before = best = lists.take(only)
        # A pin that leaves the hard limits no list yields.
        pinned = (start.picked[row] != placed.picked[row]).any()
        for stands in (start, placed) if pinned else (start,):
            best = _repaired(one, mine, int(k[row]), stands.take(only), best)
        if best is not before:
            repaired = best.picked is not before.picked
            lists = lists.replace(only, replace(best, repaired=np.array([repaired])))
    return lists.without_draws(lists.repaired)


def _next_length(picked: IntArray, standing: IntArray, length: IntArray) -> IntArray:
    """Return the next shorter lengths to try: as found, or so that a pin that was not reached is beyond the end."""
    found = (picked >= 0).sum(axis=1)
    place = np.arange(standing.shape[1])
    unreached = np.where((standing >= 0) & (place >= found[:, None]), place, 0).max(axis=1, initial=0)
    return np.asarray(np.where(found < length, np.maximum(found, unreached), length))


def _relaxed(solver: Solver, length: IntArray, strictly: Lists) -> Lists:
    """Return lists of the given lengths under as many soft limits as can hold; what stands under more of them stays."""
    caps = solver.problem.caps
    # Of equal order the later one yields first.
    soft = sorted((cap.relax_order, -c) for c, cap in enumerate(caps) if not cap.hard)
    standing = solver.standing(length)
    # Pins that the hard limits had no list with have yielded already.
    pins_stand = ((standing.picked < 0) | (standing.picked == strictly.picked)).all(axis=1)
    lists = solver.placed(length).replace(
        np.flatnonzero(pins_stand), standing.take(np.flatnonzero(pins_stand))
    )
    for level in range(len(soft) + 1):
        short = np.flatnonzero(lists.length < length)
        if not len(short):
            break
        given_up = {-c for _, c in soft[:level]}
        kept = [cap for c, cap in enumerate(caps) if c not in given_up]
        lists = lists.replace(short, _filled(solver.rows(short), kept, length[short], lists.take(short)))
    short = np.flatnonzero(lists.length < length)
    # Where even the hard limits have no list of that length, the strict one stays.
    return lists.without_draws(~pins_stand).replace(short, strictly.take(short))


def _filled(solver: Solver, caps: Sequence[Cap], length: IntArray, start: Lists) -> Lists:
    """Return lists of the given lengths around what stands, or anew where only that gives one."""
    lists = solver.run(solver.arrays(caps, length), length, start)
    short = np.flatnonzero(lists.length < length)
    if not len(short):
        return lists
    part, wanted = solver.rows(short), length[short]
    possible = _may_reach(part, caps, wanted, part.standing(wanted))
    if not len(possible):
        return lists
    part, short, wanted = part.rows(possible), short[possible], wanted[possible]
    anew = _longest(part, caps, wanted, wanted)
    whole = np.flatnonzero(anew.length == wanted)
    hurried = lists.hurried.copy()
    hurried[short] |= anew.hurried
    lists = replace(lists, hurried=hurried)
    return lists.replace(short[whole], anew.take(whole)).without_draws(short[whole])


def _may_reach(solver: Solver, caps: Sequence[Cap], length: IntArray, start: Lists) -> IntArray:
    """Return the rows for which the counts of groups do not rule out a list of the given length."""
    arrays, valid = solver.arrays(caps, length), solver.window.valid
    bounds = [
        length_bound(
            [cap.rows(slice(row, row + 1)) for cap in arrays], valid[row], k, start=start.picked[row]
        )
        for row, k in enumerate(length.tolist())
    ]
    return np.flatnonzero(np.array(bounds) >= length)


def _repaired(one: Solver, caps: tuple[CapArrays, ...], k: int, start: Lists, lists: Lists) -> Lists:
    """Return the longest list of one row that other ways to choose it find; the same one if none is longer."""
    bound = length_bound(caps, one.window.valid[0], k, start=start.picked[0])
    minimums = [cap for cap in caps if cap.minimum]
    best = lists
    for other in chain([lists], _other_lists(one, caps, k, start, lists.picked)):
        # Where a cap slides, an item of the set can miss its part: then later ones fill places that a minimum needs.
        if other.length > best.length and not any(
            broken(other.picked, one.window.valid, cap)[0] for cap in minimums
        ):
            best = other
        if best.length >= bound and best is lists:
            return best
        if best.length >= bound or one.problem.remaining() <= 0:
            break
    # What a search found that ended with the time may be another list with more of it.
    return replace(best, hurried=np.array([True])) if one.problem.remaining() <= 0 else best


def _other_lists(
    one: Solver, caps: tuple[CapArrays, ...], k: int, start: Lists, picked: IntArray
) -> Iterator[Lists]:
    """Yield lists of one row, those that cost least and change least first."""
    valid, places = one.window.valid, np.arange(start.picked.shape[1])
    wanted, sliding = np.array([k]), [cap for cap in caps if cap.sliding]
    if any(cap.minimum for cap in caps):
        yield one.run(caps, wanted, start, early=k)
    seconds = one.problem.remaining()
    if seconds <= 0:
        return
    prefix_sets = best_stages(
        caps, valid[0], one.window.relevance[0], k, start=start.picked[0], seconds=seconds
    )
    if prefix_sets is not None:
        for chooser in (None, Spread(sliding, prefix_sets[-1][1][None])) if sliding else (None,):
            # The set keeps the minimums; its parts, the caps on the first places.
            lists = start
            for end, members in prefix_sets:
                inside = np.where(places < end, np.maximum(lists.picked, start.picked), start.picked)
                lists = one.run(
                    maximums(caps),
                    np.array([end]),
                    replace(start, picked=inside),
                    valid=members[None],
                    chooser=chooser,
                )
            yield lists
    if sliding:
        length, back = int((picked >= 0).sum()), 1
        while back < 2 * length:
            # As much of the greedy list as can stay in front of one that spreads the groups.
            kept = replace(start, picked=np.where(places < length - back, picked, start.picked))
            yield one.run(caps, wanted, kept, chooser=Spread(sliding, valid))
            back *= 2
