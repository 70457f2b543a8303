"""Confirmation: the list heals with the guilty part of the baseline, and with no other."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.datasets import make_marketplace
from recokit.debugger import Confirmation
from recokit.testing import faults
from recokit.testing.faults import hydration as lists, rules as of_rules, sources, stages


@pytest.fixture(scope="module")
def data() -> tuple[rk.Dataset, rk.Dataset]:
    return make_marketplace(n_users=150, n_items=120, seed=6).dataset.split_at("2025-03-20", horizon="7D")


@pytest.fixture(scope="module")
def healthy(data: Any) -> rk.Pipeline:
    train, _ = data
    stock = (np.random.default_rng(0).random(train.n_items + 1) < 0.85).astype(float)
    return rk.Pipeline(
        [
            candidates.Merge([candidates.ItemKNN(), candidates.History(), candidates.Popular()], limit=70),
            rules.InStock(stock),
            features.Standard(),
            rankers.LogisticRegression(),
            rules.MaxShare("category", 0.4),
        ],
        fallback=candidates.Popular(half_life=None),
    ).fit(train, label_window="7D", max_requests=200)


@pytest.fixture(scope="module")
def users(data: Any) -> list[Any]:
    train, _ = data
    counts = np.bincount(train.interactions.user, minlength=train.n_users + 1)
    return train.user_ids.decode(np.flatnonzero(counts >= 15)[:8]).tolist()


FAULTS: dict[str, Any] = {
    "user_history": lambda stage: lists.newest(stage, 3),
    "merge.item_knn": sources.dead,
    "in_stock": of_rules.passing,
    "standard": lambda stage: faults.scaled(stage, stage.names[:6], 1e3),
    "logistic_regression": faults.inverted,
    "max_share": lambda stage: faults.with_option(stage, share=0.1),
}


@pytest.mark.parametrize("guilty", FAULTS)
def test_the_list_heals_with_the_guilty_stage_and_with_no_other(
    healthy: Any, users: list[Any], guilty: str
) -> None:
    broken = healthy.replace(guilty, FAULTS[guilty](healthy[guilty]))
    debugger = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=10_000)
    debugger.scan(users, now=healthy.fitted_until)
    found = debugger.diagnose(users[0], now=healthy.fitted_until)
    assert found.stage == guilty
    proof = found.confirm()
    assert (proof.healed, proof.exchanged, proof.left) == (True, (guilty,), ())
    assert proof.alike_after == 1.0 and proof.alike_after >= proof.alike
    for innocent in FAULTS.keys() - {guilty}:
        wrong = found.confirm(innocent)
        assert not wrong.healed and wrong.left, (innocent, str(wrong))


def test_many_users_are_asked_again_as_one_population(healthy: Any, users: list[Any]) -> None:
    one = int(healthy.schema.user_ids.encode(users[:1])[0])
    same = stages.for_users(healthy["user_history"], np.full(151, one))
    broken = healthy.replace("user_history", same)
    debugger = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=10_000)
    found = debugger.diagnose_many([*users, None], now=healthy.fitted_until, context={"device": ["app"] * 9})
    proof = found.confirm()
    assert (proof.code, proof.stage, proof.healed) == ("HISTORY_SAME_FOR_ALL", "user_history", True)
    assert not found.confirm("merge.item_knn").healed


def test_of_two_faults_one_exchange_makes_it_better_and_does_not_heal(healthy: Any, users: list[Any]) -> None:
    broken = healthy.replace("in_stock", of_rules.passing(healthy["in_stock"]))
    broken = broken.replace("user_history", lists.newest(healthy["user_history"], 3))
    debugger = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=10_000)
    found = debugger.diagnose(users[0], now=healthy.fitted_until)
    assert {"HISTORY_TRUNCATED", "RULE_REMOVES_LESS"} <= {one.code for one in found.findings[:3]}
    proof = found.confirm()
    assert not proof.healed and proof.is_better
    assert proof.left == ("RULE_REMOVES_LESS in_stock",) and "other causes are left" in proof.why


def test_what_surrounds_the_stages_is_taken_from_the_baseline_too(data: Any, users: list[Any]) -> None:
    train, _ = data

    def merged(limit: int) -> rk.Pipeline:
        parts = [candidates.ItemKNN(), candidates.Popular()]
        return rk.Pipeline([candidates.Merge(parts, limit=limit), rules.MaxPerGroup("category", 9)]).fit(
            train
        )

    debugger = rk.RecommendationDebugger(merged(12), baseline=merged(90), budget_ms=10_000)
    found = debugger.diagnose(users[0], now=train.until)
    assert (found.verdict, found.stage) == ("FUNNEL_CUT", "merge")
    assert found.confirm().healed
    # A rule that is gone comes back the same way.
    gone = rk.RecommendationDebugger(
        merged(90).without("max_per_group"), baseline=merged(90), budget_ms=10_000
    )
    assert gone.diagnose(users[0], now=train.until).confirm().healed


def test_what_cannot_be_confirmed_is_not_claimed(healthy: Any, users: list[Any], data: Any) -> None:
    now = healthy.fitted_until
    broken = healthy.replace("logistic_regression", faults.inverted(healthy["logistic_regression"]))
    alone = rk.RecommendationDebugger(
        healthy.replace("in_stock", rules.InStock(np.zeros(121))), budget_ms=10_000
    )
    with pytest.raises(rk.errors.ConfigurationError, match="no baseline"):
        alone.diagnose(users[0], now=now).confirm()
    well = rk.RecommendationDebugger(healthy, baseline=healthy, budget_ms=10_000).diagnose(users[0], now=now)
    with pytest.raises(rk.errors.ConfigurationError, match="no finding"):
        well.confirm()
    assert not well.confirm("logistic_regression").healed  # nothing was ill
    # Codes of another catalogue mean nothing here.
    other = make_marketplace(n_users=150, n_items=90, seed=6).dataset
    usual = rk.Pipeline([candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=70)]).fit(other)
    found = rk.RecommendationDebugger(broken, baseline=usual, budget_ms=10_000).diagnose(users[0], now=now)
    proof = found.confirm("merge.item_knn")
    assert not proof.healed and "other items" in proof.why


def test_a_confirmation_reads_well(healthy: Any, users: list[Any]) -> None:
    proof = Confirmation(
        "A", "merge.one", ("merge.one",), healed=True, why="it is gone", alike=0.5, alike_after=1.0
    )
    assert str(proof) == "A merge.one: healed; it is gone"
    report = json.loads(json.dumps(proof.to_dict()))
    assert report["healed"] is True and report["alike_after"] == 1.0
    assert Confirmation("A", "", (), healed=False).to_dict()["alike"] is None
    assert "after the exchange 100%" in proof._repr_html_()


def test_data_that_every_stage_reads_heal_with_the_baseline_around_this_pipelines_rules(
    healthy: Any, users: list[Any], data: Any
) -> None:
    """Events read twice are in the history and in all that counts them."""
    train, _ = data
    twice = train.with_interactions(train.interactions.take(np.repeat(np.arange(len(train.interactions)), 2)))
    debugger = rk.RecommendationDebugger(
        healthy.with_events(twice), known_good=None, baseline=healthy, budget_ms=10_000
    )
    found = debugger.diagnose_many(users, now=healthy.fitted_until)
    assert (found.verdict, found.stage) == ("EVENTS_DUPLICATED", "")
    proof = found.confirm()
    assert proof.healed and {"user_history", "standard"} <= set(proof.exchanged)
    assert not found.confirm("in_stock").healed
