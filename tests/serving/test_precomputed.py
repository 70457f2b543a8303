"""Precomputed: lists made ahead, for any model."""

import pytest

from recokit import Pipeline
from recokit.candidates import Popular
from recokit.errors import ConfigurationError
from recokit.rules import InStock
from recokit.serving import Precomputed
from recokit.testing import toy_dataset

DATA = toy_dataset()


def popular() -> Pipeline:
    return Pipeline([Popular()]).fit(DATA)


def test_it_is_what_an_anonymous_user_gets() -> None:
    expected = popular().recommend([None], 7, now=DATA.until).ids(0)
    assert Precomputed.of(popular(), k=7, now=DATA.until).items == expected


def test_fifty_items_by_default() -> None:
    assert len(Precomputed.of(popular(), now=DATA.until).items) == min(50, DATA.n_items)


def test_items_that_a_model_does_not_know_are_left_out() -> None:
    known = DATA.item_ids.decode([3, 1]).tolist()
    assert Precomputed([known[0], 10**9, known[1]]).codes(DATA.item_ids).tolist() == [3, 1]


def test_another_model_has_a_list_of_its_own() -> None:
    stocked = DATA.item_ids.decode([5, 6]).tolist()
    scarce = Pipeline([Popular(), InStock(dict.fromkeys(stocked, 1))]).fit(DATA)
    made = Precomputed.of(popular(), k=9, now=DATA.until)
    assert sorted(made.renewed(scarce).items) == sorted(stocked)
    assert made.renewed(popular()).items == made.items


def test_a_list_made_by_hand_stays() -> None:
    by_hand = Precomputed([101])
    assert by_hand.renewed(popular()) is by_hand


@pytest.mark.parametrize("items", [[], [1, 2, 1]], ids=["none", "twice"])
def test_items_are_distinct_and_there(items: list[int]) -> None:
    with pytest.raises(ConfigurationError, match="expected distinct ones, at least one"):
        Precomputed(items)


def test_a_pipeline_without_an_answer_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="found no item for an anonymous user"):
        Precomputed.of(Pipeline([Popular(), InStock({})]).fit(DATA), now=DATA.until)
