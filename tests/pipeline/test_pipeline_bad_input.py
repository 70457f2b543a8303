"""Bad input: each kind with its typed error, which names the value, the expectation and a hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import Candidates, Cap, Dataset, Pin, Ragged, Requests, Retrieved
from recokit.data.requests import Hydrated
from recokit.errors import ConfigurationError, ContractError, DataError, NotFittedError, VocabularyMismatch
from recokit.pipeline import Step
from recokit.testing import FixedSource, failing
from recokit.trace import Status

LOG = {"user_id": ["a", "b"], "item_id": [1, 2], "timestamp": [1.0, 2.0]}


class Scores:
    """Scores by a function of the batch."""

    def __init__(self, function: Callable[[Candidates], Any]) -> None:
        self.function = function

    def score(self, candidates: Candidates) -> Any:
        return self.function(candidates)


class Verb:
    """Base of stages whose answer is whatever it was given."""

    names = ("x",)

    def __init__(self, answer: Any) -> None:
        self.answer = answer


def stage_with(verb: str, answer: Any) -> Any:
    def method(self: Any, *args: Any) -> Any:
        return self.answer(*args) if callable(self.answer) else self.answer

    more = {"start": method, "update": method} if verb == "gain" else {}
    return type(f"Wrong{verb.title()}", (Verb,), {verb: method, **more})(answer)


@pytest.fixture(scope="module")
def simple(toy: Dataset) -> rk.Pipeline:
    return rk.Pipeline([candidates.Popular(window="3650D")], clock=lambda: toy.until).fit(toy)


# -- data -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamp": [1.0, np.nan]}, r"(?i)nan.*rows 1"),
        ({"timestamp": [1.0, 9e9]}, r"expected.*rows 1"),
        ({"item_id": [1, "x"]}, "expected"),
    ],
)
def test_bad_logs_are_data_errors(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset.from_frame({**LOG, **change}, now=100.0)


def test_an_unknown_column_is_named_with_a_hint(toy: Dataset) -> None:
    pipeline = rk.Pipeline([candidates.Popular(), rules.MaxShare("categry", 0.4)])
    with pytest.raises(
        ConfigurationError, match=r"max_share requires 'item.categry'.*did you mean 'item.category'"
    ):
        pipeline.fit(toy)


def test_a_missing_feature_is_named_with_a_hint(toy: Dataset) -> None:
    stages = [candidates.Popular(), features.Assemble([features.Item("price")])]
    pipeline = rk.Pipeline([*stages, rankers.Weighted({"item_prise": 1.0})])
    with pytest.raises(ConfigurationError, match="prise"):
        pipeline.fit(toy)


# -- calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, -3, 2.5, [1, 2], "ten", [[1]]])
def test_k_must_be_a_whole_number_of_at_least_one_for_each_user(simple: rk.Pipeline, k: Any) -> None:
    with pytest.raises(DataError, match=r"found.*expected"):
        simple.recommend([None], k=k)


def test_a_k_beyond_the_catalogue_is_cut_to_it(simple: rk.Pipeline, toy: Dataset) -> None:
    assert len(simple.recommend([None], k=10**12).ids(0)) <= toy.n_items


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"users": ["user-1", 5]}, "int"),
        ({"users": [5]}, r"hint: convert them with str\(\)"),
        ({"users": "user-1"}, r"hint: \['user-1'\]"),
        ({"users": 5}, "expected a list of ids"),
        ({"users": None}, r"hint: users=\['ann'\]"),
        ({"items": [["101"]]}, r"found str ids.*hint"),
        ({"items": [101]}, "found 101 in items; expected a list"),
        ({"history": [[101], [102]]}, "found 2 lists in history; expected 1"),
        ({"session": "101"}, "expected one list of item ids"),
        ({"exclude": ["101"]}, r"found '101' in exclude"),
        ({"now": float("nan")}, "expected"),
        ({"now": "yesterday"}, "expected an ISO date"),
        ({"now": [1.0, 2.0]}, "one for each of 1 users"),
        ({"context": {"country": ["DE", "FR"]}}, "found 2 rows in 'country'; expected 1"),
        ({"budget_ms": 0}, "found budget_ms=0; expected a positive"),
        ({"budget_ms": float("nan")}, "found budget_ms=nan"),
    ],
)
def test_bad_calls_are_data_errors(simple: rk.Pipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        simple.recommend(**{"users": ["user-1"], **options})


def test_an_unknown_capture_is_a_configuration_error(simple: rk.Pipeline) -> None:
    with pytest.raises(ConfigurationError, match="found capture='all'; expected 'summary' or 'full'"):
        simple.recommend([None], capture="all")  # type: ignore[arg-type]


def test_an_unknown_user_is_cold_and_no_error(simple: rk.Pipeline) -> None:
    answer = simple.recommend(["never seen", None], k=3)
    assert answer.status.tolist() == [Status.OK, Status.OK] and answer.ids(0) == answer.ids(1)


def test_unknown_items_in_lists_are_left_out_of_items_and_kept_out_of_the_way(simple: rk.Pipeline) -> None:
    answer = simple.recommend([None], items=[[999, 101, 101, 102]], exclude=[[888]], history=[[777]])
    assert sorted(answer.ids(0)) == [101, 102]


def test_codes_of_another_model_are_a_vocabulary_mismatch(simple: rk.Pipeline, toy: Dataset) -> None:
    alien = toy.n_users + 1
    with pytest.raises(
        VocabularyMismatch, match=f"found code {alien} in 'user'; expected 0 to {toy.n_users}; hint"
    ):
        simple.run(Requests.build(np.array([alien]), now=toy.until))
    lists = {"history": Ragged.from_lists([[toy.n_items + 7]])}
    with pytest.raises(VocabularyMismatch, match=f"found code {toy.n_items + 7} in 'history'"):
        simple.run(Requests.build(np.array([1]), now=toy.until, ragged=lists))
    with pytest.raises(VocabularyMismatch, match="found code -2 in 'exclude'"):
        simple.candidates(Requests.build(np.array([1]), ragged={"exclude": Ragged.from_lists([[-2]])}))


def test_a_source_that_answers_with_another_models_codes_breaks_its_contract(toy: Dataset) -> None:
    pipeline = rk.Pipeline([FixedSource([1, toy.n_items + 1])]).fit(toy)
    with pytest.raises(
        ContractError, match=rf"item code {toy.n_items + 1}.*hint: codes of another vocabulary"
    ):
        pipeline.recommend([None])


def test_an_inner_pipeline_of_other_vocabularies_does_not_fit(simple: rk.Pipeline) -> None:
    other = rk.testing.toy_dataset(n_users=5, n_items=6, n_events=50)
    with pytest.raises(VocabularyMismatch, match=r"item_ids \(40\) differ from the outer one's \(6\).*hint"):
        rk.Pipeline([simple.as_source()]).fit(other)


def test_serving_before_fit_says_so() -> None:
    pipeline = rk.Pipeline([candidates.Popular()])
    with pytest.raises(NotFittedError, match=r"expected pipeline.fit\(dataset\) first"):
        pipeline.recommend(["user-1"])


def test_an_unfitted_stage_is_an_error_and_no_degradation(simple: rk.Pipeline, toy: Dataset) -> None:
    with pytest.raises(NotFittedError):
        simple.replace("popular", candidates.Popular()).recommend([None])


def test_an_empty_catalogue_gives_honest_empty_lists(toy: Dataset) -> None:
    nothing = Dataset.from_frame({"user_id": [], "item_id": [], "timestamp": []}, now=100.0)
    pipeline = rk.Pipeline([candidates.Popular()], fallback=candidates.Popular(half_life=None)).fit(nothing)
    answer = pipeline.recommend([None, None], k=4, now=50.0)
    assert answer.status.tolist() == [Status.EMPTY, Status.EMPTY] and len(answer.item) == 0
    assert answer.reasons[0] == ("no item passed every hard rule",)


# -- configuration ----------------------------------------------------------------------------------------------------


class TwoVerbs:
    def keep(self, candidates: Candidates) -> Any: ...

    def score(self, candidates: Candidates) -> Any: ...


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([candidates.Popular(), TwoVerbs()], "found the verbs keep, score on TwoVerbs.*hint: split"),
        ([candidates.Popular(), object()], "found no verb on object"),
        ([candidates.Popular], r"found the class Popular; expected an instance"),
        ([candidates.Popular(), candidates.History()], r"found 2 sources in a row.*hint: candidates.Merge"),
        ([], "found no source"),
        ([rules.NotOwned(), candidates.Popular()], "found filter not_owned before any source"),
        ([candidates.Popular(), rk.diversity.TopK(), rankers.Weighted({"score": 1})], "expected the order"),
        ([candidates.Popular(), rk.diversity.TopK(), rk.diversity.MMR(0.7)], "found 2 objectives"),
        (
            [candidates.Popular(), rules.NotOwned(), rules.NotOwned()],
            "two stages with the path 'not_owned'.*hint: Step",
        ),
        ([Step(candidates.Popular(), limit=5), Step(rules.NotOwned(), limit=5)], "only sources have one"),
    ],
)
def test_bad_assemblies_are_configuration_errors(stages: list[Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        rk.Pipeline(stages)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "no name"}, "found step name 'no name'; expected an identifier"),
        ({"on_error": "ignore"}, "found on_error='ignore'; expected 'degrade' or 'raise'"),
        ({"limit": 0}, "found limit=0; expected a whole number of at least 1"),
    ],
)
def test_bad_steps_are_configuration_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Step(candidates.Popular(), **options)
    with pytest.raises(ConfigurationError, match="found a Step inside a Step"):
        Step(Step(candidates.Popular()))


def test_a_fallback_must_be_a_source() -> None:
    with pytest.raises(ConfigurationError, match="found a filter as fallback; expected a source"):
        rk.Pipeline([candidates.Popular()], fallback=rules.NotOwned())


def test_two_features_of_one_name_are_refused(toy: Dataset) -> None:
    block = features.Assemble([features.Item("price")])
    with pytest.raises(ConfigurationError, match=r"found feature '.*price.*' twice, again in again"):
        rk.Pipeline([candidates.Popular(), block, Step(block, name="again")]).fit(toy)


def test_bind_must_return_the_bound_copy(toy: Dataset) -> None:
    class Forgetful:
        def keep(self, candidates: Candidates) -> Any: ...

        def bind(self, schema: Any) -> None: ...

    with pytest.raises(ContractError, match=r"found None from forgetful.bind\(schema\)"):
        rk.Pipeline([candidates.Popular(), Forgetful()]).fit(toy)


def test_more_sources_than_bits_are_refused() -> None:
    # Two of the 64 bits are for given items and for the fallback.
    with pytest.raises(ConfigurationError, match="63 sources; expected at most 62"):
        rk.Pipeline([candidates.Merge([Step(FixedSource([1]), name=f"s{i}") for i in range(63)])])


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (lambda requests: requests.k, "found int64"),
        (lambda requests: np.ones(99, bool), r"found bool \(99,\)"),
        (lambda requests: 1 / 0, "found ZeroDivisionError"),
    ],
)
def test_a_condition_must_give_a_bool_for_each_row(toy: Dataset, condition: Any, message: str) -> None:
    pipeline = rk.Pipeline([FixedSource([1]), Step(rules.NotOwned(), when=condition)]).fit(toy)
    with pytest.raises(ContractError, match=message):
        pipeline.recommend([None])


def test_a_condition_on_a_column_that_nobody_gave_is_named(toy: Dataset) -> None:
    pipeline = rk.Pipeline([FixedSource([1]), Step(rules.NotOwned(), when="vip")]).fit(toy)
    assert "vip is unknown" in pipeline.recommend([None]).reasons[0][0]


# -- what stages return -----------------------------------------------------------------------------------------------


def ones(n: int) -> Any:
    return np.ones(n, np.float32)


@pytest.mark.parametrize(
    ("verb", "answer", "message"),
    [
        ("hydrate", {}, "found dict from wrong_hydrate.hydrate; expected Hydrated"),
        ("hydrate", Hydrated(columns={"x": np.ones(9)}), r"found float64 \(9,\) for 'x'"),
        ("hydrate", Hydrated(ragged={"x": Ragged.empty(9)}), "found Ragged for 'x'"),
        ("retrieve", [[1, 2]], "found list from wrong_retrieve.retrieve; expected Retrieved"),
        ("retrieve", Retrieved.empty(3), "4 offsets"),
        ("retrieve", Retrieved(np.array([0, 2]), np.array([1, 1]), ones(2)), "item code 1 twice in row 0"),
        ("retrieve", Retrieved(np.array([0, 1]), np.array([0]), ones(1)), "item code 0"),
        ("retrieve", Retrieved(np.array([0, 1]), np.array([1]), ones(2)), "1 items and 2 scores"),
        ("keep", [True], "found list from wrong_keep.keep"),
        ("keep", np.ones(3), r"found float64 \(3,\) from wrong_keep.keep; expected bool \(3,\)"),
        ("keep", np.ones(2, bool), r"found bool \(2,\)"),
        ("featurize", np.ones((3, 2), np.float32), r"found float32 \(3, 2\) from wrong_featurize.featurize"),
        ("featurize", np.ones((3, 1), int), "found int64"),
        ("featurize", None, "found NoneType"),
        ("score", np.ones((3, 1)), r"found float64 \(3, 1\) from wrong_score.score; expected float32 \(3,\)"),
        ("score", np.ones(3, int), "found int64"),
        ("limit", [], "found list from wrong_limit.limit; expected a tuple of Cap and Pin"),
        ("limit", ("cap",), "expected a tuple of Cap and Pin"),
        ("limit", (Cap("c", np.ones(2, int), maximum=1),), "limit 'c' for 2 candidates"),
        ("limit", (Cap("c", np.ones(2, int), maximum=1, offsets=np.array([0, 1, 2])),), "limit 'c' for 2"),
        ("limit", (Pin("p", np.zeros(5, int)),), "limit 'p' for 5 candidates"),
        ("rerank", [2, 1], "found list from wrong_rerank.rerank; expected int64 positions"),
        ("rerank", np.array([0.0]), "found float64"),
        ("rerank", np.array([0, 3]), "found position 3 from wrong_rerank.rerank; expected 0 to 2"),
        ("rerank", np.array([0, -1]), "found position -1"),
        ("rerank", np.array([1, 1]), "found position 1 twice"),
        ("annotate", [1], "found list from wrong_annotate.annotate; expected a mapping"),
        ("annotate", {"x": [1, 2, 3]}, "found list for 'x' from wrong_annotate.annotate"),
        ("annotate", {"x": np.ones(1)}, r"found float64 \(1,\) for 'x'"),
    ],
)
def test_a_wrong_shape_from_any_verb_is_a_contract_error(
    toy: Dataset, verb: str, answer: Any, message: str
) -> None:
    stage, source = stage_with(verb, answer), FixedSource([1, 2, 3])
    stages = {"hydrate": [stage, source], "retrieve": [stage]}.get(verb, [source, stage])
    pipeline = rk.Pipeline(stages).fit(toy)
    with pytest.raises(ContractError, match=message):
        pipeline.recommend([None], k=2, now=toy.until)


def test_an_order_that_mixes_rows_is_a_contract_error(toy: Dataset) -> None:
    stage = stage_with("rerank", lambda candidates: np.arange(len(candidates))[::-1])
    pipeline = rk.Pipeline([FixedSource([1, 2, 3]), stage]).fit(toy)
    with pytest.raises(ContractError, match="found rows mixed"):
        pipeline.recommend([None, None])


def test_a_wrong_verdict_is_a_contract_error(toy: Dataset) -> None:
    stage = stage_with("annotate", {})
    type(stage).verify = lambda self, candidates: np.ones(99, bool)
    with pytest.raises(ContractError, match=r"wrong_annotate\.verify"):
        rk.Pipeline([FixedSource([1, 2, 3]), stage]).fit(toy).recommend([None])


# -- scores that are not finite ---------------------------------------------------------------------------------------


def test_scores_that_are_not_finite_sink_and_are_counted(toy: Dataset) -> None:
    values = np.array([np.nan, 5.0, np.inf, 9.0, -np.inf], np.float32)
    source = FixedSource([1, 2, 3, 4, 5])
    stages = [source, Scores(lambda batch: values[batch.item - 1])]
    answer = rk.Pipeline(stages).fit(toy).recommend([None], k=5, now=toy.until)
    assert answer.codes(0).tolist()[:2] == [4, 2]
    event = answer.trace.of("scores")[0]
    assert event.detail["not_finite"] == 3 and event.detail["nan_share"] == pytest.approx(0.6)
    assert answer.status.tolist() == [Status.DEGRADED] and "expected finite ones" in answer.reasons[0][0]
    with pytest.raises(ContractError, match="scores: found nan among the scores; expected finite ones"):
        rk.Pipeline(stages, validate=True).fit(toy).recommend([None])


def test_only_rows_with_such_scores_are_degraded(toy: Dataset) -> None:
    def score(batch: Candidates) -> Any:
        return np.where((batch.user == 2) & (batch.item == 1), np.nan, 1.0 / batch.item).astype(np.float32)

    pipeline = rk.Pipeline([FixedSource([1, 2, 3]), Scores(score)]).fit(toy)
    answer = pipeline.recommend(toy.user_ids.ids[:3], k=3, now=toy.until)
    assert answer.status.tolist() == [Status.OK, Status.DEGRADED, Status.OK]
    assert [answer.codes(row).tolist() for row in range(3)] == [[1, 2, 3], [2, 3, 1], [1, 2, 3]]


def test_a_row_scored_nowhere_is_in_the_order_of_fusion(toy: Dataset) -> None:
    nothing = Scores(lambda batch: np.full(len(batch), np.nan, np.float32))
    answer = rk.Pipeline([FixedSource([7, 3, 5]), nothing]).fit(toy).recommend([None], k=3, now=toy.until)
    assert answer.codes(0).tolist() == [7, 3, 5] and answer.trace.of("scores")[0].detail["not_finite"] == 3


def test_rows_outside_a_scorers_condition_are_not_called_unscored(toy: Dataset) -> None:
    scorer = Step(Scores(lambda batch: -batch.item.astype(np.float32)), name="late", when="vip")
    pipeline = rk.Pipeline([FixedSource([7, 3, 5]), scorer], validate=True).fit(toy)
    answer = pipeline.recommend([None, None], context={"vip": [True, False]}, k=3, now=toy.until)
    assert answer.status.tolist() == [Status.OK, Status.OK]
    assert answer.codes(0).tolist() == [3, 5, 7] and answer.codes(1).tolist() == [7, 3, 5]
    assert answer.trace.of("late")[0].n_rows == 1


# -- nothing is dropped in silence ------------------------------------------------------------------------------------


def test_every_candidate_that_goes_is_counted(toy: Dataset) -> None:
    class Odd:
        def keep(self, candidates: Candidates) -> Any:
            return candidates.item % 2 == 1

    pipeline = rk.Pipeline(
        [candidates.Merge([FixedSource(range(1, 21)), Step(FixedSource([2, 30]), name="more")]), Odd()]
    )
    answer = pipeline.fit(toy).recommend([None], k=4, exclude=[toy.item_ids.ids[:4].tolist()], now=toy.until)
    funnel = {event["name"]: (event["n_in"], event["n_out"]) for event in answer.trace.funnel()}
    assert funnel["merge.fixed_source"] == (0, 20) and funnel["merge.more"] == (0, 2)
    assert funnel["merge"] == (22, 21) and funnel["exclude"] == (21, 17)
    assert funnel["odd"] == (17, 8) and funnel["selection"] == (8, 4)


def test_a_source_that_raises_is_named_in_the_trace_and_the_reasons(toy: Dataset) -> None:
    broken = Step(failing(FixedSource([1]), OSError("no route")), name="remote")
    answer = (
        rk.Pipeline([candidates.Merge([broken, FixedSource([2])])]).fit(toy).recommend([None], now=toy.until)
    )
    event = answer.trace.of("merge.remote")[0]
    assert event.error == "OSError: no route" and event.failed_rows.tolist() == [0]
    assert answer.status.tolist() == [Status.DEGRADED] and answer.codes(0).tolist() == [2]
    assert answer.reasons[0] == ("merge.remote: OSError: no route",)


def test_a_filter_that_raises_fails_the_request_closed(toy: Dataset) -> None:
    answer = (
        rk.Pipeline(
            [FixedSource([1, 2]), failing(rules.NotOwned(), OSError("no stock"))],
            fallback=FixedSource([3, 4]),
        )
        .fit(toy)
        .recommend([None], now=toy.until)
    )
    assert answer.status.tolist() == [Status.FAILED] and answer.ids(0) == []
    with pytest.raises(rk.errors.StageError, match=r"found 1 failed rows.*no stock"):
        answer.raise_for_status()


@pytest.mark.parametrize("role", ["source", "filter", "scorer", "constraint", "objective"])
def test_on_error_raise_raises_with_the_stages_name(toy: Dataset, role: str) -> None:
    parts: dict[str, Any] = {
        "source": FixedSource([1, 2]),
        "filter": rules.NotOwned(),
        "scorer": Scores(lambda batch: ones(len(batch))),
        "constraint": rules.MaxShare("category", 0.5),
        "objective": rk.diversity.TopK(),
    }
    parts[role] = Step(failing(parts[role]), name="mine", on_error="raise")
    pipeline = rk.Pipeline(list(parts.values())).fit(toy)
    for users in ([None], [None, None]):
        with pytest.raises(rk.errors.StageError, match="failing on purpose") as caught:
            pipeline.recommend(users, now=toy.until)
        assert (caught.value.name, caught.value.role) == ("mine", role)


@pytest.mark.parametrize("items", ["item-1", 101])
def test_similar_items_of_a_bare_id_is_an_error_with_a_hint(items):
    pipeline = rk.Pipeline([candidates.ItemKNN()]).fit(rk.testing.toy_dataset())
    with pytest.raises(DataError, match="expected a list of ids; hint"):
        pipeline.similar_items(items)


# -- frames where a dataset belongs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda pipeline, frame: rk.Pipeline([candidates.Popular()]).fit(frame), "dataset"),
        (lambda pipeline, frame: pipeline.training_data(frame, label_window="7D"), "dataset"),
        (lambda pipeline, frame: pipeline.with_events(frame), "dataset"),
        (lambda pipeline, frame: rk.validate(frame), "dataset"),
        (lambda pipeline, frame: rk.evaluate(pipeline, {"a": [1]}, history=frame), "history"),
    ],
)
def test_a_frame_is_no_dataset(
    simple: rk.Pipeline, call: Callable[[rk.Pipeline, Any], Any], name: str
) -> None:
    with pytest.raises(DataError, match=rf"found DataFrame for {name};.*hint: Dataset\.from_frame"):
        call(simple, pd.DataFrame(LOG))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"context": ["de"]}, "found context="),
        ({"context": "de"}, "found context="),
        ({"seed": "a"}, "found seed='a'"),
        ({"seed": 1.5}, "found seed=1.5"),
        ({"budget_ms": "fast"}, "found budget_ms='fast'"),
        ({"budget_ms": float("nan")}, "found budget_ms=nan"),
        ({"now": 1.5e12}, "milliseconds"),
        ({"k": "3"}, "found k='3'"),
        ({"k": None}, "found k=None"),
    ],
)
def test_options_of_a_request_of_another_kind_are_typed_errors(options: dict[str, Any], found: str) -> None:
    pipeline = rk.Pipeline([candidates.Popular(half_life=None)]).fit(Dataset.from_frame(LOG))
    with pytest.raises(DataError, match=found):
        pipeline.recommend(["a"], **options)
