"""Health is relative: to the baseline where there is one, to other users where there is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import Ragged
from recokit.datasets import make_marketplace
from recokit.debugger import OnlineGap, Severity
from recokit.debugger.checks.candidates import CandidateRecall
from recokit.debugger.checks.causes import finding
from recokit.debugger.checks.users import UserChange
from recokit.debugger.diagnosis import ranked_findings
from tests.debugger.test_check_edges import batch, codes, seen

HEALTHY = "NO_OBVIOUS_ISSUE"


@pytest.fixture(scope="module")
def market() -> tuple[rk.Dataset, rk.Dataset]:
    return make_marketplace(n_users=200, n_items=120, seed=11).dataset.split_at("2025-03-18", horizon="10D")


def users_of(test: rk.Dataset, train: rk.Dataset, n: int) -> list[Any]:
    active = np.intersect1d(test.interactions.user, train.interactions.user)[:n]
    return train.user_ids.decode(active).tolist()


class Likes:
    """A ranker that likes what the user owns."""

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        owned = candidates.requests.lists("history")
        own = [set(owned.row(row).tolist()) for row in range(len(owned))]
        liked = [item in own[row] for row, item in zip(candidates.row, candidates.item, strict=True)]
        return np.asarray(liked, np.float32) - 1e-3 * candidates.item.astype(np.float32)


def test_not_owned_with_a_ranker_that_likes_owned_items_is_healthy(market: Any) -> None:
    train, test = market
    stages = [
        candidates.Merge([candidates.History(), candidates.Popular()], limit=60),
        rules.NotSeen(),
        Likes(),
    ]
    pipeline = rk.Pipeline(stages).fit(train)
    debugger = rk.RecommendationDebugger(pipeline, budget_ms=5_000)
    found = [debugger.diagnose(user, now=train.until) for user in users_of(test, train, 12)]
    assert any(one.to_dict()["items_removed_by_rules"] > 10 for one in found)
    assert [str(one) for one in found if one.verdict != HEALTHY] == []


def test_what_the_same_pipeline_does_as_well_is_no_finding(market: Any) -> None:
    """Half of the stock, missing features, infinite scores, a tight cap, an empty source, an empty list."""
    train, test = market

    class Half:
        names = ("a", "b", "c")

        def featurize(self, candidates: rk.Candidates) -> np.ndarray:
            return np.where(np.arange(3) < 1, 1.0, np.nan) * np.ones((len(candidates), 1), np.float32)

    class Infinite:
        def score(self, candidates: rk.Candidates) -> np.ndarray:
            return np.where(candidates.item % 3, candidates.item, np.nan).astype(np.float32)

    stock = (np.arange(train.n_items + 1) % 4 == 0).astype(float)
    nothing = rk.Step(candidates.FromFunction(lambda requests, limit: [[]] * len(requests)), name="nothing")
    pipeline = rk.Pipeline(
        [
            candidates.Merge([candidates.ItemKNN(), candidates.Popular(), nothing], limit=80),
            rules.InStock(stock),
            Half(),
            rk.Step(Likes(), name="scorer"),
            rules.MaxPerGroup("category", 1),
        ],
        fallback=candidates.Popular(half_life=None),
    ).fit(train)
    pipeline = pipeline.replace("scorer", Infinite())
    debugger = rk.RecommendationDebugger(pipeline, known_good=test, baseline=pipeline, budget_ms=5_000)
    alone = rk.RecommendationDebugger(pipeline, known_good=test, budget_ms=5_000)
    users = users_of(test, train, 6)
    assert all(alone.diagnose(user, now=train.until).is_ill for user in users)
    found = [debugger.diagnose(user, now=train.until) for user in [*users, None]]
    assert [str(one) for one in found if one.verdict != HEALTHY] == []
    assert debugger.diagnose_many(users, history=train, now=train.until).verdict == HEALTHY


@pytest.mark.parametrize(
    ("good", "others", "severity"),
    [
        (3, [0.9] * 9, "critical"),  # .1 ** 3
        (2, [0.9] * 9, "note"),  # one or two are ordinary
        (3, [0.7] * 9, "note"),  # .3 ** 3 is above .02
        (4, [0.7] * 9, "critical"),  # .3 ** 4 is below
        (4, [0.0] * 9, "critical"),  # nobody's are found: no standard
        (4, [0.005] * 9, "critical"),  # no more than at random
        (4, [], "critical"),
    ],
)
def test_without_a_baseline_other_users_tell_which_recall_is_ordinary(
    good: int, others: list[float], severity: str
) -> None:
    evidence = seen(
        retrieved=batch([90]),
        retrieved_items=np.array([90]),
        known_good=np.arange(1, good + 1),
        schema=SimpleNamespace(item_ids=range(100)),
        recall_of_others=lambda now: np.array(others),
    )
    assert codes(CandidateRecall().look(evidence)) == [f"CANDIDATE_GENERATION_FAILURE {severity}"]


def test_a_split_tells_the_recall_of_others_and_few_users_none(market: Any) -> None:
    train, test = market
    pipeline = rk.Pipeline([candidates.Merge([candidates.Popular()], limit=20)]).fit(train)
    debugger = rk.RecommendationDebugger(pipeline, known_good=test)
    found = debugger._replayer.recall_of_others(train.until)
    assert len(found) == 32 and 0 < found.mean() < 1
    assert debugger._replayer.recall_of_others(train.until) is found
    few = rk.RecommendationDebugger(
        pipeline, known_good={user: ["item-1"] for user in users_of(test, train, 7)}
    )
    assert len(few._replayer.recall_of_others(train.until)) == 0


# -- the order of findings ---------------------------------------------------------------------------------


def test_candidates_are_judged_before_features_and_features_before_ranking(market: Any) -> None:
    train, test = market

    class Half:
        names = ("a", "b")

        def featurize(self, candidates: rk.Candidates) -> np.ndarray:
            return np.where(np.arange(2) < 1, 1.0, np.nan) * np.ones((len(candidates), 1), np.float32)

    class Flat:
        def score(self, candidates: rk.Candidates) -> np.ndarray:
            return np.zeros(len(candidates), np.float32)

    pipeline = rk.Pipeline([candidates.Popular(), Half(), Flat()]).fit(train)
    user = users_of(test, train, 1)[0]
    shown = pipeline.candidates(pipeline.requests([user], now=train.until)).item
    missing = np.setdiff1d(np.arange(1, train.n_items + 1), shown)[:3]
    known = {user: [*train.item_ids.decode(missing).tolist(), "no-such-1", "no-such-2"][-4:]}
    found = rk.RecommendationDebugger(pipeline, known_good=known, budget_ms=5_000).diagnose(
        user, now=train.until
    )
    assert found.to_dict()["feature_coverage"] == 0.5
    assert [one.code for one in found.findings if one.severity is Severity.CRITICAL] == [
        "CANDIDATE_GENERATION_FAILURE", "FEATURE_QUALITY_ISSUE", "RANKING_DIFFERENTIATION_FAILURE",
    ]  # fmt: skip


def test_a_finding_without_a_stage_stands_behind_the_stages_of_its_part() -> None:
    from tests.debugger.test_check_edges import a

    place_of = {
        "merge.one": 0,
        "merge": 1,
        "stock": 2,
        "standard": 3,
        "ranker": 4,
        "selection": 5,
        "popular": 6,
    }
    roles = dict(
        zip(place_of, ("source", "source", "filter", "featurizer", "scorer", "selection", ""), strict=True)
    )
    parts: Any = ("serving", "list", "ranking", "candidates")
    nowhere = [a(part.upper(), Severity.CRITICAL, "", part) for part in parts]
    staged = [a(name.upper(), Severity.CRITICAL, name) for name in place_of]
    assert [one.code for one in ranked_findings([*nowhere, *staged], place_of, roles)] == [
        "MERGE.ONE", "MERGE", "CANDIDATES", "STOCK", "STANDARD", "RANKER", "RANKING", "SELECTION", "LIST", "POPULAR",
        "SERVING",
    ]  # fmt: skip


# -- ties, shares of nothing, context ----------------------------------------------------------------------


def test_of_equal_scores_removed_items_count_in_the_place_that_they_had(market: Any) -> None:
    train, _ = market

    class Flat:
        def score(self, candidates: rk.Candidates) -> np.ndarray:
            return np.ones(len(candidates), np.float32)

    stage = candidates.Popular()
    pipeline = rk.Pipeline([stage, rules.InStock(np.ones(train.n_items + 1)), Flat()]).fit(train)
    order = pipeline["popular"].retrieve(pipeline.requests([None], now=train.until), 100).item
    stock = np.ones(train.n_items + 1)
    stock[order[:7]] = 0  # the seven first of equals
    broken = pipeline.replace("in_stock", rules.InStock(stock))
    found = rk.RecommendationDebugger(broken, budget_ms=5_000).diagnose(None, now=train.until)
    assert found.to_dict()["items_removed_by_rules"] == 7


def test_features_that_nobody_has_are_not_expected_at_none_per_cent(market: Any) -> None:
    train, test = market

    class Block:
        names = ("a", "b", "c")

        def __init__(self, value: float) -> None:
            self.value = value

        def featurize(self, candidates: rk.Candidates) -> np.ndarray:
            return np.full((len(candidates), 3), self.value, np.float32)

    usual = rk.Pipeline([candidates.Popular(), rk.Step(Block(1.0), name="block")]).fit(train)
    broken = usual.replace("block", Block(np.nan))
    user = users_of(test, train, 1)[0]
    found = rk.RecommendationDebugger(broken, baseline=usual, budget_ms=5_000).diagnose(user, now=train.until)
    assert found.verdict == "FEATURE_QUALITY_ISSUE"
    assert "0% of the features of the top 20 items have a value, expected 80%" in found.findings[0].message
    both = rk.RecommendationDebugger(broken, baseline=broken, budget_ms=5_000).diagnose(user, now=train.until)
    assert both.verdict == HEALTHY


def test_the_context_may_be_given_by_position(market: Any) -> None:
    train, _ = market
    seen_there: list[Any] = []

    class Reads:
        requires = ("context.device",)

        def keep(self, candidates: rk.Candidates) -> np.ndarray:
            seen_there.append(candidates.requests.column("device").tolist())
            return np.ones(len(candidates), np.bool_)

    pipeline = rk.Pipeline([candidates.Popular(), Reads()]).fit(train)
    seen_there.clear()
    rk.RecommendationDebugger(pipeline, budget_ms=5_000).diagnose(None, {"device": "app"}, now=train.until)
    assert seen_there[0] == ["app"]


def test_a_pipeline_with_an_index_is_diagnosed(market: Any) -> None:
    pytest.importorskip("faiss")
    train, test = market
    vectors = np.random.default_rng(0).normal(size=(train.n_items + 1, 8)).astype(np.float32)
    stages = [
        candidates.Merge([candidates.AnnIndex(vectors), candidates.Popular()], limit=60),
        features.Standard(),
        rankers.LogisticRegression(),
    ]
    pipeline = rk.Pipeline(stages).fit(train, label_window="7D")
    for baseline in (None, pipeline):
        debugger = rk.RecommendationDebugger(pipeline, known_good=test, baseline=baseline, budget_ms=5_000)
        found = debugger.diagnose_many(users_of(test, train, 4), history=train, now=train.until)
        assert found.verdict in (HEALTHY, "CANDIDATE_GENERATION_FAILURE")
        assert all(one.figures["feature_freshness"]["total"] for one in found.diagnoses)


# -- has the user changed, and do gains come to people ------------------------------------------------------


def with_history(items: list[int], labels: list[int]) -> Any:
    from recokit.data import Requests, Table

    requests = Requests.build(np.array([1]), ragged={"history": Ragged.from_lists([items])})
    table = Table.empty(len(labels) - 1)
    names = SimpleNamespace(
        labels=SimpleNamespace(decode=lambda code: [f"label-{code[0]}"], __len__=None), codes=np.array(labels)
    )
    names.labels = _Labels()
    schema = SimpleNamespace(items=SimpleNamespace(categorical={"category": names}), table=table)
    return seen(requests=requests, schema=schema)


class _Labels:
    def __len__(self) -> int:
        return 3

    def decode(self, codes: Any) -> list[str]:
        return [f"label-{int(code)}" for code in codes]


@pytest.mark.parametrize(
    ("n_earlier", "n_recent", "told"), [(20, 5, True), (9, 5, False), (10, 5, True), (40, 10, True)]
)
def test_a_user_who_has_changed_is_told_apart(n_earlier: int, n_recent: int, told: bool) -> None:
    labels = [0, *[1] * 50, *[2] * 20]
    items = [*range(1, n_earlier + 1), *range(51, 51 + n_recent)]
    found = UserChange().look(with_history(items, labels))
    assert codes(found) == (["USER_CHANGED note"] if told else [])
    if told:
        assert (
            "category=label-2 is 100% of the last" in found[0].message
            and "0% of those before" in found[0].message
        )
    mixed = [*range(1, n_earlier + 1)][::-1] + [1] * n_recent
    assert UserChange().look(with_history(mixed, labels)) == []


def test_a_user_who_has_changed_is_the_last_of_the_questions(market: Any) -> None:
    train, _ = market
    codes_of = train.items.categorical["category"].codes
    one, other = (np.flatnonzero(codes_of == label)[:12] for label in (1, 2))
    history = train.item_ids.decode(np.concatenate([one, one, other])).tolist()
    pipeline = rk.Pipeline([candidates.Merge([candidates.ItemKNN(), candidates.Popular()])]).fit(train)
    found = rk.RecommendationDebugger(pipeline, budget_ms=5_000).diagnose(
        None, now=train.until, history=[history]
    )
    assert found.verdict == HEALTHY and "USER_CHANGED" in [one.code for one in found.findings]
    assert found.action.startswith("Nothing is broken.")


def test_a_gain_offline_that_does_not_come_to_people_is_told() -> None:
    random = np.random.default_rng(0)
    ndcg, usual = random.normal(0.36, 0.1, 800), random.normal(0.30, 0.1, 800)
    flat, up = random.random(20_000) < 0.05, random.random(20_000) < 0.06
    before = random.random(20_000) < 0.05
    assert OnlineGap(ndcg, usual, flat, before).is_gap
    assert not OnlineGap(ndcg, usual, up, before).is_gap  # the gain has come
    assert not OnlineGap(ndcg, ndcg, flat, before).is_gap  # there was none
    assert not OnlineGap(ndcg, usual, flat[:50], before[:50]).is_gap  # too few to tell
    gap = OnlineGap(ndcg, usual, flat, before)
    (found,) = gap.look(seen())
    assert codes([found]) == ["OFFLINE_ONLINE_GAP warning"] and found.evidence["gain"] == gap.gain
    assert gap.gain[1] == pytest.approx(ndcg.mean() / usual.mean() - 1)
    for wrong in ([0.1], [0.1, np.nan], [[0.1], [0.2]]):
        with pytest.raises(rk.errors.DataError, match="online"):
            OnlineGap(ndcg, usual, wrong, before)
    with pytest.raises(rk.errors.DataError, match="above 0"):
        OnlineGap(ndcg, usual, flat, [0.0, 0.0])
    with pytest.raises(rk.errors.ConfigurationError):
        OnlineGap(ndcg, usual, flat, before, kept=0.0)


def test_alike_answers_follow_from_what_is_wrong_with_their_stage() -> None:
    def cause(code: str) -> Any:
        return finding(code, "merge.svd", {"alike": 1.0, "array": "x"}, what="answers")

    found = ranked_findings(
        [cause("PERSONALIZATION_LOST"), cause("EMBEDDING_COLLAPSED")], {"merge.svd": 1, "ranker": 2}
    )
    assert [one.code for one in found] == ["EMBEDDING_COLLAPSED", "PERSONALIZATION_LOST"]
