"""Analysis: what counts for which unit, what is estimated, and what the report makes of it."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from recokit import experiments as ex
from recokit.data import DAY
from recokit.errors import ConfigurationError, DataError

START = 1_700_006_400.0  # midnight


def world(
    n: int = 4_000, *, seed: int = 0, lift: float = 0.0, days: int = 10, spread: int = 5
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a log of units that came over some days, and events whose revenue the new arm lifts."""
    rng = np.random.default_rng(seed)
    arm = np.where(rng.random(n) < 0.5, "control", "new").astype(object)
    since = START + DAY * spread * rng.random(n)
    country = np.array(["DE", "US"], object)[rng.integers(0, 2, n)]
    log = {"unit": np.arange(n), "arm": arm, "timestamp": since, "country": country}
    user = rng.integers(0, n, 12 * n)
    richness = rng.gamma(2.0, 0.5, n)
    factor = richness[user] * (1.0 + lift * (arm[user] == "new"))
    events = {
        "user_id": user,
        "timestamp": START + DAY * days * rng.random(12 * n),
        "revenue": rng.exponential(factor),
        "clicks": (rng.random(12 * n) < 0.1).astype(float),
        "impressions": np.ones(12 * n),
        "ms": rng.lognormal(3.0, 0.5, 12 * n),
    }
    return log, events


def small(**more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    log = {"unit": ["a", "b", "c", "d"], "arm": ["control", "control", "new", "new"], "timestamp": [10.0] * 4}
    events = {
        "unit": ["a", "a", "b", "c", "d", "stranger"],
        "timestamp": [9.0, 10.0, 20.0, 30.0, 40.0, 50.0],
        "value": [100.0, 1.0, 2.0, 4.0, 6.0, 1000.0],
    }
    return {**log, **more}, events


def sample_of(log: Any, events: Any, **options: Any) -> ex.Sample:
    return ex.Sample.of(ex.Units.of(log), events, **options)


# -- what counts --------------------------------------------------------------------------------------


def test_events_count_from_the_first_exposure_on() -> None:
    sample = sample_of(*small())
    assert sample.total("value").tolist() == [1.0, 2.0, 4.0, 6.0]
    assert sample.earlier("value").tolist() == [100.0, 0.0, 0.0, 0.0]
    assert sample.at(30.0).total("value").tolist() == [1.0, 2.0, 4.0, 0.0]


def test_covariates_look_back_so_far_and_no_further() -> None:
    log, events = small(timestamp=[9.0 + DAY, 10.0, 10.0, 10.0])
    assert sample_of(log, events, before="1D").earlier("value")[0] == 101.0
    assert sample_of(log, events, before=DAY - 1).earlier("value")[0] == 1.0


def test_integers_and_their_text_are_one_unit() -> None:
    log = {"unit": ["1", "2"], "arm": ["control", "new"], "timestamp": [0.0, 0.0]}
    assert sample_of(log, {"user_id": [2, 1, 3], "timestamp": [1.0] * 3, "v": [5.0, 7.0, 9.0]}).total(
        "v"
    ).tolist() == [7.0, 5.0]


def test_a_name_may_be_a_type_of_event() -> None:
    log, _ = small()
    events = {"unit": ["a", "a", "c"], "timestamp": [11.0] * 3, "event": ["click", "view", "click"]}
    assert sample_of(log, events).total("click").tolist() == [1.0, 0.0, 1.0, 0.0]
    with pytest.raises(DataError, match="'clik'"):
        sample_of(log, events).total("clik")


def test_units_of_several_arms_are_left_out_and_counted() -> None:
    log = {
        "unit": ["a", "a", "b", "c"],
        "arm": ["control", "new", "control", "new"],
        "timestamp": [1.0, 2.0, 3.0, 3.0],
    }
    units = ex.Units.of(log)
    assert units.arm.tolist() == [-1, 0, 1] and units.notes == ("1 units seen in several arms left out",)


def test_the_first_exposure_and_its_segment_count() -> None:
    log = {
        "unit": ["a", "a", "b"], "arm": ["control", "control", "new"], "timestamp": [5.0, 3.0, 1.0],
        "country": ["DE", "US", "FR"],
    }  # fmt: skip
    units = ex.Units.of(log, segments=["country"])
    assert units.since.tolist() == [3.0, 1.0] and units.segments["country"].tolist() == ["US", "FR"]


def test_forced_exposures_and_the_holdout_are_left_out() -> None:
    log = {
        "unit": ["a", "b", "c", "d"], "arm": ["control", "new", "new", ex.HOLDOUT], "timestamp": [0.0] * 4,
        "forced": [False, True, False, False],
    }  # fmt: skip
    units = ex.Units.of(log)
    assert units.ids[units.arm >= 0].tolist() == ["a", "c"]
    assert "by name" in units.notes[0]
    held = ex.Units.of(log, control=ex.HOLDOUT)
    assert held.arms == (ex.HOLDOUT, "control", "new") and held.counts.tolist() == [1, 1, 1]


def test_a_log_of_several_experiments_needs_a_name() -> None:
    log = {"unit": ["a", "b"], "arm": ["control", "new"], "timestamp": [0.0] * 2, "experiment": ["x", "y"]}
    with pytest.raises(DataError, match="x, y"):
        ex.Units.of(log)
    with pytest.raises(DataError, match="'z'"):
        ex.Units.of(log, experiment="z")
    with pytest.raises(ConfigurationError, match="another arm"):
        ex.Units.of(log, experiment="x")
    with pytest.raises(ConfigurationError, match="control="):
        ex.Units.of(log, experiment="y")


# -- metrics --------------------------------------------------------------------------------------------


def test_a_mean_is_welchs() -> None:
    log, events = world(lift=0.1)
    report = ex.analyze(log, events, primary="revenue")
    found, sample = report["revenue"], sample_of(log, events)
    a, b = (sample.total("revenue")[sample.units.arm == arm] for arm in (0, 1))
    expected = stats.ttest_ind(b, a, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))


def test_winsorising_cuts_at_one_quantile_for_both_arms() -> None:
    log, events = small()
    estimates = ex.Mean("value", winsorize=2 / 3).estimates(sample_of(log, events))
    assert [one.value for one in estimates] == [1.5, 4.0]
    with pytest.raises(ConfigurationError, match="winsorize"):
        ex.Mean("value", winsorize=1.0)


def test_covariates_shrink_the_interval_by_what_they_explain() -> None:
    rng, n = np.random.default_rng(4), 20_000
    before = rng.normal(size=n)
    revenue = 0.8 * before + 0.6 * rng.normal(size=n) + 5.0
    log = {
        "unit": np.arange(n),
        "arm": np.where(rng.random(n) < 0.5, "control", "new"),
        "timestamp": np.zeros(n),
    }
    events = {"unit": np.arange(n), "revenue": revenue}
    users = {"unit": np.arange(n)[::-1], "before": before[::-1]}
    plain = ex.analyze(log, events, primary="revenue")["revenue"]
    less = ex.analyze(log, events, primary=ex.Mean("revenue", covariate="before"), users=users)["revenue"]
    assert (less.difference.error / plain.difference.error) ** 2 == pytest.approx(1 - 0.8**2, rel=0.02)
    same = ex.analyze(log, {**events, "before": before}, primary=ex.Mean("revenue", covariate="before"))[
        "revenue"
    ]
    assert same.value == pytest.approx(less.value) and same.difference.error == pytest.approx(
        less.difference.error
    )


def test_clusters_are_the_draws() -> None:
    rng, households = np.random.default_rng(5), 800
    size = rng.integers(1, 6, households)
    household = np.repeat(np.arange(households), size)
    of_household = np.where(rng.random(households) < 0.5, "control", "new")
    shared = rng.normal(size=households)
    log = {
        "unit": np.arange(len(household)),
        "arm": of_household[household],
        "timestamp": np.zeros(len(household)),
    }
    users = {"unit": log["unit"], "household": household}
    events = {"unit": log["unit"], "v": 3.0 + shared[household] + 0.1 * rng.normal(size=len(household))}
    plain = ex.analyze(log, events, primary="v")["v"]
    clustered = ex.analyze(log, events, primary="v", users=users, cluster="household")["v"]
    assert clustered.value == pytest.approx(plain.value)
    assert clustered.difference.error > 1.4 * plain.difference.error
    # The ratio of sums by hand.
    sums = [np.bincount(household, events["v"], minlength=households), size.astype(float)]
    kept = of_household == "new"
    ratio = sums[0][kept].sum() / sums[1][kept].sum()
    residual = (sums[0] - ratio * sums[1])[kept]
    error = residual.std(ddof=1) / math.sqrt(kept.sum()) / sums[1][kept].mean()
    assert clustered.difference.treatment.error == pytest.approx(error)
    log["arm"] = np.where(rng.random(len(household)) < 0.5, "control", "new")
    with pytest.raises(DataError, match="another arm"):
        ex.analyze(log, events, primary="v", users=users, cluster="household")


def test_quantiles_know_that_requests_of_a_user_are_alike() -> None:
    rng, n = np.random.default_rng(6), 2_000
    user = np.repeat(np.arange(n), 10)
    slow = rng.normal(size=n)
    log = {
        "unit": np.arange(n),
        "arm": np.where(rng.random(n) < 0.5, "control", "new"),
        "timestamp": np.zeros(n),
    }
    alike = {"unit": user, "ms": np.exp(slow[user] + 0.1 * rng.normal(size=len(user)))}
    apart = {"unit": user, "ms": np.exp(rng.normal(size=len(user)))}
    errors = [ex.Quantile("ms", 0.9).estimates(sample_of(log, events))[0].error for events in (alike, apart)]
    assert errors[0] > 2 * errors[1]


def test_retention_leaves_out_those_who_were_not_followed_for_long_enough() -> None:
    log = {"unit": ["a", "b", "c"], "arm": ["control", "new", "new"], "timestamp": [0.0, 0.0, 20 * DAY]}
    events = {
        "unit": ["a", "b", "a", "c"],
        "timestamp": [30 * DAY, 29.9 * DAY, 37 * DAY, 37 * DAY],
        "x": [1.0] * 4,
    }
    linear = ex.Retention(30, "7D").linear(sample_of(log, events))
    assert linear.columns[:2, 0].tolist() == [1.0, 0.0] and math.isnan(linear.columns[2, 0])


def test_names_are_means_or_percentiles() -> None:
    log, events = world(400)
    report = ex.analyze(log, events, primary="clicks", metrics=["p90_ms", ex.Ratio("clicks", "impressions")])
    assert [effect.metric for effect in report.others] == ["p90_ms", "clicks / impressions"]
    with pytest.raises(DataError, match="did you mean 'revenue'"):
        ex.analyze(log, events, primary="revenu")
    with pytest.raises(ConfigurationError, match="metric"):
        ex.analyze(log, events, primary=3)  # type: ignore[arg-type]


# -- the split --------------------------------------------------------------------------------------------


def test_a_broken_split_refuses_to_be_read() -> None:
    log, events = world(20_000, lift=0.5)
    lost = (log["arm"] == "new") & (np.arange(20_000) % 10 == 0)
    log = {name: column[~lost] for name, column in log.items()}
    report = ex.analyze(log, events, primary="revenue")
    assert report.decision.verdict == "do not read" and "the split of all" in str(report.decision)
    assert not report.effects and "revenue" not in str(report)
    with pytest.raises(DataError, match="broken split"):
        report["revenue"]
    with pytest.raises(DataError, match="broken split"):
        report.plot()
    assert "do not read" in report.to_html() and json.loads(report.to_json())["effects"] == []


def test_a_split_may_be_broken_in_a_segment_or_on_a_day_alone() -> None:
    log, events = world(20_000)
    rng = np.random.default_rng(8)
    wrong = (log["country"] == "DE") & (log["arm"] == "new") & (rng.random(20_000) < 0.25)
    also = (log["country"] == "US") & (log["arm"] == "control") & (rng.random(20_000) < 0.25)
    part = {name: column[~(wrong | also)] for name, column in log.items()}
    assert not ex.analyze(part, events, primary="revenue").is_broken
    report = ex.analyze(part, events, primary="revenue", segments=["country"])
    assert report.is_broken and "country DE" in str(report.decision)
    day = np.floor(log["timestamp"] / DAY) == np.floor(START / DAY) + 1
    gone = day & (log["arm"] == "new") & (rng.random(20_000) < 0.2)
    report = ex.analyze({name: column[~gone] for name, column in log.items()}, events, primary="revenue")
    assert any(split.is_broken and split.part.startswith("day 2023") for split in report.splits)


def test_weights_say_which_split_is_fair() -> None:
    log, events = world(4_000)
    third = (log["arm"] == "control") & (np.arange(4_000) % 2 == 0)
    part = {name: column[~third] for name, column in log.items()}
    assert ex.analyze(part, events, primary="revenue").is_broken
    weights = {"control": 1 / 3, "new": 2 / 3}
    assert not ex.analyze(part, events, primary="revenue", weights=weights).is_broken


def test_splits_alarm_seldom_and_find_fifty_to_fifty_one() -> None:
    rng, weights = np.random.default_rng(20), np.array([0.5, 0.5])
    counts = rng.binomial(10_000, 0.5, 10_000)
    alarms = sum(ex.ratio_mismatch([one, 10_000 - one], weights) < 0.001 for one in counts.tolist())
    assert alarms <= 20
    found = rng.binomial(200_000, 50 / 101)
    assert ex.ratio_mismatch([found, 200_000 - found], weights) < 0.001


# -- readings and decisions -----------------------------------------------------------------------------------


def test_a_lift_is_shipped_and_a_loss_is_not() -> None:
    for lift, verdict in ((0.15, "ship"), (-0.15, "do not ship")):
        log, events = world(lift=lift)
        for reading in (ex.Fixed(), ex.GroupSequential(looks=10), ex.Anytime(4_000)):
            report = ex.analyze(log, events, primary="revenue", reading=reading)
            assert report.decision.verdict == verdict, reading
            assert report.decision.reasons


def test_a_fixed_reading_waits_for_its_end() -> None:
    log, events = world(lift=0.3)
    report = ex.analyze(log, events, primary="revenue", reading=ex.Fixed(days=14))
    assert str(report.decision).startswith("cannot tell yet: 4 more days")
    assert report["revenue"].interval == (-math.inf, math.inf)
    assert ex.analyze(log, events, primary="revenue", reading=ex.Fixed(days=10)).decision.verdict == "ship"


def test_without_a_difference_one_waits_until_the_end_and_then_does_not_ship() -> None:
    log, events = world(seed=3)
    early = ex.analyze(log, events, primary="revenue", reading=ex.GroupSequential(looks=14))
    assert str(early.decision).startswith("cannot tell yet: 4 more days")
    late = ex.analyze(log, events, primary="revenue", reading=ex.GroupSequential(looks=10))
    assert late.decision.verdict == "do not ship" and "planned end" in str(late.decision)


def test_looks_are_a_day_apart_and_their_boundaries_those_of_lan_and_demets() -> None:
    from recokit._stats.group_sequential import boundaries

    log, events = world()
    curve = ex.analyze(log, events, primary="revenue", reading=ex.GroupSequential(looks=14)).curves[0]
    assert len(curve.times) == 10 and np.diff(curve.times)[:-1] == pytest.approx(DAY)
    expected = boundaries([(time - float(np.min(log["timestamp"]))) / (14 * DAY) for time in curve.times])
    assert curve.reaches == pytest.approx(tuple(expected))
    last = ex.analyze(log, events, primary="revenue")["revenue"].difference
    assert curve.differences[-1].value == last.value
    # A look is what an analysis at that time would have found.
    then = ex.analyze(log, events, primary="revenue", until=curve.times[4])["revenue"].difference
    assert curve.differences[4].value == pytest.approx(then.value)


def test_the_first_look_waits_for_two_units_in_each_arm() -> None:
    log, events = world()
    since = np.maximum(log["timestamp"], START + 3 * DAY)
    since[np.flatnonzero(log["arm"] == "control")[:5]] = START
    late = {**log, "timestamp": since}
    curve = ex.analyze(late, events, primary="revenue", reading=ex.GroupSequential(looks=14)).curves[0]
    assert curve.times[0] >= START + 3 * DAY
    assert np.isfinite([one.value for one in curve.differences]).all()


def test_a_boundary_crossed_early_stays_crossed() -> None:
    log, events = world(seed=1)
    early = events["timestamp"] < START + 3 * DAY
    new = log["arm"][events["user_id"]] == "new"
    events["revenue"] = events["revenue"] * np.where(early & new, 2.0, np.where(new, 0.85, 1.0))
    report = ex.analyze(log, events, primary="revenue", reading=ex.GroupSequential(looks=10))
    assert report.curves[0].crossed is not None
    assert any("had crossed" in note for note in report._content().notes)


def test_guardrails_hold_break_or_cannot_be_told() -> None:
    log, events = world(lift=0.2)
    new = log["arm"][events["user_id"]] == "new"
    slow = {**events, "ms": events["ms"] * np.where(new, 1.3, 1.0)}
    rails = [ex.NotWorse("p90_ms", margin=0.1)]
    assert ex.analyze(log, events, primary="revenue", guardrails=rails).decision.verdict == "ship"
    report = ex.analyze(log, slow, primary="revenue", guardrails=rails)
    assert report.guarded[0].held == "broken" and report.decision.verdict == "do not ship"
    assert "p90_ms" in str(report.decision)
    narrow = [ex.NotWorse(ex.Ratio("clicks", "impressions"), margin=0.001)]
    unclear = ex.analyze(log, events, primary="revenue", guardrails=narrow)
    assert unclear.guarded[0].held == "cannot tell" and unclear.decision.verdict == "cannot tell yet"


def test_a_guardrail_may_be_of_a_segment() -> None:
    log, events = world(8_000, lift=0.2)
    hurt = (log["arm"] == "new") & (log["country"] == "US")
    events["clicks"] = np.where(hurt[events["user_id"]], 0.5, 1.0) * events["clicks"]
    rail = ex.NotWorse(ex.Ratio("clicks", "impressions"), margin=0.05, within={"country": "US"})
    report = ex.analyze(log, events, primary="revenue", guardrails=[rail], segments=["country"])
    assert report.decision.verdict == "do not ship" and "country US" in str(report.decision)
    wrong = ex.NotWorse("clicks", within={"country": "FR"})
    with pytest.raises(DataError, match="DE, US"):
        ex.analyze(log, events, primary="revenue", guardrails=[wrong], segments=["country"])


def test_several_arms_share_the_error_and_the_best_is_shipped() -> None:
    log, events = world(9_000, lift=0.0)
    rng = np.random.default_rng(30)
    log["arm"] = np.array(["control", "a", "b"], object)[rng.integers(0, 3, 9_000)]
    factor = {"control": 1.0, "a": 1.1, "b": 1.25}
    events["revenue"] = events["revenue"] * np.array([factor[one] for one in log["arm"][events["user_id"]]])
    report = ex.analyze(log, events, primary="revenue")
    assert report.decision.arm == "b" and len(report.effects) == 2
    alone = report["revenue", "a"].difference
    assert report["revenue", "a"].reach == pytest.approx(alone.reach(0.975))
    with pytest.raises(DataError, match="2 treatments"):
        report["revenue"]


def test_effects_that_differ_between_segments_are_seen() -> None:
    log, events = world(8_000)
    helped = (log["arm"] == "new") & (log["country"] == "US")
    events["revenue"] = events["revenue"] * np.where(helped[events["user_id"]], 1.4, 1.0)
    (spread,) = ex.analyze(log, events, primary="revenue", segments=["country"]).spreads
    assert spread.p_value < 0.001
    assert [effect.part for effect in spread.effects] == ["country DE", "country US"]
    assert [effect.finding for effect in spread.effects] == ["no difference seen", "better"]


def test_an_effect_that_fades_is_seen() -> None:
    log, events = world(8_000, days=14, spread=2)
    age = (events["timestamp"] - log["timestamp"][events["user_id"]]) / DAY
    new = log["arm"][events["user_id"]] == "new"
    events["revenue"] = events["revenue"] * np.where(new & (age < 3), 2.0, 1.0)
    report = ex.analyze(log, events, primary="revenue")
    assert report.novelty[0].p_value < 0.001 and report.novelty[0].slope < 0
    assert any("fades" in note for note in report._content().notes)
    steady = ex.analyze(*world(8_000, days=14, spread=2, lift=0.2), primary="revenue")
    assert steady.novelty[0].p_value > 0.001


def test_triggered_analysis_keeps_those_for_whom_something_changed() -> None:
    log, events = world(4_000, lift=0.0)
    changed = np.arange(4_000) % 4 == 0
    log["differs"] = np.where(np.arange(4_000) % 2 == 0, changed.astype(float), np.nan)
    new = log["arm"][events["user_id"]] == "new"
    events["revenue"] = events["revenue"] * np.where(new & changed[events["user_id"]], 1.5, 1.0)
    whole = ex.analyze(log, events, primary="revenue")["revenue"]
    part = ex.analyze(log, events, primary="revenue", triggered=True)["revenue"]
    assert part.difference.control.n + part.difference.treatment.n == changed.sum()
    assert abs(part.difference.z) > abs(whole.difference.z)
    with pytest.raises(DataError, match="shadow"):
        ex.analyze(world()[0], events, primary="revenue", triggered=True)


def test_a_forecast_stands_beside_what_was_measured() -> None:
    report = ex.analyze(*world(lift=0.2), primary="revenue")
    beside = report.beside({"SNIPS": (0.19, 0.1, 0.28), "hope": (0.9, 0.8, 1.0)})
    assert [one.agree for one in beside.forecast] == [True, False]
    assert "SNIPS" in str(beside) and "hope" in beside.to_html()
    with pytest.raises(ConfigurationError, match="forecast"):
        report.beside(0.2)


# -- forms ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report() -> ex.ExperimentReport:
    return ex.analyze(
        *world(lift=0.15), primary="revenue", metrics=[ex.Ratio("clicks", "impressions")], segments=["country"],
        guardrails=[ex.NotWorse("p90_ms", 0.1)], reading=ex.GroupSequential(looks=14),
    )  # fmt: skip


def test_every_form_says_the_decision_and_its_reasons(report: ex.ExperimentReport) -> None:
    words = str(report.decision)
    assert words.startswith("ship new, because revenue +") and "guardrail" in words
    assert words in str(report) and words in report.to_markdown() and "ship new" in report._repr_html_()
    assert json.loads(report.to_json())["decision"]["words"] == words
    assert all(reason in report.to_html() for reason in report.decision.reasons)


def test_the_page_loads_nothing_and_escapes_names(tmp_path: Path) -> None:
    log, events = world(400)
    log["arm"] = np.where(log["arm"] == "new", "<script>", "control").astype(object)
    page = ex.analyze(log, events, primary="revenue").to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert "<script>" not in page.replace('<script type="application/json" id="report">', "")
    assert "http://" not in page and "https://" not in page and "default-src 'none'" in page


def test_the_plot_has_a_row_for_each_metric(report: ex.ExperimentReport) -> None:
    ax = report.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["revenue", "clicks / impressions"]


@pytest.mark.browser
def test_the_page_is_drawn_by_a_browser(report: ex.ExperimentReport, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("found no Chromium; expected one on the path, such as Debian's package chromium")
    report.to_html(tmp_path / "page.html")
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        f"file://{tmp_path}/page.html",
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert dom.count("<svg") >= 3 and "ship new" in dom
