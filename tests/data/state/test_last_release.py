"""Models that the last release saved: they load, and serve the lists that they served.

The folders under ``last_release`` were written by the code before the modules moved (commit 5a0a44d), from the first
150 events of ``toy_dataset``; ``answers.json`` is how that code answered.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import recokit as rk
from recokit._utils.moved import SAVED_CLASSES, SAVED_MODULES, saved_class
from recokit.data.state.decode import class_path
from recokit.data.state.encode import from_state
from recokit.debugger import load_trace
from recokit.errors import DataError

SAVED = Path(__file__).with_name("last_release")
ANSWERS = json.loads((SAVED / "answers.json").read_text())


@pytest.fixture(scope="module")
def pipeline() -> rk.Pipeline:
    return rk.Pipeline.load(SAVED / "pipeline")


def test_a_saved_pipeline_serves_the_lists_that_it_served(pipeline: rk.Pipeline) -> None:
    answer = pipeline.recommend(ANSWERS["users"], k=5, now=ANSWERS["now"])
    assert [answer.ids(row) for row in range(len(ANSWERS["users"]))] == ANSWERS["lists"]
    np.testing.assert_allclose(answer.score, ANSWERS["scores"], rtol=1e-4, atol=1e-4)


def test_it_is_saved_and_loaded_by_this_release(pipeline: rk.Pipeline, tmp_path: Path) -> None:
    pipeline.save(tmp_path / "again")
    answer = rk.Pipeline.load(tmp_path / "again").recommend(ANSWERS["users"], k=5, now=ANSWERS["now"])
    assert [answer.ids(row) for row in range(len(ANSWERS["users"]))] == ANSWERS["lists"]


def test_a_saved_trace_is_that_of_the_saved_pipeline(pipeline: rk.Pipeline) -> None:
    trace = load_trace(SAVED / "trace", pipeline)
    assert trace.item_ids.decode(trace.selected.item).tolist() == list(itertools.chain(*ANSWERS["lists"]))


@pytest.mark.parametrize("new", sorted({*SAVED_CLASSES.values()}))
def test_a_class_that_moved_is_where_the_table_says(new: str) -> None:
    module, _, name = f"recokit.{new}".partition(":")
    cls = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    assert class_path(cls) == f"recokit.{new}"


@pytest.mark.parametrize("new", sorted({*SAVED_MODULES.values()}))
def test_a_module_that_moved_is_where_the_table_says(new: str) -> None:
    module = importlib.import_module(f"recokit.{new}")
    named = {name: part for name, part in vars(module).items() if not name.startswith("_")}
    assert any(getattr(part, "__module__", None) == module.__name__ for part in named.values())


def test_classes_of_others_and_of_this_release_keep_their_paths() -> None:
    """A user's own module may have the name that one of recokit's had."""
    for path in ("data.history:UserHistory", "shop.compose:Merge", "recokit.candidates.popular:Popular"):
        assert saved_class(path) == path
    assert saved_class("recokit.compose:Merge") == "recokit.compose.merge:Merge"
    assert saved_class("recokit.data.keyed_events:AsOf.Part") == "recokit.data.events.keyed:AsOf.Part"


def test_a_class_that_is_no_more_says_how_to_go_on() -> None:
    node = {"$": "object", "class": "recokit.candidates.popular:Unpopular", "options": {}, "attributes": {}}
    with pytest.raises(
        DataError, match=r"expected one that this version of recokit has; hint: .* fit and save"
    ):
        from_state({"objects": [node], "root": {"$": "ref", "to": 0}}, {})
