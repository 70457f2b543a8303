"""One request over a million items on one core: recokit, the same by hand in numpy, and over a list of dicts.

Run with ``python -m benchmarks.request``; ``--items`` makes it smaller.
"""

from __future__ import annotations

import argparse
import gc
import time
from typing import Any

import numpy as np

from benchmarks._harness import Check, pin_to_core, report
from benchmarks._request_floor import Dicts, Floor
from benchmarks._request_world import NOW, build_pipeline, make_world

__all__ = ["main", "run"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=600)
    options = parser.parse_args()
    checks: list[Check] = []
    for vectors in ("clustered", "iid Gaussian"):
        checks += run(options.items, options.requests, vectors)
    report("request", checks, {"items": options.items, "requests": options.requests})


def run(n_items: int, n_requests: int, vectors: str) -> list[Check]:
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
    start = time.perf_counter()
    pipeline.recommend(users, k=20, now=NOW)
    batch = len(users) / (time.perf_counter() - start)
    ours, bare = np.percentile(seconds[0], [50, 99]) * 1e3, np.percentile(seconds[1], [50, 99]) * 1e3
    return [
        Check.info(f"{vectors}: p50", ours[0], "ms"),
        Check.at_most(f"{vectors}: warm p99", ours[1], 10.0, "ms"),
        Check.info(f"{vectors}: plain numpy p50", bare[0], "ms"),
        Check.info(f"{vectors}: plain numpy p99", bare[1], "ms"),
        Check.at_most(f"{vectors}: p50 over plain numpy", ours[0] / bare[0], 1.5, "x"),
        Check.at_least(
            f"{vectors}: speed-up over list of dicts", np.median(slow[0]) * 1e3 / ours[0], 5.0, "x"
        ),
        Check.info(f"{vectors}: batch", batch, "users/s"),
    ]


def interleaved(ways: Any, users: np.ndarray, warmup: int = 30) -> np.ndarray:
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
            start = time.perf_counter()
            ways[place](user)
            seconds[place, i] = time.perf_counter() - start
    gc.enable()
    return seconds


if __name__ == "__main__":
    main()
