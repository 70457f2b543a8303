"""What users print: one line, and HTML, for whatever holds results."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest

import recokit as rk
from recokit._utils.report import Report
from recokit.evaluation import evaluate


def reports() -> list[type]:
    for module in pkgutil.walk_packages(rk.__path__, "recokit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, waiting = [], [Report]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        found.append(kind)
    return [kind for kind in found if kind.__module__.startswith("recokit.")]


def test_no_report_prints_its_fields() -> None:
    # A dataclass writes a repr of all its arrays, unless it is told not to.
    wordy = [kind.__name__ for kind in reports() if hasattr(kind.__repr__, "__wrapped__")]
    assert wordy == []


DATA = rk.testing.toy_dataset()
TRAIN, TEST = DATA.split_at(DATA.interactions.timestamp[-60])
PIPELINE = rk.Pipeline(
    [rk.candidates.ItemKNN(), rk.features.Standard(), rk.rankers.LogisticRegression()]
).fit(TRAIN, label_window="7D")
USERS = TRAIN.user_ids.ids[:4].tolist()


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (lambda: PIPELINE.schema, "30 items"),
        (lambda: PIPELINE.training_data(TRAIN, label_window="7D"), "rows of"),
        (lambda: PIPELINE.training_data(TRAIN, label_window="7D").data, "features"),
        (lambda: evaluate(PIPELINE, TEST, ["NDCG@5"]), "NDCG@5"),
        (
            lambda: evaluate({"a": PIPELINE, "b": PIPELINE}, TEST, ["NDCG@5"]).compare("a", "b", "NDCG@5"),
            "a - b",
        ),
        (lambda: rk.RecommendationDebugger(PIPELINE).why(USERS[0], 101), "retrieved"),
        (lambda: rk.RecommendationDebugger(PIPELINE).compare(PIPELINE, USERS), "do not differ"),
    ],
)
def test_one_line_and_html(what: Any, expected: str) -> None:
    made = what()
    line = repr(made)
    assert "\n" not in line
    assert len(line) <= 200
    assert line.startswith(type(made).__name__)
    assert expected in line
    assert '<div class="rk">' in made._repr_html_()


def test_a_result_shows_titles_statuses_and_the_first_reason() -> None:
    films = {"item_id": [1, 2, 3], "title": ["Heat", "Alien", "Brazil"]}
    log = {"user": ["ann", "ann", "bob"], "item": [1, 2, 1], "timestamp": [1, 2, 3]}
    data = rk.Dataset.from_frame(log, items=films, title="title")
    pipeline = rk.Pipeline([rk.candidates.ItemKNN(), rk.rules.NotSeen()]).fit(data)
    shown = repr(pipeline.recommend(["nobody", "bob"], k=2, now=10.0))
    assert "1 OK, 1 EMPTY" in shown
    assert "bob: 1. Alien" in shown
    assert "nobody is EMPTY" in shown
    alone = rk.candidates.ItemKNN().fit(data).recommend(["bob"], 2)
    assert "1 item for 1 user: 1 OK" in repr(alone)
    assert "bob: 1. Alien" in repr(alone)
    assert len(repr(pipeline.recommend(["x" * 5000] * 3, k=2, now=10.0))) < 500
