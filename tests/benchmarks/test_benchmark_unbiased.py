"""The benchmark of bias correction in small: corrected rankers come closer to the truth than those of raw clicks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.unbiased import biased_log, coat, interval, recovered


@pytest.fixture(scope="module")
def levels():
    return recovered(biased_log(2_000))


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", ["inverse propensity", "inverse propensity, as labels", "place as a feature", "doubly robust"]
)
def test_most_of_what_position_bias_costs_is_won_back(levels, way):
    low, high = levels["clicks as they are"], levels["what was wanted"]
    assert high - low > 0.015
    assert (levels[way] - low) / (high - low) > 0.6


@pytest.mark.slow
def test_weighed_ratings_order_random_items_better(data_dir):
    found = coat(data_dir / "coat", 3)
    difference = found["inverse propensity"] - found["as they are"]
    assert interval(difference)[0] > 0.001
    assert found["as they are"].mean() > 0.62


def test_an_interval_is_that_of_student():
    mean, low, high = interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2.0 and high - mean == pytest.approx(mean - low) == pytest.approx(
        4.3027 / np.sqrt(3), rel=1e-4
    )
