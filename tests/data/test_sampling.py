"""Negatives: never a known positive, drawn with the stated probability, the same whatever the chunk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit.data import Dataset
from recokit.data.sampling import (
    PopularityNegatives,
    Positives,
    UniformNegatives,
    accidental_hits,
    count_until,
    draws,
    hold_out,
    log_q,
)
from recokit.errors import ConfigurationError, DataError, NotFittedError

SAMPLERS = [UniformNegatives(), PopularityNegatives(alpha=0.75), PopularityNegatives(alpha=1.0)]


def dataset(pairs, *, n_users=None, n_items=None, weight=None):
    users, items = np.array(pairs, np.int64).reshape(-1, 2).T
    log = {"user": users, "item": items, "timestamp": np.arange(len(users), dtype=np.float64)}
    if weight is not None:
        log["weight"] = weight
    return Dataset.from_frame(
        log,
        users={"user_id": np.arange(1, (n_users or users.max()) + 1)},
        items={"item_id": np.arange(1, (n_items or items.max()) + 1)},
    )


def random_data(seed=0, n_users=30, n_items=40, n=300):
    rng = np.random.default_rng(seed)
    item = np.minimum(rng.geometric(0.08, n), n_items)
    return dataset(np.column_stack([rng.integers(1, n_users + 1, n), item]), n_users=n_users, n_items=n_items)


pairs = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 8)), min_size=1, max_size=40)


class TestPositives:
    @given(pairs)
    def test_contains_is_membership(self, taken):
        positives = Positives.of(dataset(taken, n_users=5, n_items=8))
        user, item = (grid.ravel() for grid in np.meshgrid(np.arange(6), np.arange(9), indexing="ij"))
        expected = [(int(u), int(i)) in set(taken) for u, i in zip(user, item, strict=True)]
        assert positives.contains(user, item).tolist() == expected
        assert len(positives) == len(set(taken)) and positives.n_users == 5
        assert positives.counts.sum() == len(positives)

    def test_events_without_weight_are_no_positives(self):
        positives = Positives.of(dataset([(1, 1), (1, 2)], weight=[0.0, 2.0]))
        assert positives.contains(np.array([1, 1]), np.array([1, 2])).tolist() == [False, True]

    def test_no_events(self):
        positives = Positives.of(Dataset.from_frame(None, items={"item_id": [1, 2]}))
        assert positives.contains(np.array([0, 0]), np.array([1, 2])).tolist() == [False, False]

    @given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=6), st.integers(-1, 10))
    def test_count_until(self, rows, limit):
        rows = [sorted(row) for row in rows]
        ends = np.cumsum([len(row) for row in rows])
        starts = ends - [len(row) for row in rows]
        flat = np.array([value for row in rows for value in row], np.int64)
        found = count_until(flat, starts, ends, np.full(len(rows), limit))
        assert found.tolist() == [sum(value <= limit for value in row) for row in rows]


class TestDrawing:
    @pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
    @given(taken=pairs, seed=st.integers(0, 2**31))
    def test_never_a_positive_and_as_probable_as_stated(self, sampler, taken, seed):
        data = dataset(taken, n_users=5, n_items=8)
        sampler.fit(data)
        users = np.arange(6)
        sampled = sampler.sample(users, 20, seed=seed)
        owner = np.repeat(users, 20)
        item = sampled.item.ravel()
        for u, i, p in zip(owner.tolist(), item.tolist(), sampled.probability.ravel().tolist(), strict=True):
            assert (u, i) not in set(taken)
            assert (p > 0) == (i > 0)
        drawn = item > 0
        assert np.allclose(
            sampler.probability(owner[drawn], item[drawn]), sampled.probability.ravel()[drawn], atol=1e-12
        )
        everything = np.arange(1, 9)
        for user in users:
            total = sampler.probability(np.full(8, user), everything).sum()
            assert total == pytest.approx(1.0 if sampled.item[user, 0] else 0.0, abs=1e-9)

    @pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
    def test_frequencies(self, sampler):
        data = random_data()
        sampler.fit(data)
        n = 40_000
        for user in (1, 7):
            item = sampler.sample(np.array([user]), n, seed=3).item.ravel()
            p = sampler.probability(np.full(40, user), np.arange(1, 41))
            count = np.bincount(item, minlength=41)[1:]
            assert (np.abs(count - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 1e-9).all()

    def test_popularity_by_its_power(self):
        data = dataset([(1, 1), (2, 1), (3, 1), (4, 1), (1, 2)], n_items=3)
        p = PopularityNegatives(alpha=0.5).fit(data).probability(np.zeros(3, np.int64), np.arange(1, 4))
        assert p == pytest.approx([2 / 3, 1 / 3, 0], abs=1e-9)
        flat = PopularityNegatives(alpha=0).fit(data).probability(np.zeros(3, np.int64), np.arange(1, 4))
        assert flat == pytest.approx([1 / 3] * 3, abs=1e-9)
        huge = PopularityNegatives(alpha=1000.0).fit(data)
        assert huge.sample(np.array([0]), 50).item.tolist() == [[1] * 50]

    def test_weights_estimate_the_total(self):
        data = random_data()
        value = np.random.default_rng(1).normal(5, 1, 41)
        positives = Positives.of(data)
        for sampler in (UniformNegatives(), PopularityNegatives(alpha=0.5)):
            sampled = sampler.fit(data).sample(np.array([4]), 30_000)
            can = sampler.probability(np.full(40, 4), np.arange(1, 41)) > 0
            assert not positives.contains(np.full(40, 4), np.arange(1, 41))[can].any()
            estimate = (sampled.weight * value[sampled.item]).sum()
            assert estimate == pytest.approx(value[1:][can].sum(), rel=0.03)

    def test_same_whatever_the_chunk(self):
        sampler = PopularityNegatives().fit(random_data())
        users, key = np.array([3, 9, 3, 1]), np.array([10, 11, 12, 13])
        whole = sampler.sample(users, 6, seed=5, key=key)
        for row in range(4):
            alone = sampler.sample(users[row : row + 1], 6, seed=5, key=key[row : row + 1])
            assert alone.item.tolist() == whole.item[row : row + 1].tolist()
            assert alone.probability.tolist() == whole.probability[row : row + 1].tolist()
        assert whole.item[0].tolist() != whole.item[2].tolist()
        assert sampler.sample(users, 4, seed=5, key=key).item.tolist() == whole.item[:, :4].tolist()
        assert sampler.sample(users, 6, seed=6, key=key).item.tolist() != whole.item.tolist()
        without = sampler.sample(users, 6, seed=5).item
        assert without[0].tolist() == without[2].tolist()

    def test_a_user_who_took_everything(self):
        data = dataset([(1, 1), (1, 2), (2, 1)])
        for sampler in SAMPLERS:
            sampled = sampler.fit(data).sample(np.array([1, 2]), 3)
            assert sampled.item.tolist() == [[0, 0, 0], [2, 2, 2]]
            assert sampled.weight[0].tolist() == [0, 0, 0]
            assert sampled.probability.tolist() == [[0, 0, 0], [1, 1, 1]]

    def test_a_user_with_all_but_one_of_a_large_catalogue(self):
        n = 5_000
        data = dataset([(1, item) for item in range(1, n + 1) if item != 1234], n_items=n)
        assert set(UniformNegatives().fit(data).sample(np.array([1]), 50).item[0].tolist()) == {1234}

    def test_no_rows_no_events_no_items(self):
        empty = Dataset.from_frame(None)
        for sampler in SAMPLERS:
            sampler.fit(empty)
            assert sampler.sample(np.array([0]), 2).item.tolist() == [[0, 0]]
            assert sampler.sample(np.zeros(0, np.int64), 2).item.shape == (0, 2)
        cold = Dataset.from_frame(None, items={"item_id": [1, 2]})
        assert UniformNegatives().fit(cold).sample(np.array([0]), 9).item.min() >= 1
        assert PopularityNegatives().fit(cold).sample(np.array([0]), 2).item.tolist() == [[0, 0]]

    def test_errors(self):
        with pytest.raises(NotFittedError, match="UniformNegatives before fit"):
            UniformNegatives().sample(np.array([1]), 1)
        with pytest.raises(NotFittedError, match="PopularityNegatives before fit"):
            PopularityNegatives().probability(np.array([1]), np.array([1]))
        for alpha in (-1, np.inf, np.nan):
            with pytest.raises(ConfigurationError, match="alpha"):
                PopularityNegatives(alpha=alpha)

    def test_draws_are_uniform(self):
        draw = draws(np.arange(200), 200, 0, None)
        assert draw.min() > 0 and draw.max() < 1
        assert np.histogram(draw, 10, (0, 1))[0] == pytest.approx([4_000] * 10, rel=0.08)


class TestInBatch:
    def test_log_q_is_the_log_of_the_share(self):
        q = log_q(np.array([99, 6, 0, 3]))
        assert q.dtype == np.float32
        assert np.exp(q[1:]) == pytest.approx([0.6, 0.1, 0.3])

    @given(pairs, st.lists(st.tuples(st.integers(1, 5), st.integers(1, 8)), min_size=1, max_size=12))
    def test_hits_against_naive(self, taken, batch):
        positives = Positives.of(dataset(taken, n_users=5, n_items=8))
        user, item = np.array(batch).T
        own = accidental_hits(user, item, positives)
        pool = np.array([3, 3, 8, 1])
        given_pool = accidental_hits(user, item, positives, pool=pool)
        for b, (u, i) in enumerate(batch):
            for c, (_, j) in enumerate(batch):
                assert own[b, c] == (b != c and (i == j or (u, j) in set(taken)))
            for c, j in enumerate(pool.tolist()):
                assert given_pool[b, c] == (i == j or (u, j) in set(taken))

    def test_correction_undoes_the_popularity_of_the_batch(self):
        # Softmax over batch negatives with scores - log q has the expectation of a softmax over the catalogue.
        counts = np.array([0, 50, 10, 1])
        score = np.array([0.0, 0.3, -0.2, 1.0])
        share = counts[1:] / counts.sum()
        corrected = (share * np.exp(score[1:] - log_q(counts)[1:])).sum()
        assert corrected == pytest.approx(np.exp(score[1:]).sum(), rel=1e-6)


class TestHoldOut:
    @given(pairs, st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(0, 99))
    def test_parts(self, taken, share, seed):
        data = dataset(taken, n_users=5, n_items=8)
        counts = {user: len({i for u, i in taken if u == user}) for user in range(1, 6)}
        if max(counts.values()) < 2:
            with pytest.raises(DataError, match="two items"):
                hold_out(data, share, seed=seed)
            return
        train, held = hold_out(data, share, seed=seed)
        assert len(train.interactions) + len(held.interactions) == len(taken)
        first, second = (
            set(zip(part.interactions.user.tolist(), part.interactions.item.tolist(), strict=True))
            for part in (train, held)
        )
        assert not first & second and first | second == set(taken)
        for user, n in counts.items():
            wanted = 0 if n < 2 else min(max(round(share * n), 1), n - 1)
            assert sum(u == user for u, _ in second) == wanted
        assert (np.diff(train.interactions.timestamp) >= 0).all() and train.item_ids is data.item_ids

    def test_by_user_and_item_alone(self):
        data = random_data()
        held = hold_out(data, 0.3, seed=2)[1].interactions
        some = data.with_interactions(data.interactions.take(np.flatnonzero(data.interactions.user <= 5)))
        alone = hold_out(some, 0.3, seed=2)[1].interactions
        mine = held.user <= 5
        assert alone.item.tolist() == held.item[mine].tolist()
        assert hold_out(data, 0.3, seed=3)[1].interactions.item.tolist() != held.item.tolist()

    @pytest.mark.parametrize("share", [0, 1, -0.5, np.nan])
    def test_bad_share(self, share):
        with pytest.raises(ConfigurationError, match="share"):
            hold_out(random_data(), share)


class TestAtLeast:
    def test_threshold(self):
        data = dataset([(1, 1), (1, 2), (2, 3)], weight=[5.0, 3.0, 4.0]).before(100.0)
        liked = data.at_least(4)
        assert liked.interactions.item.tolist() == [1, 3]
        assert liked.interactions.weight.tolist() == [1.0, 1.0]
        assert (liked.n_users, liked.n_items, liked.cut) == (2, 3, 100.0)
        assert data.interactions.weight.tolist() == [5.0, 3.0, 4.0]

    def test_nothing_left(self):
        with pytest.raises(DataError, match="largest is 5"):
            dataset([(1, 1)], weight=[5.0]).at_least(6)
        assert len(Dataset.from_frame(None).at_least(4).interactions) == 0
