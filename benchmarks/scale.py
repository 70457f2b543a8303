"""AnnIndex and fits by size: `python -m benchmarks.scale [--items 10000 100000 1000000] [--events 1000000 10000000]`.

Vectors are a fitted model's (PureSVD on gowalla), resampled with a little noise, queries its users'; iid Gaussian ones
stand beside them. One core. 10,000,000 items need `--items 10000000` and some 8 GB. Each fit runs in a process of its
own, on all cores, so that its peak of memory is its own; 50,000,000 events need `--events 50000000` and some minutes.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import _data
from benchmarks._harness import Check, measure, pin_to_core, report
from recokit.candidates import IALS, AnnIndex, ItemKNN, PureSVD
from recokit.data import Dataset, Requests
from recokit.typing import Float32Array

__all__ = ["fits", "fitted", "indexed", "made_vectors"]

D = 64
#: p99 in seconds and recall at a million items.
P99, RECALL = 0.003, 0.95
#: Ten times the events may take ten times as long, and a fifth more for the noise of a shared machine.
LINEAR = 1.2

FITS: dict[str, Any] = {
    "ItemKNN": lambda: ItemKNN(n_neighbors=50),
    "IALS": lambda: IALS(D, n_iterations=3),
}


def made_vectors(n: int, factors: Float32Array | None, rng: np.random.Generator) -> Float32Array:
    """Return (n + 1, 64) vectors like the factors, or iid Gaussian ones; row 0 is zeros."""
    vectors = np.zeros((n + 1, D), np.float32)
    if factors is None:
        vectors[1:] = rng.standard_normal((n, D), np.float32)
    else:
        vectors[1:] = factors[rng.integers(0, len(factors), n)]
        vectors[1:] += 0.1 * factors.std() * rng.standard_normal((n, D), np.float32)
    return vectors


def indexed(n: int, factors: Float32Array | None, queries: Float32Array, label: str) -> list[Check]:
    """Build an index that finds 95% of the true hundred, and ask it one request at a time."""
    vectors = made_vectors(n, factors, np.random.default_rng(0))
    data = Dataset.from_frame(None, items={"item_id": np.arange(1, n + 1)})
    users = np.vstack([np.zeros((1, D), np.float32), queries])
    start = time.perf_counter()
    index = AnnIndex(vectors, query=lambda requests: users[requests.user], recall=0.96, codes=True).fit(data)
    build = time.perf_counter() - start
    found = index.measure_recall(queries[:200])
    requests = [Requests.build(np.array([1 + i % len(queries)])) for i in range(300)]
    place = iter(range(10**9))
    seconds = measure(lambda: index.retrieve(requests[next(place) % 300], 100), warmup=20, repeat=300)
    name = f"{label} {n:,}"
    p50, p99 = np.percentile(seconds, [50, 99])
    judged = n == 1_000_000 and factors is not None
    return [
        Check.info(f"{name}: build ({index.choice_.kind})", build, "s"),
        Check.info(f"{name}: bytes per item beside the vectors", index.choice_.bytes_per_item, "B"),
        Check.info(f"{name}: p50", p50 * 1e3, "ms"),
        Check.at_most(f"{name}: p99", p99 * 1e3, P99 * 1e3, "ms")
        if judged
        else Check.info(f"{name}: p99", p99 * 1e3, "ms"),
        Check.at_least(f"{name}: recall@100", found.mean, RECALL)
        if judged
        else Check.info(f"{name}: recall@100", found.mean),
    ]


@dataclass(frozen=True)
class Fit:
    """What one fit took."""

    events: int
    load_seconds: float
    fit_seconds: float
    core_seconds: float
    peak_bytes: float


def made_events(events: int) -> Dataset:
    """Return so many made interactions: users take 50 each, items by a power law."""
    rng = np.random.default_rng(0)
    n_users, n_items = events // 50, max(events // 100, 1000)
    frame = {
        "user": rng.integers(1, n_users + 1, events, np.int32),
        "item": (n_items * rng.random(events, np.float32) ** 2).astype(np.int32) + 1,
        "timestamp": np.arange(events, dtype=np.float64),
    }
    return Dataset.from_frame(frame)


def fitted(name: str, events: int) -> Fit:
    """Fit one model; run in a process of its own, for its peak of memory."""
    FITS[name]().fit(made_events(5_000))  # imports what it needs
    start = time.perf_counter()
    data = made_events(events)
    loaded, before = time.perf_counter(), time.process_time()
    FITS[name]().fit(data)
    done, after = time.perf_counter(), time.process_time()
    # Kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Fit(events, loaded - start, done - loaded, after - before, float(peak))


def fits(sizes: Sequence[int]) -> list[Check]:
    """Fit each model at each size; time and memory must not grow faster than the events."""
    checks = []
    for name in FITS:
        found = []
        for events in sorted(sizes):
            # Raises where the process is killed, for its memory say; a multiprocessing.Pool would wait for ever.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found.append(pool.submit(fitted, name, events).result())
            fit = found[-1]
            checks += [
                Check.info(f"{name}, {events:,} events: Dataset.from_frame", fit.load_seconds, "s"),
                Check.info(f"{name}, {events:,} events: fit", fit.fit_seconds, "s"),
                Check.info(f"{name}, {events:,} events: fit, seconds of all cores", fit.core_seconds, "s"),
                Check.info(f"{name}, {events:,} events: peak memory", fit.peak_bytes / 1e9, "GB"),
            ]
        for small, large in itertools.pairwise(found):
            more = large.events / small.events
            title = f"{name}, {large.events:,} over {small.events:,} events"
            seconds, memory = large.fit_seconds / small.fit_seconds, large.peak_bytes / small.peak_bytes
            cores = large.core_seconds / small.core_seconds
            checks += [
                Check.info(f"{title}: core seconds per event", cores / more),
                Check.at_most(f"{title}: seconds per event", seconds / more, LINEAR),
                Check.at_most(f"{title}: memory per event", memory / more, LINEAR),
            ]
    return checks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--events", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--made", action="store_true", help="Gaussian vectors only; needs no data")
    given = parser.parse_args()
    checks = fits(given.events)
    if not given.items:
        report("scale", checks)
        return
    pin_to_core()
    rng = np.random.default_rng(1)
    kinds = [("iid Gaussian", None, rng.standard_normal((500, D), np.float32))]
    if not given.made:
        split = _data.gowalla()
        model = PureSVD(D).fit(split.train)
        history = split.train.interactions.matrix(split.train.n_users, split.train.n_items)
        factors = model.item_factors_[1:]
        kinds.insert(0, ("factors", factors, (history[1:501] @ model.item_factors_).astype(np.float32)))
    for n in given.items:
        for label, factors, queries in kinds:
            checks += indexed(n, factors, queries, label)
    report("scale", checks)


if __name__ == "__main__":
    main()
