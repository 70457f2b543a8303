"""Content: labels, text and encoders, for items that nobody took yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recokit._utils.params import clone
from recokit.candidates import Content
from recokit.data import Dataset, Ragged, Requests, Retrieved, from_state, load_state, save_state, to_state
from recokit.datasets import load_movielens
from recokit.errors import ConfigurationError, ContractError

TEXTS = ["a war of stars", "the stars at war", "love in the rain", "rain", None, "a war"]
ITEMS = {
    "item_id": [1, 2, 3, 4, 5, 6],
    "genre": ["war", "war", "love", "love", None, "war"],
    "plot": TEXTS,
}


def catalogue() -> Dataset:
    return Dataset.from_frame(None, items=ITEMS)


def ask(*histories: list[int], **ragged: list[list[int]]) -> Requests:
    named = {"history": list(histories), **ragged}
    return Requests.build(
        np.zeros(len(histories), np.int64), ragged={n: Ragged.from_lists(v) for n, v in named.items()}
    )


def lists(found: Retrieved) -> list[list[int]]:
    return [found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def test_labels_and_text_find_what_is_alike_without_any_interaction() -> None:
    labels = Content(attributes=["genre"], text=[]).fit(catalogue())
    assert lists(labels.retrieve(ask([1], [3], [5], []), 9)) == [[1, 2, 6], [3, 4], [], []]
    words = Content(attributes=[], text=["plot"]).fit(catalogue())
    assert lists(words.retrieve(ask([3], exclude=[[3]]), 1)) == [[4]]
    assert set(lists(words.retrieve(ask([1]), 9))[0]) >= {1, 2, 6}


def test_a_rare_label_counts_more() -> None:
    items = {"item_id": range(1, 7), "genre": list("aaaabb"), "brand": list("xyyyxy")}
    found = Content().fit(Dataset.from_frame(None, items=items)).retrieve(ask([1], exclude=[[1]]), 9)
    assert lists(found)[0][0] == 5  # the rare brand before the common genre


def test_weights_decide_between_parts() -> None:
    for weight, first in ((10.0, 2), (0.0, 4)):
        items = {
            "item_id": [1, 2, 3, 4],
            "genre": ["a", "a", "b", "b"],
            "plot": ["sun", "moon", "fog", "sun"],
        }
        model = Content(attributes=["genre"], text=["plot"], weights={"genre": weight})
        found = model.fit(Dataset.from_frame(None, items=items)).retrieve(ask([1], exclude=[[1]]), 1)
        assert lists(found) == [[first]]


def test_a_column_named_as_text_is_no_label_unless_it_is_named_as_one_too() -> None:
    labels = list(catalogue().items.categorical)
    assert "genre" in labels
    twice = Content(text=["genre"], attributes=labels).fit(catalogue())
    once = Content(text=["genre"]).fit(catalogue())
    assert once.terms_.shape[1] < twice.terms_.shape[1]


def test_an_encoder_takes_the_place_of_words() -> None:
    def sea(texts: list[str]) -> list[list[float]]:
        return [[float("war" in text), float("rain" in text)] for text in texts]

    model = Content(attributes=[], text=["plot"], encoder=sea).fit(catalogue())
    assert lists(model.retrieve(ask([4], [6], [5]), 9)) == [[3, 4], [1, 2, 6], []]
    assert model.vectors_.shape == (7, 2)


class Sentences:
    """Has the interface of a SentenceTransformer, which is callable for another purpose."""

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array([[text.count("war"), text.count("rain")] for text in texts], np.float32)

    def __call__(self, texts: object) -> object:
        raise TypeError("a batch of tokens, not texts")

    def fit(self, texts: object) -> None:
        raise AssertionError("it is trained already")


def test_a_model_with_encode_is_an_encoder_and_is_not_needed_after_saving(tmp_path: Path) -> None:
    model = Content(attributes=[], text=["plot"], encoder=Sentences()).fit(catalogue())
    assert lists(model.retrieve(ask([4], [6], [5]), 9)) == [[3, 4], [1, 2, 6], []]
    assert lists(clone(model).fit(catalogue()).retrieve(ask([4]), 9)) == [[3, 4]]
    save_state(tmp_path / "content", model)
    loaded = load_state(tmp_path / "content")[0]
    assert lists(loaded.retrieve(ask([4], [6], [5]), 9)) == [[3, 4], [1, 2, 6], []]
    assert "<not saved>" in repr(loaded)
    with pytest.raises(ConfigurationError, match="needs it for a new fit only"):
        loaded.fit(catalogue())


@pytest.mark.parametrize(
    "wrong", [lambda t: np.zeros(3), lambda t: np.full((len(t), 2), np.nan), lambda t: [[1]]]
)
def test_an_encoder_that_returns_nonsense_is_named(wrong: object) -> None:
    with pytest.raises(ContractError, match="from the encoder"):
        Content(attributes=[], text=["plot"], encoder=wrong).fit(catalogue())  # type: ignore[arg-type]


def test_similar_leaves_the_item_out_and_state_keeps_every_bit() -> None:
    model = Content().fit(catalogue())
    assert 1 not in model.similar(np.array([1, 0]), 9).item
    loaded = from_state(*to_state(model))
    np.testing.assert_array_equal(
        loaded.retrieve(ask([1], [3]), 9).score, model.retrieve(ask([1], [3]), 9).score
    )


def test_options_and_columns_that_do_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="several names"):
        Content(text="plot")
    with pytest.raises(ConfigurationError, match=r"weights\['genre'\]=-1"):
        Content(weights={"genre": -1})
    with pytest.raises(ConfigurationError, match="encoder"):
        Content(encoder=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="max_history"):
        Content(max_history=0)
    with pytest.raises(ConfigurationError, match="genres"):
        Content(attributes=["genres"]).fit(catalogue())
    with pytest.raises(ConfigurationError, match="a weight of 'brand'"):
        Content(weights={"brand": 1.0}).fit(catalogue())
    with pytest.raises(ConfigurationError, match="no labels and no text"):
        Content().fit(Dataset.from_frame(None, items={"item_id": [1]}))


def test_films_of_one_series_stand_together(data_dir: Path) -> None:
    data = load_movielens(data_dir / "ml-100k")
    names = data.items.other["name"]
    code = next(i for i, name in enumerate(names) if name and name.startswith("Star Wars (1977)"))
    near = [names[i] for i in Content(text=["name"]).fit(data).similar(np.array([code]), 10).item]
    assert any("Star" in name or "Wars" in name for name in near)
