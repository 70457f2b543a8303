"""Awkward data, for every ranker that learns: a right answer or a typed error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sklearn.tree
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from recokit import rankers
from recokit._utils.params import clone
from recokit._utils.threads import limited_threads
from recokit.data import Candidates, RankingData, Schema, Table, Vocabulary
from recokit.errors import ConfigurationError, DataError, NotFittedError

NAMES = ("clicks", "price", "age")
QUICK = {"n_epochs": 15, "learning_rate": 0.02, "batch_size": 100}
RANKERS = [
    rankers.Blend([rankers.LinearRanker(), rankers.LinearRanker("bpr")]),
    rankers.Cascade([(rankers.LinearRanker(), None), (rankers.LinearRanker("bpr"), 100)]),
    rankers.CrossNetwork(hidden=(8,), **QUICK),
    rankers.FromEstimator(
        make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression())
    ),
    rankers.FromEstimator(make_pipeline(SimpleImputer(keep_empty_features=True), Ridge())),
    rankers.FromEstimator(sklearn.tree.DecisionTreeClassifier(max_depth=5, random_state=0)),
    rankers.GradientBoosting(n_estimators=20, min_samples_leaf=5),
    rankers.LambdaMART(n_estimators=20, min_samples_leaf=5),
    rankers.LightGBM(n_estimators=40, min_child_samples=5, num_threads=1),
    rankers.LightGBM(objective="lambdarank", n_estimators=40, min_child_samples=5, num_threads=1),
    *(
        rankers.LightGBM(objective=objective, n_estimators=20, min_child_samples=5, num_threads=1)
        for objective in ("binary", "lambdarank", "rank_xendcg", "regression")
    ),
    rankers.LinearRanker("bpr"),
    rankers.LinearRanker("lambdarank"),
    rankers.LinearRanker("softmax"),
    rankers.LogisticRegression(),
    rankers.MultiObjective({"click": 2.0}),
    *(rankers.NeuralNet((8,), loss=loss, **QUICK) for loss in ("log", "softmax", "bpr", "lambdarank")),
]
#: Losses that learn from the order within groups alone.
ORDINAL = ("softmax", "bpr", "lambdarank", "rank_xendcg")
CLASSIFIERS = (
    rankers.FromEstimator,
    rankers.GradientBoosting,
    rankers.LogisticRegression,
    rankers.MultiObjective,
)


def make_data(offsets, seed=0, extra=None):
    """A positive where clicks less age are high, seen through noise; ``extra`` is a further column."""
    offsets = np.asarray(offsets)
    n = int(offsets[-1])
    rng = np.random.default_rng(seed)
    x = np.stack([rng.lognormal(0, 1, n), rng.normal(50, 10, n), rng.normal(size=n)], axis=1)
    signal = np.log1p(x[:, 0]) - x[:, 2]
    label = (signal + rng.normal(0, 0.5, n) > 1.0).astype(np.float32)
    names = NAMES
    if extra is not None:
        x, names = np.column_stack([x, np.full(n, extra)]), (*NAMES, "extra")
    return RankingData(
        x.astype(np.float32), names, label, np.ones(n, np.float32), offsets,
        np.repeat(np.arange(1, len(offsets)), np.diff(offsets)), np.arange(1, n + 1), np.zeros(n),
        columns={"event.click": label > 0},
    )  # fmt: skip


def as_batch(data):
    lists = [list(range(a + 1, b + 1)) for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    return Candidates.from_lists(lists, features=data.features, feature_names=data.feature_names)


def auc(score, label):
    rank = np.argsort(np.argsort(score, kind="stable"), kind="stable")
    n_positive = int(label.sum())
    least = n_positive * (n_positive - 1) / 2
    return (rank[label > 0].sum() - least) / (n_positive * (len(label) - n_positive))


PLAIN = np.arange(0, 601, 20)
HELD = make_data([0, 500], seed=9)


@pytest.fixture(autouse=True)
def one_thread():
    """OpenMP's threads wait for each other by spinning, which takes seconds on busy cores."""
    with limited_threads(1):
        yield


@pytest.fixture(params=RANKERS, ids=repr)
def ranker(request):
    return clone(request.param)


def test_learns_the_order(ranker):
    score = ranker.fit(make_data(PLAIN)).score(as_batch(HELD))
    assert score.dtype == np.float32 and auc(score, HELD.label) > 0.85


@pytest.mark.parametrize("extra", [7.0, 0.0, 1e9, np.nan], ids=["seven", "zero", "huge", "all missing"])
def test_a_column_that_says_nothing(ranker, extra):
    ranker.fit(make_data(PLAIN, extra=extra))
    held = make_data([0, 500], seed=9, extra=extra)
    score = ranker.score(as_batch(held))
    assert auc(score, held.label) > 0.85
    if not np.isnan(extra):
        # Never missing, never different: a missing value cannot have been given a meaning.
        absent = replace(held, features=np.where(np.arange(4) == 3, np.nan, held.features).astype(np.float32))
        assert np.isfinite(ranker.score(as_batch(absent))).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_class_only(ranker, value):
    data = make_data(PLAIN)
    label = np.full_like(data.label, value)
    with pytest.raises(DataError, match="expected"):
        ranker.fit(replace(data, label=label, columns={"event.click": label > 0}))


def test_a_label_that_is_missing_or_negative(ranker):
    data = make_data(PLAIN)
    label = data.label.copy()
    label[3] = np.nan
    with pytest.raises(DataError, match=r"label=nan.*rows 3"):
        ranker.fit(replace(data, label=label))
    label[3] = -1.0
    if isinstance(ranker, rankers.MultiObjective):
        return  # events happen or do not
    with pytest.raises(DataError, match=r"label -1.0.*rows 3"):
        ranker.fit(replace(data, label=label))


def test_no_rows(ranker):
    with pytest.raises(DataError, match="0 rows"):
        ranker.fit(make_data([0]))


def test_groups_of_no_and_one_row(ranker):
    offsets = np.sort(np.concatenate([[0, 0], np.arange(1, 40), PLAIN[2:], [300, 600, 600]]))
    ranker.fit(make_data(offsets))
    batch = as_batch(make_data([0, 0, 1, 1, 500], seed=9))
    assert auc(ranker.score(batch), HELD.label) > 0.85


def test_more_groups_than_rows(ranker):
    """Most requests came back empty."""
    offsets = np.concatenate([np.zeros(300, np.int64), PLAIN, np.full(400, 600)])
    data = make_data(offsets)
    assert len(offsets) - 1 > len(data)
    batch = as_batch(make_data([0, 0, 500, 500], seed=9))
    np.testing.assert_array_equal(
        ranker.fit(data).score(batch), clone(ranker).fit(make_data(PLAIN)).score(batch)
    )


def test_only_groups_of_one_row(ranker):
    data = make_data(np.arange(601))
    loss = getattr(ranker, "loss", getattr(ranker, "objective", "softmax"))
    if loss in ORDINAL and not isinstance(ranker, CLASSIFIERS):
        with pytest.raises(DataError, match=r"expected a group with a positive and a negative.*hint"):
            ranker.fit(data)
    else:
        assert auc(ranker.fit(data).score(as_batch(HELD)), HELD.label) > 0.85


def test_ten_thousand_candidates_in_one_group(ranker):
    score = ranker.fit(make_data([0, 10_000])).score(as_batch(make_data([0, 10_000], seed=9)))
    assert auc(score, make_data([0, 10_000], seed=9).label) > 0.85


def test_features_in_another_order_and_under_another_name(ranker):
    ranker.fit(make_data(PLAIN))
    expected = ranker.score(as_batch(HELD))
    order = [2, 0, 1]
    names = tuple(NAMES[i] for i in order)
    moved = replace(HELD, features=HELD.features[:, order], feature_names=names)
    np.testing.assert_array_equal(ranker.score(as_batch(moved)), expected)
    ids = Vocabulary(["a"])
    bound = ranker.bind(Schema(ids, ids, Table.empty(1), Table.empty(1), feature_names=names))
    np.testing.assert_array_equal(bound.score(as_batch(moved)), expected)
    renamed = replace(HELD, feature_names=("click", "price", "age"))
    with pytest.raises(ConfigurationError, match=r"no feature 'clicks'.*did you mean 'click'"):
        ranker.score(as_batch(renamed))


def test_everything_missing_and_nothing_to_score(ranker):
    ranker.fit(make_data(PLAIN))
    blank = replace(HELD, features=np.full_like(HELD.features, np.nan))
    assert np.isfinite(ranker.score(as_batch(blank))).all()
    assert ranker.score(as_batch(make_data([0, 0]))).shape == (0,)


def test_before_fit(ranker):
    with pytest.raises(NotFittedError, match="before fit"):
        ranker.score(as_batch(HELD))


def test_equal_whatever_the_threads(ranker):
    from threadpoolctl import threadpool_limits

    data, batch = make_data(PLAIN), as_batch(HELD)
    scores = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            scores.append(clone(ranker).fit(data).score(batch))
    # scikit-learn's own solver of logistic regression
    exact = not isinstance(ranker, (rankers.LogisticRegression, rankers.MultiObjective))
    np.testing.assert_allclose(scores[0], scores[1], rtol=0, atol=0 if exact else 1e-6)
