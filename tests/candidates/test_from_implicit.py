"""Models of the implicit library: the answers of the library itself, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recokit.candidates import FromImplicit
from recokit.data import Dataset, Ragged, Requests, Retrieved, from_state, to_state
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.testing import toy_dataset

DATA = toy_dataset()
HISTORIES = [[3, 7, 7, 11], [1], [], [0, 999], [2, 4, 6, 8, 10]]


def ask(*histories: list[int], exclude: bool = False) -> Requests:
    named = {"history": Ragged.from_lists(list(histories))}
    return Requests.build(
        np.zeros(len(histories), np.int64), ragged=named | ({"exclude": named["history"]} if exclude else {})
    )


def lists(found: Retrieved) -> list[list[int]]:
    return [found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def matrix_of(histories: list[list[int]]) -> csr_matrix:
    matrix = np.zeros((len(histories), DATA.n_items + 1), np.float32)
    for row, items in enumerate(histories):
        for item in items:
            if 0 < item <= DATA.n_items:
                matrix[row, item] += 1
    return csr_matrix(matrix)


def factorisation(n: int = DATA.n_items + 1, **options: float) -> SimpleNamespace:
    factors = np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)
    return SimpleNamespace(item_factors=factors, **{"regularization": 0.1, "alpha": 2.0, **options})


@pytest.mark.filterwarnings("ignore")  # those of implicit itself
@pytest.mark.parametrize("kind", ["als", "cosine", "bm25"])
def test_it_answers_as_implicit_does(kind: str) -> None:
    pytest.importorskip("implicit")
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    model = {
        "als": lambda: AlternatingLeastSquares(
            8, alpha=3.0, regularization=0.2, iterations=3, random_state=0, use_gpu=False
        ),
        "cosine": lambda: CosineRecommender(K=8),
        "bm25": lambda: BM25Recommender(K=8),
    }[kind]()
    model.fit(DATA.interactions.matrix(DATA.n_users, DATA.n_items), show_progress=False)
    known = [row for row in HISTORIES if any(0 < item <= DATA.n_items for item in row)]
    users = np.arange(len(known))
    more = {"recalculate_user": True} if kind == "als" else {}
    ids, score = model.recommend(users, matrix_of(known), N=10, **more)
    source = FromImplicit(model).fit(DATA)
    found = source.retrieve(ask(*known, exclude=True), 10)
    lowest = -1e30 if kind == "als" else 0.0  # what implicit fills short lists with
    want = [
        [(i, s) for i, s in zip(*row, strict=True) if i > 0 and s > lowest]
        for row in zip(ids, score, strict=True)
    ]
    np.testing.assert_allclose(found.score, [s for row in want for _, s in row], rtol=1e-3, atol=1e-5)
    if kind == "als":  # neighbours tie often
        assert lists(found) == [[i for i, _ in row] for row in want]
        rows = model.recalculate_user(users, matrix_of(known))
        np.testing.assert_allclose(source.user_factors(ask(*known)), rows, rtol=1e-3, atol=1e-5)


def test_a_history_gets_the_exact_optimum_of_the_models_own_loss() -> None:
    model = factorisation()
    source = FromImplicit(model).fit(DATA)
    found = source.user_factors(ask(*HISTORIES))
    factors = model.item_factors.astype(np.float64)
    for row, weights in enumerate(matrix_of(HISTORIES).toarray()):
        confidence = np.where(weights > 0, 2.0 * weights, 1.0)
        left = (factors * confidence[:, None]).T @ factors + 0.1 * np.eye(6)
        want = np.linalg.solve(left, factors.T @ np.where(weights > 0, confidence, 0.0))
        np.testing.assert_allclose(found[row], want, rtol=2e-3, atol=1e-4)
    assert [len(row) for row in lists(source.retrieve(ask(*HISTORIES), 5))] == [5, 5, 0, 0, 5]


def test_columns_are_found_by_their_ids_and_others_never_returned() -> None:
    data = Dataset.from_frame({"user": [1, 2, 2], "item": ["a", "b", "c"], "timestamp": [1, 2, 3]})
    cells = np.array([[0, 0, 0.9, 0.4], [0, 0, 0, 0], [0.9, 0, 0, 0.2], [0.4, 0, 0.2, 0]])
    source = FromImplicit(SimpleNamespace(similarity=csr_matrix(cells)), items=["c", "gone", "x", "a"]).fit(
        data
    )
    codes = data.item_ids.encode(["a", "b", "c"]).tolist()
    found = source.retrieve(ask([codes[2]], [codes[1]]), 9)
    assert lists(found) == [[codes[0]], []] and found.score.tolist() == [pytest.approx(0.4)]
    assert source.n_unmatched_ == 2
    by_factors = FromImplicit(factorisation(4), items=["c", "gone", "x", "a"]).fit(data)
    assert sorted(lists(by_factors.retrieve(ask([codes[0]]), 9))[0]) == sorted([codes[0], codes[2]])
    assert lists(by_factors.similar(np.array([codes[0], 0, codes[1]]), 9)) == [[codes[2]], [], []]
    assert lists(source.similar(np.array([codes[0], 0]), 9)) == [[codes[2]], []]


def test_the_model_is_not_kept_and_a_saved_source_answers_the_same() -> None:
    for model in (factorisation(), SimpleNamespace(similarity=csr_matrix(np.eye(DATA.n_items + 1)))):
        source = FromImplicit(model, half_life="30D").fit(DATA)
        loaded = from_state(*to_state(source))
        assert lists(loaded.retrieve(ask(*HISTORIES), 5)) == lists(source.retrieve(ask(*HISTORIES), 5))
        assert loaded.fit(DATA).fitted_until_ == DATA.until


def test_until_tells_what_the_model_has_seen() -> None:
    assert FromImplicit(factorisation(), until="2030-01-01").fit(DATA).fitted_until_ == 1893456000.0


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (3, {}, ConfigurationError, "AnnIndex"),
        (SimpleNamespace(item_factors=np.eye(3), regularization=1.0), {}, ConfigurationError, "alpha"),
        (SimpleNamespace(item_factors=None, regularization=1.0, alpha=1.0), {}, NotFittedError, "unfitted"),
        (SimpleNamespace(K=20), {}, NotFittedError, "unfitted"),
        (factorisation(3), {"items": [1]}, ConfigurationError, "1 item ids and a model of 3"),
        (factorisation(3), {"max_history": 0}, ConfigurationError, "max_history=0"),
    ],
)
def test_what_is_no_fitted_model(model: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FromImplicit(model, **options)


def test_columns_that_do_not_fit_the_catalogue() -> None:
    ids = DATA.item_ids.decode([1, 1, 2]).tolist()
    for items, message in ((None, "3 columns.*hint: items="), ([-1, -2, -3], "none"), (ids, "twice")):
        with pytest.raises(DataError, match=message):
            FromImplicit(factorisation(3), items=items).fit(DATA)
    with pytest.raises(NotFittedError):
        FromImplicit(factorisation()).retrieve(ask([1]), 3)
