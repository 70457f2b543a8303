"""What a user takes back, by a refund or a dislike, is no signal: to no source, label, metric or split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.candidates import Popular
from recokit.data import Dataset, LiveEvents, Requests, UserHistory, last_n
from recokit.data.events.user_history import events_of
from recokit.data.sampling import Positives
from recokit.errors import LeakageWarning
from recokit.evaluation.truth import Truth
from recokit.training.labels import window_truth


def log_of(*events: tuple[int, int, int, str]) -> Dataset:
    """Return the data of events (user, item, time, name); items 1 to 9 are in the catalogue."""
    user, item, time, event = zip(*events, strict=True)
    columns = {"user": user, "item": item, "timestamp": time, "event": event}
    return Dataset.from_frame(columns, items={"item": range(1, 10)})


def counted(*events: tuple[int, int, int, str]) -> list[bool]:
    return log_of(*events).interactions.counted.tolist()


@pytest.mark.parametrize("against", ["returned", "refund", "thumbs_down", "dislike", "order_cancelled"])
def test_what_a_user_turns_against_no_longer_counts(against: str) -> None:
    assert counted((1, 5, 10, "view"), (1, 5, 20, "order"), (1, 5, 30, against)) == [False, False, False]


def test_only_the_same_user_and_item_until_then_are_concerned() -> None:
    events = (
        (1, 5, 10, "order"),
        (2, 5, 10, "order"),
        (1, 6, 10, "order"),
        (1, 5, 20, "refund"),
        (1, 5, 30, "order"),
    )
    assert counted(*events) == [False, True, True, False, True]


@pytest.mark.parametrize("order", [1, -1], ids=["refund last", "refund first"])
def test_events_of_one_moment_are_taken_back_in_any_order(order: int) -> None:
    assert counted(*[(1, 5, 10, "order"), (1, 5, 10, "refund")][::order]) == [False, False]


def test_what_leaves_the_cart_takes_back_the_cart_alone() -> None:
    events = (1, 5, 10, "view"), (1, 5, 20, "cart"), (1, 5, 25, "order"), (1, 5, 30, "remove_from_cart")
    assert counted(*events) == [True, False, True, False]


def test_a_negative_name_with_a_weight_of_its_own_is_a_signal() -> None:
    log = {"user": [1, 1], "item": [5, 5], "timestamp": [1, 2], "event": ["purchase", "return"]}
    data = Dataset.from_frame(log, event_weights={"return": 0.3})  # "return" to the page, in that shop
    assert data.interactions.counted.tolist() == [True, True]


def test_nobody_in_particular_takes_back_nothing() -> None:
    log = {"user": [None, None], "item": [5, 5], "timestamp": [1, 2], "event": ["order", "refund"]}
    data = Dataset.from_frame(log, missing="anonymous")
    assert data.interactions.counted.tolist() == [True, False]


def several(*extra: tuple[int, int, int, str]) -> Dataset:
    """Users 1 to 6 buy items 1 and 2; users 7 to 9 items 3 and 4."""
    events = [(user, item, 10 * item + user, "order") for user in range(1, 7) for item in (1, 2)]
    events += [(user, item, 10 * item + user, "order") for user in range(7, 10) for item in (3, 4)]
    return log_of(*events, *extra)


SOURCES = [
    Popular(half_life=None),
    candidates.Trending(),
    candidates.ItemKNN(),
    candidates.EASE(),
    candidates.CoOccurrence(),
    candidates.PureSVD(2),
    candidates.IALS(4),
    candidates.GraphFilter(),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_sources_learn_as_if_it_had_never_been(source: Any) -> None:
    never = several((9, 9, 200, "refund"))  # of what that user never had
    back = several(
        (9, 5, 100, "order"), (8, 5, 110, "view"), (9, 5, 200, "refund"), (8, 5, 200, "thumbs_down")
    )
    one, other = (
        rk.Pipeline([source]).fit(data).recommend([7, 8, 9, 1, None], k=9, now=300) for data in (never, back)
    )
    assert [one.ids(row) for row in range(5)] == [other.ids(row) for row in range(5)]


def test_labels_positives_truth_and_splits_leave_it_out() -> None:
    data = log_of((1, 5, 10, "order"), (1, 6, 20, "order"), (1, 6, 30, "refund"), (2, 7, 40, "order"))
    truth = window_truth(Requests.build([1, 2], now=0.0), data.interactions)
    assert [data.item_ids.decode(truth.row(row)).tolist() for row in range(2)] == [[5], [7]]
    assert Positives.of(data).contains(np.array([1, 1]), np.array([5, 6])).tolist() == [True, False]
    lists = Truth.of(data, None).lists
    assert [data.item_ids.decode(lists.row(row)).tolist() for row in range(2)] == [[5], [7]]
    with pytest.warns(LeakageWarning):
        held = last_n(data).test.interactions
    for log in (held, events_of(data.interactions.signals, ["order"])):
        assert data.item_ids.decode(log.item).tolist() == [5, 7]


@pytest.mark.parametrize("events", [None, ("order",)], ids=["all", "orders"])
def test_the_history_knows_it_from_then_on(events: tuple[str, ...] | None) -> None:
    data = log_of((1, 5, 10, "order"), (1, 6, 20, "order"), (1, 6, 30, "refund"), (1, 6, 50, "order"))
    hydrator = UserHistory(events=events).fit(data)

    def signals(now: float) -> list[int]:
        requests = Requests.build([1], now=now)
        hydrated = hydrator.hydrate(requests)
        filled = requests.hydrated({}, hydrated.ragged)
        assert set(filled.lists("history").row(0).tolist()) >= {5}
        return list(filled.signals().row(0).tolist())

    assert (signals(25.0), signals(35.0), signals(55.0)) == ([5, 6], [5], [5, 6])


def test_live_events_take_back_what_the_log_has() -> None:
    live = LiveEvents()
    data = several()
    pipeline = rk.Pipeline([UserHistory(live_events=live), candidates.History()]).fit(data)
    assert set(pipeline.recommend([1], k=5, now=150.0).ids(0)) == {1, 2}
    live.append({"user_id": [1], "item_id": [2], "timestamp": [120.0], "event": ["refund"]})
    assert pipeline.recommend([1], k=5, now=150.0).ids(0) == [1]
    assert set(pipeline.recommend([1], k=5, now=110.0).ids(0)) == {1, 2}


def test_it_stays_seen_and_owned() -> None:
    data = log_of((1, 5, 10, "order"), (1, 5, 20, "refund"), (2, 6, 30, "order"))
    for rule in (rules.NotSeen(), rules.NotOwned()):
        pipeline = rk.Pipeline([Popular(half_life=None), rule]).fit(data)
        assert 5 not in pipeline.recommend([1], k=9, now=40.0).ids(0)
