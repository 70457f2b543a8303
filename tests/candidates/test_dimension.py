"""The number of dimensions is measured: as many as there are tastes, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.candidates import PureSVD, advise_dimension
from recokit.data import Dataset
from recokit.data.sampling import hold_out
from recokit.errors import ConfigurationError, DataError


def tastes(n: int) -> Dataset:
    rng = np.random.default_rng(0)
    user = rng.integers(0, 400, 12_000)
    item = user % n * 12 + rng.integers(0, 12, 12_000)
    return Dataset.from_frame({"user": user, "item": item, "timestamp": np.arange(12_000)})


@pytest.mark.parametrize("n", [4, 16])
def test_as_many_dimensions_as_tastes(n: int) -> None:
    found = advise_dimension(tastes(n), [2, 4, 16, 64], k=12)
    assert found.dimension == n
    assert found.customary == 64
    recalls = {row["dimension"]: row["recall"] for row in found.table}
    assert recalls[2] < recalls[n] * 0.9
    assert f"{n} dimensions (64 are customary" in str(found)
    assert found == advise_dimension(tastes(n), [64, 2, 16, 4], k=12)


def test_sizes_beyond_the_data_and_samples_of_users() -> None:
    found = advise_dimension(tastes(4), [4, 4000], k=12, max_users=50)
    assert [row["dimension"] for row in found.table] == [4, 48]


def test_what_cannot_be_measured() -> None:
    with pytest.raises(ConfigurationError, match="dimensions"):
        advise_dimension(tastes(4), [])
    with pytest.raises(ConfigurationError, match="k=0"):
        advise_dimension(tastes(4), k=0)
    one = Dataset.from_frame({"user": [1], "item": [1], "timestamp": [0]})
    with pytest.raises(DataError):
        advise_dimension(one)


def test_recall_is_that_of_lists_without_what_was_taken() -> None:
    data = tastes(8)
    found = advise_dimension(data, [3, 8], k=5, tolerance=0.0)
    train, test = hold_out(data, share=0.2, seed=0)
    vectors = PureSVD(8, seed=0).fit(train).item_factors_.astype(np.float64)
    taken = np.zeros((train.n_users + 1, train.n_items + 1))
    np.add.at(taken, (train.interactions.user, train.interactions.item), 1.0)
    held = np.zeros(taken.shape, bool)
    held[test.interactions.user, test.interactions.item] = True
    for row in found.table:
        size = int(row["dimension"])
        score = taken @ vectors[:, :size] @ vectors[:, :size].T
        score[taken > 0] = -np.inf
        score[:, 0] = -np.inf
        best = np.argsort(-score, axis=1, kind="stable")[:, :5]
        hits = np.take_along_axis(held, best, axis=1).sum(axis=1)
        users = held.sum(axis=1) > 0
        recall = (hits[users] / held[users].sum(axis=1)).mean()
        assert row["recall"] == pytest.approx(recall, abs=0.01)
        assert row["megabytes"] == pytest.approx(4e-6 * size * (data.n_items + 1))
