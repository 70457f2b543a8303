"""Experiments: who is in which arm, and that nobody moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from recokit.errors import ConfigurationError, DataError
from recokit.experiments import HOLDOUT, Experiment, GrowthBook, Place, bucket_ranges
from recokit.experiments.assignment import check_exclusive

ARMS: dict[str, Any] = {"control": object(), "new": object()}
UNITS = [f"user-{i}" for i in range(100_000)]


def place_of(test: Experiment, units: Any = UNITS, now: Any = 0.0, **context: Any) -> tuple[Any, Any]:
    found = test.assign(units, context=context, now=now)
    return found.arm, found.place


def test_a_ramp_adds_units_and_moves_nobody() -> None:
    test = Experiment("ramp", ARMS, ramp={"2026-12-01": 0.1, "2026-12-04": 0.5})
    arm, early = place_of(test, now="2026-12-01")
    later_arm, later = place_of(test, now="2026-12-05")
    inside = early == Place.IN
    assert abs(inside.mean() - 0.1) < 0.005 and abs((later == Place.IN).mean() - 0.5) < 0.01
    assert (later[inside] == Place.IN).all() and (later_arm[inside] == arm[inside]).all()
    assert abs(arm[inside].mean() - 0.5) < 0.02


def test_before_its_first_date_a_ramp_has_nobody_in() -> None:
    test = Experiment("ramp", ARMS, ramp={"2026-12-01": 1.0})
    # The first moment of the day counts.
    assert test.arm_of("u", now="2026-11-30T23:59:59") is None
    assert test.arm_of("u", now="2026-12-01T00:00:00") in ARMS


def test_a_batch_of_several_times_has_each_row_at_its_own() -> None:
    test = Experiment("ramp", ARMS, ramp={"2026-12-01": 1.0})
    _, place = place_of(test, ["a", "a"], now=["2026-11-01", "2026-12-02"])
    assert place.tolist() == [Place.OUTSIDE, Place.IN]


@pytest.mark.parametrize("ramp", [{"2026-12-01": 0.5, "2026-12-02": 0.4}, {"2026-12-01": 1.5}, {}])
def test_a_ramp_that_falls_or_is_none_is_refused(ramp: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="ramp"):
        Experiment("ramp", ARMS, ramp=ramp)


def test_weights_are_kept() -> None:
    arm, _ = place_of(
        Experiment("w", {**ARMS, "third": object()}, weights={"control": 0.5, "new": 0.2, "third": 0.3})
    )
    counts = np.bincount(arm)
    assert stats.chisquare(counts, [50_000, 20_000, 30_000]).pvalue > 0.001


@pytest.mark.parametrize(
    "weights", [{"control": 0.5, "new": 0.6}, {"control": 1.0}, {"control": 1.0, "new": 0.0}]
)
def test_weights_that_are_none_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="weights"):
        Experiment("w", ARMS, weights=weights)


def test_experiments_are_independent_and_the_answer_does_not_depend_on_the_batch() -> None:
    one, other = Experiment("one", ARMS), Experiment("other", ARMS)
    table = np.zeros((2, 2))
    np.add.at(table, (place_of(one)[0], place_of(other)[0]), 1)
    assert stats.chi2_contingency(table).pvalue > 0.001
    assert [one.arm_of(unit, now=0.0) for unit in UNITS[:50]] == one.assign(UNITS[:50], now=0.0).names()


def test_experiments_of_one_layer_exclude_each_other() -> None:
    one = Experiment("one", ARMS, layer="home", traffic=(0.0, 0.5))
    other = Experiment("other", ARMS, layer="home", traffic=(0.5, 1.0))
    elsewhere = Experiment("elsewhere", ARMS, layer="search", traffic=(0.0, 0.5))
    inside, in_other, in_search = (place_of(test)[1] == Place.IN for test in (one, other, elsewhere))
    assert (inside ^ in_other).all()
    assert stats.chi2_contingency(np.histogram2d(inside, in_search, bins=2)[0]).pvalue > 0.001
    check_exclusive([one, other])


@pytest.mark.parametrize(
    ("layer", "traffic"), [("home", (0.4, 1.0)), ("search", (0.5, 1.0)), (None, (0.5, 1.0))], ids=str
)
def test_one_place_cannot_hold_experiments_that_overlap(
    layer: str | None, traffic: tuple[float, float]
) -> None:
    one = Experiment("one", ARMS, layer="home", traffic=(0.0, 0.5))
    with pytest.raises(ConfigurationError, match=r"layer|overlap"):
        check_exclusive([one, Experiment("other", ARMS, layer=layer, traffic=traffic)])


def test_the_holdout_is_the_same_for_every_experiment_and_grows_without_changing() -> None:
    small, large = (Experiment(name, ARMS, holdout=share) for name, share in (("a", 0.05), ("b", 0.1)))
    held, held_too = (place_of(test)[1] == Place.HOLDOUT for test in (small, large))
    assert abs(held.mean() - 0.05) < 0.003 and not (held & ~held_too).any()
    assert (place_of(small)[0][held] == 0).all()
    assert small.assign(np.array(UNITS)[held][:1], now=0.0).names() == [HOLDOUT]


def test_only_the_target_is_in() -> None:
    test = Experiment("t", ARMS, where={"country": {"DE", "AT"}, "app": "ios"})
    country, app = np.array(["DE", "AT", "US", "DE"], object), np.array(["ios", "ios", "ios", "web"], object)
    _, place = place_of(test, ["a", "b", "c", "d"], country=country, app=app)
    assert place.tolist() == [Place.IN, Place.IN, Place.OUTSIDE, Place.OUTSIDE]
    with pytest.raises(DataError, match="country"):
        place_of(test, ["a"], app=app[:1])


def test_a_target_may_be_a_function_of_the_context() -> None:
    test = Experiment("t", ARMS, where=lambda context: context["age"].astype(float) >= 18)
    _, place = place_of(test, ["a", "b"], age=np.array([17, 18], object))
    assert place.tolist() == [Place.OUTSIDE, Place.IN]


def test_forced_units_are_in_their_arm_whatever_else_holds() -> None:
    test = Experiment("f", ARMS, forced={42: "new"}, ramp={"2030-01-01": 1.0})
    found = test.assign(["42", 42, "43"], now=0.0)
    assert found.names() == ["new", "new", None] and found.place[0] == Place.FORCED
    with pytest.raises(ConfigurationError, match="old"):
        Experiment("f", ARMS, forced={"x": "old"})


def test_sticky_units_stay_although_the_weights_change() -> None:
    memory: dict[str, str] = {}
    before = Experiment("s", ARMS, sticky=memory).assign(UNITS[:500], now=0.0).names()
    weights = {"control": 0.1, "new": 0.9}
    assert (
        Experiment("s", ARMS, sticky=memory, weights=weights).assign(UNITS[:500], now=0.0).names() == before
    )
    assert Experiment("s", ARMS, weights=weights).assign(UNITS[:500], now=0.0).names() != before


def test_the_unit_may_be_a_context_column_and_nobody_is_in_without_one() -> None:
    test = Experiment("u", ARMS, unit="household")
    households = np.array(["h1", "h1", None], object)
    found = test.assign(["a", "b", "c"], context={"household": households}, now=0.0)
    assert (
        found.arm[0] == found.arm[1]
        and found.names()[2] is None
        and found.unit.tolist() == ["h1", "h1", None]
    )
    with pytest.raises(DataError, match="household"):
        test.assign(["a"], now=0.0)


def test_anonymous_requests_are_nobody() -> None:
    found = Experiment("u", ARMS).assign([None, "a", None], now=0.0)
    assert found.place.tolist() == [Place.NOBODY, Place.IN, Place.NOBODY]


def test_growthbook_mode_fills_each_arms_range_from_its_start() -> None:
    test = Experiment("seed", ARMS, hashing=GrowthBook(), ramp={"2026-01-01": 0.5})
    # Its places are .0505 and .2696: in the first half of the control's range, and beyond it.
    assert [test.arm_of(unit, now="2026-02-01") for unit in ("a", "b")] == ["control", None]


@pytest.mark.parametrize(
    ("weights", "coverage", "expected"),
    [
        ([0.5, 0.5], 1, [[0, 0.5], [0.5, 1]]),
        ([0.5, 0.5], 0.5, [[0, 0.25], [0.5, 0.75]]),
        ([0.5, 0.5], 0, [[0, 0], [0.5, 0.5]]),
        ([0.25] * 4, 1, [[0, 0.25], [0.25, 0.5], [0.5, 0.75], [0.75, 1]]),
        ([0.4, 0.6], 1, [[0, 0.4], [0.4, 1]]),
        ([0.2, 0.3, 0.5], 0.2, [[0, 0.04], [0.2, 0.26], [0.5, 0.6]]),
    ],
    ids=["even", "half", "none", "four", "uneven", "three"],
)
def test_ranges_are_those_of_growthbooks_specification(
    weights: list[float], coverage: float, expected: list[list[float]]
) -> None:
    np.testing.assert_allclose(bucket_ranges(weights, coverage), expected, atol=1e-12)


@pytest.mark.parametrize(
    "arms", [{}, {"only": object()}, {"": object(), "b": object()}, {HOLDOUT: 1, "b": 2}], ids=len
)
def test_arms_that_are_none_are_refused(arms: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="arm"):
        Experiment("a", arms)


@pytest.mark.parametrize("traffic", [(0.5, 0.5), (-0.1, 1.0), (0.0, 1.1)], ids=str)
def test_traffic_that_is_none_is_refused(traffic: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match="traffic"):
        Experiment("a", ARMS, traffic=traffic)
