"""What surrounds a diagnosis: why, watch, traces, segments, scans, a user's own broken stage, and what it costs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.data import Retrieved
from recokit.datasets import make_marketplace
from recokit.debugger import Finding, Severity
from recokit.debugger.diagnosis import ranked_findings
from recokit.debugger.scan import Probes, scan_source
from recokit.testing import faults

HEALTHY = "NO_OBVIOUS_ISSUE"


class Calm:
    """A team's own scorer, which someone may break."""

    def __init__(self, *, factor: float = 1.0) -> None:
        self.factor = factor

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        return (self.factor * candidates.score).astype(np.float32)


@pytest.fixture(scope="module")
def market() -> tuple[rk.Dataset, rk.Dataset]:
    return make_marketplace(n_users=250, n_items=150, seed=5).dataset.split_at("2025-03-18", horizon="10D")


@pytest.fixture(scope="module")
def healthy(market: tuple[rk.Dataset, rk.Dataset]) -> rk.Pipeline:
    train, _ = market
    return rk.Pipeline(
        [
            candidates.Merge(
                [candidates.ItemKNN(), candidates.PureSVD(n_factors=8), candidates.Popular()], limit=60
            ),
            rules.InStock(np.ones(train.n_items + 1)),
            features.Standard(),
            rankers.LogisticRegression(),
            Calm(),
            rules.MaxShare("category", 0.5),
            diversity.MMR(0.9),
        ],
        fallback=candidates.Popular(),
    ).fit(train, label_window="7D", windows=2)


@pytest.fixture(scope="module")
def users(market: tuple[rk.Dataset, rk.Dataset]) -> list[Any]:
    train, _ = market
    counts = np.bincount(train.interactions.user, minlength=train.n_users + 1)
    return train.user_ids.decode(np.flatnonzero(counts >= 15)[:24]).tolist()


def diagnosed(broken: rk.Pipeline, healthy: rk.Pipeline, user: Any, **options: Any) -> Any:
    debugger = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=5_000)
    return debugger.diagnose(user, now=healthy.fitted_until, **options)


@pytest.mark.parametrize(
    ("factor", "code"),
    [
        (np.nan, "SCORES_NOT_FINITE"),
        (0.0, "RANKING_DIFFERENTIATION_FAILURE"),
        (-1.0, "SCORER_DOMINATES"),
    ],
)
def test_a_users_own_broken_stage_is_blamed(
    healthy: rk.Pipeline, users: list[Any], factor: float, code: str
) -> None:
    found = diagnosed(healthy.replace("calm", Calm(factor=factor)), healthy, users[0])
    assert (found.verdict, found.stage) == (code, "calm")


def test_a_users_own_stage_that_raises_on_some_is_blamed(healthy: rk.Pipeline, users: list[Any]) -> None:
    class Fragile(Calm):
        def score(self, candidates: rk.Candidates) -> np.ndarray:
            raise KeyError("price")

    found = diagnosed(healthy.replace("calm", Fragile()), healthy, users[0])
    assert (found.verdict, found.stage) == ("STAGE_FAILED", "calm")
    assert "KeyError" in found.findings[0].message


def test_a_finding_answers_the_three_questions(healthy: rk.Pipeline, users: list[Any]) -> None:
    broken = healthy.replace("logistic_regression", faults.inverted(healthy["logistic_regression"]))
    found = diagnosed(broken, healthy, users[0]).findings[0]
    assert (found.code, found.place, found.origin) == ("RANKING_INVERTED", "ranking", "model")
    assert found.severity is Severity.CRITICAL and found.items and found.action
    report = json.loads(json.dumps(found.to_dict()))
    assert report["evidence"]["rank_correlation"] < -0.9


def test_what_an_earlier_stage_explains_is_a_symptom(healthy: rk.Pipeline, users: list[Any]) -> None:
    broken = healthy.replace(
        "standard", faults.scaled(healthy["standard"], healthy["standard"].names[:6], 1e3)
    )
    broken = broken.replace("logistic_regression", faults.inverted(healthy["logistic_regression"]))
    found = diagnosed(broken, healthy, users[0])
    assert (found.verdict, found.stage) == ("FEATURES_SCALED", "standard")
    assert all(
        one.severity <= Severity.SYMPTOM
        for one in found.findings
        if one.relative and one is not found.findings[0]
    )


def test_an_item_never_retrieved_tells_how_far_the_nearest_source_is(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    debugger, now = rk.RecommendationDebugger(healthy), healthy.fitted_until
    batch = healthy.candidates(healthy.requests([users[0]], now=now))
    absent = np.setdiff1d(np.arange(1, 151), batch.item)[0]
    item = healthy.schema.item_ids.decode([absent])[0]
    answer = debugger.why(users[0], item, now=now)
    assert answer.fate == "not retrieved"
    depth = answer.depths[answer.nearest]
    assert str(answer) == f"never retrieved; nearest source {answer.nearest} would need k={depth:,}"
    # The oracle: the popular list is the same for all, and the item stands where it says.
    whole = healthy["merge.popular"].retrieve(healthy.requests([users[0]], now=now), 150).item
    assert whole[answer.depths["merge.popular"] - 1] == absent
    assert answer.to_dict()["depths"] == dict(answer.depths)
    assert not debugger.why(users[0], item, now=now, depth=False).depths
    assert "no source has it" in str(debugger.why(users[0], item, now=now, scan_ms=-1.0))


def test_live_requests_are_sampled_and_diagnosed_as_they_were(
    market: tuple[rk.Dataset, rk.Dataset], users: list[Any]
) -> None:
    train, _ = market
    stock = rk.Live(np.ones(151), name="stock")
    watch = rk.RecommendationDebugger.watch(None, share=1.0, max_requests=5)  # type: ignore[arg-type]
    pipeline = rk.Pipeline([candidates.Popular(), rules.InStock(stock)], observers=[watch]).fit(train)
    pipeline.recommend(users[:3], now=train.until)
    stock.set(np.zeros(151))
    pipeline.recommend([users[3]], now=train.until)
    stock.set(np.ones(151))
    found = rk.RecommendationDebugger(pipeline, budget_ms=5_000).diagnose_watched(watch, history=train)
    assert [one.user for one in found.diagnoses] == users[:4]
    verdicts = [one.verdict for one in found.diagnoses]
    assert verdicts[:3] == [HEALTHY] * 3
    assert verdicts[3] == "BUSINESS_RULES_TOO_AGGRESSIVE"
    assert len(watch) == 4 and "kept=4" in repr(watch)
    pipeline.recommend(users[:9], now=train.until)
    assert len(watch) == 5


def test_a_sample_is_a_share_of_the_requests(market: tuple[rk.Dataset, rk.Dataset]) -> None:
    train, _ = market
    watch = rk.debugger.TrafficSample(share=0.2)
    pipeline = rk.Pipeline([candidates.Popular()], observers=[watch]).fit(train)
    pipeline.recommend(train.user_ids.decode(np.arange(1, 201)).tolist(), now=train.until)
    assert 20 <= len(watch) <= 60
    with pytest.raises(rk.errors.ConfigurationError, match="share=0"):
        rk.debugger.TrafficSample(share=0)


def test_a_trace_is_read_as_it_is_or_its_request_asked_again(healthy: rk.Pipeline, users: list[Any]) -> None:
    broken = healthy.replace("calm", Calm(factor=np.nan))
    now = healthy.fitted_until
    debugger = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=5_000)
    for capture in ("full", "summary"):
        trace = broken.recommend(users[:3], now=now, capture=capture).trace
        found = debugger.diagnose_trace(trace, 1)
        assert (found.user, found.verdict, found.stage) == (users[1], "SCORES_NOT_FINITE", "calm")
    with pytest.raises(IndexError, match="found row 3"):
        debugger.diagnose_trace(trace, 3)


def test_many_agree_with_one_by_one(healthy: rk.Pipeline, users: list[Any]) -> None:
    broken = healthy.replace("in_stock", rules.InStock((np.arange(151) % 3 > 0).astype(float)))
    debugger = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=5_000)
    now = healthy.fitted_until
    many = debugger.diagnose_many([*users, None], now=now, scan=False)
    for user, found in zip([*users, None], many.diagnoses, strict=True):
        alone = debugger.diagnose(user, now=now)
        assert found.user == user
        assert (found.verdict, found.stage) == (alone.verdict, alone.stage)
        timeless = ("ms",)
        assert [{k: v for k, v in step.items() if k not in timeless} for step in found.funnel][5:] == [
            {k: v for k, v in step.items() if k not in timeless} for step in alone.funnel
        ][5:]
        # Scores are equal but for rounding by the shape of a batch.
        rounded = ("top_10_scores", "score_spread")
        assert found.figures["top_10_scores"] == pytest.approx(alone.figures["top_10_scores"], abs=1e-5)
        assert {name: value for name, value in found.figures.items() if name not in rounded} == {
            name: value for name, value in alone.figures.items() if name not in rounded
        }
    assert many.stage == "in_stock" and many.findings[0].scope == "everyone"
    json.dumps(many.to_dict())
    assert "in_stock" in str(many) and "in_stock" in many._repr_html_()


def test_the_context_tells_segments_apart(healthy: rk.Pipeline, users: list[Any]) -> None:
    class OnApp(Calm):
        def score(self, candidates: rk.Candidates) -> np.ndarray:
            app = candidates.requests.column("device")[candidates.row] == "app"
            return np.where(app, np.float32(np.nan), candidates.score).astype(np.float32)

    broken = healthy.replace("calm", OnApp())
    device = ["app" if place % 2 else "web" for place in range(len(users))]
    debugger = rk.RecommendationDebugger(broken, budget_ms=5_000)
    found = debugger.diagnose_many(users, now=healthy.fitted_until, context={"device": device})
    assert (found.verdict, found.stage, found.findings[0].scope) == (
        "SCORES_NOT_FINITE",
        "calm",
        "device=app",
    )
    assert found.findings[0].evidence["inside"] == 1.0
    assert found.findings[0].evidence["elsewhere"] == 0.0


def test_a_diagnosis_runs_the_request_once_and_the_baseline_once(
    healthy: rk.Pipeline, users: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    run = rk.Pipeline.run

    def counted(self: rk.Pipeline, requests: Any, **options: Any) -> Any:
        calls.append(options["observe"])
        return run(self, requests, **options)

    monkeypatch.setattr(rk.Pipeline, "run", counted)
    diagnosed(healthy.without("mmr"), healthy, users[0])
    assert calls == [False, False]


def test_the_scan_knows_a_source_that_lost_items(healthy: rk.Pipeline, users: list[Any]) -> None:
    lost = np.random.default_rng(0).choice(np.arange(1, 151), 60, replace=False)
    broken = healthy.replace("merge.pure_svd", faults.truncated(healthy["merge.pure_svd"], lost))
    debugger = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=5_000)
    before = debugger.diagnose(users[0], now=healthy.fitted_until)
    assert any("debugger.scan()" in gap for gap in before.not_assessed)
    scan = debugger.scan(now=healthy.fitted_until)
    assert set(scan.sources["merge.pure_svd"].gone.tolist()) <= set(lost.tolist())
    assert scan.sources["merge.item_knn"].vanished == 0.0
    after = debugger.diagnose(users[0], now=healthy.fitted_until)
    assert (after.verdict, after.stage) == ("INDEX_TRUNCATED", "merge.pure_svd")
    assert not any("debugger.scan()" in gap for gap in after.not_assessed)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_items_that_come_and_go_are_no_lost_items(share: float) -> None:
    """Every fifth item is another one in the newer source; of the rest a share may be gone on top of that."""

    class Neighbours:
        requires = ("history",)

        def __init__(self, offered: np.ndarray) -> None:
            self.offered = offered

        def retrieve(self, requests: rk.Requests, limit: int) -> Retrieved:
            rows = [
                np.random.default_rng(item).permutation(400)[:80] + 1
                for item in requests.lists("history").values
            ]
            rows = [row[self.offered[row]][:limit] for row in rows]
            offsets = np.cumsum([0, *map(len, rows)])
            return Retrieved(offsets, np.concatenate(rows), np.zeros(offsets[-1], np.float32))

    random = np.random.default_rng(1)
    kind = random.choice(["both", "old", "new"], 401, p=[0.66, 0.17, 0.17])
    here = (kind != "old") & ~(random.random(401) < share)
    found = scan_source(Neighbours(here), Neighbours(kind != "new"), Probes(np.arange(1, 301), 0.0))
    assert found.vanished > 0.15
    assert found.lost == pytest.approx(share, abs=0.06)


def test_a_ranking_finding_tells_what_the_features_add(healthy: rk.Pipeline, users: list[Any]) -> None:
    ranker = healthy["logistic_regression"]
    now = healthy.fitted_until
    debugger = rk.RecommendationDebugger(
        healthy.replace("logistic_regression", faults.inverted(ranker)), baseline=healthy, budget_ms=5_000
    )
    diagnosis = debugger.diagnose(users[0], now=now)
    found = next(one for one in diagnosis.findings if one.code == "RANKING_INVERTED")
    usual = found.evidence["baseline_contributions"]
    batch = healthy.candidates(healthy.requests([users[0]], now=now))
    best = healthy.run(healthy.requests([users[0]], now=now), capture="full").trace.of("logistic_regression")[
        0
    ]
    order = np.argsort(-best.after.score, kind="stable")[:10]
    parts = ranker.contributions(batch.compress(np.isin(batch.item, best.after.item[order]))).mean(axis=0)
    strongest = int(np.argmax(np.abs(parts)))
    assert usual[ranker.feature_names_[strongest]] == pytest.approx(parts[strongest])
    assert len(usual) == 5 and set(found.evidence["contributions"]) - set(usual)
    # Of many users together nobody waits for that.
    many = debugger.diagnose_many(users, now=now, scan=False).diagnoses
    told = [any("contributions" in one.evidence for one in found.findings) for found in many]
    assert 0 < sum(told) <= sum(one.timed for one in many)


def test_what_changes_the_list_comes_before_a_slow_stage() -> None:
    def critical(code: str, stage: str) -> Finding:
        return Finding(code, Severity.CRITICAL, stage, "", "", "list", "settings")

    slow, tight = critical("STAGE_SLOW", "mmr"), critical("LIMIT_TOO_TIGHT", "max_share")
    assert ranked_findings([slow, tight], {"mmr": 0})[0] is tight


def test_a_baseline_of_other_items_is_compared_by_id(market: tuple[rk.Dataset, rk.Dataset]) -> None:
    train, _ = market
    log = train.interactions

    def frame(n: int) -> rk.Dataset:
        kept = np.flatnonzero(log.item > n)
        return rk.Dataset.from_frame(
            {
                "user_id": train.user_ids.decode(log.user[kept]),
                "item_id": train.item_ids.decode(log.item[kept]),
                "timestamp": log.timestamp[kept],
            }
        )

    def built(data: rk.Dataset) -> rk.Pipeline:
        return rk.Pipeline([candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=60)]).fit(
            data
        )

    mine, other = built(frame(0)), built(frame(3))
    assert mine.schema.item_ids.fingerprint != other.schema.item_ids.fingerprint
    debugger = rk.RecommendationDebugger(mine, baseline=other, budget_ms=5_000)
    some = mine.schema.user_ids.decode(np.arange(1, 13)).tolist()
    found = debugger.diagnose_many(some, now=train.until)
    assert found.counts()["all"] == {HEALTHY: 12}
    assert debugger.scanned.sources["merge.item_knn"].shared > 0.7


def test_an_older_version_of_a_live_value_is_a_stale_snapshot(
    market: tuple[rk.Dataset, rk.Dataset], users: list[Any]
) -> None:
    train, _ = market

    def serving(updates: int) -> rk.Pipeline:
        stock = rk.Live(np.ones(151), name="stock")
        for _ in range(updates):
            stock.set(np.ones(151))
        return rk.Pipeline([candidates.Popular(), rules.InStock(stock)]).fit(train)

    found = rk.RecommendationDebugger(serving(1), baseline=serving(4)).diagnose(users[0], now=train.until)
    assert found.verdict == "STALE_SNAPSHOT"
    assert "missed 3 updates" in found.action


def test_the_tightest_of_several_limits_is_named(
    users: list[Any], market: tuple[rk.Dataset, rk.Dataset]
) -> None:
    def limited(per_category: int) -> rk.Pipeline:
        sellers = rk.Step(rules.MaxPerGroup("seller", 9), name="sellers")
        categories = rk.Step(rules.MaxPerGroup("category", per_category), name="categories")
        return rk.Pipeline([candidates.Popular(), sellers, categories]).fit(market[0])

    found = rk.RecommendationDebugger(limited(1), baseline=limited(9)).diagnose(users[0], now=market[0].until)
    assert (found.verdict, found.stage) == ("LIMIT_TOO_TIGHT", "categories")


def test_a_comparison_gives_shares(healthy: rk.Pipeline, users: list[Any]) -> None:
    other = healthy.replace("calm", Calm(factor=2.0))
    found = rk.RecommendationDebugger(healthy).compare(other, users[:4], now=healthy.fitted_until)
    assert found.to_dict() == {"stage": "calm", "first": {"calm": 4}, "shares": {"calm": 1.0}}
    fewer = rk.RecommendationDebugger(healthy).compare(
        healthy.without("mmr"), users[:2], now=healthy.fitted_until
    )
    assert fewer.stage == "mmr"


def test_an_index_of_vectors_is_diagnosed_though_its_freshness_is_another(
    users: list[Any], market: Any
) -> None:
    train, _ = market
    vectors = np.random.default_rng(0).normal(size=(train.n_items + 1, 8)).astype(np.float32)
    merged = candidates.Merge([candidates.AnnIndex(vectors), candidates.Popular()], limit=40)
    pipeline = rk.Pipeline([merged, features.Standard(), rankers.LogisticRegression()]).fit(
        train, label_window="7D", windows=1
    )
    debugger = rk.RecommendationDebugger(pipeline, budget_ms=5_000)
    alone = debugger.diagnose(users[0], now=train.until)
    assert alone.verdict == HEALTHY and alone.figures["candidate_sources"]["ann_index"] > 0
    assert alone.figures["feature_freshness"] == {
        "stale_features": 0,
        "total": len(pipeline["standard"].names),
    }
    assert debugger.diagnose_many(users[:3], now=train.until).counts()["all"] == {HEALTHY: 3}
    (described,) = debugger.scanned.sources["merge.ann_index"].vectors
    assert (described.not_finite, described.alike < 0.5) == (0.0, True)


def test_a_team_adds_checks_of_its_own(healthy: rk.Pipeline, users: list[Any]) -> None:
    few = rk.debugger.Cause(Severity.WARNING, "list", "settings", "{n} of {k} sellers", "Loosen {stage}.")

    class Sellers:
        def look(self, evidence: rk.debugger.Evidence) -> list[Finding]:
            sellers = evidence.schema.items.categorical["seller"].codes[evidence.selected]
            n = len(set(sellers.tolist()))
            return [few.finding("FEW_SELLERS", "max_share", {"n": n}, k=evidence.k)] if n < evidence.k else []

    class Together:
        def look_at_all(self, facts: Any) -> list[Any]:
            return [(few.finding("TOGETHER", "mmr", {"n": len(facts)}, k=0), [0, 2])]

    debugger = rk.RecommendationDebugger(
        healthy,
        checks=[*rk.debugger.CHECKS, Sellers()],
        population_checks=[Together()],
        budget_ms=5_000,
    )
    found = debugger.diagnose(users[0], now=healthy.fitted_until, k=40)
    own = next(one for one in found.findings if one.code == "FEW_SELLERS")
    assert (
        own.action == "Loosen max_share."
        and own.message.endswith("of 40 sellers")
        and own.stage == "max_share"
    )
    many = debugger.diagnose_many(users[:4], now=healthy.fitted_until, scan=False)
    together = next(one for one in many.findings if one.code == "TOGETHER")
    assert together.evidence["users"] == 2 and together.message == "4 of 0 sellers"
