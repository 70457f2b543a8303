"""Rules compare item columns as they were given: nothing that differs is equal because a float is short of digits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rules
from recokit.data import Candidates, Dataset, Requests
from recokit.errors import ConfigurationError, DataError

ITEMS = [*range(1, 9)]
SELLERS = [100_000_000 + item for item in ITEMS]
EANS = [4_006_381_333_930 + item for item in ITEMS]
HUGE = [2**53 + item for item in ITEMS]
LAUNCHED = [1_700_000_000 + 100 * item for item in ITEMS]
CENTS = [1_999_999_990 + item for item in ITEMS]


def data(**columns: Any) -> Dataset:
    return Dataset.from_frame(None, items={"item_id": ITEMS, **columns})


def kept(dataset: Dataset, condition: str, now: float = 0.0, **context: Any) -> list[int]:
    columns = {name: np.asarray([value]) for name, value in context.items()}
    requests = Requests.build(np.array([0]), now=now, columns=columns)
    batch = Candidates.from_lists([ITEMS], requests=requests)
    return batch.item[rules.Where(condition).bind(dataset.schema).keep(batch)].tolist()


@pytest.mark.parametrize(
    "values",
    [
        SELLERS,
        EANS,
        HUGE,
        CENTS,
        LAUNCHED,
        np.array(SELLERS, np.float64),
        [float(value) for value in SELLERS],
        [Decimal(value) for value in SELLERS],
        [19.99 + item for item in ITEMS],
        [0.1 * item for item in ITEMS],
    ],
    ids=["sellers", "eans", "huge", "cents", "epochs", "float64", "floats", "decimals", "prices", "tenths"],
)
def test_each_value_equals_itself_only(values: Any) -> None:
    dataset = data(value=values)
    wanted = values[3] if not isinstance(values[3], Decimal) else int(values[3])
    assert kept(dataset, f"item.value == {wanted!r}".replace("np.float64(", "").replace(")", "")) == [4]
    text = repr(wanted).replace("np.float64(", "").replace(")", "")
    assert kept(dataset, f"item.value != {text}") == [1, 2, 3, 5, 6, 7, 8]
    assert kept(dataset, f"item.value not in [{text}]") == [1, 2, 3, 5, 6, 7, 8]
    for rule in (rules.MaxPerGroup("value", 1, hard=True), rules.OnePer("value")):
        cap = rule.bind(dataset.schema).limit(Candidates.from_lists([ITEMS]))[0]
        assert len(set(cap.take(np.arange(len(cap))).group.tolist())) == len(ITEMS)


@pytest.mark.parametrize("values", [SELLERS, EANS, HUGE])
@pytest.mark.parametrize("categorical", [(), ("value",)])
def test_a_request_names_a_whole_number(values: list[int], categorical: tuple[str, ...]) -> None:
    items = {"item_id": ITEMS, "value": values}
    dataset = Dataset.from_frame(None, items=items, categorical=categorical)
    assert kept(dataset, "item.value == request.value", value=values[5]) == [6]
    assert kept(dataset, "item.value != request.value", value=values[5]) == [1, 2, 3, 4, 5, 7, 8]
    assert kept(dataset, f"item.value in [{values[0]}, {values[7]}]") == [1, 8]


def test_missing_values_stay_unknown() -> None:
    dataset = data(value=[None, *HUGE[1:]], other=[None, *SELLERS[1:]])
    assert kept(dataset, f"item.value != {HUGE[3]}") == [2, 3, 5, 6, 7, 8]
    assert kept(dataset, f"item.other != {SELLERS[3]}") == [2, 3, 5, 6, 7, 8]


def test_seconds_count() -> None:
    dataset = data(launched=LAUNCHED)
    assert kept(dataset, "request.now - item.launched >= 900", now=LAUNCHED[3] + 900.0) == [1, 2, 3, 4]
    assert kept(dataset, "request.now - item.launched >= 900", now=LAUNCHED[3] + 899.0) == [1, 2, 3]


def test_a_user_column_too() -> None:
    users = {"user_id": [1, 2], "shop": [SELLERS[0], SELLERS[1]]}
    dataset = Dataset.from_frame(None, users=users, items={"item_id": ITEMS, "seller": SELLERS})
    batch = Candidates.from_lists([ITEMS], requests=Requests.build(np.array([2])))
    assert batch.item[rules.Where("item.seller == user.shop").bind(dataset.schema).keep(batch)].tolist() == [
        2
    ]


@pytest.mark.parametrize(
    ("condition", "columns"),
    [
        ("item.value > 5", {"value": HUGE}),
        ("item.value + 1 == 5", {"value": HUGE}),
        ("item.value or True", {"value": HUGE}),
        (f"item.value > {2**53 + 1}", {"value": SELLERS}),
        (f"item.value - {2**53 + 1} == 0", {"value": SELLERS}),
    ],
)
def test_what_cannot_be_exact_is_refused(condition: str, columns: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"whole numbers beyond 2\*\*53"):
        rules.Where(condition).bind(data(**columns).schema)


@pytest.mark.parametrize(
    ("dtype", "id_"), [(np.float32, 2**24 + 2), (np.float16, 2**12), (np.float64, 2.0**53)]
)
def test_ids_in_a_float_too_short_for_them_are_refused(dtype: Any, id_: float) -> None:
    log = {"user_id": np.array([1, id_], dtype), "item_id": [1, 2], "timestamp": [1.0, 2.0]}
    with pytest.raises(DataError, match="cannot tell ids of that size apart"):
        Dataset.from_frame(log)
    with pytest.raises(DataError, match="cannot tell ids of that size apart"):
        Dataset.from_frame(None, items={"item_id": np.array([1, id_], dtype)})


def test_ids_in_a_float_that_holds_them_pass() -> None:
    log = {"user_id": np.array([1, 2**24 - 1], np.float32), "item_id": [1, 2], "timestamp": [1.0, 2.0]}
    assert Dataset.from_frame(log).user_ids.ids.tolist() == [1, 2**24 - 1]


def test_in_a_pipeline_saved_and_loaded(tmp_path: Any) -> None:
    log = {"user_id": [1] * 8, "item_id": ITEMS, "timestamp": [*range(8)]}
    dataset = Dataset.from_frame(log, items={"item_id": ITEMS, "seller": SELLERS, "ean": HUGE})
    stages = [
        candidates.Popular(half_life=None),
        rk.Step(rules.Where("item.seller != 100000004"), name="seller"),
        rk.Step(rules.Where(f"item.ean != {HUGE[6]}"), name="ean"),
        rules.MaxPerGroup("seller", 1, hard=True),
    ]
    pipeline = rk.Pipeline(stages).fit(dataset)
    pipeline.save(tmp_path / "model")
    for served in (pipeline, rk.Pipeline.load(tmp_path / "model"), pipeline.with_events(dataset)):
        assert sorted(served.recommend([None], k=8, now=1e9).ids(0)) == [1, 2, 3, 5, 6, 8]


def test_features_read_the_same_numbers_as_float32() -> None:
    dataset = data(seller=SELLERS, price=[0.1 * item for item in ITEMS])
    block = features.Item().bind(dataset.schema).featurize(Candidates.from_lists([ITEMS]))
    assert block.dtype == np.float32
    assert np.allclose(block[:, 1], [0.1 * item for item in ITEMS])


def test_numbers_put_in_place_of_others_hold() -> None:
    table = data(price=[0.1 * item for item in ITEMS]).items
    doubled = replace(table, numeric=2 * table.numeric)
    assert np.array_equal(doubled.column("price"), doubled.numeric[:, 0], equal_nan=True)
    assert np.array_equal(table.column("price")[1:], [0.1 * item for item in ITEMS])
