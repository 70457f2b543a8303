"""Rankers alone: matrices, labels and groups in, a score for each row out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recokit import rankers
from recokit._utils.params import clone
from recokit.errors import ConfigurationError, DataError

RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(240, 3)).astype(np.float32)
Y = (X[:, 0] - X[:, 2] + 0.3 * RANDOM.normal(size=240) > 0).astype(float)
GROUPS = RANDOM.integers(0, 12, 240)

LEARNING = [
    rankers.LogisticRegression(),
    rankers.LinearRanker(),
    rankers.GradientBoosting(n_estimators=5),
    rankers.LambdaMART(n_estimators=5),
    rankers.Blend([rankers.LogisticRegression(), rankers.LinearRanker()]),
    rankers.Calibrated(rankers.LogisticRegression()),
]


@pytest.mark.parametrize("ranker", LEARNING, ids=repr)
def test_learns_the_order_and_scores_rows_in_their_own_order(ranker: Any) -> None:
    fitted = clone(ranker).fit(X, Y, GROUPS, validation=(X[:90], Y[:90], GROUPS[:90]))
    score = fitted.score(X, GROUPS)
    assert score.shape == (240,)
    assert score.dtype == np.float32
    assert score[Y > 0].mean() > score[Y == 0].mean()
    turned = fitted.score(X[::-1], GROUPS[::-1])
    assert np.allclose(turned[::-1], score, atol=1e-5)


def test_sizes_and_ids_are_the_same_groups() -> None:
    ids = np.repeat(["b", "a", "c"], [80, 100, 60])
    one = rankers.LinearRanker().fit(X, Y, ids).score(X)
    assert np.allclose(rankers.LinearRanker().fit(X, Y, [80, 100, 60]).score(X), one, atol=1e-5)
    assert not np.allclose(rankers.LinearRanker().fit(X, Y, RANDOM.permutation(ids)).score(X), one, atol=1e-3)


def test_frames_go_by_name() -> None:
    frame = {"price": X[:, 0], "clicks": X[:, 1], "age": X[:, 2]}
    ranker = rankers.LogisticRegression().fit(frame, Y)
    other_order = {"age": X[:, 2], "price": X[:, 0], "clicks": X[:, 1]}
    assert np.allclose(ranker.score(other_order), ranker.score(frame))
    assert np.allclose(ranker.score(X), ranker.score(frame))
    with pytest.raises(ConfigurationError, match="clicks"):
        ranker.score({"age": X[:, 2], "price": X[:, 0]})


def test_missing_values_weights_and_sparse_rows() -> None:
    holes = np.where(RANDOM.random(X.shape) < 0.1, np.nan, X)
    score = rankers.LogisticRegression().fit(holes, Y, weight=np.ones(240)).score(holes)
    assert np.isfinite(score).all()
    heavy = rankers.LogisticRegression().fit(X, Y, weight=np.where(Y > 0, 9.0, 1.0)).score(X)
    assert heavy.mean() > rankers.LogisticRegression().fit(X, Y).score(X).mean()
    assert rankers.LogisticRegression().fit(csr_matrix(X), Y).score(csr_matrix(X)).shape == (240,)


def test_rankers_without_fit() -> None:
    frame = {"price": [3.0, 1.0], "clicks": [0.0, 5.0]}
    assert rankers.Weighted({"price": 1.0}).score(frame).tolist() == [3.0, 1.0]
    function = rankers.FromFunction(lambda x: x[:, 0] * 2, features=["price"])
    assert function.score(frame).tolist() == [6.0, 2.0]


@pytest.mark.parametrize(
    ("x", "y", "groups", "message"),
    [
        (X, None, None, "found no labels"),
        (X, Y[:-1], None, r"found y of shape \(239,\)"),
        (X[:, 0], Y, None, r"found features of shape \(240,\)"),
        (np.array([["a"], ["b"]]), [0, 1], None, "expected numbers"),
        (X, Y, [100, 100], "found groups of shape"),
        (X, np.zeros(240), None, "found no positives"),
        (X, ["no"] * 240, None, "found y of shape"),
        ({"price": ["a", "b"]}, [0, 1], None, "found text in column 'price'"),
    ],
)
def test_what_does_not_fit(x: Any, y: Any, groups: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rankers.LogisticRegression().fit(x, y, groups)


def test_another_number_of_features() -> None:
    ranker = rankers.LogisticRegression().fit(X, Y)
    with pytest.raises(DataError, match="found 2 features without names; expected 3"):
        ranker.score(X[:, :2])
