"""Scores that have run out of numbers: infinite, on the last steps of float16, or all 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import candidates
from recokit.debugger.checks.score_values import ScoreValues, _trouble
from recokit.testing import faults, toy_dataset

DATA = toy_dataset()
USERS = DATA.user_ids.decode(np.arange(1, 4)).tolist()


class Scorer:
    def __init__(self, spread=1.0):
        self.spread = spread

    def score(self, candidates):
        return (self.spread * (candidates.item % 29) / 28.0).astype(np.float32)


PIPELINE = rk.Pipeline([candidates.Popular(half_life=None), Scorer()]).fit(DATA)


def found(change, baseline=None):
    broken = PIPELINE.replace("scorer", change(PIPELINE["scorer"]))
    debugger = rk.RecommendationDebugger(broken, baseline=baseline, checks=[ScoreValues()])
    many = debugger.diagnose_many(USERS, now=DATA.until, scan=False)
    return {(one.code, one.stage) for one in many.findings if one.code.startswith("SCORES")}


@pytest.mark.parametrize("baseline", [None, PIPELINE])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda stage: faults.in_half_precision(stage, 1e6), "SCORES_OVERFLOW"),
        (lambda stage: faults.exponential(stage, 200.0), "SCORES_OVERFLOW"),
        (lambda stage: faults.in_half_precision(stage, 1e-6), "SCORES_UNDERFLOW"),
        (lambda stage: faults.saturated(stage, 1e4, 0.4), "SCORES_SATURATED"),
    ],
)
def test_scores_that_have_run_out_of_numbers(change, code, baseline):
    assert found(change, baseline) == {(code, "scorer")}
    # Where the baseline's are such scores too, that is how they are.
    assert found(change, PIPELINE.replace("scorer", change(PIPELINE["scorer"]))) == set()


@pytest.mark.parametrize(
    "change",
    [
        lambda stage: stage,
        lambda stage: faults.in_half_precision(stage, 100.0),
        lambda stage: faults.in_half_precision(stage, 2.0**-10),
        lambda stage: faults.saturated(stage, 8.0, 0.5),
        lambda stage: Scorer(1e-6),
        lambda stage: faults.flat(stage, 4),
        lambda stage: faults.nan_scores(stage, 0.5, 1),
        lambda stage: faults.answering(stage, lambda score, batch: np.zeros_like(score)),
    ],
)
def test_other_scores_are_well(change):
    assert found(change) == set()


@pytest.mark.parametrize(("n_ones", "row"), [(30, ""), (31, "SCORES_SATURATED")])
def test_scores_are_saturated_where_more_than_three_in_ten_are_one(n_ones, row):
    score = np.r_[np.ones(n_ones), np.linspace(0.1, 0.9, 100 - n_ones)]
    assert _trouble(score.astype(np.float32))[0] == row
    assert _trouble((score - 0.2).astype(np.float32))[0] == ""


@pytest.mark.parametrize(("n_infinite", "row"), [(2, ""), (3, "SCORES_OVERFLOW")])
def test_scores_overflow_where_more_than_two_in_a_hundred_are_infinite(n_infinite, row):
    score = np.r_[np.full(n_infinite, np.inf), np.linspace(0.1, 0.9, 100 - n_infinite)]
    assert _trouble(score.astype(np.float32))[0] == row
