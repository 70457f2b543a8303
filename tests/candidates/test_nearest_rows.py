"""UserKNN, SessionKNN and NextBasket against dense computations of their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit.candidates import NextBasket, SessionKNN, UserKNN
from recokit.data import DAY, Dataset, Ragged, Requests
from recokit.errors import ConfigurationError

EVENTS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), min_size=2, max_size=40)
N = 9


def dataset(events: list[tuple[int, int]], step: float = 60.0, **columns: object) -> Dataset:
    users, items = map(np.array, zip(*events, strict=True))
    frame = {"user": users, "item": items, "timestamp": np.arange(len(events)) * step, **columns}
    return Dataset.from_frame(frame, items={"item_id": np.arange(1, 9)}, users={"user_id": np.arange(1, 7)})


def told(rows: np.ndarray) -> np.ndarray:
    n = max((rows > 0).any(axis=1).sum(), 1)
    return np.log((1 + n) / (1 + (rows > 0).sum(axis=0))) + 1e-3


def nearest(
    rows: np.ndarray, query: np.ndarray, k: int, *, own: int = -1, worth: np.ndarray | None = None
) -> np.ndarray:
    """Return the similarity of each row with a query, 0 for all but the k largest."""
    with np.errstate(invalid="ignore", divide="ignore"):
        weighed, wanted = rows * told(rows), query * told(rows)
        alike = np.nan_to_num(weighed @ wanted / np.linalg.norm(weighed, axis=1) / np.linalg.norm(wanted))
    alike *= 1.0 if worth is None else worth
    if own >= 0:
        alike[own] = 0
    alike[np.argsort(-alike, kind="stable")[k:]] = 0
    return alike


def scores(source: object, requests: Requests) -> np.ndarray:
    found = source.retrieve(requests, 20)
    dense = np.zeros((len(requests), N))
    dense[np.repeat(np.arange(len(requests)), np.diff(found.offsets)), found.item] = found.score
    return dense


def matrix(data: Dataset) -> np.ndarray:
    return data.interactions.matrix(data.n_users, data.n_items).toarray().astype(np.float64)


@given(EVENTS, st.lists(st.integers(1, 8), min_size=1, max_size=5), st.integers(0, 6))
def test_user_knn_adds_up_the_users_by_likeness(
    events: list[tuple[int, int]], history: list[int], user: int
) -> None:
    data = dataset(events)
    rows = matrix(data)
    query = np.bincount(history, minlength=N).astype(float)
    want = nearest(rows, query, 10, own=user if user else -1) @ rows
    asked = Requests.build(np.array([user]), ragged={"history": Ragged.from_lists([history])})
    found = scores(UserKNN(n_neighbors=10).fit(data), asked)[0]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


def test_a_user_is_no_neighbour_of_its_own() -> None:
    data = dataset([(1, 1), (1, 2), (2, 1), (2, 3)])
    history = {"history": Ragged.from_lists([[1, 2], [1, 2]])}
    found = scores(UserKNN().fit(data), Requests.build(np.array([1, 0]), ragged=history))
    assert found[0, 2] == 0.0 and found[0, 3] > 0
    assert found[1, 2] > 0.0


def test_the_nearest_users_only() -> None:
    data = dataset([(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 1), (3, 4), (3, 5), (3, 6), (4, 8)])
    asked = Requests.build(np.array([1]), ragged={"history": Ragged.from_lists([[1, 2]])})
    assert np.flatnonzero(scores(UserKNN(n_neighbors=1).fit(data), asked)[0]).tolist() == [1, 2, 3]
    assert 4 in np.flatnonzero(scores(UserKNN(n_neighbors=2).fit(data), asked)[0])


def test_what_everybody_has_tells_little() -> None:
    events = [(u, 1) for u in range(1, 7)] + [(1, 2), (2, 2), (2, 3), (3, 4)]
    asked = Requests.build(np.array([1]), ragged={"history": Ragged.from_lists([[1, 2]])})
    found = scores(UserKNN().fit(dataset(events)), asked)[0]
    assert found[3] > 10 * found[4]


def test_excluded_items_take_no_place() -> None:
    data = dataset([(1, 1), (1, 2), (2, 1), (2, 3), (2, 4)])
    lists = {"history": Ragged.from_lists([[1]]), "exclude": Ragged.from_lists([[1, 3]])}
    found = UserKNN().fit(data).retrieve(Requests.build(np.array([0]), ragged=lists), 2)
    assert sorted(found.item.tolist()) == [2, 4]


@given(EVENTS, st.lists(st.integers(1, 8), min_size=1, max_size=5), st.floats(0.1, 1.0))
def test_session_knn_adds_up_the_nearest_sessions(
    events: list[tuple[int, int]], history: list[int], recency: float
) -> None:
    step = DAY / 24 / 4  # a pause of two steps ends a session
    data = dataset(events, step=step)
    log = data.interactions
    cut: list[set[int]] = []
    ended: list[float] = []
    for user in range(1, 7):
        last = -np.inf
        for item, when in zip(log.item[log.user == user], log.timestamp[log.user == user], strict=True):
            if when - last > 1800:
                cut.append(set())
                ended.append(when)
            cut[-1].add(int(item))
            ended[-1] = last = when
    rows = np.array([[item in one for item in range(N)] for one in cut], float)
    worth = 0.5 ** ((data.until - np.array(ended)) / (DAY / 24))
    query = np.zeros(N)
    for place, item in enumerate(dict.fromkeys(reversed(history))):
        query[item] = recency**place * history.count(item)
    want = nearest(rows, query, len(rows), worth=worth) @ rows
    asked = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([history])})
    source = SessionKNN(n_neighbors=100, recency=recency, session_half_life="1h").fit(data)
    np.testing.assert_allclose(scores(source, asked)[0], want, rtol=1e-3, atol=1e-5)


def test_session_ids_hold_where_there_are_some() -> None:
    data = dataset([(1, 1), (1, 2), (1, 3)], session_id=np.array([5, 5, 6]))
    asked = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[1]])})
    assert np.flatnonzero(scores(SessionKNN().fit(data), asked)[0]).tolist() == [1, 2]


@pytest.mark.parametrize(("gap", "items"), [("1min", [1, 2, 3]), ("59s", [1]), (0, [1])])
def test_a_pause_longer_than_the_gap_ends_a_session(gap: object, items: list[int]) -> None:
    data = dataset([(1, 1), (1, 2), (1, 3)])
    asked = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[1]])})
    assert np.flatnonzero(scores(SessionKNN(gap=gap).fit(data), asked)[0]).tolist() == items


@given(EVENTS, st.lists(st.integers(1, 8), min_size=1, max_size=5), st.floats(0, 1))
def test_next_basket_is_own_frequency_beside_that_of_the_neighbours(
    events: list[tuple[int, int]], history: list[int], own_share: float
) -> None:
    data = dataset(events, step=DAY)
    log = data.interactions
    rows = np.zeros((7, N))
    for user in range(1, 7):
        when = log.timestamp[log.user == user]
        np.add.at(rows[user], log.item[log.user == user], 0.5 ** ((when.max(initial=0) - when) / (3 * DAY)))
    rows /= np.maximum(rows.sum(axis=1, keepdims=True), 1e-12)
    times = np.arange(len(history)) * DAY
    query = np.zeros(N)
    np.add.at(query, history, 0.5 ** ((times[-1] - times) / (3 * DAY)))
    query /= query.sum()
    near = nearest(rows, query, 100)
    near /= max(near.sum(), 1e-12)
    want = own_share * query + (1 - own_share) * near @ rows
    lists = Ragged(np.array([0, len(history)]), np.array(history), {"timestamp": times})
    asked = Requests.build(np.array([0]), ragged={"history": lists})
    source = NextBasket(own_share=own_share, half_life="3D").fit(data)
    np.testing.assert_allclose(scores(source, asked)[0], want, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("make", [lambda: NextBasket(own_share=1.1), lambda: SessionKNN(recency=-0.1)])
def test_options_out_of_range(make: object) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        make()


@pytest.mark.parametrize("source", [UserKNN(), SessionKNN(), NextBasket()], ids=repr)
def test_nothing_to_learn_from_gives_nothing(source: object) -> None:
    data = dataset([(1, 1), (2, 2)]).before(0.0)
    asked = Requests.build(np.array([0, 1]), ragged={"history": Ragged.from_lists([[1], []])})
    found = source.fit(data).retrieve(asked, 5)
    own = isinstance(source, NextBasket)
    assert found.item.tolist() == ([1] if own else [])
