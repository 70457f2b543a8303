"""Jobs beside serving: when they run, what they run on, and what a failure costs."""

from __future__ import annotations

import logging
import random
import threading
import time

import numpy as np
import pytest

import recokit as rk
from recokit import candidates
from recokit.data import Vocabulary
from recokit.errors import ConfigurationError
from recokit.evaluation import RollingQuality, evaluate
from recokit.result import Recommendations
from recokit.serving import Feed, Job, Refresh, ResidentLog, aging, learned_on


def eventually(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_job_runs_again_and_again_on_its_schedule():
    done = []
    with Refresh([Job("stock", lambda: done.append(time.monotonic()), every=0.05)]) as refresh:
        eventually(lambda: len(done) >= 4)
    waits = np.diff(done)
    assert (waits >= 0.045 - 1e-3).all()
    n = len(done)
    time.sleep(0.15)
    assert len(done) == n  # stop stops
    (status,) = refresh.status()
    assert (status.runs, status.errors, status.reason, status.error) == (n, 0, "schedule", "")
    assert not status.running and status.took >= 0 and abs(status.ended_at - time.time()) < 60


def test_waits_differ_by_the_jitter_and_no_more():
    job = Job("stock", print, every="100s", jitter=0.2)
    waits = np.array([job.wait(random.Random(seed)) for seed in range(2_000)])
    assert 80 <= waits.min() < 81 and 119 < waits.max() <= 120 and abs(waits.mean() - 100) < 1
    assert {Job("stock", print, every="100s", jitter=0.0).wait(random.Random(seed)) for seed in range(9)} == {
        100.0
    }
    assert Job("stock", print, every="1min").jitter == 0.1
    assert Job("stock", print).wait(random.Random(0)) == float("inf")


def test_a_failure_is_counted_and_the_job_done_again(caplog):
    times = iter(range(100))

    def fails_first():
        if next(times) == 0:
            raise OSError("no table")

    with (
        caplog.at_level(logging.WARNING, "recokit"),
        Refresh([Job("stock", fails_first, every=0.02)]) as refresh,
    ):
        eventually(lambda: refresh.status()[0].errors == 1)
        assert refresh.status()[0].error == "OSError: no table" or refresh.status()[0].runs
        eventually(lambda: refresh.status()[0].runs >= 1)
        assert refresh.status()[0].error == ""
    assert "job stock failed: OSError: no table" in caplog.text


def test_a_slow_job_holds_up_no_other_and_never_runs_twice_at_a_time():
    free, at_once, done = threading.Event(), [], []

    def slow():
        at_once.append(1)
        free.wait(10)
        done.append(sum(at_once))
        at_once.clear()

    with Refresh([Job("train", slow), Job("stock", lambda: done.append("stock"), every=0.02)]) as refresh:
        refresh.trigger("train")
        eventually(lambda: refresh.status()[0].running)
        for _ in range(3):
            refresh.trigger("train", "again")
        eventually(lambda: done.count("stock") >= 2)
        free.set()
        assert refresh.wait("train", timeout=10)
    # Three askings while it ran are one more run.
    assert [one for one in done if one != "stock"] == [1, 1] and refresh.status()[0].reason == "again"


def test_what_is_waited_for_is_looked_at(monkeypatch):
    monkeypatch.setattr("recokit.serving.refresh._LOOK", 0.01)
    reasons, done = iter(["", "it rained", ""]), []
    with Refresh([Job("train", lambda: done.append(1), when=lambda: next(reasons, ""))]) as refresh:
        eventually(lambda: refresh.status()[0].runs == 1)
        time.sleep(0.1)
    assert done == [1] and refresh.status()[0].reason == "it rained"


def test_a_question_that_fails_is_counted_and_asked_again(monkeypatch):
    monkeypatch.setattr("recokit.serving.refresh._LOOK", 0.01)
    answers = iter([OSError("no log"), "now"])

    def when():
        answer = next(answers, "")
        if isinstance(answer, OSError):
            raise answer
        return answer

    with Refresh([Job("train", lambda: None, when=when)]) as refresh:
        eventually(lambda: refresh.status()[0].runs == 1)
    assert refresh.status()[0].errors == 1


def test_events_trigger_the_jobs_that_were_declared():
    done = []
    refresh = Refresh(
        [Job("index", lambda: done.append("index")), Job("stock", lambda: done.append("stock"))]
    )
    log = ResidentLog()
    feed = Feed(log, on_events=refresh.triggers({"catalogue_changed": "index"}))
    plain = {"user_id": "shop", "item_id": 1, "timestamp": 1.0}
    log.append([{**plain, "event": kind} for kind in ("catalogue_changed", "view", "catalogue_changed")])
    feed.step()
    with refresh:
        assert refresh.wait("index", 10)
    assert done == ["index"] and refresh.status()[0].reason == "event catalogue_changed"
    with pytest.raises(ConfigurationError, match="did you mean 'index'"):
        refresh.triggers({"x": "idnex"})
    with pytest.raises(ConfigurationError, match="did you mean 'stock'"):
        refresh.trigger("stcok")


def window(hits, now):
    n = len(hits)
    lists = Recommendations(
        users=np.arange(n), offsets=np.arange(n + 1), item=np.array(hits), score=np.ones(n, np.float32), columns={},
        sources=((),) * n, status=np.zeros(n, np.int64), reasons=((),) * n, item_ids=Vocabulary(["pear", "fig"]),
    )  # fmt: skip
    return evaluate(lists, {user: ["pear"] for user in range(n)}, ["NDCG@1"], now=now)


def test_each_advice_to_train_more_often_is_one_reason():
    quality = RollingQuality("NDCG@1")
    when = aging(quality)
    quality.add(window([1, 2] * 500, now=1.0))
    assert when() == ""
    quality.add(window([1, 2] * 500, now=2.0))
    assert quality.advice.advice != "train more often" and when() == ""
    quality.add(window([2, 1, 1, 1, 1, 2, 2, 2, 2, 2] * 100, now=3.0))
    assert when().startswith("train more often: NDCG@1 -20")
    assert when() == ""
    quality.add(window([2, 1, 1, 1, 1, 2, 2, 2, 2, 2] * 100, now=4.0))
    assert when() != "" and when() == ""


def test_sources_learn_on_from_what_they_know(monkeypatch):
    data = rk.testing.toy_dataset()
    sources = candidates.Merge([candidates.IALS(n_factors=4), candidates.Popular(), candidates.ItemKNN()])
    pipeline = rk.Pipeline([sources]).fit(data)
    asked = []
    on = candidates.IALS.partial_fit
    monkeypatch.setattr(
        candidates.IALS, "partial_fit", lambda self, dataset: asked.append(self) or on(self, dataset)
    )
    before = pipeline.fingerprint, pipeline["merge.ials"].item_factors_.copy()
    newer = learned_on(pipeline, data, "merge.ials", "merge.popular")
    assert len(asked) == 1 and asked[0] is not pipeline["merge.ials"]
    assert (
        newer["merge.item_knn"] is pipeline["merge.item_knn"]
        and newer["merge.popular"] is not pipeline["merge.popular"]
    )
    assert pipeline.fingerprint == before[0] and np.array_equal(
        pipeline["merge.ials"].item_factors_, before[1]
    )
    assert not np.array_equal(newer["merge.ials"].item_factors_, before[1])
    assert len(newer.recommend(["user-1"], now=data.until).ids(0)) == 10


def test_only_sources_learn_on():
    pipeline = rk.Pipeline([candidates.Popular(), rk.rules.NotOwned()]).fit(rk.testing.toy_dataset())
    with pytest.raises(ConfigurationError, match="found not_owned, which is no source that learns"):
        learned_on(pipeline, rk.testing.toy_dataset(), "not_owned")
    with pytest.raises(ConfigurationError, match="found no stage 'populer'"):
        learned_on(pipeline, rk.testing.toy_dataset(), "populer")


@pytest.mark.parametrize(
    "options",
    [
        {"every": "soon"}, {"every": 0}, {"every": -1.0}, {"jitter": 1.0}, {"jitter": -0.1}, {"name": ""},
        {"run": None}, {"when": "now"},
    ],
    ids=range(8),
)  # fmt: skip
def test_impossible_jobs_are_refused(options):
    with pytest.raises(ConfigurationError):
        Job(**{"name": "stock", "run": print, **options})


def test_jobs_have_distinct_names_and_run_once():
    for jobs in ([], [Job("a", print), Job("a", print)]):
        with pytest.raises(ConfigurationError, match="expected distinct names"):
            Refresh(jobs)
    with Refresh([Job("a", lambda: None)]) as refresh, pytest.raises(ConfigurationError, match="that runs"):
        refresh.start()
    assert repr(refresh) == "Refresh(1 jobs: a)"
    with refresh:  # again
        refresh.trigger("a")
        assert refresh.wait("a", 10)
