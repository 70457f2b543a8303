"""Off-policy evaluation: `python -m benchmarks.off_policy [--simulations 2000] [--rounds 1000000]`.

The Open Bandit Dataset: each of its two policies is valued from the log of the other. Logs drawn from the marketplace,
whose truth is known: how often each estimator's interval covers it, and whether logs without support are refused.
Values of pipelines before launch, against the truth. Speed on a million lists of ten.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._data import folder
from benchmarks._harness import Check, report
from recokit import candidates, off_policy
from recokit.datasets import make_marketplace
from recokit.debias import ImpressionLog
from recokit.errors import SupportError
from recokit.off_policy import ItemReward, LoggedRounds, estimate
from recokit.off_policy.intervals import IntervalOptions, Parts
from recokit.typing import FloatArray

__all__ = [
    "World",
    "bandit_log",
    "coverage",
    "formulas",
    "many_rounds",
    "obd",
    "pipelines",
    "refusals",
    "skewed",
]

ROUND = ("IPS", "SNIPS", "ClippedIPS", "DM", "DR", "SNDR", "SwitchDR", "DRos")
LIST = ("IIPS", "SNIIPS", "RIPS", "SNRIPS", "CascadeDR", "PseudoInverse")


# -- the Open Bandit Dataset -------------------------------------------------------------------------


def bandit_log(path: Path, policy: str, campaign: str) -> ImpressionLog:
    """Return one log: a round is one item in one of three places; item codes are its own numbers plus 1."""
    import gzip

    with gzip.open(path / policy / campaign / f"{campaign}.csv.gz", "rt") as lines:
        header = next(lines).strip().split(",")
        rows = [line.split(",") for line in lines]
    column = {name: [row[at] for row in rows] for at, name in enumerate(header)}
    n = len(rows)
    moment = np.array(
        [when.partition("+")[0].replace(" ", "T") for when in column["timestamp"]], "datetime64[us]"
    )
    return ImpressionLog(
        user=np.zeros(n, np.int64),
        item=np.array(column["item_id"], np.int64) + 1,
        timestamp=moment.astype(np.int64) / 1e6,
        position=np.array(column["position"], np.int64),
        label=np.array(column["click"], np.float32),
        group=np.arange(n),
        propensity=np.array(column["propensity_score"], np.float64),
    )


def open_bandit(log: ImpressionLog, chance: FloatArray) -> LoggedRounds:
    """Return the rounds of a log for a target policy that shows item i in place k with ``chance[k, i]``."""
    model = ItemReward().fit(log)
    expected = np.zeros(len(log))
    for item in range(1, chance.shape[1]):
        other = ImpressionLog(
            log.user, np.full(len(log), item), log.timestamp, log.position, log.label, log.group
        )
        expected += chance[log.position, item] * model.predict(other)
    return LoggedRounds(
        reward=log.label,
        propensity=log.propensity,
        target=chance[log.position, log.item],
        predicted=model.predict(log),
        expected=expected,
    )


def obd(path: Path, campaign: str) -> dict[str, tuple[LoggedRounds, float]]:
    """Return, for both directions, the rounds and what the other policy's own log says it is worth.

    The random policy shows every item alike. The Thompson sampling one learned on while it served, so that its
    probabilities at other moments are not known: it is taken as what it showed on average in each place.
    """
    random, thompson = (bandit_log(path, policy, campaign) for policy in ("random", "bts"))
    n_items = int(max(random.item.max(), thompson.item.max()))
    uniform = np.full((4, n_items + 1), 1.0 / n_items)
    shown = np.zeros((4, n_items + 1))
    np.add.at(shown, (thompson.position, thompson.item), 1.0)
    shown[1:] /= shown[1:].sum(axis=1, keepdims=True)
    return {
        "random from Thompson's log": (open_bandit(thompson, uniform), float(random.label.mean())),
        "Thompson from random's log": (open_bandit(random, shown), float(thompson.label.mean())),
    }


def formulas(rounds: LoggedRounds) -> dict[str, float]:
    """Return the published estimates of rounds of one item each, written out."""
    w, r = rounds.target / rounds.propensity, rounds.reward
    q, v = rounds.predicted, rounds.expected
    assert q is not None and v is not None
    n = len(r)
    return {
        "IPS": float(np.mean(w * r)),
        "SNIPS": float(np.mean(w * r) / np.mean(w)),
        "ClippedIPS": float(np.mean(np.where(w > n**0.5, n**0.5, w) * r)),
        "DM": float(np.mean(v)),
        "DR": float(np.mean(v + w * (r - q))),
        "SNDR": float(np.mean(v + w * (r - q) / np.mean(w))),
        "SwitchDR": float(np.mean(v + w * (w <= n**0.5) * (r - q))),
        "DRos": float(np.mean(v + n * w / (w**2 + n) * (r - q))),
    }


def obd_checks(path: Path) -> list[Check]:
    checks, worst = [], 0.0
    for campaign in ("all", "men"):
        for direction, (rounds, other) in obd(path, campaign).items():
            found = estimate(rounds, ROUND)
            print(f"\nobd, {campaign}, {direction}: its own log says {other:.4g}\n{found}")
            worst = max(worst, *(abs(found[name].value - value) for name, value in formulas(rounds).items()))
            weighed = [one for one in found.values() if one.estimator != "DM"]
            inside = np.mean([one.low <= other <= one.high for one in weighed])
            checks.append(
                Check.at_least(f"obd {campaign}, {direction}: share of 7 intervals that hold it", inside, 1.0)
            )
            model = found["DM"]
            checks.append(
                Check.info(f"obd {campaign}, {direction}: DM's holds it", model.low <= other <= model.high)
            )
    return [Check.at_most("obd: largest difference from the published formulas", worst, 1e-9), *checks]


# -- the marketplace, whose truth is known -----------------------------------------------------------


@dataclass(frozen=True, eq=False)
class World:
    """Users (U) and items (m) of a marketplace: who clicks what, what a model guesses, what two policies show."""

    relevance: FloatArray
    guess: FloatArray
    bias: FloatArray
    logging: FloatArray
    target: FloatArray

    @classmethod
    def of(
        cls,
        seed: int = 0,
        *,
        n_users: int = 200,
        n_items: int = 20,
        noise: float = 0.3,
        hidden: float = 0.0,
        near: float = 0.0,
    ) -> World:
        """Draw from the marketplace. The logging policy likes what is popular, the target what each user likes.

        ``noise`` is how far the model is off; ``hidden`` the share of the items, those that users like best, that the
        logging policy never shows; ``near`` how often the target does what the logging policy does.
        """
        market = make_marketplace(n_users, max(n_items, 20), seed=seed)
        rng = np.random.default_rng(seed)
        relevance = market.relevance(np.arange(1, n_users + 1)[:, None], np.arange(1, n_items + 1))
        popular = np.log(relevance.mean(axis=0)) + rng.normal(0, 0.5, n_items)
        logging = 0.5 * _softmax(np.tile(popular, (n_users, 1))) + 0.5 / n_items
        target = 0.7 * _softmax(2.0 * np.log(relevance)) + 0.3 / n_items
        if hidden:
            best = np.argsort(-relevance, axis=1)[:, : int(hidden * n_items)]
            np.put_along_axis(logging, best, 0.0, axis=1)
            logging /= logging.sum(axis=1, keepdims=True)
        target = (1 - near) * target + near * logging
        guess = relevance * np.exp(rng.normal(0, noise, relevance.shape))
        return cls(relevance, guess, market.position_bias, logging, target)

    def by_place(self, reward: FloatArray, places: int, repeats: bool) -> FloatArray:
        """Return the expected reward (U, m) of each place under the target policy, (U, places)."""
        p, examined = self.target, self.bias[:places]
        if repeats:
            return np.outer((p * reward).sum(axis=1), examined)
        assert places <= 3, "lists without repeats are counted one by one"
        index = np.arange(p.shape[1])
        found = [(p * reward).sum(axis=1)]
        second = p[:, :, None] * p[:, None, :] / (1 - p[:, :, None])
        second[:, index, index] = 0.0
        found.append((second * reward[:, None, :]).sum(axis=(1, 2)))
        if places == 3:
            left = np.maximum(1 - p[:, :, None] - p[:, None, :], 1e-12)
            third = (second / left)[..., None] * p[:, None, None, :]
            third[:, index, :, index] = 0.0
            third[:, :, index, index] = 0.0
            found.append((third * reward[:, None, None, :]).sum(axis=(1, 2, 3)))
        return np.stack(found[:places], axis=1) * examined

    def value(self, places: int, repeats: bool) -> float:
        """Return what the target policy is worth: expected clicks in a list for a user drawn evenly."""
        return float(self.by_place(self.relevance, places, repeats).sum(axis=1).mean())

    def rounds(self, n: int, places: int, rng: np.random.Generator, *, repeats: bool) -> LoggedRounds:
        """Draw n lists by the logging policy, and their clicks.

        With ``repeats`` places are filled independently, else one after the other from what is left.
        """
        user = rng.integers(0, len(self.relevance), n)
        p, t = self.logging[user], self.target[user]
        if repeats:
            below = np.cumsum(p, axis=1)
            drawn = [(rng.random((n, 1)) > below).sum(axis=1) for _ in range(places)]
            item = np.minimum(np.stack(drawn, axis=1), p.shape[1] - 1)
            above_p = above_t = np.zeros((n, places))
        else:
            # The largest of log p + Gumbel noise are draws without replacement, in order.
            item = np.argsort(-(np.log(np.maximum(p, 1e-300)) + rng.gumbel(size=p.shape)), axis=1)[:, :places]
            above_p, above_t = (_above(np.take_along_axis(chance, item, 1)) for chance in (p, t))
        examined = self.bias[:places]
        click = rng.random((n, places)) < examined * self.relevance[user[:, None], item]
        mean = (t * self.guess[user]).sum(axis=1, keepdims=True)
        taken = 0.0 if repeats else _above(np.take_along_axis(t * self.guess[user], item, 1))
        return LoggedRounds(
            reward=click.ravel(),
            propensity=(np.take_along_axis(p, item, 1) / (1 - above_p)).ravel(),
            target=(np.take_along_axis(t, item, 1) / (1 - above_t)).ravel(),
            round=np.repeat(np.arange(n), places),
            position=np.tile(np.arange(1, places + 1), n),
            predicted=(examined * self.guess[user[:, None], item]).ravel(),
            expected=self._expected(places, repeats)[user].ravel(),
            expected_next=(examined * (mean - taken) / (1 - above_t)).ravel(),
        )

    def _expected(self, places: int, repeats: bool) -> FloatArray:
        key = (places, repeats)
        if key not in self._known:
            self._known[key] = self.by_place(self.guess, places, repeats)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[int, bool], FloatArray]:
        return {}


def _softmax(logits: FloatArray) -> FloatArray:
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def _above(values: FloatArray) -> FloatArray:
    return np.cumsum(values, axis=1) - values


@dataclass(frozen=True)
class Covered:
    """How often intervals held the truth, of those that were not refused, and how often they were."""

    share: float
    refused: float
    error: float


def coverage(
    world: World,
    estimators: Sequence[str | off_policy.Estimator],
    *,
    places: int,
    repeats: bool,
    n: int = 2000,
    simulations: int = 2000,
    seed: int = 0,
    **options: Any,
) -> dict[str, Covered]:
    """Return for each estimator how often its interval holds the truth in simulated logs."""
    truth, rng = world.value(places, repeats), np.random.default_rng(seed)
    held: dict[str, list[bool]] = {}
    values: dict[str, list[float]] = {}
    for _ in range(simulations):
        rounds = world.rounds(n, places, rng, repeats=repeats)
        for estimator in estimators:
            try:
                ((name, found),) = estimate(rounds, estimator, **options).items()
            except SupportError:
                continue
            held.setdefault(name, []).append(found.low <= truth <= found.high)
            values.setdefault(name, []).append(found.value)
    return {
        name: Covered(
            float(np.mean(inside)), 1 - len(inside) / simulations, float(np.mean(values[name]) / truth - 1)
        )
        for name, inside in held.items()
    }


def refusals(simulations: int, *, n: int = 2000, seed: int = 0) -> dict[str, float]:
    """Return how often logs without support are refused: the share of estimates, by what is missing."""
    worlds = {
        "the best 3 of 20 items never shown": (World.of(seed, hidden=0.15), 1, "SNIPS"),
        "the best half never shown": (World.of(seed, hidden=0.5), 1, "SNDR"),
        "whole lists of ten as one": (World.of(seed), 10, "SNIPS"),
        "lists of ten read down": (World.of(seed), 10, "RIPS"),
        "sure of another item than the log": (_sure(World.of(seed)), 1, "IPS"),
    }
    found = {}
    for name, (world, places, estimator) in worlds.items():
        rng, refused = np.random.default_rng(seed), 0
        for _ in range(simulations):
            rounds = world.rounds(n, places, rng, repeats=True)
            try:
                estimate(rounds, estimator)
            except SupportError:
                refused += 1
        found[name] = refused / simulations
    return found


def _sure(world: World) -> World:
    """Return the world with a target that always shows the item that the log shows least, once in 200 times."""
    logging = np.full(world.logging.shape, (1 - 0.005) / (world.logging.shape[1] - 1))
    logging[:, 0] = 0.005
    target = np.zeros(world.target.shape)
    target[:, 0] = 1.0
    return replace(world, logging=logging, target=target)


def skewed(
    weight: FloatArray, simulations: int, *, n: int = 10_000, rate: float = 0.0046
) -> dict[str, float]:
    """Return how often intervals hold the truth where few rewards have very different weights.

    Rounds draw one of the given weights; a reward is as likely with each.
    """
    truth, rng = rate * weight.mean(), np.random.default_rng(0)
    held = dict.fromkeys(("hall", "student", "bootstrap"), 0)
    for seed in range(simulations):
        parts = Parts(rng.choice(weight, n) * (rng.random(n) < rate))
        for kind in held:
            _, low, high = IntervalOptions(kind, 0.95, 300, seed).of(parts, None)
            held[kind] += low <= truth <= high
    return {kind: count / simulations for kind, count in held.items()}


def pipelines(worlds: int, *, n_users: int = 1500, places: int = 3) -> dict[str, FloatArray]:
    """Return value, ends and truth of pipelines, from the logs of marketplaces, (worlds, 4); NaN where refused.

    The truth of a pipeline is what its lists are worth by the marketplace's own relevance, for the same requests.
    """
    found: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(worlds):
        market = make_marketplace(n_users, 25, seed=seed, positions=places)
        log = ImpressionLog.of(market.impressions)
        cut = float(np.median(log.timestamp))
        began = np.full(int(log.group.max()) + 1, np.inf)
        np.minimum.at(began, log.group, log.timestamp)
        before, later = market.dataset.before(cut), log.take(began[log.group] >= cut)
        for source in (candidates.Popular(half_life=None), candidates.PopularInCategory()):
            pipeline = rk.Pipeline([source], fallback=candidates.Popular(half_life=None)).fit(before)
            replayed = off_policy.replay(pipeline, later)
            shown = replayed.shown
            worth = market.position_bias[shown.position - 1] * market.relevance(shown.user, shown.item)
            truth = float((worth * (shown.item > 0)).sum() / len(np.unique(shown.group)))
            rounds = off_policy.replayed_rounds(replayed, ItemReward())
            for name in ("SNIIPS", "DM", "CascadeDR"):
                one = estimate(rounds, name, support=None)[name]
                key = f"{type(source).__name__}, {name}"
                found.setdefault(key, []).append((one.value, one.low, one.high, truth))
    return {name: np.array(rows) for name, rows in found.items()}


# -- speed -------------------------------------------------------------------------------------------


def many_rounds(n: int, places: int, seed: int = 0) -> LoggedRounds:
    rng = np.random.default_rng(seed)
    m = n * places
    propensity = rng.uniform(0.05, 0.5, m)
    return LoggedRounds(
        reward=(rng.random(m) < 0.1).astype(np.float64),
        propensity=propensity,
        target=np.clip(propensity * rng.uniform(0.5, 1.5, m), 0.0, 1.0),
        round=np.repeat(np.arange(n), places),
        position=np.tile(np.arange(1, places + 1), n),
        predicted=np.full(m, 0.1),
        expected=np.full(m, 0.1),
    )


def speed_checks(n: int) -> list[Check]:
    rounds = many_rounds(n, 10)
    columns = {
        name: getattr(rounds, name) for name in ("reward", "propensity", "target", "round", "position")
    }
    columns |= {name: getattr(rounds, name) for name in ("predicted", "expected")}
    start = time.perf_counter()
    fresh = LoggedRounds(**columns)
    found = estimate(fresh, [*ROUND, *LIST], support=None)
    everything = time.perf_counter() - start
    assert len(found) == len(ROUND) + len(LIST)
    start = time.perf_counter()
    estimate(LoggedRounds(**columns), ["SNIIPS"], support=None)
    single = time.perf_counter() - start
    start = time.perf_counter()
    weight = (columns["target"] / columns["propensity"]).reshape(n, 10)
    contribution = (weight * columns["reward"].reshape(n, 10)).sum(axis=1)
    contribution.mean(), contribution.std()
    floor = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return [
        Check.at_most(
            f"{n:,} lists of 10, all {len(found)} estimators, intervals, diagnostics", everything, 20.0, "s"
        ),
        Check.info("the same, one estimator", single, "s"),
        Check.info("the bare weighted mean in numpy", floor, "s"),
        Check.info("peak memory of the process", peak, "GB"),
    ]


# -- all of it ---------------------------------------------------------------------------------------


def coverage_checks(simulations: int) -> list[Check]:
    world = World.of()
    near, sure = World.of(near=0.6), replace(world, guess=world.relevance)
    limits = [off_policy.ClippedIPS(max_weight=5.0), off_policy.SwitchDR(threshold=5.0)]
    runs = [
        ("one item", [name for name in ROUND if name != "DM"], world, 1, True),
        ("one item, a right model", ["DM"], sure, 1, True),
        ("lists of 3", [name for name in (*ROUND, *LIST) if name != "DM"], near, 3, True),
        (
            "lists of 3 without repeats",
            ["IPS", "SNIPS", "DR", "RIPS", "SNRIPS", "CascadeDR"],
            near,
            3,
            False,
        ),
    ]
    checks = []
    for label, estimators, where, places, repeats in runs:
        found = coverage(where, estimators, places=places, repeats=repeats, simulations=simulations)
        for name, covered in found.items():
            text = f"coverage, {label}: {name}"
            checks.append(Check.info(text, covered.share))
            checks.append(Check.at_most(f"{text}, off 95% by", abs(covered.share - 0.95), 0.01))
            checks.append(Check.at_most(f"refused, {label}: {name}", covered.refused, 0.02))
    # What limits leave to chance, or to a model that is off, is not in any interval.
    for name, covered in coverage(
        world, limits, places=1, repeats=True, simulations=simulations // 4
    ).items():
        checks.append(Check.info(f"coverage, one item, a low limit: {name}", covered.share))
    wrong = coverage(world, ["DM"], places=1, repeats=True, simulations=simulations // 4)["DM"]
    checks.append(Check.info("coverage, one item, a model that is off by 30%: DM", wrong.share))
    options: Mapping[str, Any] = {"interval": "bernstein", "reward_range": (0.0, 1.0)}
    bounded = coverage(world, limits, places=1, repeats=True, simulations=simulations // 4, **options)
    for name, covered in bounded.items():
        checks.append(Check.at_least(f"coverage, empirical Bernstein: {name}", covered.share, 0.95))
    return checks


def pipeline_checks(worlds: int) -> list[Check]:
    checks = []
    for name, rows in pipelines(worlds).items():
        value, low, high, truth = rows.T
        inside, off = float(np.mean((low <= truth) & (truth <= high))), float(np.mean(value / truth - 1))
        checks.append(Check.info(f"pipelines before launch: {name}, intervals that hold the truth", inside))
        checks.append(Check.info(f"pipelines before launch: {name}, mean error", off))
    return checks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=2000, help="simulated logs of each setting (2000)")
    parser.add_argument("--rounds", type=int, default=1_000_000, help="lists of ten that are timed (1000000)")
    parser.add_argument("--worlds", type=int, default=20, help="marketplaces of the pipelines (20)")
    options = parser.parse_args()
    checks = obd_checks(folder() / "obd")
    checks += speed_checks(options.rounds)
    checks += coverage_checks(options.simulations)
    rounds, _ = obd(folder() / "obd", "men")["random from Thompson's log"]
    for kind, share in skewed(rounds.list_weight, options.simulations // 5).items():
        checks.append(Check.info(f"coverage, few rewards and weights as in obd men: {kind}", share))
    for name, share in refusals(max(options.simulations // 10, 20)).items():
        checks.append(Check.at_least(f"refused: {name}", share, 0.99))
    checks += pipeline_checks(options.worlds)
    report("off_policy", checks)


if __name__ == "__main__":
    main()
