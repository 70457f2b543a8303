"""Hard filters hold whatever a user did, and on every way out of a pipeline."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.data import Dataset, LiveEvents, UserHistory

N_ITEMS = 1_500


@pytest.fixture(scope="module")
def heavy() -> Dataset:
    """Ann did something with 1,200 items, the first 200 of which a history of 1,000 events leaves out."""
    seen = np.arange(1, 1_201)
    log = {
        "user_id": ["ann"] * len(seen) + ["bob"] * N_ITEMS,
        "item_id": [*seen, *range(1, N_ITEMS + 1)],
        "timestamp": [*(1e9 + seen), *(2e9 - np.arange(N_ITEMS))],
        "event": ["view" if i % 2 else "purchase" for i in seen] + ["view"] * N_ITEMS,
    }
    return Dataset.from_frame(log, now=3e9)


class TestNothingSeenComesAgain:
    @pytest.mark.parametrize(
        "stages",
        [
            [candidates.Popular(half_life=None), rules.NotSeen()],
            [UserHistory(max_events=3), candidates.Popular(half_life=None), rules.NotSeen()],
            [UserHistory(events=("view",)), candidates.Popular(half_life=None), rules.NotSeen()],
            [candidates.Unseen(candidates.Popular(half_life=None))],
            [UserHistory(max_events=3), candidates.Unseen(candidates.Popular(half_life=None))],
        ],
        ids=["cap", "own cap", "own events", "unseen", "unseen, own cap"],
    )
    def test_however_long_ago(self, heavy: Dataset, stages: list[object]) -> None:
        source = (
            rk.Step(stages[-2], limit=N_ITEMS) if len(stages) > 1 and "NotSeen" in repr(stages[-1]) else None
        )
        if source is not None:
            stages = [*stages[:-2], source, stages[-1]]
        answer = rk.Pipeline(stages).fit(heavy).recommend(["ann"], k=N_ITEMS, now=3e9)
        assert len(answer.ids(0)) > 0
        assert min(answer.ids(0)) > 1_200

    def test_with_events_that_came_since(self, heavy: Dataset) -> None:
        events = LiveEvents()
        pipeline = rk.Pipeline(
            [
                UserHistory(max_events=3, live_events=events),
                rk.Step(candidates.Popular(half_life=None), limit=N_ITEMS),
                rules.NotSeen(),
            ]
        ).fit(heavy)
        events.append(
            {"user_id": ["ann"] * 5, "item_id": [*range(1_201, 1_206)], "timestamp": [2.5e9] * 5}, now=3e9
        )
        shown = pipeline.recommend(["ann"], k=N_ITEMS, now=3e9).ids(0)
        assert sorted(shown) == list(range(1_206, N_ITEMS + 1))

    def test_a_history_that_the_caller_gives_is_all_there_is(self, heavy: Dataset) -> None:
        pipeline = rk.Pipeline(
            [
                UserHistory(max_events=3),
                rk.Step(candidates.Popular(half_life=None), limit=N_ITEMS),
                rules.NotSeen(),
            ]
        ).fit(heavy)
        answer = pipeline.recommend(["ann", "ann"], k=N_ITEMS, now=3e9, history=[[7], None])
        assert len(answer.ids(0)) == N_ITEMS - 1
        assert min(answer.ids(1)) > 1_200

    def test_the_history_itself_stays_short(self, heavy: Dataset) -> None:
        pipeline = rk.Pipeline([candidates.Popular(half_life=None), rules.NotSeen()]).fit(heavy)
        requests = pipeline.candidates(pipeline.requests(["ann", "nobody"], now=3e9)).requests
        assert requests.lists("history").counts.tolist() == [1_000, 0]
        assert requests.lists("earlier").counts.tolist() == [1_200, 0]
