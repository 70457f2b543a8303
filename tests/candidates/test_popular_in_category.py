"""PopularInCategory against its definition, one seat at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.candidates import PopularInCategory
from recokit.data import DAY, Dataset, Ragged, Requests, Retrieved, from_state, to_state
from recokit.errors import ConfigurationError, NotFittedError

ITEMS = {"item_id": range(1, 10), "category": ["a", "a", "a", "a", "b", "b", "c", None, None]}
TAKEN = [1, 2, 2, 3, 3, 3, 5, 6, 6, 7, 8, 8, 8, 8]
DATA = Dataset.from_frame(
    {"user": range(1, len(TAKEN) + 1), "item": TAKEN, "timestamp": np.arange(len(TAKEN)) * DAY}, items=ITEMS
)
COUNT = np.bincount(TAKEN, minlength=10)


def ask(*histories: list[int], exclude: list[list[int]] | None = None) -> Requests:
    named = {"history": Ragged.from_lists(list(histories))}
    if exclude is not None:
        named["exclude"] = Ragged.from_lists(exclude)
    return Requests.build(np.zeros(len(histories), np.int64), ragged=named)


def lists(found: Retrieved) -> list[list[int]]:
    return [found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def seats(history: list[int], exclude: list[int], limit: int) -> list[int]:
    """Give one seat after the other to the category with the highest share / (2 x seats + 1)."""
    category = [""] + [label or "" for label in ITEMS["category"]]
    known = [category[item] if item < len(category) else "" for item in history]
    share = {label: known.count(label) for label in known if label} or {"": 1}
    left = {
        label: sorted(
            (i for i in range(1, 10) if (not label or category[i] == label) and i not in exclude),
            key=lambda i: (-COUNT[i], i),
        )
        for label in share
    }
    taken, found = dict.fromkeys(share, 0), []
    while len(found) < limit and any(left.values()):
        best = min(
            (label for label in share if left[label]),
            key=lambda label: (
                -np.float32(share[label] / sum(share.values()) / (2 * taken[label] + 1)),
                left[label][0],
            ),
        )
        found.append(left[best].pop(0))
        taken[best] += 1
    return found


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 12), max_size=8), st.lists(st.integers(1, 9), max_size=4)),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 12),
)
def test_it_seats_as_sainte_lague_does(rows: list[tuple[list[int], list[int]]], limit: int) -> None:
    source = PopularInCategory(half_life=None).fit(DATA)
    found = source.retrieve(ask(*(history for history, _ in rows), exclude=[out for _, out in rows]), limit)
    assert lists(found) == [seats(history, out, limit) for history, out in rows]


def test_decay_counts_on_both_sides() -> None:
    recent = PopularInCategory(half_life="1D").fit(DATA)
    assert lists(recent.retrieve(ask([1]), 4)) == [[3, 2, 1, 4]]
    history = Ragged(np.array([0, 3]), np.array([1, 2, 5]), {"timestamp": np.array([0.0, 0.0, 3 * DAY])})
    now = Requests.build(np.array([0]), now=3 * DAY, ragged={"history": history})
    assert recent.retrieve(now, 1).score.tolist() == [pytest.approx(1 / 1.25)]
    assert lists(PopularInCategory(half_life=None).fit(DATA).retrieve(now, 1)) == [[3]]


def test_a_window_forgets_and_the_popular_items_of_all_serve_who_is_new() -> None:
    source = PopularInCategory(half_life=None, window="7D").fit(DATA)
    assert lists(source.retrieve(ask([], [8], [6]), 2)) == [[8, 6], [8, 6], [6, 5]]


def test_events_without_weight_are_of_no_category() -> None:
    source = PopularInCategory(half_life=None).fit(DATA)
    history = Ragged(np.array([0, 2]), np.array([1, 5]), {"weight": np.array([0.0, 1.0])})
    requests = Requests.build(np.array([0]), ragged={"history": history})
    assert lists(source.retrieve(requests, 9)) == lists(source.retrieve(ask([5]), 9))
    history = Ragged(np.array([0, 1]), np.array([1]), {"weight": np.array([0.0])})
    requests = Requests.build(np.array([0]), ragged={"history": history})
    assert lists(source.retrieve(requests, 9)) == lists(source.retrieve(ask([]), 9))


def test_what_is_saved_answers_the_same() -> None:
    source = PopularInCategory("item.category").fit(DATA)
    assert source.requires == ("history", "item.category")
    assert lists(from_state(*to_state(source)).retrieve(ask([1, 5]), 5)) == lists(
        source.retrieve(ask([1, 5]), 5)
    )


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'category'"):
        PopularInCategory("categry").fit(DATA)
    with pytest.raises(ConfigurationError, match="by=None"):
        PopularInCategory(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="window"):
        PopularInCategory(window="soon")
    with pytest.raises(NotFittedError):
        PopularInCategory().retrieve(ask([1]), 3)


def test_items_of_several_labels_are_in_each_of_their_categories() -> None:
    """Three labels, no combination of which is one: the item has the best of its places, once."""
    several = {"item_id": range(1, 6), "genre": ["a|b", "a", "b", "b|c", ""]}
    taken = [1, 1, 1, 2, 2, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5]
    data = Dataset.from_frame(
        {"user": range(len(taken)), "item": taken, "timestamp": range(len(taken))},
        items=several,
        separators={"genre": "|"},
    )
    source = PopularInCategory("genre", half_life=None).fit(data)
    found = source.retrieve(ask([2], [1], [3, 3, 2], [5]), 9)
    # "a" alone: 1 then 2. Half "a" and half "b": "a" has 1, 2; "b" has 4, 1, 3. Two thirds "b": 4, 1, 3, then "a".
    scores = [
        [(1, 1.0), (2, 1 / 3)],
        [(1, 0.5), (4, 0.5), (2, 0.5 / 3), (3, 0.5 / 5)],
        [(4, 2 / 3), (1, 1 / 3), (3, 2 / 15), (2, 1 / 9)],
        [(5, 1.0), (4, 1 / 3), (1, 1 / 5), (2, 1 / 7), (3, 1 / 9)],
    ]
    assert lists(found) == [[item for item, _ in row] for row in scores]
    np.testing.assert_allclose(found.score, [score for row in scores for _, score in row], rtol=1e-6)
    assert lists(source.retrieve(ask([2], exclude=[[1]]), 9)) == [[2]]
    assert lists(source.retrieve(ask([1]), 2)) == [[1, 4]]
