"""Columns of today's state, which live rules read, are no features of training rows from the past."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import Dataset


@pytest.fixture(scope="module")
def shop() -> Dataset:
    rng = np.random.default_rng(5)
    log = {
        "user_id": rng.integers(1, 30, 600),
        "item_id": rng.integers(1, 40, 600),
        "timestamp": np.sort(rng.uniform(0, 40 * 86400, 600)),
    }
    items = {
        "item_id": [*range(1, 40)],
        "qty": rng.integers(0, 50, 39),
        "depot": rng.integers(0, 50, 39),
        "price": rng.uniform(1, 9, 39),
    }
    return Dataset.from_frame(log, items=items)


def fitted(shop: Dataset, block: Any, *live: Any) -> rk.Pipeline:
    stages = [candidates.Popular(half_life=None), *live, block, rankers.LogisticRegression()]
    return rk.Pipeline(stages).fit(shop, label_window="7D")


QTY = rules.InStock("qty")


@pytest.mark.parametrize("after", [False, True])
def test_standard_leaves_them_out_and_lists_them(shop: Dataset, after: bool) -> None:
    stages = [candidates.Popular(half_life=None), features.Standard(), rankers.LogisticRegression()]
    stages.insert(3 if after else 1, QTY)
    standard = rk.Pipeline(stages).fit(shop, label_window="7D")["standard"]
    assert "item_qty" not in standard.names and {"item_depot", "item_price"} <= {*standard.names}
    assert standard.left_out_["item_qty"] == "today's state: a live rule reads item.qty"


def test_without_such_a_rule_they_are_features(shop: Dataset) -> None:
    assert "item_qty" in fitted(shop, features.Standard()).prefix("logistic_regression")["standard"].names
    by_array = rules.InStock(np.ones(40))
    assert "item_qty" in fitted(shop, features.Standard(), by_array)["standard"].names


def test_two_rules_and_a_rule_of_ones_own(shop: Dataset) -> None:
    class Delivers:
        live = True
        requires = ("item.depot",)

        def keep(self, candidates: Any) -> np.ndarray:
            return np.ones(len(candidates), bool)

    names = fitted(shop, features.Standard(), QTY, Delivers())["standard"].names
    assert "item_price" in names and not {"item_qty", "item_depot"} & {*names}


def test_all_columns_of_items_are_but_these(shop: Dataset) -> None:
    assert fitted(shop, features.Item(), QTY)["item"].names == ("item_depot", "item_price")
    assert fitted(shop, features.Item(["qty"]), QTY)["item"].names == ("item_qty",)


def test_the_model_stays_the_same_when_saved_and_when_stock_is_swapped(shop: Dataset, tmp_path: Any) -> None:
    pipeline = fitted(shop, features.Standard(), QTY)
    pipeline.save(tmp_path / "model")
    swapped = pipeline.replace("in_stock", rules.InStock(np.ones(40)))
    for served in (rk.Pipeline.load(tmp_path / "model"), swapped, pipeline.with_events(shop)):
        assert served["standard"].names == pipeline["standard"].names
        assert served.recommend([1], k=3, now=1e9).ids(0)
