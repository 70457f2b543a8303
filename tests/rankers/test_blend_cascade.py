"""Rankers made of rankers: what is blended, with which weights, and who scores what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._utils.params import clone
from recokit.data import Candidates, RankingData
from recokit.data.state.encode import from_state, to_state
from recokit.errors import ConfigurationError, NotFittedError
from recokit.rankers import Blend, Cascade, LinearRanker, LogisticRegression, Weighted
from recokit.rankers._composite import as_candidates, fit_held_out

A, B, C = Weighted({"a": 1.0}), Weighted({"b": 1.0}), Weighted({"c": 1.0})


def make_data(n_groups=40, size=15, seed=0, validation=None):
    """The order is that of a + b; c is noise."""
    rng = np.random.default_rng(seed)
    n = n_groups * size
    x = rng.normal(size=(n, 3)).astype(np.float32)
    label = (x[:, 0] + x[:, 1] + rng.logistic(size=n) * 0.3 > 1.5).astype(np.float32)
    return RankingData(
        x, ("a", "b", "c"), label, np.ones(n, np.float32), np.arange(0, n + 1, size),
        np.repeat(np.arange(1, n_groups + 1), size), np.tile(np.arange(1, size + 1), n_groups), np.zeros(n),
        validation=validation,
    )  # fmt: skip


@st.composite
def batches(draw, ties=True):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = rng.integers(0, 9, draw(st.integers(1, 4)))
    n = int(counts.sum())
    x = rng.integers(-3, 4, (n, 3)).astype(np.float32) if ties else rng.normal(size=(n, 3)).astype(np.float32)
    items = [rng.permutation(20)[:count] + 1 for count in counts]
    return Candidates.from_lists(items, features=x, feature_names=("a", "b", "c"))


class TestBlend:
    @given(batch=batches())
    @settings(max_examples=40, deadline=None)
    @pytest.mark.parametrize("by", ["standard", "rank", "score"])
    def test_against_a_loop(self, by, batch):
        blend = Blend([A, B], weights=[3.0, 1.0], by=by).fit(make_data(2))
        expected = []
        for start, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
            parts = []
            for s in (batch.features[start:end, 0], batch.features[start:end, 1]):
                if by == "standard":
                    parts.append((s - s.mean()) / (s.std() or 1.0) if len(s) else s)
                elif by == "rank":
                    below = [(s < v).sum() + ((s == v).sum() - 1) / 2 for v in s]
                    parts.append(np.array(below) / max(len(s) - 1, 1))
                else:
                    parts.append(s)
            expected += [*(0.75 * parts[0] + 0.25 * parts[1])]
        np.testing.assert_allclose(blend.score(batch), expected, atol=1e-5)

    def test_weights_are_learned_where_the_rankers_have_not_seen_the_answers(self):
        data = make_data(validation=make_data(seed=1))
        blend = Blend([A, B, C]).fit(data)
        assert blend.weights_.sum() == pytest.approx(1.0)
        assert abs(blend.weights_[0] - blend.weights_[1]) < 0.15 and blend.weights_[2] < 0.1
        # A ranker that knows training answers by heart is not trusted for it.
        learned = Blend([Memory(), B]).fit(data)
        assert learned.weights_[1] > 0.95

    def test_without_validation_all_count_alike(self):
        assert Blend([A, B, C]).fit(make_data()).weights_.tolist() == [1 / 3] * 3
        held = make_data(4, seed=1)
        silent = replace(held, label=np.zeros_like(held.label))
        assert Blend([A, B]).fit(make_data(validation=silent)).weights_.tolist() == [0.5, 0.5]
        against = Blend([Weighted({"a": -1.0}), Weighted({"b": -1.0})]).fit(make_data(validation=held))
        assert against.weights_.tolist() == [0.5, 0.5]

    def test_a_ranker_of_weight_0_is_not_asked(self):
        blend = Blend([A, Weighted({"absent": 1.0})], weights=[1, 0]).fit(make_data(2))
        batch = as_candidates(make_data(2))
        np.testing.assert_allclose(blend.score(batch), Blend([A]).fit(make_data(2)).score(batch))

    def test_missing_scores(self):
        x = np.array([[1.0, 2.0], [np.nan, 0.0], [3.0, 4.0]], np.float32)
        batch = Candidates.from_lists([[1, 2, 3]], features=x, feature_names=("a", "b"))
        for by in ("standard", "rank"):
            score = Blend([Raw(), B], weights=[1, 1], by=by).fit(make_data(2)).score(batch)
            assert np.isnan(score).tolist() == [False, True, False] and score[2] > score[0]

    def test_options(self):
        with pytest.raises(ConfigurationError, match="no ranker for Blend"):
            Blend([])
        with pytest.raises(ConfigurationError, match="expected rankers"):
            Blend([A, make_source()])
        for bad in ([1.0], [1.0, -1.0], [0.0, 0.0], [np.nan, 1.0]):
            with pytest.raises(ConfigurationError, match="2 finite numbers"):
                Blend([A, B], weights=bad)
        with pytest.raises(ConfigurationError, match="by='mean'"):
            Blend([A], by="mean")
        with pytest.raises(NotFittedError, match="Blend before fit"):
            Blend([A]).score(as_candidates(make_data(2)))


class Raw:
    """The feature a, missing values too."""

    def score(self, candidates):
        return candidates.feature("a")


class Memory:
    """Knows the label of every row that it was fitted on, and nothing of others."""

    def fit(self, data):
        held = data.validation
        self.known = {
            float(x): float(y)
            for part in (data, *(() if held is None else (held,)))
            for x, y in zip(part.features[:, 2], part.label, strict=True)
        }
        return self

    def score(self, candidates):
        return np.array([self.known.get(float(x), 0.0) for x in candidates.features[:, 2]], np.float32)


def make_source():
    class Source:
        def retrieve(self, requests, limit): ...

    return Source()


def test_held_out_groups_are_seen_by_nobody():
    data = make_data(validation=make_data(5, seed=1))
    (memory,), judged = fit_held_out([Memory()], data)
    assert len(judged.offsets) == 3  # groups 1 and 3 of five
    np.testing.assert_array_equal(judged.features[:15], data.validation.features[15:30])
    assert len(memory.known) == len(data) + 45
    assert not memory.score(as_candidates(judged)).any()
    assert fit_held_out([A], make_data()) is None


class TestCascade:
    @given(
        batch=batches(),
        limits=st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda two: sorted(two)[::-1]),
    )
    @settings(max_examples=60, deadline=None)
    def test_against_a_loop(self, batch, limits):
        score = Cascade([(A, None), (B, limits[0]), (C, limits[1])]).fit(make_data(2)).score(batch)
        assert score.dtype == np.float32
        for start, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
            a, b, c = batch.features[start:end].T
            item, found = batch.item[start:end], score[start:end]
            by_a = sorted(range(end - start), key=lambda i: (-a[i], item[i]))
            top, rest = by_a[: limits[0]], by_a[limits[0] :]
            by_b = sorted(top, key=lambda i: (-b[i], item[i]))
            best, middle = by_b[: limits[1]], by_b[limits[1] :]
            np.testing.assert_array_equal(found[best], c[best])
            for upper, lower, key in ((best, middle, b), (middle, rest, a), (best, rest, a)):
                if upper and lower:
                    assert found[upper].min() > found[lower].max()
                for i in lower:
                    for j in lower:
                        assert (found[i] > found[j]) == (key[i] > key[j])

    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
    def test_ten_thousand_below(self, scale):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(10_000, 3)).astype(np.float32)
        x[:, 0], x[:, 1] = rng.permutation(10_000), x[:, 1] * scale
        batch = Candidates.from_lists([list(range(1, 10_001))], features=x, feature_names=("a", "b", "c"))
        score = Cascade([(A, None), (B, 200)]).fit(make_data(2)).score(batch)
        order = np.argsort(-x[:, 0])
        assert score[order[:200]].min() > score[order[200]]
        assert (np.diff(score[order[200:]]) < 0).all()
        np.testing.assert_array_equal(score[order[:200]], x[order[:200], 1])

    def test_the_dear_ranker_sees_the_best_alone(self):
        seen = []

        class Dear:
            def score(self, candidates):
                seen.append((candidates.counts.tolist(), candidates.item.tolist()))
                return np.zeros(len(candidates), np.float32)

        x = np.array([[1], [3], [2], [5], [4]], np.float32)
        batch = Candidates.from_lists([[11, 12, 13], [], [14, 15]], features=x, feature_names=("a",))
        Cascade([(A, None), (Dear(), 2)]).fit(make_data(2)).score(batch)
        assert seen == [([2, 0, 2], [12, 13, 14, 15])]

    def test_better_than_the_cheap_ranker_alone(self):
        data, held = make_data(), make_data(seed=1)
        batch = as_candidates(held)
        cheap = LogisticRegression(features=("a",))
        score = Cascade([(cheap, None), (LogisticRegression(), 8)]).fit(data).score(batch)
        alone = clone(cheap).fit(data).score(batch)

        def hits(score):
            first = [15 * g + np.argmax(score[15 * g : 15 * g + 15]) for g in range(40)]
            return held.label[first].mean()

        assert hits(score) > hits(alone) + 0.1

    def test_options(self):
        for stages in ([(A, 5)], [(A, None), (B, None)], [(A, None), (B, 0)], [(A, None), (B, 5), (C, 6)]):
            with pytest.raises(ConfigurationError, match="limits"):
                Cascade(stages)
        with pytest.raises(ConfigurationError, match="no ranker for Cascade"):
            Cascade([])


@pytest.mark.parametrize(
    "made",
    [Blend([LinearRanker(), A]), Cascade([(LinearRanker(), None), (A, 3)])],
    ids=lambda made: type(made).__name__,
)
def test_saves_without_pickle_and_fits_clones(made):
    fitted = clone(made).fit(make_data())
    batch = as_candidates(make_data(3, seed=5))
    np.testing.assert_array_equal(from_state(*to_state(fitted)).score(batch), fitted.score(batch))
    first = made.rankers[0] if isinstance(made, Blend) else made.stages[0][0]
    assert not hasattr(first, "coef_")


@pytest.mark.parametrize(
    "stages",
    [
        [Weighted({"x": 1.0}), Weighted({"x": 1.0})],
        Weighted({"x": 1.0}),
        [(Weighted({"x": 1.0}), None), Weighted({"x": 1.0})],
        [(Weighted({"x": 1.0}),)],
        [(Weighted({"x": 1.0}), None, 3)],
        None,
        {"cheap": None},
    ],
    ids=repr,
)
def test_a_cascade_of_rankers_without_limits_says_how_to_write_it(stages):
    with pytest.raises(ConfigurationError, match=r"Cascade\(\[\(cheap, None\), \(dear, 100\)\]\)"):
        Cascade(stages)
