"""Gains that are bounds but for the best candidates choose the same lists as gains that are all exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recokit.data import Candidates, Cap
from recokit.diversity import DPP, MMR
from recokit.diversity._similarity import SMALLEST
from recokit.slates import select

N_ROWS, N, K = 3, 5 * SMALLEST, 40


class Exact:
    """An objective without bounds."""

    def __init__(self, objective: Any) -> None:
        self.start, self.gain, self.update = objective.start, objective.gain, objective.update


def world(seed: int, dimensions: int) -> tuple[np.ndarray, Candidates, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(N + 1, dimensions))
    items = [rng.permutation(N) + 1 for _ in range(N_ROWS)]
    scores = rng.random((N_ROWS, N)) ** 0.3  # many are nearly the best
    batch = Candidates.from_lists([row.tolist() for row in items], scores=scores.tolist())
    return vectors, batch, rng.integers(0, 12, N_ROWS * N)


@pytest.mark.parametrize("dimensions", [4, 32])
@pytest.mark.parametrize("trade_off", [0.0, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("kind", [MMR, DPP])
def test_bounds_choose_what_exact_gains_choose(kind: type, trade_off: float, dimensions: int) -> None:
    vectors, batch, group = world(7, dimensions)
    objective, k = kind(trade_off, vectors=vectors, pool=N), np.array([K, 5, K])
    caps = [Cap("cap", group, maximum=4, hard=True), Cap("spacing", group, maximum=1, within=3, sliding=True)]
    if kind is DPP:
        k = np.minimum(k, dimensions)  # beyond, rounding decides
    for limits in ([], caps):
        bounded = select(batch, k, objective=objective, limits=limits, pool=N)
        exact = select(batch, k, objective=Exact(objective), limits=limits, pool=N)
        np.testing.assert_array_equal(bounded.index, exact.index)


@pytest.mark.parametrize("kind", [MMR, DPP])
def test_the_front_grows_no_further_than_it_has_to(kind: type) -> None:
    vectors, batch, _ = world(8, 2 * K)
    objective, ends = kind(0.8, vectors=vectors, pool=N), []

    class Watched(kind):
        def update(self, state: Any, chosen: np.ndarray, active: np.ndarray) -> Any:
            ends.append(state.front.end)
            return super().update(state, chosen, active)

    watched = Watched(0.8, vectors=vectors, pool=N)
    found = select(batch, np.full(N_ROWS, K), objective=watched, pool=N)
    np.testing.assert_array_equal(
        found.index, select(batch, np.full(N_ROWS, K), objective=Exact(objective), pool=N).index
    )
    assert min(ends) == SMALLEST and ends[-1] < N
