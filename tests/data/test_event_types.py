"""Event types: common names are kinds, others are declared, and every log says what its events weigh."""

import numpy as np
import pytest

from recokit.candidates import History, Popular
from recokit.data import Dataset, LiveEvents, Requests, UserHistory, event_weights, kind_of, validate
from recokit.errors import ConfigurationError, DataError


def log(*events, **columns):
    n = len(events)
    return {
        "user": ["ann"] * n,
        "item": np.arange(n),
        "timestamp": np.arange(n) + 1.0,
        "event": list(events),
        **columns,
    }


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            "purchase",
            "purchase transaction Order order_completed buy PURCHASE purchased Product-Bought orderPlaced",
        ),
        ("add_to_cart", "cart addtocart add-to-cart AddToCart ADD_TO_CART add_to_basket begin_checkout"),
        ("click", "click clicks Clicked product_clicked select_item tap"),
        ("view", "view pageview page_view PageView detail-page-view view_item pv ProductViewed"),
        ("impression", "impression impressions exposure shown view_item_list"),
        ("like", "like favorite add_to_wishlist thumbs_up fav bookmark"),
        ("dislike", "dislike thumbs_down not_interested skip hide"),
        ("remove_from_cart", "remove_from_cart removefromcart RemoveFromCart cart_remove"),
        (
            "refund",
            "refund return returned order_cancelled Order Refunded".replace(
                "Order Refunded", "OrderRefunded"
            ),
        ),
    ],
)
def test_common_names_are_kinds(kind, names):
    assert {name: kind_of(name) for name in names.split()} == dict.fromkeys(names.split(), kind)


def test_a_shops_own_names_weigh_what_they_mean():
    data = Dataset.from_frame(
        log("view", "cart", "transaction", "impression", "dislike", "remove_from_cart", "refund")
    )
    weight = {one.name: (one.lowest, one.role) for one in data.event_types}
    assert weight == {
        "view": (0.1, "signal"),
        "cart": (0.5, "signal"),
        "transaction": (1.0, "signal"),
        "impression": (0.0, "shown"),
        "dislike": (0.0, "negative"),
        "remove_from_cart": (0.0, "negative"),
        "refund": (0.0, "negative"),
    }
    assert data.interactions.event_names[-1] == "transaction"  # weakest first


def test_an_unknown_name_is_an_error_that_shows_what_to_write():
    with pytest.raises(DataError, match=r"event_weights=\{'snooze': 1\.0, 'teleport': 1\.0\}"):
        Dataset.from_frame(log("view", "teleport", "snooze"))
    data = Dataset.from_frame(log("view", "teleport", "snooze"), event_weights={"teleport": 2, "snooze": 0})
    assert repr(data).endswith("; snooze 0 (seen); view 0.1 (signal); teleport 2 (signal))")


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_are_finite_and_not_negative(weight):
    with pytest.raises(DataError, match="0 for events that"):
        Dataset.from_frame(log("view"), event_weights={"view": weight})


def test_the_weight_of_a_kind_is_that_of_its_names():
    assert event_weights(["order", "click"], {"purchase": 5.0}) == {"order": 5.0, "click": 0.2}
    assert event_weights(["order"], {"purchase": 5.0, "order": 3.0}) == {"order": 3.0}


def test_a_weight_column_does_not_make_signals_of_impressions():
    frame = log("impression", "dislike", "transaction", "teleport", weight=[4.0, 1.0, 2.0, 3.0])
    data = Dataset.from_frame(frame)
    assert {one.name: one.highest for one in data.event_types} == {
        "impression": 0.0,
        "dislike": 0.0,
        "transaction": 2.0,
        "teleport": 3.0,
    }
    assert Dataset.from_frame(frame, event_weights={"impression": 1.0}).interactions.weight.tolist() == [
        4,
        0,
        2,
        3,
    ]


def test_live_events_read_names_as_the_log_does():
    data = Dataset.from_frame(log("view", "order", "order"))
    live = LiveEvents()
    with pytest.raises(DataError, match="teleport"):
        live.append(log("teleport"))
    live.append(
        {"user": ["ann", "ann"], "item": [0, 1], "timestamp": [50.0, 51.0], "event": ["transaction", "imps"]}
    )
    hydrated = UserHistory(live_events=live).fit(data).hydrate(Requests.build(np.array([1]), now=99.0))
    assert data.item_ids.decode(hydrated.ragged["owned"].row(0)).tolist() == [1, 2, 0]
    assert hydrated.ragged["history"].columns["weight"].tolist() == pytest.approx([0.1, 1, 1, 1, 0])


def test_stages_that_name_events_take_kinds():
    data = Dataset.from_frame(log("pageview", "order", "transaction", "refund"))
    popular = Popular(half_life=None, events=["purchase"]).fit(data)
    assert popular.score_.tolist() == [1.0, 1.0, 0.0, 0.0]
    with pytest.raises(ConfigurationError, match="impression"):
        Popular(events=["impression"]).fit(data)
    assert History(events=["order"]).fit(data).event_codes_.tolist() == [
        data.interactions.event_names.index("order")
    ]


def test_validate_says_what_events_weigh_and_tell():
    check = validate(Dataset.from_frame(log("view", "refund")), now=9.0)["events.types"]
    assert (check.status, check.message) == ("pass", "refund 0 (negative); view 0.1 (signal)")
    assert validate(Dataset.from_frame(log("refund")), now=9.0)["events.types"].status == "fail"
