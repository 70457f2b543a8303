"""Neighbour models against dense computations of their published formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.candidates import EASE, SLIM, CoOccurrence, ItemKNN, RP3beta, Transitions
from recokit.data import Dataset, Ragged, Requests, Retrieved
from recokit.errors import ConfigurationError

EVENTS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), min_size=1, max_size=40)


def dataset(events: list[tuple[int, int]]) -> Dataset:
    users, items = map(np.array, zip(*events, strict=True))
    frame = {"user": users, "item": items, "timestamp": np.arange(len(events)) * 60.0}
    return Dataset.from_frame(frame, items={"item_id": np.arange(1, 9)})


def ask(*histories: list[int]) -> Requests:
    return Requests.build(
        np.zeros(len(histories), np.int64), ragged={"history": Ragged.from_lists(list(histories))}
    )


def table(model: Any, n_codes: int = 9) -> np.ndarray:
    """Return the fitted similarities as a dense matrix."""
    found = np.zeros((n_codes, n_codes))
    row = np.repeat(np.arange(n_codes), np.diff(model.offsets_))
    found[row, model.neighbor_] = model.similarity_
    return found


def dense(data: Dataset) -> np.ndarray:
    return data.interactions.matrix(data.n_users, data.n_items).toarray().astype(np.float64)


def without_diagonal(matrix: np.ndarray) -> np.ndarray:
    np.fill_diagonal(matrix, 0)
    return matrix


@given(EVENTS, st.floats(0, 2), st.floats(0, 1))
def test_rp3beta_is_a_walk_of_three_steps(events: list[tuple[int, int]], alpha: float, beta: float) -> None:
    x = dense(dataset(events))
    with np.errstate(invalid="ignore", divide="ignore"):
        to_item = np.where(x > 0, (x / x.sum(axis=1, keepdims=True)) ** alpha, 0)
        to_user = np.where(x.T > 0, (x.T / x.sum(axis=0)[:, None]) ** alpha, 0)
        damping = np.where(x.sum(axis=0) > 0, x.sum(axis=0) ** -beta, 0)
    want = without_diagonal(to_user @ to_item * damping)
    found = table(RP3beta(alpha=alpha, beta=beta).fit(dataset(events)))
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)


@given(EVENTS, st.floats(0, 1), st.sampled_from(["none", "tfidf", "bm25"]))
def test_weighted_and_asymmetric_cosines(
    events: list[tuple[int, int]], asymmetry: float, weighting: Any
) -> None:
    x = dense(dataset(events))
    idf = np.log((1 + x.shape[1]) / (1 + (x > 0).sum(axis=1)))[:, None]
    if weighting == "tfidf":
        x = np.sqrt(x) * idf
    elif weighting == "bm25":
        length = x.sum(axis=0)
        x = x * 2.2 / (x + 1.2 * (0.25 + 0.75 * length / length[length > 0].mean())) * idf
    norm = (x**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        below = norm[:, None] ** asymmetry * norm ** (1 - asymmetry)
        want = without_diagonal(np.where(x.T @ x > 0, x.T @ x / below, 0))
    found = table(ItemKNN(asymmetry=asymmetry, weighting=weighting).fit(dataset(events)))
    np.testing.assert_allclose(found, want, rtol=2e-4, atol=1e-6)


@given(EVENTS, st.integers(0, 3), st.sampled_from(["none", "cosine", "lift"]), st.integers(0, 2))
def test_co_occurrence_counts_common_sessions(
    events: list[tuple[int, int]], minutes: int, normalization: Any, min_count: int
) -> None:
    sessions: dict[int, list[tuple[float, set[int]]]] = {}
    for at, (user, item) in enumerate(events):
        mine = sessions.setdefault(user, [])
        if mine and at - mine[-1][0] <= minutes:
            mine[-1][1].add(item)
            mine[-1] = (at, mine[-1][1])
        else:
            mine.append((at, {item}))
    count = np.zeros((9, 9))
    for mine in sessions.values():
        for _, items in mine:
            for one in items:
                for other in items:
                    count[one, other] += 1
    alone = count.diagonal().copy()
    power = {"none": 0.0, "cosine": 0.5, "lift": 1.0}[normalization]
    with np.errstate(invalid="ignore", divide="ignore"):
        want = np.where((count > 0) & (count >= min_count), count / (alone[:, None] * alone) ** power, 0)
    model = CoOccurrence(
        gap=f"{minutes * 60}s" if minutes else 0, normalization=normalization, min_count=min_count
    )
    found = table(model.fit(dataset(events)))
    np.testing.assert_allclose(found, without_diagonal(want), rtol=1e-4)


@given(EVENTS)
def test_transitions_are_shares_of_what_came_next(events: list[tuple[int, int]]) -> None:
    count = np.zeros((9, 9))
    last: dict[int, int] = {}
    for user, item in events:
        if user in last and last[user] != item:
            count[last[user], item] += 1
        last[user] = item
    want = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(table(Transitions().fit(dataset(events))), want, rtol=1e-6)


def test_the_last_item_weighs_most_and_a_gap_ends_a_chain() -> None:
    frame = {"user": [1, 1, 2, 2], "item": [1, 2, 3, 4], "timestamp": [0, 60, 0, 7200]}
    data = Dataset.from_frame(frame)
    assert lists(Transitions().fit(data).retrieve(ask([1, 3], [3, 1]), 9)) == [[4, 2], [2, 4]]
    assert lists(Transitions(recency=0).fit(data).retrieve(ask([1, 3]), 1)) == [[4]]
    assert lists(Transitions(gap="1h").fit(data).retrieve(ask([3], [1]), 9)) == [[], [2]]
    faded = Transitions(half_life="1h").fit(
        Dataset.from_frame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 3], "timestamp": [0, 1, 7200, 7201]})
    )
    assert lists(faded.retrieve(ask([1]), 9)) == [[3, 2]]


def lists(found: Retrieved) -> list[list[int]]:
    return [found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


@settings(max_examples=30)
@given(EVENTS, st.floats(0.5, 5), st.integers(1, 8))
def test_slim_is_the_ridge_regression_on_the_neighbours(
    events: list[tuple[int, int]], regularization: float, n_neighbors: int
) -> None:
    data = dataset(events)
    near = ItemKNN(n_neighbors=n_neighbors).fit(data)
    gram = dense(data).T @ dense(data)
    want = np.zeros((9, 9))
    for item in range(9):
        mine = near.neighbor_[near.offsets_[item] : near.offsets_[item + 1]]
        system = gram[np.ix_(mine, mine)] + regularization * np.eye(len(mine))
        want[mine, item] = np.maximum(np.linalg.solve(system, gram[mine, item]), 0)
    found = table(SLIM(n_neighbors=n_neighbors, regularization=regularization).fit(data))
    np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-5)


def test_slim_learns_a_catalogue_whose_rows_and_codes_do_not_fit_one_sort_key() -> None:
    n = 1 << 15  # rows and codes of 16 bits each, beside the 32 of a score
    item = np.concatenate([np.arange(1, n), np.arange(2, n + 1)])  # user u took items u and u + 1
    user = np.tile(np.arange(1, n), 2)
    data = Dataset.from_frame({"user": user, "item": item, "timestamp": np.zeros(len(item))})
    slim = SLIM(n_neighbors=2, regularization=1.0).fit(data)
    assert set(slim.neighbor_[slim.offsets_[n - 1] : slim.offsets_[n]].tolist()) == {n - 2, n}
    assert (np.diff(slim.offsets_)[2:-1] == 2).all()


def test_slim_with_all_neighbours_is_ease_without_its_negative_weights() -> None:
    rng = np.random.default_rng(0)
    data = dataset(
        [(int(u), int(i)) for u, i in zip(rng.integers(1, 40, 300), rng.integers(1, 9, 300), strict=True)]
    )
    full = EASE(regularization=5.0).fit(data).weight_
    found = table(SLIM(regularization=5.0).fit(data))
    np.testing.assert_allclose(found, np.maximum(full, 0), atol=1e-4)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (ItemKNN, {"asymmetry": 1.5}),
        (ItemKNN, {"weighting": "idf"}),
        (RP3beta, {"n_neighbors": 0}),
        (RP3beta, {"alpha": -1.0}),
        (RP3beta, {"beta": np.inf}),
        (RP3beta, {"max_history": 0}),
        (CoOccurrence, {"gap": "soon"}),
        (CoOccurrence, {"normalization": "jaccard"}),
        (CoOccurrence, {"n_neighbors": 0}),
        (CoOccurrence, {"min_count": -1.0}),
        (CoOccurrence, {"max_history": 0}),
        (Transitions, {"n_neighbors": 0}),
        (Transitions, {"recency": 2.0}),
        (Transitions, {"max_history": 0}),
        (SLIM, {"n_neighbors": 0}),
        (SLIM, {"regularization": 0.0}),
        (SLIM, {"max_history": 0}),
    ],
)
def test_options_out_of_range(make: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make(**options)
