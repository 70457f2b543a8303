"""Conditions: what they mean, against Python's own evaluation; what is unknown; what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.data import Candidates, Dataset, Requests, Schema
from recokit.errors import ConfigurationError, ContractError, DataError, NotFittedError
from recokit.rules import FromFunction, Where
from recokit.testing import toy_dataset


def world() -> Schema:
    items = {
        "item_id": [1, 2, 3, 4],
        "price": [10.0, 20.0, None, 0.0],
        "min_age": [18.0, 0.0, 12.0, None],
        "recalled": [False, True, False, None],
        "region": ["EU", "US", "EU", None],
    }
    users = {"user_id": [1, 2], "age": [16.0, None], "region": ["EU", "ASIA"]}
    return Dataset.from_frame(None, items=items, users=users).schema


SCHEMA = world()


def kept(condition: str, user: int = 1, **context: Any) -> list[int]:
    columns = {name: np.array([value], object) for name, value in context.items()}
    requests = Requests.build(np.array([user]), now=100.0, k=5, columns=columns)
    batch = Candidates.from_lists([[1, 2, 3, 4]], requests=requests)
    return batch.item[Where(condition).bind(SCHEMA).keep(batch)].tolist()


@pytest.mark.filterwarnings("ignore:found .* never is:recokit.errors.DataWarning")
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("item.price < 15", [1, 4]),
        ("not item.price < 15", [2]),  # unknown prices are out either way
        ("5 < item.price <= 20", [1, 2]),
        ("item.price != 10", [2, 4]),
        ("not item.recalled", [1, 3]),
        ("item.recalled", [2]),
        ("item.recalled == False", [1, 3]),
        ("item.recalled or item.price > 5", [1, 2]),
        ("item.recalled or True", [1, 2, 3, 4]),
        ("item.recalled and False", []),
        ("not (item.recalled and item.price > 0)", [1, 3, 4]),  # False and unknown is False
        ("item.region == 'EU'", [1, 3]),
        ("item.region != 'EU'", [2]),
        ("item.region in ('US', 'ASIA')", [2]),
        ("item.region not in ['US', 'ASIA']", [1, 3]),
        ("item.region == 'MARS'", []),
        ("item.region == user.region", [1, 3]),
        ("item.min_age <= user.age", [2, 3]),
        ("item.price in (10, 0)", [1, 4]),
        ("100 / item.price >= 10", [1]),  # divided by zero is unknown
        ("-item.price + 2 * item.min_age > 0", [1]),
        ("item.price - 5 > request.k", [2]),
        ("request.now == 100 and item.price > 5", [1, 2]),
        ("1 < 2", [1, 2, 3, 4]),
        ("2 < 1", []),
    ],
)
def test_conditions_mean_what_they_say(condition: str, expected: list[int]) -> None:
    assert kept(condition) == expected


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ("item.min_age <= request.age", {"age": 13}, [2, 3]),
        ("item.min_age <= request.age", {"age": None}, []),
        ("item.min_age <= request.age", {"age": float("nan")}, []),
        ("item.region == request.region", {"region": "US"}, [2]),
        ("item.region == request.region", {"region": None}, []),
        ("request.region in ('US', 'EU') and item.region == request.region", {"region": "EU"}, [1, 3]),
        ("item.price < request.budget or request.vip", {"budget": 15.0, "vip": False}, [1, 4]),
        ("item.price < request.budget or request.vip", {"budget": 15.0, "vip": True}, [1, 2, 3, 4]),
    ],
)
def test_requests_bring_columns_of_their_own(condition: str, context: Any, expected: list[int]) -> None:
    assert kept(condition, **context) == expected


def test_a_list_of_one_value_is_a_list() -> None:
    columns = Where("item.price in (5,)"), Where("item.price not in (5,)")
    assert kept("item.price in (5,)") == kept("item.price == 5")
    assert kept("item.price not in (5,)") == kept("item.price != 5")
    assert all(rule.requires == ("item.price",) for rule in columns)


def test_an_unknown_user_knows_nothing_of_itself() -> None:
    assert kept("item.min_age <= user.age", user=0) == []
    assert kept("item.min_age <= user.age", user=2) == []


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "   ",
        5,
        "item.price <",
        "item.price < 5; import os",
        "__import__('os').system('true')",
        "item.price.real > 1",
        "item['price'] > 1",
        "price > 5",
        "items.price > 5",
        "lambda: 1",
        "[x for x in (1, 2)]",
        "item.price if True else 0",
        "item.price ** 99 > 1",
        "item.price is None",
        "(1, 2)",
        "item.price < (1, 2)",
        "item.price in 5",
        "item.price in (item.min_age, 2)",
        "item.region in ('EU', 5)",
        "item.price in ()",
        "f'{item.price}' == '5'",
        "item.price < 5j",
        "item.price == b'x'",
        "item.price == None",
        "(item.price := 5) > 1",
        "not " * 240 + "item.price > 1" + " " * 900,
        "-" * 900 + "1 > 0",
        "(" * 300 + "1" + ")" * 300,
        "item.price > 1\x00",
    ],
)
def test_nothing_but_comparisons_is_let_in(condition: Any) -> None:
    with pytest.raises(ConfigurationError):
        Where(condition)


def test_a_condition_has_a_thousand_characters_and_fifty_levels_at_most() -> None:
    condition = "item.price > 1"
    Where(condition.ljust(1_000))
    with pytest.raises(ConfigurationError, match="1001 characters; expected at most 1000"):
        Where(condition.ljust(1_001))
    # A column under a comparison under 49 negations stands on level 50 below the first.
    Where("not " * 49 + condition)
    with pytest.raises(ConfigurationError, match="nested deeper than 50"):
        Where("not " * 50 + condition)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("item.prise < 5", "found no item column 'prise'; did you mean 'price'"),
        ("user.agee < 5", "found no user column 'agee'; did you mean 'age'"),
        ("item.region < 5", "found text in"),
        ("item.region < 'EU'", "found text in"),
        ("item.price == 'EU'", "found text in"),
        ("item.region in (1, 2)", "found text in"),
        ("not item.region", "found text in"),
        ("item.region and item.price > 5", "found text in"),
        ("item.region + 1 > 5", "found text in"),
        ("'EU' and item.price > 5", "found text in"),
    ],
)
def test_columns_are_checked_when_bound(condition: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Where(condition).bind(SCHEMA)


def test_what_requests_lack_is_said() -> None:
    with pytest.raises(ConfigurationError, match="found no context column 'age'"):
        kept("item.min_age <= request.age")
    with pytest.raises(DataError, match="expected numbers"):
        kept("item.min_age <= request.age", age="old")
    assert Where("item.min_age <= request.age and request.now > user.age").requires == (
        "item.min_age",
        "context.age",
        "user.age",
    )
    with pytest.raises(NotFittedError, match="Where before bind"):
        Where("item.price > 5").keep(Candidates.from_lists([[1]]))


LEAVES = st.sampled_from(["a", "b", "c", "1 < 2", "2 < 1", "item.x > 3", "item.x <= item.y", "item.x == 2"])
CONDITIONS = st.recursive(
    LEAVES.map(lambda leaf: leaf if " " in leaf else f"item.{leaf}"),
    lambda part: st.one_of(
        part.map(lambda one: f"not ({one})"),
        st.tuples(part, st.sampled_from(["and", "or"]), part).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(condition=CONDITIONS, seed=st.integers(0, 10**6))
def test_a_kept_item_would_be_kept_whatever_the_unknown_values_are(condition: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 12
    columns: dict[str, Any] = {name: rng.choice([0.0, 1.0, np.nan], n) for name in "abc"}
    columns |= {name: rng.choice([1.0, 2.0, 4.0, np.nan], n) for name in "xy"}
    data = Dataset.from_frame(None, items={"item_id": list(range(1, n + 1)), **columns})
    batch = Candidates.from_lists([list(range(1, n + 1))])
    answer = Where(condition).bind(data.schema).keep(batch)
    plain = condition.replace("item.", "item_")
    for i in range(n):
        truths = set()
        for filled in _fillings(columns, i):
            truths.add(bool(eval(plain, {}, {f"item_{name}": value for name, value in filled.items()})))
        # Kept only where every filling agrees; and where all is known, kept exactly where it holds.
        if answer[i]:
            assert truths == {True}
        elif not any(np.isnan(column[i]) for column in columns.values()):
            assert truths == {False}


def _fillings(columns: dict[str, Any], i: int) -> list[dict[str, float]]:
    fillings: list[dict[str, float]] = [{}]
    for name, column in columns.items():
        options = (
            [column[i]] if not np.isnan(column[i]) else ([0.0, 1.0] if name in "abc" else [1.0, 2.0, 4.0])
        )
        fillings = [{**filled, name: option} for filled in fillings for option in options]
    return fillings


def test_a_condition_with_requests_is_evaluated_for_each_row() -> None:
    data = toy_dataset()
    requests = Requests.build(np.array([1, 2]), columns={"budget": np.array([5.0, 50.0])})
    batch = Candidates.from_lists([[1, 2, 3], [1, 2, 3]], requests=requests)
    price = data.schema.item_column("price")[[1, 2, 3]]
    answer = Where("item.price < request.budget").bind(data.schema).keep(batch)
    assert answer.tolist() == [*(price < 5).tolist(), *(price < 50).tolist()]
    # One row alone answers the same.
    assert Where("item.price < request.budget").bind(data.schema).keep(
        batch.take_rows(np.array([1]))
    ).tolist() == (answer[3:].tolist())


class TestFromFunction:
    def test_a_function_is_a_filter(self) -> None:
        rule = FromFunction(lambda candidates: candidates.item < 3, requires=["item.price"])
        assert rule.keep(Candidates.from_lists([[1, 2, 3]])).tolist() == [True, True, False]
        assert tuple(rule.requires) == ("item.price",)
        with pytest.raises(ConfigurationError, match="expected a function"):
            FromFunction("item.price > 5")  # type: ignore[arg-type]

    def test_an_answer_that_is_no_mask_is_a_contract_error(self) -> None:
        import recokit as rk

        pipeline = rk.Pipeline(
            [rk.candidates.Popular(half_life=None), FromFunction(lambda candidates: candidates.score)]
        )
        with pytest.raises(ContractError, match="expected bool"):
            pipeline.fit(toy_dataset()).recommend([None], now=2e9)


def test_schema_is_not_kept_in_the_bound_rule() -> None:
    bound = Where("item.min_age <= request.age").bind(replace(SCHEMA))
    assert list(bound.columns_) == ["item.min_age"]
