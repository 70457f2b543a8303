"""Deadlines: what is left, and how much of it each phase leaves to the later ones."""

from __future__ import annotations

import time

import numpy as np
import pytest

from recokit.budget import Deadline

PHASES = {"candidates": 0.25, "features": 0.2, "ranking": 0.05, "post": 0.0}


def test_without_a_budget_nothing_is_late_and_everything_may_take_for_ever() -> None:
    endless = Deadline.after(float("inf"))
    assert endless.for_search() == float("inf") == endless.for_phase("candidates")
    assert not endless.late(1.0)


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_leaves_the_later_ones_their_share(phase: str) -> None:
    deadline = Deadline.after(100.0)
    assert deadline.for_phase(phase) == pytest.approx(100.0 * (1.0 - PHASES[phase]), abs=1.0)


def test_the_search_leaves_the_last_phase_its_share_and_may_be_negative() -> None:
    assert Deadline.after(100.0).for_search() == pytest.approx(95.0, abs=1.0)
    spent = Deadline(time.perf_counter() - 200.0, 100.0)
    assert spent.for_search() < -100.0
    assert spent.for_phase("ranking") == 0.0


def test_late_is_each_rows_own() -> None:
    rows = Deadline(time.perf_counter() - 6.0, 5.0, np.array([5.0, 10.0, 20.0, np.inf]))
    assert rows.late(0.0).tolist() == [True, False, False, False]  # type: ignore[union-attr]
    assert rows.late(0.5).tolist() == [True, True, False, False]  # type: ignore[union-attr]


def test_rows_with_one_budget_have_one_deadline() -> None:
    assert Deadline.of_rows(np.array([3.0, 3.0])).rows is None
    apart = Deadline.of_rows(np.array([3.0, 4.0]))
    assert apart.seconds == 3.0 and apart.rows is not None
