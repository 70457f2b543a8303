"""Group sequential boundaries and confidence sequences, against published values and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recokit._stats.confidence_sequences import anytime_p_value, anytime_reach, best_rho
from recokit._stats.group_sequential import boundaries, crossing, sequential_p_value, spent
from recokit.errors import ConfigurationError, DataError

FIVE = [0.2, 0.4, 0.6, 0.8, 1.0]


@pytest.mark.parametrize(
    ("spending", "expected"),
    [
        ("obrien_fleming", [4.877, 3.357, 2.680, 2.290, 2.031]),
        ("pocock", [2.438, 2.427, 2.410, 2.397, 2.386]),
    ],
)
def test_five_equal_looks_have_the_published_boundaries(spending: str, expected: list[float]) -> None:
    assert boundaries(FIVE, 0.05, spending).round(3).tolist() == expected  # type: ignore[arg-type]


def test_one_look_is_a_plain_test() -> None:
    assert boundaries([1.0], 0.05)[0] == pytest.approx(stats.norm.isf(0.025), abs=1e-6)


def test_little_information_spends_little_and_not_nothing() -> None:
    assert 0 < spent(0.07, 0.05) < 1e-15
    bounds = boundaries([0.005, 0.07, 0.5, 1.0])
    assert (np.diff(bounds) < 0).all() and bounds[-1] < 1.98


def test_all_looks_together_err_as_often_as_one() -> None:
    looks = [0.1, 0.15, 0.5, 0.55, 1.0]
    assert crossing(looks, boundaries(looks, 0.1), 0.0)[-1] == pytest.approx(0.1, abs=1e-6)


def test_crossing_is_what_simulation_finds() -> None:
    t, drift, rng = np.array([0.3, 0.6, 1.0]), 2.5, np.random.default_rng(7)
    bounds = boundaries(t)
    steps = np.diff(t, prepend=0.0)
    paths = np.cumsum(rng.normal(drift * steps, np.sqrt(steps), (200_000, 3)), axis=1)
    crossed = np.maximum.accumulate(np.abs(paths / np.sqrt(t)) > bounds, axis=1).mean(axis=0)
    assert crossing(t, bounds, drift) == pytest.approx(crossed, abs=0.004)


def test_the_p_value_is_the_alpha_at_which_a_look_is_on_its_boundary() -> None:
    for alpha in (0.002, 0.04, 0.3):
        bounds = boundaries(FIVE, alpha)
        for look in (2, 4):
            z = np.zeros(5)
            z[look] = -bounds[look]
            assert sequential_p_value(FIVE, z) == pytest.approx(alpha, rel=0.01)


def test_a_p_value_keeps_the_smallest_of_all_looks() -> None:
    early = sequential_p_value([0.5, 1.0], [3.0, 0.0])
    assert early == sequential_p_value([0.5], [3.0]) < 0.05


@pytest.mark.parametrize("information", [[], [0.0, 1.0], [0.5, 0.5], [0.7, 0.2]], ids=str)
def test_information_that_does_not_ascend_is_refused(information: list[float]) -> None:
    with pytest.raises(DataError, match="ascend"):
        boundaries(information)


def test_an_impossible_alpha_or_spending_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        boundaries([1.0], 1.0)
    with pytest.raises(ConfigurationError, match="pocock"):
        boundaries([1.0], 0.05, "pocok")  # type: ignore[arg-type]


def test_the_sequence_is_narrowest_where_it_was_tuned() -> None:
    def relative(n: float, at: float) -> float:
        return anytime_reach(n, best_rho(at)) / anytime_reach(n, best_rho(n))

    for n in (500, 5_000, 50_000):
        assert relative(n, 5_000) >= 1.0 - 1e-3
        assert min((1_000, 5_000, 25_000), key=lambda at: anytime_reach(5_000, best_rho(at))) == 5_000


def test_the_sequences_p_value_and_interval_agree() -> None:
    rho = best_rho(1_000, 0.05)
    for alpha in (0.2, 0.01):
        assert anytime_p_value(anytime_reach(300, rho, alpha), 300, rho) == pytest.approx(alpha)
    assert anytime_p_value(0.0, 300, rho) == 1.0
    assert anytime_reach(0, rho) == np.inf


def test_the_sequence_errs_seldom_over_many_looks() -> None:
    n, runs, rng = np.arange(20, 2_001, 20), 2_000, np.random.default_rng(11)
    sums = np.cumsum(rng.normal(0, np.sqrt(20), (runs, len(n))), axis=1)
    rho = best_rho(1_000)
    reach = np.array([anytime_reach(float(one), rho) for one in n])
    assert (np.abs(sums / np.sqrt(n)) > reach).any(axis=1).mean() <= 0.05
