"""Pipelines before launch: replayed as of each list's time, with exact probabilities, against a known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, exploration, features, rankers, rules
from recokit._kernels.hashing import mix
from recokit.data import Live, Requests
from recokit.debias import ImpressionLog
from recokit.errors import ConfigurationError, DataError, SupportError
from recokit.off_policy import ItemReward, Support, counterfactual, replay, replayed_rounds

PLACES = 3


@pytest.fixture(scope="module")
def market():
    return rk.datasets.make_marketplace(300, 25, seed=1, positions=PLACES)


@pytest.fixture(scope="module")
def cut(market):
    return float(np.median(market.impressions.timestamp))


def served(market, pipeline, cut, n=1500, seed=3, k=PLACES):
    """Return the log of a pipeline that served n requests, each with a seed of its own; users click by the truth."""
    rng = np.random.default_rng(seed)
    user = rng.integers(1, market.dataset.n_users + 1, n)
    asked = Requests.build(user, k=k, now=cut + 10.0 + 60.0 * np.arange(n))
    asked = replace(asked, seed=mix((seed * n + np.arange(n)).astype(np.uint64)))
    made = pipeline.run(asked, observe=False)
    row = np.repeat(np.arange(n), np.diff(made.offsets))
    place = np.arange(len(row)) - made.offsets[row] + 1
    worth = market.position_bias[place - 1] * market.relevance(user[row], made.item)
    log = ImpressionLog(
        user[row], made.item, asked.now[row], place, (rng.random(len(row)) < worth).astype(np.float32), row,
        np.asarray(made.columns.get("propensity", np.ones(len(row))), np.float64),
    )  # fmt: skip
    return log, float(worth.sum() / n)


@pytest.fixture(scope="module")
def before(market, cut):
    return market.dataset.before(cut)


@pytest.fixture(scope="module")
def explored(market, before, cut):
    """The log of a pipeline that explores a lot."""
    pipeline = rk.Pipeline([candidates.Popular(), exploration.Softmax(temperature=1.0)]).fit(before)
    return pipeline, served(market, pipeline, cut)[0]


def test_a_deterministic_pipeline_is_asked_again_for_each_list_at_its_own_time(market, before, explored):
    _, log = explored
    pipeline = rk.Pipeline([candidates.Trending(), features.Standard()], fallback=candidates.Popular())
    pipeline = pipeline.fit(before).with_events(market.dataset)
    part = log.take(log.group < 60)
    found = replay(pipeline, part, chunk_rows=7)
    for group in range(60):
        rows = np.flatnonzero(found.log.group == group)
        shown = pipeline.recommend(
            market.dataset.user_ids.decode(part.user[part.group == group][:1]).tolist(),
            k=PLACES, now=float(part.timestamp[part.group == group].min()),
        ).codes(0)  # fmt: skip
        np.testing.assert_array_equal(found.shown.item[rows], shown)
        np.testing.assert_array_equal(found.target[rows], shown == found.log.item[rows])
    np.testing.assert_array_equal(found.target, found.drawn)
    whole = replay(pipeline, part)
    np.testing.assert_array_equal(whole.shown.item, found.shown.item)


def test_the_pipeline_that_made_the_log_finds_its_own_propensities(explored):
    pipeline, log = explored
    found = replay(pipeline, log)
    np.testing.assert_allclose(found.target, log.propensity, rtol=1e-9)
    assert found.unexplained == 0 and found.drawn.mean() < 0.2
    value = counterfactual(pipeline, log, ["IPS", "RIPS", "SNRIPS"])
    for one in value.values():
        assert one.value == pytest.approx(value.logged.value)


@pytest.mark.parametrize(
    "policy",
    [
        exploration.Softmax(temperature=0.3),
        exploration.EpsilonGreedy(epsilon=0.4),
        exploration.Softmax(diversity.MMR(0.5), temperature=0.5),
        exploration.ExplorationSlot(exploration.EpsilonGreedy(epsilon=1.0), places=(2,)),
    ],
    ids=["softmax", "epsilon", "mmr", "slot"],
)
@pytest.mark.parametrize("limits", [(), (rules.MaxPerGroup("category", 1),)], ids=["free", "limited"])
def test_probabilities_of_logged_lists_are_those_of_drawn_ones(market, before, cut, policy, limits):
    """What a policy logs when it serves is what a replay of that log finds, limits and all."""
    pipeline = rk.Pipeline([candidates.Popular(), *limits, policy]).fit(before)
    log, _ = served(market, pipeline, cut, n=200)
    np.testing.assert_allclose(replay(pipeline, log, seed=9).target, log.propensity, rtol=1e-6)


def test_softmax_by_hand(market, before, explored):
    _, log = explored
    log = log.take(log.group < 20)
    stages = [
        candidates.Popular(),
        rankers.Weighted({"popular_score": 1.0}),
        exploration.Softmax(temperature=0.5),
    ]
    pipeline = rk.Pipeline(stages).fit(before)
    score = pipeline.candidates(Requests.build(np.array([1]), now=2e9))
    by_item = np.zeros(market.dataset.n_items + 1)
    by_item[score.item] = (score.score - score.score.min()) / np.ptp(score.score)
    found = replay(pipeline, log)
    for group in range(20):
        left = np.exp(by_item / 0.5) * np.isin(np.arange(len(by_item)), score.item)
        for row in np.flatnonzero(found.log.group == group):
            item = found.log.item[row]
            assert found.target[row] == pytest.approx(left[item] / left.sum(), rel=1e-5)
            left[item] = 0.0


def test_values_of_pipelines_are_held_by_their_intervals(market, before, cut, explored):
    _, log = explored
    for policy in (exploration.Softmax(temperature=0.4), exploration.EpsilonGreedy(epsilon=0.8)):
        pipeline = rk.Pipeline([candidates.Popular(), policy]).fit(before)
        _, truth = served(market, pipeline, cut, n=6000, seed=77)
        found = counterfactual(
            pipeline, log, ["RIPS", "SNRIPS", "CascadeDR"], support=Support(min_effective=100)
        )
        for name, one in found.items():
            assert one.low < truth < one.high, name
        assert found.clusters == len(np.unique(log.user))


def test_single_places_and_a_pipeline_that_is_sure(market, before, cut):
    explores = rk.Pipeline([candidates.Popular(), exploration.EpsilonGreedy(epsilon=1.0)]).fit(before)
    log, _ = served(market, explores, cut, n=6000, k=1)
    pipeline = rk.Pipeline([candidates.PopularInCategory()], fallback=candidates.Popular()).fit(before)
    shown = replay(pipeline, log).shown
    truth = float((market.position_bias[0] * market.relevance(shown.user, shown.item)).mean())
    found = counterfactual(pipeline, log)
    assert list(found) == ["IPS", "SNIPS", "DM", "DR", "SNDR"]
    for name in ("IPS", "SNIPS", "DR", "SNDR"):
        assert found[name].low < truth < found[name].high, name
        assert found[name].clear and found[name].lift > 0


def test_what_the_shop_was_short_of_is_missing_support(market, before, cut):
    """The marketplace shows what is in stock; a pipeline that does not know the stock shows other things, too."""
    log = ImpressionLog.of(market.impressions)
    log = log.take((log.timestamp >= cut) & (log.position == 1))
    pipeline = rk.Pipeline([candidates.PopularInCategory()], fallback=candidates.Popular()).fit(before)
    with pytest.raises(SupportError, match="shows what the log never does"):
        counterfactual(pipeline, log, ["IPS", "SNDR"])


def test_a_pipeline_unlike_the_log_is_refused(market, before, cut):
    log = ImpressionLog.of(market.impressions)
    began = np.full(int(log.group.max()) + 1, np.inf)
    np.minimum.at(began, log.group, log.timestamp)
    log = log.take(began[log.group] >= cut)
    reverse = candidates.FromFunction(
        lambda requests, limit: np.tile([3, 7, 11], (len(requests), 1)), codes=True
    )
    pipeline = rk.Pipeline([reverse]).fit(before)
    with pytest.raises(SupportError, match=r"found no support in .*IPS: .*effective rounds"):
        counterfactual(pipeline, log, ["IPS", "RIPS"])


def test_what_is_left_out_is_told(before, explored):
    _, log = explored
    stock = Live(np.ones(before.n_items + 1))
    pipeline = rk.Pipeline([candidates.Popular(), rules.InStock(stock)]).fit(before)
    position = log.position.copy()
    position[:5] = 0
    item = log.item.copy()
    item[10] = 0  # nothing that the pipeline knows
    user = np.where(log.group == 3, 0, log.user)
    found = counterfactual(
        pipeline, replace(log, position=position, item=item, user=user), ["IIPS", "DM"], support=None
    )
    assert "5 impressions in place 0 left out" in found.notes
    assert "in_stock left out: it depends on today's state" in found.notes
    assert found.impressions == len(log) - 5
    replayed = replay(pipeline, replace(log, item=item))
    assert replayed.target[10] == 0 and replayed.unseen == 0
    popular = replayed.shown.item[0]
    never = replay(pipeline, log.take(log.item != popular))
    assert 0 < never.unseen < 1 and "was never shown in the log" in str(
        counterfactual(pipeline, never.log, "IIPS", support=None)
    )


def test_a_list_that_is_shorter_than_the_log_s_shows_nothing_there(before, explored):
    _, log = explored
    one = candidates.FromFunction(lambda requests, limit: np.ones((len(requests), 1), np.int64), codes=True)
    found = replay(rk.Pipeline([one]).fit(before), log)
    assert (found.shown.item[found.log.position > 1] == 0).all()
    rounds = replayed_rounds(found, ItemReward())
    assert (rounds.expected[found.log.position > 1] == 0).all() and rounds.expected.any()
    filled = rk.Pipeline([one], fallback=candidates.Popular()).fit(before)
    notes = counterfactual(filled, log, "DM").notes
    assert "lists of the pipeline that were not OK: 1,500 FALLBACK" in notes


def test_the_log_must_come_after_what_the_pipeline_knows(market, before, explored):
    _, log = explored
    late = rk.Pipeline([candidates.ItemKNN()]).fit(market.dataset)
    with pytest.raises(ConfigurationError, match="found item_knn fitted on events until"):
        counterfactual(late, log)
    pipeline = rk.Pipeline([candidates.Popular()]).fit(before)
    with pytest.raises(DataError, match=r"found impressions without propensities.*frequency_propensity"):
        counterfactual(pipeline, replace(log, propensity=None))
    with pytest.raises(DataError, match="found no impression in a place among 0"):
        counterfactual(pipeline, log.take(np.zeros(len(log), bool)))
    holes = log.propensity.copy()
    holes[4] = np.nan
    with pytest.raises(DataError, match="found propensity nan"):
        counterfactual(pipeline, replace(log, propensity=holes))


def test_observers_are_not_told_and_the_reward_model_is_copied(before, explored):
    _, log = explored
    seen, rewards = [], ItemReward(prior=5)

    class Watch:
        def observe(self, trace):
            seen.append(trace)

    pipeline = rk.Pipeline([candidates.Popular()], observers=[Watch()]).fit(before)
    found = counterfactual(pipeline, log, rewards=rewards, support=None)
    assert not seen and not hasattr(rewards, "level_") and "DM" in found
    assert "DM" not in counterfactual(pipeline, log, rewards=None, support=None)
