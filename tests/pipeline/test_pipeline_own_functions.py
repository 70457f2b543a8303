"""Functions of a user's own get the ids of the user's log, wherever a stage takes one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, rules
from recokit.candidates import AnnIndex
from recokit.data import Ragged
from recokit.errors import ContractError
from recokit.testing import toy_dataset

TOY = toy_dataset()
CATALOGUE = set(TOY.item_ids.ids.tolist())
#: The vector of item code c points to axis c.
AXES = np.eye(TOY.n_items + 1, dtype=np.float32)


def served(*stages: Any) -> rk.Pipeline:
    return rk.Pipeline([candidates.Popular(half_life=None), *stages]).fit(TOY)


@pytest.mark.parametrize(
    "kind",
    [diversity.MMR, diversity.MSD, diversity.DPP, diversity.FacilityLocation],
    ids=lambda kind: kind.__name__,
)
def test_a_similarity_compares_ids(kind: Any) -> None:
    seen: set[Any] = set()

    def alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        seen.update(one.tolist(), other.tolist())
        return (one == other).astype(float)

    pipeline = served(kind(0.6, similarity=alike))
    assert pipeline.recommend(["user-1"], k=3, now=TOY.until).status.tolist() == [0]
    assert seen and seen <= CATALOGUE


def test_a_similarity_gets_codes_on_request() -> None:
    seen: set[Any] = set()

    def alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        seen.update(other.tolist())
        return np.zeros(len(one))

    served(diversity.MMR(similarity=alike, codes=True))
    assert seen and max(seen) <= TOY.n_items


@pytest.mark.parametrize(
    "answer",
    [lambda n: np.zeros(n - 1), lambda n: np.full(n, np.nan), lambda n: ["alike"] * n],
    ids=["short", "nan", "text"],
)
def test_fit_refuses_a_similarity_that_does_not_answer_each_pair(answer: Any) -> None:
    with pytest.raises(ContractError, match="from the similarity function; expected finite numbers"):
        served(diversity.MMR(similarity=lambda one, other: answer(len(one))))


def test_a_query_function_gets_ids_and_the_encoder_of_a_model_works_as_one() -> None:
    asked: list[Any] = []

    def query(requests: Any) -> np.ndarray:
        asked.extend(requests.user_ids.tolist())
        return AXES[[7] * len(requests)]

    pipeline = rk.Pipeline([AnnIndex(AXES, query=query)]).fit(TOY)
    asked.clear()
    assert pipeline.recommend(["user-2", "nobody"], k=1, now=TOY.until).item.tolist() == [7, 7]
    assert asked == ["user-2", "nobody"]


def test_a_function_says_in_ids_what_may_be_found() -> None:
    def allowed(requests: Any) -> list[list[int]]:
        return [[103, 999, 105] if user == "user-2" else [] for user in requests.user_ids]

    pipeline = rk.Pipeline(
        [AnnIndex(AXES, query=lambda requests: AXES[[3] * len(requests)], allowed=allowed)]
    ).fit(TOY)
    lists = pipeline.recommend(["user-2", "user-3"], k=5, now=TOY.until)
    assert (lists.ids(0), lists.ids(1)) == ([103, 105], [])
    second = AnnIndex(AXES, query=query_three, allowed=only_code_two, codes=True)
    codes = rk.Pipeline([second]).fit(TOY)
    assert codes.recommend(["user-2"], k=5, now=TOY.until).ids(0) == [102]


def only_code_two(requests: Any) -> Ragged:
    return Ragged.from_lists([[2]] * len(requests))


def query_three(requests: Any) -> np.ndarray:
    return AXES[[3] * len(requests)]


def test_a_condition_on_a_step_is_about_user_ids() -> None:
    step = rk.Step(rules.Blocked(CATALOGUE - {101}), when=lambda requests: requests.user_ids == "user-2")
    lists = served(step).recommend(["user-2", "user-3"], k=5, now=TOY.until)
    assert lists.ids(0) == [101] and len(lists.ids(1)) == 5
