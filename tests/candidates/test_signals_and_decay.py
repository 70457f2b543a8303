"""What sources share of events: weight 0 is no signal, and a history does not age while its user is away."""

from dataclasses import replace

import numpy as np
import pytest

from recokit import candidates
from recokit.data import DAY, Dataset, Requests, UserHistory
from recokit.errors import DataWarning

RNG = np.random.default_rng(3)
N = 600
LOG = {
    "user": RNG.integers(1, 31, N),
    "item": RNG.zipf(1.4, N) % 25 + 1,
    "timestamp": np.sort(RNG.uniform(0, 120 * DAY, N)),
    "weight": RNG.choice([1.0, 0.5, 0.1], N),
}
ITEMS = {"item": np.arange(1, 31), "category": [f"c{i % 4}" for i in range(30)], "price": np.arange(30.0)}
USERS = {"user": np.arange(1, 41)}
SOURCES = [
    candidates.History(),
    candidates.Repurchase(),
    candidates.Transitions(),
    candidates.CoOccurrence(gap="2D"),
    candidates.ItemKNN(),
    candidates.ItemKNN(similarity="jaccard"),
    candidates.RP3beta(),
    candidates.EASE(regularization=5.0),
    candidates.SLIM(),
    candidates.PureSVD(8),
    candidates.GraphFilter(),
    candidates.GraphFilter(response=(1.0,), n_factors=8),
    candidates.IALS(8),
    candidates.Popular(half_life="14D"),
    candidates.Trending(),
    candidates.PopularInCategory(),
    candidates.Explore(max_events=12),
    candidates.ColdStart([(0, candidates.Popular()), (2, candidates.History())]),
    candidates.Content(),
    candidates.ItemKNN(max_history=3),
    candidates.IALS(8, max_history=3),
]


def dataset(n_unseen=0):
    """Return the log, with some events of weight 0 for users and items that may have no others."""
    rng = np.random.default_rng(5)
    more = {
        "user": rng.integers(1, 41, n_unseen),
        "item": rng.integers(1, 31, n_unseen),
        "timestamp": rng.uniform(0, 120 * DAY, n_unseen),
        "weight": np.zeros(n_unseen),
    }
    log = {name: np.concatenate([LOG[name], more[name]]) for name in LOG}
    return Dataset.from_frame(log, items=ITEMS, users=USERS).before(120 * DAY)


def requests(data, now=121 * DAY):
    asked = Requests.build(np.arange(41), now=now)
    return replace(asked, ragged=UserHistory().fit(data).hydrate(asked).ragged)


def lists(source, data, now=121 * DAY):
    found = source.fit(data).retrieve(requests(data, now), 20)
    return [
        found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ], found.score


@pytest.mark.parametrize("source", SOURCES, ids=repr)
def test_events_of_weight_0_change_no_list(source):
    plain, plain_score = lists(source, dataset())
    noisy, noisy_score = lists(source, dataset(400))
    assert noisy == plain
    np.testing.assert_allclose(noisy_score, plain_score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("half_life", ["1D", "20D"])
@pytest.mark.parametrize(
    "make",
    [
        candidates.History,
        candidates.ItemKNN,
        candidates.RP3beta,
        candidates.EASE,
        candidates.SLIM,
        candidates.PureSVD,
        candidates.GraphFilter,
        candidates.IALS,
        candidates.PopularInCategory,
    ],
)
def test_a_user_who_was_away_gets_the_same_list(make, half_life):
    source, data = make(half_life=half_life), dataset()
    soon, _ = lists(source, data)
    assert any(soon)
    for days in (1, 160, 5000):
        later, _ = lists(source, data, now=(121 + days) * DAY)
        assert later == soon


def test_a_model_of_old_data_is_finite():
    data = dataset()
    late = data.with_interactions(data.interactions, cut=2000 * DAY)
    with pytest.warns(DataWarning, match="nothing to learn from in 600 events for IALS: half_life='1D'"):
        source = candidates.IALS(8, half_life="1D").fit(late)
    found = source.retrieve(requests(data), 5)
    assert np.isfinite(found.score).all()


@pytest.mark.parametrize("source", [candidates.ItemKNN(), candidates.RP3beta(), candidates.IALS(2)], ids=repr)
def test_a_source_whose_events_all_weigh_nothing_says_so(source):
    with pytest.warns(DataWarning, match="no event weighs more than 0"):
        source.fit(Dataset.from_frame({**LOG, "weight": np.zeros(N)}))


def test_popularity_decays_towards_the_end_of_the_data():
    log = {"user": [1, 2, 3], "item": [7, 7, 8], "timestamp": [0.0, 1.0, 10 * DAY]}
    found = candidates.Popular(half_life="1D").fit(Dataset.from_frame(log))
    assert found.item_.tolist() == [2, 1]


def test_transitions_heed_weights():
    log = {
        "user": [1, 1, 2, 2, 3, 3],
        "item": [1, 2, 1, 2, 1, 3],
        "timestamp": range(6),
        "event": ["view", "view", "view", "view", "view", "order"],
    }
    chain = candidates.Transitions().fit(Dataset.from_frame(log))
    assert chain.similar(np.array([1]), 5).item.tolist() == [3, 2]
    assert chain.similar(np.array([1]), 5).score.tolist() == pytest.approx([1 / 1.2, 0.2 / 1.2])
