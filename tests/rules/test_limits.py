"""Limits on the list: what each rule asks for, and what it refuses at construction."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.data import Candidates, Cap, Pin
from recokit.errors import ConfigurationError, DataWarning
from recokit.slates import conflicts


def shop(n: int = 24) -> rk.Dataset:
    """Items 1 to n, the lower the more popular, with attributes that follow from their number."""
    number = np.arange(1, n + 1)
    items = {
        "item_id": number,
        "seller": [f"s{i % 3}" for i in number],
        "family": [f"f{i // 2}" if i % 4 else None for i in number],
        "genre": ["a|b" if i % 3 == 0 else "b|c" if i % 3 == 1 else "" for i in number],
        "is_new": (number > n - 3).astype(float),
        "sponsored": (number % 2 == 0).astype(float),
        "note": [f"text {i}" for i in number],
    }
    events = {
        "user_id": np.repeat(1, (number[::-1]).sum()),
        "item_id": np.repeat(number, number[::-1]),
        "timestamp": np.arange(float((number[::-1]).sum())),
    }
    import polars as pl

    return rk.Dataset.from_frame(pl.DataFrame(events), items=pl.DataFrame(items), separators={"genre": None})


def served(
    *stages: Any, k: int = 8, n: int = 24, capture: str = "summary", **options: Any
) -> rk.Recommendations:
    data = shop(n)
    pipeline = rk.Pipeline([candidates.Popular(half_life=None), *stages], **options).fit(data)
    return pipeline.recommend([None], k=k, now=data.until, capture=capture)


@pytest.mark.parametrize(
    "build",
    [
        lambda **options: rules.MaxShare("seller", 0.5, **options),
        lambda **options: rules.MaxPerGroup("seller", 2, **options),
        lambda **options: rules.MinPerGroup("seller", 2, **options),
        lambda **options: rules.OnePer("family", **options),
        lambda **options: rules.Spacing("seller", 2, **options),
        lambda **options: rules.Exclusive([[1, 2]], **options),
    ],
)
def test_limits_yield_unless_they_are_hard_and_with_the_first_unless_told_when(build: Any) -> None:
    schema, batch = shop().schema, Candidates.from_lists([[1, 2, 3]])
    soft = build().bind(schema).limit(batch)[0]
    assert not soft.hard and soft.relax_order == 0
    hard = build(hard=True, relax_order=3).bind(schema).limit(batch)[0]
    assert hard.hard and hard.relax_order == 3


def bounds(rule: Any) -> tuple[Any, ...]:
    cap = rule.bind(shop().schema).limit(Candidates.from_lists([[1, 2, 3]]))[0]
    return cap.maximum, cap.minimum, cap.share, cap.within, cap.sliding


def test_each_limit_bounds_what_it_says() -> None:
    nothing, one = bounds(rules.MaxShare("seller", 0.5)), bounds(rules.OnePer("family", within=4))
    assert nothing == (None, 0, 0.5, None, False)
    assert bounds(rules.MaxShare("seller", 1.0, within=1)) == (None, 0, 1.0, 1, False)
    assert bounds(rules.MaxPerGroup("seller", 2)) == (2, 0, None, None, False)
    assert bounds(rules.MaxPerGroup("seller", 1, within=5, sliding=True)) == (1, 0, None, 5, True)
    assert bounds(rules.MinPerGroup("seller", 3, within=3)) == (None, 3, None, 3, False)
    assert one == (1, 0, None, 4, False)
    assert bounds(rules.Spacing("seller", 2)) == (1, 0, None, 2, True)


def labelled(**columns: Any) -> Any:
    """Return the schema of items 1 to 5 with these columns."""
    import polars as pl

    events = {"user_id": [1] * 5, "item_id": [1, 2, 3, 4, 5], "timestamp": [float(i) for i in range(5)]}
    items = pl.DataFrame({"item_id": [1, 2, 3, 4, 5], **columns})
    return rk.Dataset.from_frame(pl.DataFrame(events), items=items).schema


def groups(rule: Any, schema: Any) -> list[set[int]]:
    """Return the groups of each of the five items, without those that are none."""
    cap = rule.bind(schema).limit(Candidates.from_lists([[1, 2, 3, 4, 5]]))[0].take(np.arange(5))
    offsets = np.arange(6) if cap.offsets is None else cap.offsets
    return [{int(g) for g in cap.group[a:b] if g >= 0} for a, b in pairwise(offsets)]


def shared(found: list[set[int]]) -> list[tuple[int, int]]:
    """Return the pairs of items that have a group in common."""
    return [(i + 1, j + 1) for j in range(5) for i in range(j) if found[i] & found[j]]


def free_text(tags: list[str | None]) -> Any:
    """Return the schema with a column of text that is no label, as longer texts are."""
    schema = labelled(tags=tags)
    items = replace(schema.items, categorical={}, other={"tags": np.array([None, *tags], object)})
    return replace(schema, items=items)


@pytest.mark.parametrize("schema_of", [free_text, lambda tags: labelled(tags=tags)])
def test_text_is_taken_apart_by_a_separator(schema_of: Any) -> None:
    schema = schema_of(["a|one", "b|two", "a|b|three", None, "four||"])
    found = groups(rules.MaxPerGroup("tags", 1, separator="|"), schema)
    assert [len(each) for each in found] == [2, 2, 3, 0, 1]
    assert shared(found) == [(1, 3), (2, 3)]
    only = groups(rules.MaxPerGroup("tags", 1, separator="|", only="b"), schema)
    assert [len(each) for each in only] == [0, 1, 1, 0, 0] and shared(only) == [(2, 3)]


def test_free_text_without_a_separator_is_no_group() -> None:
    with pytest.raises(ConfigurationError, match="found free text in item column 'tags'"):
        rules.MaxPerGroup("tags", 1).bind(free_text(["a|b"] * 5))


def test_numbers_group_by_their_values_and_those_without_one_together_or_not_at_all() -> None:
    schema = labelled(shelf=[2.0, None, 2.0, None, 0.0])
    assert shared(groups(rules.MaxPerGroup("shelf", 1), schema)) == [(1, 3), (2, 4)]
    for alone in (rules.OnePer("shelf"), rules.MinPerGroup("shelf", 1), rules.Spacing("shelf", 2)):
        found = groups(alone, schema)
        assert shared(found) == [(1, 3)] and [len(each) for each in found] == [1, 0, 1, 0, 1]
    only = groups(rules.MaxShare("shelf", 0.5, only=[0.0]), schema)
    assert [len(each) for each in only] == [0, 0, 0, 0, 1]
    both = groups(rules.MaxShare("shelf", 0.5, only=(0, 2)), schema)
    assert shared(both) == [(1, 3)] and [len(each) for each in both] == [1, 0, 1, 0, 1]


def test_a_pin_of_an_unknown_id_is_no_pin_and_the_last_item_can_be_pinned() -> None:
    schema = shop().schema
    with pytest.warns(DataWarning, match="pinned: found 1 of 2 ids"):
        rule = rules.Pinned({24: 1, 99: 2}).bind(schema)
    assert rule.limit(Candidates.from_lists([[1, 2, 24]]))[0].position.tolist() == [0, 0, 1]


def test_slots_are_for_flagged_items_by_default() -> None:
    rule = rules.Slots("item.sponsored", [3, 7])
    assert rule.requires == ("item.sponsored",)
    pins = rule.bind(shop().schema).limit(Candidates.from_lists([[1, 2, 3, 4, 5]]))
    assert [pin.name for pin in pins] == ["slots(sponsored)@3", "slots(sponsored)@7"]
    assert [pin.position.tolist() for pin in pins] == [[0, 3, 0, 3, 0], [0, 7, 0, 7, 0]]


def test_without_limits_the_lowest_numbers_lead() -> None:
    assert served().ids(0) == list(range(1, 9))


def test_a_share_of_one_value_only() -> None:
    answer = served(rules.MaxShare("sponsored", 0.25, only=1))
    assert answer.ids(0) == [1, 2, 3, 4, 5, 7, 9, 11] and not answer.reasons[0]


def test_an_item_of_several_values_counts_for_each() -> None:
    answer = served(rules.MaxPerGroup("genre", 2, separator="|"))
    shown = answer.ids(0)
    values = Counter(g for i in shown for g in {0: "ab", 1: "bc", 2: ""}[i % 3])
    assert values == {"b": 2, "c": 2} or max(values.values()) <= 2
    assert sum(i % 3 == 2 for i in shown) == 6  # items without a value are not limited


def test_a_quota_brings_the_best_of_its_kind_in_its_places() -> None:
    answer = served(rules.MinPerGroup("is_new", 2, only=1, within=5))
    assert answer.ids(0) == [1, 2, 3, 22, 23, 4, 5, 6] and not answer.reasons[0]


def test_a_quota_that_cannot_be_met_is_recorded_or_empties_the_list() -> None:
    soft = served(rules.MinPerGroup("is_new", 4, only=1))
    assert soft.ids(0) == [1, 2, 3, 4, 22, 23, 24, 5]  # as near to it as can be
    assert soft.reasons[0] == ("min_per_group(is_new=1): relaxed to fill the list",)
    hard = served(rules.MinPerGroup("is_new", 4, only=1, hard=True))
    assert hard.ids(0) == [] and hard.status[0] == rk.trace.Status.EMPTY


def test_no_two_of_a_seller_in_a_row() -> None:
    sellers = [i % 3 for i in served(rules.MaxPerGroup("family", 1), rules.Spacing("seller", 3)).ids(0)]
    assert all(len(set(sellers[i : i + 3])) == 3 for i in range(6))


def test_sponsored_items_keep_their_distance() -> None:
    shown = served(rules.Spacing("sponsored", 4, only=1)).ids(0)
    assert [place for place, i in enumerate(shown) if i % 2 == 0] == [1, 5]


def test_one_of_each_family_and_any_number_of_none() -> None:
    assert served(rules.OnePer("family")).ids(0) == [1, 2, 4, 5, 6, 8, 9, 10]


def test_items_that_exclude_each_other() -> None:
    assert served(rules.Exclusive([[1, 2], [2, 3], [1, 5, 999]]), k=4).ids(0) == [1, 3, 4, 6]


def test_pins_stand_in_their_places_and_beat_soft_limits_only() -> None:
    assert served(rules.Pinned({20: 2, 10: 4}), k=5).ids(0) == [1, 20, 2, 10, 3]
    soft = served(rules.Pinned({2: 1, 4: 2}), rules.MaxPerGroup("sponsored", 1, only=1), k=4)
    assert soft.ids(0) == [2, 4, 1, 3]
    assert soft.reasons[0] == ("max_per_group(sponsored=1): relaxed to fill the list",)
    hard = served(rules.Pinned({2: 1, 4: 2}), rules.MaxPerGroup("sponsored", 1, only=1, hard=True), k=4)
    assert hard.ids(0) == [2, 1, 3, 5] and hard.reasons[0] == ("pinned: relaxed to fill the list",)


def test_a_pin_beyond_the_end_is_none() -> None:
    answer = served(rules.Pinned({1: 9}), k=3)
    assert answer.ids(0) == [1, 2, 3] and not answer.reasons[0]


def test_slots_hold_the_best_of_a_kind() -> None:
    assert served(rules.Slots("is_new", [3, 5]), k=5).ids(0) == [1, 2, 22, 3, 23]
    assert served(rules.Slots("seller", [1], only="s2"), k=3).ids(0) == [2, 1, 3]
    # An item with a place of its own is not taken for a slot.
    assert served(rules.Slots("is_new", [3]), rules.Pinned({22: 1}), k=3).ids(0) == [22, 1, 23]


def test_a_share_of_a_list_of_one_lets_one_through() -> None:
    answer = served(rules.MaxShare("seller", 0.4, hard=True), k=1)
    assert answer.ids(0) == [1] and not answer.reasons[0]


def test_hard_limits_shorten_the_list_and_say_so() -> None:
    answer = served(rules.MaxPerGroup("seller", 2, hard=True), rules.OnePer("family"), capture="full")
    assert len(answer.ids(0)) == 6
    assert answer.reasons[0] == ("limits leave 6 of 8 places",)
    event = next(event for event in answer.trace.events if event.role == "selection")
    assert event.detail["conflicts"] == {0: ("max_per_group(seller)",)}


def test_what_the_fallback_mends_is_not_reported() -> None:
    class Two:
        def retrieve(self, requests: rk.Requests, limit: int) -> rk.Retrieved:
            items = np.tile([3, 6, 9], (len(requests), 1))  # all of one seller
            return rk.Retrieved.from_padded(items, np.tile([3.0, 2.0, 1.0], (len(requests), 1)))

    data = shop()
    rule = rules.MaxPerGroup("seller", 1)
    pipeline = rk.Pipeline([Two(), rule], fallback=candidates.Popular(half_life=None)).fit(data)
    answer = pipeline.recommend([None], k=3, now=data.until)
    assert answer.ids(0) == [3, 1, 2]
    assert not any("relaxed" in reason for reason in answer.reasons[0])
    longer = pipeline.recommend([None], k=4, now=data.until)
    assert longer.ids(0) == [3, 1, 2, 6]
    assert "max_per_group(seller): relaxed to fill the list" in longer.reasons[0]


def test_the_smallest_set_that_conflicts_is_named() -> None:
    batch = rk.Candidates.from_lists([[1, 2, 3], [4, 5, 6]], scores=[[3, 2, 1], [3, 2, 1]])
    category = Cap("category", np.array([1, 1, 2, 1, 2, 3]), maximum=1)
    seller = Cap("seller", np.array([1, 2, 2, 1, 2, 3]), maximum=1)
    loose = Cap("loose", np.ones(6, np.int64), maximum=3)
    assert conflicts(batch, np.array([2, 2]), [loose, category, seller]) == ((), ())
    quota = Cap("quota", np.array([-1, 1, -1, -1, -1, -1]), minimum=1)
    assert conflicts(batch, np.array([2, 2]), [loose, category, seller, quota]) == (
        ("category", "seller", "quota"),
        (),
    )
    pins = [Pin("first", np.array([1, 0, 0, 1, 0, 0])), Pin("ad", np.array([0, 0, 1, 0, 0, 1]))]
    assert conflicts(batch, np.array([2, 2]), [loose, *pins]) == (("first", "ad"), ("first", "ad"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: rules.MaxPerGroup("seller", 0), "maximum=0; expected a whole number of at least 1"),
        (lambda: rules.MaxPerGroup("seller", 1.5), "maximum=1.5; expected a whole number"),
        (lambda: rules.MaxShare("seller", 0.0), "share=0.0"),
        (lambda: rules.MaxShare("seller", 0.4, within=0), "within=0"),
        (lambda: rules.MinPerGroup("seller", 0), "minimum=0"),
        (lambda: rules.MinPerGroup("seller", 3, within=2), "no more items than places"),
        (lambda: rules.Spacing("seller", 1), "every=1; expected a whole number of at least 2"),
        (lambda: rules.Pinned({}), "expected items with their places"),
        (lambda: rules.Pinned({1: 0}), "place=0"),
        (lambda: rules.Pinned({1: 2, 3: 2}), "1 and 3 pinned to place 2"),
        (lambda: rules.Slots("seller", []), "places="),
        (lambda: rules.Slots("seller", [2, 2]), "expected distinct"),
        (lambda: rules.Slots("seller", [2, 0]), "place=0; expected a whole number of at least 1"),
        (lambda: rules.Exclusive([]), "no sets"),
        (lambda: rules.Exclusive([[1]]), "at least two"),
        (lambda: rules.Exclusive(["ab"]), "at least two"),
        (lambda: rules.OnePer(7), "found column=7"),
    ],
)
def test_options_out_of_range_are_refused_at_construction(build: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build()


@pytest.mark.parametrize(
    "rule",
    [
        rules.MaxShare("sellr", 0.4),
        rules.MinPerGroup("sellr", 1),
        rules.OnePer("sellr"),
        rules.Spacing("sellr", 2),
        rules.Slots("sellr", [1]),
        rules.Spacing("seller", 2, only="s9"),
        rules.Slots("seller", [1]),
        rules.OnePer("note"),
    ],
)
def test_unknown_columns_and_values_are_refused_when_bound(rule: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean|free text|expected a value"):
        rk.Pipeline([candidates.Popular(), rule]).fit(shop())
