"""Degradation: whatever fails, every row has a valid answer or an honest empty one, and other rows do not notice."""

from __future__ import annotations

import copy
import logging
import threading
import time
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.data import Candidates, Cap, Dataset, Ragged, Requests, Retrieved
from recokit.data.requests import Hydrated
from recokit.errors import StageError
from recokit.pipeline import Step
from recokit.testing import FixedSource, failing, slow
from recokit.trace import Status


def limits_hold(answer: rk.Recommendations, data: Dataset, row: int) -> bool:
    """Tell whether a list keeps the hard rules and caps of ``funnel``, by counting."""
    codes = answer.codes(row)
    category, stock = data.schema.item_column("category")[codes], data.schema.item_column("in_stock")[codes]
    most = np.unique(category, return_counts=True)[1].max(initial=0)
    return (
        bool(stock.all()) and most <= max(1, int(0.4 * len(codes))) and len(set(codes.tolist())) == len(codes)
    )


def funnel(**parts: Any) -> rk.Pipeline:
    """Return a funnel with some of its parts replaced."""
    stages: dict[str, Any] = {
        "sources": candidates.Merge([candidates.History(), candidates.Popular(window="3650D")], limit=30),
        "filter": rules.InStock("in_stock"),
        "owned": rules.NotOwned(),
        "features": features.Assemble([features.Item("price"), features.SourceScores()]),
        "ranker": rankers.Weighted({"item_price": 0.01}),
        "cap": rules.MaxShare("category", 0.4, hard=True),
        "objective": diversity.MMR(0.7),
        "label": rules.Disclose("sponsored"),
    }
    fallback = parts.pop("fallback", candidates.Popular(half_life=None))
    stages |= parts
    return rk.Pipeline([stage for stage in stages.values() if stage is not None], fallback=fallback)


def users_of(data: Dataset, n: int = 8) -> list[Any]:
    return [*data.user_ids.ids[: n - 2].tolist(), None, "stranger"]


def failing_for(stage: Any, user: int) -> Any:
    """Return a copy of a stage whose verb raises where the batch holds a user's row."""
    verbs = ("hydrate", "retrieve", "keep", "featurize", "score", "limit", "start", "rerank", "annotate")
    verb = next(verb for verb in verbs if hasattr(stage, verb))
    original = getattr(type(stage), verb)

    def method(self: Any, batch: Any, *args: Any) -> Any:
        inner = getattr(batch, "candidates", batch)  # an objective gets a window
        requests = inner if isinstance(inner, Requests) else inner.requests
        if (requests.user == user).any():
            raise ValueError(f"bad row of user {user}")
        return original(self, batch, *args)

    twin = copy.copy(stage)
    twin.__class__ = type(type(stage).__name__, (type(stage),), {verb: method})
    return twin


@pytest.mark.parametrize("part", ["sources", "ranker", "features", "objective"])
def test_a_dead_part_leaves_every_row_with_a_valid_list(toy: Dataset, part: str) -> None:
    whole = funnel().stages
    dead: dict[str, Any] = {
        "sources": candidates.Merge(
            [failing(candidates.History()), Step(failing(candidates.Popular()), name="other")], limit=30
        ),
        "ranker": failing(rankers.Weighted({"item_price": 0.01})),
        "features": failing(whole[3]),
        "objective": failing(diversity.MMR(0.7)),
    }
    pipeline = funnel(**{part: dead[part]}).fit(toy)
    answer = pipeline.recommend(users_of(toy), k=5, now=toy.until)
    least = Status.FALLBACK if part == "sources" else Status.DEGRADED
    assert (answer.status >= Status.DEGRADED).all() and (answer.status <= Status.FALLBACK).all()
    assert (answer.status >= least).all()
    for row in range(len(answer)):
        assert len(answer.ids(row)) == 5 and limits_hold(answer, toy, row)
        assert "failing on purpose" in " ".join(answer.reasons[row])
    assert any(event.error for event in answer.trace.events)


def test_without_a_fallback_dead_sources_are_an_honest_empty_list(toy: Dataset) -> None:
    pipeline = funnel(sources=failing(candidates.Popular()), fallback=None).fit(toy)
    answer = pipeline.recommend(users_of(toy), now=toy.until)
    assert (answer.status == Status.EMPTY).all() and len(answer.item) == 0


def test_a_dead_fallback_too_is_an_honest_empty_list(toy: Dataset) -> None:
    pipeline = funnel(sources=failing(candidates.Popular()), fallback=failing(candidates.Popular())).fit(toy)
    answer = pipeline.recommend([None], now=toy.until)
    assert answer.status.tolist() == [Status.EMPTY]
    assert [reason.partition(":")[0] for reason in answer.reasons[0]] == [
        "failing_popular",
        "fallback.failing_popular",
        "no item passed every hard rule",
    ]


def test_a_dead_ranker_leaves_the_order_of_fusion(toy: Dataset) -> None:
    stages = [FixedSource([9, 4, 7]), failing(rankers.Weighted({"fixed_source_rank": 1.0}))]
    answer = rk.Pipeline(stages).fit(toy).recommend([None], now=toy.until)
    assert answer.codes(0).tolist() == [9, 4, 7] and np.isnan(answer.scores(0)).all()


def test_a_dead_second_scorer_leaves_the_scores_of_the_first(toy: Dataset) -> None:
    first = rankers.Weighted({"fixed_source_rank": 1.0})
    stages = [FixedSource([9, 4, 7]), first, Step(failing(first), name="boost")]
    answer = rk.Pipeline(stages).fit(toy).recommend([None], now=toy.until)
    assert answer.codes(0).tolist() == [7, 4, 9] and answer.scores(0).tolist() == [3.0, 2.0, 1.0]
    assert answer.status.tolist() == [Status.DEGRADED]


def test_a_dead_feature_block_is_missing_values_and_the_others_stand(toy: Dataset) -> None:
    blocks = [
        features.Assemble([features.Item("price")]),
        failing(features.Calendar()),
    ]
    pipeline = rk.Pipeline([FixedSource([1, 2]), *blocks]).fit(toy)
    answer = pipeline.recommend([None], capture="full", now=toy.until)
    after = answer.trace.events[-2].after
    assert after is not None and after.feature_names[0] == "item_price"
    assert np.isfinite(after.features[:, 0]).all() and np.isnan(after.features[:, 1:]).all()
    assert answer.trace.of("failing_calendar")[0].detail["nan_share"] == 1.0


# -- budgets ----------------------------------------------------------------------------------------------------------


class Waiting(FixedSource):
    """A source that waits for input."""

    io_bound = True


def test_a_slow_stage_under_a_small_budget_skips_what_the_answer_can_do_without(toy: Dataset) -> None:
    sources = candidates.Merge(
        [slow(FixedSource(range(1, 21)), 0.02), candidates.Popular(window="3650D")], limit=30
    )
    pipeline = funnel(sources=sources).fit(toy)
    answer = pipeline.recommend([None, "user-1"], k=5, now=toy.until, budget_ms=10)
    skipped = {event.name for event in answer.trace.events if event.skipped}
    assert skipped == {"merge.popular", "assemble", "weighted", "mmr"}
    assert answer.status.tolist() == [Status.DEGRADED] * 2
    assert answer.trace.overruns["total"] > 0.02 and answer.trace.overruns["candidates"] > 0.02
    assert answer.trace.budget == 0.01
    for row in range(2):
        assert len(answer.ids(row)) == 5 and limits_hold(answer, toy, row)
    assert all("ms of 10 ms left" in reason for reason in answer.reasons[0])


def test_a_source_that_waits_too_long_is_left_behind(toy: Dataset) -> None:
    remote = slow(Waiting(range(1, 21)), 0.5)
    pipeline = funnel(sources=candidates.Merge([remote, candidates.Popular(window="3650D")], limit=30)).fit(
        toy
    )
    started = time.perf_counter()
    answer = pipeline.recommend([None], k=5, now=toy.until, budget_ms=100)
    assert time.perf_counter() - started < 0.4
    event = answer.trace.of("merge.slow_waiting")[0]
    assert event.error.startswith("SourceTimeout") and event.n_out == 0 and event.failed_rows.tolist() == [0]
    assert answer.status.tolist() == [Status.DEGRADED] and limits_hold(answer, toy, 0)


def test_waiting_sources_run_side_by_side_and_answer_as_inline_ones(toy: Dataset) -> None:
    def make(kind: type[FixedSource], seconds: float) -> rk.Pipeline:
        names = ("a", "b", "c")
        parts = [Step(slow(kind([i + 1, 7]), seconds), name=name) for i, name in enumerate(names)]
        return rk.Pipeline([candidates.Merge(parts)]).fit(toy)

    pipeline = make(Waiting, 0.15)
    started = time.perf_counter()
    answer = pipeline.recommend([None, None], now=toy.until)
    assert time.perf_counter() - started < 0.4
    inline = make(FixedSource, 0.0).recommend([None, None], now=toy.until)
    assert [answer.ids(row) for row in range(2)] == [inline.ids(row) for row in range(2)]
    assert answer.sources == inline.sources
    assert answer.status.tolist() == [Status.OK, Status.OK]


def test_a_waiting_source_serves_only_the_rows_of_its_condition(toy: Dataset) -> None:
    sources = candidates.Merge([Step(Waiting([5]), when="vip"), FixedSource([1])])
    answer = (
        rk.Pipeline([sources]).fit(toy).recommend([None, None], context={"vip": [False, True]}, now=toy.until)
    )
    assert [answer.codes(row).tolist() for row in range(2)] == [[1], [5, 1]]


def test_a_waiting_source_that_fails_degrades_only_the_rows_of_its_condition(toy: Dataset) -> None:
    sources = candidates.Merge([Step(failing(Waiting([5])), when="vip"), FixedSource([1])])
    answer = (
        rk.Pipeline([sources]).fit(toy).recommend([None, None], context={"vip": [False, True]}, now=toy.until)
    )
    assert answer.status.tolist() == [Status.OK, Status.DEGRADED]


def test_hung_calls_hold_a_few_places_and_no_more(toy: Dataset) -> None:
    answers_now = threading.Event()

    class Hung(Waiting):
        """A source that answers once it is let to."""

        def retrieve(self, requests: Requests, limit: int) -> Retrieved:
            answers_now.wait(60)
            return super().retrieve(requests, limit)

    pipeline = rk.Pipeline([candidates.Merge([Hung([5]), FixedSource([1])])]).fit(toy)
    answers = [pipeline.recommend([None], now=toy.until, budget_ms=100) for _ in range(10)]
    errors = [answer.trace.of("merge.hung")[0].error for answer in answers]
    assert "not asked" in errors[-1] and "no answer" in errors[0]
    assert all(answer.codes(0).tolist() == [1] for answer in answers)
    answers_now.set()
    until = time.monotonic() + 30  # the places are free as soon as the threads have run on
    while (last := pipeline.recommend([None], now=toy.until).codes(0).tolist()) == [
        1
    ] and time.monotonic() < until:
        time.sleep(0.01)
    assert last == [5, 1]


def test_optional_stages_go_first_and_only_under_a_budget(toy: Dataset) -> None:
    stages = [
        slow(FixedSource([1, 2, 3]), 0.2),
        Step(rankers.Weighted({"slow_fixed_source_rank": 1.0}), optional=True),
        Step(rankers.Weighted({"slow_fixed_source_rank": 2.0}), name="second"),
    ]
    pipeline = rk.Pipeline(stages).fit(toy)
    relaxed = pipeline.recommend([None], now=toy.until)
    assert relaxed.status.tolist() == [Status.OK] and not any(event.skipped for event in relaxed.trace.events)
    hurried = pipeline.recommend([None], now=toy.until, budget_ms=380)
    assert [event.name for event in hurried.trace.events if event.skipped] == ["weighted"]
    assert hurried.status.tolist() == [Status.DEGRADED] and hurried.codes(0).tolist() == [3, 2, 1]


# -- cold users, empty catalogues -------------------------------------------------------------------------------------


def test_a_cold_user_is_served(toy: Dataset) -> None:
    answer = funnel().fit(toy).recommend(["stranger"], k=5, now=toy.until)
    assert answer.status.tolist() == [Status.OK] and limits_hold(answer, toy, 0)


def test_nothing_left_after_the_filters_is_an_honest_empty_list(toy: Dataset) -> None:
    everything = toy.item_ids.ids.tolist()
    answer = funnel().fit(toy).recommend([None, None], k=5, exclude=[everything, None], now=toy.until)
    assert answer.status.tolist() == [Status.EMPTY, Status.OK] and len(answer.ids(1)) == 5
    nothing = funnel(filter=rules.Allowed([])).fit(toy).recommend(users_of(toy), now=toy.until)
    assert (nothing.status == Status.EMPTY).all()


def test_fallback_items_pass_every_hard_rule_and_cap(toy: Dataset) -> None:
    class Cheap:
        """A filter that needs a feature."""

        requires = ("feature.item_price",)

        def keep(self, candidates: Candidates) -> Any:
            return candidates.feature("item_price") < 12

    category = toy.schema.item_column("category")
    many = np.flatnonzero(category == np.bincount(category[1:]).argmax())[:3]
    parts = {
        "sources": FixedSource(many.tolist()),
        "cap": rules.MaxShare("category", 0.4, hard=True),
        "cheap": Cheap(),
    }
    stages = funnel(**{name: part for name, part in parts.items() if name != "cheap"}).stages
    pipeline = rk.Pipeline(
        [*stages[:4], Cheap(), *stages[4:]], fallback=candidates.Popular(half_life=None)
    ).fit(toy)
    answer = pipeline.recommend(users_of(toy), k=5, now=toy.until)
    price = toy.schema.item_column("price")
    assert (answer.status == Status.FALLBACK).all()
    sponsored = toy.schema.item_column("sponsored")
    for row in range(len(answer)):
        codes = answer.codes(row)
        assert len(codes) and limits_hold(answer, toy, row) and (price[codes] < 12).all()
        records = answer.to_records()[row]
        assert [record["labels"] == ["sponsored"] for record in records] == (sponsored[codes] > 0).tolist()
    assert any("fallback.popular" in record["sources"] for record in answer.to_records()[0])


def test_soft_limits_yield_only_after_the_fallback(toy: Dataset) -> None:
    category = toy.schema.item_column("category")
    own, other = np.flatnonzero(category == category[1]), np.flatnonzero(category != category[1])
    stages = [FixedSource(own[:5].tolist()), rules.MaxPerGroup("category", 1)]
    pipeline = rk.Pipeline(stages, fallback=FixedSource(other[1:3].tolist())).fit(toy)
    codes = pipeline.recommend([None], k=4, now=toy.until).codes(0)
    assert codes[0] == own[0] and len(codes) == 4 and (category[codes] != category[1]).any()
    answer = pipeline.recommend([None], k=4, now=toy.until)
    assert "max_per_group(category): relaxed to fill the list" in answer.reasons[0]


def test_labels_survive_a_second_selection(toy: Dataset) -> None:
    sponsored = np.flatnonzero(toy.schema.item_column("sponsored") > 0).tolist()
    pipeline = rk.Pipeline(
        [FixedSource(sponsored[:2]), rules.Disclose("sponsored")], fallback=FixedSource(sponsored[:4])
    ).fit(toy)
    answer = pipeline.recommend([None], k=4, now=toy.until)
    assert answer.codes(0).tolist() == sponsored[:4]
    assert [record["labels"] for record in answer.to_records()[0]] == [["sponsored"]] * 4


# -- hydrators --------------------------------------------------------------------------------------------------------


class Memory:
    """A hydrator of what users own, from a service."""

    provides = ("history", "owned")

    def hydrate(self, requests: Requests) -> Hydrated:
        some = Ragged.from_lists([[1, 2]] * len(requests))
        return Hydrated(ragged={"history": some, "owned": some})


def test_a_hydrator_that_fails_closes_the_rules_that_need_it(toy: Dataset) -> None:
    pipeline = rk.Pipeline([failing(Memory()), FixedSource([1, 2, 3]), rules.NotOwned()]).fit(toy)
    answer = pipeline.recommend([None, "user-1"], now=toy.until)
    assert answer.status.tolist() == [Status.FAILED] * 2 and len(answer.item) == 0
    assert answer.reasons[0][-1] == "not_owned: owned could not be hydrated"


def test_without_such_rules_a_failed_hydrator_is_a_cold_user(toy: Dataset) -> None:
    source = candidates.Merge([candidates.History(), FixedSource([1, 2, 3])])
    answer = rk.Pipeline([failing(Memory()), source]).fit(toy).recommend(["user-1"], now=toy.until)
    assert answer.status.tolist() == [Status.DEGRADED] and answer.codes(0).tolist() == [1, 2, 3]


def test_what_the_caller_gave_does_not_need_the_hydrator(toy: Dataset) -> None:
    source = candidates.Merge([candidates.History(), FixedSource([1, 2, 3])])
    pipeline = rk.Pipeline([failing(Memory()), source, rules.NotSeen()]).fit(toy)
    answer = pipeline.recommend(["user-1", "user-2"], history=[[103], None], now=toy.until)
    assert answer.status.tolist() == [Status.DEGRADED, Status.FAILED]
    assert answer.codes(0).tolist() == [1, 2]


def test_hydrated_columns_of_a_failed_hydrator_fail_only_who_needs_them(toy: Dataset) -> None:
    class Age:
        provides = ("years",)

        def hydrate(self, requests: Requests) -> Hydrated:
            return Hydrated(columns={"years": np.full(len(requests), 30.0)})

    class Adult:
        requires = ("years",)

        def keep(self, candidates: Candidates) -> Any:
            return candidates.requests.column("years")[candidates.row] >= 18

    user = int(toy.user_ids.encode(["user-3"])[0])
    pipeline = rk.Pipeline([failing_for(Age(), user), FixedSource([1, 2]), Adult()]).fit(toy)
    answer = pipeline.recommend(["user-2", "user-3", "user-4"], now=toy.until)
    assert answer.status.tolist() == [Status.OK, Status.FAILED, Status.OK]
    alone = pipeline.recommend(["user-3"], now=toy.until)
    assert alone.status.tolist() == [Status.FAILED] and len(alone.item) == 0
    given = pipeline.recommend(["user-3"], now=toy.until, context={"years": 50.0})
    assert given.codes(0).tolist() == [1, 2]


def test_on_error_raise_holds_for_rows_that_lack_what_they_need(toy: Dataset) -> None:
    stages = [failing(Memory()), FixedSource([1]), Step(rules.NotOwned(), on_error="raise")]
    with pytest.raises(StageError, match="owned could not be hydrated"):
        rk.Pipeline(stages).fit(toy).recommend([None], now=toy.until)


# -- one bad row ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("source", Status.FALLBACK),
        ("filter", Status.FAILED),
        ("features", Status.DEGRADED),
        ("ranker", Status.DEGRADED),
        ("cap", Status.FAILED),
        ("objective", Status.DEGRADED),
        ("hydrator", Status.FAILED),
    ],
)
def test_one_bad_row_leaves_the_others_exactly_as_they_were(
    toy: Dataset, part: str, expected: Status
) -> None:
    bad = int(toy.user_ids.encode(["user-5"])[0])
    whole: dict[str, Any] = {
        "hydrator": Memory(),
        "source": FixedSource(range(1, 31)),
        "filter": rules.InStock("in_stock"),
        "owned": rules.NotOwned(),
        "features": features.Assemble([features.Item("price")]),
        "ranker": rankers.Weighted({"item_price": 1.0}),
        "cap": rules.MaxShare("category", 0.4, hard=True),
        "objective": diversity.MMR(0.7),
        "label": rules.Disclose("sponsored"),
    }

    def build(stages: dict[str, Any]) -> rk.Pipeline:
        return rk.Pipeline(list(stages.values()), fallback=candidates.Popular(half_life=None)).fit(toy)

    users = [f"user-{i}" for i in range(1, 21)]
    healthy = build(whole).recommend(users, k=5, now=toy.until)
    stage = failing_for(whole[part], bad)
    broken = build({**whole, part: Step(stage, name="bad")}).recommend(users, k=5, now=toy.until)
    row = users.index("user-5")
    assert broken.status[row] == expected, broken.reasons[row]
    assert "bad row of user" in " ".join(broken.reasons[row])
    assert (len(broken.ids(row)) == 0) == (expected is Status.FAILED)
    failed = {int(r) for event in broken.trace.of("bad") for r in event.failed_rows.tolist()}
    assert part in ("cap", "objective") or failed == {row}
    for other in range(len(users)):
        if other != row:
            assert broken.status[other] == healthy.status[other] and not broken.reasons[other]
            assert broken.ids(other) == healthy.ids(other)
            np.testing.assert_array_equal(broken.scores(other), healthy.scores(other))
            assert [record["labels"] for record in broken.to_records()[other]] == [
                record["labels"] for record in healthy.to_records()[other]
            ]


# -- limits and objectives --------------------------------------------------------------------------------------------


class Rule:
    """A constraint that fails."""

    def __init__(self, *, hard: bool) -> None:
        self.hard = hard

    def limit(self, candidates: Candidates) -> tuple[Cap, ...]:
        raise OSError("no limits")


def test_a_hard_limit_that_cannot_be_known_fails_the_row(toy: Dataset) -> None:
    answer = (
        rk.Pipeline([FixedSource([1, 2]), Rule(hard=True)]).fit(toy).recommend([None, None], now=toy.until)
    )
    assert answer.status.tolist() == [Status.FAILED] * 2 and len(answer.item) == 0
    assert "rule: OSError: no limits" in answer.reasons[0]


def test_a_soft_limit_that_cannot_be_known_degrades(toy: Dataset) -> None:
    stages = [FixedSource([1, 2]), Rule(hard=False), rules.MaxPerGroup("category", 1, hard=True)]
    answer = rk.Pipeline(stages).fit(toy).recommend([None, None], now=toy.until)
    assert answer.status.tolist() == [Status.DEGRADED] * 2 and len(answer.ids(0)) >= 1
    assert answer.trace.of("selection")[0].failed_rows.tolist() == [0, 1]


def test_a_limit_that_needs_what_could_not_be_hydrated(toy: Dataset) -> None:
    class Owned(Rule):
        requires = ("owned",)

        def limit(self, candidates: Candidates) -> tuple[Cap, ...]:
            return ()

    for hard, status in ((True, Status.FAILED), (False, Status.DEGRADED)):
        stages = [failing(Memory()), FixedSource([1, 2]), Owned(hard=hard)]
        assert rk.Pipeline(stages).fit(toy).recommend([None], now=toy.until).status.tolist() == [status]


def test_an_objective_and_a_limit_that_both_fail(toy: Dataset) -> None:
    stages = [FixedSource([3, 1, 2]), Rule(hard=False), failing(diversity.MMR(0.7))]
    answer = rk.Pipeline(stages).fit(toy).recommend([None], now=toy.until)
    assert answer.codes(0).tolist() == [3, 1, 2] and answer.status.tolist() == [Status.DEGRADED]
    assert [reason.partition(":")[0] for reason in answer.reasons[0]] == ["rule", "failing_mmr"]


def test_a_reranker_that_fails_leaves_the_order_of_scores(toy: Dataset) -> None:
    class Backwards:
        def rerank(self, candidates: Candidates) -> Any:
            return np.lexsort((-np.arange(len(candidates)), candidates.row))

    good = (
        rk.Pipeline([FixedSource([3, 1, 2]), Backwards()])
        .fit(toy)
        .recommend([None, None], k=2, now=toy.until)
    )
    assert [good.codes(row).tolist() for row in range(2)] == [[2, 1], [2, 1]]
    bad = (
        rk.Pipeline([FixedSource([3, 1, 2]), failing(Backwards())]).fit(toy).recommend([None], now=toy.until)
    )
    assert bad.codes(0).tolist() == [3, 1, 2] and bad.status.tolist() == [Status.DEGRADED]


# -- annotators and late checks ---------------------------------------------------------------------------------------


def test_a_failed_disclosure_drops_what_it_could_not_label(toy: Dataset) -> None:
    flag = toy.schema.item_column("sponsored")
    paid, free = np.flatnonzero(flag > 0).tolist(), np.flatnonzero(flag[1:] == 0).tolist()
    plain = [code + 1 for code in free]
    pipeline = rk.Pipeline([FixedSource([*paid[:3], *plain[:3]]), failing(rules.Disclose("sponsored"))]).fit(
        toy
    )
    answer = pipeline.recommend([None, "user-1"], k=3, now=toy.until)
    assert answer.status.tolist() == [Status.DEGRADED] * 2
    assert [answer.codes(row).tolist() for row in range(2)] == [plain[:3]] * 2


def test_a_verdict_that_fails_fails_only_its_row(toy: Dataset) -> None:
    class Watched(rules.Disclose):
        def verify(self, candidates: Candidates) -> Any:
            if (candidates.requests.user == 4).any():
                raise OSError("no verdict")
            return super().verify(candidates)

    pipeline = rk.Pipeline([FixedSource(range(1, 31)), Watched("sponsored")]).fit(toy)
    users = toy.user_ids.decode([3, 4, 5])
    answer = pipeline.recommend(users, k=3, now=toy.until)
    assert answer.status.tolist() == [Status.OK, Status.FAILED, Status.OK] and len(answer.ids(0)) == 3
    assert len(answer.trace.of("watched")) <= 3, "a failed row must not be selected again and again"


class Reasons:
    """An annotator that a later filter reads."""

    provides = ("reason",)

    def annotate(self, candidates: Candidates) -> dict[str, Any]:
        return {"reason": (candidates.item % 5).astype(np.int64)}


class NotZero:
    """A filter that reads the annotation, so it runs after the selection."""

    requires = ("reason",)

    def keep(self, candidates: Candidates) -> Any:
        return candidates.column("reason") != 0


def test_a_late_filter_makes_the_selection_go_on(toy: Dataset) -> None:
    pipeline = rk.Pipeline([FixedSource(range(5, 21)), NotZero(), Reasons()]).fit(toy)
    answer = pipeline.recommend([None], k=4, now=toy.until)
    assert answer.codes(0).tolist() == [6, 7, 8, 9] and answer.columns["reason"].tolist() == [1, 2, 3, 4]
    assert len(answer.trace.of("not_zero")) == 2 and answer.trace.of("not_zero")[0].removed == 1


def test_a_late_filter_holds_for_the_fallback_and_fails_closed(toy: Dataset) -> None:
    stages = [FixedSource([5, 6]), NotZero(), Reasons()]
    answer = (
        rk.Pipeline(stages, fallback=FixedSource([10, 11, 12])).fit(toy).recommend([None], k=3, now=toy.until)
    )
    assert answer.codes(0).tolist() == [6, 11, 12] and answer.status.tolist() == [Status.FALLBACK]
    stages[1] = failing(NotZero())
    answer = (
        rk.Pipeline(stages, fallback=FixedSource([10]))
        .fit(toy)
        .recommend([None], capture="full", now=toy.until)
    )
    assert answer.status.tolist() == [Status.FAILED] and len(answer.item) == 0


def test_a_failed_annotator_leaves_missing_values(toy: Dataset) -> None:
    stages = [FixedSource([1, 2]), Step(failing_for(Reasons(), 4), name="why")]
    answer = rk.Pipeline(stages).fit(toy).recommend(toy.user_ids.decode([3, 4]), now=toy.until)
    assert answer.status.tolist() == [Status.OK, Status.DEGRADED]
    assert answer.columns["reason"].tolist() == [1, 2, 0, 0]


# -- sources inside sources, observers --------------------------------------------------------------------------------


def test_a_part_of_a_composed_source_that_fails_is_noted(toy: Dataset) -> None:
    source = candidates.FirstOf([failing(FixedSource([1])), FixedSource([2])])
    answer = rk.Pipeline([source]).fit(toy).recommend([None], now=toy.until)
    assert answer.codes(0).tolist() == [2] and answer.status.tolist() == [Status.DEGRADED]
    assert "failing on purpose" in answer.trace.of("first_of")[0].detail["part_errors"]


def test_observers_see_the_trace_and_cannot_fail_the_request(
    toy: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[rk.Trace] = []

    class Fine:
        def observe(self, trace: Any) -> None:
            seen.append(trace)

    class Broken:
        def observe(self, trace: Any) -> None:
            raise OSError("disk full")

    pipeline = rk.Pipeline([FixedSource([1])], observers=[Broken(), Fine()]).fit(toy)
    with caplog.at_level(logging.WARNING, "recokit"):
        answer = pipeline.recommend([None], now=toy.until)
    assert seen == [answer.trace] and answer.status.tolist() == [Status.OK]
    assert "observer Broken failed" in caplog.text and "disk full" in caplog.text
    pipeline.run(answer.trace.requests, observe=False)
    assert len(seen) == 1


def test_an_outer_pipeline_degrades_only_the_rows_that_fail_inside(toy: Dataset) -> None:
    inner = rk.Pipeline([FixedSource([1, 2]), failing_for(rules.NotOwned(), 4)]).fit(toy)
    outer = rk.Pipeline([candidates.Merge([inner.as_source(), FixedSource([3])])]).fit(toy)
    answer = outer.recommend(toy.user_ids.decode([3, 4]), now=toy.until, budget_ms=5_000)
    assert answer.status.tolist() == [Status.OK, Status.DEGRADED]
    assert 3 in answer.codes(1) and not {1, 2} & set(answer.codes(1).tolist())


def test_a_source_with_no_answer_at_all_is_no_failure(toy: Dataset) -> None:
    class Nothing:
        def retrieve(self, requests: Requests, limit: int) -> Retrieved:
            return Retrieved.empty(len(requests))

    pipeline = rk.Pipeline([Nothing()], fallback=FixedSource([3])).fit(toy)
    answer = pipeline.recommend([None], now=toy.until)
    assert answer.status.tolist() == [Status.FALLBACK] and answer.reasons[0] == (
        "fallback.fixed_source: filled up",
    )
