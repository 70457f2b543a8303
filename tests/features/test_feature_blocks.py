"""Feature blocks: each value equals a naive recomputation from the events strictly before the request's own time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.data import DAY, Candidates, Dataset, Requests, Schema, Table
from recokit.errors import ConfigurationError, NotFittedError
from recokit.features import (
    Calendar,
    Item,
    ItemActivity,
    ItemCategory,
    Price,
    SourceScores,
    Standard,
    User,
    UserActivity,
    UserCategory,
    UserItem,
)
from recokit.testing import toy_dataset

nan = math.nan
EVENT = st.tuples(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 80).map(lambda t: t * DAY / 4),
    st.sampled_from(["buy", "see"]),
    st.one_of(st.just(nan), st.floats(0.25, 1e4, width=32)),
    st.integers(1, 3),
)
NAMES = ("user_id", "item_id", "timestamp", "event", "value", "session_id")
CATEGORY = [None, "a", "b", "a", None]


def dataset(events):
    empty = {name: [] for name in NAMES[:3]}
    columns = dict(zip(NAMES, zip(*events, strict=True), strict=True)) if events else empty
    items = {"item_id": [1, 2, 3, 4], "category": CATEGORY[1:], "price": [1.0, 2.0, nan, 4.0]}
    users = {"user_id": [1, 2, 3], "age": [20, 30, 40], "region": ["n", "s", "n"]}
    # Drawn events may be of one type only: weights of the other would be said to be idle.
    weights = {name: 1.0 for name in ("see", "buy") if name in columns.get("event", ())}
    return Dataset.from_frame(columns, users=users, items=items, event_weights=weights or None)


def batch(rows, now):
    """Candidates of requests given as (user, items)."""
    requests = Requests.build(np.array([user for user, _ in rows], np.int64), now=np.asarray(now, float))
    return Candidates.from_lists([items for _, items in rows], requests=requests)


class Naive:
    """The definition of every feature, in loops over one dataset's events before t."""

    def __init__(self, data, t):
        log = data.interactions
        self.t = t
        self.events = [
            (
                int(log.user[i]),
                int(log.item[i]),
                float(log.timestamp[i]),
                log.event_names[log.event[i]],
                float(log.weight[i]),
                float(log.value[i]),
                int(log.session[i]) if log.session is not None else 0,
            )
            for i in range(len(log))
            if log.timestamp[i] < t
        ]

    def of(self, *, user=None, item=None, category=None, window=None, event=None):
        if user == 0 or item == 0 or (category is None and user is None and item is None):
            return []
        return [
            e
            for e in self.events
            if (user is None or e[0] == user)
            and (item is None or e[1] == item)
            and (category is None or CATEGORY[e[1]] == category)
            and (window is None or e[2] >= self.t - window * DAY)
            and (event is None or e[3] == event)
        ]

    def decayed(self, events, days):
        return math.fsum(e[4] * 2 ** (-(self.t - e[2]) / (days * DAY)) for e in events)

    def recency(self, events):
        return (self.t - max(e[2] for e in events)) / DAY if events else nan

    def age(self, events):
        return (self.t - min(e[2] for e in events)) / DAY if events else nan

    @staticmethod
    def mean_value(events):
        values = [e[5] for e in events if not math.isnan(e[5])]
        return math.fsum(values) / len(values) if values else nan


def band(value):
    """Two bands to each doubling."""
    return math.floor(2 * math.log2(value)) if value > 0 else None


def over(part, whole):
    return part / whole if whole > 0 else nan


def expected(naive, user, item):
    """Features of one candidate by name."""
    u, i, c, n = {"user": user}, {"item": item}, {"category": CATEGORY[item]}, naive
    items, users, pairs = n.of(**i), n.of(**u), n.of(**u, **i)
    label = n.of(**c) if c["category"] else []
    cells = n.of(**u, **c) if c["category"] and user else []
    out = {
        "item_count_1d": len(n.of(**i, window=1)),
        "item_count_6h": len(n.of(**i, window=0.25)),
        "item_decayed_3d": n.decayed(items, 3),
        "item_recency_days": n.recency(items),
        "item_age_days": n.age(items),
        "item_trend_6h_1d": math.log((len(n.of(**i, window=0.25)) + 1) / (len(n.of(**i, window=1)) + 1) * 4),
        "item_users": len({e[0] for e in items}),
        "item_users_1d": len({e[0] for e in n.of(**i, window=1)}),
        "item_buy_users_1d": len({e[0] for e in n.of(**i, window=1, event="buy")}),
        "item_repeat_share": over(len(items) - len({e[0] for e in items}), len(items)),
        "item_buy_count_1d": len(n.of(**i, window=1, event="buy")),
        "item_buy_users": len({e[0] for e in n.of(**i, event="buy")}),
        "user_count_7d": len(n.of(**u, window=7)),
        "user_decayed_3d": n.decayed(users, 3),
        "user_recency_days": n.recency(users),
        "user_tenure_days": n.age(users),
        "user_items": len({e[1] for e in users}),
        "user_repeat_share": over(len(users) - len({e[1] for e in users}), len(users)),
        "user_gap_days": over(n.age(users) - n.recency(users), len(users) - 1) if len(users) > 1 else nan,
        "user_activity": 1 if len(users) < 5 else 2 if len(users) < 50 else 3,
        "user_sessions": len({e[6] for e in users}),
        "user_session_size": over(len(users), len({e[6] for e in users})),
        "user_item_count": len(pairs),
        "user_item_count_1d": len(n.of(**u, **i, window=1)),
        "user_item_decayed_3d": n.decayed(pairs, 3),
        "user_item_decayed_share_3d": over(n.decayed(pairs, 3), n.decayed(users, 3)),
        "user_item_recency_days": n.recency(pairs),
        "user_category_count": len(cells),
        "user_category_share": over(len(cells), len(users)),
        "user_category_decayed_share_3d": over(n.decayed(cells, 3), n.decayed(users, 3)),
        "user_category_recency_days": n.recency(cells),
        "category_count_7d": sum(e[2] >= n.t - 7 * DAY for e in label),
        "item_paid": n.mean_value(items),
        "user_paid": n.mean_value(users),
    }
    out["item_share_in_category_7d"] = over(len(n.of(**i, window=7)), out["category_count_7d"])
    out["item_paid_to_user"] = out["item_paid"] / out["user_paid"]
    paid = [e[5] for e in users if not math.isnan(e[5])]
    spread = (
        math.sqrt(max(math.fsum(x * x for x in paid) / len(paid) - out["user_paid"] ** 2, 0)) if paid else 0
    )
    flat = spread <= 1e-4 * abs(out["user_paid"]) or not paid
    out["item_paid_z"] = nan if flat else (out["item_paid"] - out["user_paid"]) / spread
    like = [x for x in paid if band(x) == band(out["item_paid"])]
    out["user_price_band_share"] = over(len(like), len(paid)) if out["item_paid"] > 0 else nan
    out["item_paid_to_category"] = out["item_paid"] / n.mean_value(label)
    gap = over(n.age(pairs) - n.recency(pairs), len(pairs) - 1) if len(pairs) > 1 else nan
    out["user_item_gap_days"] = gap
    out["user_item_due"] = over(n.recency(pairs), gap)
    return out


def blocks(event):
    found = [
        ItemActivity(windows=("1D", "6h"), half_life="3D"),
        UserActivity(windows=("7D",), half_life="3D"),
        UserItem(windows=("1D",), half_life="3D"),
        UserCategory("category", half_life="3D"),
        ItemCategory("item.category", window="1W"),
        Price(category="category"),
    ]
    return [*found, ItemActivity(windows=("1D",), half_life="3D", event="buy")] if event else found


QUESTION = st.tuples(
    st.integers(0, 3), st.sets(st.integers(1, 4)).map(sorted), st.integers(0, 84).map(lambda t: t * DAY / 4)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, max_size=40), st.lists(QUESTION, max_size=5))
def test_features_equal_a_naive_recomputation(events, questions):
    data = dataset(events)
    candidates = batch([(user, items) for user, items, _ in questions], [t for _, _, t in questions])
    for block in blocks("buy" in data.interactions.event_names):
        values = block.fit(data).featurize(candidates)
        assert values.dtype == np.float32
        assert values.shape == (len(candidates), len(block.names))
        for i in range(len(candidates)):
            naive = expected(Naive(data, candidates.now[i]), int(candidates.user[i]), int(candidates.item[i]))
            for name, value in zip(block.names, values[i], strict=True):
                if name in naive:
                    np.testing.assert_allclose(value, naive[name], rtol=1e-5, err_msg=name)


def test_the_naive_definitions_cover_every_feature():
    defined = expected(Naive(dataset([]), 0.0), 1, 1)
    every_day = {name for block in blocks(event=False) for name in block.names}
    assert every_day <= set(defined)


@settings(max_examples=40, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=40), st.integers(0, 84).map(lambda t: t * DAY / 4))
def test_fitting_on_later_events_does_not_leak(events, t):
    data = dataset(events)
    candidates = batch([(user, [1, 2, 3, 4]) for user in range(4)], np.full(4, t))
    for whole, part in zip(blocks(event=False), blocks(event=False), strict=True):
        a = whole.fit(data).featurize(candidates)
        b = part.fit(data.before(t)).featurize(candidates)
        counts = [
            i for i, name in enumerate(whole.names) if "count" in name or name.endswith(("users", "items"))
        ]
        np.testing.assert_array_equal(a[:, counts], b[:, counts])
        np.testing.assert_allclose(a, b, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=40), st.lists(QUESTION, min_size=1, max_size=5))
def test_a_batch_equals_its_requests_one_by_one(events, questions):
    data = dataset(events)
    candidates = batch([(user, items) for user, items, _ in questions], [t for _, _, t in questions])
    for block in blocks(event=False):
        fitted = block.fit(data)
        whole = fitted.featurize(candidates)
        for b in range(candidates.n_rows):
            alone = fitted.featurize(candidates.take_rows(np.array([b])))
            np.testing.assert_array_equal(alone, whole[candidates.row == b])


def test_an_event_at_the_request_time_is_not_seen():
    data = dataset([(1, 1, DAY, "buy", 5.0, 1)])
    block = UserItem(windows=("1D",)).fit(data)
    at, after = block.featurize(batch([(1, [1]), (1, [1])], [DAY, DAY + 0.001]))[:, :2]
    assert at.tolist() == [0, 0]
    assert after.tolist() == [1, 1]


def test_times_keep_their_precision():
    # Seconds since 1970 in a float32 are off by a minute.
    now = 1.5e9
    data = Dataset.from_frame({"user_id": [1], "item_id": [1], "timestamp": [now - 1.0]})
    block = ItemActivity().fit(data)
    values = dict(zip(block.names, block.featurize(batch([(1, [1])], now))[0], strict=True))
    assert values["item_recency_days"] == pytest.approx(1 / DAY, rel=1e-6)


def test_item_and_user_columns():
    data = dataset([(1, 1, 0.0, "buy", 5.0, 1)])
    candidates = batch([(2, [1, 3]), (0, [4])], 1.0)
    item, user = Item().fit(data).bind(data.schema), User("user.age").bind(data.schema)
    assert item.names == ("item_price",)
    assert user.names == ("user_age",)
    np.testing.assert_array_equal(item.featurize(candidates), np.array([[1], [nan], [4]], np.float32))
    np.testing.assert_array_equal(user.featurize(candidates), np.array([[30], [30], [nan]], np.float32))
    assert Item(["price"]).requires == ("item.price",)
    assert item.freshness() == {"item_price": data.until}


def test_a_subset_of_columns_keeps_its_order():
    table = Table(1, np.array([[0, 0, 0], [1, 2, 3]], np.float32), ("a", "b", "c"))
    data = dataset([(1, 1, 0.0, "buy", 5.0, 1)])
    schema = Schema(data.item_ids, data.user_ids, table, data.users)
    assert Item(("c", "a")).bind(schema).featurize(batch([(1, [1])], 1.0)).tolist() == [[3, 1]]


def test_the_age_of_a_table_is_its_own():
    data = dataset([(1, 1, 0.0, "buy", 5.0, 1)])
    items = Table(
        4,
        data.items.numeric,
        data.items.numeric_names,
        updated_at=np.array([-np.inf, 3.0, 7.0, -np.inf, 5.0]),
    )
    schema = Schema(data.item_ids, data.user_ids, items, data.users)
    assert Item("price").fit(data).bind(schema).freshness() == {"item_price": 7.0}


def sources(**columns):
    n = len(next(iter(columns.values())))
    half = n // 2
    candidates = Candidates.from_lists(
        [list(range(1, half + 1)), list(range(1, n - half + 1)), []],
        columns={name: np.array(values, np.float32) for name, values in columns.items()},
    )
    data = dataset([])
    names = tuple(name.removesuffix("_rank") for name in columns if name.endswith("_rank"))
    schema = Schema(data.item_ids, data.user_ids, data.items, data.users, source_names=names)
    return candidates, SourceScores().bind(schema)


def test_source_scores():
    candidates, block = sources(
        popular_rank=[1, 2, nan, 1, 2, 4],
        popular_score=[90, 30, nan, 7, 7, 7],
        knn_rank=[nan, nan, nan, 3, nan, 1],
        knn_score=[nan, nan, nan, -1, nan, np.inf],
    )
    assert block.names == ("popular_rank", "popular_score", "knn_rank", "knn_score", "source_count")
    expected = [
        [1, 1, 0, nan, 1],
        [0.5, 0, 0, nan, 1],
        [0, nan, 0, nan, 0],
        [1, 1, 1 / 3, 1, 2],
        [0.5, 1, 0, nan, 1],
        [0.25, 1, 1, nan, 2],
    ]
    np.testing.assert_array_equal(block.featurize(candidates), np.array(expected, np.float32))
    assert set(block.freshness().values()) == {np.inf}


def test_one_source_needs_no_count():
    candidates, block = sources(popular_rank=[1, 2], popular_score=[3, 1])
    assert block.names == ("popular_rank", "popular_score")
    assert block.featurize(candidates).shape == (2, 2)


def test_sources_without_candidates():
    _, block = sources(popular_rank=[1, 2], popular_score=[3, 1])
    empty = Candidates.from_lists(
        [[], []], columns={"popular_rank": np.zeros(0), "popular_score": np.zeros(0)}
    )
    assert block.featurize(empty).shape == (0, 2)


def test_no_source_no_feature():
    assert SourceScores().names == ()
    assert SourceScores().featurize(batch([(1, [1, 2])], 0.0)).shape == (2, 0)


def test_calendar():
    # 2017-12-01 was a Friday.
    assert Calendar().featurize(batch([(1, [1, 2])], 1512086400.0 + 13.5 * 3600)).tolist() == [
        [13, 4],
        [13, 4],
    ]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ItemActivity(windows=("7D", "1W")), "distinct"),
        (lambda: ItemActivity(windows="7D"), "'7'"),
        (lambda: UserActivity(half_life="soon"), "'soon'"),
        (lambda: UserItem(windows=(-1.0,)), "-1.0"),
        (lambda: ItemCategory(window="0D"), "'0D'"),
        (lambda: ItemActivity(event="bye").fit(dataset([(1, 1, 0.0, "buy", 5.0, 1)])), "did you mean 'buy'"),
        (lambda: UserCategory("categry").fit(dataset([])), "did you mean 'category'"),
        (lambda: Item("prise").bind(dataset([]).schema), "did you mean 'price'"),
        (lambda: Item("category").bind(dataset([]).schema), "UserCategory"),
    ],
)
def test_wrong_options_are_named(make, named):
    with pytest.raises(ConfigurationError, match=named):
        make()


@pytest.mark.parametrize(
    "block", [ItemActivity(), UserActivity(), UserItem(), UserCategory(), Price(), Item("price")]
)
def test_before_fit(block):
    with pytest.raises(NotFittedError, match=type(block).__name__):
        block.featurize(batch([(1, [1])], 0.0))


def test_names_of_windows():
    names = ItemActivity(windows=(5400, "1W", "36h", 0.5)).names
    assert names[:4] == ("item_count_90min", "item_count_7d", "item_count_36h", "item_count_0.5s")
    assert ItemActivity(windows=("1D",)).fit(dataset([])).featurize(batch([(1, [1])], 0.0)).shape == (
        1,
        6 + 1,
    )


def test_user_attributes_of_a_newcomer_come_with_the_request() -> None:
    data = toy_dataset()
    asked = Requests.build([0, 0, 1], columns={"age": np.array([31.0, None, 99], object)})
    batch = Candidates.from_lists([[1, 2], [1], [1]], requests=asked)
    values = User("age").bind(data.schema).featurize(batch)[:, 0]
    known = data.users.column("age")[1]
    np.testing.assert_array_equal(values, np.array([31, 31, np.nan, known], np.float32))


AGAINST = {
    "user_id": [1] * 6,
    "item_id": [5, 5, 6, 6, 6, 5],
    "timestamp": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0],
    "event": ["view", "purchase", "view", "dislike", "remove_from_cart", "refund"],
}


def test_events_against_an_item_are_no_activity_with_it() -> None:
    data = Dataset.from_frame(AGAINST, items={"item_id": [5, 6], "category": ["a", "b"]})
    batch = Candidates.from_lists([[1, 2]], requests=Requests.build([1], now=100.0))

    def value(block: object, name: str) -> list[float]:
        fitted = block.fit(data)
        return fitted.featurize(batch)[:, list(fitted.names).index(name)].tolist()

    assert value(ItemActivity(windows=("1D",)), "item_count_1d") == [2, 1]
    assert value(UserItem(windows=("1D",)), "user_item_count_1d") == [2, 1]
    assert value(UserCategory("category"), "user_category_share") == pytest.approx([2 / 3, 1 / 3])
    assert value(ItemActivity(windows=("1D",), event="refund"), "item_refund_count_1d") == [
        1,
        0,
    ]  # where named


def test_standard_has_rates_of_what_speaks_against_an_item_and_no_funnel_through_it() -> None:
    rng = np.random.default_rng(0)
    names = ["impression", "view", "addtocart", "transaction", "refund", "remove_from_cart", "thumbs_down"]
    log = {
        "user_id": rng.integers(1, 30, 3_000),
        "item_id": rng.integers(1, 20, 3_000),
        "timestamp": np.sort(rng.uniform(0, 60 * DAY, 3_000)),
        "event": rng.choice(names, 3_000),
    }
    found = Standard().fit(Dataset.from_frame(log))
    rates = {
        name.removeprefix("item_") for name in found.names if name.startswith("item_") and "_per_" in name
    }
    assert rates == {
        "view_per_impression", "addtocart_per_view", "transaction_per_addtocart",
        "refund_per_transaction", "remove_from_cart_per_addtocart", "thumbs_down_per_transaction",
    }  # fmt: skip
