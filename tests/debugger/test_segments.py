"""Which segment carries a drop: single segments and combinations, corrected for how many were looked at."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.debugger import find_segment
from recokit.errors import DataError


def users(n: int, seed: int) -> dict[str, list[str]]:
    random = np.random.default_rng(seed)
    return {
        "country": random.choice(["NL", "DE", "FR"], n).tolist(),
        "device": random.choice(["app", "web"], n).tolist(),
        "cohort": random.choice(["old", "new"], n).tolist(),
    }


@pytest.mark.parametrize(
    "where",
    [
        {"country": "DE"},
        {"device": "app", "cohort": "new"},
        {"country": "NL", "device": "web", "cohort": "old"},
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_planted_segment_is_found_and_no_other(where: dict[str, str], seed: int) -> None:
    segments = users(400, seed)
    inside = np.all([np.array(segments[name]) == label for name, label in where.items()], axis=0)
    noise = np.random.default_rng(seed + 100).normal(size=400)
    found = find_segment(noise + 2.0 * inside, segments)
    assert found is not None
    assert dict(found.where) == where
    assert found.n == inside.sum()
    assert found.effect == pytest.approx(2.0, abs=0.6)
    assert " and ".join(f"{name}={label}" for name, label in where.items()) in str(found)


def test_noise_is_seldom_blamed_on_a_segment() -> None:
    blamed = [
        find_segment(np.random.default_rng(seed).normal(size=200), users(200, seed)) for seed in range(60)
    ]
    assert sum(found is not None for found in blamed) <= 6  # 5% each, corrected
    shares = [
        find_segment((np.random.default_rng(seed).random(200) < 0.3).astype(float), users(200, seed))
        for seed in range(60)
    ]
    assert sum(found is not None for found in shares) <= 6


def test_what_everyone_has_no_segment_carries() -> None:
    assert find_segment([1.0] * 40, users(40, 0)) is None
    assert find_segment([1.0, 0.0], {"country": ["NL", "DE"]}) is None


def test_users_without_a_label_are_in_no_segment() -> None:
    labels = ["NL"] * 20 + [""] * 20
    found = find_segment([1.0] * 20 + [0.0] * 20, {"country": labels})
    assert found is not None and found.name == "country=NL"
    assert find_segment([0.0] * 20 + [1.0] * 20, {"country": labels}) is None


def test_a_label_for_each_value_is_needed() -> None:
    with pytest.raises(DataError, match="1 labels of 'country'; expected 2"):
        find_segment([0.0, 1.0], {"country": ["NL"]})


def test_the_smallest_segment_is_an_option_and_its_old_name_warns() -> None:
    values, labels = [1.0] * 4 + [0.0] * 16, {"country": ["NL"] * 4 + ["DE"] * 16}
    assert find_segment(values, labels) is None
    found = find_segment(values, labels, min_users=4)
    assert found is not None and found.name == "country=NL"
    with pytest.warns(DeprecationWarning, match="least= is called min_users= now"):
        assert find_segment(values, labels, least=4) == found  # type: ignore[call-arg]


def test_a_segment_is_a_cell_of_at_most_three_dimensions_and_of_the_largest_labels() -> None:
    value = [1.0] * 10 + [0.0] * 30
    four = {
        name: ["x"] * 10 + [("x", "y")[(i >> bit) & 1] for i in range(30)] for bit, name in enumerate("abcd")
    }
    found = find_segment(value, four)
    assert found is not None and len(found.where) == 3
    deep, shallow = find_segment(value, four, depth=4), find_segment(value, four, depth=1)
    assert deep is not None and len(deep.where) == 4 and shallow is not None and len(shallow.where) == 1
    labels = [f"label-{i}" for i in range(60) for _ in range(6)]
    last = find_segment([float(label == "label-59") for label in labels], {"a": labels})
    assert last is None  # the fifty largest, of equal ones the first by name
    labels += ["label-59"]
    found = find_segment([float(label == "label-59") for label in labels], {"a": labels})
    assert found is not None and found.looked_at == 50


def test_the_p_value_is_exact_for_shares_and_corrected_for_the_cells() -> None:
    value = [1.0] * 8 + [0.0] * 2 + [1.0] * 2 + [0.0] * 18
    found = find_segment(value, {"c": ["a"] * 10 + ["b"] * 10 + ["d"] * 10})
    assert found is not None and found.looked_at == 3 and found.n == 10
    assert (found.inside, found.elsewhere) == (0.8, 0.1)
    from math import comb

    chance = sum(comb(10, hits) * comb(20, 10 - hits) for hits in range(8, 11)) / comb(30, 10)
    assert found.p_value == pytest.approx(3 * chance)
    assert find_segment(value, {"c": ["a"] * 10 + ["b"] * 10 + ["d"] * 10}, alpha=2.9 * chance) is None
    graded = find_segment(2 * np.array(value), {"c": ["a"] * 10 + ["b"] * 20})
    spread = np.std(value) * np.sqrt(20 / 29 / 10)
    from scipy.stats import norm

    assert graded is not None and graded.p_value == pytest.approx(2 * norm.sf((0.8 - 1 / 3) / spread))


def test_a_further_dimension_explains_a_twentieth_more() -> None:
    half, rare = ["x"] * 40 + ["y"] * 40, ["u"] * 39 + ["v"] * 41
    whole = find_segment([1.0] * 39 + [0.0] * 41, {"half": half, "other": ["m", "n"] * 40, "rare": rare})
    assert whole is not None and dict(whole.where) == {"rare": "u"}
    half, rare = ["x"] * 80 + ["y"] * 80, ["u"] * 79 + ["v"] + ["u"] * 80
    near = find_segment([1.0] * 79 + [0.0] * 81, {"half": half, "rare": rare})
    assert near is not None and dict(near.where) == {"half": "x"}


@pytest.mark.parametrize(("n", "found"), [(9, False), (10, True), (90, True), (91, False)])
def test_a_segment_has_the_users_asked_for_and_leaves_as_many(n: int, found: bool) -> None:
    inside = np.arange(100) < n
    labels = np.where(inside, "in", "out").tolist()
    segment = find_segment(
        inside + np.random.default_rng(0).normal(size=100) / 50, {"side": labels}, min_users=10
    )
    assert (segment is not None) == found
    if segment is not None:
        assert {(dict(segment.where)["side"], segment.n)} <= {("in", n), ("out", 100 - n)}
