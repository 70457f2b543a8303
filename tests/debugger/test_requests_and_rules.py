"""Faults before any source and behind the ranking: hydrated lists, clocks, limits of the funnel, rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import Ragged
from recokit.datasets import make_marketplace
from recokit.debugger import Severity
from recokit.debugger.checks.hydration import Hydration
from recokit.debugger.checks.population import FallbackCarries, MostlyRelaxed, Personalization, alikeness
from recokit.debugger.checks.tables import RepeatedEvents
from recokit.debugger.facts import Facts
from recokit.debugger.tables import columns_lost
from recokit.testing import faults
from recokit.testing.faults import hydration as lists, rules as of_rules, sources, stages
from recokit.trace import Status

HEALTHY = "NO_OBVIOUS_ISSUE"
DAY, HOUR = 86_400.0, 3_600.0


@pytest.fixture(scope="module")
def data() -> tuple[rk.Dataset, rk.Dataset]:
    return make_marketplace(n_users=150, n_items=120, seed=4).dataset.split_at("2025-03-20", horizon="7D")


@pytest.fixture(scope="module")
def stock(data: Any) -> np.ndarray:
    return (np.random.default_rng(0).random(data[0].n_items + 1) < 0.85).astype(float)


@pytest.fixture(scope="module")
def healthy(data: Any, stock: np.ndarray) -> rk.Pipeline:
    train, _ = data
    recalled = train.item_ids.decode([5, 50, 100]).tolist()
    return rk.Pipeline(
        [
            candidates.Merge([candidates.ItemKNN(), candidates.History(), candidates.Popular()], limit=70),
            rules.InStock(stock),
            rules.Blocked(recalled),
            rules.NotOwned(),
            features.Standard(),
            rankers.LogisticRegression(),
            rules.MaxShare("category", 0.4),
            rules.Disclose("sponsored"),
        ],
        fallback=candidates.Popular(half_life=None),
    ).fit(train, label_window="7D", max_requests=200)


@pytest.fixture(scope="module")
def users(data: Any) -> list[Any]:
    train, _ = data
    counts = np.bincount(train.interactions.user, minlength=train.n_users + 1)
    return train.user_ids.decode(np.flatnonzero(counts >= 15)[:12]).tolist()


def asked(broken: Any, healthy: Any, users: list[Any], **options: Any) -> Any:
    debugger = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=10_000, **options)
    return [debugger.diagnose(user, now=healthy.fitted_until) for user in users[:4]]


def moved(hydrator: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Return a hydrator whose events have other times."""

    def timed(own: Ragged, requests: rk.Requests) -> Ragged:
        return replace(own, columns={**own.columns, "timestamp": change(own.columns["timestamp"])})

    return lists.with_lists(hydrator, timed)


def reversed_lists(hydrator: Any) -> Any:
    def turned(own: Ragged, requests: rk.Requests) -> Ragged:
        index = np.concatenate(
            [np.arange(b - 1, a - 1, -1) for a, b in zip(own.offsets, own.offsets[1:], strict=False)]
        )
        return Ragged(own.offsets, own.values[index], {name: one[index] for name, one in own.columns.items()})

    return lists.with_lists(hydrator, turned)


def of_the_busiest(hydrator: Any) -> Any:
    """Return a hydrator that gives everyone the lists of the user with most events."""
    return stages.for_users(hydrator, np.full(151, np.diff(hydrator.history_.offsets).argmax()))


HYDRATION: dict[str, tuple[Callable[[Any], Any], str]] = {
    "empty": (lists.emptied, "HISTORY_EMPTY"),
    "newest few": (lambda one: lists.newest(one, 3), "HISTORY_TRUNCATED"),
    "oldest few": (lambda one: lists.oldest(one, 4), "HISTORY_LATE"),
    "late": (lambda one: lists.late(one, 20 * DAY), "HISTORY_LATE"),
    "twice": (lambda one: lists.repeated(one, 2), "HISTORY_DUPLICATED"),
    "reversed": (reversed_lists, "HISTORY_REORDERED"),
    "another user's": (
        lambda one: stages.for_users(one, np.full(151, np.diff(one.history_.offsets).argmax())),
        "HISTORY_OF_ANOTHER",
    ),
    "five hours on": (lambda one: moved(one, lambda t: t - 5 * HOUR), "TIME_SHIFTED"),
    "milliseconds": (lambda one: moved(one, lambda t: t / 1e3), "TIME_UNIT"),
    "nothing owned": (lambda one: lists.emptied(one, "owned"), "OWNED_LOST"),
}


@pytest.mark.parametrize("fault", HYDRATION)
def test_a_hydrated_list_is_compared_before_any_source_is_accused(
    healthy: Any, users: list[Any], fault: str
) -> None:
    change, code = HYDRATION[fault]
    broken = healthy.replace("user_history", change(healthy["user_history"]))
    for found in asked(broken, healthy, users):
        if code == "OWNED_LOST" and found.verdict == HEALTHY:
            continue  # a user who owns nothing
        assert (found.verdict, found.stage) == (code, "user_history"), found
        later = [one for one in found.findings if one.stage != "user_history" and one.relative]
        assert all(one.severity <= Severity.SYMPTOM for one in later)


@pytest.mark.parametrize("fault", ["empty", "another user's", "oldest few", "five hours on", "milliseconds"])
def test_without_a_baseline_the_log_tells(healthy: Any, users: list[Any], data: Any, fault: str) -> None:
    change, code = HYDRATION[fault]
    broken = healthy.replace("user_history", change(healthy["user_history"]))
    found = [
        rk.RecommendationDebugger(broken, log=data[0], budget_ms=10_000).diagnose(user, now=healthy.fitted_until)
        for user in users[:3]
    ]  # fmt: skip
    assert [(one.verdict, one.stage) for one in found] == [(code, "user_history")] * 3
    well = rk.RecommendationDebugger(healthy, log=data[0], budget_ms=10_000)
    assert well.diagnose(users[0], now=healthy.fitted_until).verdict == HEALTHY


def test_a_list_by_itself_shows_events_that_are_written_twice(healthy: Any, users: list[Any]) -> None:
    broken = healthy.replace("user_history", lists.repeated(healthy["user_history"], 2))
    found = rk.RecommendationDebugger(broken, budget_ms=10_000).diagnose(users[0], now=healthy.fitted_until)
    assert (found.verdict, found.stage) == ("HISTORY_DUPLICATED", "user_history")


def test_a_baseline_that_knows_older_events_only_accuses_nobody(
    healthy: Any, users: list[Any], data: Any
) -> None:
    older = healthy.replace("user_history", lists.late(healthy["user_history"], 0.0))
    until = healthy.fitted_until - 10 * DAY
    hydrator = stages.as_of(older["user_history"], lambda now: np.minimum(now, until))
    usual = healthy.replace("user_history", stages.with_attributes(hydrator, fitted_until_=until))
    debugger = rk.RecommendationDebugger(healthy, baseline=usual, checks=[Hydration()], budget_ms=10_000)
    assert [debugger.diagnose(user, now=healthy.fitted_until).verdict for user in users] == [HEALTHY] * len(
        users
    )


def test_one_history_for_all_is_told_from_that_of_another(healthy: Any, users: list[Any]) -> None:
    one = int(healthy.schema.user_ids.encode(users[:1])[0])
    broken = healthy.replace("user_history", stages.for_users(healthy["user_history"], np.full(151, one)))
    for baseline in (healthy, None):
        debugger = rk.RecommendationDebugger(broken, baseline=baseline, budget_ms=10_000)
        found = debugger.diagnose_many(users, now=healthy.fitted_until)
        assert (found.verdict, found.stage) == ("HISTORY_SAME_FOR_ALL", "user_history")


# -- time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["user_history", "standard"])
def test_a_clock_that_stands_still_is_told(healthy: Any, users: list[Any], stage: str) -> None:
    until = healthy.fitted_until - 30 * DAY
    frozen = stages.as_of(healthy[stage], lambda now: np.full_like(now, until))
    broken = healthy.replace(stage, frozen)
    found = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=10_000).diagnose_many(
        users, now=healthy.fitted_until
    )
    assert (found.verdict, found.stage) == ("CLOCK_FROZEN", stage)


def test_a_clock_of_features_shows_without_a_scan_and_without_a_baseline(
    healthy: Any, users: list[Any]
) -> None:
    until, now = healthy.fitted_until - 30 * DAY, healthy.fitted_until
    broken = healthy.replace(
        "standard", stages.as_of(healthy["standard"], lambda now: np.full_like(now, until))
    )
    assert all(one.verdict == "CLOCK_FROZEN" for one in asked(broken, healthy, users))
    alone = rk.RecommendationDebugger(broken, budget_ms=10_000)
    alone.scan(users, now=now)
    assert alone.diagnose(users[0], now=now).verdict == "CLOCK_FROZEN"


def test_events_from_the_future_have_wrong_times(healthy: Any, users: list[Any]) -> None:
    until = healthy.fitted_until
    ahead = stages.with_attributes(healthy["standard"], fitted_until_=until + 3 * HOUR)
    broken = healthy.replace("standard", ahead)
    found = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=10_000).diagnose(
        users[0], now=until
    )
    assert (found.verdict, found.stage) == ("TIME_SHIFTED", "standard")
    assert "up to 3.0 hours after the request" in found.findings[0].message
    # Without a baseline it may well be an earlier time that somebody asks about.
    assert (
        rk.RecommendationDebugger(broken, budget_ms=10_000).diagnose(users[0], now=until).verdict == HEALTHY
    )


# -- rules -------------------------------------------------------------------------------------------------

LESS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "all in stock": ("in_stock", lambda rule: stages.with_attributes(rule, stock=np.ones_like(rule.stock))),
    "recall list lost": ("blocked", lambda rule: rules.Blocked([])),
    "passes everything": ("in_stock", of_rules.passing),
    "owned let pass": ("not_owned", of_rules.passing),
}


@pytest.mark.parametrize("fault", LESS)
def test_a_rule_that_lets_pass_what_it_refused_is_named(healthy: Any, users: list[Any], fault: str) -> None:
    name, change = LESS[fault]
    broken = healthy.replace(name, change(healthy[name]))
    for found in asked(broken, healthy, users):
        if fault == "owned let pass" and found.verdict == HEALTHY:
            continue  # a user who owns nothing
        assert (found.verdict, found.stage) == ("RULE_REMOVES_LESS", name), found
    assert any(one.is_ill for one in asked(broken, healthy, users))


@pytest.mark.parametrize(("share", "severity"), [(0.15, None), (0.4, "warning"), (0.6, "critical")])
def test_a_table_that_changes_a_little_is_no_fault(
    healthy: Any, users: list[Any], stock: np.ndarray, share: float, severity: str | None
) -> None:
    out = np.flatnonzero(stock[1:] <= 0) + 1
    changed = stock.copy()
    changed[out[: round(share * len(out))]] = 1.0
    broken = healthy.replace("in_stock", rules.InStock(changed))
    found = asked(broken, healthy, users)[0].findings
    less = [one.severity.name.lower() for one in found if one.code == "RULE_REMOVES_LESS"]
    assert less == ([] if severity is None else [severity])
    # Where as many others are out, it is the day's turnover.
    changed[(np.flatnonzero(stock[1:] > 0) + 1)[: round(share * len(out))]] = 0.0
    found = asked(healthy.replace("in_stock", rules.InStock(changed)), healthy, users)[0].findings
    less = [one.severity.name.lower() for one in found if one.code == "RULE_REMOVES_LESS"]
    assert bool(less) is (severity == "critical")


def test_a_rule_that_is_gone_is_named(healthy: Any, users: list[Any]) -> None:
    found = asked(healthy.without("blocked"), healthy, users)[0]
    assert (found.verdict, found.stage) == ("RULE_BYPASSED", "blocked")


def test_what_is_shown_is_put_before_the_rules_again(data: Any) -> None:
    train, _ = data

    class Twice:
        """A rule that forgets at its second look: a table that changes within a run."""

        def __init__(self) -> None:
            self.calls = 0

        def keep(self, candidates: rk.Candidates) -> np.ndarray:
            self.calls += 1
            return np.full(len(candidates), self.calls == 1) | (candidates.item % 2 == 0)

    pipeline = rk.Pipeline([candidates.Popular(), rk.Step(rules.Blocked([]), name="rule")]).fit(train)
    broken = pipeline.replace("rule", Twice())
    found = rk.RecommendationDebugger(broken, budget_ms=10_000).diagnose(None, now=train.until)
    assert (found.verdict, found.stage) == ("RULE_BROKEN", "rule")
    odd = train.item_ids.encode(list(found.findings[0].items)) % 2
    assert odd.all() and f"{len(odd)} of 10 items shown" in found.findings[0].message


def test_flags_of_what_is_paid_for_that_are_lost_are_named(healthy: Any, users: list[Any]) -> None:
    def silent(columns: Any, shown: Any) -> Any:
        return {**columns, "labels": np.full(len(shown), "", object)}

    blind = stages.answering(healthy["disclose"], silent)
    found = asked(healthy.replace("disclose", blind), healthy, users)[0]
    assert (found.verdict, found.stage) == ("LABELS_LOST", "disclose")


def test_a_limit_that_allows_more_is_named_where_the_list_uses_it(healthy: Any, users: list[Any]) -> None:
    loose = healthy.replace("max_share", faults.with_option(healthy["max_share"], share=1.0))
    found = asked(loose, healthy, users)
    assert {(one.verdict, one.stage) for one in found if one.is_ill} == {("LIMIT_LOST", "max_share")}
    assert sum(one.is_ill for one in found) >= 2


def test_soft_limits_that_yield_are_a_note_and_for_most_users_a_finding(data: Any, users: list[Any]) -> None:
    train, _ = data
    pipeline = rk.Pipeline([candidates.Popular(), rules.MaxPerGroup("category", 1)]).fit(train)
    debugger = rk.RecommendationDebugger(pipeline, budget_ms=10_000)
    alone = debugger.diagnose(users[0], now=train.until)
    assert [one.code for one in alone.findings if one.code == "LIMIT_RELAXED"] == ["LIMIT_RELAXED"]
    assert alone.findings[-1].severity is Severity.NOTE or not alone.is_ill
    found = debugger.diagnose_many(users, now=train.until)
    relaxed = next(one for one in found.findings if one.code == "LIMIT_RELAXED")
    assert relaxed.stage == "max_per_group" and "cannot be met" in relaxed.message
    same = rk.RecommendationDebugger(pipeline, baseline=pipeline, budget_ms=10_000)
    assert same.diagnose_many(users, now=train.until).verdict == HEALTHY


# -- tables and the funnel -----------------------------------------------------------------------------------


def test_an_item_column_that_has_arrived_empty_is_named(healthy: Any, data: Any) -> None:
    train, _ = data
    schema = train.schema
    place = schema.items.numeric_names.index("price")
    numeric = schema.items.numeric.copy()
    numeric[: len(numeric) // 2, place] = np.nan
    other = replace(schema, items=replace(schema.items, numeric=numeric))
    lost = columns_lost(other, schema)
    assert set(lost) == {"price"} and lost["price"] == pytest.approx(0.5, abs=0.05)
    assert columns_lost(schema, schema) == {}


@pytest.mark.parametrize("most", [3, 9])
def test_a_source_that_ends_early_is_named(healthy: Any, users: list[Any], most: int) -> None:
    broken = healthy.replace("merge.item_knn", sources.shortened(healthy["merge.item_knn"], most))
    for found in asked(broken, healthy, users):
        assert (found.verdict, found.stage) == ("FUNNEL_CUT", "merge.item_knn"), found
        assert f"ends at {most} items" in found.findings[0].message


def test_a_fusion_that_keeps_too_little_is_named_and_not_its_sources(data: Any, users: list[Any]) -> None:
    train, _ = data

    def merged(limit: int) -> rk.Pipeline:
        return rk.Pipeline([candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=limit)]).fit(
            train
        )

    for found in asked(merged(12), merged(90), users):
        cut = [(one.code, one.stage) for one in found.findings if one.code == "FUNNEL_CUT"]
        assert cut == [("FUNNEL_CUT", "merge")], found
    alone = rk.RecommendationDebugger(merged(12), budget_ms=10_000).diagnose_many(users, now=train.until)
    assert ("FUNNEL_CUT", "merge") in [(one.code, one.stage) for one in alone.findings]
    assert rk.RecommendationDebugger(merged(90)).diagnose_many(users, now=train.until).verdict == HEALTHY


# -- many users ----------------------------------------------------------------------------------------------


def fact(number: int, **parts: Any) -> Facts:
    usual: dict[str, Any] = {
        "cold": False, "k": 10, "shown": tuple(range(number * 20, number * 20 + 10)), "best": (), "hydrated": {},
        "sources": {"knn": (number,)}, "found": {}, "relaxed": {}, "status": Status.OK,
    }  # fmt: skip
    return Facts(**{**usual, **parts})


def test_likeness_is_the_share_that_two_random_lists_have_in_common() -> None:
    assert alikeness([(1, 2)] * 5) == 1.0
    assert alikeness([(1, 2), (3, 4)]) == 0.0
    assert alikeness([(1, 2), (1, 3), ()]) == 0.5
    # By the definition: pairs (0, 1), (0, 2), (1, 2) share 1, 0 and 1 of two items.
    assert alikeness([(1, 2), (1, 3), (3, 4)]) == pytest.approx(1 / 3)
    assert np.isnan(alikeness([(1, 2)]))


def test_lists_that_are_all_alike_have_lost_personalization() -> None:
    same = [fact(i, shown=(1, 2, 3)) for i in range(8)]
    ((found, places),) = Personalization().look_at_all(same)
    assert (found.code, found.place, list(places)) == ("PERSONALIZATION_LOST", "ranking", list(range(8)))
    usual = [fact(i, shown=(1, 2, 3), usual=fact(i, shown=(1, 2, 3))) for i in range(8)]
    assert Personalization().look_at_all(usual) == []  # it is how they are meant
    others = [fact(i, shown=(1, 2, 3), usual=fact(i)) for i in range(8)]
    assert len(Personalization().look_at_all(others)) == 1
    assert Personalization().look_at_all([fact(i) for i in range(8)]) == []
    assert Personalization().look_at_all(same[:5]) == []  # too few to tell
    assert Personalization().look_at_all([fact(i, shown=(1, 2), cold=True) for i in range(8)]) == []
    source = [fact(i, shown=(1, 2, 3), sources={"knn": (5, 6)}) for i in range(8)]
    ((found, _),) = Personalization().look_at_all(source)
    assert (found.place, found.stage) == ("candidates", "knn")  # the earliest stage is named


@pytest.mark.parametrize(("n", "n_usual", "told"), [(5, 0, True), (4, 0, False), (5, 3, False), (5, 2, True)])
def test_limits_that_yield_for_most_and_fallbacks_that_carry_most_are_told(
    n: int, n_usual: int, told: bool
) -> None:
    def many(**trouble: Any) -> list[Facts]:
        return [
            fact(i, **(trouble if i < n else {}), usual=fact(i, **(trouble if i < n_usual else {})))
            for i in range(10)
        ]

    found = MostlyRelaxed().look_at_all(many(relaxed={"cap": "max_share"}))
    assert [list(places) for _, places in found] == ([list(range(n))] if told else [])
    found = FallbackCarries().look_at_all(many(status=Status.FALLBACK, dry="merge"))
    assert [(one.code, one.stage) for one, _ in found] == ([("FALLBACK_CARRIES", "merge")] if told else [])


@pytest.mark.parametrize(
    ("again", "changed", "n", "told"),
    [(0.5, True, 3, True), (0.3, True, 3, False), (0.5, False, 3, False), (0.5, True, 2, False)],
)
def test_events_that_all_stages_see_several_times(again: float, changed: bool, n: int, told: bool) -> None:
    many = [fact(i, again=again, features_changed=changed, usual=fact(i, again=0.1)) for i in range(n)]
    found = RepeatedEvents().look_at_all(many)
    assert [(one.code, one.stage, list(places)) for one, places in found] == (
        [("EVENTS_DUPLICATED", "", list(range(n)))] if told else []
    )
    assert RepeatedEvents().look_at_all([fact(i, again=0.9, features_changed=True) for i in range(5)]) == []


def test_scores_of_items_alone_lose_personalization(healthy: Any, users: list[Any]) -> None:
    class OfItems:
        def score(self, candidates: rk.Candidates) -> np.ndarray:
            return -candidates.item.astype(np.float32)

    # All that these candidates differ in is which of the items of low code are among them.
    wide = rk.Pipeline([candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=120), OfItems()])
    pipeline = wide.fit(make_marketplace(n_users=150, n_items=120, seed=4).dataset)
    found = rk.RecommendationDebugger(pipeline, budget_ms=10_000).diagnose_many(
        users, now=pipeline.fitted_until
    )
    assert "PERSONALIZATION_LOST" in [one.code for one in found.findings]


def test_a_segment_is_read_from_the_data_not_from_the_broken_run(
    healthy: Any, users: list[Any], data: Any
) -> None:
    broken = healthy.replace("user_history", lists.emptied(healthy["user_history"]))
    for options in ({"baseline": healthy}, {"log": data[0]}):
        debugger = rk.RecommendationDebugger(broken, budget_ms=10_000, **options)
        found = debugger.diagnose_many([*users, None, None, None], now=healthy.fitted_until)
        assert found.segments["history"] == ("known",) * len(users) + ("new",) * 3
        assert (found.verdict, found.findings[0].scope) == ("HISTORY_EMPTY", "everyone")
