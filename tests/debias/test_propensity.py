"""Examination by place: estimates against a known truth, an independent optimiser, and impossible input."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.optimize import minimize

from recokit.datasets import make_marketplace
from recokit.debias import PositionBias, PositionModel, intervention_harvest, propensity_from_swaps
from recokit.errors import ConfigurationError, DataError, NotFittedError


def clicks(user, item, position, clicked):
    columns = {"user": user, "item": item, "position": position, "clicked": clicked}
    return SimpleNamespace(**{name: np.asarray(column, np.int64) for name, column in columns.items()})


def simulated(n, examination, *, n_items=30, seed=0, lists=None):
    """Impressions of items whose relevance is their own; the first items of a list stand first more often."""
    rng = np.random.default_rng(seed)
    relevance = rng.uniform(0.05, 0.9, n_items + 1)
    item = rng.integers(1, n_items + 1, n)
    skew = relevance[item] if lists is None else lists
    position = 1 + np.minimum(
        (rng.random(n) ** (1 + skew) * len(examination)).astype(int), len(examination) - 1
    )
    clicked = rng.random(n) < np.asarray(examination)[position - 1] * relevance[item]
    return clicks(np.ones(n), item, position, clicked), relevance


@pytest.fixture(scope="module")
def market():
    return make_marketplace(8_000, 300, seed=0)


def log_relevance(market, noise=0.5):
    shown = market.impressions
    scores = np.log(market.relevance(shown.user, shown.item))
    return scores + np.random.default_rng(0).normal(0, noise, len(scores))


def worst(bias, truth):
    return np.abs(bias.examination / truth - 1).max()


# -- against the truth -------------------------------------------------------------------------------


def test_a_scores_bins_find_the_marketplaces_bias_within_5_percent(market):
    model = PositionModel(by="score").fit(market.impressions, score=log_relevance(market))
    assert worst(model.bias_, market.position_bias) < 0.05
    assert model.n_iterations_ < 200


def test_items_alone_leave_the_bias_of_a_personal_policy(market):
    # Favourite categories stand first: an item is more relevant to those who see it high up.
    raw = np.bincount(market.impressions.position, market.impressions.clicked)[1:]
    raw = raw / np.bincount(market.impressions.position)[1:]
    error = worst(PositionModel().fit(market.impressions).bias_, market.position_bias)
    assert error < 0.08 and error < np.abs(raw / raw[0] / market.position_bias - 1).max()


def test_harvested_moves_find_the_marketplaces_bias_within_5_percent(market):
    bias = intervention_harvest(market.impressions)
    assert worst(bias, market.position_bias) < 0.05
    assert 0 < bias.n_unused < len(market.impressions.user)


def test_a_pivot_wastes_moves_and_is_right_all_the_same(market):
    bias = intervention_harvest(market.impressions, method="pivot_one")
    assert worst(bias, market.position_bias) < 0.08


@pytest.mark.parametrize("design", ["with the first", "with the next"])
def test_swaps_find_the_bias_within_5_percent(design):
    rng = np.random.default_rng(4)
    truth = np.arange(1, 6) ** -0.7
    n = 400_000
    low = np.ones(n, np.int64) if design == "with the first" else rng.integers(1, 5, n)
    high = rng.integers(2, 6, n) if design == "with the first" else low + 1
    relevance = np.sort(rng.beta(1, 3, (n, 2)), axis=1)[
        :, ::-1
    ]  # the better item stood higher before the toss
    heads = rng.random(n) < 0.5
    relevance[heads] = relevance[heads][:, ::-1]
    position = np.stack([low, high], axis=1)
    clicked = rng.random((n, 2)) < truth[position - 1] * relevance
    outside = np.ones(3, np.int64)
    bias = propensity_from_swaps(
        np.concatenate([position.ravel(), outside]),
        np.concatenate([clicked.ravel(), outside]),
        np.concatenate([position[:, ::-1].ravel(), 0 * outside]),
    )
    assert worst(bias, truth) < 0.05 and bias.n_unused == 3
    assert np.all(bias.error < 0.02) and bias.error[0] == 0


def test_the_estimate_is_the_most_likely_one():
    shown, _ = simulated(20_000, [1.0, 0.7, 0.35], n_items=6)
    model = PositionModel(tolerance=1e-10).fit(shown)
    cells = np.zeros((6, 3, 2))
    np.add.at(cells, (shown.item - 1, shown.position - 1, shown.clicked), 1)

    def loss(logits):
        examined = 1 / (1 + np.exp(-logits[:3]))
        wanted = 1 / (1 + np.exp(-logits[3:]))
        p = wanted[:, None] * examined
        return -(cells[..., 1] * np.log(p) + cells[..., 0] * np.log1p(-p)).sum()

    best = 1 / (1 + np.exp(-minimize(loss, np.zeros(9), method="BFGS", options={"gtol": 1e-4}).x[:3]))
    np.testing.assert_allclose(model.bias_.examination, best / best[0], rtol=2e-3)


@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_what_is_shown_at_random_is_compared_as_it_is(seed, n_places):
    # One group: the examination is the ratio of the click rates, whatever the estimator.
    rng = np.random.default_rng(seed)
    position = np.concatenate([np.arange(1, n_places + 1)] * 2 + [rng.integers(1, n_places + 1, 200)])
    clicked = np.concatenate([np.ones(n_places), np.zeros(n_places), rng.random(200) < 0.4])
    rate = np.bincount(position, clicked)[1:] / np.bincount(position)[1:]
    shown = clicks(np.ones(len(position)), np.ones(len(position)), position, clicked)
    for bias in (PositionModel(min_shown=1).fit(shown).bias_, intervention_harvest(shown)):
        np.testing.assert_allclose(bias.examination, rate / rate[0], rtol=1e-3)
        np.testing.assert_array_equal(bias.clicks, np.bincount(position, clicked)[1:])


def test_impressions_that_were_not_shown_change_nothing():
    shown, _ = simulated(5_000, [1.0, 0.5], n_items=5)
    more = clicks(*(np.append(getattr(shown, name), [1, 1]) for name in ("user", "item")),
                  np.append(shown.position, [0, 0]), np.append(shown.clicked, [1, 0]))  # fmt: skip
    without, with_them = (PositionModel().fit(part).bias_ for part in (shown, more))
    np.testing.assert_array_equal(without.examination, with_them.examination)
    assert (without.n_unused, with_them.n_unused) == (0, 2)
    assert intervention_harvest(more).n_unused == 2 + intervention_harvest(shown).n_unused


def test_rare_groups_are_left_out_because_they_would_hide_the_bias():
    truth = [1.0, 0.4]
    shown, _ = simulated(40_000, truth, n_items=20_000, lists=0.0)
    hidden = PositionModel(min_shown=1).fit(shown).bias_.examination[1]
    assert hidden > 0.43  # where each item is shown twice, a click is explained by the item
    with pytest.raises(DataError, match="found no item shown 20 times"):
        PositionModel().fit(shown)


# -- the result --------------------------------------------------------------------------------------


def test_a_known_bias_is_scaled_to_the_first_place():
    bias = PositionBias.known([0.8, 0.4])
    assert bias.examination.tolist() == [1.0, 0.5] and len(bias) == 2
    np.testing.assert_array_equal(bias.at(np.array([2, 0, 1])), [0.5, np.nan, 1.0])
    assert "0.500" in repr(bias) and "0.500" in bias._repr_html_()
    assert [row["position"] for row in bias.table()] == [1, 2]


@pytest.mark.parametrize("place", [-1, 3])
def test_a_place_that_nothing_is_known_of_is_an_error(place):
    with pytest.raises(DataError, match=rf"found place {place}; expected 0 to 2") as caught:
        PositionBias.known([1.0, 0.5]).at(np.array([1, place]))
    assert list(caught.value.rows) == [1]


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [1.0, np.nan], [0.0, 1.0]])
def test_examination_must_be_above_zero(values):
    with pytest.raises(DataError), np.errstate(all="ignore"):
        PositionBias.known(values)


# -- bad input ---------------------------------------------------------------------------------------


def test_places_that_nothing_ties_together_are_an_error():
    shown = clicks([1] * 8, [1, 1, 1, 1, 2, 2, 2, 2], [1, 1, 2, 2, 3, 3, 4, 4], [1, 0] * 4)
    with pytest.raises(DataError, match="found nothing that ties place 3 to the first one"):
        PositionModel(min_shown=1).fit(shown)
    with pytest.raises(DataError, match="ties place 3"):
        intervention_harvest(shown)
    with pytest.raises(DataError, match="ties place 3"):
        propensity_from_swaps(shown.position, shown.clicked, np.array([2, 2, 1, 1, 4, 4, 3, 3]))


def test_a_place_without_clicks_is_an_error():
    shown = clicks([1] * 4, [1] * 4, [1, 1, 2, 2], [1, 0, 0, 0])
    with pytest.raises(DataError, match="found no click on place 2 among 4 impressions"):
        PositionModel(min_shown=1).fit(shown)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clicked": np.array([1, 0])}, "found .*clicks for .*places"),
        ({"clicked": np.array([1, 0, 2])}, "found click 2.0; expected 0 or 1"),
        ({"position": np.array([1, 2, -1])}, "places from -1"),
        ({"item": np.array([1, 1])}, "found item for 2 impressions; expected 3"),
    ],
)
def test_malformed_impressions_are_an_error(change, message):
    shown = SimpleNamespace(**{**vars(clicks([1] * 3, [1] * 3, [1, 2, 1], [1, 0, 1])), **change})
    with pytest.raises(DataError, match=message):
        PositionModel(min_shown=1).fit(shown)


def test_swaps_need_another_place():
    with pytest.raises(DataError, match="another place or 0"):
        propensity_from_swaps(np.array([1, 2]), np.array([1, 1]), np.array([1, 1]))


@pytest.mark.parametrize(
    "options", [{"by": "user"}, {"min_shown": 0}, {"n_bins": 0}, {"max_iterations": 0}, {"tolerance": 0.0}]
)
def test_options_are_checked(options):
    with pytest.raises(ConfigurationError, match="found"):
        PositionModel(**options)


@pytest.mark.parametrize("options", [{"method": "chain"}, {"by": "score"}])
def test_harvest_options_are_checked(options):
    with pytest.raises(ConfigurationError, match="found"):
        intervention_harvest(clicks([1], [1], [1], [1]), **options)


def test_scores_go_with_groups_of_scores_only():
    shown, _ = simulated(100, [1.0, 0.5])
    with pytest.raises(ConfigurationError, match="by='item'"):
        PositionModel().fit(shown, score=np.zeros(100))
    with pytest.raises(ConfigurationError, match="by='score'"):
        PositionModel(by="score").fit(shown)
    with pytest.raises(DataError, match="found scores"):
        PositionModel(by="score").fit(shown, score=np.full(100, np.nan))


def test_a_model_has_no_propensities_before_fit():
    with pytest.raises(NotFittedError):
        PositionModel().propensity(np.array([1]))
    shown, _ = simulated(2_000, [1.0, 0.5], n_items=3)
    model = PositionModel().fit(shown)
    np.testing.assert_array_equal(model.propensity(shown.position), model.bias_.at(shown.position))


# -- edges -------------------------------------------------------------------------------------------


def repeated(counts):
    """Return impressions of (item, position): (shown, clicks)."""
    rows = [
        (item, position, int(turn < clicked))
        for (item, position), (shown, clicked) in counts.items()
        for turn in range(shown)
    ]
    item, position, clicked = map(np.array, zip(*rows, strict=True))
    return clicks(np.arange(len(rows)) % 3 + 1, item, position, clicked)


def test_a_group_shown_just_often_enough_counts():
    enough = repeated({(1, 1): (10, 4), (1, 2): (10, 2), (2, 1): (10, 9), (2, 2): (9, 9)})
    bias = PositionModel().fit(enough).bias_
    assert bias.examination == pytest.approx([1.0, 0.5]) and bias.n_unused == 19
    assert bias.shown.tolist() == [10, 10] and bias.clicks.tolist() == [4, 2]


def test_iterations_end_at_the_tolerance_or_the_limit():
    shown, _ = simulated(4_000, [1.0, 0.6, 0.3], n_items=5)
    exact, loose = PositionModel(tolerance=1e-9).fit(shown), PositionModel(tolerance=1e-3).fit(shown)
    assert 1 < loose.n_iterations_ < exact.n_iterations_ < 2000
    short = PositionModel(max_iterations=3, tolerance=1e-9).fit(shown)
    assert short.n_iterations_ == 3
    assert PositionModel().fit(shown).bias_.examination == pytest.approx(exact.bias_.examination, abs=1e-4)


def test_bins_hold_equally_many_scores():
    shown, _ = simulated(3_000, [1.0, 0.5], n_items=5)
    score = np.arange(3_000.0)
    model = PositionModel(by="score", n_bins=10, min_shown=300)
    assert model.fit(shown, score=score).bias_.n_unused == 0
    with pytest.raises(DataError, match="found no score shown 301 times"):
        PositionModel(by="score", n_bins=10, min_shown=301).fit(shown, score=score)


def test_pairs_and_items_are_different_groups():
    item = clicks([1, 1, 2, 2], [5, 5, 5, 5], [1, 2, 1, 2], [1, 0, 1, 1])
    assert PositionModel(min_shown=4).fit(item).bias_.examination == pytest.approx([1.0, 0.5])
    with pytest.raises(DataError, match="found no pair shown 3 times"):
        PositionModel(by="pair", min_shown=3).fit(item)
    assert PositionModel(by="pair", min_shown=2).fit(item).bias_.n_unused == 0


def test_harvest_weighs_each_thing_alike_however_often_it_was_shown():
    shown = repeated({(1, 1): (100, 50), (1, 2): (10, 1), (2, 1): (10, 5), (2, 2): (100, 30), (3, 2): (7, 7)})
    bias = intervention_harvest(shown, by="item")
    # Rates .5 and .5 in the first place, .1 and .3 in the second: things count once each.
    assert bias.examination == pytest.approx([1.0, 0.4], rel=1e-3) and bias.n_unused == 7
    assert bias.shown.tolist() == [110, 117] and bias.clicks.tolist() == [55, 38]


def test_a_pivot_leaves_out_pairs_without_the_first_place():
    counts = {
        (1, 1): (20, 10),
        (1, 2): (20, 5),
        (2, 2): (20, 10),
        (2, 3): (20, 10),
        (3, 1): (20, 10),
        (3, 3): (20, 2),
    }
    pivot, pairs = (
        intervention_harvest(repeated(counts), by="item", method=m) for m in ("pivot_one", "all_pairs")
    )
    assert pivot.examination == pytest.approx([1.0, 0.5, 0.2], rel=1e-3)
    assert pairs.examination[2] > pivot.examination[2]


def test_swaps_count_only_the_experiment():
    position = np.array([1, 2, 1, 2, 2, 0, 1])
    partner = np.array([2, 1, 2, 1, 0, 1, 0])
    bias = propensity_from_swaps(position, np.array([1, 0, 1, 1, 1, 0, 0]), partner)
    assert bias.examination == pytest.approx([1.0, 0.5]) and bias.n_unused == 3
    assert bias.shown.tolist() == [2, 2] and bias.clicks.tolist() == [2, 1]


def test_errors_and_table_of_a_bias():
    bias = PositionBias(np.array([1.0, 0.5]), np.array([40.0, 50.0]), np.array([20.0, 10.0]), 3)
    assert bias.error == pytest.approx([0.0, np.sqrt(1 / 10 + 1 / 20)])
    assert bias.table()[1] == {
        "position": 2,
        "examination": 0.5,
        "error": pytest.approx(0.5 * np.sqrt(0.15)),
        "shown": 50.0,
        "clicks": 10.0,
    }
    assert len(bias) == 2 and np.isnan(bias.at(np.array([0]))[0]) and bias.at(np.array([2])).tolist() == [0.5]
    for place in (-1, 3):
        with pytest.raises(DataError, match=f"found place {place}; expected 0 to 2"):
            bias.at(np.array([1, place]))
    assert repr(PositionBias.known([2.0, 1.0])) == "PositionBias([1.000, 0.500])"
    assert repr(PositionBias.known(np.ones(11))).endswith("1.000, ...])")
    assert "..." not in repr(PositionBias.known(np.ones(10)))
    with pytest.raises(DataError, match="found no places"):
        PositionBias.known([])
    with pytest.raises(DataError, match=r"found 0\.0 at place 2"):
        PositionBias.known([1.0, 0.0])


def test_the_place_that_is_not_tied_is_named():
    with pytest.raises(DataError, match="ties place 3 to the first"):
        PositionModel(min_shown=1).fit(clicks([1] * 3, [1, 1, 2], [1, 2, 3], [1, 1, 1]))
    with pytest.raises(DataError, match="found no click on place 2"):
        PositionModel(min_shown=1).fit(clicks([1] * 3, [1, 1, 1], [1, 2, 3], [1, 0, 1]))
