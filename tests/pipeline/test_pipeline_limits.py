"""A list that is shorter than asked for since sources may give no more says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.data import Dataset

POPULAR = candidates.Popular(half_life=None)


@pytest.fixture(scope="module")
def large() -> Dataset:
    return Dataset.from_frame(
        {"user_id": [1] * 1_200, "item_id": [*range(1_200)], "timestamp": [*range(1_200)]}
    )


@pytest.mark.parametrize(
    ("stages", "k", "found"),
    [
        ([POPULAR], 1_000, 500),
        ([POPULAR, rules.Blocked([3, 4])], 1_000, 498),
        ([rk.Step(POPULAR, limit=20)], 30, 20),
        ([candidates.Merge([POPULAR, candidates.Editorial([1])], limit=40)], 41, 40),
    ],
)
def test_it_says_why_and_what_to_write(large: Dataset, stages: list[Any], k: int, found: int) -> None:
    answer = rk.Pipeline(stages).fit(large).recommend([None, 1], k=k, now=1e9)
    assert np.diff(answer.offsets).tolist() == [found, found]
    for reasons in answer.reasons:
        assert len(reasons) == 1 and reasons[0].startswith(f"{found} of {k} places: the sources gave all")
        assert f"limit={k}" in reasons[0]


@pytest.mark.parametrize("source", [rk.Step(POPULAR, limit=1_000), candidates.Merge([POPULAR], limit=1_000)])
def test_with_a_larger_limit_the_list_is_full(large: Dataset, source: Any) -> None:
    answer = rk.Pipeline([source]).fit(large).recommend([None], k=1_000, now=1e9)
    assert len(answer.ids(0)) == 1_000 and answer.reasons == ((),)


def test_a_catalogue_that_has_no_more_is_no_limit(large: Dataset) -> None:
    short = rk.Pipeline([candidates.Editorial([1, 2])]).fit(large)
    assert short.recommend([None], k=5, now=1e9).reasons == ((),)
    everything = rk.Pipeline([rk.Step(POPULAR, limit=2_000)]).fit(large)
    assert len(everything.recommend([None], k=5_000, now=1e9).ids(0)) == 1_200
    given = rk.Pipeline([POPULAR]).fit(large).recommend([None], k=5, items=[[1, 2]], now=1e9)
    assert given.reasons == ((),)
