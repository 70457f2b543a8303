"""Losses within groups: against naive loops and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.data import RankingData
from recokit.errors import ConfigurationError, DataError
from recokit.rankers import LinearRanker
from recokit.rankers._losses import (
    LOSSES,
    Groups,
    Pairs,
    groups_of,
    loss_around,
    mean_ndcg,
    swap_changes,
    weighted_ranks,
)


@st.composite
def groups_and_scores(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = rng.integers(2, 7, draw(st.integers(1, 5)))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    label = rng.choice([0.0, 0.0, 0.5, 1.0], offsets[-1])
    label[offsets[:-1]], label[offsets[:-1] + 1] = 1.0, 0.0  # every group can be learned from
    weight = rng.choice([1.0, 3.0, 0.5], len(label))
    return Groups(label, weight, offsets), rng.normal(size=len(label))


def parts(groups, *arrays):
    for start, end in zip(groups.offsets[:-1], groups.offsets[1:], strict=True):
        yield tuple(array[start:end] for array in (groups.label, groups.weight, *arrays))


def naive_ranks(score, weight):
    return [1 + sum(w for s, w in zip(score, weight, strict=True) if s > mine) for mine in score]


def naive_dcg(label, weight, score):
    ranks = naive_ranks(score, weight)
    return sum(g * w / np.log2(r + 1) for g, w, r in zip(label, weight, ranks, strict=True))


def naive_ideal(label, weight):
    tie_free = label - 1e-9 * np.arange(len(label))
    return naive_dcg(label, weight, tie_free)


def naive_loss(name, groups, score):
    total = 0.0
    for g, w, s in parts(groups, score):
        importance = (g * w).sum() / g.sum()
        if name == "softmax":
            share = w * np.exp(s) / (w * np.exp(s)).sum()
            target = g * w / (g * w).sum()
            total += importance * -(target * np.log(share / w)).sum()
            continue
        loss = norm = 0.0
        ranks = naive_ranks(s, w)
        for i in range(len(g)):
            for j in range(len(g)):
                if g[i] > g[j]:
                    pair = w[i] * w[j]
                    if name == "lambdarank":
                        worth = abs(1 / np.log2(ranks[i] + 1) - 1 / np.log2(ranks[j] + 1))
                        pair *= (g[i] - g[j]) * worth / naive_ideal(g, w)
                    loss += pair * np.log1p(np.exp(s[j] - s[i]))
                    norm += w[i] * w[j]
        total += importance * (loss if name == "lambdarank" else loss / norm)
    return total


@pytest.mark.parametrize("name", LOSSES)
@given(case=groups_and_scores())
@settings(max_examples=25, deadline=None)
def test_value_and_gradient(name, case):
    groups, score = case
    objective = loss_around(name, groups, score)
    value, gradient = objective(score)
    assert value == pytest.approx(naive_loss(name, groups, score), rel=1e-9)
    step = 1e-6
    for i in range(len(score)):
        moved = np.where(np.arange(len(score)) == i, step, 0.0)
        slope = (objective(score + moved)[0] - objective(score - moved)[0]) / (2 * step)
        assert gradient[i] == pytest.approx(slope, abs=1e-6)


@given(case=groups_and_scores())
@settings(max_examples=25, deadline=None)
def test_ndcg_and_swaps(case):
    groups, score = case
    per_group = [naive_dcg(g, w, s) / naive_ideal(g, w) for g, w, s in parts(groups, score)]
    importance = [(g * w).sum() / g.sum() for g, w in parts(groups)]
    assert mean_ndcg(groups, score) == pytest.approx(np.average(per_group, weights=importance))
    assert mean_ndcg(groups, groups.label) == pytest.approx(1.0)
    plain = Groups(groups.label, np.ones(len(score)), groups.offsets)
    pairs = Pairs.of(plain)
    change = swap_changes(plain, pairs, score)
    row = plain.row
    for i, j, found in list(zip(pairs.winner, pairs.loser, change, strict=True))[:10]:
        swapped = score.copy()
        swapped[[i, j]] = score[[j, i]]
        # NDCG of the pair's group alone, before and after
        (g, w, s), (_, _, t) = list(parts(plain, score))[row[i]], list(parts(plain, swapped))[row[i]]
        expected = abs(naive_dcg(g, w, s) - naive_dcg(g, w, t)) / naive_ideal(g, w)
        assert found == pytest.approx(expected)


@given(case=groups_and_scores())
@settings(max_examples=25, deadline=None)
def test_sampled_negatives_stand_for_their_copies(case):
    groups, score = case
    weight = np.where(groups.label > 0, 1, 3)
    index = np.repeat(np.arange(len(score)), weight)
    counts = np.bincount(groups.row[index])
    copies = Groups(groups.label[index], np.ones(len(index)), np.concatenate([[0], np.cumsum(counts)]))
    sampled = Groups(groups.label, weight.astype(float), groups.offsets)
    for name in ("softmax", "bpr"):
        expected = loss_around(name, copies, score[index])(score[index])[0]
        assert loss_around(name, sampled, score)(score)[0] == pytest.approx(expected)
    first = np.concatenate([[0], np.cumsum(weight)])[:-1]
    np.testing.assert_allclose(weighted_ranks(sampled, score), weighted_ranks(copies, score[index])[first])


def test_many_pairs_are_a_fair_sample():
    n = 4000
    label = (np.arange(n) % 2).astype(float)
    groups = Groups(label, np.ones(n), np.array([0, n]))
    pairs = Pairs.of(groups, seed=3)
    assert len(pairs.winner) == 100 * n // 2
    assert (label[pairs.winner] > label[pairs.loser]).all()
    assert pairs.weight.sum() == pytest.approx((n // 2) ** 2)
    # every loser stands for about as much as any other
    shares = np.bincount(pairs.loser, pairs.weight, n)[label == 0]
    assert shares.mean() == pytest.approx(n // 2) and shares.std() < 0.15 * shares.mean()
    again, other = Pairs.of(groups, seed=3), Pairs.of(groups, seed=4)
    np.testing.assert_array_equal(again.loser, pairs.loser)
    assert (other.loser != pairs.loser).any()


def ranking(label, offsets, weight=None):
    label = np.asarray(label, np.float32)
    n = len(label)
    weight = np.ones(n, np.float32) if weight is None else np.asarray(weight, np.float32)
    return RankingData(
        np.zeros((n, 1), np.float32), ("a",), label, weight, np.asarray(offsets), np.ones(n, np.int64),
        np.arange(1, n + 1), np.zeros(n),
    )  # fmt: skip


def test_groups_that_teach_nothing_are_left_out():
    data = ranking([0, 0, 1, 0, 1, 1, 1, 0, 0.5], [0, 2, 2, 4, 6, 6, 9], [1, 1, 1, 1, 1, 1, 1, 0, 2])
    index, groups = groups_of(data)
    assert index.tolist() == [
        2,
        3,
        6,
        8,
    ]  # no positives; empty; kept; only positives; empty; kept but for weight 0
    assert groups.offsets.tolist() == [0, 2, 4] and groups.weight.tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize(("label", "found"), [([1, 1, 1], "equal positives"), ([1, 0, 1], "equal labels")])
def test_nothing_to_learn(label, found):
    with pytest.raises(DataError, match=f"only {found} within each of 3 groups.*hint"):
        groups_of(ranking(label, [0, 1, 2, 3]))


def test_unknown_loss():
    with pytest.raises(ConfigurationError, match=r"loss='rmse'; expected 'softmax', 'bpr' or 'lambdarank'"):
        LinearRanker("rmse")
