"""Session stores, the hydrator that reads them, and what a pipeline makes of it."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import recokit as rk
from recokit import candidates, rankers, stores
from recokit._utils.params import get_params
from recokit.data import Dataset, Ragged, Requests, from_state, to_state
from recokit.errors import ConfigurationError, DataError, FeatureUnavailable, NotFittedError
from recokit.trace import Status
from tests.stores.conftest import fake_server, silent

T = 1_700_000_000.0


@pytest.fixture(params=["resident", "redis"])
def make(request):
    """Open a session store of each kind."""
    opened = []

    def open_store(**options):
        if request.param == "resident":
            store = stores.ResidentSessions(**options)
        else:
            store = stores.RedisSessions(request.getfixturevalue("server").url, timeout=5.0, **options)
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        store.close()


def lists(rows):
    """Return the items of each session."""
    return [list(part) for part in np.split(rows.items, rows.offsets[1:-1])]


# -- the contract ------------------------------------------------------------------------------------------------------


def test_reads_each_session_oldest_first(make):
    store = make()
    store.append("ann", 7, event="click", at=T)
    store.append("bob", "x", at=T + 1)
    store.append("ann", 8, at=T + 2)
    store.append("ann", 9, at=T + 1)  # arrives late
    rows = store.recent(["ann", "none", "bob", "ann"], now=T + 10)
    assert lists(rows) == [["7", "9", "8"], [], ["x"], ["7", "9", "8"]]
    assert rows.events[:3].tolist() == ["click", "view", "view"]
    assert rows.timestamps[:3].tolist() == [T, T + 1, T + 2]
    assert not rows.unread.any() and rows.error == "" and len(rows) == 4
    assert store.counts == {"reads": 1, "sessions": 4, "empty": 1, "failed": 0}


def test_is_a_session_store(make):
    assert isinstance(make(), stores.SessionStore)


def test_an_event_at_the_time_of_the_request_is_not_in_it(make):
    store = make()
    store.append(1, 5, at=T)
    store.append(1, 6, at=T + 1)
    rows = store.recent(["1", "1", "1"], now=np.array([T, T + 1, T + 1.5]))
    assert lists(rows) == [[], ["5"], ["5", "6"]]


def test_an_event_sent_twice_stands_there_once(make):
    store = make()
    for _ in range(2):
        store.append("ann", 7, at=T, event_id="e1")
        store.append("ann", 7, at=T + 1, event_id="e2")
        store.append("ann", 8, at=T + 2)
    store.append("ann", 7, at=T + 60, event_id="e1")  # sent again by a clock that moved
    rows = store.recent(["ann"], now=T + 100)
    assert lists(rows) == [["7", "7", "8"]] and rows.timestamps.tolist() == [T, T + 1, T + 2]


def test_the_last_events_are_kept(make):
    store = make(max_events=3)
    store.extend(["ann"] * 6, range(6), events=["view"] * 6, at=T + np.arange(6))
    store.append("ann", 99, at=T - 5)  # older than all that is kept
    assert lists(store.recent(["ann"], now=T + 10)) == [["3", "4", "5"]]


def test_a_session_is_over_some_time_after_its_last_event(make):
    store = make(ttl="30min")
    store.append("ann", 1, at=T)
    store.append("ann", 2, at=T + 1_700)
    assert lists(store.recent(["ann"], now=T + 1_700 + 1_800)) == [["1", "2"]]
    assert lists(store.recent(["ann"], now=T + 1_700 + 1_801)) == [[]]
    assert lists(store.recent(["ann"], now=np.array([T + 1_000, T + 5_000]).max(keepdims=True))) == [[]]


def test_nothing_asked_nothing_added(make):
    store = make()
    store.extend([], [], events=[], at=[])
    rows = store.recent([], now=T)
    assert len(rows) == 0 and rows.offsets.tolist() == [0]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"items": [1]}, "2 keys, 1 items"),
        ({"event_ids": ["a"]}, "1 event ids"),
        ({"at": [T, np.nan]}, "at=nan"),
        ({"keys": ["a", 1]}, "types"),
        ({"items": [1.5, 2.5]}, "float"),
    ],
)
def test_what_cannot_be_added_raises_and_adds_nothing(make, change, found):
    store = make()
    columns = {"keys": ["a", "b"], "items": [1, 2], "events": ["view", "view"], "at": [T, T], **change}
    with pytest.raises(DataError, match=found):
        store.extend(columns.pop("keys"), columns.pop("items"), **columns)
    assert lists(store.recent(["a", "b"], now=T + 1)) == [[], []]


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 10), st.sampled_from("xyz")),
        max_size=25,
    ),
    st.lists(st.integers(-1, 30), min_size=1, max_size=3),
)
def test_both_stores_do_what_a_plain_list_does(shared_server, events, times):
    shared_server.ask("FLUSHALL")
    both = [
        stores.ResidentSessions(max_events=4, ttl="10s"),
        stores.RedisSessions(shared_server.url, max_events=4, ttl="10s", timeout=5.0),
    ]
    kept = {}
    for key, item, when, event_id in events:
        for store in both:
            store.append(key, item, at=when, event_id=event_id)
        session = kept.setdefault(key, {})
        session.setdefault((event_id, item), when)
        last = sorted(session.items(), key=lambda pair: (pair[1], pair[0]))[-4:]
        kept[key] = dict(last)
    for now in times:  # within the time to live of the first event, so that none is forgotten yet
        expected = []
        for key in "ab":
            before = [(item, when) for (_, item), when in kept.get(key, {}).items() if when < now]
            over = not before or now - before[-1][1] > 10
            expected.append([] if over else [str(item) for item, _ in before])
        for store in both:
            assert lists(store.recent(["a", "b"], now=float(now))) == expected
    both[1].close()


def test_threads_append_and_read(make):
    store = make(max_events=1_000)

    def work(worker):
        for turn in range(30):
            store.append("shared", turn, at=T + turn, event_id=f"{worker}-{turn}")
            store.recent(["shared"], now=T + 100)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.recent(["shared"], now=T + 100).items) == 120


def again(store):
    """Return where a store is, as its state does not."""
    place = getattr(store, "url", getattr(store, "path", None))
    return {} if place is None else {type(store).connection_name(get_params(store)): place}


def test_a_copy_reads_the_same(make):
    store = make(ttl="1h", max_events=2)
    store.extend(["a"] * 3, [1, 2, 3], events=["view"] * 3, at=[T, T + 1, T + 2])
    tree, arrays = to_state(store)
    for copy in (pickle.loads(pickle.dumps(store)), from_state(tree, arrays, connections=again(store))):
        assert lists(copy.recent(["a"], now=T + 5)) == [["2", "3"]]
        assert copy.ttl == "1h"
        copy.close()


@pytest.mark.parametrize("options", [{"max_events": 0}, {"ttl": None}, {"ttl": "soon"}])
def test_options_that_cannot_work_raise(make, options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make(**options)


def test_an_old_event_sent_again_much_later_may_end_the_last_session():
    store = stores.ResidentSessions(ttl="10s")
    store.append("ann", 1, at=T, event_id="e")
    store.append("ann", 1, at=T + 11, event_id="e")
    assert len(store) == 0


def test_sessions_in_memory_are_dropped_when_they_are_over():
    store = stores.ResidentSessions(ttl="10s")
    for turn in range(500):
        store.append(f"user-{turn}", 1, at=float(turn))
    assert len(store) <= 12


# -- Redis -------------------------------------------------------------------------------------------------------------


def test_many_sessions_are_one_round_trip_and_every_key_expires(server):
    store = stores.RedisSessions(server.url, ttl="1h", timeout=5.0)
    keys = [f"user-{i}" for i in range(50)]
    store.extend(keys, range(50), events=["view"] * 50, at=T + np.arange(50))
    sent = []
    ask = store._link.ask
    store._link.ask = lambda commands, timeout: sent.append(len(commands)) or ask(commands, timeout)
    assert lists(store.recent(keys, now=T + 60)) == [[str(i)] for i in range(50)]
    assert sent == [50]
    for key in keys:
        assert 3_500_000 < int(server.ask("PTTL", f"session:{key}")[1:-2]) <= 3_600_000


def test_what_is_no_session_is_counted_and_does_not_spoil_the_others(server):
    store = stores.RedisSessions(server.url, timeout=5.0)
    store.append("good", 1, at=T)
    server.ask("SET", "session:text", "x")
    server.ask("ZADD", "session:junk", "1", "{no json")
    server.ask("ZADD", "session:short", "1", '["a","b"]')
    server.ask("ZADD", "session:number", "1", '["a",5,"view"]')
    server.ask("ZADD", "session:bytes", "1", b"\xff\xfe")
    server.ask("ZADD", "session:two", "1", '["a","b","c"],["a","b","c"]')
    server.ask("ZADD", "session:deep", "1", "[" * 5_000)
    server.ask("ZADD", "session:never", "inf", '["a","b","c"]')
    keys = ["text", "good", "junk", "short", "number", "bytes", "two", "deep", "never", "none"]
    rows = store.recent(keys, now=T + 1)
    assert lists(rows) == [[], ["1"], *[[]] * 8]
    assert rows.unread.tolist() == [True, False, *[True] * 7, False]
    assert rows.error and store.counts == {"reads": 1, "sessions": 10, "empty": 1, "failed": 8}


def test_a_silent_server_gives_empty_sessions_in_time():
    with fake_server(silent) as (url, _):
        store = stores.RedisSessions(url, timeout=0.05, write_timeout=0.05)
        rows = store.recent(["ann", "bob"], now=T)
        assert lists(rows) == [[], []] and rows.unread.all() and "no connection in time" in rows.error
        with pytest.raises(FeatureUnavailable, match="in time"):
            store.append("ann", 1, at=T)


# -- RecentSession -----------------------------------------------------------------------------------------------------


@pytest.fixture
def data():
    """Three users; items 1 and 2 go together, as do 3 and 4."""
    pairs = [("ann", 1), ("ann", 2), ("bob", 1), ("bob", 2), ("cat", 3), ("cat", 4), ("dan", 3), ("dan", 4)]
    return Dataset.from_frame(
        {
            "user_id": [user for user, _ in pairs],
            "item_id": [item for _, item in pairs],
            "timestamp": T + 60.0 * np.arange(len(pairs)),
            "event": ["view", "purchase"] * 4,
        }
    )


def session_of(stage, data, users, now, **columns):
    codes = data.user_ids.encode(users)
    requests = Requests.build(
        codes, now=now, columns={name: np.array(c, object) for name, c in columns.items()}
    )
    return stage.fit(data).bind(data.schema).hydrate(requests).ragged["session"]


def test_the_session_has_codes_times_weights_and_event_codes(data):
    store = stores.ResidentSessions()
    now = T + 10_000
    store.extend(
        ["ann"] * 4,
        [4, 999, 2, 3],
        events=["purchase", "view", "wish", "click"],
        at=now - np.array([120, 60, 30, 0]),
    )
    session = session_of(stores.RecentSession(store, half_life="1min"), data, ["bob", "ann"], now)
    assert session.counts.tolist() == [0, 3]
    assert data.item_ids.decode(session.values).tolist() == [4, None, 2]  # unknown to the model, yet an event
    assert session.columns["timestamp"].tolist() == [now - 120, now - 60, now - 30]
    np.testing.assert_allclose(session.columns["weight"], [1 / 4, 0.1 / 2, 0.5 / np.sqrt(2)], rtol=1e-6)
    assert session.columns["weight"].dtype == np.float32
    names = data.interactions.event_names
    assert session.columns["event"].tolist() == [names.index("purchase"), names.index("view"), len(names)]


def test_options_of_the_hydrator(data):
    store = stores.ResidentSessions()
    store.extend(["ann"] * 3, [1, 2, 3], events=["view", "teleport", "view"], at=[T, T + 1, T + 2])
    stage = stores.RecentSession(store, max_events=2, weights={"view": 3.0})
    session = session_of(stage, data, ["ann"], np.array([T + 5]))
    assert data.item_ids.decode(session.values).tolist() == [2, 3]
    assert session.columns["weight"].tolist() == [0.0, 3.0]
    assert stage.fit(data).bind(data.schema).max_events == 2


def test_by_a_context_column(data):
    store = stores.ResidentSessions()
    store.append("s-1", 1, at=T)
    stage = stores.RecentSession(store, by="session_id")
    assert stage.requires == ("context.session_id",)
    session = session_of(stage, data, ["bob"] * 5, T + 1, session_id=["s-1", "", None, np.nan, "s-2"])
    assert session.counts.tolist() == [1, 0, 0, 0, 0]
    assert store.counts["sessions"] == 2  # nobody asks for what has no id
    with pytest.raises(ConfigurationError, match="session_id"):
        session_of(stage, data, ["bob"], T + 1)


def test_item_ids_of_both_kinds():
    store = stores.ResidentSessions()
    ids = ["7", "-3", "007", "7.5", "x", "9" * 30, ""]
    store.extend(["1"] * 7, ids, events=["view"] * 7, at=T + np.arange(7))
    numbers = Dataset.from_frame({"user_id": [1, 1], "item_id": [7, -3], "timestamp": [T, T]})
    texts = Dataset.from_frame({"user_id": ["1", "1"], "item_id": ["007", "x"], "timestamp": [T, T]})
    stage = stores.RecentSession(store)
    found = session_of(stage, numbers, [1], T + 10).values
    assert numbers.item_ids.decode(found).tolist() == [7, -3, None, None, None, None, None]
    found = session_of(stage, texts, ["1"], T + 10).values
    assert texts.item_ids.decode(found).tolist() == [None, None, "007", None, "x", None, None]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"max_events": 0}, "max_events=0"),
        ({"half_life": "soon"}, "soon"),
        ({"store": object()}, "session store"),
    ],
)
def test_options_of_the_hydrator_that_cannot_work_raise(options, found):
    with pytest.raises(ConfigurationError, match=found):
        stores.RecentSession(**{"store": stores.ResidentSessions(), **options})


def test_the_hydrator_needs_a_vocabulary():
    with pytest.raises(NotFittedError, match="bind"):
        stores.RecentSession(stores.ResidentSessions()).hydrate(Requests.build(np.array([1])))


# -- in a pipeline -----------------------------------------------------------------------------------------------------


def ids_of(pipeline, users, **options):
    return [pipeline.recommend(users, k=2, now=T + 5_000, **options).ids(row) for row in range(len(users))]


@pytest.mark.parametrize("source", [candidates.History(), candidates.ItemKNN(n_neighbors=2)])
def test_a_click_changes_the_next_answer(data, source):
    store = stores.ResidentSessions()
    pipeline = rk.Pipeline([stores.RecentSession(store), source]).fit(data)
    before = [list(ids) for ids in ids_of(pipeline, ["ann"])]
    assert not {3, 4} & {*before[0]}
    store.extend(["ann"] * 8, [3] * 8, events=["purchase"] * 8, at=T + 4_000 + np.arange(8))
    after = [list(ids) for ids in ids_of(pipeline, ["ann"])]
    assert {3, 4} & {*after[0]}, after
    assert store.counts["reads"] == 2


def test_an_anonymous_user_is_served_by_session_id(data):
    store = stores.ResidentSessions()
    stage = stores.RecentSession(store, by="session_id")
    pipeline = rk.Pipeline([stage, candidates.ItemKNN(n_neighbors=2)]).fit(data)
    store.append("s-1", 3, event="click", at=T + 4_000)
    answer = pipeline.recommend([None, None], k=2, now=T + 5_000, context={"session_id": ["s-1", "s-2"]})
    assert list(answer.ids(0)) == [4] and list(answer.ids(1)) == []


def test_the_callers_session_wins(data):
    store = stores.ResidentSessions()
    store.append("ann", 3, at=T + 4_000)
    pipeline = rk.Pipeline([stores.RecentSession(store), candidates.History()]).fit(data)
    assert 3 in ids_of(pipeline, ["ann"])[0]
    assert 3 not in ids_of(pipeline, ["ann"], session=[[4]])[0]


def test_event_types_of_the_session_are_those_of_the_data(data):
    store = stores.ResidentSessions()
    store.append("ann", 3, event="view", at=T + 4_000)
    store.append("ann", 4, event="purchase", at=T + 4_001)
    pipeline = rk.Pipeline([stores.RecentSession(store), candidates.History(events=["purchase"])]).fit(data)
    assert list(pipeline.recommend(["ann"], k=9, now=T + 5_000).ids(0)) == [4, 2]


def test_events_that_the_history_has_already_count_once(data):
    """A store outlives a refit: what it shares with the log is not seen twice."""
    log = data.interactions
    store = stores.ResidentSessions()
    for user, item, when, event in zip(log.user, log.item, log.timestamp, log.event, strict=True):
        store.append(
            data.user_ids.decode([user])[0], int(data.item_ids.decode([item])[0]),
            event=log.event_names[event], at=float(when),
        )  # fmt: skip
    store.append("ann", 3, event="view", at=T + 4_000)
    stages = [candidates.History(half_life=None), rankers.Weighted({"history_score": 1.0})]
    plain = rk.Pipeline(stages).fit(data).recommend(["ann", "bob"], k=9, now=T + 5_000)
    joined = (
        rk.Pipeline([stores.RecentSession(store), *stages])
        .fit(data)
        .recommend(["ann", "bob"], k=9, now=T + 5_000)
    )
    scores = [{r["item_id"]: r["score"] for r in row} for row in joined.to_records()]
    expected = [{r["item_id"]: r["score"] for r in row} for row in plain.to_records()]
    assert scores == [{**expected[0], 3: pytest.approx(0.1)}, expected[1]]


def test_a_store_that_is_down_leaves_the_history(data):
    with fake_server(silent) as (url, _):
        store = stores.RedisSessions(url, timeout=0.05)
        pipeline = rk.Pipeline([stores.RecentSession(store), candidates.History()]).fit(data)
        answer = pipeline.recommend(["ann", None], k=2, now=T + 5_000)
        assert sorted(answer.ids(0)) == [1, 2]
        assert store.counts["failed"] == 1
        assert answer.status[0] == Status.DEGRADED and not any(
            "session" in reason for reason in answer.reasons[1]
        )
        assert answer.reasons[0][0].startswith(
            "recent_session: 1 of 1 sessions unread, empty ones stand in: Time"
        )


def test_training_does_not_ask_the_store(data):
    class Untouched(stores.ResidentSessions):
        def recent(self, *args, **options):
            raise AssertionError("training read the sessions of today")

    rng = np.random.default_rng(0)
    n = 400
    log = Dataset.from_frame(
        {
            "user_id": rng.integers(0, 20, n),
            "item_id": rng.integers(0, 15, n),
            "timestamp": np.sort(T + rng.uniform(0, 30 * 86_400, n)),
        }
    )
    merged = candidates.Merge([candidates.History(), candidates.Popular()], limit=10)
    features = [rk.features.UserItem()]
    stage = stores.RecentSession(Untouched())
    pipeline = rk.Pipeline([stage, merged, *features, rankers.LogisticRegression()])
    pipeline.fit(log, label_window="7D")
    assert "recent_session" in str(pipeline.training_report_.skipped)


def test_a_pipeline_with_sessions_is_saved_and_loaded(data, tmp_path):
    store = stores.ResidentSessions()
    store.append("ann", 3, at=T + 4_000)
    pipeline = rk.Pipeline([stores.RecentSession(store), candidates.History()]).fit(data)
    pipeline.save(tmp_path / "model")
    loaded = rk.Pipeline.load(tmp_path / "model")
    assert [list(ids) for ids in ids_of(loaded, ["ann"])] == [list(ids) for ids in ids_of(pipeline, ["ann"])]


def test_hydrated_rows_line_up_with_the_requests(data):
    store = stores.ResidentSessions()
    store.append("bob", 1, at=T)
    stage = stores.RecentSession(store).fit(data).bind(data.schema)
    user = data.user_ids.encode(["ann", "bob", "cat", "bob"])
    requests = Requests.build(np.append(user, 0), now=np.array([T + 9, T + 9, T + 9, T, T + 9]))
    session = stage.hydrate(requests).ragged["session"]
    assert isinstance(session, Ragged) and session.counts.tolist() == [0, 1, 0, 0, 0]


def test_a_user_is_erased(make):
    store = make()
    store.extend(["a", "b"], [1, 2], events=["view"] * 2, at=[T, T])
    assert (store.erase_user("a"), store.erase_user("a")) == (1, 0)
    assert lists(store.recent(["a", "b"], now=T + 5)) == [[], ["2"]]


def test_what_leaves_the_cart_in_a_session_is_no_signal_of_it():
    data = rk.testing.toy_dataset()
    sessions = stores.ResidentSessions()
    for item, event, at in (
        (101, "add_to_cart", 1.0),
        (102, "add_to_cart", 2.0),
        (101, "remove_from_cart", 3.0),
    ):
        sessions.append("user-1", item, event=event, at=data.until + at)
    found = stores.RecentSession(sessions).bind(data.schema)
    requests = rk.data.Requests.build([1], now=data.until + 9)
    weight = found.hydrate(requests).ragged["session"].columns["weight"]
    assert (weight > 0).tolist() == [False, True, False]


def test_a_visitor_without_an_id_has_nobodys_session():
    data = rk.testing.toy_dataset()
    sessions = stores.ResidentSessions()
    sessions.append("", 101, at=data.until + 1)
    pipeline = rk.Pipeline([stores.RecentSession(sessions), rk.candidates.ItemKNN()]).fit(data)
    assert pipeline.recommend([""], k=3, now=data.until + 2).ids(0) == []
