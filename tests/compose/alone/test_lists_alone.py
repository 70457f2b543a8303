"""Rules and diversity over arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recokit import diversity, rules
from recokit.errors import ConfigurationError, DataError

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
SELLER = ["a", "a", "a", "b", "b", "c"]
VECTORS = np.array([[1, 0], [1, 0.01], [1, 0.02], [0, 1], [0, 1.0], [1, 1]])


def test_mmr_gives_positions_or_ids() -> None:
    found = diversity.MMR(0.5).select(SCORES, VECTORS, 3)
    assert found.tolist() == [0, 3, 1] or found.tolist()[:2] == [0, 3]
    ids = np.array(list("ABCDEF"))
    assert diversity.MMR(0.5).select(SCORES, VECTORS, 3, ids=ids).tolist() == ids[found].tolist()


@pytest.mark.parametrize(
    "objective",
    [diversity.MMR(0.6), diversity.MSD(0.6), diversity.DPP(0.6), diversity.FacilityLocation(0.6)],
    ids=repr,
)
def test_several_lists_are_those_of_each_alone_whatever_the_ids(objective: Any) -> None:
    scores = np.random.default_rng(0).random((4, 6))
    several = objective.select(scores, VECTORS, 3)
    ids = np.array([70, 3, 999, 4, 12, 1])
    for row, found in zip(scores, several, strict=True):
        assert objective.select(row, VECTORS, 3).tolist() == found.tolist()
        assert objective.select(row, VECTORS, 3, ids=ids).tolist() == ids[found].tolist()


def test_labels_and_rules_beside() -> None:
    found = diversity.MMR(0.5).select(SCORES, None, 3, columns={"seller": SELLER})
    assert {SELLER[place] for place in found} == {"a", "b", "c"}
    capped = diversity.MMR(1.0).select(
        SCORES, VECTORS, 3, columns={"seller": SELLER}, rules=[rules.MaxPerGroup("seller", 1, hard=True)]
    )
    assert capped.tolist() == [0, 3, 5]
    genres = diversity.Calibration("genre", 0.0, target={"x": 0.5, "y": 0.5})
    shown = genres.select(SCORES, None, 4, columns={"genre": ["x", "x", "x", "x", "y", "y"]})
    assert sum(place >= 4 for place in shown) == 2


def test_limits() -> None:
    assert rules.MaxPerGroup("seller", 1).select(SCORES, {"seller": SELLER}, 3).tolist() == [0, 3, 5]
    assert rules.MaxPerGroup("seller", 1).select(SCORES, {"seller": [1, 1, 1, 2, 2, 3]}, 3).tolist() == [
        0,
        3,
        5,
    ]
    assert rules.OnePer("seller", hard=True).select(SCORES, {"seller": SELLER}, 6).tolist() == [0, 3, 5]
    ids = np.array([30, 20, 10, 60, 50, 40])
    assert rules.MinPerGroup("seller", 1, only="c").select(
        SCORES, {"seller": SELLER}, 2, ids=ids
    ).tolist() == [
        30,
        40,
    ]
    assert rules.Pinned({40: 1}).select(SCORES, None, 2, ids=ids).tolist() == [40, 30]


def test_filters_and_boosts() -> None:
    price = [5.0, 50.0, 7.0, np.nan, 3.0, 90.0]
    assert rules.Where("item.price < 10").allows({"price": price}).tolist() == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]
    assert rules.Where("item.price < 10").select(SCORES, {"price": price}, 2).tolist() == [0, 2]
    names = ["a", "b", "c"]
    assert rules.Blocked(["b"]).allows(ids=names).tolist() == [True, False, True]
    assert rules.Allowed(["c", "a"]).select([3, 2, 1], ids=names).tolist() == ["a", "c"]
    assert rules.NotSeen().select([3, 2, 1], None, 3, ids=names, history=["a"]).tolist() == ["b", "c"]
    assert rules.NotOwned().select([3, 2, 1], None, 3, ids=names, history=["b"]).tolist() == ["a", "c"]
    assert rules.InStock({"a": 0, "b": 2, "c": 1}).select([3, 2, 1], None, 3, ids=names).tolist() == [
        "b",
        "c",
    ]
    where = rules.Where("item.country == request.country")
    shown = where.select([3, 2, 1], {"country": ["de", "fr", "fr"]}, context={"country": "fr"})
    assert shown.tolist() == [1, 2]


def test_no_candidates_and_excluded_ones() -> None:
    scores = np.array([1.0, -np.inf, 0.5])
    assert rules.MaxPerGroup("seller", 1).select(scores, {"seller": ["a", "b", "c"]}, 3).tolist() == [0, 2]
    assert rules.Blocked([0, 1, 2]).select(scores).tolist() == []


@pytest.mark.parametrize(
    ("scores", "columns", "k", "message"),
    [
        ([1.0, np.nan], {"seller": ["a", "b"]}, 2, "found score nan"),
        ([1.0, 2.0], {"seller": ["a"]}, 2, "found 1 values in column 'seller'"),
        (["x", "y"], {"seller": ["a", "b"]}, 2, "expected numbers"),
        (np.zeros((1, 2, 2)), {"seller": ["a", "b"]}, 2, "found scores of shape"),
        ([1.0, 2.0], {"sellr": ["a", "b"]}, 2, "found no item column 'seller'"),
        ([1.0, 2.0], {"seller": ["a", "b"]}, 0, "found k=0"),
    ],
)
def test_what_does_not_fit(scores: Any, columns: Any, k: int, message: str) -> None:
    with pytest.raises((DataError, ConfigurationError), match=message):
        rules.MaxPerGroup("seller", 1).select(scores, columns, k)


def test_what_an_objective_cannot_compare() -> None:
    with pytest.raises(DataError, match=r"found vectors of shape \(2, 2\); expected \(6, D\)"):
        diversity.MMR(0.5).select(SCORES, VECTORS[:2])
    with pytest.raises(ConfigurationError, match="found vectors for TopK"):
        diversity.TopK().select(SCORES, VECTORS)
    with pytest.raises(ConfigurationError, match="vectors"):
        diversity.MMR(0.5).select(SCORES)
    with pytest.raises(ConfigurationError, match="expected a filter"):
        rules.MaxPerGroup("seller", 1).allows({"seller": SELLER})
