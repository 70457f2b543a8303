"""Features alone: rows of users and items, as of a time."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import features, rankers
from recokit.errors import DataError

DATA = rk.testing.toy_dataset()
USERS, ITEMS = DATA.user_ids.ids.tolist(), DATA.item_ids.ids.tolist()
ROWS = [(USERS[0], ITEMS[3]), (USERS[5], ITEMS[1]), ("nobody", ITEMS[2]), (None, ITEMS[2])]


def test_standard_by_name() -> None:
    found = features.Standard().transform(DATA, ROWS, at=DATA.until)
    assert found.shape == (4, len(found.names))
    assert found.dtype == np.float32
    assert "item_decayed_1d" in found.names or any(name.startswith("item_") for name in found.names)
    assert found[:2].names == found.names
    assert found[:, 0].names == ()
    assert set(found.to_dict()) == set(found.names)


def test_as_of_a_time_counts_what_was_before() -> None:
    block = features.ItemActivity(windows=("30D",))
    log = {"user": [1, 2, 3], "item": [7, 7, 8], "timestamp": [100.0, 200.0, 300.0]}
    rows = {"user_id": [1, 1], "item_id": [7, 8]}
    name = block.names.index("item_count_30d")
    assert block.transform(log, rows, at=200.0)[:, name].tolist() == [1, 0]
    assert block.transform(log, rows, at=[100.0, 301.0])[:, name].tolist() == [0, 1]
    assert block.transform(log, rows)[:, name].tolist() == [2, 1]


def test_the_same_as_in_a_pipeline() -> None:
    block = features.Assemble([features.ItemActivity(), features.UserItem()])
    alone = block.transform(DATA, [(USERS[4], item) for item in ITEMS[:6]], at=DATA.until)
    pipeline = rk.Pipeline([rk.candidates.Popular(), block]).fit(DATA)
    batch = pipeline.candidates(pipeline.requests([USERS[4]], now=DATA.until, items=[ITEMS[:6]]))
    order = np.argsort(batch.item)
    places = [alone.names.index(name) for name in batch.feature_names if name in alone.names]
    assert np.allclose(batch.features[order][:, : len(places)], np.asarray(alone)[:, places], equal_nan=True)


def test_rows_of_frames_go_into_a_ranker() -> None:
    frame = {"user": [USERS[i % 9] for i in range(40)], "item": [ITEMS[i % 7] for i in range(40)]}
    matrix = features.ItemActivity().transform(DATA, frame)
    ranker = rankers.LogisticRegression().fit(matrix, np.arange(40) % 2)
    assert ranker.feature_names_ == matrix.names or set(ranker.feature_names_) == set(matrix.names)
    assert ranker.score(matrix[:3]).shape == (3,)


@pytest.mark.parametrize("rows", [["user-1"], [(1, 2, 3)], np.arange(4), 5])
def test_rows_that_are_no_pairs(rows: object) -> None:
    with pytest.raises(DataError, match=r"found .*expected"):
        features.ItemActivity().transform(DATA, rows)
