import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from recokit.data import (
    EVENT_WEIGHTS,
    Categorical,
    Dataset,
    Interactions,
    Schema,
    Table,
    Vocabulary,
)
from recokit.data.frames import Frame
from recokit.errors import ConfigurationError, DataError

LOG = {
    "user_id": ["bob", "ann", "bob", "cid"],
    "item_id": [30, 10, 20, 10],
    "timestamp": [3.0, 1.0, 2.0, 3.0],
    "event": ["view", "purchase", "purchase", "order"],
}
ITEMS = {
    "item_id": [10, 20, 40],
    "category": ["fruit", None, "bread"],
    "price": [1.5, 2.5, None],
    "organic": [True, False, True],
    "launched": np.array(["2020-01-01", "NaT", "2020-01-02"], "datetime64[D]"),
    "seller_id": [2**40 + 1, 2**40, None],
    "updated_at": ["2020-01-01", None, "2020-01-02"],
}


@pytest.fixture
def data():
    return Dataset.from_frame(LOG, items=ITEMS, users={"user": ["ann", "dan"], "region": ["north", "south"]})


def test_events_are_sorted_by_time_and_keep_their_order_within_a_moment(data):
    events = data.interactions
    assert data.user_ids.decode(events.user).tolist() == ["ann", "bob", "bob", "cid"]
    assert data.item_ids.decode(events.item).tolist() == [10, 20, 30, 10]
    assert events.timestamp.tolist() == [1, 2, 3, 3]
    assert [events.event_names[code] for code in events.event] == ["purchase", "purchase", "view", "order"]
    assert events.weight.tolist() == pytest.approx([1.0, 1.0, EVENT_WEIGHTS["view"], 1.0])
    assert events.event_names[0] == "view"  # weakest first
    assert np.isnan(events.value).all()
    assert repr(data) == (
        "Dataset(4 interactions, 4 users, 4 items; view 0.1 (signal); order 1 (signal); purchase 1 (signal); notes: 3)"
    )


def test_catalogue_is_the_table_and_the_log(data):
    assert sorted(data.item_ids.ids.tolist()) == [10, 20, 30, 40]
    assert sorted(data.user_ids.ids.tolist()) == ["ann", "bob", "cid", "dan"]
    assert (
        data.users.labels("region").decode(data.users.column("region")[data.user_ids.encode(["dan", "bob"])])[
            0
        ]
        == "south"
    )


def test_item_table_has_a_default_row_and_gaps(data):
    codes = data.item_ids.encode([10, 20, 30, 40])
    items = data.items
    assert items.names == ("price", "organic", "category", "seller_id", "launched")
    np.testing.assert_array_equal(
        items.column("price")[[0, *codes]], np.float32([np.nan, 1.5, 2.5, np.nan, np.nan])
    )
    np.testing.assert_array_equal(items.column("organic")[[0, *codes]], np.float32([np.nan, 1, 0, np.nan, 1]))
    labels = items.labels("category")
    assert labels.decode(items.column("category")[[0, *codes]]).tolist() == [
        None,
        "fruit",
        None,
        None,
        "bread",
    ]
    np.testing.assert_array_equal(items.column("launched")[codes], [1577836800, np.nan, np.nan, 1577923200])
    np.testing.assert_array_equal(
        items.updated_at[[0, *codes]], [-np.inf, 1577836800, -np.inf, -np.inf, 1577923200]
    )


def test_columns_of_ids_are_labels_because_float32_would_merge_them(data):
    codes = data.item_ids.encode([10, 20, 40])
    sellers = data.items.labels("seller_id").decode(data.items.column("seller_id")[codes])
    assert sellers.tolist() == [2**40 + 1, 2**40, None]
    assert len(set(np.float32([2**40 + 1, 2**40]))) == 1


def test_categorical_names_columns_that_look_like_numbers():
    data = Dataset.from_frame(LOG, items={"item_id": [10, 20], "seller": [7, 5]}, categorical=["seller"])
    assert data.items.labels("seller").ids.tolist() == [5, 7]
    assert Dataset.from_frame(LOG, items={"item_id": [10, 20], "seller": [7, 5]}).items.numeric_names == (
        "seller",
    )


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table, dict])
def test_any_library_gives_the_same_dataset(library):
    items = {name: ITEMS[name] for name in ("item_id", "category", "price")}
    got = Dataset.from_frame(library(LOG), items=library(items))
    expected = Dataset.from_frame(LOG, items=items)
    assert got.item_ids == expected.item_ids
    assert got.interactions.item.tolist() == expected.interactions.item.tolist()
    assert got.items.column("category").tolist() == expected.items.column("category").tolist()


def test_columns_maps_each_name_where_it_stands():
    log = pa.table({"uid": [1], "sku": [5], "ts": [9.0], "price": [3.0]})
    items = pa.table(
        {"sku": [5, 6], "dept": ["a", "b"], "price": [1.0, 2.0], "rating": [4.0, 5.0], "user": [1, 2]}
    )
    columns = {"user_id": "uid", "item_id": "sku", "timestamp": "ts", "value": "price", "category": "dept"}
    data = Dataset.from_frame(log, items=items, columns=columns)
    assert data.interactions.value.tolist() == [3]
    assert data.items.names == (
        "price",
        "rating",
        "user",
        "category",
    )  # "rating" of an item is no weight of an event
    with pytest.raises(DataError, match=r"found no column 'tss' \(for 'timestamp'\); did you mean 'ts'"):
        Dataset.from_frame(log, items=items, columns={**columns, "timestamp": "tss"})


def test_an_unmapped_table_may_use_recokits_name():
    data = Dataset.from_frame(
        {"uid": [1], "sku": [5], "ts": [9]},
        items={"item_id": [5], "price": [2.0]},
        columns={"user_id": "uid", "item_id": "sku", "timestamp": "ts"},
    )
    assert data.items.column("price")[1] == 2


@pytest.mark.parametrize(
    "log",
    [
        None,
        {"user_id": [], "item_id": [], "timestamp": []},
        pl.DataFrame(schema={"user_id": pl.Int64, "item_id": pl.String, "timestamp": pl.Datetime}),
    ],
)
def test_items_without_interactions_are_a_dataset(log):
    data = Dataset.from_frame(log, items={"item_id": ["a", "b"], "price": [1.0, 2.0]})
    assert (data.n_users, data.n_items, len(data.interactions)) == (0, 2, 0)
    assert data.until == -np.inf
    assert data.interactions.event_names == ("purchase",)
    assert data.interactions.matrix(0, 2).shape == (1, 3)
    assert data.interactions.by_user[0].tolist() == [0, 0]
    with pytest.raises(DataError, match="no events"):
        data.split_at("2020-01-01")


def test_nothing_at_all_is_an_empty_dataset():
    data = Dataset.from_frame(None)
    assert (data.n_users, data.n_items) == (0, 0)


def test_an_empty_item_table_leaves_the_log_to_speak():
    data = Dataset.from_frame(LOG, items={"item_id": [], "price": []})
    assert data.n_items == 3
    assert np.isnan(data.items.column("price")).all()


def test_events_with_an_event_column_but_no_rows():
    data = Dataset.from_frame({"user_id": [], "item_id": [], "timestamp": [], "event": []})
    assert data.interactions.event_names == ("purchase",)


def with_(**changes):
    return {**LOG, **changes}


@pytest.mark.parametrize(
    ("log", "rows", "words"),
    [
        ({"user_id": ["a"], "item_id": [1]}, (), "found no column 'timestamp'"),
        ({"user_ids": ["a"], "item_id": [1], "timestamp": [1]}, (), "did you mean 'user_ids'"),
        (with_(user_id=["bob", 5, "bob", "cid"]), (1,), "found user_id of types int, str"),
        (with_(item_id=[1, "42", 3, 4]), (1,), "'42'"),
        (with_(item_id=[1, None, 3, 4]), (1,), "missing ids in 'item_id'"),
        (with_(timestamp=[1.0, np.nan, 2.0, np.nan]), (1, 3), "timestamp=nan"),
        (with_(timestamp=[1.0, 2.0, np.inf, 2.0]), (2,), "timestamp=inf"),
        (with_(timestamp=[1.0, 2.0, 3.0, 1.5e12]), (3,), "are these milliseconds"),
        (with_(event=["view", None, "view", "view"]), (1,), "expected an event type"),
        (with_(weight=[1.0, -1.0, 1.0, 1.0]), (1,), "weight=-1.0"),
        (with_(rating=[1.0, 1.0, np.nan, 1.0]), (2,), "rating=nan"),
        (with_(value=[1.0, np.inf, 1.0, 1.0]), (1,), "value=inf"),
        (with_(position=[1, 2, 2.5, 1]), (2,), "position=2.5"),
        (with_(position=[1, -2, 2, 1]), (1,), "position=-2"),
        (with_(propensity=[0.5, 0.0, 1.0, 1.0]), (1,), "propensity=0.0"),
        (with_(propensity=[0.5, 1.5, 1.0, 1.0]), (1,), "propensity=1.5"),
    ],
)
def test_bad_logs_name_value_and_rows(log, rows, words):
    with pytest.raises(DataError, match=words) as caught:
        Dataset.from_frame(log)
    assert caught.value.rows == rows


def test_now_says_what_is_the_future():
    with pytest.raises(DataError, match="expected at most 2"):
        Dataset.from_frame(LOG, now=2.0)


def test_kinds_of_ids_must_agree_between_log_and_table():
    with pytest.raises(DataError, match="item_id as int in the interactions and as str in the table"):
        Dataset.from_frame(LOG, items={"item_id": ["10"]})


def test_two_rows_of_one_item_are_an_error():
    with pytest.raises(DataError, match="more than one row") as caught:
        Dataset.from_frame(LOG, items={"item_id": [10, 20, 10], "price": [1.0, 2.0, 3.0]})
    assert caught.value.rows == (2,)


def test_optional_columns_of_the_log():
    data = Dataset.from_frame(
        with_(
            session_id=["s2", "s1", None, "s2"],
            impression_id=[5, None, 7, 5],
            position=[1, None, 3, 2],
            propensity=[0.5, None, 1.0, 0.25],
            weight=[1, 2, 3, 4],
            value=[None, 9.5, 1, 2],
        )
    )
    events = data.interactions
    assert events.session.tolist() == [1, 0, 2, 2]
    assert events.impression.tolist() == [0, 2, 1, 1]
    assert events.position.tolist() == [0, 3, 1, 2]
    np.testing.assert_array_equal(events.propensity, [np.nan, 1.0, 0.5, 0.25])
    assert events.weight.tolist() == [2, 3, 1, 4]
    np.testing.assert_array_equal(events.value, np.float32([9.5, 1, np.nan, 2]))


def test_split_is_strict_and_shares_codes(data):
    train, test = data.split_at(2.0)
    assert train.interactions.timestamp.tolist() == [1]
    assert test.interactions.timestamp.tolist() == [2, 3, 3]
    assert train.user_ids is test.user_ids is data.user_ids
    assert (train.cut, train.until) == (2.0, 2.0)
    assert (test.cut, test.until) == (None, 3.0)
    assert data.split_at(2.0, horizon="1s")[1].interactions.timestamp.tolist() == [2]
    for when in (1.0, 3.5):
        with pytest.raises(DataError, match=r"the data spans \[1.0, 3.0\]"):
            data.split_at(when)


def test_interactions_against_naive_loops():
    rng = np.random.default_rng(3)
    m = 200
    log = {
        "user": rng.integers(1, 12, m),
        "item": rng.integers(1, 9, m),
        "timestamp": rng.integers(0, 30, m),
        "weight": rng.integers(1, 5, m),
        "event": rng.choice(["view", "purchase"], m),
    }
    data = Dataset.from_frame(log)
    events = data.interactions
    matrix = events.matrix(data.n_users, data.n_items)
    assert matrix.dtype == np.float32
    dense = np.zeros((data.n_users + 1, data.n_items + 1))
    for user, item, weight in zip(events.user, events.item, events.weight, strict=True):
        dense[user, item] += weight
    np.testing.assert_array_equal(matrix.toarray(), dense)
    for codes, (offsets, order) in ((events.user, events.by_user), (events.item, events.by_item)):
        for code in range(codes.max() + 1):
            assert order[offsets[code] : offsets[code + 1]].tolist() == np.flatnonzero(codes == code).tolist()
    part = events.between(5, 9)
    assert len(part) == sum(5 <= t < 9 for t in log["timestamp"])
    assert len(events.of("view")) == sum(log["event"] == "view")
    assert len(events.of("view", "purchase", "unheard of")) == m
    assert len(events.of()) == 0


def test_replace_changes_only_what_is_named(data):
    doubled = data.interactions.replace(weight=data.interactions.weight * 2)
    assert doubled.weight[0] == 2
    assert doubled.user is data.interactions.user
    assert isinstance(doubled, Interactions)


def test_table_names_and_hints(data):
    with pytest.raises(ConfigurationError, match="did you mean 'category'"):
        data.items.column("categry")
    with pytest.raises(ConfigurationError, match="no categorical column 'price'"):
        data.items.labels("price")
    assert Table.empty(3).names == ()
    assert Table.empty(3).numeric.shape == (4, 0)


def test_free_text_is_no_category():
    names = [f"item {i}" for i in range(25)]
    frame = Frame({"item_id": range(25), "name": names, "kind": ["a"] * 24 + [None]})
    table = Table.from_frame(frame, Vocabulary(range(25)), "item_id")
    assert table.column("name").tolist() == [None, *names]
    assert set(table.categorical) == {"kind"}
    few = Table.from_frame(Frame({"item_id": range(5), "name": names[:5]}), Vocabulary(range(5)), "item_id")
    assert set(few.categorical) == {"name"}


def test_a_table_row_of_an_unknown_entity_is_an_error():
    with pytest.raises(DataError, match="the vocabulary lacks") as caught:
        Table.from_frame(Frame({"item_id": [1, 2]}), Vocabulary([1]), "item_id")
    assert caught.value.rows == (1,)


def test_schema_finds_columns_by_both_names(data):
    schema = data.schema
    assert isinstance(schema, Schema)
    assert schema.item_column("item.price") is not None
    np.testing.assert_array_equal(schema.item_column("item.price"), schema.item_column("price"))
    assert schema.user_column("user.region").shape == (data.n_users + 1,)
    with pytest.raises(ConfigurationError, match="found no item column 'pric'; did you mean 'price'"):
        schema.item_column("item.pric")
    with pytest.raises(ConfigurationError, match="found no user column"):
        schema.user_column("price")


def test_from_frame_leaves_its_input_alone():
    log = pd.DataFrame(LOG)
    before = log.copy()
    Dataset.from_frame(log)
    pd.testing.assert_frame_equal(log, before)


def test_categorical_is_plain_data():
    column = Categorical(np.array([0, 1]), Vocabulary(["a"]))
    assert column.labels.decode(column.codes).tolist() == [None, "a"]
