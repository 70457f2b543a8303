"""The compiled selection against the plain one: each choice is allowed and the best, up to float32's last digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recokit._kernels import slate_greedy, slate_limits
from recokit._kernels.slate_arrays import CapArrays, Gains
from recokit._kernels.slate_compiled import allowed_at, chosen_lists
from recokit._kernels.slate_greedy import Chooser, greedy
from recokit._kernels.slate_limits import Limits
from recokit._native.library import kernels
from recokit.data import Candidates, Window
from recokit.diversity import DPP, MMR, MSD, Calibration, FacilityLocation, Proportional, TopK, XQuAD
from recokit.errors import ContractError
from recokit.slates.objective import BoundObjective

pytestmark = pytest.mark.skipif(kernels() is None, reason="no compiled kernels")

N_ITEMS = 60
KINDS: tuple[Any, ...] = (None, TopK, MMR, MSD, DPP, FacilityLocation, Calibration, Proportional, XQuAD)


def absent() -> None:
    """Stand in for `kernels` where there are none."""


def plain() -> Any:
    """Return a context in which numpy alone is at work."""
    return mock.patch.object(slate_limits, "kernels", absent)


def random_cap(rng: np.random.Generator, n_rows: int, width: int) -> CapArrays:
    groups = tuple(rng.integers(-1, 4, (n_rows, width)) * 10**11 for _ in range(rng.choice([1, 1, 2])))
    within = int(rng.integers(1, 7)) if rng.random() < 0.5 else None
    sliding = within is not None and rng.random() < 0.5
    maximum = rng.integers(0, 4, n_rows) if sliding or rng.random() < 0.7 else None
    minimum = int(rng.integers(1, 3)) if maximum is None else 0
    return CapArrays(groups, maximum, minimum, within, sliding)


def random_objective(rng: np.random.Generator, kind: Any) -> Any:
    trade_off = float(rng.choice([0.0, 0.3, 0.7, 1.0]))
    if kind in (None, TopK):
        return None if kind is None else TopK()
    if kind in (Calibration, Proportional, XQuAD):
        labels = rng.choice(["", "a", "b", "a|b", "b|c|d"], N_ITEMS + 1)
        return kind(labels, trade_off, separator="|", target="candidates")
    if rng.random() < 0.5:
        vectors = rng.normal(size=(N_ITEMS + 1, int(rng.integers(8, 21))))
        vectors[rng.random(N_ITEMS + 1) < rng.choice([0, 0.2])] = 0
        return kind(trade_off, vectors=vectors)
    objective = kind(trade_off)
    objective.labels_ = rng.integers(rng.choice([0, 1]), 4, (N_ITEMS + 1, 3))
    return objective


def random_case(seed: int, kind: Any) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    n_rows, width = int(rng.integers(1, 4)), int(rng.choice([1, 7, 32, 33, 50]))
    n_places = int(rng.integers(1, 9))
    items = np.array([1 + rng.permutation(N_ITEMS)[:width] for _ in range(n_rows)])
    scores = -np.sort(-rng.random((n_rows, width)).round(int(rng.choice([1, 6]))), axis=1)
    scores[rng.random(scores.shape) < rng.choice([0, 0.2])] = np.nan
    batch = Candidates.from_lists(items.tolist(), scores=scores.tolist())
    valid = np.arange(width) < rng.integers(1, width + 1, n_rows)[:, None]
    relevance = np.where(np.isfinite(scores), scores, 0).astype(np.float32)
    window = Window(batch, np.arange(n_rows * width).reshape(n_rows, width), valid, relevance)
    caps = [random_cap(rng, n_rows, width) for _ in range(rng.integers(0, 4))]
    k = rng.integers(0, n_places + 1, n_rows)
    start = np.full((n_rows, n_places), -1)
    for row in range(n_rows):
        at = rng.permutation(n_places)[: rng.choice([0, 0, 2])][: valid[row].sum()]
        start[row, at] = rng.permutation(int(valid[row].sum()))[: len(at)]
    return window, caps, k, start, random_objective(rng, kind), int(rng.choice([0, 0, n_places]))


def follow(case: tuple[Any, ...], picked: np.ndarray) -> None:
    """Go along lists with the plain limits and gains, and assert that each choice was allowed and the best."""
    window, caps, k, start, objective, early = case
    limits = Limits(caps, window.valid, k, start)
    chooser = None if objective is None else BoundObjective(objective, window)
    going = np.ones(len(k), np.bool_)
    for place in range(start.shape[1]):
        allowed, lost = limits.open(place, early)
        stands = start[:, place] >= 0
        goes = going & (place < k) & ~lost & (stands | allowed.any(axis=1))
        np.testing.assert_array_equal(goes, picked[:, place] >= 0)
        chosen = np.where(goes, picked[:, place], 0)
        gain = -np.arange(allowed.shape[1]) * np.ones((len(k), 1)) if chooser is None else chooser.gain()
        gain = np.fmax(gain, slate_greedy._LOWEST)
        best = np.where(allowed, gain, -np.inf).max(axis=1)
        for row in np.flatnonzero(goes & stands):
            assert chosen[row] == start[row, place]
        for row in np.flatnonzero(goes & ~stands):
            assert allowed[row, chosen[row]]
            assert gain[row, chosen[row]] >= best[row] - 1e-5 * max(1.0, abs(best[row]))
        if chooser is not None:
            chooser.update(chosen, goes, allowed)
        limits.add(place, chosen, goes)
        going = goes


def check(seed: int, kind: Any) -> None:
    case = random_case(seed, kind)
    window, caps, k, start, objective, early = case
    chooser = None if objective is None else BoundObjective(objective, window)
    picked = greedy(window.valid, k, caps, chooser, start=start, early=early)
    with plain():
        follow(case, picked)
    for place in {seed % start.shape[1], start.shape[1]}:  # the same masks, too, beside the whole list
        found = allowed_at(caps, window.valid, k, picked, place, early=early)
        with plain():
            expected = Limits(caps, window.valid, k, picked).open(place, early)
        np.testing.assert_array_equal(found[1], expected[1])
        if place == start.shape[1] or not (picked[:, place] >= 0).any():
            np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_compiled_choice_is_the_plain_one(kind: Any, seed: int) -> None:
    check(seed, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_the_compiled_choice_is_the_plain_one_many_times(kind: Any, seed: int) -> None:
    check(seed, kind)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_batch_is_chosen_as_its_rows_are_alone(kind: Any) -> None:
    for seed in range(8):
        window, caps, k, start, objective, early = random_case(seed, kind)
        together = greedy(window.valid, k, caps, BoundObjective(objective, window), start=start, early=early)
        for row in range(len(k)):
            one = slice(row, row + 1)
            alone = greedy(
                window.valid[one],
                k[one],
                [cap.rows(one) for cap in caps],
                BoundObjective(objective, window.rows(one)),
                start=start[one],
                early=early,
            )
            np.testing.assert_array_equal(alone[0], together[row])


def test_what_a_subclass_says_of_gains_counts() -> None:
    class Reversed(TopK):
        def gain(self, state: Any) -> Any:
            return -state

    window, *_ = random_case(3, TopK)
    assert BoundObjective(Reversed(), window).compiled() is None
    assert BoundObjective(TopK(), window).compiled() is not None


def test_a_users_own_gains_are_asked_place_by_place() -> None:
    class Last(Chooser):
        asked = 0

        def gain(self) -> Any:
            self.asked += 1
            return np.arange(5.0)[None]

        def update(self, chosen: Any, active: Any, allowed: Any) -> None:
            pass

    chooser = Last()
    cap = CapArrays((np.array([[0, 0, 1, 1, 1]]),), np.array([1]))
    found = greedy(np.ones((1, 5), bool), np.array([5]), [cap], chooser, start=np.full((1, 5), -1))
    assert found.tolist() == [[4, 1, -1, -1, -1]]
    assert chooser.asked == 3


# -- hostile input -----------------------------------------------------------------------------------------------------

VALID, K, START = np.ones((2, 5), np.bool_), np.array([3, 3]), np.full((2, 3), -1)
RELEVANCE = np.linspace(1, 0, 10, dtype=np.float32).reshape(2, 5)
ITEM = np.arange(10).reshape(2, 5)


def mmr(**other: Any) -> Gains:
    arrays = {"relevance": RELEVANCE, "item": ITEM, "vectors": np.eye(10, 4, dtype=np.float32), **other}
    return Gains("mmr", 0.5, **arrays)


def hostile() -> Iterator[tuple[str, Any, type[Exception]]]:
    yield "an item beyond the vectors", mmr(item=ITEM + 1), IndexError
    yield "a negative item", mmr(item=ITEM - 1), IndexError
    yield "float64 vectors", mmr(vectors=np.eye(10, 4)), ContractError
    yield "vectors in columns", mmr(vectors=np.eye(4, 10, dtype=np.float32).T), ContractError
    yield "relevance of one row", mmr(relevance=RELEVANCE[:1]), ContractError
    yield "no vectors", mmr(vectors=None), ContractError
    yield "no item", mmr(item=None), ContractError
    aspect = np.zeros((2, 5, 1), np.int64)
    parts = {"aspect": aspect, "aspect_weight": aspect.astype(np.float32), "relevance": RELEVANCE}
    target = np.ones((2, 3))
    yield (
        "an aspect beyond its target",
        Gains("proportional", **{**parts, "aspect": aspect + 3}, target=target),
        IndexError,
    )
    yield (
        "a negative aspect",
        Gains("calibration", **{**parts, "aspect": aspect - 1}, target=target),
        IndexError,
    )
    yield "no target", Gains("xquad", **parts, covers=parts["aspect_weight"]), ContractError


@pytest.mark.parametrize(("gains", "error"), [pytest.param(*case, id=name) for name, *case in hostile()])
def test_hostile_gains_are_an_error(gains: Gains, error: type[Exception]) -> None:
    with pytest.raises(error):
        chosen_lists([], VALID, K, START, gains, early=0)


def test_hostile_lists_and_caps_are_an_error() -> None:
    order = Gains("in_order")
    for start in (START + 6, START - 1):
        with pytest.raises(IndexError):
            chosen_lists([], VALID, K, start, order, early=0)
        with pytest.raises(IndexError):
            allowed_at([], VALID, K, start, 0, early=0)
    for place in (-1, 4):
        with pytest.raises(IndexError):
            allowed_at([], VALID, K, START, place, early=0)
    with pytest.raises(ContractError):
        chosen_lists([], VALID, K[:1], START, order, early=0)
    for cap in (CapArrays((ITEM[:1],), K), CapArrays((ITEM,), K[:1])):
        with pytest.raises(ContractError):
            chosen_lists([cap], VALID, K, START, order, early=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_gains_that_are_no_numbers_come_last_and_break_nothing(value: float) -> None:
    relevance = RELEVANCE.copy()
    relevance[:, 2] = value
    for kind in ("mmr", "msd", "dpp", "facility"):
        gains = Gains(kind, 0.5, relevance, item=ITEM, vectors=np.full((10, 4), 0.5, np.float32))
        found = chosen_lists([], VALID, K + 2, np.full((2, 5), -1), gains, early=0)
        assert [sorted(row) for row in found.tolist()] == [[0, 1, 2, 3, 4]] * 2
        if not value > 0:
            assert (found[:, -1] == 2).all()


def test_places_beyond_the_window_zero_places_and_codes_of_any_size() -> None:
    order = Gains("in_order")
    huge = chosen_lists([], VALID, np.array([2**62, -(2**62)]), np.full((2, 400), -1), order, early=2**40)
    assert huge[0, :5].tolist() == [0, 1, 2, 3, 4] and (huge[0, 5:] == -1).all() and (huge[1] == -1).all()
    assert chosen_lists([], VALID, K * 0, START, order, early=0).tolist() == START.tolist()
    codes = np.array([[2**63 - 1, -(2**63), 2**62, 2**63 - 1, 2**62]] * 2)
    for cap in (
        CapArrays((codes, codes), np.array([1, 1])),
        CapArrays((codes,), np.array([1, 1]), within=2**62, sliding=True),
        CapArrays((codes,), np.array([1, 1]), minimum=2**62, within=2**62),
    ):
        found = chosen_lists([cap], VALID, K, START, order, early=0)
        assert (found >= 0).sum(axis=1).tolist() == ([2, 2] if cap.minimum else [3, 3])


def test_msd_chooses_the_best_beside_what_stands_from_the_first_place_on() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        vectors = rng.normal(size=(100, 8))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        relevance = (rng.random((1, 100)) * 0.2).astype(np.float32)
        gains = Gains("msd", 0.3, relevance, item=np.arange(100)[None], vectors=vectors)
        valid, start = np.ones((1, 100), np.bool_), np.array([[3, 70, -1]])
        third = chosen_lists([], valid, np.array([3]), start, gains, early=0)[0, 2]
        gain = 0.3 * relevance[0] - 0.7 * vectors @ (vectors[3] + vectors[70])
        gain[[3, 70]] = -9
        assert gain[third] >= gain.max() - 1e-5
