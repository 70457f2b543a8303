"""Estimators equal their published definitions, written out place by place in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit import off_policy
from recokit.errors import ConfigurationError
from recokit.off_policy import ESTIMATORS, LoggedRounds

CLOSE = {"rel": 1e-9, "abs": 1e-9}


def lists(seed, n=40, longest=4, *, same=False):
    """Return rounds as lists of dicts, one for each place, and as LoggedRounds in a shuffled order."""
    rng = np.random.default_rng(seed)
    made, columns = [], {}
    for number in range(n):
        length = longest if same else int(rng.integers(1, longest + 1))
        made.append(
            [
                {
                    "reward": rng.normal(),
                    "propensity": rng.uniform(0.05, 1.0),
                    "target": rng.choice([0.0, rng.random()], p=[0.1, 0.9]),
                    "predicted": rng.normal(),
                    "expected": rng.normal(),
                    "expected_next": rng.normal(),
                    "marginal_propensity": rng.uniform(0.05, 1.0),
                    "marginal_target": rng.random(),
                    "round": 7 * number - 3,
                    "position": place + 1,
                }
                for place in range(length)
            ]
        )
    flat = [row for one in made for row in one]
    order = rng.permutation(len(flat))
    columns = {name: np.array([row[name] for row in flat])[order] for name in flat[0]}
    return made, LoggedRounds(**columns)


def whole(one):
    """Return weight, reward, prediction and expectation of a whole list."""
    weight = math.prod(row["target"] / row["propensity"] for row in one)
    return weight, *(sum(row[name] for row in one) for name in ("reward", "predicted", "expected"))


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def written_out(made, limit, shrinkage):
    rounds = [whole(one) for one in made]
    per_list = len(made) / sum(map(len, made))

    def place(row):
        return row["marginal_target"] / row["marginal_propensity"]

    def cascade(one):
        weights, product = [], 1.0
        for row in one:
            product *= row["target"] / row["propensity"]
            weights.append(product)
        return weights

    def by_place(weights_of):
        return mean(
            sum(w * row["reward"] for w, row in zip(weights_of(one), one, strict=True)) for one in made
        )

    def normalised(weights_of):
        return by_place(weights_of) / (mean(sum(weights_of(one)) for one in made) * per_list)

    def cascade_dr(one):
        total, above = 0.0, 1.0
        for w, row in zip(cascade(one), one, strict=True):
            total += w * (row["reward"] - row["predicted"]) + above * row["expected_next"]
            above = w
        return total

    weight = mean(w for w, *_ in rounds)
    return {
        "IPS": mean(w * r for w, r, _, _ in rounds),
        "SNIPS": mean(w * r for w, r, _, _ in rounds) / weight,
        f"ClippedIPS(max_weight={limit})": mean(min(w, limit) * r for w, r, _, _ in rounds),
        "DM": mean(v for *_, v in rounds),
        "DR": mean(v + w * (r - q) for w, r, q, v in rounds),
        "SNDR": mean(v + w * (r - q) / weight for w, r, q, v in rounds),
        f"SwitchDR(threshold={limit})": mean(
            v + (w * (r - q) if w <= limit else 0.0) for w, r, q, v in rounds
        ),
        f"DRos(shrinkage={shrinkage})": mean(
            v + shrinkage * w / (w * w + shrinkage) * (r - q) for w, r, q, v in rounds
        ),
        "IIPS": by_place(lambda one: [place(row) for row in one]),
        "SNIIPS": normalised(lambda one: [place(row) for row in one]),
        "RIPS": by_place(cascade),
        "SNRIPS": normalised(cascade),
        "CascadeDR": mean(map(cascade_dr, made)),
        "PseudoInverse": mean(
            (sum(map(place, one)) - len(one) + 1) * sum(row["reward"] for row in one) for one in made
        ),
    }


@given(seed=st.integers(0, 10**6), same=st.booleans(), longest=st.integers(1, 5))
def test_every_estimator_equals_its_definition(seed, same, longest):
    made, rounds = lists(seed, longest=longest, same=same)
    limit, shrinkage = 1.5, 4.0
    options = {
        "ClippedIPS": {"max_weight": limit},
        "SwitchDR": {"threshold": limit},
        "DRos": {"shrinkage": shrinkage},
    }
    found = {}
    for name, cls in ESTIMATORS.items():
        estimator = cls(**options.get(name, {}))
        found[estimator.name] = estimator.parts(rounds).value()
    assert found == {
        name: pytest.approx(v, **CLOSE) for name, v in written_out(made, limit, shrinkage).items()
    }


@given(seed=st.integers(0, 10**6))
def test_for_single_items_the_estimators_of_lists_are_those_of_items(seed):
    rng = np.random.default_rng(seed)
    n = 30
    rounds = LoggedRounds(
        rng.random(n), propensity=rng.uniform(0.1, 1, n), target=rng.random(n),
        predicted=rng.random(n), expected=rng.random(n),
    )  # fmt: skip
    value = {name: cls().parts(rounds).value() for name, cls in ESTIMATORS.items()}
    for same in ("IIPS", "RIPS", "PseudoInverse"):
        assert value[same] == pytest.approx(value["IPS"], **CLOSE)
    for same in ("SNIIPS", "SNRIPS"):
        assert value[same] == pytest.approx(value["SNIPS"], **CLOSE)
    assert value["CascadeDR"] == pytest.approx(value["DR"], **CLOSE)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name not in ("DM", "ClippedIPS", "DRos")])
def test_a_policy_that_does_what_the_log_did_is_worth_what_it_earned(name):
    _, rounds = lists(3)
    same = rounds.replace(
        target=rounds.propensity, marginal_target=rounds.marginal_propensity,
        expected=rounds.predicted, expected_next=rounds.predicted,
    )  # fmt: skip
    assert ESTIMATORS[name]().parts(same).value() == pytest.approx(rounds.logged.mean(), **CLOSE)


def test_limits_of_infinity_are_no_limits():
    _, rounds = lists(4)
    for limited, plain in (
        (off_policy.ClippedIPS(max_weight=math.inf), off_policy.IPS()),
        (off_policy.SwitchDR(threshold=math.inf), off_policy.DR()),
        (off_policy.DRos(shrinkage=math.inf), off_policy.DR()),
    ):
        assert limited.parts(rounds).value() == pytest.approx(plain.parts(rounds).value(), **CLOSE)


def test_default_limits_are_the_root_of_the_number_of_rounds():
    weight = np.array([3.0, 1.0, 1.0, 1.0]) / 4
    rounds = LoggedRounds(
        np.ones(4), propensity=np.full(4, 0.25), target=weight, predicted=np.zeros(4), expected=np.zeros(4)
    )
    assert off_policy.ClippedIPS().parts(rounds).plain.tolist() == [2.0, 1.0, 1.0, 1.0]
    assert off_policy.SwitchDR().parts(rounds).plain.tolist() == [0.0, 1.0, 1.0, 1.0]
    assert off_policy.DRos().parts(rounds).plain[0] == pytest.approx(3.0 / (9 / 4 + 1))


def test_self_normalised_estimates_do_not_know_a_constant_factor():
    _, rounds = lists(5, longest=1)
    half = rounds.replace(propensity=rounds.propensity / 2)
    for name in ("SNIPS", "SNDR"):
        assert ESTIMATORS[name]().parts(half).value() == pytest.approx(
            ESTIMATORS[name]().parts(rounds).value(), **CLOSE
        )


@pytest.mark.parametrize("name", ["DM", "DR", "SNDR", "SwitchDR", "DRos", "CascadeDR"])
def test_estimators_with_a_model_say_what_they_lack(name):
    rounds = LoggedRounds([1.0], propensity=[0.5], target=[0.5])
    with pytest.raises(ConfigurationError, match=f"which {name} needs.*hint: ItemReward"):
        ESTIMATORS[name]().parts(rounds)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_limits_are_above_zero(bad):
    for cls, option in (("ClippedIPS", "max_weight"), ("SwitchDR", "threshold"), ("DRos", "shrinkage")):
        with pytest.raises(ConfigurationError, match=f"found {option}="):
            ESTIMATORS[cls](**{option: bad})


def test_nothing_is_fitted_and_inputs_stay_as_they_were():
    _, rounds = lists(6)
    before = {name: np.array(value) for name, value in vars(rounds).items() if isinstance(value, np.ndarray)}
    for column in before:
        getattr(rounds, column).setflags(write=False)
    first = {name: cls().parts(rounds).value() for name, cls in ESTIMATORS.items()}
    assert {name: cls().parts(rounds).value() for name, cls in ESTIMATORS.items()} == first
    for name, column in before.items():
        np.testing.assert_array_equal(getattr(rounds, name), column)


@pytest.mark.parametrize(
    ("range_", "bounds"), [((-1.0, 2.0), (-3.0, 6.0)), ((0.5, 2.0), (0.0, 6.0)), ((-2.0, -1.0), (-6.0, 0.0))]
)
def test_a_clipped_reward_lies_between_zero_and_the_limit_times_the_range(range_, bounds):
    _, rounds = lists(3)
    parts = off_policy.ClippedIPS(max_weight=3.0).parts(rounds, range_)
    assert parts.bounds == bounds
    assert off_policy.ClippedIPS(max_weight=3.0).parts(rounds).bounds is None
