"""The generator's truth is the truth: what it says about clicks, propensities and stock is what its log shows."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.data import DAY, timestamp
from recokit.datasets import make_marketplace
from recokit.datasets._world import CATEGORIES, draw_items, draw_sellers
from recokit.errors import ConfigurationError

START = timestamp("2025-01-01")


@pytest.fixture(scope="module")
def market():
    return make_marketplace(2_000, 300, seed=3)


def test_the_same_seed_gives_the_same_marketplace():
    one, again, other = (make_marketplace(100, 50, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(one.dataset.interactions.timestamp, again.dataset.interactions.timestamp)
    assert np.array_equal(one.relevance(3, np.arange(50)), again.relevance(3, np.arange(50)))
    assert not np.array_equal(one.relevance(3, np.arange(50)), other.relevance(3, np.arange(50)))


def test_columns(market):
    data = market.dataset
    assert set(data.users.names) == {"country", "device", "age"}
    assert set(data.items.names) == {
        "price", "age_restricted", "recalled", "consumable", "sponsored", "seller_rating", "seller_fulfilment_days",
        "seller_return_rate", "category", "seller", "launched_at", "text",
    }  # fmt: skip
    for flag, least, most in (
        ("recalled", 0.001, 0.06),
        ("sponsored", 0.01, 0.12),
        ("age_restricted", 0.03, 0.3),
    ):
        assert least < data.items.column(flag)[1:].mean() < most
    assert data.items.column("text")[1].split()[-1] in data.items.labels("category").ids
    assert data.user_ids.encode(["user-1", "user-2000"]).tolist() == [1, 2_000]
    assert np.isnan(data.items.numeric[0]).all() and np.isnan(data.users.numeric[0]).all()


def test_events_follow_the_hierarchy_and_their_impression(market):
    log, shown = market.dataset.interactions, market.impressions
    assert log.event_names == ("view", "click", "add_to_cart", "purchase")
    assert (np.diff(log.timestamp) >= 0).all()
    assert log.timestamp[0] >= START and log.timestamp[-1] < START + 90 * DAY + 200
    led = log.impression > 0
    source = log.impression[led] - 1
    for name in ("user", "item", "position", "propensity", "session"):
        assert np.array_equal(getattr(log, name)[led], getattr(shown, name)[source])
    assert (log.timestamp[led] >= shown.timestamp[source]).all()
    counts = np.bincount(log.event[led])
    assert (np.diff(counts) < 0).all() and counts[-1] > 500
    clicked = np.zeros(len(shown.user), bool)
    clicked[log.impression[led & (log.event == 1)] - 1] = True
    assert np.array_equal(clicked, shown.clicked)
    for stronger in (1, 2, 3):
        before = set(log.impression[led & (log.event == stronger - 1)].tolist())
        assert set(log.impression[led & (log.event == stronger)].tolist()) <= before
    bought = log.event == 3
    assert np.array_equal(log.value[bought], market.dataset.items.column("price")[log.item[bought]])
    assert np.isnan(log.value[~bought]).all()


def test_only_consumables_are_bought_again(market):
    log = market.dataset.interactions.of("purchase")
    _, first, times = np.unique(log.user * 1_000 + log.item, return_index=True, return_counts=True)
    consumable = market.dataset.items.column("consumable")[log.item[first]] == 1
    assert times[~consumable].max() == 1
    assert times[consumable].max() > 2
    again = log.impression == 0
    assert again.any() and np.isnan(log.propensity[again]).all() and (log.position[again] == 0).all()


def test_clicks_are_position_bias_times_relevance(market):
    shown = market.impressions
    chance = market.position_bias[shown.position - 1] * market.relevance(shown.user, shown.item)
    for group in (shown.position, np.digitize(chance, [0.01, 0.03, 0.1, 0.3])):
        expected, found = np.bincount(group, chance), np.bincount(group, shown.clicked)
        deviation = np.sqrt(np.bincount(group, chance * (1 - chance)))
        seen = deviation > 0
        assert (np.abs(found - expected)[seen] < 4 * deviation[seen]).all()


def test_propensities_are_those_of_the_policy(market):
    # Weighted by 1 / propensity, each place shows every item that is available, except those above, once.
    small = make_marketplace(3_000, 20, seed=1, days=2, positions=3)
    shown = small.impressions
    day = ((shown.timestamp - START) // DAY).astype(int)
    for d in (0, 1):
        available = (small.stock_at(START + d * DAY)[1:] > 0).sum()
        for position in (1, 2, 3):
            weight = 1 / shown.propensity[(day == d) & (shown.position == position)]
            error = weight.std() / np.sqrt(len(weight))
            assert abs(weight.mean() - (available - position + 1)) < 4 * error
    assert (market.impressions.propensity > 0).all() and (market.impressions.propensity <= 1).all()


def test_lists_show_each_item_once_launched_and_in_stock(market):
    shown = market.impressions
    pairs = shown.session * 1_000 + shown.item
    assert len(np.unique(pairs)) == len(pairs)
    day = ((shown.timestamp - 3.0 * (shown.position - 1) - START) // DAY).astype(int)
    stock = np.stack([market.stock_at(START + d * DAY) for d in range(90)])
    assert (stock[day, shown.item] > 0).all()
    assert (np.diff(shown.session) >= 0).all() and shown.position.max() == 10


def test_stock_runs_out_and_comes_back(market):
    stock = np.stack([market.stock_at(START + d * DAY) for d in range(0, 90)])
    launched = market.dataset.items.column("launched_at")
    assert (stock[:, 0] == 0).all() and stock.min() == 0 and stock.dtype == np.int64
    for d in (0, 45):
        assert (stock[d, 1:][launched[1:] > START + d * DAY] == 0).all()
    old = np.flatnonzero(launched[1:] < START) + 1
    out = (stock[:, old] == 0).mean()
    assert 0.02 < out < 0.2
    ran_out = (stock[:-1, old] > 0) & (stock[1:, old] == 0)
    came_back = (stock[:-1, old] == 0) & (stock[1:, old] > 0)
    assert ran_out.sum() > 20 and came_back.sum() > 20
    assert np.array_equal(market.stock_at("2025-02-01"), stock[31])


def test_relevance_is_a_probability_for_any_shape_and_code(market):
    matrix = market.relevance(np.arange(5)[:, None], np.arange(4))
    assert matrix.shape == (5, 4) and (matrix > 0).all() and (matrix < 1).all()
    assert matrix[3, 2] == market.relevance(3, 2)
    assert market.relevance([], []).shape == (0,)
    everyone = market.relevance(np.arange(1, 2_001)[:, None], np.arange(1, 301))
    assert 0.05 < everyone.mean() < 0.3


def test_relevance_is_personal_and_follows_content(market):
    everyone = market.relevance(np.arange(1, 2_001)[:, None], np.arange(1, 301))
    best_for_all = np.argsort(-everyone.mean(axis=0))[:10]
    best_for_each = np.argsort(-everyone, axis=1)[:, :10]
    assert np.take_along_axis(everyone, best_for_each, axis=1).mean() > 1.5 * everyone[:, best_for_all].mean()
    category = market.dataset.items.column("category")[1:]
    of_favourites = category[best_for_each]
    _, share = np.unique(of_favourites[0], return_counts=True)
    distinct = np.mean([len(np.unique(row)) for row in of_favourites[:200]])
    assert distinct < len(np.unique(category)) - 2 and share.max() > 1


def test_sellers_are_known_by_code(market):
    items, sellers = market.dataset.items, market.sellers
    seller = items.column("seller")
    assert np.allclose(items.column("seller_rating")[1:], sellers.rating[seller[1:]].astype(np.float32))
    assert np.isnan(sellers.rating[0]) and len(sellers.rating) == len(items.labels("seller")) + 1
    assert sellers.rating[1:].min() >= 1 and sellers.rating[1:].max() <= 5
    assert ((sellers.return_rate[1:] > 0) & (sellers.return_rate[1:] < 1)).all()
    assert np.corrcoef(sellers.rating[1:], sellers.fulfilment_days[1:])[0, 1] < -0.3


def test_some_users_never_come(market):
    active = np.unique(market.dataset.interactions.user)
    assert 1_800 < len(active) < 2_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_users": 0}, "found n_users=0; expected a whole number of at least 1"),
        ({"n_items": 5}, "found n_items=5; expected a whole number of at least 20"),
        ({"days": 0}, "found days=0"),
        ({"sessions_per_user": 0}, "sessions_per_user=0"),
        ({"positions": 0}, "found positions=0"),
    ],
)
def test_impossible_marketplaces(options, message):
    with pytest.raises(ConfigurationError, match=message):
        make_marketplace(**{"n_users": 10, "n_items": 20, **options})


def test_the_items_of_the_world_are_drawn_as_it_says():
    rng = np.random.default_rng(5)
    sellers = draw_sellers(rng, 50)
    table, factors, quality = draw_items(rng, 20_000, sellers, 1e9, days=90.0)
    numeric = dict(zip(table.numeric_names, table.numeric[1:].T, strict=True))
    age = (1e9 - table.other["launched_at"][1:]) / DAY
    assert np.mean(numeric["recalled"]) == pytest.approx(0.02, abs=0.004)
    assert np.mean(numeric["sponsored"]) == pytest.approx(0.05, abs=0.006)
    assert (quality[1:].mean(), quality[1:].std()) == pytest.approx((0.0, 1.0), abs=0.03)
    category, seller = (table.categorical[name].codes[1:] for name in ("category", "seller"))
    share = np.bincount(category)[1:] / len(category)
    assert share == pytest.approx(np.full(len(CATEGORIES), 1 / len(CATEGORIES)), abs=0.02)
    for kind, (median, consumable, adult) in enumerate(CATEGORIES.values(), 1):
        inside = category == kind
        assert np.median(numeric["price"][inside]) == pytest.approx(median, rel=0.1)
        assert np.std(np.log(numeric["price"][inside])) == pytest.approx(0.5, abs=0.05)
        assert set(numeric["consumable"][inside]) == {consumable} and set(
            numeric["age_restricted"][inside]
        ) == {adult}
        # Items of a category lie 0.8 around its centre.
        assert factors[1:][inside].std(axis=0) == pytest.approx(np.full(factors.shape[1], 0.8), abs=0.08)
    sold = np.bincount(seller, minlength=51)[1:]
    weight = 1 / np.arange(1, 51) ** 0.8
    assert sold / sold.sum() == pytest.approx(weight / weight.sum(), abs=0.01)
    assert (numeric["seller_rating"] == sellers[0][seller].astype(np.float32)).all()
    assert not factors[0].any() and quality[0] == 0.0
    assert np.mean(age < 0) == pytest.approx(0.25, abs=0.02)
    assert -90 <= age.min() < -89 and 729 < age.max() <= 730
