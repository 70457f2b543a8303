"""Evaluation by items: new and established ones separately, against numbers counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit.data import Dataset, Vocabulary
from recokit.data.segments import item_segments, item_segments_by
from recokit.errors import ConfigurationError, DataError, VocabularyMismatch
from recokit.evaluation import evaluate, evaluate_items
from recokit.result import Recommendations


@pytest.fixture(scope="module")
def parts() -> tuple[Dataset, Dataset]:
    """Return a history in which "a" and "b" are established, "c" and "d" new, and a test part."""
    before = [("u1", "a"), ("u2", "a"), ("u3", "a"), ("u1", "b"), ("u2", "b"), ("u3", "b"), ("u1", "c")]
    after = [("u1", "a"), ("u1", "d"), ("u2", "c"), ("u3", "b")]
    log = {
        "user": [user for user, _ in before + after],
        "item": [item for _, item in before + after],
        "timestamp": np.arange(len(before) + len(after), dtype=float),
    }
    data = Dataset.from_frame(
        log, items={"item": ["a", "b", "c", "d", "e"], "kind": ["x", "y", "x", "y", "y"]}
    )
    history, test = data.split_at(float(len(before)))
    return history, test


def lists(items: Vocabulary, rows: list[list[str]]) -> Recommendations:
    flat = [item for row in rows for item in row]
    return Recommendations(
        users=np.array([f"u{i}" for i in range(1, len(rows) + 1)], object),
        offsets=np.cumsum([0, *map(len, rows)]),
        item=items.encode(flat),
        score=np.ones(len(flat), np.float32),
        columns={},
        sources=((),) * len(flat),
        status=np.zeros(len(rows), np.int64),
        reasons=((),) * len(rows),
        item_ids=items,
    )


def test_new_and_established_items(parts: tuple[Dataset, Dataset]) -> None:
    history, test = parts
    made = lists(history.item_ids, [["a", "d"], ["b", "a"], ["a", "b"]])
    found = evaluate_items(made, test, ["Recall@2", "MRR@2", "CatalogCoverage@2"], history=history, new=3)
    new, old = found["new"], found["established"]
    # New items: u1 took d, shown second; u2 took c, not shown. One of c, d and e is shown.
    assert (new["Recall@2"].mean, new["Recall@2"].n) == (0.5, 2)
    assert new["MRR@2"].mean == pytest.approx(0.25)
    assert new["CatalogCoverage@2"].mean == pytest.approx(1 / 3)
    assert (old["Recall@2"].mean, old["Recall@2"].n) == (1.0, 2)
    assert old["MRR@2"].mean == pytest.approx(0.75)
    assert (old["CatalogCoverage@2"].mean, old["CatalogCoverage@2"].n) == (1.0, 3)
    assert "new" in str(found) and found.to_dict()["new"]["scores"]


def test_all_items_in_one_segment_are_the_plain_evaluation(parts: tuple[Dataset, Dataset]) -> None:
    history, test = parts
    made = lists(history.item_ids, [["a", "d"], ["b", "a"], ["a", "b"]])
    metrics = ["NDCG@2", "CatalogCoverage@2"]
    one = np.array([None, *["all of them"] * 5], object)
    whole, plain = (
        evaluate_items(made, test, metrics, history=history, by=one)["all of them"],
        evaluate(made, test, metrics),
    )
    for metric in metrics:
        assert (whole[metric].mean, whole[metric].n) == (plain[metric].mean, plain[metric].n)
    np.testing.assert_array_equal(whole.values("NDCG@2"), plain.values("NDCG@2"))


def test_a_segment_without_relevant_items(parts: tuple[Dataset, Dataset]) -> None:
    history, test = parts
    made = lists(history.item_ids, [["a", "e"], ["b", "a"], ["a", "b"]])
    only_e = np.array([None, None, None, None, None, "e"], object)
    found = evaluate_items(made, test, ["Recall@2", "CatalogCoverage@2"], history=history, by=only_e)["e"]
    assert np.isnan(found["Recall@2"].mean) and found["Recall@2"].n == 0
    assert found["CatalogCoverage@2"].mean == 1.0


def test_a_pipeline_is_asked_once(parts: tuple[Dataset, Dataset]) -> None:
    history, test = parts
    pipeline = rk.Pipeline([rk.candidates.Popular()]).fit(history)
    found = evaluate_items(pipeline, test, history=history, by="kind")
    assert set(found) == {"x", "y"}
    made = pipeline.recommend(["u1", "u2", "u3"], k=50, now=history.cut)
    again = evaluate_items(made, test, history=history, by="item.kind")
    assert found.to_dict() == again.to_dict()


def test_segments_of_items(parts: tuple[Dataset, Dataset]) -> None:
    history, _ = parts
    novelty = item_segments(history, new=1)
    assert novelty.labels.decode(novelty.codes).tolist() == [
        None,
        "established",
        "established",
        "established",
        "new",
        "new",
    ]
    launched = {"item": ["a", "b"], "launched_at": np.array([0, 90], "datetime64[s]")}
    aged = Dataset.from_frame({"user": [1], "item": ["a"], "timestamp": [100.0]}, items=launched)
    age = item_segments(aged, max_age="20s")
    assert age.labels.decode(age.codes[1:]).tolist() == ["established", "new"]
    assert item_segments_by(aged, age) is age
    for bad in ({"new": 0}, {"max_age": 20, "launched": "nothing"}):
        with pytest.raises(ConfigurationError):
            item_segments(aged, **bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="shape"):
        item_segments_by(aged, np.array(["x"]))
    with pytest.raises(ConfigurationError, match="no column"):
        item_segments_by(aged, "colour")


def test_what_cannot_be_evaluated(parts: tuple[Dataset, Dataset]) -> None:
    history, test = parts
    made = lists(history.item_ids, [["a"], ["b"], ["a"]])
    with pytest.raises(DataError, match="Dataset"):
        evaluate_items(made, {"u1": ["a"]}, history=history)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="relevance or of the catalogue"):
        evaluate_items(made, test, ["IntraListDiversity@2:kind"], history=history)
    with pytest.raises(VocabularyMismatch):
        evaluate_items(lists(Vocabulary(["a", "b"]), [["a"], ["b"], ["a"]]), test, history=history)
