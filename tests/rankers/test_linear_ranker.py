"""LinearRanker: the optimum of its loss, and what sets it apart from a classifier."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.data import Candidates, RankingData
from recokit.data.state.encode import from_state, to_state
from recokit.errors import ConfigurationError
from recokit.rankers import LinearRanker, LogisticRegression


def make_data(n_groups=60, size=12, seed=0, weight=None):
    """Within a group "good" decides; "busy" is one value a group and tells how many positives it has."""
    rng = np.random.default_rng(seed)
    n = n_groups * size
    busy = np.repeat(rng.normal(size=n_groups), size)
    good = rng.normal(size=n) - busy  # busy users have worse candidates each
    label = (good + 3 * busy + rng.logistic(size=n) * 0.5 > 0).astype(np.float32)
    return RankingData(
        np.stack([good, busy], axis=1).astype(np.float32), ("good", "busy"), label,
        np.ones(n, np.float32) if weight is None else weight, np.arange(0, n + 1, size),
        np.repeat(np.arange(1, n_groups + 1), size), np.tile(np.arange(1, size + 1), n_groups), np.zeros(n),
    )  # fmt: skip


def as_batch(x, names=("good", "busy")):
    return Candidates.from_lists(
        [list(range(1, len(x) + 1))], features=np.asarray(x, np.float32), feature_names=names
    )


@pytest.mark.parametrize("loss", ["softmax", "bpr", "lambdarank"])
def test_what_a_whole_group_shares_gets_no_weight(loss):
    ranker = LinearRanker(loss, regularization=0.1).fit(make_data())
    assert ranker.coef_[0] > 0.5 and abs(ranker.coef_[1]) < 1e-3
    classifier = LogisticRegression(regularization=0.1).fit(make_data())
    assert classifier.coef_[1] > 1.0
    assert ranker.intercept_ == 0.0


def test_softmax_is_the_optimum_of_a_naive_loss():
    data = make_data(30, 6)
    ranker = LinearRanker(regularization=2.0).fit(data)
    standard = ((data.features - ranker.transform_.mean) / ranker.transform_.scale).astype(np.float64)
    kept = [g for g in range(30) if 0 < data.label[6 * g : 6 * g + 6].sum() < 6]
    assert len(kept) < 30

    def loss(coef):
        total = (coef**2).sum()
        for g in kept:
            s, y = standard[6 * g : 6 * g + 6] @ coef, data.label[6 * g : 6 * g + 6]
            total += np.log(np.exp(s).sum()) - (y / y.sum()) @ s
        return total

    coef = ranker.coef_.astype(np.float64)
    best = loss(coef)
    for step in ((1e-2, 0), (-1e-2, 0), (0, 1e-2), (0, -1e-2)):
        assert loss(coef + step) > best


def test_weights_of_groups_count():
    # The two halves disagree about which way is up; the heavier one decides.
    one, other = make_data(40, seed=1), make_data(40, seed=1)
    n = len(one)

    def fitted(first, second):
        joined = RankingData(
            np.concatenate([one.features, -other.features]), one.feature_names,
            np.concatenate([one.label, other.label]), np.repeat([first, second], n).astype(np.float32),
            np.concatenate([one.offsets, other.offsets[1:] + n]), np.tile(one.user, 2), np.tile(one.item, 2),
            np.zeros(2 * n),
        )  # fmt: skip
        return LinearRanker("bpr").fit(joined).coef_[0]

    assert fitted(3, 1) > 0.1 and fitted(1, 3) < -0.1 and abs(fitted(1, 1)) < 1e-3


def test_lambdarank_cares_for_the_top():
    # "a" puts one positive in first place, "b" lifts many positives from the bottom to the middle.
    rng = np.random.default_rng(0)
    size, n_groups = 40, 80
    label = np.zeros((n_groups, size), np.float32)
    label[:, :4] = 1.0
    a, b = rng.normal(size=(2, n_groups, size)).astype(np.float32)
    a[:, 0] += 4.0  # one of four positives, certainly on top
    b[:, 1:4] += 0.8
    a[:, 1:4] -= 0.8  # at the price of the others
    data = RankingData(
        np.stack([a.ravel(), b.ravel()], axis=1), ("a", "b"), label.ravel(), np.ones(label.size, np.float32),
        np.arange(0, label.size + 1, size), np.repeat(np.arange(1, n_groups + 1), size),
        np.tile(np.arange(1, size + 1), n_groups), np.zeros(label.size),
    )  # fmt: skip
    share = {}
    for loss in ("bpr", "lambdarank"):
        coef = LinearRanker(loss).fit(data).coef_
        share[loss] = coef[0] / np.abs(coef).sum()
    assert share["lambdarank"] > share["bpr"] + 0.1


def test_contributions_add_up_to_the_score():
    ranker = LinearRanker().fit(make_data())
    batch = as_batch([[0.5, np.nan], [np.inf, 2.0], [1.0, 1.0]])
    np.testing.assert_allclose(ranker.contributions(batch).sum(axis=1), ranker.score(batch), atol=1e-6)


def test_saves_without_pickle():
    ranker, batch = LinearRanker("bpr").fit(make_data()), as_batch([[0.5, 0.1], [1.0, 2.0]])
    np.testing.assert_array_equal(from_state(*to_state(ranker)).score(batch), ranker.score(batch))


def test_options():
    assert repr(LinearRanker("bpr", regularization=2.0)) == "LinearRanker('bpr', regularization=2.0)"
    with pytest.raises(ConfigurationError, match="loss='hinge'"):
        LinearRanker("hinge")
    with pytest.raises(ConfigurationError, match="regularization"):
        LinearRanker(regularization=-1.0)
    with pytest.raises(ConfigurationError, match="did you mean 'good'"):
        LinearRanker(features=("goood",)).fit(make_data())
