"""Metrics of lists and truth in every form that users hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import recokit as rk
from recokit import metrics
from recokit.errors import ConfigurationError, DataError

LISTS = {"ann": ["a", "b", "c"], "bob": ["c", "a", "d"], "cat": ["d", "b", "a"]}
TRUTH = {"ann": ["b"], "bob": ["d", "x"], "cat": ["e"]}
LONG = {
    "user_id": [user for user, items in LISTS.items() for _ in items],
    "item_id": [item for items in LISTS.values() for item in items],
    "rank": [1, 2, 3] * 3,
}
LONG_TRUTH = {"user": ["ann", "bob", "bob", "cat"], "item": ["b", "d", "x", "e"]}
NAMES = ["NDCG@3", "Recall@2", "MRR@3", "HR@3"]


def values(report: Any) -> list[float]:
    return [figure.value for figure in report.values()]


EXPECTED = values(
    metrics.report(metrics.MatchedLists.from_lists([*LISTS.values()], [*TRUTH.values()]), NAMES)
)


@pytest.mark.parametrize(
    ("lists", "truth"),
    [
        (LISTS, TRUTH),
        (LONG, TRUTH),
        (LISTS, LONG_TRUTH),
        (pl.DataFrame(LONG), pl.DataFrame(LONG_TRUTH)),
        (pl.DataFrame(LONG).to_pandas(), TRUTH),
        ([*LISTS.values()], [*TRUTH.values()]),
        (np.array([*LISTS.values()]), [*TRUTH.values()]),
        ({user: dict(zip(items, (9.0, 5.0, 1.0), strict=True)) for user, items in LISTS.items()}, TRUTH),
        (LISTS, {user: dict.fromkeys(items, 1.0) for user, items in TRUTH.items()}),
        ({user: np.array(items) for user, items in LISTS.items()}, TRUTH),
    ],
)
def test_every_form_is_the_same(lists: Any, truth: Any) -> None:
    assert np.allclose(values(metrics.evaluate(lists, truth, NAMES)), EXPECTED)


def test_own_column_names_gains_and_one_metric() -> None:
    frame = {"uid": ["ann", "ann"], "movie": ["a", "b"], "score": [0.1, 0.9]}
    found = metrics.evaluate(
        frame, {"ann": {"b": 3.0, "c": 1.0}}, "NDCG@2", columns={"user_id": "uid", "item_id": "movie"}
    )
    assert 0.5 < found["NDCG@2"].value < 1.0
    assert metrics.evaluate({"ann": []}, {"ann": ["b"], "eve": ["b"]}, "Recall@2")["Recall@2"].n == 2


def test_lists_of_a_source_or_a_pipeline() -> None:
    source = rk.candidates.Popular().fit({"user": ["u", "v"], "item": ["a", "b"], "timestamp": [1, 2]})
    found = metrics.evaluate(source.recommend(["u", "v"], 2), {"u": ["a"], "v": ["z"]}, "Recall@2")
    assert found["Recall@2"].value == 0.5


@pytest.mark.parametrize(
    ("lists", "truth", "message"),
    [
        (LISTS, [["b"]], "found truth in order, and lists by user"),
        ([["a"]], TRUTH, "found lists in order, and truth by user"),
        ("recs.csv", TRUTH, "found lists of type str"),
        (LISTS, None, "found truth of type NoneType"),
        ({"ann": "abc"}, TRUTH, "found 'abc' of user 'ann'"),
        ({"user_id": ["ann"], "product": ["b"]}, TRUTH, "found"),
    ],
)
def test_what_is_neither(lists: Any, truth: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        metrics.evaluate(lists, truth, NAMES)


def test_unknown_metric() -> None:
    with pytest.raises(ConfigurationError, match="NDCG"):
        metrics.evaluate(LISTS, TRUTH, ["NDGC@3"])
