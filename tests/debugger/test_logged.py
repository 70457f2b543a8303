"""The debugger beside what serving recorded: skew with the feature log, claims against outcomes, traces on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers
from recokit.datasets import make_marketplace
from recokit.debugger import Calibration, FeatureSkew, load_trace, save_trace
from recokit.errors import ConfigurationError, DataError
from recokit.monitoring import FeatureLog
from recokit.testing import faults


@pytest.fixture(scope="module")
def market() -> tuple[rk.Dataset, rk.Dataset]:
    return make_marketplace(n_users=150, n_items=120, seed=9).dataset.split_at("2025-03-18", horizon="10D")


@pytest.fixture(scope="module")
def healthy(market: tuple[rk.Dataset, rk.Dataset]) -> rk.Pipeline:
    stages = [
        candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=60),
        features.Standard(),
        rankers.LogisticRegression(),
    ]
    return rk.Pipeline(stages).fit(market[0], label_window="7D", windows=2)


@pytest.fixture(scope="module")
def users(market: tuple[rk.Dataset, rk.Dataset]) -> list[Any]:
    train, _ = market
    counts = np.bincount(train.interactions.user, minlength=train.n_users + 1)
    return train.user_ids.decode(np.flatnonzero(counts >= 15)[:6]).tolist()


def served(pipeline: rk.Pipeline, users: list[Any], folder: Path) -> Any:
    """Return the log of what a pipeline served to these users and to somebody unknown."""
    log = FeatureLog(folder)
    log.observe(pipeline.recommend([*users, None], now=pipeline.fitted_until).trace)
    log.close()
    return FeatureLog.load(folder)


def found(pipeline: rk.Pipeline, check: Any, user: Any, **options: Any) -> list[Any]:
    debugger = rk.RecommendationDebugger(pipeline, checks=[check], budget_ms=5_000)
    return list(debugger.diagnose(user, **({"now": pipeline.fitted_until} | options)).findings)


# -- skew ----------------------------------------------------------------------------------------------


def test_features_served_as_they_are_computed_are_no_skew(
    healthy: rk.Pipeline, users: list[Any], tmp_path: Path
) -> None:
    check = FeatureSkew(served(healthy, users, tmp_path))
    assert [found(healthy, check, user) for user in users] == [[]] * len(users)


@pytest.mark.parametrize("fault", ["another unit", "missing"])
def test_features_served_with_other_values_are_named(
    healthy: rk.Pipeline, users: list[Any], tmp_path: Path, fault: str
) -> None:
    block = healthy["standard"]
    name = next(name for name in block.names if name.endswith("price"))
    other = faults.scaled(block, [name], 100.0) if fault == "another unit" else faults.dropped(block, [name])
    log = served(healthy.replace("standard", other), users, tmp_path)
    (finding,) = found(healthy, FeatureSkew(log), users[1])
    assert (finding.code, finding.stage) == ("FEATURES_SKEWED", "standard")
    assert finding.evidence["features"] == [name]
    first = finding.evidence["first"][name]
    if fault == "missing":
        assert first["served"] is None and first["computed"] > 0
    else:
        assert first["served"] == pytest.approx(100 * first["computed"], rel=1e-5)
    assert first["differs"] == 1.0 and finding.evidence["compared"] == 10


def test_a_request_that_was_not_logged_is_not_assessed(
    healthy: rk.Pipeline, users: list[Any], tmp_path: Path
) -> None:
    check = FeatureSkew(served(healthy, users[:2], tmp_path))
    at = healthy.fitted_until
    for user, now in ((users[3], at), (users[0], at + 60), (None, at)):
        (note,) = found(healthy, check, user, now=now)
        assert note.code == "NOT_LOGGED" and note.severity == rk.debugger.Severity.NOTE
    with pytest.raises(ConfigurationError, match="tolerance=2"):
        FeatureSkew(check.log, tolerance=2)


# -- calibration ---------------------------------------------------------------------------------------


def drawn(seed: int, n: int, *, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    claimed = random.beta(1, 30, n)
    return claimed, random.random(n) < factor * claimed


def test_claims_that_hold_are_told_rarely_and_claims_that_do_not_always(healthy: rk.Pipeline) -> None:
    def told(factor: float) -> int:
        checks = [Calibration(*drawn(seed, 4_000, factor=factor)) for seed in range(200)]
        return sum(check.gap > check.tolerance and check.p_value <= check.alpha for check in checks)

    assert told(1.0) <= 1
    assert told(0.4) >= 195


def test_the_table_is_that_of_a_loop_over_bins() -> None:
    claimed, happened = drawn(1, 500, factor=0.5)
    check = Calibration(claimed, happened, bins=5)
    order, gaps = sorted(range(500), key=lambda place: claimed[place]), 0.0
    for start, row in zip(range(0, 500, 100), check.table, strict=True):
        part = order[start : start + 100]
        mean, rate = sum(claimed[i] for i in part) / 100, sum(happened[i] for i in part) / 100
        assert row == {"items": 100, "claimed": pytest.approx(mean), "happened": pytest.approx(rate)}
        gaps += 100 * abs(mean - rate)
    assert check.gap == pytest.approx(gaps / claimed.sum())


def test_weights_stand_for_the_items_that_a_sample_left_out() -> None:
    claimed, happened = drawn(2, 6_000)
    kept = happened | (np.random.default_rng(0).random(6_000) < 0.2)
    weight = np.where(happened, 1.0, 5.0)[kept]
    assert Calibration(claimed[kept], happened[kept]).gap > 0.5
    assert Calibration(claimed[kept], happened[kept], weight=weight).gap < 0.2


def test_a_ranker_that_claims_too_much_is_named_and_one_that_keeps_its_word_is_not(
    healthy: rk.Pipeline, users: list[Any]
) -> None:
    (finding,) = found(healthy, Calibration(*drawn(3, 5_000, factor=0.3)), users[0])
    assert (finding.code, finding.stage) == ("SCORES_MISCALIBRATED", "logistic_regression")
    assert finding.evidence["gap"] == pytest.approx(0.7, abs=0.1)
    assert found(healthy, Calibration(*drawn(3, 5_000)), users[0]) == []


def test_claims_are_read_from_a_feature_log(
    healthy: rk.Pipeline, market: tuple[rk.Dataset, rk.Dataset], tmp_path: Path
) -> None:
    train, test = market
    everyone = train.user_ids.decode(np.arange(1, train.n_users + 1)).tolist()
    rows = served(healthy, everyone, tmp_path).ranking_data(test, "7D")
    check = Calibration(rows.columns["score"], rows.label > 0, weight=rows.weight)
    assert sum(one["items"] for one in check.table) == len(rows.label)
    assert 0 < check.p_value <= 1


@pytest.mark.parametrize(
    ("score", "happened", "options", "error"),
    [
        ([0.5] * 99, [1] * 99, {}, "99 scores"),
        ([0.5] * 200, [1] * 199, {}, "199 outcomes"),
        ([2.0] * 200, [1] * 200, {}, "rankers.Calibrated"),
        ([np.nan] * 200, [1] * 200, {}, "expected probabilities"),
        ([0.5] * 200, [1] * 200, {"bins": 1}, "bins=1"),
    ],
)
def test_what_cannot_be_judged_is_refused(score: Any, happened: Any, options: Any, error: str) -> None:
    with pytest.raises((DataError, ConfigurationError), match=error):
        Calibration(np.array(score), np.array(happened), **options)


# -- traces on disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", ["full", "summary"])
def test_a_saved_trace_is_diagnosed_as_it_was(
    healthy: rk.Pipeline, users: list[Any], tmp_path: Path, capture: Any
) -> None:
    broken = healthy.replace("logistic_regression", faults.nan_scores(healthy["logistic_regression"], 0.6, 1))
    trace = broken.recommend(
        [*users[:3], None],
        now=healthy.fitted_until,
        capture=capture,
        context={"device": ["a", "b", "c", "d"]},
    ).trace
    save_trace(trace, tmp_path / "trace")
    again = load_trace(tmp_path / "trace", broken)
    debugger = rk.RecommendationDebugger(broken, baseline=healthy, budget_ms=5_000)
    for row in range(4):
        mine, other = (debugger.diagnose_trace(one, row).to_dict() for one in (again, trace))
        if capture == "summary":
            for found in (mine, other):
                for step in found["funnel"]:
                    step.pop("ms")
        assert mine == other
        assert mine["diagnosis"] == "SCORES_NOT_FINITE"
    assert str(again) == str(trace) and again.versions == trace.versions
    assert again.requests.column("device").tolist() == ["a", "b", "c", "d"]
    assert again.requests.remaining() == np.inf


def test_a_saved_trace_names_items_and_needs_its_own_pipeline(
    healthy: rk.Pipeline, users: list[Any], tmp_path: Path
) -> None:
    trace = healthy.recommend(users[:1], now=healthy.fitted_until, capture="full").trace
    save_trace(trace, tmp_path / "trace")
    again = load_trace(tmp_path / "trace", healthy)
    item = int(trace.selected.item[0])
    assert again.locate(0, item) == trace.locate(0, item)
    assert again.item_ids is healthy.schema.item_ids
    other = rk.Pipeline([candidates.Popular()]).fit(make_marketplace(n_users=20, n_items=30, seed=1).dataset)
    with pytest.raises(DataError, match="other items"):
        load_trace(tmp_path / "trace", other)
    rk.data.save_state(tmp_path / "thing", {"a": 1})
    with pytest.raises(DataError, match="found no trace"):
        load_trace(tmp_path / "thing", healthy)


def test_saving_a_trace_keeps_what_serves(healthy: rk.Pipeline, users: list[Any], tmp_path: Path) -> None:
    trace = healthy.recommend(users[:1], now=healthy.fitted_until, capture="full").trace
    before = (trace.requests.remaining, trace.item_ids)
    save_trace(trace, tmp_path / "trace")
    assert (trace.requests.remaining, trace.item_ids) == before
    with pytest.raises(ConfigurationError, match="code"):
        save_trace(replace(trace, overruns={"x": print}), tmp_path / "other")  # type: ignore[dict-item]
