"""Experiments: what assignment and serving cost, how long ten million exposures take, whether readings hold.

    python -m benchmarks.experiments [--runs 10000] [--rows 10000000] [--requests 20000]

Seeds were fixed before the first run. Processor time is compared, of both forms in turns, in one process.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import recokit as rk
from benchmarks._harness import Check, pin_to_core, report
from recokit import candidates, experiments as ex
from recokit._stats.differences import Difference
from recokit._stats.moments import Estimate
from recokit.experiments.preferred import of_units
from recokit.experiments.readings import Look

SEED = 20261201
DAY = 86_400.0
Floats = NDArray[np.float64]


def revenue(rng: np.random.Generator, shape: tuple[int, ...], lift: float = 0.0) -> Floats:
    """Return what units spend: most nothing, few much."""
    spent = rng.lognormal(2.0, 1.0, shape) * (rng.random(shape) < 0.2)
    return np.asarray(spent * (1.0 + lift))


def looks_of(rng: np.random.Generator, n_looks: int, step: int, lift: float = 0.0) -> list[Look]:
    """Return the looks at one experiment: so many more units in each arm before each."""
    estimates = []
    for arm in (0, 1):
        values = revenue(rng, (n_looks, step), lift * arm)
        n = step * np.arange(1, n_looks + 1)
        mean = np.cumsum(values.sum(axis=1)) / n
        variance = (np.cumsum((values**2).sum(axis=1)) - n * mean**2) / (n - 1)
        estimates.append(
            [Estimate(m, math.sqrt(v / k), k) for m, v, k in zip(mean, variance, n, strict=True)]
        )
    return [
        Look((i + 1) * DAY, 2.0 * a.n, Difference(a, b))
        for i, (a, b) in enumerate(zip(*estimates, strict=True))
    ]


def found(looks: list[Look], reading: ex.Reading) -> bool:
    """Return whether a reading stops at one of the looks."""
    reaches = reading.read(looks).reaches
    return any(abs(look.difference.z) > reach for look, reach in zip(looks, reaches, strict=True))


def false_alarms(runs: int, *, step: int = 200) -> dict[str, float]:
    """Return the share of equal experiments that each reading tells apart, a plain test at every look among them."""
    rng = np.random.default_rng(SEED)
    sequential, fixed = ex.GroupSequential(looks=14), ex.Fixed()
    any_time = ex.Anytime(units=14 * 2 * step)
    counts = dict.fromkeys(("fixed", "group sequential", "anytime", "naive"), 0)
    for _ in range(runs):
        looks = looks_of(rng, 14, step)
        counts["fixed"] += found(looks, fixed)
        counts["group sequential"] += found(looks, sequential)
        many = looks_of(rng, 100, step // 4)
        counts["anytime"] += found(many, any_time)
        counts["naive"] += any(abs(look.difference.z) > 1.96 for look in many)
    return {name: n / runs for name, n in counts.items()}


def power_of(reading: ex.Reading, runs: int, *, lift: float = 0.15, power: float = 0.8) -> float:
    """Return the share of experiments with a lift that a reading finds, with as many units as a plan asks for."""
    rng = np.random.default_rng(SEED + 1)
    sample = revenue(rng, (2_000_000,))
    d = lift * sample.mean() / math.sqrt((sample.var() + (sample * (1 + lift)).var()) / 2)
    n_looks = 14 if reading.every else 1
    step = math.ceil(ex.units_needed(d, power, reading) / n_looks)
    return sum(found(looks_of(rng, n_looks, step, lift), reading) for _ in range(runs)) / runs


def assignment_us(n: int = 300_000) -> float:
    """Return the processor time of one unit's assignment in a batch, in microseconds."""
    units = np.array([f"user-{i}" for i in range(n)], object)
    test = ex.Experiment("hash", {"control": object(), "new": object()}, ramp={"2026-01-01": 1.0})  # type: ignore[dict-item]
    seconds = []
    for _ in range(3):
        start = time.process_time()
        test.assign(units, now="2026-06-01")
        seconds.append(time.process_time() - start)
    return 1e6 * min(seconds) / n


def overhead_us(requests: int) -> float:
    """Return what Served adds to a request, in microseconds of processor time: blocks of both in turns."""
    data = rk.testing.toy_dataset(n_users=200)
    pipeline = rk.Pipeline([candidates.Popular()]).fit(data)
    rows: list[Any] = []
    test = ex.Experiment("cost", {"control": pipeline, "new": pipeline})
    served = ex.Served(test, observers=[ex.Exposures(rows.extend)])
    users, now = data.user_ids.ids.tolist(), data.until

    def block(model: Any, n: int) -> float:
        start = time.process_time()
        for i in range(n):
            model.recommend([users[i % len(users)]], k=10, now=now)
        return time.process_time() - start

    block(pipeline, 200), block(served, 200)
    n, gaps = 200, []
    for _ in range(max(3, requests // (2 * n))):
        alone, both = block(pipeline, n), block(served, n)
        gaps.append((both - alone) / n)
    assert {row["arm"] for row in rows} <= {"control", "new"}
    return 1e6 * float(np.median(gaps))


def big_log(rows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return exposures of a fifth as many units, several each, and events of five columns."""
    rng, units = np.random.default_rng(SEED + 2), max(rows // 5, 100)
    unit = rng.integers(0, units, rows)
    arm = np.array(["control", "new"])[
        ex.KeyedHash().shares([str(i) for i in range(units)], "big").round().astype(int)
    ]
    log = {"unit": unit, "arm": arm[unit].astype(object), "timestamp": 14 * DAY * rng.random(rows)}
    n = rows // 2
    user = rng.integers(0, units, n)
    events = {
        "user_id": user, "timestamp": 14 * DAY * rng.random(n), "revenue": rng.exponential(size=n),
        "clicks": (rng.random(n) < 0.1).astype(float), "impressions": np.ones(n),
        "orders": (rng.random(n) < 0.02).astype(float), "ms": rng.lognormal(3, 0.5, n),
    }  # fmt: skip
    return log, events


def analyse_big(rows: int) -> None:
    """Analyse a big log and print its processor time and peak memory: in a process of its own, whose peak it is."""
    log, events = big_log(rows)
    start = time.process_time()
    found = ex.analyze(
        log, events, primary=ex.Mean("revenue", covariate="before"),
        metrics=[ex.Ratio("clicks", "impressions"), ex.Mean("orders"), ex.Mean("clicks"), ex.Ratio("orders", "clicks"),
                 ex.Quantile("ms", 0.99)],
    )  # fmt: skip
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "gib": peak, "effects": len(found.effects) + len(found.others)}))


def big_analysis(rows: int) -> tuple[float, float]:
    """Return the processor seconds of analysing so many exposures, and the GiB at the peak, data included."""
    command = [sys.executable, "-m", "benchmarks.experiments", "--analyse", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["effects"] == 6
    return float(told["seconds"]), float(told["gib"])


def _arms(market: Any) -> dict[str, Any]:
    data = market.dataset
    return {
        "popular": rk.Pipeline([candidates.Popular()]).fit(data),
        "by category": rk.Pipeline([candidates.PopularInCategory()], fallback=candidates.Popular()).fit(data),
    }


def _clicks(market: Any, answer: Any, rng: np.random.Generator) -> Iterator[NDArray[np.bool_]]:
    """Yield the clicks of each row's user, by the marketplace's truth."""
    data = market.dataset
    for row, user in enumerate(answer.users.tolist()):
        codes = answer.codes(row)
        chance = market.position_bias[: len(codes)] * market.relevance(data.user_ids.encode([user])[0], codes)
        yield rng.random(len(codes)) < chance


def sensitivity(users: int) -> dict[str, float]:
    """Return the users that tell two arms apart at 95% in 95 of 100 experiments, by an A/B test and by interleaving.

    Users come as often as they did in the log: few are busy. An A/B test compares their clicks.
    """
    market = rk.datasets.make_marketplace(users, 200, seed=SEED)
    arms, rng = _arms(market), np.random.default_rng(SEED + 3)
    session = market.impressions.session
    visitor = market.impressions.user[np.unique(session, return_index=True)[1]]
    everybody, now = market.dataset.user_ids.decode(visitor).tolist(), market.dataset.until
    reach = (1.959964 + 1.644854) ** 2

    def by_user(gained: list[float]) -> Floats:
        return np.bincount(visitor, gained, minlength=users + 1)[1:]

    def clicked(answer: Any) -> list[float]:
        return [float(one.sum()) for one in _clicks(market, answer, rng)]

    a, b = (by_user(clicked(arm.recommend(everybody, now=now))) for arm in arms.values())
    needed = {"a/b": 2 * reach * (a.var() + b.var()) / (b.mean() - a.mean()) ** 2}
    for by in ("team_draft", "optimised", "probabilistic", "balanced"):
        answer = ex.Interleaved(arms, by=by).recommend(everybody, now=now, seed=1)
        ends, credits = answer.offsets.tolist(), [answer.columns[f"credit.{name}"] for name in arms]
        gained = [
            [float(credit[ends[row] : ends[row + 1]][clicked].sum()) for credit in credits]
            for row, clicked in enumerate(_clicks(market, answer, rng))
        ]
        theirs, mine = (by_user([one[i] for one in gained]) for i in (0, 1))
        values = of_units(mine, theirs)
        needed[by] = reach * values.var() / values.mean() ** 2
    return {name: float(n) for name, n in needed.items()}


def main() -> bool:
    """Measure everything and report it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--analyse", type=int, default=0)
    options = parser.parse_args()
    if options.analyse:
        analyse_big(options.analyse)
        return True
    seconds, gib = big_analysis(options.rows)
    pin_to_core()
    checks = [
        Check.at_most("assignment in a batch", assignment_us(), 1.5, "us a unit"),
        Check.at_most("Served beside its arm", overhead_us(options.requests), 30.0, "us a request"),
        Check.at_most(f"analysis of {options.rows:,} exposures, 6 metrics", seconds, 60.0, "processor s"),
        Check.at_most("its peak memory, data included", gib, 3.0, "GiB"),
    ]
    alarms = false_alarms(options.runs)
    for name in ("fixed", "group sequential"):
        checks.append(Check.at_most(f"{name}: false alarms off 5%", abs(alarms[name] - 0.05), 0.007))
        checks.append(Check.info(f"{name}: false alarms", alarms[name]))
    checks.append(Check.at_most("anytime, 100 looks: false alarms", alarms["anytime"], 0.05))
    checks.append(Check.info("a plain test at 100 looks: false alarms", alarms["naive"]))
    for name, reading in (("fixed", ex.Fixed()), ("group sequential", ex.GroupSequential(looks=14))):
        power = power_of(reading, options.runs // 2)
        checks.append(Check.at_most(f"{name}: power off the planned 80%", abs(power - 0.8), 0.02))
    needed = sensitivity(options.users)
    checks.append(Check.info("A/B: users for 95% power", needed["a/b"]))
    checks += [
        Check.info(f"{by}: users for 95% power", needed[by])
        for by in ("optimised", "probabilistic", "balanced")
    ]
    checks.append(Check.info("team_draft: users for 95% power", needed["team_draft"]))
    checks.append(
        Check.at_least("team_draft: times fewer users than A/B", needed["a/b"] / needed["team_draft"], 5.0)
    )
    return report("experiments", checks)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
