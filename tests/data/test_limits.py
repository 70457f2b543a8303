"""Caps that name the groups of items by code say the same as caps with the candidates' own groups."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.data import Candidates, Cap, Pin
from recokit.slates import select

#: Groups by item code: one each, or several for some items and none for item 2.
ONE = Cap("brand", np.array([0, 1, 1, 2, 2]), maximum=1)
SEVERAL = Cap("tag", np.array([7, 8, 7, 9, 9, 8]), np.array([0, 0, 2, 2, 4, 6]), maximum=1)
ITEMS = np.array([4, 1, 3, 2])


@pytest.mark.parametrize("by_code", [ONE, SEVERAL], ids=["one", "several"])
def test_groups_by_item_code_are_those_of_the_candidates(by_code: Cap) -> None:
    cap, own = by_code.of_items(ITEMS), by_code.take(ITEMS)
    assert len(cap) == len(own) == 4
    window = np.array([[3, 0], [1, 2]])
    for mine, theirs in zip(cap.layers(window), own.layers(window), strict=True):
        assert mine.tolist() == theirs.tolist()
    some = cap.take(np.array([2, 3]))
    assert some.item is None
    assert [layer.tolist() for layer in some.layers(np.arange(2))] == [
        layer[[2, 3]].tolist() for layer in own.layers(np.arange(4))
    ]


@pytest.mark.parametrize("by_code", [ONE, SEVERAL], ids=["one", "several"])
@pytest.mark.parametrize("minimum", [0, 1])
def test_lists_under_either_are_the_same(by_code: Cap, minimum: int) -> None:
    batch = Candidates.from_lists([ITEMS.tolist()], scores=[[0.9, 0.8, 0.7, 0.6]])
    rule = {"minimum": 1, "maximum": None, "hard": True} if minimum else {"hard": True}
    lists = [
        select(batch, np.array([3]), limits=[Cap(**{**vars(cap), **rule})]).index.tolist()
        for cap in (by_code.of_items(ITEMS), by_code.take(ITEMS))
    ]
    assert lists[0] == lists[1] and lists[0]


def test_groups_of_items_in_several() -> None:
    assert [layer.tolist() for layer in SEVERAL.of_items(ITEMS).layers(np.arange(4))] == [
        [9, 7, 7, -1],
        [8, 8, 9, -1],
    ]


def test_padding_of_a_window_without_candidates_has_no_group() -> None:
    assert ONE.of_items(ITEMS[:0]).layers(np.zeros((1, 2), np.int64))[0].tolist() == [[-1, -1]]


def test_a_pin_is_as_long_as_its_candidates() -> None:
    assert len(Pin("first", np.array([0, 1, 0]))) == 3
