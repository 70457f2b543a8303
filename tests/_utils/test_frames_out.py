"""Frames that go out, with whatever library is there."""

import sys

import numpy as np
import pytest

import recokit as rk
from recokit._utils.frames_out import to_frame
from recokit.errors import ConfigurationError


def block(monkeypatch, *names):
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


COLUMNS = {"id": np.array([7, None], object), "score": np.array([0.5, 1.0])}


def test_the_first_library_that_is_installed(monkeypatch):
    assert type(to_frame(COLUMNS)).__module__.startswith("pandas")
    block(monkeypatch, "pandas")
    assert type(to_frame(COLUMNS)).__module__.startswith("polars")
    block(monkeypatch, "polars")
    assert to_frame(COLUMNS).to_pylist() == [{"id": 7, "score": 0.5}, {"id": None, "score": 1.0}]
    block(monkeypatch, "pyarrow")
    assert to_frame(COLUMNS) == [{"id": 7, "score": 0.5}, {"id": None, "score": 1.0}]
    assert to_frame({"a": np.array([], np.int64)}) == []


def test_a_library_that_is_not_there_is_named(monkeypatch):
    block(monkeypatch, "polars")
    with pytest.raises(ConfigurationError, match=r"found no polars.*pip install polars"):
        to_frame(COLUMNS, "polars")
    with pytest.raises(ConfigurationError, match="backend='excel'"):
        to_frame(COLUMNS, "excel")


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_ids_stay_integers_beside_a_missing_one(backend):
    big = 2**53 + 1
    frame = to_frame({"id": np.array([big, None], object)}, backend)
    first = frame["id"][0]
    assert (first.as_py() if backend == "pyarrow" else int(first)) == big


def test_recommendations_of_an_anonymous_row_keep_ids():
    data = rk.Dataset.from_frame({"user": [1, 2, 2], "item": [5, 5, 6], "timestamp": [1, 2, 3]})
    answer = rk.Pipeline([rk.candidates.Popular()]).fit(data).recommend([1, None], k=2)
    frame = answer.to_frame("pandas")
    assert str(frame["user_id"].dtype) == "Int64" and frame["user_id"].tolist()[:2] == [1, 1]


def test_nothing_that_goes_out_needs_pandas(monkeypatch):
    block(monkeypatch, "pandas", "polars", "pyarrow")
    data = rk.testing.toy_dataset()
    train, test = data.split_at(data.until - 3 * 86_400)
    answer = rk.Pipeline([rk.candidates.Popular()]).fit(train).recommend(["user-1"], k=2)
    assert [row["item_id"] for row in answer.to_frame()] == answer.ids(0)
    found = rk.evaluate(rk.Pipeline([rk.candidates.Popular()]).fit(train), test, ["NDCG@10"], history=train)
    assert found.to_frame()[0]["metric"] == "NDCG@10"
