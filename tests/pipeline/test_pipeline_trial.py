"""Functions of a user's own are tried by fit: what is wrong with them is raised there, typed, not degraded later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.errors import ConfigurationError, ContractError, DataError, StageError
from recokit.testing import toy_dataset

POPULAR = candidates.Popular(half_life=None)
DATA = toy_dataset()


def fails(*args: Any) -> Any:
    raise KeyError("no such model")


@pytest.mark.parametrize(
    ("stages", "error", "message"),
    [
        ([POPULAR, rankers.FromFunction(lambda batch: np.ones(3))], ContractError, r"shape \(3,\)"),
        (
            [POPULAR, rankers.FromFunction(lambda batch: np.ones((len(batch), 2)))],
            ContractError,
            "take one column",
        ),
        (
            [POPULAR, rankers.FromFunction(lambda batch: np.full(len(batch), np.nan))],
            ContractError,
            "found nan",
        ),
        (
            [POPULAR, rankers.FromFunction(lambda batch: np.full(len(batch), np.inf))],
            ContractError,
            "found inf",
        ),
        ([POPULAR, rankers.FromFunction(lambda batch: ["a"] * len(batch))], ContractError, "no numbers"),
        (
            [POPULAR, rankers.FromFunction(lambda batch: batch.feature("x"))],
            ConfigurationError,
            "no feature 'x'",
        ),
        ([POPULAR, rankers.FromFunction(fails)], StageError, "no such model"),
        ([POPULAR, rules.FromFunction(lambda batch: [True])], ContractError, "keep"),
        ([POPULAR, rules.FromFunction(lambda batch: np.ones(len(batch)))], ContractError, "expected bool"),
        ([POPULAR, rules.FromFunction(fails)], StageError, "no such model"),
        ([candidates.FromFunction(lambda requests, limit: [[1], [2]])], ContractError, "2 lists"),
        ([candidates.FromFunction(lambda requests, limit: [1] * len(requests))], ContractError, "for a list"),
        (
            [candidates.FromFunction(lambda requests, limit: [[101, 101]] * len(requests))],
            ContractError,
            "twice",
        ),
        ([candidates.FromFunction(lambda requests, limit: None)], ContractError, "NoneType"),
        (
            [candidates.FromFunction(lambda requests, limit: [["x"]] * len(requests))],
            StageError,
            "found str ids",
        ),
        ([candidates.Merge([candidates.FromFunction(fails), POPULAR])], StageError, "no such model"),
    ],
)
def test_what_is_wrong_is_raised_by_fit(stages: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rk.Pipeline(stages).fit(DATA)


def test_the_model_before_goes_on_serving() -> None:
    broken = [False]
    pipeline = rk.Pipeline(
        [POPULAR, rules.FromFunction(lambda batch: None if broken[0] else batch.item > 0)]
    ).fit(DATA)
    broken[0] = True
    with pytest.raises(ContractError):
        pipeline.fit(DATA)
    broken[0] = False
    assert len(pipeline.recommend([None], k=3, now=DATA.until).ids(0)) == 3


def test_what_the_network_does_is_no_fault_of_a_function() -> None:
    def down(*args: Any) -> Any:
        raise ConnectionError("no route")

    waits = candidates.FromFunction(fails, name="waits", io_bound=True)
    rk.Pipeline([candidates.Merge([waits, POPULAR])]).fit(DATA)
    rk.Pipeline([waits]).fit(DATA)
    rk.Pipeline([candidates.Merge([candidates.FromFunction(down, name="own"), POPULAR])]).fit(DATA)
    rk.Pipeline([POPULAR, rules.FromFunction(lambda batch: batch.requests.column("age") > np.zeros(1))]).fit(
        DATA
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: candidates.FromFunction(lambda requests: []),
        lambda: candidates.FromFunction(lambda: []),
        lambda: candidates.FromFunction(lambda requests, limit, more: []),
        lambda: rules.FromFunction(lambda: []),
        lambda: rules.FromFunction(lambda row, batch: []),
        lambda: rankers.FromFunction(lambda: []),
        lambda: rankers.FromFunction(lambda x, y: [], features=["price"]),
        lambda: rules.InStock(lambda: []),
    ],
)
def test_the_number_of_arguments_is_checked_at_once(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="found the function <lambda>"):
        make()


class TestEstimators:
    def test_features_without_any_value_are_left_out_and_named(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        stages = [
            candidates.Merge([candidates.ItemKNN(), POPULAR]),
            features.Standard(),
            rankers.FromEstimator(HistGradientBoostingClassifier(max_iter=5)),
        ]
        pipeline = rk.Pipeline(stages).fit(DATA, label_window="7D")
        ranker = pipeline["from_estimator"]
        assert ranker.all_missing_ and not {*ranker.all_missing_} & {*ranker.feature_names_}
        assert all(name in caplog.text for name in ranker.all_missing_)
        assert {*ranker.all_missing_, *ranker.feature_names_} == {*pipeline["standard"].names}
        assert len(pipeline.recommend([None], k=3, now=DATA.until).ids(0)) == 3

    def test_none_with_a_value_is_an_error(self) -> None:
        class Nothing:
            names = ("nothing",)

            def featurize(self, batch: Any) -> Any:
                return np.full((len(batch), 1), np.nan, np.float32)

        stages = [POPULAR, Nothing(), rankers.FromEstimator(HistGradientBoostingClassifier())]
        with pytest.raises(DataError, match="found no value in any of 1 features, such as 'nothing'"):
            rk.Pipeline(stages).fit(DATA, label_window="7D")

    @pytest.mark.parametrize("order", [[], [features.Standard()]])
    def test_a_ranker_before_its_features_says_so(self, order: list[Any]) -> None:
        with pytest.raises(ConfigurationError, match="no features before it"):
            rk.Pipeline([POPULAR, rankers.LogisticRegression(), *order]).fit(DATA, label_window="7D")
