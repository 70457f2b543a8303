"""Replays: when a request looks slow enough to run again, and which of several runs counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recokit.debugger.replay import USUALLY, Replayer, single_request
from recokit.testing import make_requests

#: Of a budget of 100 ms, with neither pipeline.
REPLAYER = Replayer(None, None, None, 0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("taken", "usual", "looks_slow"),
    [
        ({"": 0.1}, None, False),
        ({"": 0.11}, None, True),
        ({"a": 0.06}, {"a": 0.04}, False),
        ({"a": 0.061}, {"a": 0.04}, True),  # half as much again
        ({"a": 0.01}, {"a": 0.001}, False),
        ({"a": 0.012}, {"a": 0.001}, True),  # and a tenth of the budget more
        ({"a": 0.009}, {}, False),
        ({"a": 0.011}, {}, True),
    ],
)
def test_a_request_looks_slow_sooner_than_a_check_calls_it_so(
    taken: Any, usual: Any, looks_slow: bool
) -> None:
    assert REPLAYER._looks_slow(taken, usual) is looks_slow


def test_of_several_runs_the_fastest_counts_here_and_the_lower_quartile_of_the_baseline() -> None:
    here, usual = USUALLY
    assert here([3.0, 1.0, 2.0]) == 1.0
    assert [usual(list(range(n, 0, -1))) for n in (1, 3, 4, 8)] == [1, 1, 2, 3]  # type: ignore[arg-type]


def test_a_single_request_keeps_its_row_and_the_values_that_it_read() -> None:
    requests = make_requests(4)
    one = single_request(requests, 2)
    assert (one.user[0], one.now[0], one.k[0], one.seed[0]) == tuple(
        part[2] for part in (requests.user, requests.now, requests.k, requests.seed)
    )
    assert one.pinned is requests.pinned and len(one) == 1
    assert np.array_equal(one.lists("history").values, requests.lists("history").take(np.array([2])).values)
    assert one.column("device")[0] == requests.column("device")[2]
