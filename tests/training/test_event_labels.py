"""Labels by type of event: columns of the training rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

import recokit as rk
from recokit import candidates, features, rankers
from recokit.data import DAY, Candidates, Interactions, Ragged, Requests
from recokit.training import label_events, window_events

NAMES = ("view", "purchase", "hide")


def make_events(rows):
    user, item, time, event = (np.array(column) for column in zip(*rows, strict=True))
    weight = np.array([0.1, 1.0, 0.0], np.float32)[
        event
    ]  # to hide an item counts nothing, and still happened
    return Interactions(user, item, time.astype(np.float64), event, weight, np.full(len(user), np.nan, np.float32),
                        event_names=NAMES)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_equal_the_naive_definition(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    users, items, times = rng.integers(1, 4, n), rng.integers(0, 6, n), np.sort(rng.integers(0, 12, n))
    rows = list(zip(users, items, times, rng.integers(0, 3, n), strict=True))
    requests = Requests.build(np.array([1, 2]), now=np.array([3.0, 6.0]))
    batch = Candidates.from_lists([rng.permutation(5)[:4] + 1, rng.permutation(5)[:3] + 1], requests=requests)
    found = label_events(batch, window_events(requests, make_events(rows)))
    for code, name in enumerate(NAMES):
        expected = [
            any(u == user and i == item and t >= now and e == code for u, i, t, e in rows)
            for user, item, now in zip(batch.user, batch.item, batch.now, strict=True)
        ]
        assert found[f"event.{name}"].tolist() == expected


def test_nothing_to_label():
    assert label_events(Candidates.from_lists([[1], []]), Ragged.empty(2)) == {}


def test_they_come_with_the_rows_of_a_pipeline():
    data = rk.testing.toy_dataset()
    pipeline = rk.Pipeline([candidates.Popular(), features.ItemActivity(), rankers.LogisticRegression()])
    training = pipeline.training_data(data, label_window="14D", windows=1).data
    log = data.interactions
    for part in (training, training.validation):
        assert set(part.columns) == {f"event.{name}" for name in log.event_names}
        for row in range(0, len(part), 7):
            mine = (log.user == part.user[row]) & (log.item == part.item[row])
            mine &= (log.timestamp >= part.now[row]) & (log.timestamp < part.now[row] + 14 * DAY)
            happened = {log.event_names[code] for code in log.event[mine]}
            assert {name for name in log.event_names if part.columns[f"event.{name}"][row]} == happened
    assert training.columns["event.view"].any() and training.columns["event.purchase"].any()
