"""The acceptance gate: what it lets through, what it keeps out, and how it says so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recokit.errors import ConfigurationError, DataError, GateRejected
from recokit.evaluation import Gate, Verdict, quantile_interval
from recokit.evaluation.__main__ import main
from tests.evaluation.made import evaluation

METRICS = ("NDCG@10", "Recall@50")
SEGMENTS = ("all", "cold-start", "casual", "power")


def zero_inflated(rng, n, hit=0.3):
    return np.where(rng.random(n) < hit, rng.beta(1.2, 4, n), 0.0)


@pytest.fixture(scope="module")
def world():
    """8,000 users, a sixth of them new; NDCG and Recall, and the segment of each user."""
    rng = np.random.default_rng(0)
    segment = rng.choice([1, 2, 3], 8000, p=[1 / 6, 3 / 6, 2 / 6])
    ndcg = zero_inflated(rng, 8000)
    return np.stack([ndcg, np.minimum(1, ndcg * 1.5)], axis=1), segment


def made(name, world, values=None, **options):
    base, segment = world
    values = base if values is None else values
    return evaluation(name, values, segment=segment, segments=SEGMENTS, metrics=METRICS, **options)


def gate(world, **options):
    return Gate(made("base", world), **{"metrics": METRICS, **options})


def changed(world, share, *, seed=1, moved=0.2):
    """Values that are a share better or worse where they are above 0, with noise of both signs for some users."""
    rng = np.random.default_rng(seed)
    base = world[0]
    values = base * (1 + share)
    noise = rng.normal(0, 0.05, len(base)) * (rng.random(len(base)) < moved) * (base[:, 0] > 0)
    return np.clip(values + noise[:, None], 0, 1)


def test_an_equal_and_a_better_candidate_pass(world):
    for share in (0.0, 0.05):
        found = gate(world).check(made("new", world, changed(world, share)))
        assert (found.passed, found.exit_code, found.reasons) == (True, 0, ())
        assert {condition.verdict for condition in found.conditions} == {Verdict.PASS}
        found.raise_for_status()


def test_a_worse_candidate_fails_with_reasons(world):
    found = gate(world, segments=None).check(made("new", world, changed(world, -0.1)))
    assert (found.verdict, found.passed, found.exit_code) == (Verdict.FAIL, False, 1)
    assert len(found.reasons) == 2
    assert found.reasons[0].startswith("quality NDCG@10: fail, -")
    with pytest.raises(
        GateRejected, match=r"found 'new' fail against 'base'.*quality NDCG@10: fail.*Recall@50"
    ):
        found.raise_for_status()


def test_no_difference_found_is_not_enough(world):
    """With few users hardly anything is clear: a test for a difference would wave the candidate through."""
    rng = np.random.default_rng(5)
    base = np.stack([zero_inflated(rng, 250)] * 2, axis=1)
    few = base, np.ones(250, np.int64)
    new = np.stack([zero_inflated(rng, 250)] * 2, axis=1)
    found = gate(few, segments=None).check(made("new", few, new))
    assert (found.verdict, found.exit_code) == (Verdict.CANNOT_TELL, 2)
    assert "users; " in found.reasons[0]
    assert found.reasons[0].endswith("would tell with 80% chance")


def test_a_regression_of_new_users_that_leaves_the_mean_better_is_rejected(world):
    _, segment = world
    values = changed(world, 0.08)
    cold = segment == 1
    values[cold] = changed(world, -0.2)[cold]
    new = made("new", world, values)
    assert new["NDCG@10"].mean > made("base", world)["NDCG@10"].mean
    assert gate(world, segments=None).check(new).passed
    found = gate(world).check(new)
    assert found.verdict is Verdict.FAIL
    assert [condition.what for condition in found.conditions if condition.verdict is Verdict.FAIL] == [
        "NDCG@10 (cold-start)",
        "Recall@50 (cold-start)",
    ]
    assert gate(world, segments={"casual": 0.05}).check(new).passed
    assert gate(world, segments={"cold-start": 0.3}).check(new).passed


def test_segments_are_corrected_for_their_number():
    """Twenty equal segments of noise: without correction one of them would fail in most checks."""
    rng = np.random.default_rng(7)
    failed = 0
    for _ in range(40):
        segment = rng.integers(1, 21, 8000)
        names = ("all", *(f"s{i}" for i in range(20)))
        old, new = (
            evaluation(name, values, segment=segment, segments=names, metrics=METRICS)
            for name, values in {"old": zero_inflated(rng, 8000), "new": zero_inflated(rng, 8000)}.items()
            for values in [np.stack([values] * 2, axis=1)]
        )
        found = Gate(old, metrics=METRICS, margin=0.5).check(new)
        failed += not found.passed
    assert failed <= 5


def test_small_segments_are_not_judged(world):
    base = world[0]
    segment = np.where(np.arange(8000) < 150, 1, 2)
    small = base, segment
    values = base.copy()
    values[:150] = 0
    new = made("new", small, values)
    found = gate(small, margin=0.1, segments={"cold-start": 0.05}).check(new)
    assert [condition.verdict for condition in found.conditions[2:]] == [Verdict.NOT_JUDGED] * 2
    assert found.conditions[2].reason.endswith("150 users, judged from 200")
    assert found.passed
    assert not gate(small, margin=0.1, segments={"cold-start": 0.05}, min_users=100).check(new).passed


def test_guardrails_have_a_direction(world):
    def check(share, change):
        values = np.stack([world[0][:, 0], changed(world, share)[:, 1]], axis=1)
        return gate(world, metrics=["NDCG@10"], segments=None, guardrails={"Recall@50": change}).check(
            made("new", world, values)
        )

    assert check(-0.10, -0.05).verdict is Verdict.FAIL
    assert check(-0.01, -0.05).passed
    assert check(+0.30, -0.05).passed
    assert check(+0.30, +0.1).verdict is Verdict.FAIL
    assert check(-0.30, +0.1).passed
    assert check(+0.30, +0.1).conditions[1].kind == "guardrail"
    assert "at most +10.0% allowed" in check(+0.30, +0.1).reasons[0]


def coverage(share, shown):
    """An evaluation of 300 users with a metric of the whole catalogue."""
    from dataclasses import replace

    from recokit.evaluation.report import Score

    values = np.column_stack([np.tile([0.0, 1.0], 150), np.full(300, np.nan)])
    found = evaluation("x", values, metrics=("NDCG@10", "CatalogCoverage@10"))
    scores = (
        Score("NDCG@10", "all", share, 0.4, 0.6, 300),
        Score("CatalogCoverage@10", "all", shown, *[np.nan] * 2, 300),
    )
    return replace(found, scores=scores)


def test_coverage_and_metrics_without_interval():
    old, new = coverage(0.5, 0.40), coverage(0.5, 0.35)
    assert Gate(old, metrics=["NDCG@10"], coverage=0.3).check(new).passed
    found = Gate(old, metrics=["NDCG@10"], coverage=0.36).check(new)
    assert found.reasons == (
        "coverage CatalogCoverage@10: fail, 35.0% of the catalogue, at least 36.0% required",
    )
    guarded = Gate(old, metrics=["NDCG@10"], guardrails={"CatalogCoverage@10": -0.1}).check(new)
    assert guarded.reasons == (
        "guardrail CatalogCoverage@10: fail, -12.5%, at least -10.0% allowed, without interval",
    )
    assert Gate(old, metrics=["NDCG@10"], guardrails={"CatalogCoverage@10": -0.2}).check(new).passed
    none = coverage(0.5, 0.0)
    lost = Gate(none, metrics=["NDCG@10"], guardrails={"CatalogCoverage@10": -0.2}).check(new)
    assert lost.verdict is Verdict.CANNOT_TELL


def test_latency_is_the_interval_of_the_p99(world):
    rng = np.random.default_rng(0)
    same = made("new", world)
    seconds = rng.exponential(0.01, 5000)  # p99 = 46 ms
    checks = {limit: gate(world, latency=limit).check(same, seconds=seconds) for limit in (0.1, 0.0461, 0.02)}
    assert [found.verdict for found in checks.values()] == [Verdict.PASS, Verdict.CANNOT_TELL, Verdict.FAIL]
    assert "at most 20.0 ms allowed, 5,000 requests" in checks[0.02].reasons[0]
    few = gate(world, latency=0.1).check(same, seconds=seconds[:300])
    assert few.verdict is Verdict.CANNOT_TELL
    json.dumps(few.to_dict(), allow_nan=False)
    with pytest.raises(ConfigurationError, match="no seconds"):
        gate(world, latency=0.1).check(same)


def test_the_interval_of_a_quantile_holds_it():
    rng = np.random.default_rng(2)
    truth = -np.log(0.01)
    held = [
        low <= truth <= high
        for _, low, high in (quantile_interval(rng.exponential(size=1000), 0.99) for _ in range(800))
    ]
    assert 0.94 <= np.mean(held) <= 0.99
    assert quantile_interval(np.arange(367.0), 0.99)[2] == np.inf
    assert quantile_interval(np.arange(368.0), 0.99)[2] == 367
    with pytest.raises(DataError, match="NaN"):
        quantile_interval(np.array([np.nan]), 0.5)


def test_the_baseline_comes_from_a_file(tmp_path, world):
    made("base", world).save(tmp_path / "base.json")
    new = made("new", world, changed(world, -0.1))
    from_file = Gate(tmp_path / "base.json", metrics=METRICS).check(new)
    assert from_file == gate(world).check(new)


def test_other_test_data_is_refused(world):
    base, segment = world
    with pytest.raises(DataError, match=r"another now than"):
        gate(world).check(made("new", world, now=2.0))
    with pytest.raises(DataError, match=r"another k, now than"):
        gate(world).check(made("new", world, now=2.0, k=20))
    with pytest.raises(DataError, match=r"users \(2 in one only\)"):
        gate(world).check(made("new", (base[:-2], segment[:-2])))
    with pytest.raises(ConfigurationError, match="no metric 'NDCG@10'"):
        gate(world).check(evaluation("new", base, segment=segment, segments=SEGMENTS, metrics=("a", "b")))


def test_reports(world):
    found = gate(world).check(made("new", world, changed(world, -0.1)))
    lines = str(found).splitlines()
    assert lines[0] == "FAIL: new against base, 95% intervals"
    assert lines[1].split() == ["condition", "of", "verdict", "reason"]
    assert lines[2].startswith("quality    NDCG@10")
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (told["verdict"], told["exit_code"], len(told["conditions"])) == ("fail", 1, 8)
    assert told["fingerprint"] == made("base", world).fingerprint
    assert found.to_markdown().startswith("**FAIL: new against base")
    assert "NDCG@10 (cold-start)" in found._repr_html_()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": []}, "at least one"),
        ({"metrics": "NDCG@10"}, "at least one"),
        ({"metrics": ["NDCG@5"]}, "did you mean 'NDCG@10'"),
        ({"margin": -0.1}, "margin=.*share of the baseline"),
        ({"segments": 1.0}, "cold-start=.*share of the baseline"),
        ({"segments": {"warm": 0.1}}, "no segment 'warm'"),
        ({"guardrails": {"Recall@50": 0.0}}, "may not fall"),
        ({"guardrails": {"Recall": -0.1}}, "no metric 'Recall'"),
        ({"latency": 0}, "latency=0"),
        ({"coverage": 2}, "coverage=2"),
    ],
)
def test_impossible_gates(world, options, message):
    with pytest.raises(ConfigurationError, match=message):
        gate(world, **options)


def test_a_coverage_that_was_not_evaluated(world):
    with pytest.raises(ConfigurationError, match="no CatalogCoverage"):
        gate(world, coverage=0.1).check(made("new", world))


def test_the_command_line(tmp_path, world, capsys):
    made("base", world).save(tmp_path / "base.json")
    made("new", world, changed(world, -0.1)).save(tmp_path / "new.json")
    files = [str(tmp_path / "base.json"), str(tmp_path / "new.json")]
    metrics = ["--metrics", "NDCG@10"]
    assert main([*files, *metrics]) == 1
    assert capsys.readouterr().out.startswith("FAIL: new against base")
    assert (
        main([*files, *metrics, "--margin", "0.3", "--segments", "0.3", "--guardrail", "Recall@50", "-0.3"])
        == 0
    )
    capsys.readouterr()
    assert main([*files[:1] * 2, *metrics, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "pass"
