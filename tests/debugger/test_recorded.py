"""What a live run's trace says happened, happened: also where the request run again has no trouble."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates
from recokit.data import Retrieved
from recokit.debugger import Severity
from recokit.debugger.recorded import Recorded
from recokit.trace import Status


class Once:
    """A source that fails, or is slow, at its first call only."""

    def __init__(self, inner: Any, *, error: Exception | None = None, seconds: float = 0.0) -> None:
        self.inner, self.error, self.seconds, self.calls = inner, error, seconds, 0

    def retrieve(self, requests: rk.Requests, limit: int) -> Retrieved:
        self.calls += 1
        if self.calls == 1:
            time.sleep(self.seconds)
            if self.error is not None:
                raise self.error
        answer: Retrieved = self.inner.retrieve(requests, limit)
        return answer


@pytest.fixture(scope="module")
def data() -> rk.Dataset:
    return rk.testing.toy_dataset()


def pipeline_with(data: rk.Dataset, observers: Any = (), **trouble: Any) -> rk.Pipeline:
    fitted = candidates.Popular().fit(data)
    sources = [candidates.ItemKNN(), rk.Step(Once(fitted, **trouble), name="once")]
    return rk.Pipeline([candidates.Merge(sources)], observers=observers).fit(data)


def test_an_error_of_the_live_run_is_a_finding_though_the_run_again_has_none(data: rk.Dataset) -> None:
    pipeline = pipeline_with(data, error=TimeoutError("no answer in 50 ms"))
    trace = pipeline.recommend(["user-1"], now=data.until).trace
    assert trace.status.tolist() == [Status.DEGRADED]
    found = rk.RecommendationDebugger(pipeline, budget_ms=5_000).diagnose_trace(trace)
    assert (found.verdict, found.stage) == ("STAGE_FAILED", "merge.once")
    assert "failed when it was served: TimeoutError" in found.findings[0].message


def test_so_is_that_of_a_watched_request(data: rk.Dataset) -> None:
    watch = rk.RecommendationDebugger.watch(None, share=1.0)  # type: ignore[arg-type]
    pipeline = pipeline_with(data, observers=[watch], error=ConnectionError("reset"))
    pipeline.recommend(["user-1"], now=data.until)
    pipeline.recommend(["user-2"], now=data.until)
    found = rk.RecommendationDebugger(pipeline, budget_ms=5_000).diagnose_watched(watch)
    assert [one.verdict for one in found.diagnoses] == ["STAGE_FAILED", "NO_OBVIOUS_ISSUE"]


def test_a_request_that_was_slow_was_slow(data: rk.Dataset) -> None:
    pipeline = pipeline_with(data, seconds=0.15)
    trace = pipeline.recommend(["user-1"], now=data.until).trace
    found = rk.RecommendationDebugger(pipeline, budget_ms=100).diagnose_trace(trace)
    assert (found.verdict, found.stage) == ("STAGE_SLOW", "merge.once")
    assert found.findings[0].evidence["again_ms"] < 100 < found.findings[0].evidence["stage_ms"]


def test_an_error_of_another_row_is_none_of_this_one(data: rk.Dataset) -> None:
    class Fails:
        def retrieve(self, requests: rk.Requests, limit: int) -> Retrieved:
            if (requests.user == 1).any():
                raise KeyError("shard 1")
            return Retrieved.empty(len(requests))

    pipeline = rk.Pipeline([candidates.Merge([candidates.Popular(), rk.Step(Fails(), name="fails")])]).fit(
        data
    )
    first, second = data.user_ids.decode([1, 2]).tolist()
    trace = pipeline.recommend([first, second], now=data.until).trace
    recorded = [Recorded.of(trace, row) for row in (0, 1)]
    assert [any(stage.error for stage in one.stages) for one in recorded] == [True, False]
    assert [one.status for one in recorded] == [Status.DEGRADED, Status.OK]
    assert not recorded[0].is_timed  # its times are those of both


def test_an_answer_that_a_stage_reports_as_degraded_is_told(data: rk.Dataset) -> None:
    class Reports:
        def retrieve(self, requests: rk.Requests, limit: int) -> Retrieved:
            requests.report_degraded(np.arange(len(requests)), "half of the shards answered")
            return Retrieved.empty(len(requests))

    pipeline = rk.Pipeline(
        [candidates.Merge([candidates.Popular(), rk.Step(Reports(), name="reports")])]
    ).fit(data)
    found = rk.RecommendationDebugger(pipeline, budget_ms=5_000).diagnose("user-1", now=data.until)
    assert (found.verdict, found.stage) == ("SOURCE_DEGRADED", "merge.reports")
    told = next(one for one in found.findings if one.code == "ANSWER_DEGRADED")
    assert told.severity is Severity.SYMPTOM and "half of the shards" in told.message
    same = rk.RecommendationDebugger(pipeline, baseline=pipeline, budget_ms=5_000)
    assert same.diagnose("user-1", now=data.until).verdict == "NO_OBVIOUS_ISSUE"


def test_the_diagnosis_keeps_to_a_time_of_its_own(data: rk.Dataset) -> None:
    class Slow:
        names = ("slow",)

        def featurize(self, candidates: rk.Candidates) -> np.ndarray:
            time.sleep(0.3)
            return np.zeros((len(candidates), 1), np.float32)

    slow = rk.Pipeline([candidates.Popular(), Slow()]).fit(data)
    debugger = rk.RecommendationDebugger(slow, budget_ms=30, max_ms=400)
    started = time.perf_counter()
    found = debugger.diagnose("user-1", now=data.until)
    # One run, since a second would end too late; and the stage is named all the same.
    assert time.perf_counter() - started < 0.6
    assert (found.verdict, found.stage) == ("STAGE_SLOW", "slow")
    with pytest.raises(rk.errors.ConfigurationError, match="max_ms"):
        rk.RecommendationDebugger(slow, max_ms=0)
