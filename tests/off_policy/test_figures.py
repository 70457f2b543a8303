"""Figures of estimates, overlaps and reward models against formulas written out, and limits at their edges."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recokit.data.impressions import ImpressionLog
from recokit.errors import ConfigurationError
from recokit.off_policy import ClippedIPS, ItemReward, LoggedRounds, Overlap, Support, estimate
from recokit.off_policy.intervals import IntervalOptions, Parts, bernstein, bootstrap, hall, student
from recokit.off_policy.support import overlap_of, tail_index

OVERLAP = Overlap(
    rounds=1000,
    place=0,
    effective=200.0,
    matched=1.0,
    mean_weight=1.0,
    mean_error=0.25,
    largest=2.0,
    largest_share=0.1,
    tail=0.1,
    cut=0.0,
    smallest=0.1,
)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"effective": 200.0}, None),
        ({"effective": 199.9}, "200 effective rounds of 1,000, fewer than 200"),
        ({"mean_weight": 1.75}, None),
        ({"mean_weight": 0.25}, None),
        ({"mean_weight": 1.76}, "a mean weight of 1.760 +- 0.250 instead of 1: propensities are too small"),
        ({"mean_weight": 0.24}, "a mean weight of 0.240 +- 0.250 instead of 1: the target policy shows what"),
        ({"mean_weight": 5.0, "mean_error": math.nan}, None),
        ({"tail": 0.7, "largest_share": 0.9}, None),
        ({"tail": 0.71, "largest_share": 0.25}, None),
        (
            {"tail": 0.71, "largest_share": 0.26},
            "a tail index of the weights of 0.71, above 0.7, in a tail",
        ),
        ({"tail": math.nan, "largest_share": 0.9}, None),
        ({"cut": 0.5}, None),
        ({"cut": 0.51}, "51% of the weights cut off, more than 50%"),
    ],
)
def test_limits_of_support_at_their_edges(changes, problem):
    found = Support().problems(replace(OVERLAP, **changes))
    if problem is None:
        assert found == ()
    else:
        assert len(found) == 1 and found[0].startswith(problem)


def test_all_that_speaks_against_an_estimate_is_told():
    bad = replace(OVERLAP, effective=1.0, mean_weight=9.0, tail=2.0, largest_share=1.0, cut=1.0)
    assert len(Support().problems(bad)) == 4
    assert Support(min_effective=0, max_missing=np.inf, max_tail=2.0, max_cut=1.0).problems(bad) == ()
    with pytest.raises(ConfigurationError, match=r"found max_cut=-0\.1"):
        Support(max_cut=-0.1)


def test_the_overlap_of_limited_weights():
    rng = np.random.default_rng(0)
    weight = rng.exponential(size=450)
    weight[:50] = 0.0
    used, propensity = np.minimum(weight, 1.5), rng.uniform(0.01, 0.9, 450)
    found = overlap_of(weight, used, propensity, None)
    assert (found.rounds, found.place, found.matched) == (450, 0, pytest.approx(400 / 450))
    assert found.effective == pytest.approx(used.sum() ** 2 / (used**2).sum())
    assert found.effective_share == pytest.approx(found.effective / 450)
    assert (found.mean_weight, found.mean_error) == pytest.approx((weight.mean(), stats.sem(weight)))
    assert found.largest == 1.5
    assert found.largest_share == pytest.approx(4 * 1.5 / used.sum())  # the largest hundredth: four
    assert found.cut == pytest.approx(1 - used.sum() / weight.sum())
    assert found.smallest == propensity.min()
    few = overlap_of(weight[:60], weight[:60], propensity[:60], None)
    assert few.largest_share == pytest.approx(weight[:60].max() / weight[:60].sum())  # one at least


def test_the_overlap_of_places_is_that_of_the_worst():
    weight = np.array([[1.0, 3.0, 1.0], [1.0, 0.0, 0.5], [1.0, 0.0, 1.0]])
    found = overlap_of(weight, weight, np.full(9, 0.5), None)
    assert (found.place, found.effective, found.mean_weight, found.largest) == (2, 1.0, 1.0, 3.0)


def test_clusters_in_the_error_of_the_mean_weight():
    rng = np.random.default_rng(1)
    weight, clusters = rng.exponential(size=90), np.sort(rng.integers(0, 30, 90))
    clusters = np.unique(clusters, return_inverse=True)[1]
    n = clusters.max() + 1
    sums = [sum(weight[clusters == c] - weight.mean()) for c in range(n)]
    expected = math.sqrt(n / (n - 1) * sum(s**2 for s in sums)) / 90
    assert overlap_of(weight, weight, weight + 1, clusters).mean_error == pytest.approx(expected)
    one = overlap_of(np.ones(1), np.ones(1), np.ones(1), None)
    assert math.isnan(one.mean_error) and (one.rounds, one.largest) == (1, 1.0)


def test_no_weight_at_all():
    found = overlap_of(np.zeros(5), np.zeros(5), np.full(5, 0.5), None)
    assert (found.effective, found.matched, found.cut, found.largest) == (0.0, 0.0, 0.0, 0.0)
    assert math.isnan(found.largest_share) and math.isnan(found.tail)


def zhang_and_stephens(weight):
    """Their estimate in loops, over the excesses of the largest min(n / 5, 3 sqrt(n)) weights."""
    ordered = sorted(w for w in weight if w > 0)
    m = int(min(len(ordered) / 5, 3 * math.sqrt(len(ordered))))
    excess = [w - ordered[-m - 1] for w in ordered[-m:]]
    grid = 30 + int(math.sqrt(m))
    quartile = excess[int(m / 4 + 0.5) - 1]
    thetas = [1 / excess[-1] + (1 - math.sqrt(grid / (j - 0.5))) / (3 * quartile) for j in range(1, grid + 1)]

    def shape(theta):
        return sum(math.log(1 - theta * x) for x in excess) / m

    likelihoods = [m * (math.log(-theta / shape(theta)) - shape(theta) - 1) for theta in thetas]
    total = [1 / sum(math.exp(other - one) for other in likelihoods) for one in likelihoods]
    return shape(sum(w * theta for w, theta in zip(total, thetas, strict=True)))


@pytest.mark.parametrize("n", [25, 26, 400])
def test_the_tail_index_is_the_estimate_of_zhang_and_stephens(n):
    weight = np.append(np.random.default_rng(n).pareto(1.5, n), [0.0] * 5)
    assert tail_index(weight) == pytest.approx(zhang_and_stephens(weight), rel=1e-9)


def test_a_tail_of_four_weights_tells_nothing():
    assert math.isnan(tail_index(np.random.default_rng(0).pareto(1.5, 24)))


# -- estimates --------------------------------------------------------------------------------------------


@pytest.fixture
def rounds():
    rng = np.random.default_rng(5)
    weight = rng.uniform(0.2, 1.8, 400)
    return LoggedRounds(rng.random(400) < 0.3, propensity=np.full(400, 0.5), target=0.5 * weight)


def test_an_estimate_is_students_interval_of_weighed_rewards(rounds):
    weighed = rounds.target / rounds.propensity * rounds.reward
    found = estimate(rounds, "IPS", interval="student", confidence=0.9, support=None)
    one = found["IPS"]
    for values, (value, low, high) in (
        (weighed, (one.value, one.low, one.high)),
        (weighed - rounds.reward, (one.lift, one.lift_low, one.lift_high)),
        (rounds.reward, (found.logged.value, found.logged.low, found.logged.high)),
    ):
        ends = stats.t.interval(0.9, 399, values.mean(), stats.sem(values))
        assert (value, low, high) == pytest.approx((values.mean(), *ends))
    assert (one.error, found.logged.error) == pytest.approx((stats.sem(weighed), stats.sem(rounds.reward)))
    assert (found.logged.estimator, found.logged.lift, found.logged.lift_low, found.logged.lift_high) == (
        "logged", 0.0, 0.0, 0.0,
    )  # fmt: skip
    assert (found.rounds, found.impressions, found.clusters) == (400, 400, None)
    assert (found.interval, found.confidence, found.notes) == ("student", 0.9, ())


@pytest.mark.parametrize("kind", ["hall", "student", "bootstrap"])
def test_each_kind_of_interval_is_its_own(rounds, kind):
    parts = Parts(rounds.list_weight * rounds.logged)
    expected = {
        "hall": hall(parts, None, 0.8),
        "student": student(parts, None, 0.8),
        "bootstrap": bootstrap(parts, None, 0.8, resamples=50, seed=3),
    }
    found = estimate(rounds, "IPS", interval=kind, confidence=0.8, support=None, resamples=50, seed=3)["IPS"]
    assert (found.error, found.low, found.high) == expected[kind]
    assert len(set(expected.values())) == 3
    again = estimate(rounds, "IPS", interval=kind, confidence=0.8, support=None, resamples=50, seed=4)["IPS"]
    assert (again.low == found.low) is (kind != "bootstrap")


def test_bernstein_is_used_where_there_are_bounds(rounds):
    clipped = ClippedIPS(max_weight=2.0)
    found = estimate(rounds, clipped, interval="bernstein", reward_range=(0.0, 1.0), support=None)
    one, (name,) = found[clipped.name], list(found)
    parts = Parts(np.minimum(rounds.list_weight, 2.0) * rounds.logged, bounds=(0.0, 2.0))
    assert name == "ClippedIPS(max_weight=2.0)"
    assert (one.error, one.low, one.high) == bernstein(parts, None, 0.95)
    lift = hall(Parts(parts.plain - rounds.logged), None, 0.95)
    assert (one.lift_low, one.lift_high) == lift[1:]  # a lift has no bounds
    logged = bernstein(Parts(rounds.logged, bounds=(0.0, 1.0)), None, 0.95)
    assert (found.logged.error, found.logged.low, found.logged.high) == logged


@pytest.mark.parametrize(
    "options", [{"resamples": 1}, {"confidence": 1.0}, {"kind": "normal"}, {"resamples": 2.5}]
)
def test_impossible_options_of_intervals(options):
    with pytest.raises(ConfigurationError, match="found "):
        IntervalOptions(**options)
    assert IntervalOptions() == IntervalOptions("hall", 0.95, 1000, 0)
    assert IntervalOptions(resamples=2).resamples == 2


@pytest.mark.parametrize("reward_range", [(1.0, 0.0), (1.0, 1.0)])
def test_a_range_of_rewards_ascends(rounds, reward_range):
    with pytest.raises(ConfigurationError, match="found reward_range="):
        estimate(rounds, "IPS", reward_range=reward_range)


@pytest.mark.parametrize(("n_rewards", "few"), [(30, False), (29, True)])
def test_few_effective_rewards_are_told(n_rewards, few):
    reward = np.zeros(1000)
    reward[:n_rewards] = 1.0
    rounds = LoggedRounds(reward, propensity=np.full(1000, 0.5), target=np.full(1000, 0.5))
    for name in ("IPS", "SNIPS"):
        notes = estimate(rounds, name, notes=["first"]).notes
        assert notes[0] == "first"
        assert (len(notes) == 2) is few
        if few:
            assert notes[1] == f"{name} rests on 29 effective rewards: take its interval with a grain of salt"


@pytest.mark.parametrize(("limit", "told"), [(0.95, False), (0.94, True)])
def test_much_that_is_cut_off_is_told(limit, told):
    rng = np.random.default_rng(0)
    rounds = LoggedRounds(rng.random(2000) < 0.5, propensity=np.full(2000, 0.5), target=np.full(2000, 0.5))
    notes = estimate(rounds, ClippedIPS(max_weight=limit)).notes
    assert any("leaves out 6% of the weights" in note for note in notes) is told


def test_defaults_of_lists_need_both_columns_of_a_model(rounds):
    predicted = rounds.replace(predicted=np.zeros(400))
    assert list(estimate(predicted)) == ["IPS", "SNIPS"]


# -- rewards ------------------------------------------------------------------------------------------------


def test_rewards_by_item_and_place_are_clicks_over_expected_clicks():
    rng = np.random.default_rng(2)
    n = 300
    group = np.repeat(np.arange(n // 3), 3)
    position = np.tile([1, 2, 3], n // 3)
    item = rng.integers(0, 6, n)
    label = (rng.random(n) < 0.2 + 0.1 * (item == 2)).astype(np.float32)
    log = ImpressionLog(np.ones(n, np.int64), item, np.zeros(n), position, label, group)
    model = ItemReward(prior=5.0, n_folds=3).fit(log)
    fold = model._fold(group)
    assert set(fold) == {0, 1, 2}
    predicted = model.predict(log)
    for row in range(0, n, 7):
        rest = np.flatnonzero(fold != fold[row])
        mean = label[rest].mean()
        level = {place: label[rest][position[rest] == place].mean() for place in (1, 2, 3)}
        same = rest[item[rest] == item[row]]
        clicks, expected = label[same].sum(), sum(level[place] for place in position[same])
        ratio = 1.0 if item[row] == 0 else (clicks + 5.0 * mean) / (expected + 5.0 * mean)
        assert predicted[row] == pytest.approx(level[position[row]] * ratio, rel=1e-5)
    assert (ItemReward().prior, ItemReward().n_folds) == (20.0, 2)
    assert ItemReward(prior=0.5).prior == 0.5


def test_impressions_in_no_place_teach_nothing():
    n = 40
    group, position = np.arange(n), np.where(np.arange(n) < 20, 0, 1)
    label = np.where(position == 0, 1, np.arange(n) % 2).astype(np.float32)
    log = ImpressionLog(np.ones(n, np.int64), np.ones(n, np.int64), np.zeros(n), position, label, group)
    model = ItemReward(n_folds=2).fit(log)
    fold = model._fold(group)
    for part in range(2):
        rows = (fold != part) & (position > 0)
        assert model.level_[part, 1] == pytest.approx(label[rows].mean())
        assert model.level_[part, 0] == pytest.approx(
            label[rows].mean()
        )  # nothing there: the mean of the others
