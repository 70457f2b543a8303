"""ExposureGap: exposure of groups beside what they merit, against numbers counted by hand and by loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recokit.data import Dataset, Vocabulary
from recokit.errors import ConfigurationError, DataError
from recokit.evaluation import evaluate, evaluate_items
from recokit.metrics import ExposureGap, MatchedLists, Stream, exposure_by_group, exposure_gap, parse
from recokit.result import Recommendations

SECOND = 1 / math.log2(3)
SELLER = np.array(["", "ann", "ann", "bob"])


@pytest.mark.parametrize(
    ("lists", "truths", "gap"),
    [
        ([[1, 3]], [[1]], SECOND / (1 + SECOND)),  # all of bob's place would have to be ann's
        ([[1, 2]], [[3]], 1.0),
        ([[1], [3]], [[1], [3]], 0.0),
        ([[1], [3]], [[2], [3]], 0.0),  # it is groups that count, not items
        ([[1], []], [[1], [3]], 0.5),  # whoever has no list still says what is due
        (
            [[1, 1]],
            [[3, 3, 1]],
            0.5,
        ),  # a relevant item that stands twice is relevant once, shown twice it is seen twice
    ],
)
def test_by_hand(lists, truths, gap):
    assert ExposureGap(5, by=SELLER)(lists, truths) == pytest.approx(gap)


def test_only_the_first_k_places_are_looked_at():
    assert ExposureGap(1, by=SELLER)([[1, 3, 3]], [[1]]) == 0.0
    assert ExposureGap(2, by=SELLER)([[1, 3, 3]], [[1]]) == pytest.approx(SECOND / (1 + SECOND))


def test_the_catalogue_as_merit_needs_no_truth():
    metric = ExposureGap(5, by=SELLER, merit="items")
    assert metric([[1, 3]]) == pytest.approx(2 / 3 - 1 / (1 + SECOND))
    assert metric([[3]]) == pytest.approx(2 / 3)
    assert parse(ExposureGap(5, by="seller", merit="items").name).merit == "items"
    assert "catalogue" in metric.definition and "relevant" in ExposureGap(5, by=SELLER).definition


@pytest.mark.parametrize(
    ("lists", "truths"), [([[]], [[1]]), ([[1]], [[]]), ([], []), ([[0]], [[1]]), ([[1]], [[0]])]
)
def test_without_exposure_or_merit_there_is_no_value(lists, truths):
    assert math.isnan(ExposureGap(5, by=SELLER)(lists, truths))


def made_up(seed, n=40):
    rng = np.random.default_rng(seed)
    lists, truths = (
        [rng.permutation(13)[: rng.integers(0, 9)].astype(np.int64) for _ in range(n)] for _ in range(2)
    )
    return rng.integers(0, 4, 13), lists, truths


@pytest.mark.parametrize("seed", range(3))
def test_against_loops_and_in_chunks(seed):
    group, lists, truths = made_up(seed)
    shown, due = np.zeros(4), np.zeros(4)
    for row, relevant in zip(lists, truths, strict=True):
        for place, item in enumerate(row[:5].tolist(), 1):
            shown[group[item]] += (item > 0) / math.log2(1 + place)
        for item in relevant[relevant > 0].tolist():
            due[group[item]] += 1
    expected = abs(shown / shown.sum() - due / due.sum()).sum() / 2
    assert 0 < expected < 1
    metric = ExposureGap(5, by=group)
    assert metric(lists, truths) == pytest.approx(expected)
    stream = Stream([metric])
    for start in range(0, len(lists), 7):
        offsets = [np.cumsum([0, *map(len, part[start : start + 7])]) for part in (lists, truths)]
        values = [np.concatenate(part[start : start + 7]) for part in (lists, truths)]
        stream.add(MatchedLists.from_arrays(offsets[0], values[0], offsets[1], values[1]))
    assert stream.report()[metric.name].value == pytest.approx(expected)


def test_it_sums_up_what_the_functions_say_of_each_group():
    group = np.array([0, 1, 1, 2])
    lists, merit = [[1, 3], [2]], np.array([1.0, 1.0])
    gaps = exposure_gap(exposure_by_group(lists, group)[1:], merit)
    assert ExposureGap(9, by=group)(lists, [[1], [3]]) == pytest.approx(
        abs(gaps * merit / merit.sum()).sum() / 2
    )


@pytest.fixture
def data() -> tuple[Dataset, Dataset]:
    log = {
        "user_id": ["u1", "u2", "u1", "u1", "u2"],
        "item_id": ["a", "b", "a", "c", "b"],
        "timestamp": [1.0, 2.0, 11.0, 12.0, 13.0],
    }
    items = {"item_id": ["a", "b", "c"], "seller": ["ann", "ann", "bob"]}
    return Dataset.from_frame(log, items=items).split_at(10.0)


def recommended(items: Vocabulary) -> Recommendations:
    return Recommendations(
        users=np.array(["u1", "u2"], object),
        offsets=np.array([0, 2, 3]),
        item=items.encode(["c", "a", "c"]),
        score=np.ones(3, np.float32),
        columns={},
        sources=((),) * 3,
        status=np.zeros(2, np.int64),
        reasons=((),) * 2,
        item_ids=items,
    )


def test_evaluate_binds_the_column_and_tells_segments_apart(data):
    _, test = data
    made, name = recommended(test.item_ids), "ExposureGap@2:seller"
    by = {"u1": "x", "u2": "y"}
    found = evaluate(made, test, [name, "ExposureGap@2:seller,merit=items"], by=by, chunk_size=1)
    # Two of three relevant items are ann's; of the exposure she has place 2 of the first list.
    assert found[name].mean == pytest.approx(2 / 3 - SECOND / (2 + SECOND))
    assert found[name, "x"].mean == pytest.approx(1 / 2 - SECOND / (1 + SECOND))
    assert found[name, "y"].mean == 1.0
    assert found["ExposureGap@2:seller,merit=items"].mean == pytest.approx(2 / 3 - SECOND / (2 + SECOND))
    assert math.isnan(found[name].low) and "share of exposure" in str(found)


def test_among_some_items_only_these_have_exposure_and_merit(data):
    history, test = data
    made = recommended(test.item_ids)
    metrics = ["ExposureGap@2:seller", "ExposureGap@2:seller,merit=items", "Gini@2"]
    kinds = np.array([None, "first", "second", "second"], object)
    found = evaluate_items(made, test, metrics, history=history, by=kinds)
    assert found["first"]["ExposureGap@2:seller"].mean == 0.0  # "a" alone
    # "b" and "c" are relevant once each, and only "c" is shown.
    assert found["second"]["ExposureGap@2:seller"].mean == pytest.approx(0.5)
    assert found["second"]["ExposureGap@2:seller,merit=items"].mean == pytest.approx(0.5)
    assert found["second"]["Gini@2"].mean == pytest.approx(0.5)


def test_what_is_no_group_is_refused():
    with pytest.raises(ConfigurationError, match="'ExposureGap@10:category'"):
        parse("ExposureGap@10")
    with pytest.raises(ConfigurationError, match="without item columns"):
        parse("ExposureGap@10:seller")([[1]], [[1]])
    with pytest.raises(ConfigurationError, match="expected a label for each item"):
        ExposureGap(10, by=np.eye(3))
    with pytest.raises(ConfigurationError, match="found merit='clicks'"):
        ExposureGap(10, by="seller", merit="clicks")
    with pytest.raises(DataError, match="1 lists and 2 truths"):
        ExposureGap(10, by=SELLER)([[1]], [[1], [2]])
