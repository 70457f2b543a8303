"""What makes a ranker order the same candidates in another way is told by what its model goes by."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from recokit.data.events.user_history import UserHistory
from recokit.debugger.checks.ranker_model import RankerModel
from recokit.debugger.model_scan import ModelScan, correlation, scan_models
from recokit.debugger.scan import Scan
from recokit.testing import make_requests, toy_dataset
from recokit.trace import StageEvent

NAMES = ("a", "b", "c", "d", "e", "f")
RANDOM = np.random.default_rng(0)
ROWS, EACH = 6, 30


def batch():
    from recokit.data import Candidates

    items = [RANDOM.permutation(30)[:EACH] + 1 for _ in range(ROWS)]
    n = sum(map(len, items))
    features = RANDOM.normal(size=(n, len(NAMES))).astype(np.float32)
    return Candidates.from_lists(
        [row.tolist() for row in items], features=features, feature_names=NAMES, requests=make_requests(ROWS)
    )


BATCH = batch()


class Linear:
    """A ranker that explains itself, and finds its features by name."""

    def __init__(self, coef, names=NAMES):
        self.coef, self.feature_names_, self.bound_names_ = np.asarray(coef, float), tuple(names), None

    def contributions(self, candidates):
        at = [candidates.feature_names.index(name) for name in self.feature_names_]
        return candidates.features[:, at] * self.coef

    def score(self, candidates):
        return self.contributions(candidates).sum(axis=1).astype(np.float32)


USUAL = Linear([1.0, 0.8, -0.6, 0.5, 0.4, -0.3])


def scanned(mine, *, score=None, usual=USUAL, stages=None):
    after = BATCH.with_score(np.asarray(mine.score(BATCH) if score is None else score, np.float32))
    event = StageEvent("ranker", "scorer", 0.0, 0.0, len(BATCH), len(BATCH), ROWS, before=BATCH, after=after)
    trace = SimpleNamespace(events=(event,))
    usual_stages = {} if usual is None else {"ranker": usual, **(stages or {})}
    return scan_models(trace, {"ranker": mine, **(stages or {})}, usual_stages)["ranker"]


def test_the_same_model_and_one_fitted_again_have_no_cause():
    assert scanned(USUAL) == ModelScan("", scanned(USUAL).alike) and scanned(USUAL).alike == pytest.approx(
        1.0
    )
    assert scanned(Linear([0.9, 0.85, -0.5, 0.55, 0.35, -0.35])).cause == ""


def test_another_order_of_features_would_agree_in_the_usual_one():
    mixed = Linear(USUAL.coef, ("d", "f", "a", "e", "b", "c"))
    found = scanned(mixed)
    assert found.cause == "RANKER_FEATURE_ORDER" and found.figures["in_usual_order"] == pytest.approx(1.0)
    # An order of its own that it also learned is no fault.
    order = ("f", "e", "d", "c", "b", "a")
    assert scanned(Linear(USUAL.coef[::-1], order)).cause == ""


def test_weights_that_are_gone_are_told_from_others():
    assert scanned(Linear(USUAL.coef * [0, 0, 1, 1, 0, 0])).cause == "RANKER_TRUNCATED"
    assert scanned(Linear([0, 0, 5.0, -3.0, 0, 0])).cause == "RANKER_OTHER_VERSION"


def test_trees_are_counted():
    few = Linear(USUAL.coef)
    few.forest_, few.n_estimators_ = SimpleNamespace(n_trees=3), 10
    found = scanned(few, usual=None)
    assert (found.cause, found.figures["there"], found.figures["meant"]) == ("RANKER_TRUNCATED", 3, 10)
    few.forest_.n_trees = 7
    assert scanned(few, usual=None).cause == ""


def test_one_feature_that_decides_alone_is_named():
    found = scanned(Linear([1.0, 0.8, -0.6, 0.5, 0.4, 6.0]))
    assert found.cause == "RANKER_LEAKED" and found.figures["names"] == "f"


def popular_stages():
    return {"user_history": UserHistory().fit(toy_dataset())}


def test_scores_that_are_not_the_models_are_told_without_a_baseline():
    other = RANDOM.normal(size=len(BATCH))
    assert scanned(USUAL, score=other, usual=None).cause == "SCORES_STALE"
    assert scanned(USUAL, score=other).cause == "SCORES_STALE"
    # Any scale, steps and missing scores are the model's own.
    own = USUAL.score(BATCH)
    for score in (np.tanh(own), np.round(own), np.where(np.arange(len(own)) % 3 == 0, np.nan, own)):
        assert scanned(USUAL, score=score).cause == ""
    stages = popular_stages()
    counts = np.bincount(stages["user_history"].history_.item, minlength=31).astype(float)
    found = scanned(USUAL, score=counts[BATCH.item], stages=stages)
    assert found.cause == "RANKER_POPULARITY" and found.figures["by_popularity"] > 0.9


def test_an_order_by_place_or_against_popularity_is_told():
    class Quiet:
        def __init__(self, column):
            self.column = column

        def score(self, candidates):
            return self.column.astype(np.float32)

    stages = popular_stages()
    counts = np.bincount(stages["user_history"].history_.item, minlength=31).astype(float)
    noise = RANDOM.normal(size=len(BATCH))
    usual = Quiet(noise)
    place = (BATCH.offsets[BATCH.row] - np.arange(len(BATCH))).astype(float)
    assert scanned(Quiet(place + 0.1 * noise), usual=usual, stages=stages).cause == "RANKER_POSITION_BIAS"
    by_counts = counts[BATCH.item] + 0.01 * noise
    assert scanned(Quiet(-by_counts), usual=usual, stages=stages).cause == "RANKER_NEGATIVES"
    assert scanned(Quiet(by_counts), usual=usual, stages=stages).cause == "RANKER_NEGATIVES"
    assert (
        scanned(Quiet(RANDOM.normal(size=len(BATCH))), usual=usual, stages=stages).cause
        == "RANKER_OTHER_VERSION"
    )
    # One turned round, or a flat one, is another check's finding.
    assert scanned(Quiet(-noise), usual=usual, stages=stages).cause == ""
    assert scanned(Quiet(np.sign(RANDOM.normal(size=len(BATCH)))), usual=usual, stages=stages).cause == ""


def test_too_few_scores_say_nothing():
    few = np.arange(19.0)
    assert np.isnan(correlation(few, few)) and correlation(np.arange(20.0), np.arange(20.0)) == pytest.approx(
        1.0
    )
    assert np.isnan(correlation(np.ones(30), np.arange(30.0)))


def test_the_check_tells_users_whose_order_has_changed():
    score = USUAL.score(BATCH)
    event = StageEvent(
        "ranker",
        "scorer",
        0.0,
        0.0,
        len(BATCH),
        len(BATCH),
        ROWS,
        before=BATCH,
        after=BATCH.with_score(score),
    )

    def evidence(stage):
        return SimpleNamespace(
            scan=Scan(models={"ranker": ModelScan("RANKER_OTHER_VERSION", 0.1, {"rank_correlation": 0.1})}),
            events=lambda *roles: [event],
            failed_here=lambda event: False,
            baseline=SimpleNamespace(stages={"ranker": stage}),
            place_in=lambda batch: slice(0, EACH),
            of_row=lambda batch: batch.take_rows(np.array([0])),
            ids=lambda codes: (),
            best=np.zeros(0, np.int64),
        )

    assert RankerModel().look(evidence(USUAL)) == []
    found = RankerModel().look(evidence(Linear([-1.0, 0.2, 0.6, 0.5, -0.4, 3.0])))
    assert [(one.code, one.stage) for one in found] == [("RANKER_OTHER_VERSION", "ranker")]
