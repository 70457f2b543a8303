"""MultiObjective and sweep: heads by event, values, bounds and fronts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import recokit as rk
from recokit import candidates, features
from recokit._utils.params import clone
from recokit.data import RankingData, Schema, Table, Vocabulary
from recokit.data.state.encode import from_state, to_state
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.rankers import GradientBoosting, LogisticRegression, MultiObjective, sweep
from recokit.rankers._composite import as_candidates
from recokit.rankers._utility import pareto_front, smallest_multiplier, top_mean

PRICE = np.concatenate([[np.nan], np.linspace(1, 10, 40)]).astype(np.float32)
PRICE[40] = np.nan


def make_schema(price=PRICE, name="price"):
    n = len(price) - 1
    table = replace(Table.empty(n), numeric=price[:, None], numeric_names=(name,))
    return Schema(
        Vocabulary(list(range(n))), Vocabulary(["ann"]), table, Table.empty(1), feature_names=("a", "b")
    )


def make_data(n_groups=60, seed=0, validation=None):
    """Clicks follow a, purchases b, and what is clicked is hidden sometimes."""
    rng = np.random.default_rng(seed)
    size, n = 40, 40 * n_groups
    x = rng.normal(size=(n, 2)).astype(np.float32)
    noise = rng.logistic(size=(3, n))
    click = 2 * x[:, 0] - 1 + noise[0] > 0
    purchase = 2 * x[:, 1] - 2 + noise[1] > 0
    hide = 2 * x[:, 0] - 3 + noise[2] > 0
    label = np.maximum(np.where(purchase, 1.0, 0.0), np.where(click, 0.1, 0.0)).astype(np.float32)
    return RankingData(
        x, ("a", "b"), label, np.ones(n, np.float32), np.arange(0, n + 1, size), np.ones(n, np.int64),
        np.tile(np.arange(1, size + 1), n_groups), np.zeros(n), validation,
        {"event.click": click, "event.purchase": purchase, "event.hide": hide}, make_schema(),
    )  # fmt: skip


def both():
    return make_data(validation=make_data(40, seed=1))


BATCH = as_candidates(make_data(3, seed=5))


class TestUtility:
    def test_is_the_sum_of_weighted_heads(self):
        data = both()
        ranker = MultiObjective(
            {"click": 0.5, "purchase": 2.0, "hide": -1.0}, values={"purchase": "item.price"}
        )
        score = ranker.fit(data).score(BATCH)
        expected = np.zeros(len(BATCH))
        for name, weight in ranker.weights.items():
            label = data.columns[f"event.{name}"].astype(np.float32)
            held = data.validation
            held = replace(held, label=held.columns[f"event.{name}"].astype(np.float32))
            chance = LogisticRegression().fit(replace(data, label=label, validation=held)).score(BATCH)
            value = np.nan_to_num(PRICE)[BATCH.item] if name == "purchase" else 1.0
            expected += weight * chance * value
        assert score.dtype == np.float32
        np.testing.assert_allclose(score, expected, rtol=1e-5)
        assert score[BATCH.item == 40].max() < 1.0  # no price, no value

    def test_heads_are_probabilities_of_their_events(self):
        ranker = MultiObjective({"click": 1.0, "hide": -1.0}).fit(both())
        held = make_data(40, seed=3)
        terms = ranker.terms(as_candidates(held))
        for name in ("click", "hide"):
            assert abs(terms[name].mean() - held.columns[f"event.{name}"].mean()) < 0.03

    def test_columns_count_as_they_are(self):
        ranker = MultiObjective({"item.price": 1.0, "feature.a": 10.0}).fit(make_data())
        expected = np.nan_to_num(PRICE)[BATCH.item] + 10 * BATCH.feature("a")
        np.testing.assert_allclose(ranker.score(BATCH), expected, rtol=1e-5, atol=1e-5)
        assert ranker.requires == ("item.price", "feature.a") and ranker.heads_ == {}

    def test_values_follow_the_schema(self):
        ranker = MultiObjective({"purchase": 1.0}, values={"purchase": "item.price"}).fit(make_data())
        doubled = ranker.bind(make_schema(2 * PRICE))
        np.testing.assert_allclose(doubled.score(BATCH), 2 * ranker.score(BATCH), rtol=1e-6)

    def test_saves_without_pickle(self):
        ranker = MultiObjective({"click": 1.0, "purchase": 1.0}, values={"purchase": "item.price"}).fit(
            make_data()
        )
        np.testing.assert_array_equal(from_state(*to_state(ranker)).score(BATCH), ranker.score(BATCH))

    def test_in_a_pipeline(self):
        data = rk.testing.toy_dataset()
        ranker = MultiObjective(
            {"click": 0.2, "purchase": 1.0},
            values={"purchase": "item.price"},
            ranker=GradientBoosting(n_estimators=5),
        )
        pipeline = rk.Pipeline([candidates.Popular(), features.ItemActivity(), ranker]).fit(
            data, label_window="14D"
        )
        fitted = pipeline["multi_objective"]
        assert set(fitted.heads_) == {"click", "purchase"} and not hasattr(ranker, "heads_")
        assert len(pipeline.recommend(["user-3"], k=5, now=data.until).ids(0)) == 5

    def test_what_is_not_there(self):
        with pytest.raises(ConfigurationError, match=r"no event 'clik'.*did you mean 'click'"):
            MultiObjective({"clik": 1.0}).fit(make_data())
        with pytest.raises(ConfigurationError, match=r"no numeric item column 'prise'.*did you mean 'price'"):
            MultiObjective({"item.prise": 1.0}).fit(make_data())
        with pytest.raises(ConfigurationError, match=r"without a schema.*hint"):
            MultiObjective({"item.price": 1.0}).fit(replace(make_data(), schema=None))
        silent = make_data(2)
        silent = replace(silent, columns={**silent.columns, "event.hide": np.zeros(80, np.bool_)})
        with pytest.raises(DataError, match=r"no 'hide' among 80 rows.*hint"):
            MultiObjective({"hide": -1.0}).fit(silent)
        with pytest.raises(NotFittedError, match="before fit"):
            MultiObjective({"click": 1.0}).score(BATCH)

    @pytest.mark.parametrize(
        ("options", "found"),
        [
            ({"weights": {}}, "at least one term"),
            ({"weights": {"click": np.inf}}, "finite"),
            ({"weights": {"click": 1.0}, "at_least": {"hide": 1.0, "click": 0.1}}, "one term and its bound"),
            ({"weights": {"click": 1.0}, "values": {"purchase": "item.price"}}, "one of the events"),
            ({"weights": {"click": 1.0}, "values": {"click": "price"}}, "a column such as"),
            ({"weights": {"click": 1.0}, "k": 0}, "k=0"),
            ({"weights": {"click": 1.0}, "ranker": object()}, "no verb"),
        ],
    )
    def test_options(self, options, found):
        with pytest.raises(ConfigurationError, match=found):
            MultiObjective(**options)


class TestBound:
    def test_is_kept_at_the_least_price(self):
        data = both()
        free = MultiObjective({"click": 1.0}).fit(data)
        bound = 0.35
        kept = MultiObjective({"click": 1.0}, at_least={"purchase": bound}, k=5).fit(data)
        assert free.multiplier_ == 0.0 and kept.multiplier_ > 0.0
        later = make_data(200, seed=11)
        batch, purchase = as_candidates(later), later.columns["event.purchase"]
        click = later.columns["event.click"]
        assert top_mean(later, free.score(batch), purchase, 5) < bound - 0.1
        # on other data: as much as noise allows, and not much more
        assert bound - 0.04 < top_mean(later, kept.score(batch), purchase, 5) < bound + 0.04
        much = MultiObjective({"click": 1.0, "purchase": 50.0}).fit(data)
        assert (
            top_mean(later, kept.score(batch), click, 5) > top_mean(later, much.score(batch), click, 5) + 0.1
        )

    def test_on_a_column(self):
        kept = MultiObjective({"click": 1.0}, at_least={"item.price": 7.0}, k=5).fit(both())
        later = make_data(100, seed=12)
        price = np.nan_to_num(PRICE)[later.item]
        assert 6.5 < top_mean(later, kept.score(as_candidates(later)), price, 5) < 7.5

    def test_that_holds_anyway_costs_nothing(self):
        kept = MultiObjective({"click": 1.0}, at_least={"purchase": 0.01}).fit(both())
        assert kept.multiplier_ == 0.0
        np.testing.assert_allclose(kept.score(BATCH), MultiObjective({"click": 1.0}).fit(both()).score(BATCH))

    def test_out_of_reach(self):
        with pytest.raises(DataError, match=r"mean purchase of 0\.\d+ on top at most.*at least 2.*hint"):
            MultiObjective({"click": 1.0}, at_least={"purchase": 2.0}).fit(both())

    def test_without_validation_rows(self):
        with pytest.raises(DataError, match=r"no two validation groups.*hint"):
            MultiObjective({"click": 1.0}, at_least={"purchase": 0.1}).fit(make_data())

    def test_bisection(self):
        calls = []

        def reached(x):
            calls.append(x)
            return float(x >= 123.456)

        assert smallest_multiplier(reached, 1.0, 1.0, "x") == pytest.approx(123.456, rel=1e-9)
        assert len(calls) < 100


class TestSweep:
    def test_front(self):
        terms = {"click": 1.0, "purchase": 1.0, "hide": -0.5}
        given = [
            {"click": 1.0},
            {"purchase": 1.0},
            {"click": 1.0, "purchase": 1.0},
            {"click": -1.0},
            {"hide": -1.0},
        ]
        front = sweep(MultiObjective(terms), both(), given, k=5)
        click, purchase, mixed, none, shy = front.weightings
        assert click.means["click"] > mixed.means["click"] > purchase.means["click"]
        assert purchase.means["purchase"] > mixed.means["purchase"] > click.means["purchase"]
        assert shy.means["hide"] < click.means["hide"] and front.avoided == ("hide",)
        assert [w.on_front for w in (click, purchase, mixed)] == [True] * 3
        assert none.weights == {"click": -1.0, "purchase": 0.0, "hide": 0.0}
        assert front.front == tuple(w for w in front.weightings if w.on_front)
        assert set(front.table[0]) == {f"{k}.{t}" for k in ("weight", "mean") for t in terms} | {"on_front"}
        assert "5 weightings, means of the first 5 places" in repr(front) and "mean.hide" in repr(front)

    def test_means_are_what_happened(self):
        ranker = MultiObjective({"purchase": 1.0}, values={"purchase": "item.price"})
        data = both()
        found = sweep(ranker, data, k=3).weightings[0].means["purchase"]
        terms, _, judged = clone(ranker).held_out(data)
        total = []
        for start, end in zip(judged.offsets[:-1], judged.offsets[1:], strict=True):
            top = start + np.argsort(-terms["purchase"][start:end], kind="stable")[:3]
            total.append(
                np.mean(judged.columns["event.purchase"][top] * np.nan_to_num(PRICE)[judged.item[top]])
            )
        assert found == pytest.approx(np.mean(total))

    def test_default_weightings(self):
        front = sweep(MultiObjective({"click": 1.0, "purchase": 2.0}), both())
        assert [w.weights["purchase"] for w in front.weightings] == [2.0] * 6 + [0.0, 0.5, 1.0, 4.0, 8.0]

    def test_plot(self):
        pytest.importorskip("matplotlib")
        front = sweep(MultiObjective({"click": 1.0, "purchase": 1.0}), both(), k=5)
        axes = front.plot("click", "purchase")
        assert axes.get_xlabel() == "mean click in the first 5"
        drawn = axes.lines[0].get_xydata()
        expected = sorted((w.means["click"], w.means["purchase"]) for w in front.front)
        np.testing.assert_allclose(drawn, expected)
        with pytest.raises(ConfigurationError, match="did you mean 'click'"):
            front.plot("clicks", "purchase", axes=axes)

    def test_options(self):
        ranker = MultiObjective({"click": 1.0})
        with pytest.raises(ConfigurationError, match="did you mean 'click'"):
            sweep(ranker, both(), [{"clicks": 1.0}])
        with pytest.raises(ConfigurationError, match="no weighting"):
            sweep(ranker, both(), [])
        with pytest.raises(ConfigurationError, match="k=0"):
            sweep(ranker, both(), k=0)
        with pytest.raises(DataError, match="no two validation groups"):
            sweep(ranker, make_data())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_pareto_front_against_a_loop(points):
    found = pareto_front(np.array(points, np.float64))
    for point, on in zip(points, found, strict=True):
        beaten = any(a >= point[0] and b >= point[1] and (a, b) != point for a, b in points)
        assert on == (not beaten)


def test_top_mean_of_sampled_rows_is_that_of_their_copies():
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 4, 12)
    score, seen = rng.random(12), rng.random(12)

    def data(weight, offsets):
        n = len(weight)
        return RankingData(np.zeros((n, 0), np.float32), (), np.zeros(n, np.float32), weight.astype(np.float32),
                           np.asarray(offsets), np.ones(n, np.int64), np.arange(1, n + 1), np.zeros(n))  # fmt: skip

    index = np.repeat(np.arange(12), weight)
    ends = np.concatenate([[0], np.cumsum(weight)])
    copies = data(np.ones(len(index)), [0, ends[5], ends[5], ends[12]])
    for k in (1, 3, 7):
        expected = top_mean(copies, score[index], seen[index], k)
        assert top_mean(data(weight, [0, 5, 5, 12]), score, seen, k) == pytest.approx(expected)
