"""LiveEvents: what stages see at once equals what they would see had they been fitted on everything."""

import math
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import recokit as rk
from recokit.data import Dataset, LiveEvents, Requests, UserHistory
from recokit.data.events.index import EventIndex
from recokit.data.events.keyed import Keyspace
from recokit.data.events.layered import LayeredIndex
from recokit.data.events.recent import layered
from recokit.data.state.folder import load_state, save_state
from recokit.errors import ConfigurationError, DataError

HALF_LIVES = (2.0, 40.0)
SPACES = [
    Keyspace(
        ("user",),
        None,
        HALF_LIVES,
        ("value", "weight"),
        (("item", None), ("session", None), ("item.category", 7.0)),
    ),
    Keyspace(("item",), None, HALF_LIVES, ("value",), (("user", None), ("user", 0.5), ("user", 7.0))),
    Keyspace(("user", "item"), None, HALF_LIVES, (), (("session", 7.0),)),
    Keyspace(("user", "item.category"), distinct=(("item", 7.0), ("item", None))),
    Keyspace(("item.category",), "buy", HALF_LIVES),
    Keyspace((), distinct=(("user", 7.0),)),
    Keyspace(("user", "price_band")),
]
ITEMS = {"item_id": [1, 2, 3, 4], "category": ["a", "b", "a", None]}
EVENT = st.tuples(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 60).map(lambda t: t / 2),
    st.sampled_from(["buy", "view"]),
    st.one_of(st.just(math.nan), st.floats(2**-7, 1e4, width=32)),
    st.sampled_from(["s", "t", "u"]),
)
COLUMNS = ("user_id", "item_id", "timestamp", "event", "value", "session_id")


def frame(events):
    return dict(zip(COLUMNS, zip(*events, strict=True), strict=True)) if events else {}


def dataset(events):
    """All users and items are known, and both event types, whatever the events."""
    users = {"user_id": [1, 2, 3]}
    return Dataset.from_frame(frame(events), users=users, items=ITEMS)


def answers(index, t):
    """Every answer to every question about every entity as of t."""
    users, items = np.arange(4).repeat(5), np.tile(np.arange(5), 4)
    when = index.query_times(np.full(len(users), t))
    for space in SPACES:
        first = {"user": users, "item": items, "item.category": items % 3}
        second = {"item": items, "item.category": items % 3, "price_band": 60 + 6 * items}
        if not space.entity:
            view = index[space.name].as_of(when, np.ones_like(users))
        else:
            pair = len(space.entity) == 2
            view = index[space.name].as_of(
                when, first[space.entity[0]], second[space.entity[1]] if pair else None
            )
        whole = [view.count(), view.count(7.0), *view.counts((1.0, 7.0)), view.any, view.last(), view.first()]
        whole += [view.distinct(*distinct) for distinct in space.distinct]
        near = [view.recency(), view.age(), *(view.sum(name) for name in space.sums)]
        near += [view.sum(name, 7.0) for name in space.sums]
        near += [view.decayed(half_life) for half_life in space.half_lives]
        yield space.name, whole, near


@settings(max_examples=80, deadline=None)
@given(
    st.lists(EVENT, min_size=2, max_size=40, unique_by=lambda e: (e[0], e[1], e[2], e[3])),
    st.data(),
    st.integers(0, 64).map(lambda t: t / 2),
)
def test_events_that_come_later_shuffled_and_twice_change_nothing(events, data, t):
    events = [(1, 1, 0.0, "buy", 1.0, "s"), (1, 1, 0.0, "view", 1.0, "s"), *[e for e in events if e[2] > 0]]
    in_base = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))
    base = [event for event, here in zip(events, in_base, strict=True) if here or event[2] == 0]
    later = [event for event in events if event not in base]
    # Some of what the base has comes again, and everything comes twice.
    stream = data.draw(st.permutations([*later, *later, *base[::2]]))
    live = LiveEvents(horizon="100s")
    index = EventIndex.build(dataset(base), SPACES, horizon=100.0)
    place = 0
    while place < len(stream):
        size = data.draw(st.integers(1, len(stream)))
        live.append(frame(stream[place : place + size]))
        place += size
    both = layered(index, live.pin()[1])
    whole = EventIndex.build(dataset(events), SPACES)
    for (name, exact, near), (_, exact_live, near_live) in zip(
        answers(whole, t), answers(both, t), strict=True
    ):
        for expected, found in zip(exact, exact_live, strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=name)
        for expected, found in zip(near, near_live, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=30, unique_by=lambda e: e[:4]), st.integers(0, 30), st.randoms())
def test_history_has_what_came_later_in_the_order_of_time(events, cut, random):
    base, later = events[: cut % len(events) + 1], events[cut % len(events) + 1 :]
    random.shuffle(later)
    live = LiveEvents(horizon="100s")
    stage = UserHistory(live_events=live, max_events=5).fit(dataset(base))
    if later:
        live.append(frame(later + later))
    requests = Requests.build(np.arange(4), now=25.0)
    found = stage.hydrate(requests).ragged
    expected = UserHistory(max_events=5).fit(dataset(events)).hydrate(requests).ragged
    for name in ("history", "owned"):
        np.testing.assert_array_equal(found[name].offsets, expected[name].offsets)
        np.testing.assert_array_equal(found[name].columns["timestamp"], expected[name].columns["timestamp"])
    # Events of one moment keep the order they came in, which differs.
    for user in range(4):
        assert sorted(found["owned"].row(user)) == sorted(expected["owned"].row(user))


DATA = Dataset.from_frame({"user_id": [1, 2], "item_id": [7, 8], "timestamp": [10.0, 20.0]})


def one(user, item, time, **more):
    return {"user_id": [user], "item_id": [item], "timestamp": [time], **{k: [v] for k, v in more.items()}}


def count(live, index, item=1):
    asked = layered(index, live.pin()[1])
    return int(asked["item"].as_of(asked.query_times(np.array([1e9])), np.array([item])).count()[0])


def test_an_event_id_tells_events_apart_that_look_the_same():
    live, index = LiveEvents(), EventIndex.build(DATA, [Keyspace(("item",))], horizon=1e6)
    assert live.append(one(1, 7, 30.0, event_id="a")).accepted == 1
    assert live.append(one(1, 7, 30.0, event_id="b")).accepted == 1
    assert live.append(one(1, 7, 31.0, event_id="b")).repeated == 1
    assert count(live, index) == 3


def test_what_a_refit_knows_is_not_counted_twice():
    live = LiveEvents()
    live.append(one(1, 7, 30.0))
    later = Dataset.from_frame({"user_id": [1, 2, 1], "item_id": [7, 8, 7], "timestamp": [10.0, 20.0, 30.0]})
    old, new = (EventIndex.build(data, [Keyspace(("item",))], horizon=1e6) for data in (DATA, later))
    assert count(live, old) == count(live, new) == 2
    assert live.forget(before=30.5) == 1
    assert len(live) == 0 and count(live, new) == 2
    assert live.append(one(1, 7, 30.0)).late == 1


def test_events_older_than_the_horizon_are_left_out_and_counted():
    live = LiveEvents(horizon="5s")
    live.append(one(1, 7, 12.0))
    live.append(one(2, 7, 16.0))
    index = EventIndex.build(DATA, [Keyspace(("item",))], horizon=5.0)  # until 20: since 15
    assert count(live, index) == 2
    encoded = live.pin()[1].encoded(index.known)
    assert (encoded.late, encoded.repeated, len(encoded.log)) == (1, 0, 1)


def test_memory_is_bounded_and_the_oldest_go_first():
    live = LiveEvents(max_events=3)
    times = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    appended = live.append({"user_id": [1] * 5, "item_id": [7] * 5, "timestamp": times})
    assert appended.accepted == 5 and appended.dropped == 2
    assert sorted(live.pin()[1].events.timestamp.tolist()) == [3.0, 4.0, 5.0]
    # Nobody remembers whether it came before, so it must not be counted again.
    assert live.append(one(1, 7, 1.0)).late == 1


def test_users_and_items_that_the_model_does_not_know_count_where_they_can():
    live, index = (
        LiveEvents(),
        EventIndex.build(DATA, [Keyspace(("item",)), Keyspace(("user",))], horizon=1e6),
    )
    live.append({"user_id": [99, 1], "item_id": [7, 99], "timestamp": [30.0, 31.0]})
    assert count(live, index) == 2
    asked = layered(index, live.pin()[1])
    assert asked["user"].as_of(asked.query_times(np.array([40.0])), np.array([1])).count().tolist() == [2]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (one(1, 7, math.nan), "finite seconds"),
        (one(1, 7, 1e13), "milliseconds"),
        (one(1, 7, 30.0, weight=-1.0), "at least 0"),
        ({"user_id": [1], "timestamp": [1.0]}, "item_id"),
        (one("ann", 7, 30.0), "integers"),
    ],
)
def test_a_bad_frame_changes_nothing(events, expected):
    live = LiveEvents()
    live.append(one(1, 7, 25.0))
    before = live.pin()
    with pytest.raises(DataError, match=expected):
        live.append(events)
    assert live.pin() is before


def test_ids_of_the_wrong_kind_for_a_model_are_refused_before_they_are_taken():
    live, index = LiveEvents(), EventIndex.build(DATA, [Keyspace(("item",))], horizon=1e6)
    layered(index, live.pin()[1])  # a model that reads these events
    with pytest.raises(DataError, match="str ids"):
        live.append(one("ann", "x", 30.0))
    assert len(live) == 0 and live.append(one(1, 7, 30.0)).accepted == 1


def test_options_are_checked():
    with pytest.raises(ConfigurationError, match="max_events=0"):
        LiveEvents(max_events=0)
    with pytest.raises(ConfigurationError, match="horizon"):
        LiveEvents(horizon=-1.0)


def test_requests_see_a_batch_of_events_whole_or_not_at_all():
    live, index = LiveEvents(max_events=10**6), EventIndex.build(DATA, [Keyspace(("item",))], horizon=1e6)
    seen, stop = set(), threading.Event()

    def ask():
        while not stop.is_set():
            seen.add(count(live, index))

    reader = threading.Thread(target=ask)
    reader.start()
    for batch in range(30):
        times = 30.0 + batch * 10 + np.arange(10)
        live.append({"user_id": [1] * 10, "item_id": [7] * 10, "timestamp": times})
    stop.set()
    reader.join()
    assert seen <= {1 + 10 * n for n in range(31)} and count(live, index) == 301


def test_a_pipeline_sees_events_at_once_and_is_saved_without_them(tmp_path):
    market = rk.datasets.make_marketplace(n_users=80, n_items=60, seed=3)
    train, _ = market.dataset.split_at("2025-03-20", horizon="7D")
    live = LiveEvents()
    pipeline = rk.Pipeline(
        [
            rk.candidates.Merge([rk.candidates.History(), rk.candidates.Popular()], limit=60),
            rk.features.Standard(live_events=live),
            rk.rankers.LogisticRegression(),
        ]
    ).fit(train, label_window="7D")
    user = train.user_ids.decode([1])[0]
    now = train.until + 600.0
    before = pipeline.recommend([user], k=5, now=now).ids(0)
    item = next(i for i in train.item_ids.ids.tolist() if i not in before)
    for second in range(20):
        live.append(one(user, item, train.until + second, event="purchase", value=3.0))
    after = pipeline.recommend([user], k=5, now=now).ids(0)
    assert list(after) != list(before)
    pipeline.save(tmp_path / "model")
    loaded = rk.Pipeline.load(tmp_path / "model")
    assert list(loaded.recommend([user], k=5, now=now).ids(0)) == list(before)
    (again,) = [value for value in loaded.live_values().values() if value.name == "events"]
    again.append(
        {
            "user_id": [user] * 20,
            "item_id": [item] * 20,
            "timestamp": train.until + np.arange(20.0),
            "event": ["purchase"] * 20,
            "value": [3.0] * 20,
        }
    )
    assert list(loaded.recommend([user], k=5, now=now).ids(0)) == list(after)


def test_live_events_travel_to_another_process():
    live = LiveEvents(horizon="1D", name="clicks")
    live.append(one(1, 7, 30.0))
    copy = pickle.loads(pickle.dumps(live))
    assert len(copy) == 1 and copy.name == "clicks" and copy.append(one(1, 7, 30.0)).repeated == 1
    assert repr(copy) == "LiveEvents(1 events, name='clicks')"


def test_an_index_that_expects_no_events_says_so():
    index = EventIndex.build(DATA, [Keyspace(("item",), distinct=(("user", None),))])
    with pytest.raises(ConfigurationError, match="horizon"):
        index.with_events(DATA.interactions, ("purchase",))


def test_what_was_made_for_a_model_that_is_gone_is_freed():
    live = LiveEvents()
    live.append(one(1, 7, 30.0))
    index = EventIndex.build(DATA, [Keyspace(("item",))], horizon=1e6)
    assert isinstance(layered(index, live.pin()[1]), LayeredIndex)
    del index
    assert not len(live.pin()[1]._made)


def test_saved_index_takes_events_too(tmp_path):
    index = EventIndex.build(DATA, [Keyspace(("item",), distinct=(("user", None),))], horizon=1e6)
    save_state(tmp_path / "index", index)
    loaded, _ = load_state(tmp_path / "index")
    live = LiveEvents()
    live.append({"user_id": [1, 1, 2], "item_id": [7, 7, 7], "timestamp": [10.0, 30.0, 40.0]})
    assert count(live, loaded) == count(live, index) == 3
