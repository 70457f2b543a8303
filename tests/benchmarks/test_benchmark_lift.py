"""The benchmark of what a second stage is worth, in small: both sides of it, and what it makes of them."""

import numpy as np

import recokit as rk
from benchmarks.lift import Case, Week, checks_of, judge, marketplace, weeks
from recokit import candidates, features, rankers, rules
from recokit.data import DAY


def funnel():
    return rk.Pipeline(
        [
            candidates.Merge([candidates.Popular(), candidates.History()], limit=40),
            features.Standard(),
            rankers.LambdaMART(n_estimators=5),
            rules.MaxShare("category", 0.4),
        ]
    )


def test_a_case_is_judged_with_and_without_caps():
    market = rk.datasets.make_marketplace(n_users=80, n_items=60, seed=1)
    fit = {"label_window": "7D", "windows": 1}
    checks = judge("made", Case(lambda cut: market.dataset, ("2025-03-20",), funnel, ("max_share",), fit))
    assert [check.name.split(": ")[0] for check in checks] == [
        "made, without caps", "made, without caps", "made, under the same caps", "made, under the same caps",
    ]  # fmt: skip
    assert all(np.isfinite(check.value) for check in checks)


def test_users_that_come_back_count_once_and_small_segments_are_not_judged():
    ours, theirs = np.array([0.5, 0.4, 0.3]), np.array([0.25, 0.25, 0.25])
    week = Week("x", "popular", np.array([1, 2, 3]), ours, theirs, np.array(["casual"] * 3))
    gain, low = checks_of("made", [week, week])
    assert np.isclose(gain.value, 0.6) and len(week.user) == 3
    assert low.value == checks_of("made", [week])[1].value


def test_weeks():
    assert weeks("2017-12-01", 3) == ("2017-12-01", "2017-12-08", "2017-12-15")


def test_a_marketplace_is_judged_on_its_last_weeks():
    case = marketplace(seed=0, n_users=60, n_weeks=2)
    assert case.cuts == ("2025-03-18", "2025-03-25")
    train, test = case.split(case.cuts[-1])
    assert train.until < test.interactions.timestamp.min() < train.until + 2 * DAY
    assert test.until <= train.until + 8 * DAY
    assert set(case.caps) <= set(case.build().names)
