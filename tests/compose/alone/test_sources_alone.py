"""Sources alone: on matrices and frames, asked by ids."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_matrix

import recokit as rk
from recokit import candidates
from recokit.errors import DataError, NotFittedError

DENSE = np.random.default_rng(0).poisson(0.4, (30, 12))

FITTING = [
    candidates.ItemKNN(),
    candidates.RP3beta(),
    candidates.EASE(),
    candidates.SLIM(),
    candidates.PureSVD(n_factors=4),
    candidates.GraphFilter(n_factors=4),
    candidates.IALS(n_factors=4),
    candidates.Popular(),
    candidates.History(),
    candidates.Explore(),
    candidates.CoOccurrence(),
    candidates.UserKNN(),
    candidates.Merge([candidates.ItemKNN(), candidates.Popular()]),
    candidates.Unseen(candidates.Popular()),
    candidates.FirstOf([candidates.EASE(), candidates.Popular()]),
]


@pytest.mark.parametrize("source", FITTING, ids=repr)
def test_matrix_in_lists_out_as_from_a_pipeline(source: object) -> None:
    found = rk._utils.params.clone(source).fit(csr_matrix(DENSE)).recommend([0, 7, 29], 5)
    assert len(found) == 3
    assert all(0 <= item < 12 for row in range(3) for item in found.ids(row))
    row, column = np.nonzero(DENSE)
    log = {"user_id": row, "item_id": column, "weight": DENSE[row, column], "timestamp": np.zeros(len(row))}
    data = rk.Dataset.from_frame(log, users={"user_id": np.arange(30)}, items={"item_id": np.arange(12)})
    pipeline = rk.Pipeline([source]).fit(data)
    expected = pipeline.recommend([0, 7, 29], k=5, now=1.0)
    assert [found.ids(row) for row in range(3)] == [expected.ids(row) for row in range(3)]


@pytest.mark.parametrize("form", [csr_matrix, coo_array, np.asarray, lambda m: m.astype(np.float64)])
def test_forms_of_a_matrix(form: object) -> None:
    found = candidates.ItemKNN().fit(form(DENSE)).recommend([3], 4)
    assert found.ids(0) == candidates.ItemKNN().fit(csr_matrix(DENSE)).recommend([3], 4).ids(0)


@pytest.mark.parametrize("form", [csr_matrix, np.asarray])
@pytest.mark.parametrize(
    "source", [candidates.ItemKNN(), candidates.EASE(), candidates.IALS(n_factors=4)], ids=repr
)
def test_rows_of_a_matrix_are_histories(source: object, form: object) -> None:
    fitted = rk._utils.params.clone(source).fit(csr_matrix(DENSE))
    rows = [2, 5, 11]
    by_row = fitted.recommend(form(DENSE[rows]), 5, exclude_seen=True)
    by_user = fitted.recommend(rows, 5, exclude_seen=True)
    for row in range(3):
        assert by_row.ids(row) == by_user.ids(row)
        assert np.allclose(by_row.scores(row), by_user.scores(row), rtol=1e-4)


def test_frame_with_text_ids() -> None:
    log = {
        "user": ["ann", "ann", "bob", "bob", "cat"],
        "item": ["a", "b", "a", "b", "a"],
        "timestamp": [1, 2, 3, 4, 5],
    }
    source = candidates.ItemKNN().fit(log)
    assert source.recommend(["cat"], 3, exclude_seen=True).ids(0) == ["b"]
    assert source.recommend([None], 3, history=[["b"]], exclude_seen=True).ids(0) == ["a"]
    unknown = source.recommend(["nobody"], 3)
    assert unknown.ids(0) == []
    assert "unknown" in unknown.reasons[0][0]


def test_seen_items_are_left_out_on_request_of_the_ends_of_the_log_too() -> None:
    source = candidates.Popular().fit(csr_matrix(DENSE))
    for user in range(30):
        found = source.recommend([user], 12, exclude_seen=True).ids(0)
        assert set(found) == set(np.flatnonzero(DENSE[user] == 0).tolist())


@pytest.mark.parametrize(
    "source",
    [
        candidates.Transitions(),
        candidates.Trending(),
        candidates.Repurchase(),
        candidates.Merge([candidates.Popular(), candidates.Transitions()]),
    ],
    ids=repr,
)
def test_a_matrix_has_no_times(source: object) -> None:
    with pytest.raises(DataError, match=r"order of events.*hint"):
        source.fit(csr_matrix(DENSE))


@pytest.mark.parametrize("wrong", [None, 3, "log.csv", [1, 2], np.arange(3), candidates.Popular()])
def test_what_holds_no_events(wrong: object) -> None:
    with pytest.raises(DataError, match=r"found .* for ItemKNN; expected .*hint"):
        candidates.ItemKNN().fit(wrong)


def test_without_data_and_with_data_of_the_call() -> None:
    data = rk.testing.toy_dataset()
    with pytest.raises(NotFittedError, match="data="):
        candidates.ItemKNN().recommend(["user-3"], 3)
    inside = rk.Pipeline([candidates.ItemKNN()]).fit(data)["item_knn"]
    with pytest.raises(NotFittedError, match="data="):
        inside.recommend(["user-3"], 3)
    alone = candidates.ItemKNN().fit(data)
    assert inside.recommend(["user-3"], 3, data=data).ids(0) == alone.recommend(["user-3"], 3).ids(0)
    assert pickle.loads(pickle.dumps(alone)).recommend(["user-3"], 3).ids(0)
    function = candidates.FromFunction(lambda requests, limit: [[101, 102]] * len(requests))
    assert function.recommend(["user-3"], 2, data=data).ids(0) == [101, 102]
    assert candidates.Editorial([104]).fit(data).recommend([None], 2).ids(0) == [104]


def test_lists_go_into_evaluate() -> None:
    train, test = rk.testing.toy_dataset().split_at(rk.testing.toy_dataset().interactions.timestamp[-40])
    source = candidates.ItemKNN().fit(train)
    users = train.user_ids.ids
    report = rk.evaluate(source.recommend(users, 5), test, ["NDCG@5"])
    assert np.isfinite(report["NDCG@5"].mean)
