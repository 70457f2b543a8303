"""What every source that learns from interactions owes its users, and what EASE, GraphFilter and PureSVD compute."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.candidates import (
    EASE,
    IALS,
    SLIM,
    CoOccurrence,
    GraphFilter,
    ItemKNN,
    PureSVD,
    Refreshed,
    RP3beta,
    Transitions,
    Unseen,
    _retrieve,
    ease,
)
from recokit.data import Dataset, Ragged, Requests, Retrieved, from_state, to_state
from recokit.errors import ConfigurationError, DataError, NotFittedError, VocabularyMismatch

EVENTS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), min_size=1, max_size=40)

MODELS = [
    EASE(regularization=3.0),
    GraphFilter(),
    GraphFilter(response=[0.2, -0.1], n_factors=6),
    IALS(4, unobserved_weight=0.5, n_iterations=5),
    ItemKNN(n_neighbors=20),
    PureSVD(n_factors=6),
    RP3beta(n_neighbors=20),
    SLIM(n_neighbors=10, regularization=3.0),
    CoOccurrence(gap="20s"),
    Transitions(),
]

#: Those whose score is a sum over the history; the fold-in of a factorisation weighs its parts against each other.
LINEAR = [model for model in MODELS if not isinstance(model, IALS | Transitions)]


def ask(*histories: list[int], **ragged: list[list[int]]) -> Requests:
    return Requests.build(
        np.zeros(len(histories), np.int64),
        ragged={
            "history": Ragged.from_lists(list(histories)),
            **{name: Ragged.from_lists(lists) for name, lists in ragged.items()},
        },
    )


def lists(found: Retrieved) -> list[list[int]]:
    return [found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def made(seed: int = 0, n_users: int = 60, n_items: int = 40, n_events: int = 900) -> Dataset:
    """Return clustered interactions; the last two items have none."""
    rng = np.random.default_rng(seed)
    user = rng.integers(1, n_users + 1, n_events)
    item = (user % 4) * 9 + rng.integers(1, 13, n_events)
    frame = {"user": user, "item": np.minimum(item, n_items - 2), "timestamp": np.arange(n_events)}
    return Dataset.from_frame(frame, items={"item_id": np.arange(1, n_items + 1)})


def dense(data: Dataset) -> np.ndarray:
    return data.interactions.matrix(data.n_users, data.n_items).toarray().astype(np.float64)


def same(one: Retrieved, other: Retrieved) -> None:
    np.testing.assert_array_equal(one.offsets, other.offsets)
    np.testing.assert_array_equal(one.item, other.item)
    np.testing.assert_array_equal(one.score, other.score)


# -- against dense computations ------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(EVENTS, st.floats(0.5, 20))
def test_ease_is_the_closed_form(events: list[tuple[int, int]], regularization: float) -> None:
    users, items = map(np.array, zip(*events, strict=True))
    data = Dataset.from_frame({"user": users, "item": items, "timestamp": np.arange(len(events))})
    x = dense(data)
    inverse = np.linalg.inv(x.T @ x + regularization * np.eye(x.shape[1]))
    want = -inverse / np.diag(inverse)
    np.fill_diagonal(want, 0)
    model = EASE(regularization=regularization).fit(data)
    np.testing.assert_allclose(model.weight_, want, atol=2e-5)
    found = model.retrieve(ask([1]), data.n_items)
    np.testing.assert_allclose(found.score, want[1, found.item], atol=2e-5)
    assert sorted(found.item.tolist()) == list(range(1, data.n_items + 1))


@settings(max_examples=30, deadline=None)
@given(EVENTS, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_one_hop_is_the_damped_count_of_shared_users(
    events: list[tuple[int, int]], by_user: float, by_item: float, by_target: float
) -> None:
    users, items = map(np.array, zip(*events, strict=True))
    data = Dataset.from_frame({"user": users, "item": items, "timestamp": np.arange(len(events))})
    x = dense(data)
    of_user, of_item = x.sum(axis=1), x.sum(axis=0)
    history = np.unique(data.item_ids.encode(items[:3]))
    want = np.zeros(x.shape[1])
    for target in range(1, x.shape[1]):
        for item in history:
            shared = np.flatnonzero(x[:, item] * x[:, target])
            strength = x[shared, item] * x[shared, target] * of_user[shared] ** -by_user
            want[target] += strength.sum() * of_item[item] ** -by_item * of_item[target] ** -by_target
    model = GraphFilter(user_exponent=by_user, item_exponent=by_item, target_exponent=by_target).fit(data)
    found = model.retrieve(ask(history.tolist()), data.n_items)
    assert set(found.item.tolist()) == set(np.flatnonzero(want).tolist())
    np.testing.assert_allclose(found.score, want[found.item], rtol=1e-4)


def test_the_response_is_a_polynomial_in_the_eigenvalues() -> None:
    data = made()
    x = dense(data)[1:, 1:]
    of_user, of_item = x.sum(axis=1), x.sum(axis=0)
    with np.errstate(divide="ignore"):
        graph = np.nan_to_num(
            x * of_user[:, None] ** -0.25 * np.where(of_item > 0, of_item**-0.5, 0), posinf=0
        )
    value, vector = np.linalg.eigh(graph.T @ graph)
    relative = value / value.max()
    full = (vector * (value + value.max() * (0.3 - 0.2 * relative + 0.1 * relative**2))) @ vector.T
    options = {"user_exponent": 0.5, "item_exponent": 0.5, "target_exponent": 0.5}
    model = GraphFilter(**options, response=[0.3, -0.2, 0.1], n_factors=100).fit(data)
    found = model.retrieve(ask([5, 9]), 40)
    want = full[[4, 8]].sum(axis=0)
    np.testing.assert_allclose(found.score, want[found.item - 1], rtol=1e-3, atol=1e-4)


def test_two_hops_reach_what_one_does_not() -> None:
    # 1 and 2 share user 1, 2 and 3 share user 2.
    data = Dataset.from_frame({"user": [1, 1, 2, 2], "item": [1, 2, 2, 3], "timestamp": range(4)})
    assert 3 not in lists(GraphFilter().fit(data).retrieve(ask([1]), 9))[0]
    assert 3 in lists(GraphFilter(response=[0, 0, 1.0]).fit(data).retrieve(ask([1]), 9))[0]


def test_pure_svd_projects_on_the_leading_singular_vectors() -> None:
    data = made()
    x = dense(data)
    basis = np.linalg.svd(x, full_matrices=False)[2][:4]
    found = PureSVD(n_factors=4).fit(data).retrieve(ask([3, 7]), 50)
    want = basis.T @ basis[:, [3, 7]].sum(axis=1)
    np.testing.assert_allclose(found.score, want[found.item], rtol=1e-3, atol=1e-4)


# -- what all owe ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=repr)
class TestEveryModel:
    def test_a_new_user_gets_what_a_known_one_with_that_history_gets(self, model: Any) -> None:
        model.fit(made())
        known = Requests.build(np.array([7]), ragged={"history": Ragged.from_lists([[4, 11, 2]])})
        same(model.retrieve(known, 20), model.retrieve(ask([4, 11, 2]), 20))

    def test_the_same_data_give_the_same_answers(self, model: Any) -> None:
        requests = ask([4, 11, 2], [8], [1, 30])
        first = model.fit(made()).retrieve(requests, 20)
        same(first, model.fit(made()).retrieve(requests, 20))

    def test_a_save_and_load_keeps_every_bit(self, model: Any) -> None:
        requests = ask([4, 11, 2], [8], [1, 30])
        loaded = from_state(*to_state(model.fit(made())))
        same(loaded.retrieve(requests, 20), model.retrieve(requests, 20))

    def test_blocks_do_not_matter(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        requests = ask(*[[1 + i % 38, 1 + (7 * i) % 38] for i in range(50)])
        model.fit(made())
        whole = model.retrieve(requests, 10)
        monkeypatch.setattr(_retrieve, "_BLOCK", 41 * 4)
        blocks = model.retrieve(requests, 10)
        assert lists(whole) == lists(blocks)
        np.testing.assert_allclose(whole.score, blocks.score, rtol=1e-5)

    def test_rows_without_a_known_item_get_nothing(self, model: Any) -> None:
        model.fit(made())
        # 40 has no interactions, 0 is unknown, 500 was added since.
        assert lists(model.retrieve(ask([], [40], [0, 0]), 5)) == [[], [], []]

    def test_an_item_without_interactions_is_never_returned(self, model: Any) -> None:
        found = model.fit(made()).retrieve(ask([3], [3, 40]), 100)
        assert not np.isin(found.item, [0, 39, 40]).any()
        assert lists(found)[0] == lists(found)[1]

    def test_a_very_long_history_is_answered(self, model: Any) -> None:
        found = model.fit(made()).retrieve(ask([1] * 33_333 + [2] * 66_666, [1, 2]), 50)
        assert np.isfinite(found.score).all()
        assert set(lists(found)[0]) <= set(lists(found)[1])
        assert lists(found)[0]

    def test_all_events_of_one_user_on_one_item(self, model: Any) -> None:
        data = Dataset.from_frame({"user": [1] * 5, "item": [1] * 5, "timestamp": range(5)})
        assert set(model.fit(data).retrieve(ask([1]), 5).item.tolist()) <= {1}

    def test_no_interactions_at_all(self, model: Any) -> None:
        data = Dataset.from_frame(None, items={"item_id": [7, 8, 9]})
        assert lists(model.fit(data).retrieve(ask([1], []), 5)) == [[], []]

    def test_inputs_stay_as_they_are_and_equal_weights_do_not_matter(self, model: Any) -> None:
        data = made()
        weight = data.interactions.weight.copy()
        model.fit(data)
        np.testing.assert_array_equal(data.interactions.weight, weight)

    def test_excluded_items_use_up_no_place(self, model: Any) -> None:
        model.fit(made())
        free = lists(model.retrieve(ask([4, 11, 2]), 100))[0]
        out = free[:5]
        assert lists(model.retrieve(ask([4, 11, 2], exclude=[out]), 5))[0] == free[5:10]

    def test_unfitted(self, model: Any) -> None:
        fresh = type(model)()
        with pytest.raises(NotFittedError, match=type(model).__name__):
            fresh.retrieve(ask([1]), 5)


@pytest.mark.parametrize("model", LINEAR, ids=repr)
def test_duplicates_count_by_their_weight(model: Any) -> None:
    model.fit(made())
    short = model.retrieve(ask([1, 2, 2]), 50)
    long = model.retrieve(ask([1] * 33_333 + [2] * 66_666), 50)
    assert lists(short)[0][:3] == lists(long)[0][:3]
    np.testing.assert_allclose(short.score * 33_333, long.score, rtol=2e-3, atol=0.5)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_that_are_no_weights_are_refused_before_any_model(weight: float) -> None:
    frame = {"user": [1, 2], "item": [1, 1], "timestamp": [0, 1], "weight": [1.0, weight]}
    with pytest.raises(DataError, match="weight"):
        Dataset.from_frame(frame)


def test_more_weight_pulls_harder() -> None:
    data = made()
    for model in (EASE(regularization=3.0).fit(data), GraphFilter().fit(data)):
        light = model.retrieve(ask([4, 30]), 40)
        heavy = Requests.build(
            np.zeros(1, np.int64),
            ragged={
                "history": Ragged(
                    np.array([0, 2]), np.array([4, 30]), {"weight": np.array([100.0, 1.0], np.float32)}
                )
            },
        )
        alone = lists(model.retrieve(ask([4]), 40))[0]
        assert lists(model.retrieve(heavy, 40))[0][:3] == alone[:3]
        assert len(light.item)


def test_old_events_fade() -> None:
    data = Dataset.from_frame(
        {"user": [1, 1, 2, 2], "item": [1, 2, 1, 3], "timestamp": [0.0, 0, 86_400 * 300, 86_400 * 300]}
    )
    found = GraphFilter(half_life="30D", target_exponent=0.0).fit(data).retrieve(ask([1]), 9)
    assert lists(found)[0].index(3) < lists(found)[0].index(2)


# -- options and limits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (EASE, {"regularization": 0.0}),
        (EASE, {"regularization": np.nan}),
        (EASE, {"max_history": 0}),
        (EASE, {"max_memory": 0}),
        (EASE, {"half_life": "soon"}),
        (GraphFilter, {"user_exponent": np.nan}),
        (GraphFilter, {"response": [np.inf]}),
        (GraphFilter, {"n_factors": 0}),
        (GraphFilter, {"max_history": 0}),
        (IALS, {"n_factors": 0}),
        (IALS, {"n_iterations": 0}),
        (IALS, {"unobserved_weight": 0.0}),
        (IALS, {"regularization": np.nan}),
        (IALS, {"frequency_exponent": np.inf}),
        (IALS, {"max_history": 0}),
        (PureSVD, {"n_factors": 0}),
        (PureSVD, {"max_history": -1}),
    ],
)
def test_options_out_of_range(make: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make(**options)


def test_ease_refuses_what_memory_cannot_hold_before_it_starts() -> None:
    with pytest.raises(DataError, match=r"40 items, whose matrix takes .*; hint: candidates.SLIM"):
        EASE(max_memory=1000).fit(made())


def test_ease_says_when_the_matrix_is_singular() -> None:
    frame = {"user": [1, 1], "item": [1, 2], "timestamp": [0, 1], "weight": [1e6, 1e6]}
    with pytest.raises(DataError, match="raise regularization"):
        EASE(regularization=1e-6).fit(Dataset.from_frame(frame))


def test_ease_fits_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = EASE().fit(made()).weight_
    monkeypatch.setattr(ease, "_BLOCK", 41 * 7)
    np.testing.assert_allclose(EASE().fit(made()).weight_, whole, atol=1e-6)


# -- Unseen and Refreshed --------------------------------------------------------------------------------------------


class Stubborn:
    """A source that looks at nothing."""

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        return Retrieved.from_padded(
            np.tile(np.arange(1, limit + 1), (len(requests), 1)),
            np.tile(-np.arange(limit, dtype=np.float32), (len(requests), 1)),
        )


@pytest.mark.parametrize("source", [Stubborn(), GraphFilter(response=[1.0])], ids=["stubborn", "heeding"])
def test_unseen_fills_its_limit_with_what_is_new(source: Any) -> None:
    found = Unseen(source).fit(made()).retrieve(ask([1, 2, 3], [2], exclude=[[5], []]), 4)
    assert [len(row) for row in lists(found)] == [4, 4]
    assert not set(lists(found)[0]) & {1, 2, 3, 5}
    assert 2 not in lists(found)[1]


def test_unseen_and_refreshed_want_sources() -> None:
    with pytest.raises(ConfigurationError, match="expected an object with retrieve"):
        Unseen(made())
    with pytest.raises(ConfigurationError, match="expected an object with fit"):
        Refreshed(Stubborn())


def test_a_refresh_of_other_items_is_refused_and_changes_nothing() -> None:
    source = Refreshed(GraphFilter()).fit(made())
    before = source.retrieve(ask([3]), 9)
    with pytest.raises(VocabularyMismatch, match="with_interactions"):
        source.refresh(made(n_items=50))
    same(before, source.retrieve(ask([3]), 9))
    with pytest.raises(NotFittedError):
        Refreshed(GraphFilter()).refresh(made())


def test_a_refresh_under_load_is_seen_whole_or_not_at_all() -> None:
    versions = [made(seed) for seed in range(4)]
    source = Refreshed(GraphFilter()).fit(versions[0])
    requests = ask([3], [20, 21])
    allowed = {str(lists(GraphFilter().fit(data).retrieve(requests, 9))) for data in versions}
    assert len(allowed) == 4
    seen: list[str] = []
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            seen.append(str(lists(source.retrieve(requests, 9))))

    threads = [threading.Thread(target=serve) for _ in range(2)]
    for thread in threads:
        thread.start()
    for data in [*versions[1:], *versions] * 3:
        source.refresh(data)
        answered = len(seen)
        while len(seen) < answered + 3 and any(thread.is_alive() for thread in threads):
            time.sleep(0.001)  # on a busy machine no thread may have had a turn yet
    stop.set()
    for thread in threads:
        thread.join()
    assert set(seen) <= allowed
    assert len(set(seen)) > 1


def test_a_refreshed_source_is_saved_with_its_model() -> None:
    source = Refreshed(GraphFilter()).fit(made())
    source.refresh(made().with_interactions(made(2).interactions))
    loaded = from_state(*to_state(source))
    same(loaded.retrieve(ask([3]), 9), source.retrieve(ask([3]), 9))
    assert loaded.fitted_until_ == source.fitted_until_
