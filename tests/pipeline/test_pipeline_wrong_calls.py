"""What looks like a call and means nothing is refused, in words that say what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recokit as rk
from recokit import candidates, diversity
from recokit.errors import ConfigurationError, DataError
from recokit.testing import toy_dataset

TOY = toy_dataset()
PIPELINE = rk.Pipeline([candidates.Popular(half_life=None)]).fit(TOY)


@pytest.mark.parametrize(
    "users",
    [pd.DataFrame({"user_id": ["user-1"]}), {"user-1": 3}, {"user-1", "user-2"}, frozenset({"user-1"})],
    ids=["frame", "mapping", "set", "frozenset"],
)
def test_users_come_in_a_list(users: Any) -> None:
    with pytest.raises(DataError, match=r"found users as .*; expected a list of ids"):
        PIPELINE.recommend(users, k=3, now=TOY.until)


@pytest.mark.parametrize("name", ["history", "session"])
def test_a_set_says_not_what_came_first(name: str) -> None:
    with pytest.raises(DataError, match=f"found a set in {name}; expected a list, oldest first"):
        PIPELINE.recommend([None], k=3, now=TOY.until, **{name: [{101, 102}]})
    shown = PIPELINE.recommend([None], k=3, now=TOY.until, exclude=[{101}], items=[{101, 102}])
    assert shown.ids(0) == [102]


@pytest.mark.parametrize("name", ["now", "k"])
def test_context_has_no_names_of_the_request_itself(name: str) -> None:
    with pytest.raises(DataError, match=rf"found '{name}' in context; .* recommend\(\.\.\., {name}=\.\.\.\)"):
        PIPELINE.recommend([None], k=3, now=TOY.until, context={name: 5})


@pytest.mark.parametrize(
    ("stage", "hint"),
    [
        (("popular", candidates.Popular()), "Step(stage, name='popular')"),
        ([candidates.Popular()], "one flat list"),
        (PIPELINE, "as_source()"),
        (lambda requests, limit: [], "FromFunction"),
        ("popular", "a class of recokit"),
    ],
    ids=["tuple", "list", "pipeline", "function", "text"],
)
def test_what_is_no_stage(stage: Any, hint: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        rk.Pipeline([stage, candidates.Popular()])
    assert hint in str(refused.value) and "two things" not in str(refused.value)


def test_a_truth_of_other_items_measures_nothing() -> None:
    other = rk.Dataset.from_frame({"user": ["user-1"], "item": [7], "timestamp": [TOY.until + 5]})
    with pytest.raises(DataError, match=r"found none of the 1 items of the truth in .* such as 7"):
        rk.evaluate(PIPELINE, other, ["NDCG@5"])
    some = rk.Dataset.from_frame({"user": ["new"] * 2, "item": [7, 101], "timestamp": [TOY.until + 5] * 2})
    assert rk.evaluate(PIPELINE, some, ["Recall@30"])["Recall@30"].mean == 0.5


def test_paths_that_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="found a file in place of the folder"):
        PIPELINE.save(tmp_path / "file" / "model")
    with pytest.raises(ConfigurationError, match="found path=None"):
        PIPELINE.save(None)


def test_vectors_in_a_list() -> None:
    with pytest.raises(ConfigurationError, match=r"found vectors as list of shape \(1, 2\)"):
        diversity.MMR(vectors=[[1.0, 2.0]])
    with pytest.raises(ConfigurationError, match="found vectors as ndarray"):
        diversity.MMR(vectors=np.ones(3))
