"""The debugger over lists and scores made elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit.errors import ConfigurationError, DataError

ITEMS = [f"item-{n}" for n in range(30)]
LISTS = {f"user-{n}": [ITEMS[(n + place) % 30] for place in range(10)] for n in range(12)}
GOOD = {user: items[:3] for user, items in LISTS.items()}
FALLING = {user: np.linspace(5, 1, 10).tolist() for user in LISTS}


def codes(diagnosis: Any) -> set[str]:
    return {finding.code for finding in diagnosis.findings}


def test_good_lists_are_fine() -> None:
    diagnosis = rk.RecommendationDebugger(LISTS, scores=FALLING, known_good=GOOD).diagnose("user-3")
    assert diagnosis.verdict == "NO_OBVIOUS_ISSUE"


@pytest.mark.parametrize(
    "lists",
    [
        [*LISTS.values()],
        np.array([*LISTS.values()]),
        {user: dict(zip(items, FALLING[user], strict=True)) for user, items in LISTS.items()},
    ],
)
def test_other_forms(lists: Any) -> None:
    user = "user-3" if isinstance(lists, dict) else 3
    found = rk.RecommendationDebugger(lists).diagnose(user)
    assert found.verdict == "NO_OBVIOUS_ISSUE"


def test_lists_without_what_is_good() -> None:
    good = {user: ["lost-1", "lost-2", "lost-3"] for user in LISTS}
    diagnosis = rk.RecommendationDebugger(LISTS, scores=FALLING, known_good=good).diagnose("user-3")
    assert codes(diagnosis) == {"CANDIDATE_GENERATION_FAILURE"}


@pytest.mark.parametrize("scores", [[1.0] * 10, [float("nan")] * 10])
def test_scores_that_say_nothing(scores: list[float]) -> None:
    of_all = dict.fromkeys(LISTS, scores)
    diagnosis = rk.RecommendationDebugger(LISTS, scores=of_all).diagnose("user-3")
    assert any("SCORE" in code or "RANKING" in code for code in codes(diagnosis))


def test_a_user_without_a_list_and_a_population() -> None:
    debugger = rk.RecommendationDebugger(LISTS, scores=FALLING, known_good=GOOD)
    assert debugger.diagnose("nobody").verdict != "NO_OBVIOUS_ISSUE"
    population = debugger.diagnose_many([*LISTS])
    assert len(population.diagnoses) == 12


def test_why_not_and_a_baseline() -> None:
    debugger = rk.RecommendationDebugger(LISTS, scores=FALLING, baseline=LISTS)
    assert debugger.diagnose("user-3").verdict == "NO_OBVIOUS_ISSUE"
    assert "never retrieved" in str(debugger.why("user-3", "item-19"))


def test_lists_of_a_source_alone() -> None:
    data = rk.testing.toy_dataset()
    made = rk.candidates.Popular().fit(data).recommend(data.user_ids.ids, 10)
    user = data.user_ids.ids[2]
    assert rk.RecommendationDebugger(made).diagnose(user).verdict


@pytest.mark.parametrize(
    ("lists", "scores", "message"),
    [
        ({"ann": "abc"}, None, "found 'abc' of user 'ann'"),
        ({"ann": ["a", "a"]}, None, "found an item twice in the list of user 'ann'"),
        ({"ann": ["a", "b"]}, {"ann": [1.0]}, "found 1 scores of user 'ann'; expected 2"),
        ([["a"], ["b"]], [[1.0]], "found scores of 1 lists; expected 2"),
        ([["a"], [3]], None, "found"),
    ],
)
def test_what_are_no_lists(lists: Any, scores: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rk.RecommendationDebugger(lists, scores=scores)


def test_scores_of_a_pipeline() -> None:
    pipeline = rk.Pipeline([rk.candidates.Popular()]).fit(rk.testing.toy_dataset())
    with pytest.raises(ConfigurationError, match="found scores for a pipeline"):
        rk.RecommendationDebugger(pipeline, scores={})
