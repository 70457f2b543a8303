"""The debugger names the stage and the cause of planted faults, and falls into none of the naive traps (R39)."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.datasets import make_marketplace
from recokit.debugger.replay import Replayer

HEALTHY = "NO_OBVIOUS_ISSUE"


@pytest.fixture(scope="module")
def market() -> tuple[rk.Dataset, rk.Dataset]:
    return make_marketplace(n_users=300, n_items=150, seed=3).dataset.split_at("2025-03-18", horizon="10D")


@pytest.fixture(scope="module")
def healthy(market: tuple[rk.Dataset, rk.Dataset]) -> rk.Pipeline:
    train, _ = market
    return rk.Pipeline(
        [
            candidates.Merge([candidates.ItemKNN(), candidates.History(), candidates.Popular()], limit=100),
            rules.InStock(np.ones(train.n_items + 1)),
            rules.Blocked([]),
            features.Standard(),
            rankers.LogisticRegression(),
            rules.MaxShare("category", 0.5),
            diversity.MMR(0.9),
        ]
    ).fit(train, label_window="7D", windows=2)


@pytest.fixture(scope="module")
def users(market: tuple[rk.Dataset, rk.Dataset]) -> list[Any]:
    train, _ = market
    counts = np.bincount(train.interactions.user, minlength=train.n_users + 1)
    return train.user_ids.decode(np.flatnonzero(counts >= 20)[:30]).tolist()


def diagnose(pipeline: rk.Pipeline, user: Any, **options: Any) -> Any:
    known = options.pop("known_good", None)
    baseline = options.pop("baseline", None)
    debugger = rk.RecommendationDebugger(pipeline, known_good=known, baseline=baseline, budget_ms=10_000)
    return debugger.diagnose(user, **({"now": pipeline.fitted_until} | options))


class Scores:
    """A ranker that scores by a function of its inner ranker's scores."""

    def __init__(self, inner: Any, change: Any) -> None:
        self.inner, self.change = inner, change

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        return np.asarray(self.change(self.inner.score(candidates).astype(np.float64)), np.float32)


class Block:
    """A feature block that changes another's values."""

    def __init__(self, inner: Any, change: Any) -> None:
        self.inner, self.change, self.names = inner, change, inner.names

    def featurize(self, candidates: rk.Candidates) -> np.ndarray:
        return self.change(self.inner.featurize(candidates).copy())


def test_healthy_users_are_healthy(healthy: rk.Pipeline, users: list[Any]) -> None:
    found = [diagnose(healthy, user) for user in users]
    assert [str(one) for one in found if one.verdict != HEALTHY] == []


def test_the_report_has_the_promised_keys_and_is_json(healthy: rk.Pipeline, users: list[Any]) -> None:
    report = diagnose(healthy, users[0], known_good={users[0]: ["item-1", "item-2"]}).to_dict()
    promised = {
        "candidate_count", "candidate_sources", "known_good_in_candidates", "known_good_total", "feature_coverage",
        "feature_freshness", "top_10_scores", "score_spread", "items_removed_by_rules", "diagnosis", "action",
    }  # fmt: skip
    assert promised <= set(report)
    assert set(report["feature_freshness"]) == {"stale_features", "total"}
    assert report["known_good_total"] == 2
    assert len(report["top_10_scores"]) == 10
    assert set(report["candidate_sources"]) == {"item_knn", "history", "popular"}
    json.dumps(report)


def test_candidates_that_miss_all_known_good_items_are_the_first_cause(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    shown = healthy.candidates(healthy.requests([users[0]], now=healthy.fitted_until)).item
    missing = np.setdiff1d(np.arange(1, 151), shown)[:3]
    known = {users[0]: healthy.schema.item_ids.decode(missing).tolist()}
    found = diagnose(healthy, users[0], known_good=known)
    assert found.verdict == "CANDIDATE_GENERATION_FAILURE"
    assert found.to_dict()["known_good_in_candidates"] == 0
    assert "sources" in found.action


def test_a_user_without_known_good_items_is_no_candidate_failure(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    found = diagnose(healthy, users[0], known_good={})
    assert found.verdict == HEALTHY
    assert any("no known-good item" in gap for gap in found.not_assessed)
    assert any("were given" in gap for gap in diagnose(healthy, users[0]).not_assessed)


def test_known_good_items_come_from_a_test_part(
    healthy: rk.Pipeline, users: list[Any], market: tuple[rk.Dataset, rk.Dataset]
) -> None:
    _, test = market
    user = next(user for user in users if test.user_ids.encode([user])[0] in test.interactions.user)
    report = diagnose(healthy, user, known_good=test).to_dict()
    code = test.user_ids.encode([user])[0]
    assert report["known_good_total"] == len(
        np.unique(test.interactions.item[test.interactions.user == code])
    )


def test_a_dropped_feature_block_is_a_feature_issue(healthy: rk.Pipeline, users: list[Any]) -> None:
    def drop(block: np.ndarray) -> np.ndarray:
        block[:] = np.nan
        return block

    broken = healthy.replace("standard", Block(healthy["standard"], drop))
    assert diagnose(broken, users[0]).verdict == "FEATURE_QUALITY_ISSUE"
    assert diagnose(broken, users[0], baseline=healthy).verdict == "FEATURE_QUALITY_ISSUE"


def test_coverage_is_judged_at_the_top_not_among_the_first_retrieved(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    ranker = healthy["logistic_regression"]

    class OnlyBest(Block):
        def __init__(self) -> None:
            super().__init__(healthy["standard"], None)

        def featurize(self, candidates: rk.Candidates) -> np.ndarray:
            block = self.inner.featurize(candidates).copy()
            score = ranker.score(candidates.with_features(block, tuple(self.names)))
            block[np.argsort(-score)[:20]] = np.nan  # the first retrieved keep theirs
            return block

    class Kept:
        def score(self, candidates: rk.Candidates) -> np.ndarray:
            # The top stays the top although its features are gone.
            return np.where(
                np.isnan(candidates.features).all(axis=1), 2.0, candidates.features[:, 0] * 1e-3
            ).astype(np.float32)

    broken = healthy.replace("standard", OnlyBest()).replace("logistic_regression", Kept())
    codes = [finding.code for finding in diagnose(broken, users[0]).findings]
    assert "FEATURE_QUALITY_ISSUE" in codes


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e6])
def test_the_spread_is_judged_free_of_the_scores_scale(
    healthy: rk.Pipeline, users: list[Any], scale: float
) -> None:
    inner = healthy["logistic_regression"]
    scaled = healthy.replace("logistic_regression", Scores(inner, lambda score: score * scale))
    assert diagnose(scaled, users[0]).verdict == HEALTHY
    flat = healthy.replace("logistic_regression", Scores(inner, lambda score: np.full(len(score), scale)))
    found = diagnose(flat, users[0])
    assert found.verdict == "RANKING_DIFFERENTIATION_FAILURE"
    assert found.stage == "logistic_regression"


@pytest.mark.parametrize(("bad", "code"), [(np.nan, "SCORES_NOT_FINITE"), (np.inf, "SCORES_OVERFLOW")])
def test_scores_that_are_not_finite_do_not_pass_as_healthy(
    healthy: rk.Pipeline, users: list[Any], bad: float, code: str
) -> None:
    inner = healthy["logistic_regression"]
    broken = healthy.replace("logistic_regression", Scores(inner, lambda score: np.full(len(score), bad)))
    found = diagnose(broken, users[0])
    assert found.verdict == code
    assert found.stage == "logistic_regression"
    assert len(found.to_dict()["top_10_scores"]) == 10


def test_a_rule_that_removes_the_top_is_named(healthy: rk.Pipeline, users: list[Any]) -> None:
    broken = healthy.replace("in_stock", rules.InStock(np.zeros(151)))
    found = diagnose(broken, users[0])
    assert found.verdict == "BUSINESS_RULES_TOO_AGGRESSIVE"
    assert found.stage == "in_stock"
    assert found.to_dict()["items_removed_by_rules"] == 20
    assert "EMPTY_LIST" in [finding.code for finding in found.findings]


def test_a_reorder_is_not_a_removal_and_moves_are_a_check_of_their_own(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    reordered = healthy.replace("mmr", diversity.MMR(0.0))
    found = diagnose(reordered, users[0], k=5)
    assert found.to_dict()["items_removed_by_rules"] == 0
    changed = [finding for finding in found.findings if finding.code.startswith("LIST_CHANGED")]
    assert changed and changed[0].evidence["exchanged"] > 0


def test_an_empty_list_neither_crashes_nor_passes_as_healthy(users: list[Any], market: Any) -> None:
    nothing = rk.Pipeline([candidates.FromFunction(lambda requests, limit: [[]] * len(requests))]).fit(
        market[0]
    )
    found = diagnose(nothing, users[0])
    assert found.verdict == "CANDIDATE_GENERATION_FAILURE"
    assert found.to_dict()["score_spread"] is None
    assert "EMPTY_LIST" in [finding.code for finding in found.findings]


def test_every_finding_is_reported_the_worst_first(healthy: rk.Pipeline, users: list[Any]) -> None:
    flat = healthy.replace(
        "logistic_regression", Scores(healthy["logistic_regression"], lambda score: np.zeros(len(score)))
    ).replace("in_stock", rules.InStock(np.zeros(151)))
    found = diagnose(flat, users[0], now=healthy.fitted_until + 40 * 86_400)
    codes = [finding.code for finding in found.findings]
    assert {"BUSINESS_RULES_TOO_AGGRESSIVE", "STALE_INDEX", "STALE_FEATURES", "EMPTY_LIST"} <= set(codes)
    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, reverse=True)


def test_stale_features_and_a_stale_index_lead_to_a_verdict(
    healthy: rk.Pipeline, users: list[Any], market: Any
) -> None:
    old = market[0].before("2025-02-10")
    stale = healthy.replace("merge.item_knn", candidates.ItemKNN().fit(old))
    found = diagnose(stale, users[0])
    assert (found.verdict, found.stage) == ("STALE_INDEX", "merge.item_knn")
    assert found.to_dict()["feature_freshness"]["stale_features"] == 0
    later = diagnose(healthy, users[0], now=healthy.fitted_until + 2 * 86_400)
    assert later.verdict == "STALE_FEATURES"
    assert later.to_dict()["feature_freshness"]["stale_features"] > 0


def test_a_failed_stage_is_named(healthy: rk.Pipeline, users: list[Any]) -> None:
    broken = healthy.replace("standard", rk.testing.failing(healthy["standard"]))
    found = diagnose(broken, users[0])
    assert (found.verdict, found.stage) == ("STAGE_FAILED", "failing_standard")


def test_a_filter_that_fails_is_not_told_to_be_too_strict(healthy: rk.Pipeline, users: list[Any]) -> None:
    broken = healthy.replace("in_stock", rk.testing.failing(healthy["in_stock"]))
    found = diagnose(broken, users[0])
    assert (found.verdict, found.stage) == ("STAGE_FAILED", "failing_in_stock")
    assert "lets nothing pass" in found.action
    assert "BUSINESS_RULES_TOO_AGGRESSIVE" not in [finding.code for finding in found.findings]


def test_a_slow_stage_is_named(healthy: rk.Pipeline, users: list[Any]) -> None:
    class Slow:
        def keep(self, candidates: rk.Candidates) -> np.ndarray:
            time.sleep(0.3)
            return np.ones(len(candidates), np.bool_)

    slow = healthy.replace("blocked", Slow())
    found = rk.RecommendationDebugger(slow, budget_ms=200).diagnose(users[0], now=healthy.fitted_until)
    assert (found.verdict, found.stage) == ("STAGE_SLOW", "blocked")


class OnMachine:
    """A rule whose calls, on whatever pipeline, take turns on one machine that stalls at some of them."""

    def __init__(self, stalls: Iterator[bool], *, own: float = 0.0) -> None:
        self.stalls, self.own = stalls, own

    def keep(self, candidates: rk.Candidates) -> np.ndarray:
        time.sleep(self.own + 0.06 * next(self.stalls))
        return np.ones(len(candidates), np.bool_)


@pytest.mark.parametrize(
    "stalls",
    [
        pytest.param([True, False, False], id="one stalled run"),
        pytest.param([True, False, *[True] * 20], id="one lucky run of the baseline on a busy machine"),
        pytest.param([True, False, True, False, True, False, False], id="now and then"),
    ],
)
def test_a_busy_machine_is_no_slow_stage(healthy: rk.Pipeline, users: list[Any], stalls: list[bool]) -> None:
    machine = itertools.chain(stalls, itertools.repeat(False))
    here, usual = (healthy.replace("blocked", OnMachine(machine)) for _ in range(2))
    debugger = rk.RecommendationDebugger(here, baseline=usual)
    assert "STAGE_SLOW" not in codes_of(debugger.diagnose(users[0], now=healthy.fitted_until))


def test_a_slow_stage_is_named_on_a_busy_machine_too(healthy: rk.Pipeline, users: list[Any]) -> None:
    machine = itertools.cycle([True, False, False, False, False])
    slow = healthy.replace("blocked", OnMachine(machine, own=0.05))
    usual = healthy.replace("blocked", OnMachine(machine))
    found = rk.RecommendationDebugger(slow, baseline=usual).diagnose(users[0], now=healthy.fitted_until)
    assert next(one for one in found.findings if one.code == "STAGE_SLOW").stage == "blocked"


class Simulated:
    """A pipeline of ten stages of 4 ms on a machine that stalls half of them, and one of which may be slow."""

    def __init__(self, random: np.random.Generator, slow: float = 0.0) -> None:
        self.random, self.slow = random, slow

    def run(self, requests: Any, **options: Any) -> Any:
        seconds = 0.004 + (self.random.random(10) < 0.5) * self.random.uniform(0.01, 0.08, 10)
        seconds[3] += self.slow
        events = [SimpleNamespace(name=f"stage-{i}", seconds=float(t)) for i, t in enumerate(seconds)]
        return SimpleNamespace(trace=SimpleNamespace(seconds=float(seconds.sum()), events=events))


@pytest.mark.parametrize(("slow", "least", "most"), [(0.0, 0.0, 0.01), (0.06, 0.85, 1.0)])
def test_on_a_very_busy_machine_slow_stages_are_told_from_stalls(
    slow: float, least: float, most: float
) -> None:
    random = np.random.default_rng(0)
    here, usual = Simulated(random, slow), Simulated(random)
    told = 0
    for _ in range(400):
        runs: Any = [(one, [None], one.run(None).trace) for one in (here, usual)]
        # A stage is slow from twice the usual time and a fifth of the budget on; see StageTimes.
        mine, theirs = Replayer(here, usual, None, 0.1)._times(runs)  # type: ignore[arg-type]
        worst = max(theirs, key=lambda name: mine[name] - theirs[name] if name else -1.0)
        told += mine[worst] > 2 * theirs[worst] and mine[worst] - theirs[worst] > 0.02
    assert least <= told / 400 <= most


def test_a_cold_user_is_no_feature_issue(healthy: rk.Pipeline) -> None:
    found = diagnose(healthy, None)
    assert found.verdict == HEALTHY
    assert "COLD_START" in [finding.code for finding in found.findings]


def test_observers_do_not_see_the_debuggers_runs_and_live_values_are_pinned(
    users: list[Any], market: Any
) -> None:
    seen: list[Any] = []
    stock = rk.Live(np.ones(151), name="stock")

    class Watch:
        def observe(self, trace: Any) -> None:
            seen.append(trace)

    class Sells:
        """Changes the stock while the debugger looks."""

        def keep(self, candidates: rk.Candidates) -> np.ndarray:
            stock.set(np.zeros(151))
            return np.ones(len(candidates), np.bool_)

    pipeline = rk.Pipeline([candidates.Popular(), Sells(), rules.InStock(stock)], observers=[Watch()]).fit(
        market[0]
    )
    found = diagnose(pipeline, users[0])
    assert found.to_dict()["items_removed_by_rules"] == 0
    assert seen == []


def test_many_users_by_segment_and_how_far_a_fault_reaches(
    healthy: rk.Pipeline, market: Any, users: list[Any]
) -> None:
    train, _ = market
    odd = set(train.user_ids.encode(users[::2]).tolist())

    class HalfNaN(Scores):
        def score(self, candidates: rk.Candidates) -> np.ndarray:
            score = self.inner.score(candidates)
            return np.where(np.isin(candidates.user, list(odd)), np.float32("nan"), score).astype(np.float32)

    broken = healthy.replace("logistic_regression", HalfNaN(healthy["logistic_regression"], None))
    debugger = rk.RecommendationDebugger(broken, budget_ms=10_000)
    labels = {user: ("odd" if i % 2 == 0 else "even") for i, user in enumerate(users)}
    found = debugger.diagnose_many(users[:10], history=train, by=labels, now=healthy.fitted_until)
    assert found.scope("SCORES_NOT_FINITE") in ("odd", "everyone")
    assert found.counts()["odd"] == {"SCORES_NOT_FINITE": 5}
    assert found.counts()["even"] == {HEALTHY: 5}
    assert "SCORES_NOT_FINITE" in str(found)
    assert "SCORES_NOT_FINITE" in found._repr_html_()
    json.dumps(found.to_dict())


def test_why_follows_one_item(healthy: rk.Pipeline, users: list[Any]) -> None:
    debugger = rk.RecommendationDebugger(healthy)
    now = healthy.fitted_until
    result = healthy.recommend([users[0]], now=now)
    assert debugger.why(users[0], result.ids(0)[0], now=now).position == 1
    blocked = healthy.replace("blocked", rules.Blocked(result.ids(0)[:1]))
    answer = rk.RecommendationDebugger(blocked).why(users[0], result.ids(0)[0], now=now)
    assert (answer.fate, answer.stage) == ("removed", "blocked")
    with pytest.raises(rk.errors.ConfigurationError, match="catalogue"):
        debugger.why(users[0], "item-none", now=now)


def faults(healthy: rk.Pipeline) -> Iterator[tuple[str, rk.Pipeline]]:
    yield "same", healthy
    yield (
        "merge.popular",
        healthy.replace(
            "merge.popular", candidates.FromFunction(lambda asked, limit: [[1]] * len(asked), codes=True)
        ),
    )
    yield "in_stock", healthy.replace("in_stock", rules.InStock(np.arange(151) % 2))
    yield "standard", healthy.replace("standard", Block(healthy["standard"], lambda block: block * 2))
    inner = healthy["logistic_regression"]
    yield "logistic_regression", healthy.replace("logistic_regression", Scores(inner, lambda score: score**2))
    yield "mmr", healthy.replace("mmr", diversity.MMR(0.1))


def test_comparing_two_pipelines_names_the_first_place_they_differ(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    debugger = rk.RecommendationDebugger(healthy)
    for place, other in faults(healthy):
        assert debugger.compare(other, users[:3], now=healthy.fitted_until).stage == place
    assert "users" in str(debugger.compare(healthy, users[:1], now=healthy.fitted_until))


def test_reports_show_in_terminal_and_notebook(healthy: rk.Pipeline, users: list[Any]) -> None:
    found = diagnose(healthy.replace("in_stock", rules.InStock(np.zeros(151))), users[0])
    text = str(found)
    assert text.startswith("BUSINESS_RULES_TOO_AGGRESSIVE") and "in_stock" in text
    html = replace(found, user="<script>")._repr_html_()
    assert "&lt;script&gt;" in html and "<script>" not in html
    assert "NO_OBVIOUS_ISSUE" in diagnose(healthy, users[0])._repr_html_()


def test_a_budget_must_be_positive(healthy: rk.Pipeline) -> None:
    with pytest.raises(rk.errors.ConfigurationError, match="budget_ms=0"):
        rk.RecommendationDebugger(healthy, budget_ms=0)


def codes_of(found: Any) -> list[str]:
    return [finding.code for finding in found.findings]


def test_demoted_candidates_do_not_make_the_best_look_alike(healthy: rk.Pipeline, users: list[Any]) -> None:
    def demote(score: np.ndarray) -> np.ndarray:
        return np.where(score <= np.quantile(score, 0.2), score - 1e6, score)

    inner = healthy["logistic_regression"]
    demoted = healthy.replace("logistic_regression", Scores(inner, demote))
    assert diagnose(demoted, users[0]).verdict == HEALTHY


def test_a_tie_at_the_top_is_a_ranking_failure_though_the_rest_differs(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    inner = healthy["logistic_regression"]
    tied = healthy.replace(
        "logistic_regression", Scores(inner, lambda score: np.minimum(score, np.sort(score)[-15]))
    )
    assert diagnose(tied, users[0]).verdict == "RANKING_DIFFERENTIATION_FAILURE"


def test_scores_are_reported_as_the_ranker_gave_them_and_as_strict_json(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    inner = healthy["logistic_regression"]
    broken = healthy.replace("logistic_regression", Scores(inner, lambda score: np.full(len(score), np.nan)))
    report = diagnose(broken, np.str_(users[0])).to_dict()
    assert report["top_10_scores"] == [None] * 10
    assert report["score_spread"] is None
    json.dumps(report, allow_nan=False)


def test_the_scorer_that_first_gives_nan_is_named(
    market: tuple[rk.Dataset, rk.Dataset], users: list[Any]
) -> None:
    class Boost:
        def score(self, candidates: rk.Candidates) -> np.ndarray:
            return np.where(np.arange(len(candidates)) % 2, np.nan, candidates.score).astype(np.float32)

    pipeline = rk.Pipeline([candidates.Popular(), features.Standard(), rankers.LogisticRegression(), Boost()])
    pipeline = pipeline.fit(market[0], label_window="7D", windows=1)
    found = diagnose(pipeline, users[0])
    assert (found.verdict, found.stage) == ("SCORES_NOT_FINITE", "boost")


def test_only_features_have_a_freshness_a_timestamp_is_none(healthy: rk.Pipeline, users: list[Any]) -> None:
    class WithTimestamp(Block):
        def freshness(self) -> dict[str, float]:
            return {"timestamp": 0.0, **self.inner.freshness()}

    dated = healthy.replace("standard", WithTimestamp(healthy["standard"], lambda block: block))
    found = diagnose(dated, users[0])
    assert found.verdict == HEALTHY
    freshness = found.to_dict()["feature_freshness"]
    assert freshness == {"stale_features": 0, "total": len(healthy["standard"].names)}


def test_features_that_only_the_baseline_has_are_named_although_coverage_is_high(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    def drop(block: np.ndarray) -> np.ndarray:
        block[:, :2] = np.nan
        return block

    broken = healthy.replace("standard", Block(healthy["standard"], drop))
    found = diagnose(broken, users[0], baseline=healthy)
    assert found.verdict == "FEATURES_LOST"
    assert set(found.findings[0].evidence["features"]) == set(healthy["standard"].names[:2])
    assert diagnose(healthy, users[0], baseline=healthy).verdict == HEALTHY


def test_a_source_that_went_silent_is_named(healthy: rk.Pipeline, users: list[Any]) -> None:
    silent = candidates.FromFunction(lambda requests, limit: [[]] * len(requests))
    broken = healthy.replace("merge.item_knn", silent)
    found = diagnose(broken, users[0], baseline=healthy)
    assert (found.verdict, found.stage) == ("SOURCE_EMPTY", "merge.item_knn")
    # Without a baseline it may be meant so: worth knowing, no verdict.
    alone = diagnose(broken, users[0])
    assert alone.verdict == HEALTHY
    assert "SOURCE_EMPTY" in codes_of(alone)


def test_a_shuffled_index_is_named(healthy: rk.Pipeline, users: list[Any]) -> None:
    shuffle = np.random.default_rng(0).permutation(150) + 1

    class Shuffled:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def retrieve(self, requests: rk.Requests, limit: int) -> Any:
            answer = self.inner.retrieve(requests, limit)
            return replace(answer, item=shuffle[answer.item - 1])

    broken = healthy.replace("merge.item_knn", Shuffled(healthy["merge.item_knn"]))
    found = diagnose(broken, users[0], baseline=healthy)
    assert (found.verdict, found.stage) == ("SOURCE_CHANGED", "merge.item_knn")


def test_known_good_items_that_the_catalogue_lacks_count_as_missed(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    found = diagnose(healthy, users[0], known_good={users[0]: ["new-1", "new-2", "new-1"]})
    assert found.verdict == "CANDIDATE_GENERATION_FAILURE"
    assert "dataset" in found.action
    assert found.to_dict()["known_good_total"] == 2
    with pytest.raises(rk.errors.ConfigurationError, match="expected a list of item ids"):
        diagnose(healthy, users[0], known_good={users[0]: "item-1"})


def test_what_the_baseline_misses_too_is_worth_knowing_and_no_verdict(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    shown = healthy.candidates(healthy.requests([users[0]], now=healthy.fitted_until)).item
    missing = np.setdiff1d(np.arange(1, 151), shown)[:2]
    known = {users[0]: healthy.schema.item_ids.decode(missing).tolist()}
    flat = healthy.replace(
        "logistic_regression", Scores(healthy["logistic_regression"], lambda score: np.ones(len(score)))
    )
    found = diagnose(flat, users[0], known_good=known, baseline=healthy)
    assert found.verdict == "RANKING_DIFFERENTIATION_FAILURE"
    assert "CANDIDATE_GENERATION_FAILURE" in codes_of(found)
    alone = diagnose(healthy, users[0], known_good=known, baseline=healthy)
    assert alone.verdict == HEALTHY
    missed = next(one for one in alone.findings if one.code == "CANDIDATE_GENERATION_FAILURE")
    assert "the baseline finds none either" in missed.message


def test_an_anonymous_user_with_a_history_is_neither_cold_nor_ill(healthy: rk.Pipeline) -> None:
    found = diagnose(healthy, None, history=[["item-1", "item-2"]])
    assert found.verdict == HEALTHY
    assert "COLD_START" not in codes_of(found)


def test_a_known_user_is_not_called_cold_where_nothing_hydrates(users: list[Any], market: Any) -> None:
    plain = rk.Pipeline([candidates.Popular()]).fit(market[0])
    assert "COLD_START" not in codes_of(diagnose(plain, users[0]))
    assert "COLD_START" in codes_of(diagnose(plain, None))


def test_a_hanging_source_is_cut_off_in_the_debuggers_own_time(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    class Hangs:
        io_bound = True

        def retrieve(self, requests: rk.Requests, limit: int) -> Any:
            time.sleep(3.0)

    hanging = healthy.replace("merge.popular", Hangs())
    started = time.perf_counter()
    found = rk.RecommendationDebugger(hanging, budget_ms=50).diagnose(users[0], now=healthy.fitted_until)
    assert time.perf_counter() - started < 2.5
    assert (found.verdict, found.stage) == ("STAGE_FAILED", "merge.popular")


def test_baseline_and_compared_pipeline_run_at_the_same_time(
    market: tuple[rk.Dataset, rk.Dataset], users: list[Any]
) -> None:
    ticks = iter(market[0].until + np.arange(100) * 86_400.0)
    pipeline = rk.Pipeline(
        [candidates.Popular(), features.Standard(), rankers.LogisticRegression()],
        clock=lambda: float(next(ticks)),
    ).fit(market[0], label_window="7D", windows=1)
    assert rk.RecommendationDebugger(pipeline).compare(pipeline, users[:3]).stage == "same"


def test_comparing_goes_by_item_ids_not_by_codes(users: list[Any], market: Any) -> None:
    def listed(items: list[str]) -> rk.Pipeline:
        data = rk.Dataset.from_frame(
            {"user": users[:1] * len(items), "item": items, "timestamp": [1.0] * len(items)}
        )
        found = data.item_ids.encode(["item-7", "item-9"]).tolist()
        return rk.Pipeline(
            [candidates.FromFunction(lambda asked, limit: [found] * len(asked), codes=True)]
        ).fit(data)

    one, other = listed(["item-7", "item-9"]), listed(["item-1", "item-7", "item-9"])
    assert rk.RecommendationDebugger(one).compare(other, users[:1], now=2.0).stage == "same"


def test_many_users_may_have_anonymous_ones_among_them(
    healthy: rk.Pipeline, market: Any, users: list[Any]
) -> None:
    debugger = rk.RecommendationDebugger(healthy, budget_ms=10_000)
    found = debugger.diagnose_many([users[0], None], history=market[0], now=healthy.fitted_until)
    assert found.counts()["all"] == {HEALTHY: 2}


def test_the_scope_of_a_verdict_is_everyone_a_segment_some_or_no_one() -> None:
    def sample(**shares: tuple[int, int]) -> rk.debugger.PopulationDiagnosis:
        fault = rk.debugger.Finding(
            "FAULT", rk.debugger.Severity.WARNING, "stage", "found", "mend", "ranking", "data"
        )
        ill, well = rk.debugger.Diagnosis("ann", (fault,), {}, ()), rk.debugger.Diagnosis("ann", (), {}, ())
        labels = [name for name, (bad, good) in shares.items() for _ in range(bad + good)]
        return rk.debugger.PopulationDiagnosis(
            tuple(one for bad, good in shares.values() for one in [ill] * bad + [well] * good),
            {"": tuple(labels)},
        )

    assert sample(new=(9, 1), old=(18, 2)).scope("FAULT") == "everyone"
    assert sample(new=(9, 1), old=(18, 2)).findings[0].evidence["share_of_users"] == 0.9
    assert sample(new=(9, 1), old=(1, 29)).scope("FAULT") == "new"
    assert sample(new=(3, 7), old=(9, 21)).scope("FAULT") == "some"
    assert sample(new=(0, 10), old=(0, 30)).scope("FAULT") == "no one"


def test_a_list_from_the_fallback_does_not_pass_as_healthy(users: list[Any], market: Any) -> None:
    few = candidates.FromFunction(lambda asked, limit: [[1]] * len(asked), codes=True)
    pipeline = rk.Pipeline([few], fallback=candidates.Popular()).fit(market[0])
    assert diagnose(pipeline, users[0]).verdict == "FALLBACK_SERVED"


def test_a_stage_that_the_budget_left_no_time_for_is_named(healthy: rk.Pipeline, users: list[Any]) -> None:
    class Slow:
        def retrieve(self, requests: rk.Requests, limit: int) -> Any:
            time.sleep(0.2)
            return rk.data.Retrieved.empty(len(requests))

    slow = healthy.replace("merge.popular", Slow())
    found = rk.RecommendationDebugger(slow, budget_ms=10).diagnose(users[0], now=healthy.fitted_until)
    assert {"STAGE_SKIPPED", "STAGE_SLOW"} <= set(codes_of(found))
    slowest = next(finding for finding in found.findings if finding.code == "STAGE_SLOW")
    assert slowest.stage == "merge.popular"
