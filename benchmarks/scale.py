"""AnnIndex and the fits by size: `python -m benchmarks.scale [--items 10000 100000 1000000] [--events 1000000]`.

Vectors are a fitted model's (PureSVD on gowalla), resampled with a little noise, queries its users'; iid Gaussian ones
stand beside them. One core. 10,000,000 items need `--items 10000000` and some 8 GB.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from benchmarks import _data
from benchmarks._harness import Check, measure, pin_to_core, report
from recokit.candidates import IALS, AnnIndex, ItemKNN, PureSVD
from recokit.data import Dataset, Requests
from recokit.typing import Float32Array

__all__ = ["fitted", "indexed", "made_vectors"]

D = 64
#: p99 in seconds and recall at a million items.
P99, RECALL = 0.003, 0.95


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
    index = AnnIndex(vectors, query=lambda requests: users[requests.user], recall=0.96).fit(data)
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


def fitted(events: int) -> list[Check]:
    """Fit on so many made interactions: users take 50 each, items by a power law."""
    rng = np.random.default_rng(0)
    n_users, n_items = events // 50, max(events // 100, 1000)
    item = (n_items * rng.random(events) ** 2).astype(np.int64) + 1
    frame = {"user": rng.integers(1, n_users + 1, events), "item": item, "timestamp": np.arange(events)}
    data = Dataset.from_frame(frame)
    checks = []
    for name, source in (("ItemKNN", ItemKNN(n_neighbors=50)), ("IALS", IALS(64, n_iterations=3))):
        start = time.perf_counter()
        source.fit(data)
        checks.append(Check.info(f"{name} fit, {events:,} events", time.perf_counter() - start, "s"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return [*checks, Check.info(f"peak memory after {events:,} events", peak, "GB")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--events", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--made", action="store_true", help="Gaussian vectors only; needs no data")
    given = parser.parse_args()
    checks = []
    for events in given.events:
        checks += fitted(events)
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
