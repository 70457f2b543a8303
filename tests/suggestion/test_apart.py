"""Newcomers and new items are judged apart: by hand, from what each user had and took."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recokit.data import Dataset, Ragged
from recokit.suggestion.apart import groups_apart, new_items_apart
from recokit.suggestion.result import Group, Suggestion, Tried


def validation(events: list[int], truth: list[list[int]]) -> Any:
    """Users 1, 2, ... with so many events, all with item 1 of 4 that are known; and the codes each took afterwards."""
    user = np.repeat(np.arange(1, len(events) + 1), events)
    log = {"user_id": user, "item_id": np.ones(len(user), np.int64), "timestamp": np.arange(len(user))}
    users = np.arange(1, len(events) + 1)
    train = Dataset.from_frame(log, users={"user_id": users}, items={"item_id": [1, 2, 3, 4]})
    return SimpleNamespace(train=train, users=users, truth=lambda: Ragged.from_lists(truth))


def judged(name: str, values: list[float], hits: list[tuple[int, int]]) -> Any:
    pairs = np.array([row * 5 + item for row, item in hits], np.int64)
    return SimpleNamespace(tried=SimpleNamespace(name=name), values=np.array(values), hits=pairs)


def test_users_are_told_apart_by_their_events() -> None:
    part = validation([0, 1, 4, 5, 49, 50], [[1]] * 6)
    chosen, best = judged("two", [0, 0.2, 0.4, 0.6, 0.8, 1], []), judged("one", [0.5] * 6, [])
    found = groups_apart(part, chosen, best)
    assert [(one.users, round(one.mean, 6)) for one in found] == [(1, 0.0), (2, 0.3), (2, 0.7), (1, 1.0)]
    assert [one.name.split()[0] for one in found] == ["newcomers,", "users", "users", "users"]
    assert {one.source for one in found} == {0.5}


def test_a_group_without_users_is_left_out() -> None:
    assert [
        one.users for one in groups_apart(validation([7], [[1]]), judged("a", [1], []), judged("b", [0], []))
    ] == [1]


def test_new_items_are_those_without_events() -> None:
    part = validation([3, 3], [[1, 2], [3, 4]])
    chosen = judged("two", [0, 0], [(0, 1), (0, 2), (1, 3)])
    said = new_items_apart(part, chosen, judged("one", [0, 0], [(0, 1)]))
    assert said == (
        "new items: 75% of what users took had no events before; 67% of it is in the lists of two, 0% in those of one"
    )


def test_without_new_items_nothing_is_said() -> None:
    assert new_items_apart(validation([3], [[1]]), judged("a", [0], [(0, 1)]), judged("b", [0], [])) == ""


@pytest.mark.parametrize(
    "groups", [(), (Group("newcomers, without events", 12, 0.25, 0.125),)], ids=["none", "one"]
)
def test_the_report_shows_them(groups: tuple[Group, ...]) -> None:
    tried = (Tried("one", 0.1, 0.0, 0.2, 1.0, 1.0),)
    found = Suggestion(
        pipeline=None, code="", goal="NDCG@10", look=SimpleNamespace(words=list), tried=tried, groups=groups
    )
    assert ("newcomers" in str(found)) == ("0.1250" in str(found)) == bool(groups)
