"""The reason that put an item into its place comes first: pins, slots, exploration, caps, objectives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, exploration, rules
from recokit.data import Dataset

POPULAR = candidates.Popular(half_life=None)


@pytest.fixture(scope="module")
def shop() -> Dataset:
    """Item 1 is the most popular, item 8 the least; three of the four best are of one seller."""
    pairs = [(user, item) for user in range(1, 21) for item in range(1, 9) if user <= 21 - 2 * item]
    log = {
        "user_id": [u for u, _ in pairs],
        "item_id": [i for _, i in pairs],
        "timestamp": [*range(len(pairs))],
    }
    sellers = ["a", "a", "a", "b", "c", "d", "e", "f"]
    items = {"item_id": [*range(1, 9)], "seller": sellers, "fresh": [i == 8 for i in range(1, 9)]}
    return Dataset.from_frame(log, items=items)


def firsts(shop: Dataset, *stages: Any, k: int = 4, **options: Any) -> dict[int, str]:
    """Return each item's first reason."""
    pipeline = rk.Pipeline([POPULAR, *stages, rules.Reasons()], **options).fit(shop)
    answer = pipeline.recommend([None], k=k, now=1e9)
    reasons = [reason.split("; ")[0].partition("=")[0] for reason in answer.columns["reasons"]]
    return dict(zip(answer.ids(0), reasons, strict=True))


BY_SCORE = "source.popular"


def test_a_plain_list_has_finders_first(shop: Dataset) -> None:
    assert firsts(shop) == {1: BY_SCORE, 2: BY_SCORE, 3: BY_SCORE, 4: BY_SCORE}


def test_pinned_and_slotted(shop: Dataset) -> None:
    assert firsts(shop, rules.Pinned({7: 2})) == {1: BY_SCORE, 7: "place.pinned", 2: BY_SCORE, 3: BY_SCORE}
    slotted = firsts(shop, rules.Slots("fresh", [3]))
    assert slotted == {1: BY_SCORE, 2: BY_SCORE, 8: "place.slots(fresh)@3", 3: BY_SCORE}
    both = firsts(shop, rules.Slots("fresh", [3]), rules.Pinned({7: 2}))
    assert both[7] == "place.pinned" and both[8] == "place.slots(fresh)@3"


def test_a_pin_that_yields_is_none(shop: Dataset) -> None:
    found = firsts(shop, rules.Pinned({3: 1}), rules.Blocked([3]))
    assert set(found.values()) == {BY_SCORE}


@pytest.mark.parametrize("hard", [False, True])
def test_lifted_by_a_cap(shop: Dataset, hard: bool) -> None:
    found = firsts(shop, rules.MaxPerGroup("seller", 1, hard=hard))
    assert found == {1: BY_SCORE, 4: "place.limits", 5: "place.limits", 6: "place.limits"}


def test_lifted_by_an_objective(shop: Dataset) -> None:
    found = firsts(shop, diversity.MMR(0.3, columns=["seller"]))
    assert found[1] == BY_SCORE and "place.mmr" in found.values()


def test_explored(shop: Dataset) -> None:
    everything = exploration.EpsilonGreedy(epsilon=0.999)
    found = firsts(shop, everything, k=8)
    order = [*found]
    for place, item in enumerate(order):
        assert (found[item] == "place.explored") == (item - 1 > place)
    assert "place.explored" in found.values()


def test_it_stays_where_the_fallback_fills_up(shop: Dataset) -> None:
    few = candidates.Editorial([1, 2, 4])
    pipeline = rk.Pipeline([few, rules.Pinned({4: 1}), rules.Reasons()], fallback=POPULAR)
    answer = pipeline.fit(shop).recommend([None], k=4, now=1e9)
    first = [reason.split("; ")[0] for reason in answer.columns["reasons"]]
    assert answer.ids(0)[0] == 4 and first[0] == "place.pinned"
    assert len(answer.ids(0)) == 4 and not any(reason.startswith("place") for reason in first[1:])


def test_words_of_ones_own(shop: Dataset) -> None:
    words = rules.Reasons(templates={"place": "because of {name}", "place.pinned": "chosen by us"})
    pipeline = rk.Pipeline([POPULAR, rules.Pinned({7: 1}), words]).fit(shop)
    answer = pipeline.recommend([None], k=2, now=1e9)
    assert answer.columns["explanation"][0].startswith("chosen by us")
    assert answer.columns["placement"].tolist() == ["pinned", ""]
    assert "placement" not in rk.Pipeline([POPULAR]).fit(shop).recommend([None], k=2, now=1e9).columns
    assert np.array_equal(answer.codes(0), pipeline.recommend([None], k=2, now=1e9).codes(0))
