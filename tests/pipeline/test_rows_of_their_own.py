"""A batch whose rows have options and budgets of their own answers as its requests do alone."""

import threading
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, exploration, features, rankers, rules
from recokit.data.context import NOT_GIVEN
from recokit.errors import ConfigurationError, DataError
from recokit.testing import FixedSource, failing, slow, toy_dataset
from recokit.trace import Status

DATA = toy_dataset()
T = DATA.until
USERS = ["user-3", "nobody", None, "user-9", "user-3"]


@pytest.fixture(scope="module")
def pipeline() -> rk.Pipeline:
    stages = [
        candidates.Merge([candidates.ItemKNN(), candidates.Popular(half_life="30D")]),
        rules.NotOwned(),
        features.Standard(),
        rankers.LogisticRegression(),
        rules.MaxPerGroup("seller", 2),
        diversity.MMR(0.7),
    ]
    return rk.Pipeline(stages).fit(DATA, label_window="7D")


def test_rows_with_options_of_their_own_answer_as_alone(pipeline: rk.Pipeline) -> None:
    each: dict[str, list[Any]] = {
        "k": [3, 7, 1, 5, 2],
        "items": [None, [101, 105, 109], None, None, []],
        "exclude": [[101], None, [102, 103], None, None],
        "history": [None, None, [104, 105], None, None],
        "session": [None, [106], None, [107, 107], None],
    }
    batch = pipeline.recommend(USERS, now=T, **each)
    for row, user in enumerate(USERS):
        own = {name: [values[row]] for name, values in each.items() if values[row] is not None}
        alone = pipeline.recommend([user], now=T, **own)
        assert batch.ids(row) == alone.ids(0), row
        assert batch.status[row] == alone.status[0]


def test_rows_have_seeds_of_their_own() -> None:
    drawn = rk.Pipeline([candidates.Popular(), exploration.EpsilonGreedy(epsilon=1.0)]).fit(DATA)
    seeds = [1, 2, -3, 2**63 + 5, 1]
    batch = drawn.recommend(USERS, now=T, seed=seeds)
    for row, user in enumerate(USERS):
        assert batch.ids(row) == drawn.recommend([user], now=T, seed=seeds[row]).ids(0)
    assert batch.ids(0) == batch.ids(4)
    with pytest.raises(DataError, match="found 2 seeds; expected one, or one for each of 5 users"):
        drawn.recommend(USERS, now=T, seed=[1, 2])


class Reverse:
    """Scores items by their code."""

    def score(self, candidates: rk.Candidates) -> Any:
        return candidates.item.astype(np.float32)


class Price:
    """A feature that no ranker reads."""

    names = ("own_price",)

    def featurize(self, candidates: rk.Candidates) -> Any:
        return np.ones((len(candidates), 1), np.float32)


class Country:
    """A hydrator that knows every user's country."""

    provides = ("context.country",)

    def hydrate(self, requests: rk.Requests) -> rk.Hydrated:
        return rk.Hydrated({"country": np.full(len(requests), "DE")})


def only_in(country: str, *hydrators: Any) -> rk.Pipeline:
    allowed = rules.Where(f"request.country == {country!r}")
    return rk.Pipeline([*hydrators, candidates.Popular(), allowed]).fit(DATA)


@pytest.mark.parametrize("source", ["declared", "hydrated", "nobody"])
def test_a_row_that_gives_no_context_gets_what_it_would_alone(source: str) -> None:
    pipeline = only_in("DE", *([Country()] if source == "hydrated" else []))
    if source == "declared":
        pipeline = pipeline.with_context({"country": "DE"})
    batch = pipeline.recommend(USERS[:3], now=T, context={"country": ["FR", NOT_GIVEN, "DE"]})
    known = source != "nobody"
    assert [len(batch.ids(row)) > 0 for row in range(3)] == [False, known, True]


def test_a_column_that_is_whole_again_has_its_own_type() -> None:
    requests = only_in("DE").requests(USERS[:2], now=T, context={"age": [7, NOT_GIVEN]})
    filled = requests.with_columns({"age": np.array([1, 2])}).columns["age"]
    assert filled.tolist() == [7, 2] and filled.dtype.kind == "i"
    assert requests.columns["age"].tolist() == [7, None]


# -- budgets -------------------------------------------------------------------------------------------


def test_only_rows_without_time_go_without_a_stage() -> None:
    stages = [slow(FixedSource([1, 2, 3, 4]), 0.05), rk.Step(Reverse(), optional=True)]
    pipeline = rk.Pipeline(stages).fit(DATA)
    answer = pipeline.recommend(USERS[:3], k=4, now=T, budget_ms=[60.0, 60_000.0, 60.0])
    assert answer.codes(1).tolist() == [4, 3, 2, 1]
    assert answer.codes(0).tolist() == answer.codes(2).tolist() == [1, 2, 3, 4]
    assert answer.status.tolist() == [Status.DEGRADED, Status.OK, Status.DEGRADED]
    assert answer.trace.budget == 0.06


@pytest.mark.parametrize("budget", [[10.0], [10.0, 0.0], [10.0, -1.0], [10.0, float("nan")]], ids=str)
def test_budgets_are_positive_one_for_each_row(budget: list[float]) -> None:
    pipeline = rk.Pipeline([FixedSource([1, 2])]).fit(DATA)
    with pytest.raises(
        DataError, match="expected positive milliseconds, one for all or one for each of 2 users"
    ):
        pipeline.recommend(USERS[:2], now=T, budget_ms=budget)


def test_budgets_go_with_their_rows_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recokit.pipeline.model.CHUNK_ROWS", 2)
    pipeline = rk.Pipeline([slow(FixedSource([1, 2]), 0.02), rk.Step(Reverse(), optional=True)])
    pipeline.fit(DATA)
    answer = pipeline.recommend(USERS, k=2, now=T, budget_ms=[25.0, 9e4, 9e4, 9e4, 25.0])
    assert [answer.codes(row).tolist() for row in range(5)] == [[1, 2], [2, 1], [2, 1], [2, 1], [1, 2]]
    with pytest.raises(DataError, match="found 3 budgets"):
        pipeline.recommend(USERS, now=T, budget_ms=[1.0, 2.0, 3.0])


# -- effort --------------------------------------------------------------------------------------------


def asked_with(pipeline: rk.Pipeline, effort: float) -> rk.Recommendations:
    from recokit._utils.copies import with_fields

    return pipeline.run(with_fields(pipeline.requests([None], k=2, now=T), effort=effort))


def test_less_effort_skips_optional_stages_and_says_so() -> None:
    pipeline = rk.Pipeline([FixedSource([1, 2]), rk.Step(Reverse(), optional=True)]).fit(DATA)
    assert asked_with(pipeline, 1.0).codes(0).tolist() == [2, 1]
    less = asked_with(pipeline, 0.99)
    assert less.codes(0).tolist() == [1, 2]
    assert less.status[0] == Status.DEGRADED and "served with effort 0.99" in less.reasons[0][0]


@pytest.mark.parametrize(("effort", "expected"), [(1.0, 8), (0.5, 4), (0.3, 3), (0.01, 1)])
def test_less_effort_shrinks_limits(effort: float, expected: int) -> None:
    pipeline = rk.Pipeline([candidates.Merge([FixedSource(range(1, 20))], limit=8)]).fit(DATA)
    answer = asked_with(pipeline, effort)
    assert answer.trace.of("merge")[0].n_out == expected


# -- stages that wait ----------------------------------------------------------------------------------


def waiting(stage: Any) -> Any:
    stage.io_bound = True
    return stage


@pytest.mark.parametrize("kind", ["filter", "scorer", "featurizer", "hydrator"])
def test_any_stage_that_waits_is_given_up_in_time(kind: str) -> None:
    stages = {
        "hydrator": [waiting(slow(Country(), 5.0)), FixedSource([1, 2])],
        "filter": [FixedSource([1, 2]), waiting(slow(rules.InStock(np.ones(DATA.n_items + 1)), 5.0))],
        "scorer": [FixedSource([1, 2]), waiting(slow(Reverse(), 5.0))],
        "featurizer": [FixedSource([1, 2]), waiting(slow(Price(), 5.0))],
    }[kind]
    pipeline = rk.Pipeline(stages).fit(DATA)
    answer = pipeline.recommend(USERS, k=2, now=T, budget_ms=120)
    assert answer.trace.seconds < 2.0
    if kind == "filter":  # what cannot be checked is not shown
        assert set(answer.status.tolist()) == {Status.FAILED} and not len(answer.item)
    else:
        assert set(answer.status.tolist()) == {Status.DEGRADED}
        assert all(answer.codes(row).tolist() == [1, 2] for row in range(len(USERS)))


def test_a_stage_that_waits_and_fails_on_a_row_fails_on_that_row_alone() -> None:
    class Poisoned(Reverse):
        def score(self, candidates: rk.Candidates) -> Any:
            if "user-9" in candidates.requests.user_ids.tolist():  # type: ignore[union-attr]
                raise LookupError("gone")
            return super().score(candidates)

    pipeline = rk.Pipeline([FixedSource([1, 2]), waiting(Poisoned())]).fit(DATA)
    answer = pipeline.recommend(USERS, k=2, now=T, budget_ms=60_000)
    assert answer.status.tolist() == [0, 0, 0, Status.DEGRADED, 0]
    assert answer.codes(3).tolist() == [1, 2] and answer.codes(0).tolist() == [2, 1]


def test_what_fails_over_and_over_is_not_asked_for_a_while() -> None:
    stage = waiting(failing(Reverse()))
    pipeline = rk.Pipeline([FixedSource([1, 2]), stage]).fit(DATA)
    reasons = [pipeline.recommend([None], now=T).reasons[0][0] for _ in range(12)]
    assert "failing on purpose" in reasons[0] and "not asked for 1 s" in reasons[-1]


def test_a_slow_call_is_made_again_where_that_is_allowed() -> None:
    calls, slow_ones = [], [False]
    ended = threading.Event()

    class Waits(Reverse):
        io_bound = True

        def score(self, candidates: rk.Candidates) -> Any:
            calls.append(len(calls))
            if slow_ones[0]:
                slow_ones[0] = False
                ended.wait(30)
            return super().score(candidates)

    pipeline = rk.Pipeline([FixedSource([1, 2]), Waits()], hedge=0.05).fit(DATA)
    for _ in range(25):
        pipeline.recommend([None], now=T)
    calls.clear()
    slow_ones[0] = True
    answer = pipeline.recommend([None], k=2, now=T, budget_ms=20_000)
    ended.set()
    assert len(calls) == 2 and answer.codes(0).tolist() == [2, 1]


def test_the_share_of_second_calls_is_one() -> None:
    with pytest.raises(ConfigurationError, match="hedge"):
        rk.Pipeline([FixedSource([1, 2])], hedge=1.1)
