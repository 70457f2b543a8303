import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import recokit as rk
from recokit.data import Candidates, Requests, Vocabulary
from recokit.errors import ConfigurationError, StageError
from recokit.result import Recommendations, source_names
from recokit.trace import Status, Trace

ITEMS = Vocabulary(["apple", "<pear>", "fig", "plum"])


def answer(lists, users, status=None, reasons=None, fingerprint="f", items=ITEMS, columns=None):
    part = Candidates.from_lists(lists, scores=[[1.0 / code for code in row] for row in lists])
    sources = (part.item % 4).astype(np.uint64)
    selected = Candidates(
        part.requests,
        part.offsets,
        part.row,
        part.item,
        part.score,
        sources,
        ("popular", "knn"),
        columns or {},
    )
    status = np.zeros(len(lists), np.int64) if status is None else np.array(status)
    trace = Trace(
        Requests.build(np.zeros(len(lists), np.int64)),
        (),
        status,
        reasons or ((),) * len(lists),
        0.0,
        np.inf,
        {},
        {},
        fingerprint,
        selected,
    )
    return Recommendations.from_candidates(selected, np.array(users, object), items, trace)


@pytest.fixture
def result():
    labels = {"labels": np.array(["sponsored,new", None, ""], object), "knn_rank": np.float32([1, np.nan, 3])}
    return answer(
        [[1, 3], [2], []], ["ann", None, "cid"], [0, 1, 3], ((), ("late",), ("nothing left",)), columns=labels
    )


def test_rows(result):
    assert len(result) == 3
    assert result.ids(0) == ["apple", "fig"]
    assert result.ids(-1) == []
    assert result.codes(1).tolist() == [2]
    assert result.scores(0).tolist() == pytest.approx([1, 1 / 3])
    assert result.sources == (("popular",), ("popular", "knn"), ("knn",))
    for row in (3, -4):
        with pytest.raises(IndexError, match="expected 0 to 2"):
            result.ids(row)
    assert repr(result).startswith("Recommendations(3 items for 3 users: ")


def test_records(result):
    first, second, third = result.to_records()
    assert first[0] == {
        "item_id": "apple",
        "score": 1.0,
        "rank": 1,
        "sources": ["popular"],
        "labels": ["sponsored", "new"],
    }
    assert first[1]["labels"] == []
    assert first[1]["rank"] == 2
    assert second[0]["rank"] == 1
    assert third == []
    assert type(first[0]["score"]) is float


def test_records_carry_why_an_item_is_there():
    why = {
        "reasons": np.array(["source.knn=1", "", "source.popular=2"], object),
        "explanation": np.array(["found by knn (place 1)", "", "found by popular (place 2)"], object),
    }
    found = answer([[1, 3], [2]], ["ann", "bob"], columns=why)
    records = [record for row in found.to_records() for record in row]
    frame = found.to_frame()
    for name, texts in why.items():
        assert [record[name] for record in records] == texts.tolist() == frame[name].tolist()
    json.dumps(records)


def test_arrays(result):
    arrays = result.to_arrays()
    assert arrays["user_id"].tolist() == ["ann", "ann", None]
    assert arrays["item_id"].tolist() == ["apple", "fig", "<pear>"]
    assert arrays["rank"].tolist() == [1, 2, 1]
    assert arrays["knn_rank"].dtype == np.float32


def test_an_annotation_does_not_hide_the_score():
    arrays = answer([[1]], ["ann"], columns={"score": np.array([9.0])}).to_arrays()
    assert arrays["score"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("backend", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table)]
)
def test_frames(result, backend, kind):
    frame = result.to_frame(backend)
    assert isinstance(frame, kind)
    columns = (
        frame.to_pydict() if backend == "pyarrow" else {name: frame[name].to_list() for name in frame.columns}
    )
    assert list(columns)[:4] == ["user_id", "item_id", "score", "rank"]
    assert columns["item_id"] == ["apple", "fig", "<pear>"]
    assert columns["rank"] == [1, 2, 1]
    assert columns["score"] == pytest.approx([1, 1 / 3, 0.5])


def test_polars_gets_real_types():
    ids = Vocabulary([10, 20])
    assert answer([[1, 2]], ["ann"], items=ids).to_frame("polars").schema["item_id"] == pl.Int64
    assert answer([[1, 2]], ["ann"]).to_frame("polars").schema["item_id"] == pl.String
    assert answer([[1, 2]], [7]).to_frame("polars").schema["user_id"] == pl.Int64


def test_unknown_backend(result):
    with pytest.raises(ConfigurationError, match="found backend='spark'"):
        result.to_frame("spark")


def test_frame_of_no_items():
    assert len(answer([[]], ["ann"]).to_frame("pandas")) == 0
    assert answer([[]], ["ann"]).to_records() == [[]]
    assert answer([], []).to_records() == []


def test_html_is_escaped_and_tells_why_a_list_is_empty(result):
    html = result._repr_html_()
    assert "&lt;pear&gt;" in html
    assert "<pear>" not in html
    assert "EMPTY: nothing left" in html
    assert "sponsored, new" in html
    assert "first 5" not in html
    assert "first 5 of 7 users" in answer([[1]] * 7, ["ann"] * 7)._repr_html_()


def test_raise_for_status(result):
    assert result.raise_for_status() is result
    failed = answer([[1], []], ["ann", "bob"], [0, Status.FAILED], ((), ("policy: boom",)))
    with pytest.raises(StageError, match="found 1 failed rows, the first 1: policy: boom"):
        failed.raise_for_status()


def test_concat_is_the_order_of_the_parts(result):
    other = answer([[4]], [5], [2], (("fallback",),))
    joined = Recommendations.concat([result, other])
    assert joined.to_records() == [*result.to_records(), *other.to_records()]
    assert joined.users.tolist() == ["ann", None, "cid", 5]
    assert joined.status.tolist() == [0, 1, 3, 2]
    assert joined.reasons[-1] == ("fallback",)
    np.testing.assert_array_equal(joined.columns["knn_rank"], np.float32([1, np.nan, 3, np.nan]))
    assert joined.columns["labels"].tolist()[-1] is None
    assert joined.columns["knn_rank"].dtype == np.float32
    assert len(joined.traces) == 2
    with pytest.raises(ConfigurationError, match="found 2 traces"):
        joined.trace  # noqa: B018
    reverse = Recommendations.concat([other, result])
    assert reverse.columns["labels"].tolist() == [None, "sponsored,new", None, ""]
    assert Recommendations.concat([other]) is other
    assert other.trace.fingerprint == "f"


def test_concat_of_what_does_not_belong_together(result):
    with pytest.raises(ConfigurationError, match="no parts"):
        Recommendations.concat([])
    for stranger in (
        answer([[1]], ["ann"], fingerprint="g"),
        answer([[1]], ["ann"], items=Vocabulary(["apple"])),
    ):
        with pytest.raises(ConfigurationError, match="different pipelines"):
            Recommendations.concat([result, stranger])


def test_source_names_decode_bits():
    part = answer([[1, 2, 3, 4]], ["ann"]).trace.selected
    assert source_names(part) == (("popular",), ("knn",), ("popular", "knn"), ())


def test_a_list_as_long_as_the_catalogue_says_so():
    data = rk.testing.toy_dataset()
    shown = (
        rk.Pipeline([rk.candidates.Popular(half_life=None)])
        .fit(data)
        .recommend([None, None], k=[1000, data.n_items])
    )
    assert shown.reasons == ((f"{data.n_items} of 1000 places: the catalogue has no more items",), ())
    assert repr(shown).endswith("row 0, anonymous is OK: 30 of 1000 places: the catalogue has no more items")
