"""The parts of a run by themselves: outcomes scattered, lists replaced and joined, plans cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import Candidates, Dataset, Ragged, Requests, Retrieved
from recokit.data.requests import Hydrated
from recokit.errors import ConfigurationError
from recokit.pipeline.finish import Lists
from recokit.pipeline.plan import compile_plan
from recokit.pipeline.run import Outcome
from recokit.pipeline.scatter import join_columns, join_hydrated, join_retrieved, masked
from recokit.pipeline.selection import Selected, in_fusion_order, join_selected, listed_order
from recokit.trace import Status

BATCH = Candidates.from_lists([[5, 3], [7], [], [2, 9, 4]], scores=[[1, 2], [3], [], [0.5, 0.9, 0.9]])


def test_pieces_are_scattered_to_their_rows_and_others_keep_the_value_elsewhere() -> None:
    outcome = Outcome([(np.array([3]), np.array([7.0, 8.0, 9.0])), (np.array([0, 2]), np.array([1.0, 2.0]))])
    assert outcome.scatter(BATCH, -1.0).tolist() == [1, 2, -1, 7, 8, 9]
    wide = Outcome([(np.array([1]), np.array([[4.0, 5.0]]))])
    assert wide.scatter(BATCH, 0.0, (2,)).tolist() == [[0, 0], [0, 0], [4, 5], [0, 0], [0, 0], [0, 0]]
    whole = np.arange(6.0)
    assert Outcome([(np.arange(4), whole)]).scatter(BATCH, 0.0) is whole
    assert Outcome([]).scatter(BATCH, 3.0).tolist() == [3] * 6


def test_only_pieces_without_a_stand_in_have_worked() -> None:
    pieces = [(np.array([0]), "a"), (np.array([1]), "b"), (np.array([3]), "c")]
    assert [piece for _, piece in Outcome(pieces).worked] == ["a", "b", "c"]
    assert [piece for _, piece in Outcome(pieces, np.array([1]), "failed").worked] == ["a", "c"]
    assert Outcome(pieces).whole(1) is None
    assert Outcome(pieces[:1]).whole(1) == "a"
    assert Outcome(pieces[:1]).whole(2) is None


def test_answers_of_some_rows_become_lists_of_all() -> None:
    def answer(*lists: list[int], error: str = "") -> Retrieved:
        ragged = Ragged.from_lists(lists)
        errors = (ValueError(error),) if error else ()
        return Retrieved(ragged.offsets, ragged.values, ragged.values.astype(np.float32) / 2, errors)

    outcome = Outcome(
        [(np.array([4, 1]), answer([8, 6], [2])), (np.array([2]), answer([5, 3], error="late"))]
    )
    joined = join_retrieved(outcome, 5)
    assert Ragged(joined.offsets, joined.item).counts.tolist() == [0, 1, 2, 0, 2]
    assert joined.item.tolist() == [2, 5, 3, 8, 6]
    assert joined.score.tolist() == [1, 2.5, 1.5, 4, 3]
    assert [str(error) for error in joined.errors] == ["late"]
    kept = masked(joined, np.array([True, False, True, True, False]))
    assert (kept.item.tolist(), kept.offsets.tolist()) == ([5, 3], [0, 0, 0, 2, 2, 2])
    assert masked(joined, np.ones(5, np.bool_)) is joined


def test_columns_of_some_rows_are_missing_or_as_before_elsewhere() -> None:
    outcome: Outcome[Any] = Outcome(
        [(np.array([0]), {"x": np.array([1.0, 2.0]), "n": np.array([4, 4])}), (np.array([1]), {})]
    )
    batch = BATCH.with_columns({"n": np.arange(6)})
    columns = join_columns(batch, outcome)
    assert columns["n"].tolist() == [4, 4, 2, 3, 4, 5]
    assert batch.columns["n"].tolist() == [0, 1, 2, 3, 4, 5], "the batch is not written to"
    np.testing.assert_array_equal(columns["x"], [1, 2, np.nan, np.nan, np.nan, np.nan])


def test_hydrated_columns_of_some_rows_are_missing_elsewhere() -> None:
    part = Hydrated({"age": np.array([30.0, 40.0])}, {"seen": Ragged.from_lists([[1], [2, 3]])})
    joined = join_hydrated(Outcome([(np.array([2, 0]), part)]), 3)
    np.testing.assert_array_equal(joined.columns["age"], [40, np.nan, 30])
    assert joined.ragged["seen"].values.tolist() == [2, 3, 1]
    assert joined.ragged["seen"].counts.tolist() == [2, 0, 1]


def test_rows_that_no_score_reaches_stay_in_the_order_of_fusion() -> None:
    assert in_fusion_order(BATCH) is BATCH
    score = np.array([np.nan, np.nan, 3, np.nan, 0.9, np.inf], np.float32)
    ordered = in_fusion_order(BATCH.with_score(score)).score
    assert ordered[0] > ordered[1]
    np.testing.assert_array_equal(ordered[2:], score[2:])
    unscored = in_fusion_order(BATCH.with_score(np.full(6, np.nan, np.float32))).score
    assert unscored[3] > unscored[4] > unscored[5]


def test_the_order_of_lists_that_stand_then_by_score() -> None:
    lists = Ragged.from_lists([[9], [3, 8, 5], [4, 2], [1]])
    batch = Candidates.from_lists([[2, 5, 3, 7], [9, 2, 6]], scores=[[4, 1, 1, 9], [1, 1, 3]])
    order = listed_order(batch, lists, np.array([1, 2]))
    assert batch.item[order].tolist() == [3, 5, 7, 2, 2, 6, 9]


def test_lists_of_parts_are_joined_in_the_order_of_rows() -> None:
    mask = np.array([False, False, False, True])
    late = Selected(np.array([0, 2]), np.array([5, 3]), {"cap": mask}, np.array([0.5, 0.25]), {3: ("cap",)})
    early = Selected(np.array([0, 1, 2]), np.array([1, 2]), {"cap": ~mask, "pin": mask})
    joined = join_selected(BATCH, [late, early])
    assert joined.index.tolist() == [1, 2, 5, 3]
    assert joined.offsets.tolist() == [0, 1, 2, 2, 4]
    assert {name: rows.tolist() for name, rows in joined.relaxed.items()} == {
        "cap": [True] * 4,
        "pin": mask.tolist(),
    }
    np.testing.assert_array_equal(joined.propensity, [np.nan, np.nan, 0.5, 0.25])
    assert joined.conflicts == {3: ("cap",)}
    assert join_selected(BATCH, [early]).propensity is None


def test_lists_are_replaced_row_by_row() -> None:
    def lists(items: list[list[int]], pool: list[list[int]], **relaxed: list[bool]) -> Lists:
        batch = Candidates.from_lists(items)
        masks = {name: np.array(rows) for name, rows in relaxed.items()}
        return Lists(batch.with_columns({"tag": batch.item}), batch, Candidates.from_lists(pool), masks)

    mine = lists([[1, 2], [3]], [[1, 2, 4], [3, 6]], a=[True, True], b=[True, False])
    other = lists([[7], [8, 9]], [[7], [8, 9, 5]], a=[False, False], c=[True, True])
    mixed = mine.replace(np.array([False, True]), other)
    assert mixed.shown.item.tolist() == mixed.shown.columns["tag"].tolist() == [1, 2, 8, 9]
    assert mixed.plain.item.tolist() == [1, 2, 8, 9]
    assert mixed.pool.counts.tolist() == [3, 3]
    assert {name: rows.tolist() for name, rows in mixed.relaxed.items()} == {
        "a": [True, False],
        "b": [True, False],
        "c": [False, True],
    }


# -- plans -------------------------------------------------------------------------------------------


class Waiting:
    """A hydrator of today's state."""

    live = True
    provides = ("mood",)

    def hydrate(self, requests: Requests) -> Hydrated:
        return Hydrated({"mood": np.ones(len(requests))})


STAGES = (
    Waiting(),
    candidates.Merge([candidates.Popular(), candidates.ItemKNN()], by="quota", quotas={"popular": 0.5}),
    rules.NotOwned(),
    features.SourceScores(),
    rankers.LogisticRegression(),
    rules.MaxShare("category", 0.4),
)


def names(plan: Any) -> list[str]:
    return [node.name for node in plan]


def test_a_plan_is_one_tuple_with_views_by_role() -> None:
    plan = compile_plan(STAGES, candidates.Popular())
    assert names(plan) == [
        "user_history",
        "waiting",
        "merge.popular",
        "merge.item_knn",
        "not_owned",
        "source_scores",
        "logistic_regression",
        "max_share",
        "fallback.popular",
    ]
    assert [[node.name for node in group.nodes] for group in plan.body] == [
        ["not_owned"],
        ["source_scores"],
        ["logistic_regression"],
    ]
    assert plan.source_names == ("popular", "item_knn")
    assert plan.selection.name == "selection"
    assert plan.fallback is plan.nodes[-1]
    assert plan.fallback not in plan.sources


def test_plans_are_cut_before_a_scorer_with_or_without_live_stages() -> None:
    plan = compile_plan(STAGES, candidates.Popular())
    before = plan.before("logistic_regression")
    assert names(before) == names(plan)[:6]
    assert names(plan.before("logistic_regression", live=False)) == [
        name for name in names(before) if name != "waiting"
    ]
    assert names(plan.without(["max_share", "waiting"])) == [
        name for name in names(plan) if name not in ("max_share", "waiting")
    ]
    assert {node.on_error for node in plan.raising()} == {"raise"}
    assert {node.on_error for node in plan} == {"degrade"}


def test_steps_compile_to_the_same_plan_again() -> None:
    plan = compile_plan(STAGES, candidates.Popular())
    assert names(compile_plan(*plan.to_steps())) == names(plan)
    fewer = plan.without(["merge.popular"])
    stages, _ = fewer.to_steps()
    merge = next(step.stage for step in stages if step.name == "merge")
    assert merge.quotas == {}
    with pytest.raises(ConfigurationError, match="found no source left"):
        plan.without(["merge.popular", "merge.item_knn"]).to_steps()


# -- the run's books ---------------------------------------------------------------------------------


def test_a_hydrator_with_a_condition_counts_its_own_rows(toy: Dataset) -> None:
    stages = [rk.Step(Waiting(), when="vip"), candidates.Popular(half_life=None)]
    pipeline = rk.Pipeline(stages).fit(toy)
    answer = pipeline.recommend([None] * 3, k=2, now=2e9, context={"vip": np.array([True, False, True])})
    assert answer.trace.of("waiting")[0].n_rows == 2
    assert answer.trace.of("popular")[0].n_rows == 3


def test_reasons_of_a_row_do_not_depend_on_others_that_are_filled_up(toy: Dataset) -> None:
    ids = toy.item_ids.ids
    pipeline = rk.Pipeline(
        [
            candidates.FromFunction(lambda requests, limit: [[1]] * len(requests), name="one", codes=True),
            rules.MaxPerGroup("category", 1),
        ],
        fallback=candidates.Popular(half_life=None),
    ).fit(toy)
    category = toy.items.column("category")
    alike = [ids[code - 1] for code in np.flatnonzero(category == category[1])[:3]]
    both = pipeline.recommend([None, None], k=2, now=2e9, items=[alike, None])
    alone = pipeline.recommend([None], k=2, now=2e9, items=[alike])
    assert both.reasons[0] == alone.reasons[0]
    assert "limits leave 1 of 2 places" in both.reasons[0]
    assert both.status[1] == Status.FALLBACK
