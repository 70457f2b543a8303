"""Fault injection: does the debugger name the stage and the cause?

On Complete Journey and ml-100k: 26 kinds of faults, each planted 5 times at random places with random magnitudes in
today's healthy pipeline; the baseline is the pipeline of a week ago, which knows today's events. Then 200 healthy
users, and what a diagnosis costs.

    python -m benchmarks.diagnosis                    # both data sets
    python -m benchmarks.diagnosis --quick            # a small generated market, one seed
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import _diagnosis_world as worlds
from benchmarks._diagnosis_faults import KINDS, Planted, plant
from benchmarks._diagnosis_world import World
from benchmarks._harness import Check, measure, report
from recokit.debugger import PopulationDiagnosis, RecommendationDebugger

__all__ = ["Case", "case", "confusion", "healthy_users", "main"]

SEEDS = 5
SAMPLE, NEW = 32, 10
BUDGET_MS = 100.0


@dataclass(frozen=True)
class Case:
    """What the debugger said of one planted fault."""

    world: str
    kind: str
    seed: int
    right: bool
    in_top_three: bool
    said: str
    stage: str
    scope: str
    planted: str


def case(world: World, kind: str, seed: int, *, n: int = SAMPLE, new: int = NEW) -> Case:
    """Plant a fault and ask about so many users, known and new."""
    planted = plant(kind, world, seed)
    found = diagnosed(world, planted, world.users(n, seed, new=new))
    first = [_fits(planted, one.code, one.stage, one.scope) for one in found.findings[:3]]
    return Case(
        world.name,
        kind,
        seed,
        bool(first and first[0]),
        any(first),
        found.verdict,
        found.stage,
        found.findings[0].scope if found.findings else "",
        f"{planted.stage} {planted.scope} {planted.detail}",
    )


def diagnosed(world: World, planted: Planted, users: Sequence[Any]) -> PopulationDiagnosis:
    """Ask about a sample of users."""
    debugger = RecommendationDebugger(
        planted.pipeline, known_good=world.test, baseline=world.baseline, budget_ms=BUDGET_MS
    )
    return debugger.diagnose_many(users, history=world.train, now=world.now)


def _fits(planted: Planted, code: str, stage: str, scope: str) -> bool:
    # Where nothing at all was found, no stage is to be named.
    named = stage == planted.stage or code == "CANDIDATE_GENERATION_FAILURE"
    return code in planted.codes and named and planted.scope in ("", scope)


def confusion(cases: Sequence[Case]) -> str:
    """Return what was said of each kind, and how often."""
    lines = []
    for kind in KINDS:
        mine = [one for one in cases if one.kind == kind]
        if mine:
            said = Counter(f"{one.said} {one.stage}".strip() for one in mine).most_common()
            answers = ", ".join(f"{n} x {answer}" for answer, n in said)
            lines.append(f"{kind:<24}{sum(one.right for one in mine):>3} of {len(mine):<3}  {answers}")
    return "\n".join(lines)


def healthy_users(world: World, n: int, seed: int = 1) -> list[str]:
    """Return what is found of healthy users, one after the other."""
    debugger = RecommendationDebugger(
        world.pipeline, known_good=world.test, baseline=world.baseline, budget_ms=BUDGET_MS
    )
    debugger.scan(now=world.now)
    found = (debugger.diagnose(user, now=world.now) for user in world.users(n, seed))
    return [f"{one.user}: {one.verdict} {one.stage} {one.findings[0].message}" for one in found if one.is_ill]


def cost(world: World) -> tuple[float, float]:
    """Return what diagnoses take in units of the requests they explain, without and with a baseline."""
    users = world.users(30, 3)
    alone = RecommendationDebugger(world.pipeline, known_good=world.test)
    paired = RecommendationDebugger(world.pipeline, known_good=world.test, baseline=world.baseline)
    calls = (
        lambda user: world.pipeline.recommend([user], now=world.now),
        lambda user: alone.diagnose(user, now=world.now),
        lambda user: paired.diagnose(user, now=world.now),
    )
    # The least of several, since a busy machine only ever adds.
    least = np.array(
        [[measure(lambda: call(user), warmup=1, repeat=5).min() for call in calls] for user in users]  # noqa: B023
    )
    request, plain, with_baseline = least.sum(axis=0)
    print(
        f"{world.name}: request {1e3 * request / len(users):.1f} ms, diagnosis {1e3 * plain / len(users):.1f} ms, "
        f"with a baseline {1e3 * with_baseline / len(users):.1f} ms"
    )
    return plain / request, with_baseline / request


def many(world: World, n: int) -> tuple[float, float]:
    """Return the seconds and the peak megabytes of diagnosing so many users."""
    debugger = RecommendationDebugger(world.pipeline, known_good=world.test, baseline=world.baseline)
    users = world.train.user_ids.decode(np.resize(np.unique(world.train.interactions.user), n)).tolist()
    started = time.perf_counter()
    debugger.diagnose_many(users, history=world.train, now=world.now)
    seconds = time.perf_counter() - started
    tracemalloc.start()
    debugger.diagnose_many(users[: n // 4], history=world.train, now=world.now)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return seconds, peak


def main(argv: Sequence[str] | None = None) -> bool:
    """Run the benchmark and print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small generated market, one seed")
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    options = parser.parse_args(argv)
    makers = (worlds.marketplace,) if options.quick else (worlds.movielens, worlds.complete_journey)
    seeds = 1 if options.quick else SEEDS
    n_healthy = 40 if options.quick else 200
    cases: list[Case] = []
    checks: list[Check] = []
    for make in makers:
        world = make()
        cases += [case(world, kind, seed) for kind in options.kinds for seed in range(seeds)]
        ill = healthy_users(world, n_healthy)
        print("\n".join([f"{world.name}: {len(ill)} of {n_healthy} healthy users with a finding", *ill]))
        plain, paired = cost(world)
        seconds, peak = many(world, 200 if options.quick else 2_000)
        checks += [
            Check.at_most(f"healthy users with a finding, {world.name}", len(ill), 2, f"of {n_healthy}"),
            Check.at_most(f"diagnosis / request, {world.name}", plain, 3.0, "times"),
            Check.at_most(f"diagnosis with a baseline / request, {world.name}", paired, 3.0, "times"),
            Check.at_most(f"diagnose_many, {world.name}", seconds, 20.0, "s for 2,000 users"),
            Check.info(f"peak memory of diagnose_many, {world.name}", peak, "MB"),
        ]
    print(confusion(cases))
    for one in cases:
        if not one.right:
            print(f"missed: {one}")
    per_kind = {
        (world, kind): [one.right for one in cases if (one.world, one.kind) == (world, kind)]
        for world in {one.world for one in cases}
        for kind in options.kinds
    }
    for world_name in sorted({one.world for one in cases}):
        solved = sum(np.mean(right) >= 0.8 for (name, _), right in per_kind.items() if name == world_name)
        checks.append(
            Check.at_least(f"kinds named right, {world_name}", solved, len(options.kinds) - 2, "kinds")
        )
    checks.append(
        Check.at_least(
            "right one in the top three", np.mean([one.in_top_three for one in cases]), 1.0, "share"
        )
    )
    return report("diagnosis", checks)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
