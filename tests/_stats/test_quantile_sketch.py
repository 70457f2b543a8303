"""QuantileSketch against sorted values, whole and merged."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit.data import load_state, save_state
from recokit.errors import ConfigurationError
from recokit.monitoring import QuantileSketch

SHARES = (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
DRAWS = {
    "lognormal": lambda rng, n: np.exp(rng.normal(-5, 1, n)),
    "uniform": lambda rng, n: rng.uniform(0.001, 0.2, n),
    "pareto": lambda rng, n: 0.002 * (1 + rng.pareto(1.5, n)),
    "two modes": lambda rng, n: np.where(rng.random(n) < 0.7, rng.normal(0.01, 0.001, n), rng.normal(0.5, 0.05, n)),
}  # fmt: skip


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("name", DRAWS)
def test_quantiles_are_within_one_percent(name: str, parts: int) -> None:
    values = DRAWS[name](np.random.default_rng(3), 20_000)
    sketch = QuantileSketch()
    for part in np.array_split(values, parts):
        one = QuantileSketch()
        for value in part.tolist():
            one.add(value)
        sketch.merge(one)
    exact = np.quantile(values, SHARES)
    np.testing.assert_allclose(sketch.quantiles(SHARES), exact, rtol=0.01)
    assert sketch.count == len(values)
    assert sketch.sum == pytest.approx(values.sum())


@given(
    st.lists(st.floats(1e-6, 900), min_size=1, max_size=60),
    st.floats(0, 1),
    st.sampled_from([0.001, 0.01, 0.1]),
)
def test_a_quantile_is_near_the_value_of_its_rank(values: list[float], share: float, error: float) -> None:
    sketch = QuantileSketch(relative_error=error)
    sketch.add_many(values)
    true = sorted(values)[math.floor(share * (len(values) - 1))]
    assert sketch.quantile(share) == pytest.approx(true, rel=error * 1.0001)


@given(st.lists(st.floats(0, 2000), max_size=40), st.lists(st.floats(0, 2000), max_size=40))
def test_merging_is_the_same_as_adding(left: list[float], right: list[float]) -> None:
    both, merged, other = QuantileSketch(), QuantileSketch(), QuantileSketch()
    both.add_many([*left, *right])
    merged.add_many(left)
    other.add_many(right)
    merged.merge(other)
    np.testing.assert_equal(merged.quantiles(SHARES), both.quantiles(SHARES))


@given(st.lists(st.sampled_from([0.001, 0.004999, 0.005, 0.005001, 0.01, 0.02, 5.0]), max_size=50))
def test_counts_at_edges_are_exact(values: list[float]) -> None:
    edges = (0.005, 0.01, 0.015)
    sketch = QuantileSketch(edges=edges)
    for value in values:
        sketch.add(value)
    assert sketch.cumulative(edges) == [sum(value <= edge for value in values) for edge in edges]


def test_memory_is_bounded() -> None:
    sketch = QuantileSketch()
    rng = np.random.default_rng(0)
    for _ in range(50):
        sketch.add_many(10.0 ** rng.uniform(-9, 6, 10_000))
    assert len(sketch.state()["at"]) <= 2_100
    assert sketch.quantile(0.0) < 1e-8
    assert sketch.quantile(1.0) > 1e5


def test_what_cannot_be_counted_is_refused() -> None:
    sketch = QuantileSketch()
    with pytest.raises(ValueError, match="NaN"):
        sketch.add(math.nan)
    with pytest.raises(ValueError, match="NaN"):
        sketch.add_many([1.0, math.nan])
    assert sketch.count == 0
    assert math.isnan(sketch.quantile(0.5))
    with pytest.raises(ConfigurationError, match="same options"):
        sketch.merge(QuantileSketch(relative_error=0.1))
    with pytest.raises(ConfigurationError, match="relative_error"):
        QuantileSketch(relative_error=0)
    with pytest.raises(ConfigurationError, match="lowest"):
        QuantileSketch(lowest=2, highest=1)


def test_saved_and_pickled(tmp_path) -> None:
    sketch = QuantileSketch(edges=(0.1,))
    sketch.add_many([0.05, 0.1, 0.3])
    save_state(tmp_path / "sketch", sketch)
    for twin in (load_state(tmp_path / "sketch")[0], pickle.loads(pickle.dumps(sketch))):
        assert twin.quantiles(SHARES) == sketch.quantiles(SHARES)
        twin.merge(sketch)
        assert twin.count == 6
        assert twin.cumulative((0.1,)) == [4]


def test_the_ends_are_exact_beyond_the_range_and_merge() -> None:
    low, high = QuantileSketch(), QuantileSketch()
    low.add(1e-9)
    high.add_many([5e5, 3e-3])
    low.merge(high)
    assert (low.quantile(0.0), low.quantile(1.0)) == (1e-9, 5e5)
    assert (high.quantile(1.0), high.count) == (5e5, 2)
    assert low.sum == pytest.approx(5e5 + 3e-3)


def test_an_empty_twin_has_the_options_and_nothing_else() -> None:
    sketch = QuantileSketch(relative_error=0.1, edges=(0.5,))
    sketch.add_many([0.1, 0.7])
    sketch.add(0.2)
    twin = sketch.empty()
    assert (twin.count, twin.sum, twin.relative_error, twin.edges) == (0, 0.0, 0.1, (0.5,))
    twin.add(0.9)
    assert (twin.count, sketch.count) == (1, 3)
    sketch.merge(twin)
    assert sketch.cumulative((0.5,)) == [2]
    assert sketch.quantile(1.0) == pytest.approx(0.9, rel=0.1)


def test_values_wait_until_there_are_some() -> None:
    sketch = QuantileSketch()
    for value in range(1, 258):
        sketch.add(float(value))
    assert (sketch.count, sketch.sum) == (257, 257 * 258 / 2)


@pytest.mark.parametrize("options", [{"lowest": 0.0}, {"lowest": 1.0, "highest": 1.0}, {"highest": math.inf}])
def test_a_range_starts_above_zero_and_ends(options) -> None:
    with pytest.raises(ConfigurationError, match="expected 0 < lowest < highest"):
        QuantileSketch(**options)


def test_a_state_that_lacks_a_count_is_refused() -> None:
    sketch = QuantileSketch()
    sketch.add_many([0.1, 0.2])
    with pytest.raises(ValueError, match="zip"):
        sketch.load_state({**sketch.state(), "n": [1]})
