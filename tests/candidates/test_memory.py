"""Sources that multiply items by items stay within a memory, whatever one user took."""

import tracemalloc

import numpy as np
import pytest

import recokit as rk
from recokit import candidates
from recokit.data import Dataset, Ragged, Requests

N_ITEMS = 3_000


@pytest.fixture(scope="module")
def data():
    """Return a log of few events, and of one user who took all items."""
    rng = np.random.default_rng(2)
    user = 1 + np.concatenate([np.zeros(N_ITEMS, np.int64), rng.integers(1, 300, 3_000)])
    item = np.concatenate([np.arange(N_ITEMS), rng.integers(0, N_ITEMS, 3_000)])
    return Dataset.from_frame({"user": user, "item": item, "timestamp": np.arange(len(user), dtype=float)})


def asked():
    rng = np.random.default_rng(4)
    history = Ragged.from_lists([rng.integers(1, N_ITEMS + 1, 5) for _ in range(8)])
    return Requests.build(np.zeros(8, np.int64), ragged={"history": history})


@pytest.mark.parametrize("options", [{}, {"response": (0.5, 1.0), "n_factors": 8}])
def test_a_graph_that_is_not_multiplied_out_gives_the_same_lists(data, options):
    whole = candidates.GraphFilter(**options).fit(data)
    bounded = candidates.GraphFilter(max_memory=1e6, **options).fit(data)
    assert whole.graph_ is None
    assert bounded.weight_ is None
    one, other = whole.retrieve(asked(), 50), bounded.retrieve(asked(), 50)
    np.testing.assert_allclose(one.score, other.score, rtol=1e-4)
    assert len(np.intersect1d(one.item, other.item)) > 0.95 * len(np.unique(one.item))


def test_it_takes_no_more_than_it_may(data):
    tracemalloc.start()
    candidates.GraphFilter(max_memory=1e6).fit(data).retrieve(asked(), 50)
    bounded = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    candidates.GraphFilter().fit(data)
    whole = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bounded < 10e6 < 70e6 < whole


def test_a_bounded_model_is_saved(data, tmp_path):
    model = rk.Pipeline([candidates.GraphFilter(max_memory=1e6)]).fit(data)
    model.save(tmp_path / "model")
    again = rk.Pipeline.load(tmp_path / "model")
    assert again.recommend([1, 5], k=9, now=1e6).ids(1) == model.recommend([1, 5], k=9, now=1e6).ids(1)


@pytest.mark.parametrize(
    "make",
    [
        candidates.ItemKNN,
        candidates.RP3beta,
        candidates.CoOccurrence,
        candidates.Transitions,
    ],
)
def test_models_of_neighbours_work_in_blocks(data, make):
    tracemalloc.start()
    make(n_neighbors=10).fit(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e9
