"""LambdaMART: its derivatives, its leaves, and what it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recokit._utils.params import clone
from recokit._utils.threads import limited_threads
from recokit.data import Candidates, RankingData
from recokit.errors import ConfigurationError
from recokit.rankers import GradientBoosting
from recokit.rankers._losses import Groups, groups_of, mean_ndcg
from recokit.rankers.lambda_mart import LambdaMART, lambdas_of
from tests.rankers.test_light_gbm import NAMES, as_batch, make_data, order_found


@pytest.fixture(autouse=True)
def one_thread():
    """OpenMP's threads wait for each other by spinning, which takes seconds on busy cores."""
    with limited_threads(1):
        yield


def weighted_pairs(groups: Groups, score: np.ndarray) -> list[tuple[int, int, float]]:
    """Every pair of different gain and what swapping it would change NDCG by, one by one."""
    found = []
    for a, b in zip(groups.offsets[:-1], groups.offsets[1:], strict=True):
        rows = range(a, b)
        rank = {i: 1 + sum(groups.weight[j] for j in rows if score[j] > score[i]) for i in rows}
        best = sorted(rows, key=lambda i: -groups.label[i])
        place, ideal = 1.0, 0.0
        for i in best:
            ideal += groups.weight[i] * groups.label[i] / np.log2(place + 1)
            place += groups.weight[i]
        positive = sum(groups.label[i] for i in rows)
        importance = sum(groups.label[i] * groups.weight[i] for i in rows) / positive
        for i in rows:
            for j in rows:
                if groups.label[i] > groups.label[j]:
                    change = abs(1 / np.log2(rank[i] + 1) - 1 / np.log2(rank[j] + 1))
                    gain = (groups.label[i] - groups.label[j]) / ideal
                    found.append((i, j, importance * groups.weight[i] * groups.weight[j] * gain * change))
    return found


def test_derivatives_are_those_of_the_weighted_pairs():
    rng = np.random.default_rng(0)
    label = rng.choice([0.0, 0.0, 0.5, 1.0, 3.0], 30)
    label[[0, 10, 22]] = 1.0
    label[[1, 11, 23]] = 0.0
    groups = Groups(label, rng.choice([1.0, 2.0, 5.0], 30), np.array([0, 10, 22, 30]))
    score = rng.permutation(30) / 10
    gradient, curvature = np.zeros(30), np.zeros(30)
    for i, j, weight in weighted_pairs(groups, score):
        wrong = 1 / (1 + np.exp(score[i] - score[j]))
        gradient[i] -= weight * wrong
        gradient[j] += weight * wrong
        for row in (i, j):
            curvature[row] += weight * wrong * (1 - wrong)
    found_gradient, found_curvature = lambdas_of(groups)(score)
    scale = found_curvature.sum() / curvature.sum()
    np.testing.assert_allclose(found_gradient, scale * gradient, atol=1e-12)
    np.testing.assert_allclose(found_curvature, scale * curvature, atol=1e-12)
    at_zero = lambdas_of(groups)(np.zeros(30))[1]
    np.testing.assert_allclose(at_zero.mean(), 0.25)


def test_leaves_are_newton_steps():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (400, 1)).astype(np.float32)
    label = (x[:, 0] + rng.normal(size=400) > 1).astype(np.float32)
    data = RankingData(
        x, ("a",), label, np.ones(400, np.float32), np.arange(0, 401, 20), np.ones(400, np.int64),
        np.arange(1, 401), np.zeros(400),
    )  # fmt: skip
    ranker = LambdaMART(n_estimators=1, learning_rate=0.5, l2_regularization=2.0).fit(data)
    index, groups = groups_of(data)
    gradient, curvature = lambdas_of(groups)(np.zeros(len(index)))
    batch = Candidates.from_lists([[1, 2]], features=[[0.0], [1.0]], feature_names=["a"])
    for score, value in zip(ranker.score(batch), (0, 1), strict=True):
        there = x[index, 0] == value
        expected = -0.5 * gradient[there].sum() / (curvature[there].sum() + 2.0)
        np.testing.assert_allclose(score, expected, rtol=1e-4)


def test_learns_the_order_and_not_what_a_group_has_in_common():
    data, held = make_data(), make_data(seed=4)
    ranker = LambdaMART(n_estimators=30, min_samples_leaf=10).fit(data)
    binary = GradientBoosting(n_estimators=30, min_samples_leaf=10).fit(data)
    assert order_found(ranker.score(as_batch(held)), held) > 0.85
    (own, common), (own_binary, common_binary) = (
        np.abs(fitted.contributions(as_batch(held))).mean(axis=0)[:2] for fitted in (ranker, binary)
    )
    assert common / own < 0.5 * common_binary / own_binary


def test_labels_are_gains():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (2000, 2)).astype(np.float32)
    label = np.where(x[:, 0] > 0, 1.0, np.where(x[:, 1] > 0, 0.1, 0.0)).astype(np.float32)
    data = RankingData(
        x, ("clicks", "age"), label, np.ones(2000, np.float32), np.arange(0, 2001, 10), np.ones(2000, np.int64),
        np.arange(1, 2001), np.zeros(2000),
    )  # fmt: skip
    batch = Candidates.from_lists(
        [[1, 2, 3]], features=[[0, 0], [0, 1], [1, 0]], feature_names=["clicks", "age"]
    )
    score = LambdaMART(n_estimators=20).fit(data).score(batch)
    assert score[0] < score[1] < score[2]


def test_validation_chooses_the_number_of_trees_by_ndcg():
    data, held = make_data(30), make_data(30, seed=2)
    eager = LambdaMART(n_estimators=40, learning_rate=1.0, min_samples_leaf=2, l2_regularization=0.0)
    chosen = clone(eager).fit(replace(data, validation=held))
    index, groups = groups_of(held)
    fitted = [
        LambdaMART(n_estimators=n, learning_rate=1.0, min_samples_leaf=2, l2_regularization=0.0).fit(data)
        for n in (1, chosen.n_estimators_, 40)
    ]
    first, best, all_of_them = (
        mean_ndcg(groups, f.score(as_batch(held))[index].astype(float)) for f in fitted
    )
    assert best >= max(first, all_of_them) - 1e-6 and best > all_of_them
    nothing = replace(held, label=np.zeros_like(held.label))
    assert LambdaMART(n_estimators=3).fit(replace(data, validation=nothing)).n_estimators_ == 3
    assert (
        LambdaMART(n_estimators=3, early_stopping=False).fit(replace(data, validation=held)).n_estimators_
        == 3
    )


def test_sampled_negatives_stand_for_as_many_rows():
    data = make_data(100)
    weight = np.where(data.label > 0, 1.0, 3.0)
    repeats = weight.astype(int)
    counts = np.add.reduceat(repeats, data.offsets[:-1])
    repeated = RankingData(
        np.repeat(data.features, repeats, axis=0), NAMES, np.repeat(data.label, repeats),
        np.ones(repeats.sum(), np.float32), np.concatenate([[0], np.cumsum(counts)]), np.repeat(data.user, repeats),
        np.arange(repeats.sum()) + 1, np.zeros(repeats.sum()),
    )  # fmt: skip
    batch = as_batch(make_data(seed=4))
    options = {"n_estimators": 10, "min_samples_leaf": 1, "max_leaf_nodes": 8}
    weighted = LambdaMART(**options).fit(replace(data, weight=weight.astype(np.float32))).score(batch)
    plain = LambdaMART(**options).fit(repeated).score(batch)
    assert np.corrcoef(weighted, plain)[0, 1] > 0.95


@pytest.mark.parametrize(
    "options",
    [
        {"n_estimators": 0},
        {"max_leaf_nodes": 65},
        {"min_samples_leaf": 0},
        {"l2_regularization": -1.0},
        {"learning_rate": 0.0},
        {"features": ()},
    ],
    ids=str,
)
def test_options_are_checked(options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        LambdaMART(**options)


@pytest.mark.parametrize(("positives", "leaves"), [(0, 4), (3_000, 5), (18_600, 31), (60_000, 31)])
def test_leaves_follow_the_positives(positives: int, leaves: int) -> None:
    from recokit.rankers._histogram_boosting import leaves_for

    assert leaves_for(positives) == leaves


def test_by_default_few_positives_grow_small_trees() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4_000, 4)).astype(np.float32)
    label = (x.sum(axis=1) + rng.normal(size=4_000) > 2).astype(np.float32)
    rows = RankingData(
        x,
        tuple("abcd"),
        label,
        np.ones(4_000, np.float32),
        np.arange(0, 4_001, 20),
        np.repeat(np.arange(1, 201), 20),
        np.tile(np.arange(1, 21), 200),
        np.zeros(4_000),
    )
    small, large = (
        LambdaMART(n_estimators=3).fit(rows),
        LambdaMART(n_estimators=3, max_leaf_nodes=31).fit(rows),
    )
    leaves = [max((tree.left == 0).sum() for tree in one.forest_.trees()) for one in (small, large)]
    assert leaves[0] == 4 < leaves[1]
