"""The accuracy benchmark in small: its figures against a plain computation, and what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _data, accuracy
from recokit.candidates import GraphFilter
from recokit.data import Dataset, Ragged


def test_recall_and_ndcg_are_the_published_ones() -> None:
    train = Dataset.from_frame(
        {"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)},
        items={"item_id": [1, 2, 3, 4]},
    )
    split = _data.Split("made", train, Ragged.from_lists([[3], [], [1, 2]]))

    class Fixed:
        def retrieve(self, requests, limit):
            from recokit.data import Retrieved

            assert requests.lists("exclude").counts.tolist() == [2, 1]
            return Retrieved.from_padded(np.array([[4, 3], [2, 4]]), np.zeros((2, 2), np.float32))

    recall, ndcg, _ = accuracy.judge(Fixed(), split, (1, 2))
    np.testing.assert_allclose(recall, [(0 + 1 / 2) / 2, (1 + 1 / 2) / 2])
    second = 1 / np.log2(3)
    np.testing.assert_allclose(ndcg, [(0 + 1) / 2, (second + 1 / (1 + second)) / 2])


def test_a_hold_out_takes_its_share_of_each_user_and_nothing_twice() -> None:
    rng = np.random.default_rng(0)
    train = Dataset.from_frame(
        {"user": np.repeat(np.arange(1, 31), 10), "item": rng.integers(1, 60, 300), "timestamp": range(300)}
    )
    split = _data.Split("made", train, Ragged.empty(30))
    for rare in (False, True):
        part = _data.holdout(split, share=0.2, rare=rare)
        assert part.test.counts.tolist() == [2] * 30
        assert len(part.train.interactions) == 240
        np.testing.assert_array_equal(
            _data.holdout(split, share=0.2, rare=rare).test.values, part.test.values
        )
    popularity = np.bincount(train.interactions.item)
    assert (
        popularity[_data.holdout(split, share=0.2, rare=True).test.values].mean()
        < popularity[_data.holdout(split, share=0.2).test.values].mean()
    )


@pytest.mark.slow
def test_the_best_source_beats_the_published_ones_on_citeulike(data_dir: Path) -> None:
    split = _data.citeulike()
    options = accuracy.OPTIONS["citeulike-a"]["GraphFilter"]
    recall, _, _ = accuracy.judge(GraphFilter(**options).fit(split.train), split, (50,))
    assert recall[0] > 0.1255


@pytest.mark.slow
def test_the_command_ends_in_one_json_object(data_dir: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.accuracy",
        "--data",
        "citeulike-a",
        "--sources",
        "GraphFilter",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == "accuracy"
    assert all(check["ok"] for check in found["checks"])
