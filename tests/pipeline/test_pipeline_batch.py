"""One request is a batch of one: a batch of 200 mixed requests answers as 200 single ones do."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import rankers
from recokit.data import DAY, Candidates, Requests
from recokit.datasets.marketplace import Marketplace
from recokit.pipeline import Step
from recokit.testing import FixedSource
from recokit.trace import Status

LISTS = ("history", "session", "items", "exclude")


def mixed(market: Marketplace, rng: np.random.Generator, n: int) -> dict[str, Any]:
    """Return options of one call: known, unknown and anonymous users, lists for some, k and now of their own."""
    data = market.dataset
    items = data.item_ids.ids

    def some(share: float, most: int) -> list[list[Any] | None]:
        sizes = rng.integers(0, most, n)
        given = rng.random(n) < share
        return [
            rng.choice(items, size, replace=False).tolist() if on else None
            for size, on in zip(sizes, given, strict=True)
        ]

    kind = rng.integers(0, 4, n)
    known = rng.choice(data.user_ids.ids, n)
    users = [
        None if k == 0 else ("stranger" if k == 1 else user) for k, user in zip(kind, known, strict=True)
    ]
    return {
        "users": users,
        "k": rng.choice([1, 3, 10, 25, 40], n).tolist(),
        "history": some(0.3, 12),
        "session": some(0.3, 5),
        "items": some(0.15, 30),
        "exclude": some(0.3, 40),
        "now": (data.until - DAY * rng.choice([0.0, 1.5, 9.0], n)).tolist(),
        "context": {"country": rng.choice(["DE", "FR", "US"], n), "vip": rng.random(n) < 0.5},
    }


def one(options: dict[str, Any], row: int) -> dict[str, Any]:
    single = {name: [values[row]] for name, values in options.items() if name != "context"}
    context = {name: values[row : row + 1] for name, values in options["context"].items()}
    return {**single, "context": context}


def assert_same_list(
    batch: rk.Recommendations, row: int, single: rk.Recommendations, tolerance: float = 1e-5
) -> None:
    assert batch.status[row] == single.status[0], (batch.reasons[row], single.reasons[0])
    ours, theirs = batch.scores(row), single.scores(0)
    np.testing.assert_allclose(ours, theirs, atol=tolerance, rtol=0)
    for position, (a, b) in enumerate(zip(batch.ids(row), single.ids(0), strict=True)):
        if a != b:
            assert abs(ours[position] - theirs[position]) <= 1e-6
            assert set(batch.ids(row)) == set(single.ids(0))


@pytest.mark.parametrize("which", ["full_lr", "full_gb"])
def test_a_batch_of_200_mixed_requests_answers_as_200_single_ones(
    which: str, market: Marketplace, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    pipeline: rk.Pipeline = request.getfixturevalue(which)
    options = mixed(market, rng, 200)
    batch = pipeline.recommend(**options)
    assert Status.OK in batch.status and (which == "full_lr" or Status.FALLBACK in batch.status)
    for row in range(200):
        assert_same_list(batch, row, pipeline.recommend(**one(options, row)))


def test_a_gated_stage_gives_a_batch_the_answers_of_single_requests(
    full_lr: rk.Pipeline, market: Marketplace, rng: np.random.Generator
) -> None:
    gated = rk.Pipeline(
        [
            full_lr["merge.popular"],
            Step(full_lr["not_owned"], when="vip"),
            Step(full_lr["max_per_group"], when="vip"),
        ]
    ).fit(market.dataset)
    options = mixed(market, rng, 40)
    batch = gated.recommend(**options)
    for row in range(40):
        assert_same_list(batch, row, gated.recommend(**one(options, row)))


def test_chunks_answer_as_one_by_one(toy: Any) -> None:
    pipeline = rk.Pipeline([rk.candidates.History(), rk.rules.MaxShare("category", 0.4)]).fit(toy)
    users = toy.user_ids.ids[np.arange(1300) % toy.n_users]
    k = (np.arange(1300) % 9 + 1).tolist()
    seen: list[rk.Trace] = []
    watched = rk.Pipeline(pipeline.stages, observers=[_Recorder(seen)]).fit(toy)
    chunked = watched.recommend(users, k=k, now=toy.until)
    assert [len(trace.requests) for trace in seen] == [512, 512, 276]
    assert len(chunked) == 1300 and len(chunked.traces) == 3
    for row in (0, 7, 511, 512, 1023, 1024, 1299):
        single = pipeline.recommend([users[row]], k=k[row], now=toy.until)
        assert chunked.ids(row) == single.ids(0)
        np.testing.assert_array_equal(chunked.scores(row), single.scores(0))


class _Recorder:
    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def observe(self, trace: Any) -> None:
        self.seen.append(trace)


def test_a_long_list_in_the_batch_does_not_change_what_a_short_one_is_chosen_from() -> None:
    class Cliff:
        def score(self, candidates: Candidates) -> Any:
            rank = np.arange(len(candidates)) - candidates.offsets[candidates.row]
            return np.where(rank < 100, 1 - 0.001 * rank, -5 - 0.01 * rank).astype(np.float32)

    data = rk.testing.toy_dataset(n_users=20, n_items=400, n_events=1_000)
    stages = [FixedSource(range(1, 301)), Cliff(), rk.diversity.MMR(0.97)]
    pipeline = rk.Pipeline(stages).fit(data)
    both = pipeline.recommend([None, None], k=[5, 250], now=data.until)
    assert both.ids(0) == pipeline.recommend([None], k=5, now=data.until).ids(0)


def test_no_request_is_a_batch_too(full_lr: rk.Pipeline) -> None:
    answer = full_lr.recommend([])
    assert len(answer) == 0 and answer.to_records() == []


class _Everything:
    def keep(self, candidates: Candidates) -> Any:
        return candidates.item > 0


class _ByItem:
    names = ("item_code",)

    def featurize(self, candidates: Candidates) -> Any:
        return candidates.item[:, None].astype(np.float32)


def lines_of(pipeline: rk.Pipeline, requests: Requests) -> int:
    """Count the Python lines that a run executes."""
    count = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    pipeline.run(requests)  # warm: caches and lazy imports
    before = sys.gettrace()
    gc.disable()  # its callbacks are lines, too
    sys.settrace(trace)
    try:
        pipeline.run(requests)
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def test_the_python_lines_of_a_run_do_not_depend_on_the_number_of_candidates() -> None:
    data = rk.testing.toy_dataset(n_users=20, n_items=4_000, n_events=3_000)
    requests = Requests.build(np.array([3]), k=10, now=data.until)
    counts = {}
    for n in (1_000, 2_000, 4_000):  # below some hundreds a list is sorted whole
        pipeline = rk.Pipeline(
            [
                rk.candidates.Merge(
                    [FixedSource(range(1, n + 1)), Step(FixedSource(range(n, 0, -1)), name="backwards")],
                    limit=4_000,
                ),
                _Everything(),
                rk.rules.InStock("in_stock"),
                rk.rules.NotOwned(),
                _ByItem(),
                rankers.Weighted({"item_code": -1.0}),  # the same items win, whatever else there is
                rk.rules.MaxShare("category", 0.4),
                rk.rules.MaxPerGroup("seller", 3, within=10),
                rk.diversity.MMR(0.7),
                rk.rules.Disclose("sponsored"),
            ],
        ).fit(data)
        answer = pipeline.run(requests)
        assert answer.trace.of("merge")[0].n_out == n and len(answer.ids(0)) == 10
        counts[n] = lines_of(pipeline, requests)
    assert counts[1_000] > 100 and len(set(counts.values())) == 1, counts
