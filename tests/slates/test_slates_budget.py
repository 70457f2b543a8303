"""Limits that cannot hold yield without a search, and a search for lists ends with the time of the request."""

from __future__ import annotations

import numpy as np
import pytest

from recokit import Pipeline, candidates
from recokit.data import Candidates, Cap
from recokit.slates import lengthen, select
from recokit.slates.milp import length_bound
from recokit.slates.window import cap_arrays
from recokit.testing import toy_dataset
from recokit.trace import Status

EACH = np.array([1, 1, 2, 3, 3, 3])
BATCH = Candidates.from_lists([[1, 2, 3, 4, 5, 6]], scores=[[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
#: Greedily the first is chosen, which leaves no other; the second and the third keep both limits.
CROSSED = Candidates.from_lists([[1, 2, 3]], scores=[[3.0, 2.0, 1.0]])


def crossed(*, hard: bool) -> list[Cap]:
    rows, columns = np.array([1, 1, 2]), np.array([1, 2, 1])
    return [Cap("row", rows, maximum=1, hard=hard), Cap("column", columns, maximum=1, hard=hard)]


@pytest.mark.parametrize(
    "cap",
    [
        Cap("few groups", EACH, maximum=1),
        Cap("share", EACH, share=0.2),
        Cap("two labels each", np.tile([1, 2], 6), np.arange(0, 13, 2), maximum=2),
        Cap("a group too small", EACH, minimum=2),
        Cap("too many groups", np.arange(6), minimum=1),
        Cap("too early", EACH, minimum=1, within=2),
        Cap("more than fits", np.array([1, 1, 1, 1, 1, -1]), minimum=5),
    ],
    ids=lambda cap: cap.name,
)
def test_a_soft_limit_that_counts_rule_out_yields_without_a_search(cap, monkeypatch):
    def no_search(*arguments, **options):
        raise AssertionError("searched")

    monkeypatch.setattr(lengthen, "best_stages", no_search)
    found = select(BATCH, np.array([4]), limits=[cap])
    assert len(found.index) == 4
    assert found.relaxed[cap.name].tolist() == [True]
    assert not len(found.hurried)


def test_what_stands_already_may_exceed_a_maximum():
    caps = cap_arrays([Cap("one", np.array([1, 1, 1, 2]), maximum=1)], np.arange(4)[None], np.array([4]))
    nothing, two = np.full(4, -1), np.array([0, 1, -1, -1])
    assert length_bound(caps, np.ones(4, np.bool_), 4, start=nothing) == 2
    assert length_bound(caps, np.ones(4, np.bool_), 4, start=two) == 3


@pytest.mark.parametrize("hard", [True, False])
def test_a_search_ends_with_the_time_and_says_so(hard):
    k, limits = np.array([2]), crossed(hard=hard)
    late = select(CROSSED, k, limits=limits, remaining=lambda: 0.0)
    assert late.hurried.tolist() == [0]
    assert late.index.tolist() == ([0] if hard else [0, 2])
    for seconds in (np.inf, 60.0):
        found = select(CROSSED, k, limits=limits, remaining=lambda seconds=seconds: seconds)
        assert found.index.tolist() == [1, 2]
        assert not len(found.hurried)
        assert not found.relaxed


def test_other_rows_of_the_batch_are_not_marked():
    both = Candidates.from_lists([[4, 5], [1, 2, 3]], scores=[[2.0, 1.0], [3.0, 2.0, 1.0]])
    limits = [
        Cap("row", np.array([1, 2, 1, 1, 2]), maximum=1, hard=True),
        Cap("column", np.array([1, 2, 1, 2, 1]), maximum=1, hard=True),
    ]
    found = select(both, np.array([2, 2]), limits=limits, remaining=lambda: 0.0)
    assert found.hurried.tolist() == [1]
    assert np.diff(found.offsets).tolist() == [2, 1]


class Crossed:
    """Two limits that the greedy list ends under after one item."""

    hard = True

    def limit(self, candidates: Candidates) -> tuple[Cap, ...]:
        codes = (
            np.array([0, 1, 1, 2])[np.minimum(candidates.item, 3)],
            np.array([0, 1, 2, 1])[np.minimum(candidates.item, 3)],
        )
        return tuple(Cap(f"limit {at}", code, maximum=1, hard=True) for at, code in enumerate(codes))


def test_a_request_says_that_its_time_ran_out(monkeypatch):
    data = toy_dataset()
    first = data.item_ids.decode([1, 2, 3]).tolist()
    pipeline = Pipeline([candidates.FromFunction(lambda requests, limit: [first] * len(requests)), Crossed()])
    pipeline.fit(data)
    for budget in (None, 60_000):
        calm = pipeline.recommend([None], k=2, now=data.until, budget_ms=budget)
        assert calm.ids(0) == first[1:]
        assert calm.reasons[0] == ()
    monkeypatch.setattr("recokit.budget.Deadline.for_search", lambda self: 0.0)
    hurried = pipeline.recommend([None], k=2, now=data.until)
    assert hurried.ids(0) == first[:1]
    assert hurried.status[0] == Status.DEGRADED
    assert "no time left" in hurried.reasons[0][0]
