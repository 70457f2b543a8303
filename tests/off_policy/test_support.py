"""Refusals: what a log cannot tell is not told, by name, with the reason."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recokit.errors import ConfigurationError, DataError, SupportError
from recokit.off_policy import ClippedIPS, LoggedRounds, Support, SwitchDR, estimate
from recokit.off_policy.support import overlap_of, tail_index


def rounds(weight, *, propensity=None, rate=0.3, seed=99, **columns):
    """Return rounds with these weights."""
    weight = np.asarray(weight, np.float64)
    chance = np.full(len(weight), 1 / max(weight.max(), 1)) if propensity is None else propensity
    reward = np.random.default_rng(seed).random(len(weight)) < rate
    return LoggedRounds(reward, propensity=chance, target=weight * chance, **columns)


def even(n=2000, seed=0):
    weight = np.random.default_rng(seed).uniform(0.5, 1.5, n)
    return weight / weight.mean()


def test_figures_are_those_of_the_weights():
    weight = np.concatenate([np.zeros(50), np.ones(100), np.full(50, 2.0)])
    found = estimate(rounds(weight), "IPS", support=None)["IPS"].overlap
    assert found.effective == pytest.approx(200**2 / 300) == pytest.approx(200 * found.effective_share)
    assert (found.mean_weight, found.matched, found.largest) == (1.0, 0.75, 2.0)
    assert found.mean_error == pytest.approx(stats.sem(weight))
    assert found.largest_share == pytest.approx(4 / 200) and found.cut == 0 and found.place == 0
    assert found.smallest == 0.5


def test_what_is_supported_is_estimated():
    found = estimate(rounds(even()), ["IPS", "SNIPS"])
    assert not found.refused and list(found) == ["IPS", "SNIPS"]
    assert found["SNIPS"].low < 0.3 < found["SNIPS"].high


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (even(150), "150 effective rounds of 150, fewer than 200|1[0-4][0-9] effective rounds of 150"),
        (
            even() * np.repeat([1.0, 0.0], 1000),
            "instead of 1: the target policy shows what the log never does",
        ),
        (even() * 1.3, "instead of 1: propensities are too small, or the target's probabilities too large"),
        (
            np.random.default_rng(1).pareto(1.05, 20_000) * 0.05,
            "a tail index of the weights of [0-9.]+, above 0.7",
        ),
        (np.zeros(1000), "0 effective rounds"),
    ],
)
def test_what_is_not_supported_is_refused_with_the_reason(weight, reason):
    with pytest.raises(SupportError, match=f"found no support.*{reason}.*hint: explore more"):
        estimate(rounds(weight), ["IPS", "SNIPS"])
    assert len(estimate(rounds(weight), "IPS", support=None)) == 1


def test_some_may_be_refused_and_others_not():
    weight = np.concatenate([even(3000), [2500.0]])
    given = rounds(weight / weight.mean(), propensity=np.full(3001, 1e-4))
    given = given.replace(predicted=np.full(3001, 0.3), expected=np.full(3001, 0.3))
    found = estimate(given, ["IPS", ClippedIPS(max_weight=50), "DM"])
    assert list(found) == ["ClippedIPS(max_weight=50)", "DM"] and list(found.refused) == ["IPS"]
    with pytest.raises(SupportError, match=r"effective rounds.*for IPS; expected a log that shows"):
        found["IPS"]
    with pytest.raises(ConfigurationError, match="did you mean 'IPS'"):
        found["IIPS"]
    assert "IPS refused: " in str(found) and "refused" in found._repr_html_()
    assert "leaves out" in str(found)  # the limit cuts the one large weight
    records = {record["estimator"]: record for record in found.to_records()}
    assert records["IPS"]["value"] is None and "effective rounds" in records["IPS"]["refused"]
    assert records["DM"]["refused"] is None and records["DM"]["overlap"] is None
    assert records["logged"]["value"] == pytest.approx(given.logged.mean())


def test_each_place_is_judged_and_the_worst_one_told():
    n, k = 1000, 3
    weight = np.ones((n, k))
    weight[:, 1] = np.tile([0.0, 2.0], n // 2)
    weight[:, 2] = np.tile([0.0, 0.0, 0.0, 0.0, 5.0], n // 5)
    given = rounds(weight.ravel(), round=np.repeat(np.arange(n), k))
    found = estimate(given, ["IIPS", "RIPS"])
    assert (found["IIPS"].overlap.place, found["IIPS"].overlap.effective) == (3, pytest.approx(200))
    assert list(found.refused) == ["RIPS"]  # of ten lists one agrees in all places
    assert "place 3 of 1,000 lists" in str(found["IIPS"].overlap)


def test_clusters_make_the_mean_weight_less_certain():
    weight = np.repeat(np.tile([0.6, 1.2], 500), 5)
    alone = estimate(rounds(weight), "IPS", support=None)["IPS"].overlap
    clusters = np.repeat(np.arange(1000), 5)
    together = estimate(rounds(weight, cluster=clusters), "IPS", support=None)["IPS"].overlap
    assert together.mean_error == pytest.approx(alone.mean_error * np.sqrt(5), rel=0.01)


def test_limits_can_be_moved():
    weight = even(150)
    assert estimate(rounds(weight), "IPS", support=Support(min_effective=100))
    with pytest.raises(SupportError, match=r"0% of the weights cut off|cut off"):
        estimate(rounds(even()), ClippedIPS(max_weight=0.4))
    for name in ("min_effective", "max_missing", "max_tail", "min_tail_share", "max_cut"):
        with pytest.raises(ConfigurationError, match=f"found {name}=nan"):
            Support(**{name: float("nan")})


def test_limited_weights_are_what_an_estimate_is_judged_by():
    weight = np.concatenate([even(1000), [2000.0]])
    given = rounds(weight, propensity=np.full(1001, 1e-4)).replace(
        predicted=np.full(1001, 0.3), expected=np.full(1001, 0.3)
    )
    found = estimate(given, ["IPS", SwitchDR(threshold=10.0)], support=None)
    assert found["IPS"].overlap.effective < 5 < 900 < found["SwitchDR(threshold=10.0)"].overlap.effective
    assert found["SwitchDR(threshold=10.0)"].overlap.cut == pytest.approx(2 / 3)


@pytest.mark.parametrize("shape", [0.3, 0.7, 1.5])
def test_the_tail_index_is_that_of_a_pareto_tail(shape):
    found = [
        tail_index(stats.genpareto(shape).rvs(50_000, random_state=np.random.default_rng(seed)))
        for seed in range(8)
    ]
    assert np.mean(found) == pytest.approx(shape, abs=0.12)


@pytest.mark.parametrize("weight", [np.zeros(100), np.ones(100), np.ones(3), np.repeat([0.0, 4.0], 500)])
def test_weights_that_do_not_differ_have_no_tail(weight):
    assert np.isnan(tail_index(weight))


def test_an_overlap_is_shown_as_a_table():
    weight = even()
    found = overlap_of(weight, weight, np.full(len(weight), 0.5), None)
    assert "effective rounds" in str(found) and "<table>" in found._repr_html_()


def test_a_refusal_is_a_data_error_and_survives_a_process():
    error = SupportError("found nothing")
    assert isinstance(error, DataError)
    assert str(pickle.loads(pickle.dumps(error))) == "found nothing"


def test_a_report_tells_values_lifts_and_how_it_was_made():
    found = estimate(rounds(even(), cluster=np.arange(2000) // 2), notes=["from a test"])
    one = found["SNIPS"]
    assert one.lift == pytest.approx(one.value - found.logged.value)
    assert one.lift_low < 0 < one.lift_high and not one.clear and float(one) == one.value
    text = str(found)
    assert "2,000 rounds in 1,000 clusters" in text and "95% intervals (hall)" in text
    assert "from a test" in text and "+" in text and str(one).startswith("SNIPS: 0.")


@pytest.mark.parametrize("asked", ["Ips", ["IPS", "IPS"], [], [3]])
def test_unknown_estimators(asked):
    with pytest.raises(ConfigurationError, match="found estimator"):
        estimate(rounds(even()), asked)


def test_defaults_follow_the_log():
    single, n = rounds(even()), 2000
    assert list(estimate(single)) == ["IPS", "SNIPS"]
    modelled = single.replace(predicted=np.zeros(n), expected=np.zeros(n))
    assert list(estimate(modelled)) == ["IPS", "SNIPS", "DM", "DR", "SNDR"]
    lists = modelled.replace(round=np.repeat(np.arange(1000), 2))
    assert list(estimate(lists, support=None)) == ["IIPS", "SNIIPS", "RIPS", "SNRIPS", "DM", "CascadeDR"]
    assert any("as right as the reward model" in note for note in estimate(modelled).notes)


FINE = overlap_of(even(), even(), np.array([0.1]), None)


@pytest.mark.parametrize(
    ("change", "n_problems"),
    [
        ({"effective": 200.0}, 0),
        ({"effective": 199.9}, 1),
        ({"mean_weight": 1.3, "mean_error": 0.1}, 0),
        ({"mean_weight": 1.31, "mean_error": 0.1}, 1),
        ({"mean_weight": 0.69, "mean_error": 0.1}, 1),
        ({"mean_weight": 9.0, "mean_error": np.nan}, 0),
        ({"mean_weight": 1.0, "mean_error": 0.0}, 0),
        ({"tail": 0.7, "largest_share": 0.9}, 0),
        ({"tail": 0.71, "largest_share": 0.25}, 0),
        ({"tail": 0.71, "largest_share": 0.26}, 1),
        ({"cut": 0.5}, 0),
        ({"cut": 0.51}, 1),
        ({"effective": 1.0, "cut": 0.9}, 2),
    ],
)
def test_each_limit_is_one_that_may_be_reached(change, n_problems):
    assert not Support().problems(FINE)
    assert len(Support().problems(replace(FINE, **change))) == n_problems


@pytest.mark.parametrize(
    "change", [{"mean_weight": 1.5, "mean_error": 0.1}, {"mean_weight": 0.5, "mean_error": 0.1}]
)
def test_a_mean_weight_says_on_which_side_it_is(change):
    (problem,) = Support().problems(replace(FINE, **change))
    assert ("propensities are too small" in problem) == (change["mean_weight"] > 1)
    assert ("shows what the log never does" in problem) == (change["mean_weight"] < 1)


@pytest.mark.parametrize("n", [1, 40, 100, 199, 250])
@pytest.mark.parametrize("clustered", [False, True])
def test_an_overlap_recomputed_by_hand(n, clustered):
    rng = np.random.default_rng(n)
    weight = rng.choice([0.0, 0.5, 1.0, 4.0], n)
    weight[0] = 1.0
    used, clusters = np.minimum(weight, 2.0), np.arange(n) % 7 if clustered and n > 7 else None
    found = overlap_of(weight, used, np.linspace(0.2, 0.9, n), clusters)
    largest = sorted(used.tolist(), reverse=True)[: max(n // 100, 1)]
    assert (found.rounds, found.place, found.smallest) == (n, 0, 0.2)
    assert found.effective == pytest.approx(sum(used) ** 2 / sum(used**2))
    assert found.matched == sum(w > 0 for w in weight) / n
    assert found.mean_weight == pytest.approx(sum(weight) / n)
    assert (found.largest, found.largest_share) == (largest[0], pytest.approx(sum(largest) / sum(used)))
    assert found.cut == pytest.approx(1 - sum(used) / sum(weight))
    away = [w - sum(weight) / n for w in weight]
    sums = (
        away if clusters is None else [sum(away[i] for i in range(n) if clusters[i] == c) for c in range(7)]
    )
    m = len(sums)
    expected = math.nan if m < 2 else math.sqrt(sum(s * s for s in sums) * m / (m - 1)) / n
    assert found.mean_error == pytest.approx(expected, nan_ok=True)


def test_a_log_without_any_weight_has_nothing_cut():
    found = overlap_of(np.zeros(3), np.zeros(3), np.ones(3), None)
    assert (found.effective, found.cut, found.mean_weight) == (0.0, 0.0, 0.0) and math.isnan(
        found.largest_share
    )
