"""Diversification of 1,000 candidates to lists of 50 beside pyversity, on one core: `python -m benchmarks.diversity`.

recokit is measured where a pipeline meets it, in `recokit.slates.select`: ranking the candidates, gathering their
vectors from the table of all items, and the choice. pyversity gets each request's vectors gathered and in float32.
Candidates are a random fifth of 5,000 items with iid Gaussian vectors, which have no structure to exploit; scores are 0
to 1 evenly. Seconds are the thread's, on one core; the ways take turns, of five calls where one is a single request.

Lists are compared first. MSD and DPP are defined alike, once the trade-offs are. pyversity's MMR takes a cosine below 0
for 0; so lists are compared on vectors without negative entries, whose cosines are not.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._harness import Check, pin_to_core, report
from recokit.data import Candidates
from recokit.diversity import DPP, MMR, MSD
from recokit.slates import select

__all__ = ["main", "run"]

N_ITEMS, DIMENSIONS = 5_000, (64, 128)
KINDS: dict[str, Any] = {"MMR": MMR, "MSD": MSD, "DPP": DPP}


def trade_off(name: str, n: int) -> float:
    """Return what pyversity's diversity of 0.5 is here.

    Its DPP weighs by ``exp(0.5 z)`` of the standard score z, ours by ``exp(t / (2 (1 - t)) r)`` of r from 0 to 1.
    """
    if name != "DPP":
        return 0.5
    a = 0.5 / float(np.linspace(0, 1, n).std())
    return 2 * a / (1 + 2 * a)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=40, help="times that each is measured")
    options = parser.parse_args()
    report("diversity", run(**vars(options)), vars(options))


def run(candidates: int, k: int, batch: int, rounds: int) -> list[Check]:
    pin_to_core()
    checks = []
    for d in DIMENSIONS:
        for name in KINDS:
            checks += compared(name, d, candidates, k, batch, rounds)
    return checks


def make_batch(rng: np.random.Generator, n: int, n_rows: int) -> Candidates:
    items = [1 + rng.permutation(N_ITEMS)[:n] for _ in range(n_rows)]
    scores = [rng.permutation(np.linspace(0, 1, n)) for _ in range(n_rows)]
    return Candidates.from_lists([row.tolist() for row in items], scores=[row.tolist() for row in scores])


def compared(name: str, d: int, n: int, k: int, n_rows: int, rounds: int) -> list[Check]:
    from pyversity import diversify

    rng = np.random.default_rng(d)
    vectors = rng.normal(size=(N_ITEMS + 1, d)).astype(np.float32)
    vectors[0] = 0
    batch = make_batch(rng, n, n_rows)
    one = batch.take_rows(np.array([0]))
    many, single = np.full(n_rows, k), np.full(1, k)

    def peer(table: NDArray[np.float32], row: int) -> Callable[[], Any]:
        part = slice(row * n, (row + 1) * n)
        inputs = table[batch.item[part]], batch.score[part]
        return lambda: diversify(*inputs, k, strategy=name.lower(), diversity=0.5).indices

    positive = np.abs(vectors)
    objective = KINDS[name](trade_off(name, n), vectors=positive, pool=n)
    found = select(batch, many, objective=objective, pool=n)
    same = [
        (found.index[row * k : (row + 1) * k] - row * n).tolist() == peer(positive, row)().tolist()
        for row in range(n_rows)
    ]
    objective = KINDS[name](trade_off(name, n), vectors=vectors, pool=n)
    ways = (
        lambda: select(one, single, objective=objective, pool=n),
        lambda: select(batch, many, objective=objective, pool=n),
        peer(vectors, 0),
    )
    ours, together, theirs = interleaved(ways, (5, 1, 5), rounds)
    what = f"{name}, {d} dimensions"
    return [
        Check.at_least(f"{what}: the same lists", float(np.mean(same)), 0.95),
        Check.info(f"{what}: pyversity", 1e3 * theirs, "ms"),
        Check.info(f"{what}: one request", 1e3 * ours, "ms"),
        Check.info(f"{what}: a request of the batch", 1e3 * together / n_rows, "ms"),
        Check.at_least(f"{what}: one request, times as fast", theirs / ours, 2.5, "x"),
        Check.at_least(f"{what}: in the batch, times as fast", theirs / (together / n_rows), 4.0, "x"),
    ]


def interleaved(ways: tuple[Callable[[], Any], ...], turns: tuple[int, ...], rounds: int) -> list[float]:
    """Return the median of the thread's seconds of a call of each way; they take turns of some calls."""
    seconds = np.empty((len(ways), rounds))
    for way in ways:
        way()
    gc.collect()
    gc.disable()
    for i in range(rounds):
        for place, (way, calls) in enumerate(zip(ways, turns, strict=True)):
            start = time.thread_time()
            for _ in range(calls):
                way()
            seconds[place, i] = (time.thread_time() - start) / calls
    gc.enable()
    return [float(value) for value in np.median(seconds, axis=1)]


if __name__ == "__main__":
    main()
