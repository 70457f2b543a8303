"""Bias and calibration: `python -m benchmarks.unbiased [--users 6000] [--seeds 20]`.

1. The marketplace, whose position bias is known: examination estimated three ways; then lists put in the order of
   popularity, clicks drawn anew, and how much of the gap between a ranker trained on these clicks and one trained on
   what users wanted inverse propensities, places as a feature and doubly robust targets close.
2. coat, whose test ratings are of random items: a ranker of self-selected ratings, weighed and not.
3. Calibration in the week after training.
4. ml-100k: accuracy and coverage as popularity counts for less.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._data import folder
from benchmarks._harness import Check, report
from recokit import candidates, features, rankers, rules
from recokit.data import DAY, RankingData
from recokit.datasets import Marketplace, load_movielens, make_marketplace
from recokit.debias import (
    ImpressionLog,
    PositionModel,
    doubly_robust,
    impression_rows,
    intervention_harvest,
    inverse_propensity,
    propensity_from_swaps,
)
from recokit.metrics import NDCG, MatchedLists, Reliability, reliability
from recokit.rankers._composite import as_candidates
from recokit.tuning import PopularityFront, popularity_front
from recokit.typing import FloatArray, IntArray

__all__ = ["BiasedLog", "biased_log", "calibration", "coat", "front", "propensities", "recovered"]

K = 5


# -- the marketplace ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BiasedLog:
    """Lists of the marketplace's second half, each in the order of popularity, with clicks drawn from the truth.

    `rows` are labelled by clicks; `wanted` and `relevance`, by row, are what an unbiased log would hold and the truth.
    """

    market: Marketplace
    log: ImpressionLog
    rows: RankingData
    wanted: FloatArray
    relevance: FloatArray


def biased_log(n_users: int, seed: int = 0, *, n_items: int = 300, noise: float = 0.5) -> BiasedLog:
    market = make_marketplace(n_users, n_items, seed=seed)
    rng = np.random.default_rng(seed + 100)
    cut = float(market.dataset.interactions.timestamp[0]) + 45 * DAY
    history = market.dataset.before(cut)
    log = ImpressionLog.of(market.impressions)
    full = np.bincount(log.group, log.timestamp >= cut)[log.group] == 10
    log = log.take(full)
    shown = np.log1p(np.bincount(history.interactions.item, minlength=n_items + 1))[log.item]
    shown = (shown - shown.mean()) / shown.std() + noise * rng.normal(size=len(shown))
    log = log.take(np.lexsort((-shown, log.group)))
    position = np.tile(np.arange(1, 11), len(log) // 10)
    relevance = market.relevance(log.user, log.item)
    wanted = rng.random(len(log)) < relevance
    seen = rng.random(len(log)) < market.position_bias[position - 1]
    log = replace(log, position=position, label=(wanted & seen).astype(np.float32))
    pipeline = rk.Pipeline([candidates.Popular(), features.Standard()]).fit(history)
    rows = impression_rows(pipeline, log).data
    key = log.group * (n_items + 1) + log.item
    order = np.argsort(key)
    at = order[np.searchsorted(key[order], rows.columns["impression"] * (n_items + 1) + rows.item)]
    return BiasedLog(market, log, rows, wanted[at].astype(np.float64), relevance[at])


def propensities(n_users: int, seed: int = 0) -> dict[str, float]:
    """Return the largest relative error of each estimate on the marketplace's own impressions and on swaps."""
    market = make_marketplace(n_users, 300, seed=seed)
    shown, truth = market.impressions, market.position_bias
    rng = np.random.default_rng(seed)
    score = np.log(market.relevance(shown.user, shown.item)) + rng.normal(0, 0.5, len(shown.user))
    found = {
        "model, by a noisy score": PositionModel(by="score").fit(shown, score=score).bias_,
        "model, by item": PositionModel().fit(shown).bias_,
        "harvested moves, all pairs": intervention_harvest(shown),
        "harvested moves, pivot": intervention_harvest(shown, method="pivot_one"),
        "randomised swaps": propensity_from_swaps(*_swaps(market, rng, 50 * n_users)),
    }
    return {name: float(np.abs(bias.examination / truth - 1).max()) for name, bias in found.items()}


def _swaps(market: Marketplace, rng: np.random.Generator, n: int) -> tuple[IntArray, FloatArray, IntArray]:
    """Return places, clicks and partners of n lists, in which the first place was swapped with another, or not."""
    user = rng.integers(1, market.dataset.n_users + 1, n)
    relevance = market.relevance(user[:, None], rng.integers(1, market.dataset.n_items + 1, (n, 2)))
    relevance = np.sort(relevance, axis=1)[:, ::-1]
    heads = rng.random(n) < 0.5
    relevance[heads] = relevance[heads][:, ::-1]
    position = np.stack([np.ones(n, np.int64), rng.integers(2, len(market.position_bias) + 1, n)], axis=1)
    clicked = rng.random((n, 2)) < market.position_bias[position - 1] * relevance
    return position.ravel(), clicked.ravel().astype(np.float64), position[:, ::-1].ravel()


def recovered(found: BiasedLog) -> dict[str, float]:
    """Return NDCG@5 by true relevance on later lists, of rankers trained in each way on the earlier ones."""
    rows = found.rows
    groups = np.arange(len(rows.offsets) - 1)
    n_train = int(0.7 * len(groups))
    train, test = rows.take(groups[:n_train]), rows.take(groups[n_train:])
    n = len(train)
    bias = intervention_harvest(found.log)
    batch = as_candidates(test)
    aware = rankers.PositionAware(rankers.LogisticRegression()).fit(train)
    guess = aware.score(as_candidates(train)).astype(np.float64)

    def matched(ranker: Any) -> float:
        return _ndcg(ranker.score(batch), found.relevance[n:], test)

    def trained(data: RankingData) -> float:
        return matched(rankers.LogisticRegression().fit(data))

    return {
        "clicks as they are": trained(train),
        "what was wanted": trained(replace(train, label=found.wanted[:n].astype(np.float32))),
        "inverse propensity": trained(inverse_propensity(train, bias).data),
        "inverse propensity, as labels": trained(inverse_propensity(train, bias, into="label").data),
        "place as a feature": matched(aware),
        "doubly robust": trained(doubly_robust(train, bias, guess).data),
    }


def _ndcg(score: Any, gain: FloatArray, rows: RankingData) -> float:
    order = np.lexsort(
        (-np.asarray(score, np.float64), np.repeat(np.arange(len(rows.offsets) - 1), np.diff(rows.offsets)))
    )
    matched = MatchedLists.from_arrays(
        rows.offsets, rows.item[order], rows.offsets, rows.item, truth_gains=gain
    )
    return NDCG(K, gains="linear").value(matched)


# -- coat --------------------------------------------------------------------------------------------


def coat(
    path: Path, seeds: int, *, regularization: float = 100.0, max_weight: float = 50.0
) -> dict[str, FloatArray]:
    """Return NDCG@5 on the random ratings for each seed, which picks nine in ten of the self-selected ones.

    Features: those of the user, of the item, and those of the item for each gender. Labels and gains: ratings less 1.
    """
    train, test, chance = (
        np.loadtxt(path / f"{name}.ascii.gz") for name in ("train", "test", "propensities")
    )
    user, item = (np.loadtxt(path / f"{name}_features.ascii") for name in ("user", "item"))
    n_users, n_items = train.shape
    pairs = np.concatenate([np.repeat(user, n_items, axis=0), np.tile(item, (n_users, 1))], axis=1)
    gender = (user[:, None, :2, None] * item[None, :, None, :]).reshape(n_users * n_items, -1)
    block = np.concatenate([pairs, gender], axis=1).astype(np.float32)

    def rows(at: IntArray, label: FloatArray, **columns: Any) -> RankingData:
        counts = np.bincount(at // n_items, minlength=n_users)
        return RankingData(
            block[at], tuple(f"f{i}" for i in range(block.shape[1])), label[at].astype(np.float32),
            np.ones(len(at), np.float32), np.concatenate([[0], np.cumsum(counts)]), at // n_items + 1,
            at % n_items + 1, np.zeros(len(at)), columns={name: column[at] for name, column in columns.items()},
        )  # fmt: skip

    known, everything = np.flatnonzero(train.ravel()), np.arange(train.size)
    label = np.maximum(train.ravel() - 1, 0)
    random = rows(np.flatnonzero(test.ravel()), np.maximum(test.ravel() - 1, 0))
    batch, all_pairs = as_candidates(random), as_candidates(rows(everything, label))
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        kept = np.sort(np.random.default_rng(seed).permutation(known)[: int(0.9 * len(known))])
        data = rows(kept, label, chance=chance.ravel())
        naive = rankers.LogisticRegression(regularization=regularization).fit(data)
        seen = np.zeros(train.size, np.bool_)
        seen[kept] = True
        whole = rows(everything, label, chance=chance.ravel(), seen=seen)
        guess = naive.score(all_pairs).astype(np.float64) * label.max()
        weighed = inverse_propensity(data, "chance", corrects="rows", max_weight=max_weight).data
        robust = doubly_robust(
            whole, "chance", guess, corrects="rows", observed="seen", max_weight=max_weight
        ).data
        trained = {
            "as they are": naive,
            "inverse propensity": rankers.LogisticRegression(regularization=regularization).fit(weighed),
            "doubly robust": rankers.LogisticRegression(regularization=regularization).fit(robust),
        }
        for name, ranker in trained.items():
            found.setdefault(name, []).append(
                _ndcg(ranker.score(batch), random.label.astype(np.float64), random)
            )
    return {name: np.array(values) for name, values in found.items()}


def interval(difference: FloatArray) -> tuple[float, float, float]:
    """Return mean and ends of the 95% interval (Student's t) of paired differences."""
    from scipy.stats import t

    mean, error = float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))
    reach = float(t.ppf(0.975, len(difference) - 1)) * error
    return mean, mean - reach, mean + reach


# -- calibration and popularity ----------------------------------------------------------------------


def calibration(n_users: int, seed: int = 0) -> dict[str, Reliability]:
    """Return the reliability of each method on the candidates of the week after training."""
    market = make_marketplace(n_users, 300, seed=seed)
    train, test = market.dataset.split_at(market.dataset.until - 7 * DAY)
    taken = np.unique(test.interactions.user * 1_000 + test.interactions.item)
    methods: Mapping[str, Callable[[], Any]] = {
        "not calibrated": rankers.LogisticRegression,
        **{
            method: lambda method=method: rankers.Calibrated(rankers.LogisticRegression(), method)
            for method in ("isotonic", "platt", "temperature", "beta")
        },
    }
    found = {}
    for name, make in methods.items():
        pipeline = rk.Pipeline([candidates.Popular(), features.Standard(), make()])
        pipeline.fit(train, label_window="7D", windows=3)
        batch = pipeline.candidates(pipeline.requests(train.user_ids.ids.tolist(), k=100, now=train.cut))
        happened = np.isin(batch.user * 1_000 + batch.item, taken)
        found[name] = reliability(batch.score, happened, name=name)
    return found


def front(path: Path) -> PopularityFront:
    """Return accuracy and coverage by strength on the last fifth of ml-100k; ratings from 4 on are likes."""
    data = load_movielens(path).at_least(4)
    train, test = data.split_at(float(np.quantile(data.interactions.timestamp, 0.8)))
    stages = [
        candidates.EASE(regularization=100.0),
        rankers.Weighted({"ease_score": 1.0}),
        rankers.PopularityNormalized.of(train),
        rules.NotSeen(),
    ]
    return popularity_front(rk.Pipeline(stages).fit(train), test, now=train.cut)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--users", type=int, default=6_000, help="users of the marketplaces (6000)")
    parser.add_argument("--seeds", type=int, default=20, help="samples of coat's training ratings (20)")
    parser.add_argument("--plot", type=Path, help="where to write the plot of the popularity front")
    options = parser.parse_args()
    checks = []
    for name, error in propensities(3 * options.users).items():
        goal = None if name in ("model, by item", "harvested moves, pivot") else 0.05
        label = f"examination, {name}: largest error"
        checks.append(Check.info(label, error) if goal is None else Check.at_most(label, error, goal))
    levels = recovered(biased_log(options.users))
    low, high = levels["clicks as they are"], levels["what was wanted"]
    for name, level in levels.items():
        checks.append(Check.info(f"marketplace, NDCG@{K}: {name}", level))
        if name not in ("clicks as they are", "what was wanted"):
            checks.append(
                Check.at_least(f"share of the gap closed: {name}", (level - low) / (high - low), 0.8)
            )
    checks += _coat_checks(folder() / "coat", options.seeds)
    for name, matched in calibration(options.users // 2).items():
        label = f"calibration error in the week after: {name}"
        plain = name == "not calibrated"
        checks.append(Check.info(label, matched.ece) if plain else Check.at_most(label, matched.ece, 0.01))
        checks.append(Check.info(f"predicted over observed: {name}", matched.bias))
    traded = front(folder() / "ml-100k")
    print(traded)
    if options.plot:
        traded.plot().figure.savefig(options.plot, dpi=110)
    report("unbiased", checks, {"front": traded.table()})


def _coat_checks(path: Path, seeds: int) -> list[Check]:
    found = coat(path, seeds)
    checks = []
    for name, values in found.items():
        checks.append(Check.info(f"coat, NDCG@{K}: {name}", float(values.mean())))
        if name != "as they are":
            mean, low, high = interval(values - found["as they are"])
            checks.append(Check.info(f"coat, difference: {name}", mean))
            checks.append(Check.at_least(f"coat, low end of its 95% interval: {name}", low, 0.0))
            checks.append(Check.info(f"coat, high end: {name}", high))
    return checks


if __name__ == "__main__":
    main()
