"""Featurizers that write into one matrix, beside those that return a block of their own."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import Step, rankers
from recokit.candidates import Popular
from recokit.protocols import FillsFeatures
from recokit.trace import Status


class Written:
    """Writes the item's code, negated, into the matrix; fails for one user where it is told to."""

    names = ("minus_code",)

    def __init__(self, *, fails_for: int = -1) -> None:
        self.fails_for = fails_for

    def featurize(self, candidates: rk.Candidates) -> np.ndarray:
        out = np.empty((len(candidates.item), 1), np.float32)
        self.featurize_into(candidates, out, 0)
        return out

    def featurize_into(self, candidates: rk.Candidates, out: np.ndarray, start: int) -> None:
        if (candidates.requests.user == self.fails_for).any():
            raise RuntimeError("no features for this user")
        out[:, start] = -candidates.item


class Returned:
    """Returns the item's code as a block of float64, which the pipeline converts."""

    names = ("code", "twice")

    def featurize(self, candidates: rk.Candidates) -> np.ndarray:
        return np.column_stack([candidates.item, 2.0 * candidates.item])


def features_of(
    written: object, users: list[int], **options: object
) -> tuple[rk.Candidates, rk.Recommendations]:
    data = rk.testing.toy_dataset()
    stages = [
        Popular(),
        Step(Returned(), name="first"),
        Step(written, **options),
        rankers.Weighted({"code": 1.0}),
    ]
    pipeline = rk.Pipeline(stages).fit(data)
    requests = rk.data.Requests.build(np.array(users), k=3, now=data.until)
    answer = pipeline.run(requests, capture="full")
    after = answer.trace.of("written")[0].after
    assert after is not None
    return after, answer


def test_blocks_that_are_written_stand_beside_blocks_that_are_returned() -> None:
    assert isinstance(Written(), FillsFeatures)
    batch, _ = features_of(Written(), [1, 2])
    assert batch.feature_names == ("code", "twice", "minus_code")
    assert batch.features.dtype == np.float32
    assert (batch.features == batch.item[:, None] * [1, 2, -1]).all()


def test_a_row_whose_features_fail_has_none_and_the_others_have_theirs() -> None:
    batch, answer = features_of(Written(fails_for=2), [1, 2, 3])
    failed = batch.row == 1
    assert np.isnan(batch.features[failed, 2]).all()
    assert (batch.features[~failed, 2] == -batch.item[~failed]).all()
    assert answer.status.tolist() == [Status.OK, Status.DEGRADED, Status.OK]


@pytest.mark.parametrize("users", [[2], [2, 2]])
def test_rows_without_any_features_are_degraded(users: list[int]) -> None:
    batch, answer = features_of(Written(fails_for=2), users)
    assert np.isnan(batch.features[:, 2]).all()
    assert (answer.status == Status.DEGRADED).all()


def test_rows_that_a_writer_does_not_apply_to_have_missing_values() -> None:
    batch, _ = features_of(Written(), [1, 2], when=lambda requests: requests.user == "user-1")
    assert (batch.features[batch.row == 0, 2] < 0).all()
    assert np.isnan(batch.features[batch.row == 1, 2]).all()
