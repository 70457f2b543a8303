"""IALS against the normal equations, and what a warm start saves."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, strategies as st

from recokit.candidates import IALS, ials
from recokit.candidates.ials import _padded, solve_rows
from recokit.data import Dataset, Ragged, Requests
from recokit.errors import VocabularyMismatch


def optimum(
    weight: np.ndarray, columns: np.ndarray, unobserved: float, regularization: float, exponent: float
) -> np.ndarray:
    """Solve each row's normal equations by themselves, in float64."""
    columns = columns.astype(np.float64)
    found = []
    for row in weight.astype(np.float64):
        ridge = regularization * (row.sum() + unobserved * (len(columns) - 1)) ** exponent
        system = columns.T @ (columns * (row[:, None] + unobserved)) + ridge * np.eye(columns.shape[1])
        found.append(np.linalg.solve(system, columns.T @ row))
    return np.array(found)


@given(
    st.integers(0, 1000),
    st.integers(1, 40),
    st.floats(0.0, 1.0),
    st.floats(0.01, 2.0),
    st.floats(0.001, 1.0),
    st.floats(0.0, 1.0),
)
def test_every_row_is_at_its_optimum(
    seed: int, n_factors: int, density: float, unobserved: float, regularization: float, exponent: float
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.random((9, 31)) * (rng.random((9, 31)) < density)
    columns = rng.normal(size=(31, n_factors)).astype(np.float32)
    options = {"unobserved": unobserved, "regularization": regularization, "exponent": exponent}
    found = solve_rows(sp.csr_matrix(weight.astype(np.float32)), columns, **options)
    want = optimum(weight, columns, unobserved, regularization, exponent)
    np.testing.assert_allclose(found, want, rtol=2e-3, atol=2e-3 * max(1.0, abs(want).max()))


def test_blocks_and_threads_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    weight = sp.random(300, 80, 0.3, format="csr", random_state=1, dtype=np.float32)
    columns = rng.normal(size=(80, 16)).astype(np.float32)
    options = {"unobserved": 0.1, "regularization": 0.1, "exponent": 1.0}
    whole = solve_rows(weight, columns, **options)
    monkeypatch.setattr(ials, "_BLOCK", 1 << 12)
    many = solve_rows(weight, columns, **options)
    monkeypatch.setattr("recokit._utils.threads.usable_cores", lambda: 1)
    np.testing.assert_array_equal(solve_rows(weight, columns, **options), many)
    np.testing.assert_allclose(many, whole, rtol=1e-3, atol=1e-4)


def data(seed: int = 0, n_users: int = 80) -> Dataset:
    rng = np.random.default_rng(seed)
    user = rng.integers(1, n_users + 1, 1500)
    item = (user % 4) * 10 + rng.integers(1, 13, 1500)
    return Dataset.from_frame(
        {"user": user, "item": item, "timestamp": np.arange(1500)}, items={"item_id": np.arange(1, 45)}
    )


def loss(model: IALS, dataset: Dataset) -> float:
    """Return the loss that IALS minimises, each user at the optimum."""
    weight = dataset.interactions.matrix(dataset.n_users, dataset.n_items).toarray().astype(np.float64)[1:]
    items = model.item_factors_.astype(np.float64)
    a, r = model.unobserved_weight_, model.regularization
    users = optimum(weight, items, a, r, model.frequency_exponent)
    score = users @ items.T
    of_user = (weight.sum(axis=1) + a * (len(items) - 1)) ** model.frequency_exponent
    of_item = (weight.sum(axis=0) + a * len(weight)) ** model.frequency_exponent
    return float(
        (weight * (1 - score) ** 2).sum()
        + a * (score**2).sum()
        + r * (of_user @ (users**2).sum(axis=1) + of_item @ (items**2).sum(axis=1))
    )


def test_a_user_unknown_at_fit_gets_the_fold_in_optimum() -> None:
    model = IALS(6, unobserved_weight=0.1, regularization=0.003).fit(data())
    history = Ragged(
        np.array([0, 3, 3]), np.array([3, 20, 41]), {"weight": np.array([2.0, 1.0, 5.0], np.float32)}
    )
    requests = Requests.build(np.zeros(2, np.int64), ragged={"history": history})
    weight = np.zeros((2, len(model.item_factors_)))
    weight[0, [3, 20, 41]] = [2, 1, 5]
    want = optimum(weight, model.item_factors_, 0.1, 0.003, 1.0)
    found = model.user_factors(requests)
    np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-4)
    assert not found[1].any()
    answer = model.retrieve(requests, 5)
    np.testing.assert_allclose(answer.score, (model.item_factors_ @ want[0])[answer.item], rtol=1e-3)


def test_the_loss_falls_with_every_sweep() -> None:
    losses = [loss(IALS(6, n_iterations=n).fit(data()), data()) for n in (1, 2, 4, 8, 16)]
    assert losses == sorted(losses, reverse=True)


def test_three_warm_sweeps_reach_what_a_refit_does() -> None:
    old, new = data(0), data(0).with_interactions(data(1).interactions)
    refit = loss(IALS(6, n_iterations=30).fit(new), new)
    warm = IALS(6, n_iterations=30).fit(old)
    before = loss(warm, new)
    after = loss(warm.partial_fit(new), new)
    assert after < before
    assert after < refit * 1.02


def test_a_warm_start_keeps_factors_of_known_items_and_takes_new_ones() -> None:
    model = IALS(4).fit(data())
    frame = {"user": [1, 1, 2], "item": [1, 45, 45], "timestamp": [0, 1, 2]}
    grown = Dataset.from_frame(frame, items={"item_id": np.arange(1, 46)})
    assert model.partial_fit(grown).item_factors_[45].any()
    with pytest.raises(VocabularyMismatch, match="at least the 45"):
        model.partial_fit(data())
    fresh = IALS(4).partial_fit(data())
    np.testing.assert_array_equal(fresh.item_factors_, IALS(4).fit(data()).item_factors_)


def test_similar_items_are_of_the_same_taste() -> None:
    found = IALS(6).fit(data()).similar(np.array([5, 0, 44]), 6)
    assert np.diff(found.offsets).tolist() == [6, 0, 0]
    assert 5 not in found.item
    assert (found.item <= 12).mean() > 0.6
    assert (found.score <= 1.0001).all()


@pytest.mark.parametrize(
    ("cells", "filled"),
    [(1, 4), (4, 4), (5, 8), (32, 32), (33, 40), (40, 40), (128, 128), (129, 192), (192, 192), (193, 256)],
)
def test_rows_are_filled_up_to_few_sizes(cells: int, filled: int) -> None:
    assert _padded(cells) == filled


def test_what_was_not_taken_weighs_by_the_number_of_items() -> None:
    made = data()
    matrix = made.interactions.matrix(made.n_users, made.n_items)
    n_items = len(np.unique(made.interactions.item))
    model = IALS(4, n_iterations=1).fit(made)
    assert model.unobserved_weight is None
    assert model.unobserved_weight_ == pytest.approx(100 * matrix.sum() / matrix.nnz / n_items)
    assert IALS(4, unobserved_weight=0.2, n_iterations=1).fit(made).unobserved_weight_ == 0.2


@pytest.mark.parametrize(("each", "times"), [(5, 100), (25, 100), (26, 104), (60, 240)])
def test_users_of_many_items_make_the_others_weigh_more(each: int, times: float) -> None:
    rng = np.random.default_rng(0)
    item = np.concatenate([rng.permutation(80)[:each] + 1 for _ in range(12)])
    frame = {"user": np.repeat(np.arange(12), each), "item": item, "timestamp": np.arange(len(item))}
    made = Dataset.from_frame({**frame, "weight": np.full(len(item), 3.0)})
    model = IALS(4, n_iterations=1).fit(made)
    assert model.unobserved_weight_ == pytest.approx(times * 3.0 / len(np.unique(item)), rel=1e-5)
