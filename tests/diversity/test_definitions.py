"""MMR, MSD and DPP against their definitions, written out naively in float64: at every place the item chosen has the
largest gain, up to float32's last digits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.sparse import csr_matrix

from recokit.data import Candidates, Cap, Window
from recokit.diversity import DPP, MMR, MSD
from recokit.slates import select

Novelty = Callable[[np.ndarray, int, list[int]], float]


def mmr(similarity: np.ndarray, i: int, chosen: list[int]) -> float:
    return -max((similarity[i, j] for j in chosen), default=0.0)


def msd(similarity: np.ndarray, i: int, chosen: list[int]) -> float:
    return sum(1 - similarity[i, j] for j in chosen)


def dpp(similarity: np.ndarray, i: int, chosen: list[int]) -> float:
    kernel = similarity + np.diag(1 - np.diag(similarity))
    both, before = ([*chosen, i], chosen)
    ratio = np.linalg.det(kernel[np.ix_(both, both)]) / np.linalg.det(kernel[np.ix_(before, before)])
    return float(np.log(max(ratio, 1e-6)))


DEFINITIONS: dict[type, Novelty] = {MMR: mmr, MSD: msd, DPP: dpp}


def follows(
    found: list[int],
    relevance: np.ndarray,
    similarity: np.ndarray,
    known: np.ndarray,
    novelty: Novelty,
    trade_off: float,
    tolerance: float = 2e-4,
) -> None:
    """Assert that each item has the largest gain at its place, given those before it."""
    for place in range(len(found)):
        before = found[:place]
        rest = [i for i in range(len(relevance)) if i not in before]
        told = [j for j in before if known[j]]
        new = {i: novelty(similarity, i, told) for i in rest if known[i]}
        mean = float(np.mean(list(new.values()))) if new else 0.0
        gain = {i: trade_off * relevance[i] + (1 - trade_off) * new.get(i, mean) for i in rest}
        best = max(gain.values())
        assert gain[found[place]] >= best - tolerance * max(1.0, abs(best)), (place, found, gain)


def scaled(score: np.ndarray) -> np.ndarray:
    spread = score.max() - score.min()
    return (score - score.min()) / spread if spread > 0 else np.ones_like(score)


def lists_of(batch: Candidates, k: np.ndarray, objective: object, **options: object) -> list[list[int]]:
    found = select(batch, k, objective=objective, pool=objective.pool, **options)
    return [
        (found.index[found.offsets[b] : found.offsets[b + 1]] - batch.offsets[b]).tolist()
        for b in range(batch.n_rows)
    ]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.random.Generator, int, int, int]:
    seed = draw(st.integers(0, 2**32 - 1))
    return (
        np.random.default_rng(seed),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 24)),
        draw(st.integers(2, 9)),
    )


@pytest.mark.parametrize("kind", DEFINITIONS)
@settings(max_examples=60)
@given(world=worlds(), trade_off=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]), gaps=st.booleans())
def test_with_vectors(
    kind: type, world: tuple[np.random.Generator, int, int, int], trade_off: float, gaps: bool
) -> None:
    rng, n_rows, n, d = world
    vectors = rng.normal(size=(41, d))
    vectors[0] = 0
    if gaps:
        vectors[rng.random(41) < 0.3] = 0
    items = [rng.permutation(np.arange(1, 41))[:n] for _ in range(n_rows)]
    scores = rng.normal(size=(n_rows, n)).round(1)  # with ties
    batch = Candidates.from_lists([row.tolist() for row in items], scores=scores.tolist())
    k = rng.integers(1, min(n, d) + 1, n_rows)
    length = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.where(length > 0, length, 1)[:, None]
    for b, found in enumerate(lists_of(batch, k, kind(trade_off, vectors=vectors))):
        assert len(found) == k[b]
        similarity = unit[items[b]] @ unit[items[b]].T
        follows(found, scaled(scores[b]), similarity, length[items[b]] > 0, DEFINITIONS[kind], trade_off)


@pytest.mark.parametrize("kind", DEFINITIONS)
@settings(max_examples=30)
@given(world=worlds(), trade_off=st.sampled_from([0.3, 0.7]))
def test_with_labels(kind: type, world: tuple[np.random.Generator, int, int, int], trade_off: float) -> None:
    rng, n_rows, n, _ = world
    labels = rng.integers(0, 4, (41, 3))  # 0 is missing
    labels[::7] = 0
    items = [rng.permutation(np.arange(1, 41))[:n] for _ in range(n_rows)]
    scores = rng.random((n_rows, n))
    batch = Candidates.from_lists([row.tolist() for row in items], scores=scores.tolist())
    objective = kind(trade_off)
    objective.labels_ = labels
    for b, found in enumerate(lists_of(batch, np.full(n_rows, min(n, 6)), objective)):
        mine = labels[items[b]]
        similarity = ((mine[:, None] == mine[None]) & (mine > 0)[:, None]).mean(axis=2)
        known = (mine > 0).any(axis=1)
        follows(found, scaled(scores[b]), similarity, known, DEFINITIONS[kind], trade_off)


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_any_similarity_dense_sparse_or_a_function(kind: type) -> None:
    rng = np.random.default_rng(3)
    factor = np.maximum(rng.normal(size=(31, 40)), 0)
    factor /= np.linalg.norm(factor, axis=1, keepdims=True)
    matrix = factor @ factor.T
    matrix[0] = matrix[:, 0] = matrix[9] = matrix[:, 9] = 0
    items = rng.permutation(np.arange(1, 31))
    scores = rng.random(30)
    batch = Candidates.from_lists([items.tolist()], scores=[scores.tolist()])
    asked = [matrix, csr_matrix(matrix), lambda one, other: matrix[one, other]]
    found = [lists_of(batch, np.array([12]), kind(0.4, similarity=one))[0] for one in asked]
    assert found[0] == found[1]
    inside = matrix[np.ix_(items, items)]
    follows(found[0], scaled(scores), inside, items != 9, DEFINITIONS[kind], 0.4)
    follows(found[2], scaled(scores), inside, np.ones(30, bool), DEFINITIONS[kind], 0.4)


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_limits_and_what_is_placed_count(kind: type) -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(41, 16))
    scores = rng.random((2, 40))
    batch = Candidates.from_lists([list(range(1, 41))] * 2, scores=scores.tolist())
    group = np.tile(np.arange(40) % 3, 2)
    cap = Cap("cap", group, maximum=3, hard=True)
    objective = kind(0.4, vectors=vectors)
    for found in lists_of(batch, np.array([9, 9]), objective, limits=[cap], placed=np.array([2, 0])):
        assert len(found) == 9
        assert np.bincount(group[found]).max() == 3
    found = lists_of(batch, np.array([9, 9]), objective, placed=np.array([2, 0]))
    assert found[0][:2] == [0, 1]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit[1:] @ unit[1:].T
    chosen = found[0]
    for place in (2, 5):
        rest = [i for i in range(40) if i not in chosen[:place]]
        gain = [
            0.4 * scaled(scores[0])[i] + 0.6 * DEFINITIONS[kind](similarity, i, chosen[:place]) for i in rest
        ]
        assert gain[rest.index(chosen[place])] == pytest.approx(max(gain), abs=1e-4)


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_an_item_without_a_vector_has_the_mean_of_the_others(kind: type) -> None:
    vectors = np.array([[0, 0], [1, 0], [1, 0.05], [0, 1], [0, 0]], np.float64)
    batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[1.0, 0.5, 0.5, 0.5]])
    # A near copy of the first item, one at right angles: what is not known stands between the two.
    objective = kind(0.3, vectors=vectors)
    window = Window(
        batch, np.arange(4)[None], np.ones((1, 4), np.bool_), np.array([[1, 0, 0, 0]], np.float32)
    )
    state = objective.update(objective.start(window), np.array([0]), np.array([True]))
    _, copy, right, unknown = objective.gain(state)[0].tolist()
    assert right > unknown > copy
    assert unknown == pytest.approx((right + copy) / 2, rel=1e-5)
    assert lists_of(batch, np.array([2]), objective)[0] == [0, 2]
    # And where it was chosen first, it says nothing of the others: the best of them is next.
    batch = Candidates.from_lists([[4, 1, 2, 3]], scores=[[1.0, 0.6, 0.5, 0.4]])
    assert lists_of(batch, np.array([2]), kind(0.3, vectors=vectors))[0] == [0, 1]


def test_a_dpp_goes_on_by_relevance_where_nothing_new_is_left() -> None:
    vectors = np.zeros((9, 2))
    vectors[1:5, 0] = vectors[5:, 1] = 1
    batch = Candidates.from_lists([list(range(1, 9))], scores=[[8.0, 7, 6, 5, 4, 3, 2, 1]])
    assert lists_of(batch, np.array([6]), DPP(0.2, vectors=vectors))[0] == [0, 4, 1, 2, 3, 5]


def test_more_places_than_the_factor_starts_with() -> None:
    rng = np.random.default_rng(6)
    vectors = rng.normal(size=(61, 64))
    batch = Candidates.from_lists([list(range(1, 61))], scores=[rng.random(60).tolist()])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    matrix = unit @ unit.T
    one = lists_of(batch, np.array([40]), DPP(0.5, vectors=vectors))[0]
    assert one == lists_of(batch, np.array([40]), DPP(0.5, similarity=matrix))[0]
    follows(one, scaled(batch.score.astype(float)), matrix[1:, 1:], np.ones(60, bool), dpp, 0.5)
