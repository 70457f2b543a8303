"""Tests of drift on counts that are written down here: on both sides of each limit, and their severities."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from recokit.errors import ConfigurationError
from recokit.monitoring import DriftLimits, DriftMonitor, ReferenceProfile
from recokit.monitoring.drift._clusters import Clusters
from recokit.monitoring.drift._tests import TESTS, Counts
from recokit.monitoring.drift.profile import CategoryProfile, NumberProfile

LIMITS = DriftLimits()
Z = NormalDist().inv_cdf(1 - 0.001)
RUN = {name: test for name, _, test in TESTS}


def numbers(**parts: Any) -> NumberProfile:
    values = {
        "edges": np.array([0.0]),
        "shares": np.array([0.5, 0.5]),
        "n": 1e6,
        "mean": 10.0,
        "std": 2.0,
        "missing": 0.1,
        "top": 0.2,
        "split": 5.0,
        "low": 0.4,
    }
    return NumberProfile(**{**values, **parts})


def labels(**parts: Any) -> CategoryProfile:
    values = {
        "labels": ("a", "b"),
        "shares": np.array([0.6, 0.4, 0.0]),
        "n": 1e6,
        "missing": 0.0,
        "once": 0.0,
    }
    return CategoryProfile(**{**values, **parts})


def counts(reference: Any, known: float = 1e6, missing: float = 0.0, **parts: Any) -> Counts:
    """Return the counts of so many rows, each of which stands alone."""
    made = Counts(reference)
    made.known, made.missing, made.squared = known, missing, known + missing
    made.clusters = Clusters(rows=known + missing, groups=known + missing)
    for name, value in parts.items():
        setattr(made, name, value)
    return made


def status(name: str, reference: Any, made: Counts) -> Any:
    verdict = RUN[name](reference, made, LIMITS, Z)
    return None if verdict is None else verdict[0]


def moved(sigmas: float, known: float = 1e6, **parts: Any) -> Counts:
    reference = numbers()
    shift = sigmas * reference.std
    return counts(reference, known, moved=shift * known, moved_squared=(shift**2 + 4.0) * known, **parts)


@pytest.mark.parametrize(
    ("sigmas", "verdict"), [(2.0, "pass"), (-2.0, "pass"), (2.01, "fail"), (-2.01, "fail")]
)
def test_a_mean_may_move_two_standard_deviations(sigmas: float, verdict: str) -> None:
    assert status("drift.mean", numbers(), moved(sigmas)) == verdict


def test_a_mean_needs_rows_a_spread_and_more_than_chance() -> None:
    assert status("drift.mean", labels(), counts(labels())) is None
    assert status("drift.mean", numbers(std=0.0), moved(9.0)) is None
    assert status("drift.mean", numbers(), moved(9.0, 49.0)) is None
    assert status("drift.mean", numbers(), moved(9.0, 50.0)) == "fail"
    assert status("drift.mean", numbers(n=50.0 / 0.9), moved(9.0)) == "fail"
    assert status("drift.mean", numbers(n=49.9 / 0.9), moved(9.0)) is None
    assert status("drift.mean", numbers(), counts(numbers(), 0.0, 100.0)) is None
    # Values that vary a hundred times as much: three standard deviations may be chance.
    wild = moved(3.0, 100.0)
    wild.moved_squared = (36.0 + 4.0 * 1e4) * 100.0
    assert status("drift.mean", numbers(), wild) == "pass"


@pytest.mark.parametrize(
    ("share", "verdict"),
    [(0.65, "pass"), (0.66, "warn"), (0.73, "warn"), (0.75, "fail"), (0.35, "pass"), (0.25, "fail")],
)
def test_the_index_warns_from_a_tenth_and_fails_from_a_quarter(share: float, verdict: str) -> None:
    index = (share - 0.5) * np.log(share / 0.5) + (0.5 - share) * np.log((1 - share) / 0.5)
    assert (index > 0.1, index > 0.25) == (verdict != "pass", verdict == "fail")
    made = counts(numbers(), bins=np.array([share, 1 - share]) * 1e6)
    assert status("drift.psi", numbers(), made) == verdict
    message = RUN["drift.psi"](numbers(), made, LIMITS, Z)[1]  # type: ignore[index]
    assert verdict == "pass" or f"PSI {index:.3f}" in message


def test_few_rows_or_one_bin_have_no_index_and_chance_excuses_a_small_sample() -> None:
    def made(known: float) -> Counts:
        return counts(numbers(), known, bins=np.array([0.9, 0.1]) * known)

    assert status("drift.psi", numbers(), made(49.0)) is None
    assert status("drift.psi", numbers(), made(50.0)) == "fail"
    assert status("drift.psi", numbers(n=50.0), made(1e6)) is None  # 45 of them have a value
    one = numbers(edges=np.zeros(0), shares=np.ones(1))
    assert status("drift.psi", one, counts(one, bins=np.array([1e6]))) is None
    small = counts(numbers(), 60.0, bins=np.array([0.68, 0.32]) * 60.0)
    assert status("drift.psi", numbers(), small) == "pass"


@pytest.mark.parametrize(
    ("missing", "verdict"),
    [(0.119, "pass"), (0.122, "warn"), (0.199, "warn"), (0.202, "fail"), (0.081, "pass"), (0.078, "warn")],
)
def test_missing_values_may_change_by_two_percent_and_fail_from_ten(missing: float, verdict: str) -> None:
    made = counts(numbers(), (1 - missing) * 1e6, missing * 1e6)
    assert status("drift.missing", numbers(), made) == verdict
    message = RUN["drift.missing"](numbers(), made, LIMITS, Z)[1]  # type: ignore[index]
    assert verdict == "pass" or message == f"{missing:.1%} of the values are missing, 10.0% in training"
    few = counts(numbers(), (1 - missing) * 60, missing * 60)
    assert status("drift.missing", numbers(), few) == "pass"  # chance explains it


def test_a_constant_fails_only_where_other_values_were_to_be_expected() -> None:
    same = {"min": 7.0, "max": 7.0}
    verdict = RUN["drift.constant"](numbers(), counts(numbers(), **same), LIMITS, Z)
    assert verdict is not None and verdict[:2] == ("fail", "all values are the same (7)")
    assert status("drift.constant", numbers(), counts(numbers(), min=7.0, max=7.1)) == "pass"
    for top in (0.0, 1.0):
        assert status("drift.constant", numbers(top=top), counts(numbers(), **same)) is None
    assert status("drift.constant", numbers(), counts(numbers(), 0.0, 9.0)) is None
    # At a share of a tenth for all others, 65 rows lack them once in a thousand times.
    rare = numbers(top=0.9, missing=0.0, n=1e12)
    rows = np.log(0.001) / np.log1p(-0.1)
    assert status("drift.constant", rare, counts(rare, np.ceil(rows) + 1, **same)) == "fail"
    assert status("drift.constant", rare, counts(rare, np.floor(rows) - 1, **same)) == "pass"


def test_labels_are_constant_where_one_bin_has_all_of_one_label() -> None:
    def made(*bins: float, **new: float) -> Any:
        return status("drift.constant", labels(), counts(labels(), 1e3, bins=np.array(bins), new=new))

    assert made(1e3, 0.0, 0.0) == "fail"
    assert made(999.0, 1.0, 0.0) == "pass"
    assert made(0.0, 0.0, 1e3, x=1e3) == "fail"  # one new label
    assert made(0.0, 0.0, 1e3, x=500.0, y=500.0) == "pass"
    assert made(0.0, 0.0, 1e3, x=500.0) == "pass"  # the rest are rare labels of training
    assert RUN["drift.constant"](labels(), counts(labels(), 1e3, bins=np.array([1e3, 0, 0])), LIMITS, Z)[
        1
    ] == (  # type: ignore[index]
        "all values are the same"
    )


@pytest.mark.parametrize(
    ("low", "verdict"), [(0.4, "pass"), (0.041, "pass"), (0.039, "fail"), (0.93, "pass"), (0.941, "fail")]
)
def test_a_mode_collapses_below_a_tenth_of_its_share(low: float, verdict: str) -> None:
    made = counts(numbers(), low=low * 1e6)
    assert status("drift.modes", numbers(), made) == verdict
    message = RUN["drift.modes"](numbers(), made, LIMITS, Z)[1]  # type: ignore[index]
    name, before, after = ("lower", 0.4, low) if low < 0.5 else ("upper", 0.6, 1 - low)
    assert verdict == "pass" or message == (
        f"the {name} of two modes has {after:.1%} of the values, {before:.1%} in training"
    )
    few = counts(numbers(low=0.2), 5.0, low=0.0)
    assert status("drift.modes", numbers(low=0.2), few) == "pass"  # of five, none may be low by chance


def test_a_column_with_one_mode_has_none_to_collapse() -> None:
    assert status("drift.modes", numbers(split=np.nan), counts(numbers())) is None
    assert status("drift.modes", labels(), counts(labels())) is None
    assert status("drift.modes", numbers(), counts(numbers(), 0.0, 5.0)) is None


@pytest.mark.parametrize(
    ("new", "verdict"), [(0.0049, "pass"), (0.0053, "warn"), (0.0499, "warn"), (0.0502, "fail")]
)
def test_new_labels_warn_from_half_a_percent_and_fail_from_five(new: float, verdict: str) -> None:
    made = counts(labels(), new={"x": new * 0.75e6, "y": new * 0.25e6})
    assert status("drift.new_labels", labels(), made) == verdict
    message = RUN["drift.new_labels"](labels(), made, LIMITS, Z)[1]  # type: ignore[index]
    assert verdict == "pass" or message == f"{new:.2%} of the labels are new: 'x', 'y'"


def test_labels_of_one_group_let_expect_as_many_new_ones() -> None:
    often = labels(once=99_999.0)  # a tenth of a million rows
    assert status("drift.new_labels", often, counts(often, new={"x": 0.104e6})) == "pass"
    assert status("drift.new_labels", often, counts(often, new={"x": 0.106e6})) == "warn"
    assert status("drift.new_labels", often, counts(often, new={"x": 0.151e6})) == "fail"
    assert status("drift.new_labels", numbers(), counts(numbers())) is None
    assert status("drift.new_labels", labels(), counts(labels(), 20.0, new={"x": 2.0})) == "pass"  # of twenty


def test_labels_that_are_numbers_stay_labels_when_they_are_served() -> None:
    profile = ReferenceProfile.of({"kind": np.arange(1000) % 4}, categorical=["kind"])
    report = DriftMonitor(profile).check({"kind": np.arange(500) % 4})
    assert report.figures["kind"]["missing"] == 0.0 and report.figures["kind"]["new_labels"] == 0.0
    assert report["drift.new_labels"].status == "pass"


def test_each_test_of_many_columns_is_stricter() -> None:
    for bad in (0.0, 1.0, -0.5):
        with pytest.raises(ConfigurationError, match="false_alarms"):
            DriftLimits(false_alarms=bad)
    rng = np.random.default_rng(0)
    column = rng.normal(size=2000)
    # Noise that alarms about once in two hundred columns at 0.001 for one test would do so for a thousand at once.
    many = ReferenceProfile.of({f"c{i}": column for i in range(300)})
    drawn = {f"c{i}": rng.normal(size=200) for i in range(300)}
    assert DriftMonitor(many).check(drawn).findings == ()


def test_rows_of_a_group_that_are_alike_count_as_one() -> None:
    group = np.repeat(np.arange(100), 10)
    alike = Clusters.of(group % 7, group)
    assert alike.alike == pytest.approx(1.0) and alike.design_effect() == pytest.approx(10.0)
    assert alike.independent(np.ones(1000)) == pytest.approx(100.0)
    single = Clusters.of(np.arange(50) % 7, np.arange(50))
    assert single.alike == 0.0 and single.design_effect(0.9) == 1.0
    apart = Clusters.of(np.tile(np.arange(10), 100), group)
    assert apart.design_effect() == 1.0 and apart.design_effect(0.5) == pytest.approx(5.5)
    assert Clusters.of(np.zeros(8, np.int64), np.zeros(8, np.int64)).design_effect() == 8.0
    halves = Clusters.of((group % 7)[:500], group[:500]).plus(
        Clusters.of((group % 7)[500:], group[500:] - 50)
    )
    assert halves == alike
    assert Clusters().plus(alike) == alike.plus(Clusters()) == alike
    weighted = single.independent(np.array([3.0] + [1.0] * 49))
    assert weighted == pytest.approx(52.0**2 / 58.0)


@pytest.mark.parametrize(("rows", "bins"), [(5, 2), (20, 2), (45, 4), (99, 9), (100, 10), (5_000, 10)])
def test_each_bin_holds_ten_rows_of_training(rows: int, bins: int) -> None:
    number = ReferenceProfile.of({"x": np.arange(float(rows))}).numbers["x"]
    assert len(number.shares) == bins == len(number.edges) + 1
    assert number.shares.sum() == pytest.approx(1.0)
    assert (number.mean, number.n, number.missing) == ((rows - 1) / 2, rows, 0.0)
    assert number.std == pytest.approx(np.arange(rows).std()) and number.top == pytest.approx(1 / rows)
