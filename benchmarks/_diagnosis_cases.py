"""One task of the benchmark of the debugger: a fault, two faults, healthy users, or the cost; and its result."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks._diagnosis_world import World
from recokit.debugger import PopulationDiagnosis, RecommendationDebugger
from recokit.errors import ConfigurationError
from recokit.testing import faults
from recokit.testing.faults import Planted

__all__ = ["Task", "result_of"]

#: Known users and anonymous ones asked about each fault.
KNOWN, NEW = 24, 8
#: Users of ``diagnose_many`` whose time and memory are taken.
MANY = 2_000
BUDGET_MS = 100.0


@dataclass(frozen=True, order=True)
class Task:
    """What is to be run.

    Parameters
    ----------
    world, shape : str
    what : str
        A kind of fault, ``"pair"``, ``"healthy"`` or ``"cost"``.
    baseline : {"refit", "same", "alone"}
    seed : int
    users : int
        Of healthy users.
    """

    world: str
    shape: str
    what: str
    baseline: str
    seed: int
    users: int = 50

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.world}/{self.shape} {self.what} {self.baseline} {self.seed}"


def result_of(task: Task, world: World) -> dict[str, Any]:
    """Run a task; the result has what was planted and found, or why nothing was."""
    started = time.process_time()
    run: Callable[[Task, World], dict[str, Any]] = {
        "pair": _pair,
        "healthy": _healthy,
        "cost": _cost,
    }.get(task.what, _fault)
    try:
        found = run(task, world)
    except ConfigurationError as error:
        found = {"skipped": str(error)}
    except Exception as error:  # a crash of the debugger is a miss, not the end of the benchmark
        found = {"crashed": f"{type(error).__name__}: {error}", "right": False, "in_top_three": False}
    return {
        "key": task.key,
        "world": task.world,
        "shape": task.shape,
        "what": task.what,
        "baseline": task.baseline,
        "seed": task.seed,
        "seconds": round(time.process_time() - started, 2),
        **found,
    }


# -- faults ------------------------------------------------------------------------------------------


def _fault(task: Task, world: World) -> dict[str, Any]:
    planted = faults.plant(task.what, world.site, task.seed)
    debugger = _debugger(task, world, planted.pipeline)
    # Whom a fault concerns takes more users to tell.
    users = world.users((3 if planted.scope else 1) * KNOWN, task.seed, new=NEW)
    found = debugger.diagnose_many(
        users, history=world.train, now=world.now, context=world.context(users, task.seed)
    )
    said = [(one.code, one.stage, one.scope) for one in found.findings]
    fits = [_fits(planted, *one) for one in said[:3]]
    return {
        "planted": [planted.stages[:3], planted.codes, planted.scope, planted.detail],
        "right": bool(fits and fits[0]),
        "in_top_three": any(fits),
        "said": said[:4],
        **(_confirmed(found, planted, task.seed) if task.baseline != "alone" and fits and fits[0] else {}),
    }


def _confirmed(found: PopulationDiagnosis, planted: Planted, seed: int) -> dict[str, Any]:
    """Ask whether the list heals with the right stage from the baseline, and whether with a wrong one."""
    right = found.findings[0].stage
    others = [name for name in planted.pipeline.names if name not in planted.stages and name != right]
    wrong = others[int(np.random.default_rng(seed).integers(len(others)))]
    return {"healed": found.confirm().healed, "healed_wrong": found.confirm(wrong).healed, "wrong": wrong}


def _fits(planted: Planted, code: str, stage: str, scope: str) -> bool:
    # Where nothing at all was found, no stage is to be named.
    named = stage in planted.stages or (not stage and code == "CANDIDATE_GENERATION_FAILURE")
    return code in planted.codes and named and planted.scope in ("", scope)


def _pair(task: Task, world: World) -> dict[str, Any]:
    """Plant two faults of different stages, and ask whether both are among the first three findings."""
    random = np.random.default_rng(task.seed)
    names = [
        name
        for name, entry in faults.CATALOGUE.items()
        if entry.family not in ("data", "time", "segments")
        and "segment" not in name
        and "dead" not in name
        and name != "limit_of_merge"
    ]
    first, second = _two(names, world, random, task.seed)
    debugger = _debugger(task, world, second.pipeline)
    users = world.users(KNOWN, task.seed, new=NEW)
    found = debugger.diagnose_many(
        users, history=world.train, now=world.now, context=world.context(users, task.seed)
    )
    said = [(one.code, one.stage, one.scope) for one in found.findings]
    named = [any(_fits(one, *what) for what in said[:3]) for one in (first, second)]
    return {
        "planted": [[first.kind, first.stages[:2]], [second.kind, second.stages[:2]]],
        "right": all(named),
        "in_top_three": all(named),
        "said": said[:5],
    }


def _two(
    names: Sequence[str], world: World, random: np.random.Generator, seed: int
) -> tuple[Planted, Planted]:
    for _ in range(50):
        one, other = random.choice(names, 2, replace=False)
        try:
            first = faults.plant(str(one), world.site, seed)
            second = faults.plant(str(other), replace(world.site, pipeline=first.pipeline), seed)
        except ConfigurationError:
            continue
        if not set(first.stages) & set(second.stages):
            return first, second
    raise ConfigurationError("found no two kinds that this pipeline can have at once")


def _debugger(task: Task, world: World, pipeline: Any) -> RecommendationDebugger:
    baselines = {"refit": world.baseline, "same": world.pipeline, "alone": None}
    return RecommendationDebugger(
        pipeline, known_good=world.test, baseline=baselines[task.baseline], budget_ms=BUDGET_MS
    )


# -- healthy users, and cost ---------------------------------------------------------------------------


def _healthy(task: Task, world: World) -> dict[str, Any]:
    debugger = _debugger(task, world, world.pipeline)
    if task.baseline != "alone":
        debugger.scan(now=world.now)
    # All tasks of one world draw from one order of the users, each its own part.
    order = world.users(1_000_000, 0)
    start = task.seed % 1_000
    users = [order[place % len(order)] for place in range(start, start + task.users)]
    context = world.context(users, task.seed)["channel"]
    ill = []
    for user, channel in zip(users, context, strict=True):
        one = debugger.diagnose(user, now=world.now, context={"channel": channel})
        if one.is_ill:
            ill.append(f"{one.user}: {one.verdict} {one.stage}: {one.findings[0].message}"[:160])
    return {"users": task.users, "ill": ill}


def _cost(task: Task, world: World) -> dict[str, Any]:
    """Take what a diagnosis costs in units of the request that it explains, and what 2,000 take."""
    users = world.users(12, 3)
    alone = RecommendationDebugger(world.pipeline, known_good=world.test)
    paired = RecommendationDebugger(world.pipeline, known_good=world.test, baseline=world.baseline)
    calls: tuple[Callable[[Any], Any], ...] = (
        lambda user: world.pipeline.recommend([user], now=world.now, context={"channel": "app"}),
        lambda user: alone.diagnose(user, now=world.now, context={"channel": "app"}),
        lambda user: paired.diagnose(user, now=world.now, context={"channel": "app"}),
    )
    least = np.full((len(users), len(calls)), np.inf)
    # Interleaved, by processor time, the least of several: a busy machine only ever adds.
    for _ in range(4):
        for row, user in enumerate(users):
            for place, call in enumerate(calls):
                began = time.process_time()
                call(user)
                least[row, place] = min(least[row, place], time.process_time() - began)
    request, plain, with_baseline = least.sum(axis=0)
    known = np.unique(world.train.interactions.user)
    everyone = world.train.user_ids.decode(np.resize(known, MANY)).tolist()
    began = time.process_time()
    paired.diagnose_many(everyone, history=world.train, now=world.now)
    seconds = time.process_time() - began
    tracemalloc.start()
    paired.diagnose_many(everyone[: MANY // 4], history=world.train, now=world.now)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return {
        "plain": round(plain / request, 2),
        "paired": round(with_baseline / request, 2),
        "many_seconds": round(seconds, 1),
        "peak_mb": round(peak, 1),
    }
