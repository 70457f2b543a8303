"""What from_frame makes of a shop's own frames: nothing wrong without a word, everything decided is said."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from recokit.candidates import ItemKNN, Popular, Transitions
from recokit.data import Dataset
from recokit.errors import DataError, DataWarning, RecokitError

LOG = {"user": [1, 1, 2, 2], "item": [10, 20, 10, 30], "timestamp": [1.0, 2.0, 3.0, 4.0]}
GENRES = {
    "item": [10, 20, 30, 40],
    "genres": ["Action|Comedy", "Comedy", "Action|Drama", "Drama|Comedy"],
    "title": ["Up", "Heat", "Up Again", "Down"],
}


def test_how_ratings_are_read_is_said_and_can_be_declared():
    log = {**LOG, "rating": [5.0, 0.5, 4.0, 3.0]}
    with pytest.warns(DataWarning, match=r"'rating' are read as weights, 0.5 to 5.*min_rating=4"):
        assert Dataset.from_frame(log).interactions.weight.tolist() == [5, 0.5, 4, 3]
    assert Dataset.from_frame(log, min_rating=0).interactions.weight.tolist() == [5, 0.5, 4, 3]
    liked = Dataset.from_frame(log, min_rating=4)
    assert liked.interactions.weight.tolist() == [1, 0, 1, 0]
    assert "2 of 4 ratings are at least 4" in liked.notes[0]
    with pytest.raises(DataError, match="no rating of at least 6"):
        Dataset.from_frame(log, min_rating=6)
    with pytest.warns(DataWarning, match="'user_rating'"):
        Dataset.from_frame({**LOG, "user_rating": [1, 2, 3, 4]}, columns={"weight": "user_rating"})


def test_a_separator_that_is_found_is_said():
    with pytest.warns(DataWarning, match=r"'genres' holds several labels: '\|' stands in 75% of its rows"):
        data = Dataset.from_frame(LOG, items=GENRES)
    assert data.items.labelled("genres").separator == "|"
    assert data.items.labelled("genres").several.labels.ids.tolist() == ["Action", "Comedy", "Drama"]


@pytest.mark.parametrize("separator", ["|", ";", ","])
def test_a_declared_separator_is_used_without_a_word(separator):
    items = {**GENRES, "genres": [text.replace("|", separator) for text in GENRES["genres"]]}
    several = (
        Dataset.from_frame(LOG, items=items, separators={"genres": separator})
        .items.labelled("genres")
        .several
    )
    labels = [
        several.labels.decode(several.code[a:b]).tolist()
        for a, b in zip(several.offsets, several.offsets[1:], strict=False)
    ]
    assert labels == [[], ["Action", "Comedy"], ["Comedy"], ["Action", "Drama"], ["Comedy", "Drama"]]
    assert (
        Dataset.from_frame(LOG, items=GENRES, separators={"genres": None}).items.labelled("genres").separator
        is None
    )


@pytest.mark.parametrize("make", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_cells_that_are_lists_hold_several_labels(make):
    items = make({"item": [10, 20], "tags": [["a", "b|c"], ["b|c"]]})
    several = (
        Dataset.from_frame({**LOG, "item": [10, 20, 10, 20]}, items=items).items.labelled("tags").several
    )
    assert several.labels.ids.tolist() == ["a", "b|c"]
    assert several.code.tolist() == [1, 2, 2]


@pytest.mark.parametrize(
    "texts",
    [
        ["Matrix, The (1999)", "Crow, The (1994)", "Heat", "Alien"],
        ["Home, Garden", "Home, Garden", "Toys"],
        ["red wine", "white wine"],
        ["a long sentence; which goes on and says a lot of things about the item itself", "and another; one"],
    ],
)
def test_text_with_commas_is_no_column_of_labels(texts):
    items = {"item": np.arange(len(texts)), "about": texts}
    data = Dataset.from_frame({"user": [1], "item": [0], "timestamp": [1]}, items=items)
    assert "about" in data.items.other or data.items.labelled("about").separator is None


def test_roles_are_declared_or_said():
    items = {
        "item": [10, 20, 30],
        "dept": ["a", "b", "a"],
        "shop": ["x", "y", "x"],
        "amount": [1.0, 2.0, 3.0],
    }
    data = Dataset.from_frame(LOG, items=items, roles={"category": "dept", "price": "amount"})
    assert data.items.labels("category") == data.items.labels("dept")
    assert data.items.column("price").tolist()[1:] == [1, 2, 3]
    assert data.schema.item_column("item.seller").tolist() == [0, 1, 2, 1]
    assert data.notes == (
        "item columns are taken by their names: 'shop' for the seller; hint: roles={'seller': 'shop'} says so",
    )
    assert Dataset.from_frame(LOG, items=items, roles={"seller": None}).notes == ()
    with pytest.raises(DataError, match="did you mean 'dept'"):
        Dataset.from_frame(LOG, items=items, roles={"category": "det"})
    with pytest.raises(DataError, match="did you mean 'category'"):
        Dataset.from_frame(LOG, items=items, roles={"categry": "dept"})


def test_events_sent_again_are_dropped_and_counted():
    log = {"user": [1, 1, 1, 2, 1], "item": [7] * 5, "timestamp": [10.0, 11.0, 13.0, 11.0, 60.0]}
    data = Dataset.from_frame(log)
    once = data.without_repeats("5s")
    assert once.interactions.timestamp.tolist() == [10, 11, 60]
    assert once.notes == ("2 of 5 events were sent again, and left out",)
    assert Dataset.from_frame(log, repeats="5s").notes == once.notes
    assert Popular(half_life=None).fit(once).score_.tolist() == [3.0]
    ids = np.array(["a", "b", "c", "d", "a"])
    assert data.without_repeats("1s", event_ids=ids).interactions.timestamp.tolist() == [10, 11, 13]


def test_event_ids_that_come_again_are_said():
    log = {**LOG, "event_id": ["x", "y", "x", "z"]}
    with pytest.warns(DataWarning, match="1 of 4 events have an event_id that came before"):
        Dataset.from_frame(log)
    assert len(Dataset.from_frame(log, repeats="1s").interactions) == 3


@pytest.mark.parametrize("make", [dict, pd.DataFrame, pl.DataFrame])
def test_rows_without_ids_are_dropped_or_anonymous_and_counted(make):
    log = make(
        {"user": ["a", None, "b", None], "item": [1, 1, None, None], "timestamp": [1.0, 2.0, 3.0, 4.0]}
    )
    with pytest.raises(DataError, match="missing='drop'"):
        Dataset.from_frame(log)
    dropped = Dataset.from_frame(log, missing="drop")
    assert dropped.interactions.timestamp.tolist() == [1.0]
    assert dropped.notes == ("3 of 4 events were left out: no user or item",)
    kept = Dataset.from_frame(log, missing="anonymous")
    assert kept.interactions.user.tolist() == [1, 0]
    assert kept.notes == ("1 of 4 events are of anonymous users", "2 of 4 events were left out: no item")


def test_anonymous_events_make_popularity_and_no_user():
    log = {"user": ["a", None, None, "b"], "item": [1, 2, 3, 1], "timestamp": [1.0, 2.0, 3.0, 4.0]}
    data = Dataset.from_frame(log, missing="anonymous")
    assert Popular(half_life=None).fit(data).score_.tolist() == [2, 1, 1]
    assert not len(Transitions().fit(data).neighbor_)
    assert not len(ItemKNN().fit(data).neighbor_)


def test_all_problems_come_in_one_error():
    log = {
        "user": [1, "2"],
        "item": [1.5, 2],
        "timestamp": [1.0, np.nan],
        "rating": [1.0, -1.0],
        "value": [1, np.inf],
    }
    with pytest.raises(DataError, match="found 5 problems") as caught:
        Dataset.from_frame(log)
    assert len(caught.value.problems) == 5
    assert len(str(caught.value)) <= 500
    for name in ("user", "item", "timestamp", "rating", "value"):
        assert any(name in problem for problem in caught.value.problems)
    with pytest.raises(DataError, match="found 3 problems"):
        Dataset.from_frame({"usr": [1], "itm": [1], "when": [1]})


def test_swapped_columns_and_missing_ids_are_said():
    items = {"item": [f"i{n}" for n in range(20)], "price": np.arange(20.0)}
    log = {
        "user": [f"i{n}" for n in range(10)],
        "item": [f"u{n}" for n in range(10)],
        "timestamp": np.arange(10),
    }
    with pytest.raises(DataError, match="swapped"):
        Dataset.from_frame(log, items=items)
    with pytest.raises(DataError, match="swapped"):
        Dataset.from_frame(log, users={"user": [f"u{n}" for n in range(10)]})
    few = {**log, "user": log["item"], "item": [f"i{n}" for n in range(12, 22)]}
    note = Dataset.from_frame(few, items=items).notes
    assert note == (
        "2 of 10 item ids of the log (20.0%) are not in the item table, such as 'i20': their columns are missing",
    )
    with pytest.warns(DataWarning, match="10 of 10 item ids"):
        Dataset.from_frame({**few, "item": [f"x{n}" for n in range(10)]}, items=items)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2, 3.0, 4]], columns=["user", "item", "timestamp", "user"]),
        pa.table([[1], [2], [3.0], [4]], names=["user", "item", "timestamp", "user"]),
    ],
)
def test_a_column_that_stands_twice_is_an_error(frame):
    with pytest.raises(DataError, match="'user' 2 times"):
        Dataset.from_frame(frame)


def test_messages_are_short_and_speak_the_frames_own_names():
    with pytest.raises(RecokitError) as caught:
        Dataset.from_frame({**LOG, "user": ["x" * 5000, 1, 2, 3]})
    assert len(str(caught.value)) <= 500
    with pytest.raises(RecokitError) as caught:
        Dataset.from_frame({**LOG, "item": [10] * 4}, items={"item": ["y" * 9000, "z"]})
    assert len(str(caught.value)) <= 500
    with pytest.raises(DataError, match=r"^found rating=-1.0") as caught:
        Dataset.from_frame({**LOG, "rating": [1.0, 1.0, -1.0, 1.0]})
    assert str(DataError("found np.int64(1) and np.float32(2.5)")) == "found 1 and 2.5"


def test_a_dataset_shows_itself():
    data = Dataset.from_frame(LOG, items=GENRES, separators={"genres": "|"}, title="title")
    assert "\n" not in repr(data)
    page = data._repr_html_()
    assert "several of 3 labels each" in page
    assert "text, the title" in page
    assert "taken by their names" in page
    with pytest.raises(DataError, match="title="):
        Dataset.from_frame(LOG, items=GENRES, title="name")


@pytest.mark.parametrize(
    "cells",
    [
        ["['Action', 'Comedy']", "['Comedy']", "[]", "['Action', 'Sci-Fi, Horror']"],
        ['["Action", "Comedy"]', '["Comedy"]', "[]", '["Action", "Sci-Fi, Horror"]'],
        ["{Action,Comedy}", "{Comedy}", "{}", '{Action,"Sci-Fi, Horror"}'],
        [
            "[{'id': 28, 'name': 'Action'}, {'id': 35, 'name': 'Comedy'}]",
            "[{'id': 35, 'name': 'Comedy'}]",
            "[]",
            "[{'id': 28, 'name': 'Action'}, {'id': 27, 'name': 'Sci-Fi, Horror'}]",
        ],
    ],
)
def test_text_that_writes_lists_is_read_as_lists(cells):
    data = Dataset.from_frame(LOG, items={"item": [10, 20, 30, 40], "genres": cells})
    several = data.items.labelled("genres").several
    assert several.labels.ids.tolist() == ["Action", "Comedy", "Sci-Fi, Horror"]
    assert np.diff(several.offsets)[1:].tolist() == [2, 1, 0, 2]


@pytest.mark.parametrize("weights", [["view"], "view", {"view": "1"}, {"view": None}, {"view": True}])
def test_weights_of_another_kind_are_a_typed_error(weights):
    with pytest.raises(DataError, match="event_weights="):
        Dataset.from_frame({**LOG, "event": ["view"] * 4}, event_weights=weights)


def test_a_weight_of_a_name_that_the_log_lacks_is_said():
    with pytest.warns(DataWarning, match=r"lacks: Ansicht; its events are Kauf"):
        Dataset.from_frame({**LOG, "event": ["Kauf"] * 4}, event_weights={"Kauf": 1.0, "Ansicht": 0.1})


def test_a_row_without_an_event_type_shows_no_code():
    with pytest.raises(DataError, match=r"^found no value in 'event'; expected an event type in every row"):
        Dataset.from_frame({**LOG, "event": ["view", None, "view", "view"]})


@pytest.mark.parametrize("threshold", ["4", float("nan"), float("inf"), -1, True])
def test_a_threshold_of_ratings_is_a_number(threshold):
    with pytest.raises(DataError, match="found min_rating="):
        Dataset.from_frame({**LOG, "rating": [5.0, 0.5, 4.0, 3.0]}, min_rating=threshold)


@pytest.mark.parametrize(
    ("most", "hint"), [(1.0, "min_rating=0.8"), (5.0, "min_rating=4 "), (10.0, "min_rating=8")]
)
def test_the_hint_for_ratings_fits_their_scale(most, hint):
    with pytest.warns(DataWarning, match=hint):
        Dataset.from_frame({**LOG, "rating": [most, most / 2, most / 2, most / 5]})


@pytest.mark.parametrize("separator", ["/", " / ", " > "])
def test_what_may_stand_between_labels_is_said_and_not_taken(separator):
    cells = [separator.join(pair) for pair in (("tea", "gifts"), ("tea", "books"), ("books", "gifts"))] * 2
    log = {"user": [1, 2, 1, 2, 1, 2], "item": [1, 2, 3, 4, 5, 6], "timestamp": [1.0] * 6}
    data = Dataset.from_frame(log, items={"item": [1, 2, 3, 4, 5, 6], "topics": cells})
    assert any(f"though {separator.strip()!r} stands in 100%" in note for note in data.notes)
    assert data.items.labelled("topics").separator is None
