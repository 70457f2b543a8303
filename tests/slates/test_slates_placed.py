"""Lists that have begun already: placed items stay, count for every limit, and the rest is as long as it can be."""

import numpy as np
from hypothesis import given, settings, strategies as st

from recokit.data import Candidates, Cap
from recokit.slates import select


@st.composite
def tasks(draw):
    n = draw(st.integers(1, 8))
    groups = draw(st.lists(st.lists(st.integers(0, 3), max_size=3, unique=True), min_size=n, max_size=n))
    maximum = draw(st.integers(1, 3))
    order = draw(
        st.one_of(st.none(), st.permutations(range(n)), st.permutations(range(n)).map(lambda o: o[::2]))
    )
    placed = draw(st.integers(0, n))
    k = draw(st.integers(1, n))
    scores = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return n, groups, maximum, order, placed, k, scores


def over(items, groups, maximum):
    """The groups that hold more than they may."""
    return [g for g in range(4) if sum(g in groups[item] for item in items) > maximum]


@settings(max_examples=300)
@given(tasks())
def test_placed_items_stay_and_the_list_goes_on_while_anything_fits(task):
    n, groups, maximum, order, placed, k, scores = task
    batch = Candidates.from_lists([list(range(1, n + 1))], scores=[[float(score) for score in scores]])
    offsets = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
    flat = np.array([code for group in groups for code in group], np.int64)
    cap = Cap("groups", flat, offsets=offsets, maximum=maximum, hard=True)
    found = select(
        batch,
        np.array([k]),
        limits=[cap],
        order=None if order is None else np.array(order, np.int64),
        placed=np.array([placed]),
    )
    chosen = found.index.tolist()
    standing = list(range(min(placed, k)))
    assert chosen[: len(standing)] == standing
    assert len(set(chosen)) == len(chosen) <= k
    wanted = set(range(n) if order is None else order) | set(standing)
    assert set(chosen) <= wanted
    # Only what was placed may break the cap, and nothing that joins it makes it worse.
    for group in over(chosen, groups, maximum):
        added = [item for item in chosen[len(standing) :] if group in groups[item]]
        assert not added
    if len(chosen) < k:
        rest = wanted - set(chosen)
        fitting = [
            item
            for item in rest
            if all(sum(g in groups[other] for other in chosen) < maximum for g in groups[item])
        ]
        assert not fitting
    if order is not None and not len(found.repaired):
        ranked = [item for item in order if item in chosen[len(standing) :]]
        assert chosen[len(standing) :] == ranked
