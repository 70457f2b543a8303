"""EventIndex: every answer as of t equals a naive pass over the events strictly before t."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.data import Dataset
from recokit.data.events.index import EventIndex
from recokit.data.events.keyed import Keyspace
from recokit.data.state.folder import load_state, save_state
from recokit.errors import ConfigurationError

HALF_LIVES = (0.5, 40.0)
SUMS = ("value", "valued", "value_squared", "weight")
WINDOWS = (0.5, 7.0, 1e6)
SPACES = [
    Keyspace(("user",), None, HALF_LIVES, SUMS, (("item", None), ("session", None), ("item.category", 7.0))),
    Keyspace(
        ("item",), None, HALF_LIVES, SUMS, (("user", None), ("user", 0.5), ("user", 7.0), ("user", 1e6))
    ),
    Keyspace(("user", "item"), None, HALF_LIVES, SUMS, (("session", 7.0),)),
    Keyspace(
        ("user", "item.category"), half_lives=HALF_LIVES, distinct=(("item", None), ("price_band", 7.0))
    ),
    Keyspace(("item.category",)),
    Keyspace(("user.region", "item")),
    Keyspace(("user", "price_band")),
    Keyspace((), distinct=(("user", 7.0),)),
    Keyspace(("item",), "buy", HALF_LIVES, ("value",), (("user", None),)),
]

NAMES = ("user_id", "item_id", "timestamp", "event", "value", "session_id")
EVENT = st.tuples(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 60).map(lambda t: t / 2),
    st.sampled_from(["buy", "see"]),
    st.one_of(st.just(math.nan), st.just(0.0), st.floats(2**-7, 1e4, width=32)),
    st.integers(1, 3),
)
EVENTS = st.lists(EVENT, max_size=40)
TIME = st.integers(-2, 64).map(lambda t: t / 2)


def dataset(events):
    columns = dict(
        zip(
            ("user_id", "item_id", "timestamp", "event", "value", "session_id"),
            zip(*events, strict=True),
            strict=False,
        )
    )
    if not events:
        columns = {"user_id": [], "item_id": [], "timestamp": []}
    else:
        columns["weight"] = [1.0 + item / 3 for item in columns["item_id"]]
    return Dataset.from_frame(
        columns,
        users={"user_id": [1, 2, 3], "region": ["n", "s", "n"]},
        items={"item_id": [1, 2, 3, 4], "category": ["a", "b", "a", None]},
    )


def codes_of(data):
    log = data.interactions
    code = {"user": log.user, "item": log.item}
    code["item.category"] = data.items.column("category")[log.item]
    code["user.region"] = data.users.column("region")[log.user]
    code["session"] = np.zeros(len(log), int) if log.session is None else log.session
    code["price_band"] = np.array([band(value) for value in log.value.tolist()], int)
    return code


def band(value):
    return 0 if not value > 0 else max(1, min(128, 65 + math.floor(2 * math.log2(value))))


def naive_rows(data, space, first, second, t, window=None):
    """Positions of the entity's events before t, by a loop."""
    log, code = data.interactions, codes_of(data)
    wanted = dict(zip(space.entity, (first, second), strict=False))
    return [
        i
        for i in range(len(log))
        if all(code[part][i] == value > 0 for part, value in wanted.items())
        and (space.event is None or log.event_names[log.event[i]] == space.event)
        and log.timestamp[i] < t
        and (window is None or log.timestamp[i] >= t - window)
    ]


def naive_sum(data, space, rows, name):
    log = data.interactions
    if name in ("value", "weight"):
        return math.fsum(float(x) for x in getattr(log, name)[rows] if not math.isnan(x))
    if name == "value_squared":
        return math.fsum(float(x) ** 2 for x in log.value[rows] if not math.isnan(x))
    return sum(not math.isnan(log.value[i]) for i in rows)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.lists(st.tuples(TIME, st.integers(0, 4), st.integers(0, 4)), max_size=6))
def test_every_answer_equals_a_naive_pass(events, questions):
    data = dataset(events)
    spaces = [space for space in SPACES if space.event in (None, *data.interactions.event_names)]
    index = EventIndex.build(data, spaces)
    for space in spaces:
        t, first, second = (
            np.array([q[i] for q in questions], float if i == 0 else np.int64) for i in range(3)
        )
        pair = len(space.entity) == 2
        first = first if space.entity else np.ones_like(first)  # all events are one entity
        view = index[space.name].as_of(t, first, second if pair else None)
        assert len(view) == len(questions)
        for i in range(len(questions)):
            asked = (data, space, first[i], second[i], t[i])
            rows = naive_rows(*asked)
            time = data.interactions.timestamp[rows]
            assert view.any[i] == bool(rows)
            assert view.count()[i] == len(rows)
            np.testing.assert_equal(view.last()[i], time.max() if rows else np.nan)
            np.testing.assert_equal(view.first()[i], time.min() if rows else np.nan)
            np.testing.assert_equal(view.recency()[i], t[i] - time.max() if rows else np.nan)
            np.testing.assert_equal(view.age()[i], t[i] - time.min() if rows else np.nan)
            for window, counts in zip(WINDOWS, view.counts(WINDOWS), strict=True):
                expected = len(naive_rows(*asked, window))
                assert view.count(window)[i] == counts[i] == expected
            for name in space.sums:
                for window in (None, 7.0):
                    expected = naive_sum(data, space, naive_rows(*asked, window), name)
                    assert view.sum(name, window)[i] == pytest.approx(expected, rel=1e-6)
            for of, window in space.distinct:
                others = codes_of(data)[of][naive_rows(*asked, window)]
                assert view.distinct(of, window)[i] == len(set(others.tolist()) - {0})
            for half_life in space.half_lives:
                weight = data.interactions.weight[rows].astype(float)
                expected = math.fsum(weight * 2.0 ** (-(t[i] - time) / half_life))
                assert view.decayed(half_life)[i] == pytest.approx(expected, rel=1e-6, abs=1e-300)


@settings(max_examples=40, deadline=None)
@given(EVENTS.filter(bool), st.integers(0, 62).map(lambda t: t / 2))
def test_later_events_change_nothing(events, t):
    data = dataset(events)
    spaces = [space for space in SPACES if space.event in (None, *data.interactions.event_names)]
    whole, part = EventIndex.build(data, spaces), EventIndex.build(data.before(t), spaces)
    entity = np.arange(5).repeat(5), np.tile(np.arange(5), 5)
    when = np.full(25, t)
    for space in spaces:
        second = entity[1] if len(space.entity) == 2 else None
        a, b = (index[space.name].as_of(when, entity[0], second) for index in (whole, part))
        np.testing.assert_array_equal(a.count(3.0), b.count(3.0))
        np.testing.assert_array_equal(a.recency(), b.recency())
        for distinct in space.distinct:
            np.testing.assert_array_equal(a.distinct(*distinct), b.distinct(*distinct))
        for half_life in space.half_lives:
            np.testing.assert_array_equal(a.decayed(half_life), b.decayed(half_life))
        for name in space.sums:
            np.testing.assert_allclose(a.sum(name), b.sum(name), rtol=1e-6)


def test_a_sum_is_exact_where_float_prefix_sums_are_not():
    events = [(1, 1, 0.0, "buy", 2.0**23, 1), (2, 2, 1.0, "buy", 0.01, 2), (1, 1, 2.0, "buy", 0.01, 3)]
    view = EventIndex.build(dataset(events), [Keyspace(("item",), sums=("value",))])["item"]
    asked = view.as_of(np.array([5.0]), np.array([1]))
    assert asked.sum("value", 4.0)[0] == np.float32(0.01)


def test_a_long_history_decays_without_overflow_or_drift():
    n = 5_000
    time = np.arange(n) * 3600.0
    data = Dataset.from_frame({"user_id": np.ones(n, int), "item_id": np.ones(n, int), "timestamp": time})
    view = EventIndex.build(data, [Keyspace(("user",), half_lives=(3600.0,))])["user"]
    # Halved every event: 1/2 + 1/4 + ... as of one half-life after the last.
    decayed = view.as_of(np.array([n * 3600.0, n * 3600.0 * 1e6]), np.array([1, 1])).decayed(3600.0)
    assert decayed.tolist() == [pytest.approx(1.0, rel=1e-12), 0.0]


def test_codes_beyond_the_index_count_nothing():
    index = EventIndex.build(dataset([(1, 1, 0.0, "buy", 1.0, 1)]), SPACES[:3])
    t = np.array([9.0])
    assert index["item"].as_of(t, np.array([99])).count().tolist() == [0]
    # (1, 99) must not be taken for another pair with the same product.
    assert index["user*item"].as_of(t, np.array([0]), np.array([6])).count().tolist() == [0]


def test_what_is_not_there_is_named():
    data = dataset([(1, 1, 0.0, "buy", 1.0, 1)])
    index = EventIndex.build(data, [Keyspace(("item",), half_lives=(60.0,))])
    view = index["item"].as_of(np.array([1.0]), np.array([1]))
    for call, named in (
        (lambda: index["itm"], "did you mean 'item'"),
        (lambda: view.sum("value"), "declared when built"),
        (lambda: view.decayed(61.0), "declared when built"),
        (lambda: EventIndex.build(data, [Keyspace(("item",), "bye")]), "did you mean 'buy'"),
        (lambda: EventIndex.build(data, [Keyspace(("item.categry",))]), "did you mean 'category'"),
        (lambda: EventIndex.build(data, [Keyspace(("basket",))]), "'basket'"),
        (lambda: EventIndex.build(data, [Keyspace(("basket.size",))]), "'basket.size'"),
        (lambda: view.distinct("user"), "declared when built"),
        (lambda: Keyspace(("user", "item", "item")), "at most two"),
        (lambda: Keyspace(("user",), sums=("valu",)), "did you mean 'value'"),
    ):
        with pytest.raises(ConfigurationError, match=named):
            call()


def test_the_index_is_saved_as_arrays(tmp_path):
    data = dataset([(1, 2, 0.0, "buy", 1.5, 1), (1, 2, 3.0, "see", 2.5, 1)])
    index = EventIndex.build(data, SPACES[:4])
    save_state(tmp_path / "index", index)
    loaded, _ = load_state(tmp_path / "index")
    for name in index.keyed:
        asked = np.array([5.0]), np.array([1]), np.array([2]) if "*" in name else None
        a, b = index[name].as_of(*asked), loaded[name].as_of(*asked)
        assert a.count().tolist() == b.count().tolist()
        assert a.decayed(40.0).tolist() == b.decayed(40.0).tolist()
    assert loaded.until == index.until
    assert loaded.nbytes == index.nbytes


def test_memory_stays_near_40_bytes_an_event_and_keyspace():
    rng = np.random.default_rng(0)
    n = 20_000
    log = {"user_id": rng.integers(1, 200, n), "item_id": rng.integers(1, 200, n), "timestamp": rng.random(n)}
    spaces = [
        Keyspace(("user",), half_lives=(1.0,), sums=("value",)),
        Keyspace(("user", "item"), half_lives=(1.0,)),
        Keyspace(("item",), distinct=(("user", None), ("user", 0.1))),
    ]
    index = EventIndex.build(Dataset.from_frame(log), spaces)
    assert all(events.nbytes <= 41 * n for events in index.keyed.values())
