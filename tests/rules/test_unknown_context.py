"""Context that a call lacks is unknown: policy rules fail closed for the rows that lack it, and nothing raises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import Dataset
from recokit.errors import ConfigurationError
from recokit.testing import toy_dataset
from recokit.trace import Status

POPULAR = candidates.Popular(half_life=None)
AGE = rules.Where("not item.adult or request.age >= 18")


@pytest.fixture(scope="module")
def shop() -> Dataset:
    log = {"user_id": [*range(1, 9)] * 3, "item_id": [*range(1, 9)] * 3, "timestamp": [*range(24)]}
    return Dataset.from_frame(
        log, items={"item_id": [*range(1, 9)], "adult": [item > 6 for item in range(1, 9)]}
    )


def shown(stages: list[Any], shop: Dataset, users: int = 1, **options: Any) -> list[list[int]]:
    answer = rk.Pipeline(stages).fit(shop).recommend([None] * users, k=8, now=1e9, **options)
    assert not (answer.status == Status.FAILED).any()
    return [sorted(answer.ids(row)) for row in range(users)]


CHILD, ADULT = [*range(1, 7)], [*range(1, 9)]


class TestRulesFailClosed:
    def test_a_condition(self, shop: Dataset) -> None:
        assert shown([POPULAR, AGE], shop) == [CHILD]
        ages = {"age": [18, None, 17, float("nan")]}
        assert shown([POPULAR, AGE], shop, 4, context=ages) == [ADULT, CHILD, CHILD, CHILD]

    @pytest.mark.parametrize("others", [False, True])
    def test_lists_by_a_label(self, shop: Dataset, others: bool) -> None:
        allowed: dict[str, list[int]] = {"DE": [1, 2, 3], "AT": [2, 3, 4]} | ({"*": [3, 4]} if others else {})
        blocked: dict[str, list[int]] = {"DE": [1], "AT": [2]} | ({"*": []} if others else {})
        markets = {"market": ["DE", None, "CH"]}
        kept = shown([POPULAR, rules.Allowed(allowed, by="market")], shop, 3, context=markets)
        assert kept == [[1, 2, 3], [3] if others else [], [3, 4] if others else []]
        kept = shown([POPULAR, rules.Blocked(blocked, by="market")], shop, 3, context=markets)
        assert kept == [[*range(2, 9)], [*range(3, 9)] if others else [], ADULT if others else []]
        assert shown([POPULAR, rules.Blocked(blocked, by="market")], shop) == [kept[1]]
        assert shown([POPULAR, rules.Allowed(allowed, by="market")], shop) == [[3] if others else []]

    def test_a_filter_for_some_rows_applies_where_nobody_knows(self, shop: Dataset) -> None:
        stages = [POPULAR, rk.Step(rules.Blocked([7, 8]), when="minor")]
        assert shown(stages, shop) == [CHILD]
        assert shown(stages, shop, 3, context={"minor": [False, True, None]}) == [ADULT, CHILD, CHILD]

    def test_what_is_no_rule_stays_out_where_nobody_knows(self, shop: Dataset) -> None:
        def broken(batch: Any) -> Any:
            raise AssertionError

        stages = [POPULAR, rk.Step(rankers.FromFunction(broken), when="treated")]
        assert shown(stages, shop) == [ADULT]

    def test_a_misspelt_column_is_told(self, shop: Dataset) -> None:
        pipeline = rk.Pipeline([POPULAR, AGE]).fit(shop)
        answer = pipeline.recommend([None, 1], now=1e9, context={"agee": 18})
        assert answer.reasons == (("age is unknown: did you mean 'agee'?",),) * 2
        assert pipeline.recommend([None], now=1e9, context={"age": None}).reasons == ((),)

    def test_other_ways_out(self, shop: Dataset) -> None:
        pipeline = rk.Pipeline(
            [candidates.Merge([candidates.ItemKNN(), POPULAR]), AGE], fallback=POPULAR
        ).fit(shop)
        assert not {7, 8} & {*pipeline.similar_items([1], k=8).ids(0)}
        assert not {7, 8} & {*pipeline.run(pipeline.requests([1], now=1e9)).ids(0)}
        assert not {7, 8} & {*pipeline.candidates(pipeline.requests([1], now=1e9)).item.tolist()}

    def test_a_hydrator_may_know(self, shop: Dataset) -> None:
        class Ages:
            provides = ("context.age",)

            def hydrate(self, requests: Any) -> Any:
                return rk.protocols.Hydrated(columns={"age": np.full(len(requests), 30.0)})

        assert shown([Ages(), POPULAR, AGE], shop) == [ADULT]


class TestDeclaredOnce:
    def test_for_calls_that_do_not_give_it(self, shop: Dataset, tmp_path: Any) -> None:
        pipeline = rk.Pipeline([POPULAR, AGE], context={"age": {1: 20, 2: 10}}).fit(shop)
        pipeline.save(tmp_path / "model")
        for served in (pipeline, rk.Pipeline.load(tmp_path / "model"), pipeline.prefix("where")):
            if "where" not in served.names:
                continue
            answer = served.recommend([1, 2, 3], k=8, now=1e9)
            assert [sorted(answer.ids(row)) for row in range(3)] == [ADULT, CHILD, CHILD]
            assert sorted(served.recommend([1], k=8, now=1e9, context={"age": 3}).ids(0)) == CHILD
        grown = pipeline.with_context({"age": 40})
        assert sorted(grown.recommend([2], k=8, now=1e9).ids(0)) == ADULT

    @pytest.mark.parametrize("wrong", [{"age": [1, 2]}, ["age"], {5: 1}])
    def test_what_is_no_value_for_all_is_refused(self, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="found context"):
            rk.Pipeline([POPULAR], context=wrong)


@pytest.fixture(scope="module")
def policies() -> list[Any]:
    return [
        POPULAR,
        rules.Where("not item.sponsored or request.age >= 18"),
        rk.Step(rules.Blocked("sponsored"), when="minor"),
        features.Standard(),
        rankers.LogisticRegression(),
    ]


class TestFitAndTools:
    def test_none_raises_without_the_columns(self, policies: list[Any]) -> None:
        train, test = toy_dataset().split_at(toy_dataset().until - 86400 * 10)
        pipeline = rk.Pipeline(policies).fit(train, label_window="7D")
        assert rk.evaluate(pipeline, test, ["NDCG@5"])["NDCG@5"].n > 0
        assert rk.preflight(pipeline, train, test, n_users=5, n_requests=1) is not None
        user = pipeline.schema.user_ids.ids[0]
        assert rk.RecommendationDebugger(pipeline).diagnose(user, now=train.until) is not None

    def test_they_take_what_the_columns_are(self, policies: list[Any]) -> None:
        train, test = toy_dataset().split_at(toy_dataset().until - 86400 * 10)
        known = {"age": 30, "minor": False}
        closed = rk.Pipeline(policies).fit(train, label_window="7D")
        opened = rk.Pipeline(policies).fit(train, label_window="7D", context=known)
        found = [
            sum(window.candidates for window in one.training_report_.windows) for one in (closed, opened)
        ]
        assert found[0] < found[1]
        with_age = rk.evaluate(opened, test, ["CatalogCoverage@20"], context=known)
        without = rk.evaluate(opened, test, ["CatalogCoverage@20"])
        assert with_age["CatalogCoverage@20"].mean > without["CatalogCoverage@20"].mean
        ages = dict.fromkeys(train.user_ids.ids.tolist(), 30)
        each = rk.evaluate(opened, test, ["CatalogCoverage@20"], context={"age": ages, "minor": False})
        assert each["CatalogCoverage@20"].mean == with_age["CatalogCoverage@20"].mean
        rk.preflight(opened, train, test, n_users=5, n_requests=1, context=known)
        user = opened.schema.user_ids.ids[0]
        rk.RecommendationDebugger(opened, context=known).diagnose(user, now=train.until)


@pytest.mark.parametrize(
    "unknown",
    [None, float("nan"), np.float64("nan"), np.datetime64("NaT")],
    ids=["None", "nan", "numpy nan", "NaT"],
)
class TestMissingValuesOfLibraries:
    @pytest.mark.parametrize(
        "text", ["request.country != 'US'", "not request.country == 'US'", "request.country not in ['US']"]
    )
    @pytest.mark.parametrize("form", [list, tuple, lambda values: np.array(values, object)])
    def test_beside_text(self, shop: Dataset, unknown: Any, text: str, form: Any) -> None:
        countries = {"country": form(["DE", unknown, "US"])}
        assert shown([POPULAR, rules.Where(text)], shop, 3, context=countries) == [ADULT, [], []]

    def test_declared_by_user(self, shop: Dataset, unknown: Any) -> None:
        pipeline = rk.Pipeline(
            [POPULAR, rules.Where("request.country != 'US'")], context={"country": {1: "DE", 2: unknown}}
        ).fit(shop)
        answer = pipeline.recommend([1, 2], k=8, now=1e9)
        assert [len(answer.ids(row)) for row in range(2)] == [8, 0]

    def test_beside_flags(self, shop: Dataset, unknown: Any) -> None:
        blocked = rk.Step(rules.Blocked([1, 2]), when="strict")
        flags = {"strict": [True, unknown, False]}
        rest = [*range(3, 9)]
        assert shown([POPULAR, blocked], shop, 3, context=flags) == [rest, rest, ADULT]
