"""Logged probabilities against how often things happen, and what estimators make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

import recokit as rk
from recokit.candidates import Popular
from recokit.data import Candidates, Cap, Live, Pin, Requests
from recokit.datasets import make_marketplace
from recokit.diversity import MMR
from recokit.exploration import UCB, EpsilonGreedy, ExplorationSlot, Softmax, Statistics, ThompsonSampling
from recokit.features import SourceScores
from recokit.rankers import Weighted
from recokit.slates import select

ITEMS = np.array([3, 1, 4, 2, 6, 5])
SCORES = np.array([0.9, 0.85, 0.6, 0.55, 0.3, 0.1], np.float32)
VECTORS = np.random.default_rng(0).normal(size=(7, 4))
CHUNK = 5_000

#: Items 1 to 6: two alike, two little known, one never tried; by device, other ones.
KNOWN = Statistics(
    np.array([[0, 20, 20, 8, 50, 3, 0.0], [0, 10, 2, 4, 25, 3, 0], [0, 10, 18, 4, 25, 0, 0]]),
    np.array([[0, 5, 5, 3, 14, 1, 0.0], [0, 4, 0, 2, 7, 1, 0], [0, 1, 5, 1, 7, 0, 0]]),
    "device",
    ("mobile", "desktop"),
)
#: Equal bounds for items 1 and 2, and for 5 and 6.
TIED = Statistics(np.array([[0, 9, 9, 9, 9, 0, 0.0]]), np.array([[0, 4, 4, 2, 1, 0, 0.0]]))

POLICIES = {
    "epsilon_greedy": EpsilonGreedy(epsilon=0.4),
    "epsilon_greedy_mmr": EpsilonGreedy(MMR(0.5, vectors=VECTORS), epsilon=0.5),
    "softmax": Softmax(temperature=0.5),
    "softmax_mmr": Softmax(MMR(0.4, vectors=VECTORS), temperature=0.3),
    "thompson": ThompsonSampling(KNOWN),
    "thompson_with_scores": ThompsonSampling(Live(KNOWN), score_trials=4.0),
    "ucb": UCB(TIED, confidence=0.5),
    "slot": ExplorationSlot(EpsilonGreedy(epsilon=1.0), places=[2, 3], rate=0.6),
    "slot_thompson": ExplorationSlot(
        ThompsonSampling(KNOWN), MMR(0.5, vectors=VECTORS), places=[1, 3], rate=0.5, eligible="item.is_new"
    ),
}
POLICIES["slot_thompson"].flag_ = np.array([False, False, True, True, False, True, True])
LIMITS = {
    "free": (),
    "capped": (Cap("one_each", np.array([1, 1, 2, 2, 3, 3]), maximum=1, hard=True),),
    "relaxed": (Cap("one_of_two", np.array([1, 1, 1, 2, 2, 2]), maximum=1),),
    "pinned": (Pin("second", np.array([0, 0, 0, 0, 2, 0])),),
}


def log(policy: Any, n: int, k: int, limits: Any = (), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return items and probabilities of n lists, (n, k), of requests that differ by their seeds only."""
    items, shares = [], []
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        requests = Requests.build(
            np.arange(start, start + size) + 1,
            seed=seed,
            columns={"device": np.full(size, "mobile", object)},
        )
        batch = Candidates.from_lists(
            np.tile(ITEMS, (size, 1)), scores=np.tile(SCORES, (size, 1)), requests=requests
        )
        tiled = [_tiled(limit, size) for limit in limits]
        found = select(batch, np.full(size, k), objective=policy, limits=tiled)
        assert (np.diff(found.offsets) == k).all() and found.propensity is not None
        items.append(batch.item[found.index].reshape(size, k))
        shares.append(found.propensity.reshape(size, k))
    return np.concatenate(items), np.concatenate(shares)


def _tiled(limit: Any, size: int) -> Any:
    if isinstance(limit, Pin):
        return Pin(limit.name, np.tile(limit.position, size))
    return Cap(limit.name, np.tile(limit.group, size), maximum=limit.maximum, hard=limit.hard)


def check_frequencies(items: np.ndarray, shares: np.ndarray) -> None:
    """Compare how often each list came with the product of its logged probabilities: chi-square at 1 in 10,000."""
    n = len(items)
    assert not np.isnan(shares).any() and (shares > 0).all() and (shares <= 1 + 1e-12).all()
    lists, which, counts = np.unique(items, axis=0, return_inverse=True, return_counts=True)
    which = which.ravel()
    probability = np.zeros(len(lists))
    product = shares.prod(axis=1)
    probability[which] = product
    np.testing.assert_allclose(product, probability[which], rtol=1e-9)  # one list, one probability
    assert probability.sum() <= 1 + 1e-9
    rare = probability * n < 5
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(probability[~rare], max(1 - probability[~rare].sum(), 0)) * n
    if expected[-1] < 5:
        assert observed[-1] < 30
        observed, expected = observed[:-1], expected[:-1]
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert statistic <= chi2.ppf(1 - 1e-4, max(len(observed) - 1, 1)), (statistic, len(observed))


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("policy", POLICIES)
def test_lists_come_as_often_as_their_logged_probabilities_say(policy: str, limits: str) -> None:
    # A limit that yields is first repaired row by row, which takes its time.
    check_frequencies(*log(POLICIES[policy], 500 if limits == "relaxed" else 4_000, 3, LIMITS[limits]))


@pytest.mark.long
@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("policy", POLICIES)
def test_so_they_do_over_100_000_draws(policy: str, limits: str) -> None:
    check_frequencies(
        *log(POLICIES[policy], 10_000 if limits == "relaxed" else 100_000, 3, LIMITS[limits], seed=1)
    )


def first_place(policy: Any, n: int = 40_000) -> tuple[dict[int, float], np.ndarray]:
    items, shares = log(policy, n, 1, seed=3)
    counts = np.bincount(items[:, 0], minlength=7) / n
    return dict(zip(items[:, 0].tolist(), shares[:, 0].tolist(), strict=True)), counts


def test_epsilon_greedy_is_its_formula() -> None:
    shares, _ = first_place(EpsilonGreedy(epsilon=0.3), 4_000)
    assert shares == pytest.approx({item: 0.05 + 0.7 * (item == 3) for item in ITEMS.tolist()})


def test_softmax_is_its_formula() -> None:
    shares, _ = first_place(Softmax(temperature=0.5), 4_000)
    weight = np.exp((SCORES - 0.1) / 0.8 / 0.5)  # the score, scaled to 0..1 within the row
    assert shares == pytest.approx(dict(zip(ITEMS.tolist(), weight / weight.sum(), strict=True)), rel=1e-5)


def test_thompson_sampling_draws_as_one_rate_for_each_would() -> None:
    shares, _ = first_place(ThompsonSampling(KNOWN, prior=(1.0, 2.0)), 20_000)
    rng = np.random.default_rng(1)
    wins, trials = KNOWN.successes[1, 1:], KNOWN.trials[1, 1:]
    rates = rng.beta(1.0 + wins, 2.0 + trials - wins, size=(200_000, 6))
    truth = np.bincount(rates.argmax(axis=1), minlength=6) / len(rates)
    mine = np.array([shares.get(item, 0.0) for item in range(1, 7)])
    assert np.abs(mine - truth).sum() / 2 < 0.03  # the normal approximation of the log odds
    assert mine.sum() == pytest.approx(1.0)


def test_thompson_sampling_settles_where_much_is_known() -> None:
    trials = np.array([[0, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6]])
    successes = trials * np.array([0, 0.30, 0.305, 0.29, 0.2, 0.1, 0.05])
    items, shares = log(ThompsonSampling(Statistics(trials, successes)), 200, 3)
    assert (items == [2, 1, 3]).all() and (shares > 0.999).all()


class TestOffPolicy:
    """Value of a policy that never ran, from the logs of one that did: 95% intervals of IPS and SNIPS."""

    CLICK = np.array([0.0, 0.30, 0.10, 0.25, 0.40, 0.15, 0.60])  # by item code
    LITTLE = Statistics(np.full((1, 7), 2.0), np.array([[0, 1, 1, 2, 1, 0, 1.0]]))

    @pytest.mark.parametrize(
        "policy",
        [EpsilonGreedy(epsilon=0.4), Softmax(temperature=0.5), ThompsonSampling(LITTLE)],
        ids=lambda policy: type(policy).__name__,
    )
    @pytest.mark.parametrize("lists", [200, pytest.param(1_000, marks=pytest.mark.slow)])
    def test_intervals_cover_the_truth_as_often_as_they_should(self, policy: Any, lists: int) -> None:
        """Another softmax is judged by lists of two, drawn again and again."""
        pairs = np.array([(a, b) for a in ITEMS for b in ITEMS if a != b])
        truth = float((target_probability(pairs, 1.0) * self.CLICK[pairs].sum(axis=1)).sum())
        items, shares = log(policy, 200 * lists, 2, seed=7)
        clicks = (np.random.default_rng(5).random(items.shape) < self.CLICK[items]).sum(axis=1)
        check_coverage(target_probability(items, 1.0) / shares.prod(axis=1), clicks, 200, truth)

    def test_so_they_do_in_a_marketplace(self) -> None:
        """A pipeline shows each user one item; the truth is the marketplace's own."""
        market = make_marketplace(150, 40, seed=3)
        stages = [Popular(half_life=None), SourceScores(), Weighted({"popular_rank": -1.0})]
        pipeline = rk.Pipeline([*stages, Softmax(temperature=1.0)]).fit(market.dataset)
        rng = np.random.default_rng(2)
        everyone = Requests.build(np.arange(1, 151), k=1, now=market.dataset.until)
        batch = pipeline.candidates(everyone)
        score = np.full((151, 41), -np.inf)
        score[batch.user, batch.item] = batch.score
        score -= score[1:].max(axis=1, initial=-np.inf, keepdims=True).max()
        spread = -score[np.isfinite(score)].min()
        wanted = np.exp(score[1:] / spread / 0.4)  # the policy to be judged is a sharper softmax
        wanted = np.vstack([np.zeros(41), wanted / wanted.sum(axis=1, keepdims=True)])
        relevance = market.relevance(np.arange(151)[:, None], np.arange(41)) * market.position_bias[0]
        truth = float((wanted[1:] * relevance[1:]).sum(axis=1).mean())
        users = rng.integers(1, 151, 100 * 200)
        requests = Requests.build(users, k=1, now=market.dataset.until)
        requests = replace(requests, seed=rng.integers(0, 2**63, len(users)).astype(np.uint64))
        shown = pipeline.run(requests)
        weight = wanted[users, shown.item] / shown.columns["propensity"]
        clicks = rng.random(len(users)) < relevance[users, shown.item]
        check_coverage(weight, clicks, 100, truth)

    def test_made_up_probabilities_are_found_out(self) -> None:
        items, shares = log(POLICIES["softmax"], 4_000, 2)
        with pytest.raises(AssertionError):
            check_frequencies(items, np.full(shares.shape, 1 / 6))


def check_coverage(weight: np.ndarray, reward: np.ndarray, worlds: int, truth: float) -> None:
    """Count how often the intervals of so many worlds hold the truth: 0.95 within four standard deviations."""
    n = len(weight)
    assert weight.mean() == pytest.approx(1.0, abs=5 * weight.std() / np.sqrt(n))
    weight, reward = weight.reshape(worlds, -1), reward.reshape(worlds, -1)
    lists = weight.shape[1]
    ips, ips_error = (weight * reward).mean(axis=1), (weight * reward).std(axis=1, ddof=1) / np.sqrt(lists)
    snips = (weight * reward).sum(axis=1) / weight.sum(axis=1)
    residual = weight * (reward - snips[:, None])
    snips_error = residual.std(axis=1, ddof=1) / weight.mean(axis=1) / np.sqrt(lists)
    slack = 4 * np.sqrt(0.95 * 0.05 / worlds)
    for estimate, error in ((ips, ips_error), (snips, snips_error)):
        assert np.mean(np.abs(estimate - truth) <= 1.96 * error) == pytest.approx(0.95, abs=slack)


def target_probability(items: np.ndarray, temperature: float) -> np.ndarray:
    """Return the Plackett-Luce probability of each list, computed apart from the library."""
    by_code = np.zeros(7)
    by_code[ITEMS] = np.exp((SCORES - SCORES.min()) / (SCORES.max() - SCORES.min()) / temperature)
    left = np.full(len(items), by_code.sum())
    probability = np.ones(len(items))
    for place in range(items.shape[1]):
        weight = by_code[items[:, place]]
        probability *= weight / left
        left = left - weight
    return probability
