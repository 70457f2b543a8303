"""Splits: who is held out, what stays cold, and the warning where a split leaks time."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.data import Dataset, cold_items, cold_users, expanding, k_core, last_n, rolling
from recokit.errors import ConfigurationError, DataError, LeakageWarning

EVENTS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 40)), min_size=4, max_size=40
)


def data_of(events):
    user, item, time = zip(*events, strict=True)
    return Dataset.from_frame({"user": user, "item": item, "timestamp": [float(t) for t in time]})


def ids(data):
    log = data.interactions
    return sorted(
        zip(
            data.user_ids.decode(log.user).tolist(),
            data.item_ids.decode(log.item).tolist(),
            log.timestamp.tolist(),
            strict=True,
        )
    )


@pytest.fixture
def shop():
    return data_of(
        [(1, 5, 0), (2, 5, 5), (1, 6, 10), (3, 7, 12), (2, 8, 20), (1, 7, 25), (4, 5, 29), (1, 5, 30)]
    )


def test_rolling_cuts_at_global_times_and_keeps_the_cold(shop):
    splits = list(rolling(shop, start=10, horizon="10s"))
    assert [len(split.train.interactions) for split in splits] == [2, 4]
    assert [len(split.test.interactions) for split in splits] == [2, 3]
    for split in splits:
        train, test = split
        assert train.interactions.timestamp.max() < train.cut <= test.interactions.timestamp.min()
        assert split.n_leaking == 0
    assert splits[0].n_cold_users == 1
    assert splits[0].n_cold_items == 2
    assert "1 of them cold" in repr(splits[0])


def test_a_window_bounds_the_training_part_and_a_step_the_cuts(shop):
    splits = list(rolling(shop, start=10, horizon="5s", step="10s", window="6s"))
    assert [split.train.interactions.timestamp.tolist() for split in splits] == [[5.0]]
    everything = list(expanding(shop, start=10, horizon="5s", step="10s"))
    assert [split.train.interactions.timestamp.tolist() for split in everything] == [
        [0.0, 5.0],
        [0.0, 5.0, 10.0, 12.0],
    ]


def test_no_split_at_all_is_an_error(shop):
    with pytest.raises(DataError, match=r"found no split with events in both parts.*spans \[0.0, 30.0\]"):
        list(rolling(shop, start=25, horizon="30s"))


def test_last_n_warns_and_says_how_many_leak(shop):
    with pytest.warns(LeakageWarning, match="trains on 1 of 4 events"):
        split = last_n(shop)
    assert ids(split.test) == [(1, 5, 30.0), (2, 8, 20.0), (3, 7, 12.0), (4, 5, 29.0)]
    assert split.n_leaking == 1  # the event at 25, after the first test event at 12
    assert split.n_cold_users == 2  # one event only: in the test part, not dropped


def test_last_n_of_users_in_turn_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split = last_n(data_of([(1, 5, 0), (2, 5, 1), (1, 6, 2), (2, 6, 3)]))
    assert split.n_leaking == 0


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(1, 3))
def test_last_n_against_a_loop(events, n):
    data = data_of(events)
    held = []
    for user in {event[0] for event in events}:
        held += ids(data_of(sorted((e for e in events if e[0] == user), key=lambda e: e[2])[-n:]))
    if len(held) == len(events):
        with pytest.raises(DataError, match="found no events in the train part"):
            last_n(data, n)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakageWarning)
        split = last_n(data, n)
    assert ids(split.test) == sorted(held)
    assert sorted(ids(split.train) + ids(split.test)) == ids(data)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(1, 3), st.sampled_from(["both", "user", "item"]))
def test_k_core_against_a_loop(events, k, per):
    left = list(events)
    while True:
        users = {u: len({i for v, i, _ in left if v == u}) for u, _, _ in left}
        items = {i: len({u for u, j, _ in left if j == i}) for _, i, _ in left}
        kept = [
            e for e in left if (per == "item" or users[e[0]] >= k) and (per == "user" or items[e[1]] >= k)
        ]
        if len(kept) == len(left):
            break
        left = kept
    data = data_of(events)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if not left:
            with pytest.raises(DataError, match="-core of"):
                k_core(data, k, per=per)
            return
        core = k_core(data, k, per=per)
    assert ids(core) == sorted((u, i, float(t)) for u, i, t in left)
    assert bool(caught) == (len(left) < len(events))
    assert core.n_items == data.n_items


def test_cold_users_are_cold_and_drawn_by_the_seed(shop):
    with pytest.warns(LeakageWarning):
        split = cold_users(shop, 0.5, seed=1)
    assert split.n_cold_users == len(np.unique(split.test.interactions.user)) == 2
    with pytest.warns(LeakageWarning):
        assert ids(cold_users(shop, 0.5, seed=1).test) == ids(split.test)


def test_cold_users_may_keep_a_short_history(shop):
    with pytest.warns(LeakageWarning):
        split = cold_users(shop, 0.99, given=1)
    assert np.bincount(split.train.interactions.user).max() >= 1
    assert split.n_cold_users == 0


def test_cold_items_are_cold(shop):
    with pytest.warns(LeakageWarning):
        split = cold_items(shop, 0.25)
    assert split.n_cold_items == len(np.unique(split.test.interactions.item)) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: last_n(data, 0), "found n=0"),
        (lambda data: k_core(data, 0), "found k=0"),
        (lambda data: k_core(data, per="row"), "per='row'"),
        (lambda data: cold_users(data, 1.0), "found share=1.0"),
    ],
)
def test_impossible_options(shop, call, message):
    with pytest.raises(ConfigurationError, match=message):
        call(shop)


def test_one_user_cannot_be_held_out():
    with pytest.raises(DataError, match="found 1 users with events"):
        cold_users(data_of([(1, 5, 0), (1, 6, 1)]))
