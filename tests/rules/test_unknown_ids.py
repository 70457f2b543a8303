"""Ids that the catalogue lacks are counted and said; too many of them are an error."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.data import Live
from recokit.errors import ConfigurationError, DataError, DataWarning
from recokit.testing import toy_dataset

DATA = toy_dataset()
POPULAR = candidates.Popular(half_life=None)

MAKE: dict[str, Callable[..., list[Any]]] = {
    "blocked": lambda ids, **options: [POPULAR, rules.Blocked(ids, **options)],
    "live": lambda ids, **options: [POPULAR, rules.Blocked(Live(ids), **options)],
    "by label": lambda ids, **options: [POPULAR, rules.Blocked({"DE": ids}, by="country", **options)],
    "allowed": lambda ids, **options: [POPULAR, rules.Allowed(ids, **options)],
    "pinned": lambda ids, **options: [
        POPULAR,
        rules.Pinned({id_: i + 1 for i, id_ in enumerate(ids)}, **options),
    ],
    "editorial": lambda ids, **options: [candidates.Editorial(ids, **options)],
}


@pytest.fixture(params=MAKE)
def make(request: Any) -> Callable[..., list[Any]]:
    return MAKE[request.param]


def test_some_are_counted_and_said(make: Callable[..., list[Any]]) -> None:
    with pytest.warns(DataWarning, match="found 2 of 5 ids that the catalogue lacks, such as 9991, 9992"):
        pipeline = rk.Pipeline(make([101, 102, 9991, 103, 9992])).fit(DATA)
    assert pipeline.recommend([None], k=3, now=DATA.until, context={"country": "DE"}).status.tolist() == [0]


def test_many_are_an_error(make: Callable[..., list[Any]]) -> None:
    with pytest.raises(DataError, match="found 3 of 4 ids that the catalogue lacks") as error:
        rk.Pipeline(make([101, 9991, 9992, 9993])).fit(DATA)
    assert "max_unknown" in str(error.value)


def test_the_share_is_an_option(make: Callable[..., list[Any]]) -> None:
    with pytest.warns(DataWarning, match="found 3 of 4"):
        rk.Pipeline(make([101, 9991, 9992, 9993], max_unknown=1.0)).fit(DATA)
    with pytest.raises(DataError, match="found 1 of 4"):
        rk.Pipeline(make([101, 102, 103, 9993], max_unknown=0.0)).fit(DATA)
    with pytest.raises(ConfigurationError, match="max_unknown=2"):
        make([101], max_unknown=2)


def test_known_ones_say_nothing(make: Callable[..., list[Any]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rk.Pipeline(make([101, 102, 103])).fit(DATA)


@pytest.mark.parametrize("places", [[1, 2], {1, 2}, "item-1", {}, None])
def test_pinned_without_a_place_for_each_item_is_a_typed_error(places):
    with pytest.raises(ConfigurationError, match="'item-7': 1"):
        rules.Pinned(places)


@pytest.mark.parametrize("rule", [rules.Blocked, rules.Allowed])
@pytest.mark.parametrize(
    "value", ["sku-1", b"sku-1", None, 7, {"sku-1": True}], ids=lambda value: type(value).__name__
)
def test_a_live_list_that_is_set_to_no_list_lets_nothing_pass(rule, value):
    log = {"user": ["a", "b"], "item": ["sku-1", "sku-2"], "timestamp": [1, 2]}
    live = Live(["sku-1"])
    pipeline = rk.Pipeline([candidates.Popular(half_life=None), rule(live)]).fit(rk.Dataset.from_frame(log))
    assert len(pipeline.recommend([None], k=2, now=9).ids(0)) == 1
    live.set(value)
    shown = pipeline.recommend([None], k=2, now=9)
    assert shown.ids(0) == []
    assert "found the live list set to" in shown.reasons[0][0]
