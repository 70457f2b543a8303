"""Fault injection: does the debugger name the stage and the cause of faults that it was not built by?

Every kind of :data:`recokit.testing.faults.CATALOGUE` is planted five times, at random places with random magnitudes,
in healthy pipelines: with last week's pipeline as the baseline, which knows today's events, and without one where the
kind says that a run shows it. Further: pairs of faults, healthy users (beside the same pipeline, beside last week's,
alone), what a diagnosis costs, and whether ``confirm`` heals the list.

What is developed on and what is judged by, decided before any of it ran:

* development: the worlds ``marketplace`` and ``ml-100k`` in the shapes ``neighbours`` and ``ann``, seeds below 100;
* judgement: the worlds ``complete-journey``, ``ml-latest-small`` and ``movietweetings-100k`` in all shapes, the shape
  ``sequence`` on every world, seeds from 1000 on. Nothing is chosen by these: whoever works on the debugger does not
  look at their misses one by one, only at the joined figures. Which causes fit a kind is the catalogue's word, by its
  meaning.

    python -m benchmarks.diagnosis --small                     # a small market, a few kinds, under a minute
    python -m benchmarks.diagnosis --dev --kinds flat_ranker   # development worlds, printed as they come
    python -m benchmarks.diagnosis --shard 3/60 --minutes 8    # a part of the judgement; goes on where it stopped
    python -m benchmarks.diagnosis --full                      # joins all shards: figures and confusion matrix

Results are JSON lines under ``--results``, each with the version of the debugger and the catalogue that made it; other
versions' lines do not count.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import _diagnosis_cases as cases, _diagnosis_report as joined
from benchmarks._diagnosis_cases import Task
from benchmarks._diagnosis_world import WORLDS, World, available, world
from benchmarks._harness import report
from recokit.testing import faults

__all__ = ["development", "judgement", "main"]

#: Draws of each kind.
DRAWS = 5
#: Where nothing is chosen by.
JUDGED_SEED = 1_000
DEVELOPMENT = tuple((name, shape) for name in ("marketplace", "ml-100k") for shape in ("neighbours", "ann"))
JUDGED = (
    ("ml-latest-small", "neighbours"),
    ("movietweetings-100k", "ann"),
    ("complete-journey", "neighbours"),
    ("ml-100k", "sequence"),
    ("ml-latest-small", "ann"),
    ("marketplace", "sequence"),
    ("movietweetings-100k", "neighbours"),
    ("complete-journey", "ann"),
)
#: Healthy users of each world, and how many one task asks about.
HEALTHY, AT_ONCE = 200, 50
PAIRS = 60


@dataclass(frozen=True)
class Suite:
    """Tasks, and the worlds that they need."""

    tasks: tuple[Task, ...]

    def part(self, shard: int, n: int) -> tuple[Task, ...]:
        """Return one of n parts, each a sample of the whole, ordered by world."""
        return self.tasks[shard::n]


def judgement() -> Suite:
    """Return everything that is judged, ordered by world."""
    places = [place for place in JUDGED if available(place[0])]
    tasks = _faults(places, JUDGED_SEED, tuple(faults.CATALOGUE))
    for name in WORLDS:
        if available(name):
            shape = "sequence" if (name, "neighbours") in DEVELOPMENT else "neighbours"
            tasks += [
                Task(name, shape, "healthy", baseline, JUDGED_SEED + start)
                for baseline in ("same", "refit", "alone")
                for start in range(0, HEALTHY, AT_ONCE)
            ]
            tasks.append(Task(name, shape, "cost", "refit", JUDGED_SEED))
    tasks += [Task(*places[pair % len(places)], "pair", "refit", JUDGED_SEED + pair) for pair in range(PAIRS)]
    return Suite(tuple(sorted(tasks)))


def development(kinds: Sequence[str], seeds: Sequence[int]) -> Suite:
    """Return kinds on the worlds of development."""
    places = [place for place in DEVELOPMENT if available(place[0])]
    tasks = [task for seed in seeds for task in _faults(places, seed, kinds, draws=1)]
    return Suite(tuple(sorted(set(tasks))))


def _faults(
    places: Sequence[tuple[str, str]], seed: int, kinds: Sequence[str], draws: int = DRAWS
) -> list[Task]:
    """Return the draws of each kind, going round the places, with a baseline and where it shows without one."""
    tasks = []
    for number, kind in enumerate(faults.CATALOGUE):
        if kind not in kinds:
            continue
        for draw in range(draws):
            place = places[(number + draw + seed) % len(places)]
            modes = ("refit", "alone") if faults.CATALOGUE[kind].alone else ("refit",)
            tasks += [Task(*place, kind, mode, seed + draw) for mode in modes]
    return tasks


# -- running -----------------------------------------------------------------------------------------


def run(
    tasks: Sequence[Task], results: Path | None, *, minutes: float, show: bool = False
) -> list[dict[str, Any]]:
    """Run tasks that no results exist of yet, until the time is over; return all results of these tasks."""
    done = {} if results is None else joined.read(results)
    found = []
    at: World | None = None
    end = time.monotonic() + 60 * minutes
    for task in tasks:
        if task.key in done:
            found.append(done[task.key])
            continue
        if time.monotonic() > end:
            break
        if at is None or (at.market.name, at.shape) != (task.world, task.shape):
            at = world(task.world, task.shape)
        one = cases.result_of(task, at)
        found.append(one)
        if results is not None:
            joined.write(results, one)
        if show:
            print(joined.line(one), flush=True)
    return found


def small() -> bool:
    """Run a few kinds on a small market: does it still work?"""
    kinds = ("stale_index", "nan_scores", "history_empty", "stock_feed_empty", "failing_stage")
    tasks = [Task("marketplace", "neighbours", kind, "refit", 0) for kind in kinds]
    tasks.append(Task("marketplace", "neighbours", "healthy", "same", 0, 10))
    found = run(tasks, None, minutes=8, show=True)
    return report("diagnosis", joined.checks(found, small=True))


def main(argv: Sequence[str] | None = None) -> bool:
    """Run the benchmark and print its report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="a small generated market, a few kinds")
    parser.add_argument("--dev", action="store_true", help="the worlds of development, printed as they come")
    parser.add_argument("--kinds", nargs="*", default=list(faults.CATALOGUE), choices=list(faults.CATALOGUE))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of --dev, below 100")
    parser.add_argument("--places", nargs="*", default=[], help="of --dev, such as marketplace/neighbours")
    parser.add_argument("--shard", default="", help="which part of the judgement, from 0, such as 3/60")
    parser.add_argument("--data", nargs="*", default=list(WORLDS), choices=list(WORLDS), help="of --shard")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no further task begins")
    parser.add_argument("--full", action="store_true", help="join the results of all shards")
    parser.add_argument("--results", type=Path, default=Path(".diagnosis"), help="folder of the JSON lines")
    options = parser.parse_args(argv)
    if options.small:
        return small()
    if options.dev:
        if max(options.seeds) >= 100:
            parser.error("seeds from 100 on are not for development")
        tasks = _chosen(
            development(options.kinds, options.seeds), options.places, options.kinds, options.seeds
        )
        found = run(tasks, None, minutes=options.minutes, show=True)
        print(joined.summary(found))
        return True
    suite = judgement()
    if options.shard:
        shard, _, n = options.shard.partition("/")
        tasks = [task for task in suite.part(int(shard), int(n)) if task.world in options.data]
        found = run(tasks, options.results, minutes=options.minutes)
        print(f"{len(found)} of {len(tasks)} tasks of this shard are done")
        return True
    done = joined.read(options.results)
    found = [done[task.key] for task in suite.tasks if task.key in done]
    print(joined.markdown(found))
    print(f"{len(found):,} of {len(suite.tasks):,} tasks are done")
    return report("diagnosis", joined.checks(found))


def _chosen(
    suite: Suite, places: Sequence[str], kinds: Sequence[str], seeds: Sequence[int]
) -> tuple[Task, ...]:
    """Return the tasks of a development suite, all at given places where some are given."""
    if not places:
        return suite.tasks
    chosen = []
    for place in places:
        name, _, shape = place.partition("/")
        if (name, shape) not in DEVELOPMENT:
            raise SystemExit(f"found {place}; expected one of development: {DEVELOPMENT}")
        for kind in kinds:
            modes = ("refit", "alone") if faults.CATALOGUE[kind].alone else ("refit",)
            chosen += [Task(name, shape, kind, mode, seed) for mode in modes for seed in seeds]
    return tuple(sorted(chosen))


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
