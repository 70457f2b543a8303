"""UserHistory: strictly before each request's own time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit._utils.params import clone
from recokit.candidates import UserHistory
from recokit.data import Dataset, Requests, from_state, to_state
from recokit.data.requests import Hydrated
from recokit.errors import ConfigurationError, NotFittedError
from recokit.protocols import Role, role_of

events = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 4),
        st.integers(0, 5),
        st.sampled_from(["view", "purchase", "click"]),
    ),
    max_size=25,
)
asked = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 7)), max_size=6)


def dataset(rows, n_users=3, n_items=4):
    log = {
        "user_id": np.array([row[0] for row in rows], np.int64),
        "item_id": np.array([row[1] for row in rows], np.int64),
        "timestamp": np.array([row[2] for row in rows], np.float64),
        "event": [row[3] for row in rows],
    }
    users, items = {"user_id": np.arange(1, n_users + 1)}, {"item_id": np.arange(1, n_items + 1)}
    return Dataset.from_frame(log if rows else None, users=users, items=items)


@given(events, asked, st.integers(1, 4), st.sampled_from([None, ("view",), ("click", "purchase")]))
def test_equals_the_naive_loop(rows, requests, most, kinds):
    data = dataset(rows)
    log = data.interactions
    known = [kind for kind in kinds or () if kind in log.event_names]
    if kinds is not None and len(log):
        if not known:
            return
        kinds = tuple(known)
    batch = Requests.build(
        np.array([user for user, _ in requests], np.int64),
        now=np.array([now for _, now in requests], np.float64),
    )
    hydrated = UserHistory(max_events=most, events=kinds).fit(data).hydrate(batch)
    history, owned = hydrated.ragged["history"], hydrated.ragged["owned"]
    names = np.array(log.event_names)[log.event]
    for b, (user, now) in enumerate(requests):
        mine = [e for e in range(len(log)) if log.user[e] == user and log.timestamp[e] < now]
        wanted = [e for e in mine if kinds is None or names[e] in kinds][-most:]
        here = slice(history.offsets[b], history.offsets[b + 1])
        assert history.row(b).tolist() == log.item[wanted].tolist()
        assert history.columns["timestamp"][here].tolist() == log.timestamp[wanted].tolist()
        assert history.columns["weight"][here].tolist() == log.weight[wanted].tolist()
        assert history.columns["event"][here].tolist() == log.event[wanted].tolist()
        bought = [e for e in mine if names[e] == "purchase"]
        assert owned.row(b).tolist() == log.item[bought].tolist()
        there = slice(owned.offsets[b], owned.offsets[b + 1])
        assert owned.columns["timestamp"][there].tolist() == log.timestamp[bought].tolist()


def test_owned_is_not_cut_to_the_most_recent_events():
    rows = [(1, item, item, "purchase") for item in (1, 2, 3, 4)]
    hydrated = UserHistory(max_events=1).fit(dataset(rows)).hydrate(Requests.build(np.array([1]), now=9.0))
    assert hydrated.ragged["history"].row(0).tolist() == [4]
    assert hydrated.ragged["owned"].row(0).tolist() == [1, 2, 3, 4]


def test_nobody_owns_anything_in_data_without_purchases():
    hydrated = UserHistory().fit(dataset([(1, 1, 1, "view")])).hydrate(Requests.build(np.array([1]), now=9.0))
    assert hydrated.ragged["owned"].counts.tolist() == [0]
    assert hydrated.ragged["history"].counts.tolist() == [1]


def test_rows_that_the_caller_gave_are_kept():
    from recokit.data import Ragged

    data = dataset([(1, 1, 1, "view"), (2, 2, 1, "view")])
    batch = Requests.build(np.array([1, 2]), now=9.0, ragged={"history": Ragged.from_lists([[4], [4]])})
    hydrated = UserHistory().fit(data).hydrate(batch)
    assert batch.hydrated(hydrated.columns, hydrated.ragged).lists("history").values.tolist() == [4, 4]


def test_is_a_hydrator_that_may_be_fitted_on_later_data():
    stage = UserHistory()
    assert (
        role_of(stage) is Role.HYDRATOR and stage.as_of and stage.provides == ("history", "owned", "earlier")
    )
    data = dataset([(1, 1, 5, "view")])
    assert stage.fit(data).fitted_until_ == 5.0
    assert isinstance(stage.hydrate(Requests.build(np.array([1]))), Hydrated)


def test_state_round_trip_shares_what_was_shared():
    data = Dataset.from_frame({"user": [1, 1], "item": [1, 2], "timestamp": [1, 2]})
    stage = UserHistory().fit(data)
    loaded = from_state(*to_state(stage))
    assert loaded.history_ is loaded.owned_
    batch = Requests.build(np.array([1]), now=2.0)
    assert loaded.hydrate(batch).ragged["history"].values.tolist() == [1]


def test_bad_options_and_use():
    with pytest.raises(ConfigurationError, match="max_events=0"):
        UserHistory(max_events=0)
    for events_ in ("purchase", ()):
        with pytest.raises(ConfigurationError, match="expected None for all, or names"):
            UserHistory(events=events_)
    with pytest.raises(ConfigurationError, match="did you mean 'view'"):
        UserHistory(events=("veiw",)).fit(dataset([(1, 1, 1, "view")]))
    with pytest.raises(NotFittedError, match="UserHistory before fit"):
        UserHistory().hydrate(Requests.build(np.array([1])))
    assert repr(clone(UserHistory(max_events=5))) == "UserHistory(max_events=5)"
