"""What goes into an estimate: lengths, probabilities, places; what cannot be meant is refused with its rows."""

from __future__ import annotations

import numpy as np
import pytest

from recokit import off_policy
from recokit.errors import DataError
from recokit.off_policy import LoggedRounds, estimate


def made(**changes):
    columns = {
        "reward": [1.0, 0.0, 1.0],
        "propensity": [0.5, 0.5, 0.25],
        "target": [0.5, 0.25, 0.5],
        "round": [1, 1, 2],
        "position": [1, 2, 1],
    }
    return LoggedRounds(**{**columns, **changes})


@pytest.mark.parametrize(
    ("changes", "message", "rows"),
    [
        ({"propensity": [0.5, 0.0, 0.25]}, "found propensity 0.0; expected above 0", (1,)),
        ({"propensity": [0.5, 1.5, 0.25]}, "found propensity 1.5; expected above 0 and up to 1", (1,)),
        ({"propensity": [0.5, np.nan, 0.25]}, "found propensity nan.*hint.*frequency_propensity", (1,)),
        ({"target": [0.5, -0.1, 0.5]}, "found target -0.1", (1,)),
        ({"target": [0.5, 0.1, 1.1]}, "found target 1.1", (2,)),
        ({"target": [np.nan, 0.1, 1.0]}, "found target nan", (0,)),
        ({"reward": [1.0, 0.0, np.nan]}, "found reward nan.*hint: leave out rounds", (2,)),
        ({"reward": [np.inf, 0.0, 1.0]}, "found reward inf", (0,)),
        ({"predicted": [0.0, np.nan, 0.0]}, "found predicted nan", (1,)),
        ({"marginal_propensity": [1.0, 0.0, 1.0]}, "found marginal_propensity 0.0", (1,)),
        ({"position": [0, 1, 1]}, "found position 0; expected at least 1", (0,)),
        ({"position": [1, 1, 1]}, "found place 1 twice", (1,)),
        ({"position": [1, 1.5, 1]}, "found position 1.5; expected whole numbers", (1,)),
        ({"cluster": [1, 2, 1]}, "a round in two clusters", (1,)),
        ({"target": [0.5, 0.5]}, r"found target of shape \(2,\); expected \(3,\)", ()),
        ({"reward": [], "propensity": [], "target": [], "round": [], "position": []}, "at least one", ()),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(changes, message, rows):
    with pytest.raises(DataError, match=message) as error:
        made(**changes)
    assert error.value.rows == rows


def test_probabilities_may_be_off_by_rounding():
    rounds = made(propensity=[1.0 + 1e-12, 0.5, 0.25], target=[1.0 + 1e-12, 0.5, 0.5])
    assert len(rounds) == 2


def test_the_order_of_impressions_does_not_count():
    order = [2, 1, 0]
    rounds = made()
    turned = LoggedRounds(
        **{
            name: np.asarray(getattr(rounds, name))[order]
            for name in ("reward", "propensity", "target", "round", "position")
        }
    )
    np.testing.assert_array_equal(turned.list_weight, rounds.list_weight)
    np.testing.assert_array_equal(turned.cascade_weight, rounds.cascade_weight)
    np.testing.assert_array_equal(turned.rewards, [[1.0, 0.0], [1.0, 0.0]])


def test_short_lists_end_without_an_effect():
    rounds = made()
    assert rounds.list_weight.tolist() == [0.5, 2.0]
    assert rounds.cascade_weight.tolist() == [[1.0, 0.5], [2.0, 2.0]]
    assert rounds.place_weight.tolist() == [[1.0, 0.5], [2.0, 1.0]]
    assert rounds.logged.tolist() == [1.0, 1.0] and rounds.width == 2


def test_a_missing_place_is_an_error_only_where_places_above_count():
    rounds = made(position=[1, 3, 1])
    assert off_policy.IIPS().parts(rounds).value() == pytest.approx((1.0 + 2.0) / 2)
    for name in ("RIPS", "SNRIPS"):
        with pytest.raises(
            DataError, match=r"found place 3 without all places above it.*hint: IIPS"
        ) as error:
            estimate(rounds, name, support=None)
        assert error.value.rows == (1,)


def test_without_positions_impressions_are_in_the_order_of_their_places():
    rounds = made(position=None)
    np.testing.assert_array_equal(rounds.cascade_weight, made().cascade_weight)
    assert len(made(position=None, round=None)) == 3


def test_one_round_has_a_value_and_no_interval():
    found = estimate(LoggedRounds([1.0], propensity=[0.5], target=[0.25]), "IPS", support=None)["IPS"]
    assert found.value == 0.5 and np.isnan([found.low, found.high, found.error]).all() and not found.clear


def test_a_target_that_never_does_what_the_log_did():
    rounds = LoggedRounds([1.0, 0.0], propensity=[0.5, 0.5], target=[0.0, 0.0])
    found = estimate(rounds, ["IPS", "SNIPS"], support=None)
    assert found["IPS"].value == 0.0
    assert np.isnan([found["SNIPS"].value, found["SNIPS"].low]).all()
    assert "SNIPS      -" in str(found)


def test_columns_may_be_lists_booleans_or_small_integers():
    rounds = LoggedRounds([True, False], propensity=[1, 1], target=[1, 0], round=np.array([1, 2], np.int32))
    assert rounds.reward.dtype == np.float64 and rounds.round.dtype == np.int64
    assert "2 rounds, 2 impressions" in repr(rounds)
