"""Every dataframe library gives the same arrays."""

import datetime as dt
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from recokit.data.frames import Frame
from recokit.errors import DataError

PLUS_TWO = dt.timezone(dt.timedelta(hours=2))
COLUMNS = {
    "whole": [1, 2, 3],
    "whole_or_none": [2**60 + 1, None, 3],
    "real": [1.5, None, -2.0],
    "flag": [True, False, True],
    "flag_or_none": [True, None, False],
    "words": ["b", None, "a"],
    "moment": [dt.datetime(2020, 1, 1, 12), None, dt.datetime(1969, 12, 31)],
    "zoned": [
        dt.datetime(2020, 1, 1, 14, tzinfo=PLUS_TWO),
        None,
        dt.datetime(1969, 12, 31, 2, tzinfo=PLUS_TWO),
    ],
    "day": [dt.date(2020, 1, 1), None, dt.date(1970, 1, 2)],
    "money": [Decimal("1.50"), None, Decimal("2.25")],
    "span": [dt.timedelta(hours=1), None, dt.timedelta(seconds=2)],
}
TABLE = pa.table(COLUMNS)


class Capsule:
    """An object that offers nothing but the Arrow interface."""

    def __arrow_c_stream__(self, requested_schema=None):
        return TABLE.__arrow_c_stream__(requested_schema)


def numpy_columns():
    arrays = {name: np.array(values, object) for name, values in COLUMNS.items()}
    return arrays | {
        "moment": np.array(COLUMNS["moment"], "datetime64[ns]"),
        "whole": np.array([1, 2, 3], np.uint8),
    }


def pandas_columns():
    # pandas itself would make floats of integers with a gap, and round 2**60 + 1
    return TABLE.to_pandas().assign(whole_or_none=pd.array(COLUMNS["whole_or_none"], "Int64"))


BACKENDS = {
    "pandas": pandas_columns,
    "pandas nullable": lambda: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    "pandas extension": lambda: pandas_columns().convert_dtypes(),
    "polars": lambda: pl.DataFrame(TABLE),
    "polars lazy": lambda: pl.DataFrame(TABLE).lazy(),
    "pyarrow": lambda: TABLE,
    "pyarrow chunks": lambda: pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]),
    "duckdb": lambda: duckdb.from_arrow(TABLE).project("* REPLACE (epoch(span) AS span)"),
    "capsule": Capsule,
    "lists": lambda: dict(COLUMNS),
    "tuples": lambda: {name: tuple(values) for name, values in COLUMNS.items()},
    "numpy": numpy_columns,
    "pandas series": lambda: dict(pandas_columns().items()),
    "polars series": lambda: {name: pl.Series(values) for name, values in COLUMNS.items()},
}


@pytest.fixture(params=BACKENDS)
def frame(request):
    return Frame(BACKENDS[request.param]())


def test_shape(frame):
    assert len(frame) == 3
    assert frame.names == tuple(COLUMNS)
    assert "words" in frame
    assert "word" not in frame


def test_numbers(frame):
    for name, expected in {
        "whole": [1, 2, 3],
        "real": [1.5, np.nan, -2],
        "flag": [1, 0, 1],
        "flag_or_none": [1, np.nan, 0],
        "money": [1.5, np.nan, 2.25],
        "span": [3600, np.nan, 2],
    }.items():
        kind, values = frame.column(name)
        assert kind == "number", name
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, expected, err_msg=name)
        np.testing.assert_array_equal(frame.number(name), expected)


def test_times_are_utc_seconds(frame):
    noon = 1577880000.0
    for name, expected in {
        "moment": [noon, np.nan, -86400],
        "zoned": [noon, np.nan, -86400],
        "day": [1577836800, np.nan, 86400],
    }.items():
        kind, values = frame.column(name)
        assert kind == "time", name
        np.testing.assert_array_equal(values, expected, err_msg=name)
        np.testing.assert_array_equal(frame.times(name), expected)


def test_text(frame):
    kind, values = frame.column("words")
    assert kind == "text"
    assert values.tolist() == ["b", None, "a"]
    codes, labels = frame.labels("words")
    assert codes.tolist() == [2, 0, 1]
    assert labels.tolist() == ["a", "b"]


def test_ids(frame):
    assert frame.ids("whole").tolist() == [1, 2, 3]
    assert frame.ids("whole").dtype == np.int64
    with pytest.raises(DataError, match="missing ids in 'words'") as caught:
        frame.ids("words")
    assert caught.value.rows == (1,)
    codes, labels = frame.labels("whole_or_none")
    assert codes.tolist() == [2, 0, 1]
    assert labels.tolist() == [3, 2**60 + 1]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["x", "y", None]).astype("category"),
        pl.Series(["x", "y", None]).cast(pl.Categorical),
        pl.Series(["x", "y", None]).cast(pl.Enum(["y", "x"])),
        pa.chunked_array([pa.array(["x", "y", None]).dictionary_encode()]),
    ],
    ids=["pandas", "polars", "polars enum", "pyarrow"],
)
def test_categories_are_their_labels(column):
    frame = Frame({"label": column})
    assert frame.column("label")[1].tolist() == ["x", "y", None]
    assert frame.labels("label")[0].tolist() == [1, 2, 0]


def test_integer_categories_stay_integers():
    assert Frame(pd.DataFrame({"user": pd.Series([5, 7]).astype("category")})).ids("user_id").tolist() == [
        5,
        7,
    ]


def test_both_camps_need_no_rename():
    assert Frame({"user": [1], "item": [2], "datetime": [3], "rating": [4]}).names == (
        "user_id",
        "item_id",
        "timestamp",
        "weight",
    )
    assert Frame({"user_id": [1], "user": ["Ann"]}).names == ("user", "user_id")


def test_columns_maps_names():
    frame = Frame({"uid": [1], "user_id": [2]}, {"user_id": "uid"})
    assert frame.ids("user_id").tolist() == [1]
    assert frame.names == ("user_id",)
    with pytest.raises(DataError, match="did you mean 'uid'"):
        Frame({"uid": [1]}, {"user_id": "udi"})


def test_unknown_column_gives_a_hint():
    with pytest.raises(DataError, match=r"did you mean 'item_id'\?; hint: map it with columns="):
        Frame({"item_id": [1]}).ids("itemid")


def test_lengths_must_agree():
    with pytest.raises(DataError, match=r"different lengths: \{'user': 2, 'item': 1\}"):
        Frame({"user": [1, 2], "item": np.array([1])})


def test_columns_have_one_dimension():
    with pytest.raises(DataError, match=r"'user' of shape \(1, 2\)"):
        Frame({"user": np.zeros((1, 2))})


@pytest.mark.parametrize("frame", [3, [1, 2], "text", None])
def test_not_a_frame(frame):
    with pytest.raises(DataError, match="expected a dataframe"):
        Frame(frame)


@pytest.mark.parametrize(
    ("values", "rows", "words"),
    [
        ([1, 2.5], (1,), "2.5"),
        ([1.0, np.inf], (1,), "inf"),
        ([1.0, np.nan], (1,), "missing"),
        ([1, "2"], (1,), "int, str"),
        ([True, False], (0,), "bool"),
        ([2.0**60, 1.0], (0,), "expected integers"),
        (np.array(["2020-01-01"], "datetime64[s]"), (0,), "datetime"),
        (pd.array([1, pd.NA], dtype="Int64"), (1,), "missing"),
        (np.array([1, pd.NA], object), (1,), "missing"),
    ],
)
def test_bad_ids_name_column_and_rows(values, rows, words):
    with pytest.raises(DataError, match=words) as caught:
        Frame({"user": values}).ids("user_id")
    assert "user" in str(caught.value)
    assert caught.value.rows == rows


def test_whole_floats_are_integers():
    assert Frame({"user": [1.0, 2.0]}).ids("user_id").tolist() == [1, 2]


def test_iso_text_is_a_time_with_or_without_zone():
    texts = ["2020-01-01", None, "2020-01-01T02:00:00+02:00", "2020-01-01T00:00:00Z", " 2020-01-01 00:00:00 "]
    expected = [1577836800.0, np.nan, 1577836800.0, 1577836800.0, 1577836800.0]
    np.testing.assert_array_equal(Frame({"timestamp": texts}).times("timestamp"), expected)
    with pytest.raises(DataError, match="'soon' in 'timestamp'") as caught:
        Frame({"timestamp": ["2020-01-01", None, "soon"]}).times("timestamp")
    assert caught.value.rows == (2,)


def test_text_is_no_number():
    with pytest.raises(DataError, match="found text in column 'weight', such as 'a'") as caught:
        Frame({"weight": [None, "a"]}).number("weight")
    assert caught.value.rows == (1,)


def test_a_column_of_nothing_is_missing_everywhere():
    frame = Frame({"weight": [None, None]})
    assert np.isnan(frame.number("weight")).all()
    assert frame.labels("weight")[0].tolist() == [0, 0]


def test_labels_of_mixed_and_fractional_values_are_text():
    assert Frame({"x": [1, "a", 1]}).labels("x")[1].tolist() == ["1", "a"]
    assert Frame({"x": [1.5, np.nan, 0.5]}).labels("x")[0].tolist() == [2, 0, 1]
    assert Frame({"x": [b"b", b"a"]}).labels("x")[1].tolist() == ["a", "b"]
    assert Frame({"x": np.array([b"b", b"a"])}).labels("x")[1].tolist() == ["a", "b"]


def test_no_rows_of_any_type():
    for empty in (
        [],
        np.zeros(0),
        np.zeros(0, object),
        pd.Series([], dtype="int64"),
        pl.Series([], dtype=pl.String),
    ):
        frame = Frame({"user": empty, "timestamp": empty})
        assert frame.ids("user_id").tolist() == []
        assert frame.times("timestamp").tolist() == []
        assert frame.labels("user_id")[0].tolist() == []
    assert len(Frame({})) == 0


def test_values_are_not_changed():
    given = np.array([1.0, np.nan])
    given.flags.writeable = False
    Frame({"weight": given}).number("weight")[0] = 5
    assert given[0] == 1
