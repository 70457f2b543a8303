"""Do intervals and tests keep their promises: `python -m benchmarks.intervals [--runs 10000]`.

Populations are each user's NDCG: made ones, most of them 0, and those of two sources on citeulike-a. Samples of 200 and
more users are drawn from a population whose mean is known. Intervals should hold it in 95% of samples, the paired test
should find nothing in 95% where there is nothing, and a true difference as often as its power says. The gate should
reject a candidate that is better on the whole and worse for new users.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._data import read
from benchmarks._harness import Check, report
from recokit import candidates
from recokit._stats.intervals import Mean
from recokit.data import Ragged, Requests, Vocabulary
from recokit.evaluation import Evaluation, Gate, GateResult, RollingQuality, Score
from recokit.evaluation.comparison import POWER, holm
from recokit.metrics import NDCG, MatchedLists
from recokit.metrics.matched_lists import canonical
from recokit.typing import FloatArray

__all__ = ["differences", "evaluation", "gains", "gate_check", "held", "levels", "real", "rejected"]

SIZES = (200, 500, 2000)
USERS = 200_000


def levels(seed: int = 0) -> dict[str, FloatArray]:
    """Return populations of NDCG@10, most of it 0: with one relevant item, and with several."""
    rng = np.random.default_rng(seed)

    def one(hit: float) -> FloatArray:
        return (rng.random(USERS) < hit) / np.log2(rng.integers(1, 11, USERS) + 1)

    return {
        "one relevant, 8% hit": one(0.08),
        "one relevant, 15% hit": one(0.15),
        "several, 25% hit": np.where(rng.random(USERS) < 0.25, rng.beta(1.2, 5, USERS), 0.0),
        "several, 60% hit": np.where(rng.random(USERS) < 0.6, rng.beta(1, 3, USERS), 0.0),
    }


def differences(seed: int = 0) -> dict[str, FloatArray]:
    """Return populations of paired differences of mean 0: of some users, of many, and skewed ones."""
    rng = np.random.default_rng(seed)
    some = np.where(rng.random(USERS) < 0.15, rng.normal(0, 0.3, USERS), 0.0)
    many = np.where(rng.random(USERS) < 0.6, rng.beta(1, 3, USERS) - rng.beta(1, 3, USERS), 0.0)
    # Small gains for many users, large losses for few.
    skewed = np.where(rng.random(USERS) < 0.3, 0.08, 0.0)
    lost = np.where(rng.random(USERS) < 0.08, rng.beta(2, 3, USERS), 0.0)
    found = {"15% of users": some, "60% of users": many, "skewed": skewed - lost}
    return {name: centred(values) for name, values in found.items()}


def gains(seed: int = 0) -> dict[str, FloatArray]:
    """Return populations of paired differences whose mean is not 0: most users have none, and most others gain."""
    rng = np.random.default_rng(seed)
    size = 1 / np.log2(rng.integers(1, 11, USERS) + 1)  # a relevant item comes into the list, or leaves it
    drawn = rng.random(USERS)
    hits = np.where(drawn < 0.10, size, np.where(drawn < 0.12, -size, 0.0))
    several = np.where(
        drawn < 0.16, rng.beta(1, 3, USERS), np.where(drawn < 0.2, -rng.beta(1, 3, USERS), 0.0)
    )
    return {"mostly gains, 12% of users": hits, "mostly gains, 20% of users": several}


def centred(values: FloatArray) -> FloatArray:
    """Return differences whose mean is 0: moved where they are not 0, so that who has none still has none."""
    moved = values != 0
    return values - moved * (values.sum() / moved.sum())


def real() -> tuple[FloatArray, FloatArray]:
    """Return each user's NDCG@10 of two sources on citeulike-a."""
    split = read("citeulike-a")
    users = split.users
    history = split.history.take(users - 1)
    requests = Requests.build(
        users, now=split.train.until + 1, ragged={"history": history, "exclude": history}
    )
    wanted = split.test.take(users - 1)
    truth = canonical(wanted, np.ones(len(wanted.values)))

    def matched(source: Any) -> FloatArray:
        found = source.fit(split.train).retrieve(requests, 10)
        return NDCG(10).per_user(MatchedLists(Ragged(found.offsets, found.item), truth))

    return matched(candidates.ItemKNN()), matched(candidates.RP3beta())


def held(population: FloatArray, n: int, runs: int, seed: int = 0) -> float:
    """Return in how many of the samples of n users the 95% interval holds the population's mean."""
    rng, truth = np.random.default_rng(seed), population.mean()

    def holds(values: FloatArray) -> bool:
        low, high = Mean.of(values).interval(0.95)
        return bool(low <= truth <= high)

    return float(np.mean([holds(population[rng.integers(0, len(population), n)]) for _ in range(runs)]))


def rejected(population: FloatArray, n: int, runs: int, seed: int = 0) -> float:
    """Return in how many of the samples of n users the test at 5% says that the mean is not 0."""
    rng = np.random.default_rng(seed)
    size = len(population)
    return float(
        np.mean([Mean.of(population[rng.integers(0, size, n)]).p_value() < 0.05 for _ in range(runs)])
    )


def families(population: FloatArray, n: int, tests: int, runs: int, seed: int = 0) -> float:
    """Return how often at least one of several tests of nothing finds something, after Holm's correction."""
    rng = np.random.default_rng(seed)
    size = len(population)
    found = [
        holm([Mean.of(population[rng.integers(0, size, n)]).p_value() for _ in range(tests)]).min() < 0.05
        for _ in range(runs)
    ]
    return float(np.mean(found))


def evaluation(
    name: str, values: FloatArray, segment: FloatArray | None = None, now: float = 1.0
) -> Evaluation:
    """Return an evaluation of given NDCG@10, with the segments cold-start and established."""
    codes = np.zeros(len(values), np.int64) if segment is None else np.asarray(segment, np.int64)
    segments = ("all",) if segment is None else ("all", "cold-start", "established")
    rows = [codes == code if code else np.ones(len(codes), np.bool_) for code in range(len(segments))]
    return Evaluation(
        name=name,
        scores=tuple(
            Score.of("NDCG@10", label, values[of], 0.95, bounds=(0.0, 1.0))
            for label, of in zip(segments, rows, strict=True)
        ),
        users=Vocabulary(np.arange(1, len(values) + 1)),
        metrics=("NDCG@10",),
        definitions={"NDCG@10": ""},
        per_user=values.astype(np.float32)[:, None],
        segment=codes,
        segments=segments,
        statuses={},
        n_without_truth=0,
        n_outside=0,
        k=10,
        now=now,
        confidence=0.95,
    )


def gate_check(
    population: FloatArray, *, cold: float, others: float, n: int = 6000, seed: int = 0
) -> GateResult:
    """Return the gate's result for a candidate whose NDCG is changed by these shares; a sixth of the users are new."""
    rng = np.random.default_rng(seed)
    old = population[rng.integers(0, len(population), n)]
    segment = np.where(rng.random(n) < 1 / 6, 1, 2)
    # Lists change: a user's value is half their old one's and half another user's of the same kind, or as it was.
    moved = rng.random(n) < 0.1
    new = np.where(moved, rng.permutation(old), old) * np.where(segment == 1, 1 + cold, 1 + others)
    gate = Gate(evaluation("old", old, segment), metrics=["NDCG@10"], margin=0.05)
    return gate.check(evaluation("new", new, segment))


def rolling(population: FloatArray, n: int, runs: int, seed: int = 0) -> float:
    """Return in how many pairs of windows without a drop the interval of the change holds 0."""
    rng = np.random.default_rng(seed)
    size = len(population)

    def holds() -> bool:
        monitor = RollingQuality()
        monitor.add(evaluation("model", population[rng.integers(0, size, n)]))
        found = monitor.add(evaluation("model", population[rng.integers(0, size, n)], now=2.0))
        return found is not None and found.low <= 0 <= found.high

    return float(np.mean([holds() for _ in range(runs)]))


def near(name: str, value: float, goal: float, tolerance: float) -> Check:
    """Return a check of a share that should be the goal, within the tolerance."""
    return Check(name, value, goal, f"+- {tolerance}", abs(value - goal) <= tolerance, "=")


def run(runs: int, pair: tuple[FloatArray, FloatArray]) -> list[Check]:
    """Return all checks; ``pair`` is what :func:`real` gives."""
    knn, walk = pair
    rng = np.random.default_rng(1)
    scores = {**levels(), "citeulike-a, ItemKNN": knn, **gains(), "citeulike-a, paired": walk - knn}
    found = [
        near(f"interval, {name}, n={n}", held(values, n, runs), 0.95, 0.01)
        for name, values in scores.items()
        for n in SIZES
    ]
    found += [
        Check.info(f"interval, {name}, n=50 (said to be few)", held(values, 50, runs))
        for name, values in scores.items()
    ]
    # Whose list is whose is drawn for each user: nothing differs on the whole.
    swapped = (walk - knn) * rng.choice([-1, 1], len(knn))
    nulls = {
        **differences(),
        "citeulike-a, swapped": swapped - swapped.mean() * (swapped != 0) / (swapped != 0).mean(),
    }
    found += [
        near(f"test of nothing at 5%, {name}, n={n}", rejected(values, n, runs), 0.05, 0.01)
        for name, values in nulls.items()
        for n in SIZES
    ]
    for name, values in {"60% of users": nulls["60% of users"], "citeulike-a": centred(walk - knn)}.items():
        for n in SIZES:
            # As large a true difference as is called detectable at this n, where values differ at all.
            moved = values != 0
            size = Mean.of(values).error * np.sqrt(len(values) / n) * _quantiles(n)
            power = rejected(values + moved * size / moved.mean(), n, runs)
            found.append(near(f"power at the detectable difference, {name}, n={n}", power, POWER, 0.03))
    found.append(
        Check.at_most(
            "20 tests of nothing: any found (Holm)",
            families(nulls["60% of users"], 300, 20, runs // 4),
            0.06,
        )
    )
    some = max(20, runs // 50)
    ndcg = scores["several, 60% hit"]
    planted = [gate_check(ndcg, cold=-0.3, others=0.12, seed=seed) for seed in range(some)]
    equal = [gate_check(ndcg, cold=0.0, others=0.0, seed=seed) for seed in range(some)]
    better = [one for one in planted if one.conditions[0].value > 0]
    found += [
        Check.at_least("gate: planted candidates whose mean is better", len(better) / some, 0.95),
        Check.at_least("gate: these rejected for cold-start", _share(better, _for_cold_start), 0.95),
        Check.at_most(
            "gate: equal candidates rejected for a segment",
            _share(equal, lambda one: "segment" in str(one.reasons)),
            0.05,
        ),
        near("rolling: interval of the change, n=2000", rolling(ndcg, 2000, runs), 0.95, 0.01),
    ]
    return found


def _quantiles(n: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.975) + stdtrit(n - 1, POWER))


def _share(found: list[GateResult], told: Callable[[GateResult], bool]) -> float:
    return float(np.mean([told(one) for one in found])) if found else np.nan


def _for_cold_start(found: GateResult) -> bool:
    return any(reason.startswith("segment NDCG@10 (cold-start): fail") for reason in found.reasons)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    report("intervals", run(parser.parse_args().runs, real()))


if __name__ == "__main__":
    main()
