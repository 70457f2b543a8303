"""The probability of each placement: what the kernel tells an objective that draws, and where none is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates
from recokit._kernels.hashing import uniform
from recokit.data import Candidates, Cap, Pin, Requests, Window
from recokit.slates import select


@dataclass(frozen=True)
class State:
    window: Window
    place: np.ndarray


class AnyOfThem:
    """Objective: each of the allowed candidates with the same probability."""

    provides = ("propensity",)

    def start(self, window: Window) -> State:
        return State(window, np.zeros(len(window.valid), np.int64))

    def gain(self, state: State) -> np.ndarray:
        window, batch = state.window, state.window.candidates
        row = batch.row[window.index[:, 0]] if len(batch) else np.zeros(len(window.valid), np.int64)
        seed = np.repeat(batch.requests.seed[row] + state.place.astype(np.uint64), window.index.shape[1])
        item = batch.item[window.index] if len(batch) else window.index
        return uniform(seed, item.ravel()).reshape(item.shape)

    def update(self, state: State, chosen: np.ndarray, active: np.ndarray) -> State:
        return replace(state, place=state.place + active)

    def propensity(self, state: State, chosen: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        return 1.0 / np.maximum(allowed.sum(axis=1), 1)


def batch_of(lists: list[list[int]], scores: list[list[float]] | None = None, seed: int = 0) -> Candidates:
    requests = Requests.build(np.arange(len(lists)) + 1, seed=seed)
    scores = [[1.0] * len(row) for row in lists] if scores is None else scores
    return Candidates.from_lists(lists, scores=scores, requests=requests)


def drawn(batch: Candidates, k: int, **options: Any) -> list[float]:
    found = select(batch, np.full(batch.n_rows, k), objective=AnyOfThem(), **options)
    assert found.propensity is not None and found.propensity.shape == found.index.shape
    return found.propensity.round(9).tolist()


def test_each_place_has_the_probability_among_what_is_left() -> None:
    assert drawn(batch_of([[1, 2, 3, 4], [5, 6]]), 3) == [0.25, 0.333333333, 0.5, 0.5, 1.0]


def test_limits_and_pins_narrow_what_may_be_drawn() -> None:
    group = np.array([1, 1, 1, 2])
    assert drawn(batch_of([[1, 2, 3, 4]]), 2, limits=[Cap("one", group, maximum=1)])[0] == 0.25
    by_seed = [
        drawn(batch_of([[1, 2, 3, 4]], seed=s), 2, limits=[Cap("one", group, maximum=1)])[1]
        for s in range(20)
    ]
    assert set(by_seed) == {1.0, 0.333333333}
    pin = Pin("first", np.array([0, 0, 1, 0]))
    assert drawn(batch_of([[1, 2, 3, 4]]), 2, limits=[pin]) == [1.0, 0.333333333]


def test_what_has_no_score_is_never_drawn_while_something_has() -> None:
    assert drawn(batch_of([[1, 2, 3]], [[0.5, np.nan, 0.7]]), 3) == [0.5, 1.0, 1.0]
    assert drawn(batch_of([[1, 2]], [[np.nan, np.inf]]), 2) == [1.0, 1.0]


def test_places_that_limits_yield_are_drawn_among_what_then_is_allowed() -> None:
    cap = Cap("one", np.array([1, 1, 1]), maximum=1)
    assert drawn(batch_of([[1, 2, 3]]), 3, limits=[cap]) == [0.333333333, 0.5, 1.0]


def test_what_stands_already_was_not_drawn() -> None:
    values = drawn(batch_of([[1, 2, 3]]), 3, placed=np.array([1]))
    assert np.isnan(values[0]) and values[1:] == [0.5, 1.0]


def test_lists_that_were_chosen_again_have_none() -> None:
    cap = Cap("one", np.array([1, 1, 2, 3]), maximum=1, hard=True)
    batch = batch_of([[1, 2, 3, 4]])
    assert np.isnan(drawn(batch, 3, limits=[cap], pool=2)).all()  # the first two left the list short
    assert not np.isnan(drawn(batch, 3, limits=[cap])).any()


def test_lists_that_were_repaired_have_none() -> None:
    # One of A only, one of B only: an item in both starves the list, and is exchanged for one of each.
    group, offsets = np.array([1, 2, 1, 2]), np.array([0, 2, 3, 4])
    cap = Cap("one_each", group, offsets, maximum=1, hard=True)
    outcomes = [drawn(batch_of([[1, 2, 3]], seed=seed), 2, limits=[cap]) for seed in range(20)]
    assert any(np.isnan(values).all() for values in outcomes)
    assert any(values == [0.333333333, 1.0] for values in outcomes)
    assert all(np.isnan(values).all() or values == [0.333333333, 1.0] for values in outcomes)


def test_an_objective_that_does_not_draw_logs_nothing() -> None:
    assert select(batch_of([[1, 2]]), np.array([2])).propensity is None


class Refuse:
    """Annotator and hard check that an item does not pass."""

    provides = ("checked",)

    def __init__(self, item: int) -> None:
        self.item = item

    def annotate(self, candidates: Candidates) -> dict[str, np.ndarray]:
        return {"checked": np.ones(len(candidates), np.bool_)}

    def verify(self, candidates: Candidates) -> np.ndarray:
        return candidates.item != self.item


class Few:
    """Source of the first items, for some rows only three."""

    def retrieve(self, requests: Requests, limit: int) -> rk.Retrieved:
        items = np.tile(np.arange(1, 11), (len(requests), 1))
        items[requests.user % 2 == 1, 3:] = 0
        return rk.Retrieved.from_padded(items, np.ones(items.shape))


class Fails(AnyOfThem):
    def gain(self, state: State) -> np.ndarray:
        raise RuntimeError("broken")


def pipeline_of(*stages: Any, **options: Any) -> rk.Pipeline:
    return rk.Pipeline([Few(), *stages], **options).fit(rk.testing.toy_dataset())


USERS = ["user-1", "user-2", "user-3", "user-4", "user-5"]


class TestInPipelines:
    def test_results_have_it_as_a_column(self) -> None:
        result = pipeline_of(AnyOfThem()).recommend(USERS, k=3, now=2e9)
        lengths = np.where(np.isin(np.arange(5), np.flatnonzero(np.diff(result.offsets))), 1, 0)
        assert lengths.all() and result.columns["propensity"].dtype == np.float64
        assert not np.isnan(result.columns["propensity"]).any()
        assert "propensity" in result.to_arrays()

    def test_nothing_is_known_where_a_late_check_refused(self) -> None:
        result = pipeline_of(AnyOfThem(), Refuse(2)).recommend(USERS, k=3, now=2e9, seed=1)
        known = [~np.isnan(result.columns["propensity"][result._span(row)]) for row in range(len(USERS))]
        assert all(mask.all() or not mask.any() for mask in known)
        assert any(mask.all() for mask in known) and any(not mask.any() for mask in known)
        assert all(2 not in result.codes(row) for row in range(len(USERS)))

    def test_what_the_fallback_fills_up_has_none(self) -> None:
        pipeline = pipeline_of(AnyOfThem(), fallback=candidates.Popular(half_life=None))
        result = pipeline.recommend(USERS, k=5, now=2e9)
        filled = np.array(["popular" in names or "fallback.popular" in names for names in result.sources])
        assert filled.any() and not filled.all()
        np.testing.assert_array_equal(np.isnan(result.columns["propensity"]), filled)

    def test_a_failed_objective_leaves_none(self) -> None:
        result = pipeline_of(Fails()).recommend(USERS, k=3, now=2e9)
        assert np.isnan(result.columns["propensity"]).all() and len(result.item)

    def test_rows_outside_a_gate_have_none(self) -> None:
        gated = rk.Step(AnyOfThem(), when="explore")
        result = pipeline_of(gated).recommend(
            USERS, k=3, now=2e9, context={"explore": [True, False, True, False, True]}
        )
        known = [not np.isnan(result.columns["propensity"][result._span(row)]).any() for row in range(5)]
        assert known == [True, False, True, False, True]


@pytest.mark.parametrize("rows", [[0], [2, 0, 1]])
def test_a_batch_draws_as_its_rows_do_alone(rows: list[int]) -> None:
    batch = batch_of([[1, 2, 3], [4, 5], [6, 7, 8, 9]])
    whole = select(batch, np.full(3, 2), objective=AnyOfThem())
    part = batch.take_rows(np.array(rows))
    found = select(part, np.full(len(rows), 2), objective=AnyOfThem())
    for at, row in enumerate(rows):
        mine, theirs = slice(*found.offsets[at : at + 2]), slice(*whole.offsets[row : row + 2])
        assert part.item[found.index[mine]].tolist() == batch.item[whole.index[theirs]].tolist()
        assert found.propensity[mine].tolist() == whole.propensity[theirs].tolist()
