"""One request over a million items on one core: recokit, the same by hand in numpy, and over a list of dicts.

Run with ``python -m benchmarks.request``; ``--items`` makes it smaller, and ``--base FOLDER`` measures batches of other
code, a checkout of an earlier commit, in turns with this one's. Seconds are those of the thread on its processor: what
else the machine does changes them less.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._harness import Check, pin_to_core, report
from benchmarks._request_batches import batch_seconds
from benchmarks._request_floor import Dicts, Floor
from benchmarks._request_world import NOW, build_pipeline, make_world
from benchmarks._trivial import trivial_pipeline

__all__ = ["main", "run"]

ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--base", type=Path, help="a checkout of other code")
    parser.add_argument("--vectors", nargs="*", default=["clustered", "iid Gaussian"])
    options = parser.parse_args()
    checks = [of_trivial_stages(options.requests)]
    for vectors in options.vectors:
        checks += run(options.items, options.requests, vectors, options.base)
    report("request", checks, {"items": options.items, "requests": options.requests})


def of_trivial_stages(repeat: int) -> Check:
    """Measure the framework alone."""
    pipeline = trivial_pipeline(11)
    pin_to_core()
    seconds = interleaved([lambda _: pipeline.recommend([1], k=20, now=1.0)], np.arange(repeat))
    return Check.at_most("11 trivial stages, 1,000 candidates: p50", np.median(seconds) * 1e6, 200, "us")


def run(n_items: int, n_requests: int, vectors: str, base: Path | None = None) -> list[Check]:
    """Measure one kind of vectors: same ids first, then the three ways in turn, request by request."""
    world = make_world(n_items, max(n_requests, 200), clustered=vectors == "clustered")
    pipeline = build_pipeline(world)
    pin_to_core()
    floor = Floor(world, pipeline)
    dicts = Dicts(floor)

    def served(user: int) -> list[Any]:
        return pipeline.recommend([user], k=20, now=NOW).ids(0)

    users = np.arange(n_requests) + 1
    for user in users[:50]:
        assert served(user) == floor(user) == dicts(user), f"user {user}: the three ways disagree"
    seconds = interleaved((served, floor), users)
    slow = interleaved((dicts,), users[:50])
    ours, bare = np.percentile(seconds[0], [50, 99]) * 1e3, np.percentile(seconds[1], [50, 99]) * 1e3
    return [
        Check.info(f"{vectors}: p50", ours[0], "ms"),
        Check.at_most(f"{vectors}: warm p99", ours[1], 10.0, "ms"),
        Check.info(f"{vectors}: plain numpy p50", bare[0], "ms"),
        Check.info(f"{vectors}: plain numpy p99", bare[1], "ms"),
        Check.at_most(f"{vectors}: p50 over plain numpy", ours[0] / bare[0], 1.2, "x"),
        Check.at_most(f"{vectors}: p99 over plain numpy", ours[1] / bare[1], 1.3, "x"),
        Check.at_least(
            f"{vectors}: speed-up over list of dicts", np.median(slow[0]) * 1e3 / ours[0], 5.0, "x"
        ),
        *of_batches(pipeline, users, n_items, vectors, base),
    ]


def of_batches(
    pipeline: Any, users: np.ndarray, n_items: int, vectors: str, base: Path | None
) -> list[Check]:
    """Measure batches, in turns with those of other code."""
    if base is None:
        seconds = [batch_seconds(pipeline, users) for _ in range(ROUNDS)]
        return [Check.info(f"{vectors}: batch", len(users) / np.median(seconds), "users/s")]
    code = (
        f"import sys; sys.path[0] = {str(base.resolve())!r}; import recokit; "
        f"sys.path[0] = {str(Path(__file__).parents[1])!r}; from benchmarks._request_batches import answer_batches; "
        f"answer_batches({n_items}, {len(users)}, {vectors!r})"
    )
    pair: list[tuple[float, float]] = []
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()  # it is ready
        for _ in range(ROUNDS):
            other.stdin.write("\n")
            other.stdin.flush()
            theirs = float(other.stdout.readline())
            pair.append((batch_seconds(pipeline, users), theirs))
        other.stdin.close()
    ours, theirs = np.median(pair, axis=0)
    return [
        Check.info(f"{vectors}: batch", len(users) / ours, "users/s"),
        Check.info(f"{vectors}: batch of {base.name}", len(users) / theirs, "users/s"),
        Check.at_least(f"{vectors}: batch over that of {base.name}", theirs / ours, 2.0, "x"),
    ]


def interleaved(ways: Sequence[Callable[[int], Any]], users: np.ndarray, warmup: int = 30) -> np.ndarray:
    """Return the seconds of every way for every user; ways take turns, so that a slow moment meets them all."""
    for user in users[:warmup]:
        for way in ways:
            way(user)
    seconds = np.empty((len(ways), len(users)))
    gc.collect()
    gc.disable()
    for i, user in enumerate(users):
        for turn in range(len(ways)):
            place = (turn + i) % len(ways)
            start = time.thread_time()
            ways[place](user)
            seconds[place, i] = time.thread_time() - start
    gc.enable()
    return seconds


if __name__ == "__main__":
    main()
