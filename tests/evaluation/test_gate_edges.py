"""The gate where a figure lies exactly on its limit, what each condition holds, and the defaults."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recokit.evaluation import Gate, Verdict, mean_interval
from recokit.evaluation.__main__ import main
from recokit.evaluation.gate import P99, _Range
from recokit.evaluation.report import Score
from tests.evaluation.made import evaluation

SEGMENTS = ("all", "a", "b")


def constant(name, value, n=400, *, metrics=("NDCG@10",), **options):
    """Every user has the same value: intervals have no width."""
    return evaluation(name, np.full((n, len(metrics)), value), metrics=metrics, **options)


@pytest.mark.parametrize(
    ("low", "high", "limit", "verdict"),
    [
        (-0.25, 0.0, -0.25, "pass"),
        (-0.26, -0.25, -0.25, "cannot tell"),
        (-0.5, -0.26, -0.25, "fail"),
        (0.0, 0.25, 0.25, "pass"),
        (0.25, 0.5, 0.25, "cannot tell"),
        (0.26, 0.5, 0.25, "fail"),
        (0.0, 0.1, 0.0, "pass"),
        (-0.1, 0.0, 0.0, "cannot tell"),
        (-0.2, -0.1, 0.0, "fail"),
        (np.nan, 0.1, -0.25, "cannot tell"),
        (0.1, np.nan, 0.25, "cannot tell"),
    ],
)
def test_an_interval_keeps_a_limit_it_touches(low, high, limit, verdict):
    assert _Range(0.0, low, high).verdict(limit) == verdict


@pytest.mark.parametrize(("margin", "verdict"), [(0.25, "pass"), (0.24, "fail")])
def test_a_loss_of_just_the_margin_passes(margin, verdict):
    found = Gate(constant("old", 1.0), metrics=["NDCG@10"], margin=margin).check(constant("new", 0.75))
    (one,) = found.conditions
    assert (one.kind, one.what, one.verdict) == ("quality", "NDCG@10", verdict)
    assert (one.value, one.low, one.high, one.limit) == (-0.25, -0.25, -0.25, -margin)
    assert one.reason == f"-25.0%, at least -{margin:.1%} allowed, 400 users, which is few"


@pytest.mark.parametrize(("change", "verdict"), [(0.25, "pass"), (0.2, "fail")])
def test_a_rise_of_just_the_guardrail_passes(change, verdict):
    gate = Gate(constant("old", 0.5), metrics=["NDCG@10"], guardrails={"NDCG@10": change})
    one = gate.check(constant("new", 0.625)).conditions[-1]
    assert (one.kind, one.verdict, one.value, one.limit) == ("guardrail", verdict, 0.25, change)
    assert one.reason == f"+25.0%, at most +{change:.1%} allowed, 400 users, which is few"


def segments(n_in_a, value, **options):
    """The change of segment a, whose users lose a quarter, and of b, where nothing happens."""
    segment = np.where(np.arange(400) < n_in_a, 1, 2)
    values = np.where(segment == 1, value, 1.0)
    old = constant("old", 1.0, segment=segment, segments=SEGMENTS)
    new = evaluation("new", values, segment=segment, segments=SEGMENTS)
    gate = Gate(old, metrics=["NDCG@10"], margin=0.9, **options)
    return gate.check(new).conditions[1:]


def test_a_segment_may_lose_just_its_tolerance():
    kept, other = segments(300, 0.75, segments=0.25, min_users=10)
    assert (kept.what, kept.verdict) == ("NDCG@10 (a)", "pass")
    assert (kept.value, kept.low, kept.high, kept.limit) == (-0.25, -0.25, -0.25, -0.25)
    assert kept.reason == "-25.0%, at least -25.0% allowed, 300 users"
    assert (other.what, other.verdict, other.value) == ("NDCG@10 (b)", "pass", 0.0)
    lost, _ = segments(300, 0.75, segments=0.24, min_users=10)
    assert lost.verdict == "fail"
    assert lost.reason == "-25.0%, at least -24.0% allowed, 300 users, p (Holm) 0"
    (only,) = segments(300, 0.75, segments={"b": 0.1}, min_users=10)
    assert (only.what, only.limit) == ("NDCG@10 (b)", -0.1)


@pytest.mark.parametrize(("n", "verdict"), [(150, "fail"), (149, "not judged")])
def test_a_segment_of_just_enough_users_is_judged(n, verdict):
    assert segments(n, 0.5, min_users=150)[0].verdict == verdict


def test_one_user_is_never_enough():
    assert segments(1, 0.5, min_users=1)[0].verdict == "not judged"
    assert segments(2, 0.5, min_users=1)[0].verdict == "fail"


def test_segments_of_nothing_cannot_lose_a_share():
    segment = np.where(np.arange(400) < 200, 1, 2)
    old = evaluation("old", np.where(segment == 1, 0.0, 1.0), segment=segment, segments=SEGMENTS)
    first, _ = Gate(old, metrics=["NDCG@10"]).check(old).conditions[1:]
    assert first.verdict == "pass"
    assert np.isnan([first.value, first.low, first.high]).all()


def test_holm_counts_only_the_segments_that_are_judged():
    rng = np.random.default_rng(3)
    segment = np.where(np.arange(1000) < 600, 1, 2)
    before, noise = rng.random(1000), rng.normal(0, 1, 1000)
    noise -= noise[segment == 1].mean()
    after = before - 0.3 * (
        noise / noise[segment == 1].std() + 2.2 / np.sqrt(600)
    )  # p = 0.03: twice that is not
    old, new = (
        evaluation(name, values, segment=segment, segments=SEGMENTS)
        for name, values in {"old": before, "new": after}.items()
    )
    a, b = Gate(old, metrics=["NDCG@10"], margin=0.9, min_users=500).check(new).conditions[1:]
    inside = segment == 1
    loss = (old.per_user - new.per_user)[inside, 0].astype(float)
    base = old.per_user[inside, 0].astype(float).mean()
    mean, low, high, _ = mean_interval(loss)
    assert (a.value, a.low, a.high) == pytest.approx((-mean / base, -high / base, -low / base), rel=1e-5)
    p = stats.ttest_1samp(loss, 0.0).pvalue
    assert 0.025 < p < 0.05
    assert float(a.reason.rpartition(" ")[2]) == pytest.approx(p, rel=0.2)
    assert (a.verdict, b.verdict) == ("fail", "not judged")


def test_users_that_would_tell():
    rng = np.random.default_rng(0)
    before = rng.random(500)
    after = before + rng.normal(0, 0.3, 500)
    old, new = evaluation("old", before), evaluation("new", after)
    one = Gate(old, metrics=["NDCG@10"], margin=0.02).check(new).conditions[0]
    change = (new.per_user - old.per_user)[:, 0].astype(float)
    base = old.per_user[:, 0].astype(float).mean()
    t = stats.t.ppf([0.975, 0.8], 499).sum()
    needed = (t * change.std(ddof=1) / (change.mean() + 0.02 * base)) ** 2
    assert one.verdict == "cannot tell"
    assert f"500 users; {needed:,.0f} would tell with 80% chance" in one.reason


def covered(value):
    found = constant("x", 0.5, metrics=("NDCG@10", "CatalogCoverage@10"))
    per_user = found.per_user.copy()
    per_user[:, 1] = np.nan
    score = Score("CatalogCoverage@10", "all", value, np.nan, np.nan, 400)
    return replace(found, scores=(found.scores[0], score), per_user=per_user)


def test_a_coverage_of_just_the_least_passes():
    (_, one) = Gate(covered(0.5), metrics=["NDCG@10"], coverage=0.35).check(covered(0.35)).conditions
    assert (one.kind, one.what, one.verdict) == ("coverage", "CatalogCoverage@10", "pass")
    assert (one.value, one.low, one.high, one.limit) == (0.35, 0.35, 0.35, 0.35)
    for edge in (0, 1):
        assert Gate(covered(0.5), metrics=["NDCG@10"], coverage=edge).coverage == edge


def test_the_condition_of_latency():
    seconds = np.arange(1, 1001) / 1e4  # p99: 99.0 ms, between the 983rd and the 997th
    gate = Gate(constant("old", 1.0), metrics=["NDCG@10"], latency=P99)
    one = gate.check(constant("new", 1.0), seconds=seconds).conditions[-1]
    assert (one.kind, one.what, one.verdict, one.limit) == ("latency", "p99", "pass", 0.1)
    assert (one.value, one.low, one.high) == pytest.approx((0.0990, 0.0983, 0.0997))
    assert one.reason == "99.0 [98.3, 99.7] ms, at most 100.0 ms allowed, 1,000 requests"
    assert str(one) == f"latency p99: pass, {one.reason}"


def test_the_defaults_are_those_of_the_docs():
    metrics = ("NDCG@10", "Recall@50", "MAP@10")
    gate = Gate(constant("old", 1.0, metrics=metrics))
    assert gate.metrics == metrics
    assert (gate.margin, gate.segments, gate.min_users) == (0.02, 0.05, 200)
    assert (gate.guardrails, gate.latency, gate.coverage) == ({}, None, None)
    assert [one.what for one in gate.check(gate.baseline).conditions] == list(metrics)
    assert Gate(constant("old", 1.0), metrics=["NDCG@10"], margin=0).margin == 0


def test_a_result_says_everything():
    found = Gate(constant("old", 1.0), metrics=["NDCG@10"]).check(constant("new", 0.5))
    assert (found.baseline, found.candidate, found.confidence) == ("old", "new", 0.95)
    assert found.fingerprint == constant("old", 1.0).fingerprint
    told = found.to_dict()
    assert told["passed"] is False
    assert told["conditions"][0]["value"] == -0.5
    assert found.to_markdown().startswith("**FAIL: new against old, 95% intervals**")
    passed = Gate(constant("old", 1.0), metrics=["NDCG@10"]).check(constant("new", 1.0))
    assert passed.to_dict()["passed"] is True
    assert str(passed).startswith("PASS: new against old")


def test_a_definition_that_changed_is_refused():
    old, new = constant("old", 1.0), constant("new", 1.0)
    other = replace(new, definitions={"NDCG@10": "another"})
    with pytest.raises(Exception, match="with another definition of NDCG@10 than the baseline"):
        Gate(old, metrics=["NDCG@10"]).check(other)
    more = replace(new, definitions={**new.definitions, "MAP@10": "not compared"})
    assert Gate(old, metrics=["NDCG@10"]).check(more).passed


def test_options_of_the_command_line(tmp_path, capsys):
    segment = np.where(np.arange(400) < 150, 1, 2)
    old = evaluation("old", np.ones(400), segment=segment, segments=SEGMENTS)
    new = evaluation("new", np.where(segment == 1, 0.5, 1.0), segment=segment, segments=SEGMENTS)
    covered(0.5).save(tmp_path / "covered.json")
    old.save(tmp_path / "old.json")
    new.save(tmp_path / "new.json")
    files = [str(tmp_path / "old.json"), str(tmp_path / "new.json"), "--metrics", "NDCG@10"]
    assert main([*files, "--margin", "0.5"]) == 0  # 150 users are not judged, 200 would be
    assert main([*files, "--margin", "0.5", "--min-users", "150"]) == 1
    assert main(files) == 1  # the mean lost more than 2%
    same = [str(tmp_path / "covered.json")] * 2
    assert main([*same, "--metrics", "NDCG@10", "--coverage", "0.5"]) == 0
    assert main([*same, "--metrics", "NDCG@10", "--coverage", "0.6"]) == 1
    capsys.readouterr()
    assert main([*files, "--margin", "0.5", "--segments", "0.4", "--min-users", "150", "--json"]) == 1
    conditions = json.loads(capsys.readouterr().out)["conditions"]
    assert [one["limit"] for one in conditions] == [-0.5, -0.4, -0.4]
    noisy = evaluation("noisy", np.random.default_rng(0).random(400))
    noisy.save(tmp_path / "a.json")
    evaluation("other", np.random.default_rng(1).random(400)).save(tmp_path / "b.json")
    assert main([str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--metrics", "NDCG@10"]) == 2
    assert Verdict.CANNOT_TELL == "cannot tell"
