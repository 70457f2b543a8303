"""Columns of several labels, such as genres: every part that reads labels reads each of them."""

import warnings

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, rules
from recokit.data import Candidates, Dataset, item_segments_by
from recokit.errors import ConfigurationError, DataWarning

GENRES = ["Action|Comedy", "Comedy", "Action|Drama", "Drama|Comedy", None, "Drama"]
DATA = Dataset.from_frame(
    {"user": [1, 1, 2, 2, 3, 3], "item": [1, 2, 1, 3, 4, 6], "timestamp": np.arange(6) * 86400.0},
    items={"item": [1, 2, 3, 4, 5, 6], "genres": GENRES},
    users={"user": [1, 2, 3], "likes": ["a;b", "b", None]},
    separators={"genres": "|", "likes": ";"},
)
ALL = Candidates.from_lists([[1, 2, 3, 4, 5, 6]])


@pytest.mark.filterwarnings("ignore:found .* never is:recokit.errors.DataWarning")
@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("'Comedy' in item.genres", [1, 1, 0, 1, 0, 0]),
        ("'Comedy' not in item.genres", [0, 0, 1, 0, 0, 1]),
        ("'Action' in item.genres and 'Drama' in item.genres", [0, 0, 1, 0, 0, 0]),
        ("not 'Drama' in item.genres", [1, 1, 0, 0, 0, 0]),
        ("'Com' in item.genres", [0, 0, 0, 0, 0, 0]),
        ("'Comedy' in item.category", [1, 1, 0, 1, 0, 0]),
    ],
)
def test_an_expression_asks_for_one_label(condition, kept):
    assert rules.Where(condition).bind(DATA.schema).keep(ALL).tolist() == [bool(one) for one in kept]


def test_an_expression_over_users_labels():
    from recokit.data import Requests

    batch = Candidates.from_lists([[1], [1], [1]], requests=Requests.build(np.array([1, 2, 3])))
    assert rules.Where("'a' in user.likes").bind(DATA.schema).keep(batch).tolist() == [True, False, False]


@pytest.mark.parametrize("condition", ["item.genres == 'Comedy'", "item.genres in ('Comedy', 'Drama')"])
def test_several_labels_are_not_compared_as_one(condition):
    with pytest.raises(ConfigurationError, match=r"'label' in item\.genres"):
        rules.Where(condition).bind(DATA.schema)


@pytest.mark.parametrize(
    "condition", ["item.genres in item.genres", "3 in item.genres", "'a' in request.b", "'a' in 'ab'"]
)
def test_in_takes_a_list_or_a_columns_label(condition):
    with pytest.raises(ConfigurationError):
        rules.Where(condition)


def test_caps_count_each_label():
    pipeline = rk.Pipeline(
        [candidates.Popular(half_life=None), rules.MaxPerGroup("genres", 1, hard=True)]
    ).fit(DATA)
    shown = pipeline.recommend([1], k=6).ids(0)
    labels = [label for item in shown for label in (GENRES[item - 1] or "").split("|") if label]
    assert len(labels) == len(set(labels))
    assert shown[0] == 1


def test_mmr_compares_by_shared_labels():
    pipeline = rk.Pipeline([candidates.Popular(half_life=None), diversity.MMR(0.01)]).fit(DATA)
    assert pipeline.recommend([1], k=3).ids(0)[:2] == [1, 6]  # Action|Comedy, and Drama, which shares nothing


def test_calibration_knows_each_label():
    stage = diversity.Calibration("genres").bind(DATA.schema)
    assert stage.aspects_.labels == ("Action", "Comedy", "Drama")


def test_content_finds_items_that_share_a_label():
    found = candidates.Content().fit(DATA).similar(np.array([2]), 5)
    assert set(found.item.tolist()) == {1, 4}


def test_segments_of_items_are_those_of_each_label():
    assert item_segments_by(DATA, "genres").separator == "|"
    train, test = DATA.split_at(3 * 86400.0)
    found = rk.evaluation.evaluate_items(
        rk.Pipeline([candidates.Popular()]).fit(train), test, history=train, by="genres", metrics=["Recall@5"]
    )
    assert set(found) == {"Action", "Comedy", "Drama"}
    assert [found[name]["Recall@5"].n for name in ("Action", "Comedy", "Drama")] == [1, 1, 2]


@pytest.mark.parametrize("separator", [", ", "; ", " | "])
def test_blanks_around_labels_make_no_other_label(separator):
    cells = [None if cell is None else cell.replace("|", separator) for cell in GENRES]
    data = Dataset.from_frame(
        {"user": [1, 1, 2], "item": [1, 2, 3], "timestamp": [1.0, 2.0, 3.0]},
        items={"item": [1, 2, 3, 4, 5, 6], "genres": cells},
        separators={"genres": separator.strip()},
    )
    assert diversity.Calibration("genres").bind(data.schema).aspects_.labels == ("Action", "Comedy", "Drama")
    for cap in (
        rules.MaxPerGroup("genres", 1, hard=True),
        rules.MaxPerGroup("genres", 1, only="Comedy", hard=True),
    ):
        pipeline = rk.Pipeline([candidates.Popular(half_life=None), cap]).fit(data)
        shown = [cells[item - 1] or "" for item in pipeline.recommend([None], k=6).ids(0)]
        assert sum("Comedy" in text for text in shown) == 1


@pytest.mark.parametrize(
    "condition",
    [
        "'comedy' in item.genres",
        "'Comdy' not in item.genres",
        "item.maker != 'Acme'",
        "item.maker not in ['acme', 'Bolt']",
        "'x' in user.likes or 'Drama' in item.genres",
    ],
)
def test_a_text_that_no_item_has_is_said(condition):
    items = {"item": [1, 2, 3, 4], "genres": GENRES[:4], "maker": ["acme", "bolt", None, "acme"]}
    data = Dataset.from_frame(
        {"user": [1, 1, 2], "item": [1, 2, 3], "timestamp": [1.0, 2.0, 3.0]},
        items=items,
        users={"user": [1, 2], "likes": ["a;b", "b"]},
        categorical=["maker"],
        separators={"genres": "|", "likes": ";"},
    )
    with pytest.warns(DataWarning, match="never is"):
        rules.Where(condition).bind(data.schema)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rules.Where("item.maker in ['acme', 'bolt'] and 'Comedy' in item.genres").bind(data.schema)
        rules.Where("item.maker != request.maker").bind(data.schema)
