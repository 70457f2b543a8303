"""Speed of metrics: `python -m benchmarks.metrics [--users 20000] [--many 1000000]`.

NDCG@10, Recall@50 and MAP@10 of 20,000 users with lists of 100, from arrays and from frames, beside the same by hand in
numpy and the other libraries, each from the input that it takes, conversion included. Then a million users in chunks.
RECOKIT_PEERS_PYTHON names an interpreter with the peers, see requirements-metric-peers.txt.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _metric_peers
from benchmarks._harness import Check, report
from recokit.metrics import MatchedLists, report as figures

__all__ = ["World", "by_hand", "by_hand_from_rows", "chunks", "from_arrays", "from_frames", "made"]

METRICS = ("NDCG@10", "Recall@50", "MAP@10")
WIDTH = 100
N_ITEMS = 10_000


@dataclass(frozen=True)
class World:
    """Lists (U, W) of item codes from 1, and a truth as CSR, each user's items in any order."""

    items: NDArray[np.int64]
    truth_offsets: NDArray[np.int64]
    truth_items: NDArray[np.int64]

    @property
    def frames(self) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Columns of lists and truth, a row for each item."""
        n, width = self.items.shape
        counts = np.diff(self.truth_offsets)
        lists = {
            "user_id": np.repeat(np.arange(n), width),
            "item_id": self.items.ravel(),
            "rank": np.tile(np.arange(1, width + 1), n),
        }
        return lists, {"user_id": np.repeat(np.arange(n), counts), "item_id": self.truth_items}


def made(n_users: int, seed: int = 0) -> World:
    """Return lists of distinct items and 1 to 19 distinct relevant ones for each user, about a third of them listed."""
    rng = np.random.default_rng(seed)
    stride = N_ITEMS // (3 * WIDTH)
    places = np.argsort(rng.random((n_users, 3 * WIDTH), np.float32), axis=1)
    items = places * stride + 1 + rng.integers(0, stride, (n_users, 1))
    counts = rng.integers(1, 20, n_users)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    row = np.repeat(np.arange(n_users), counts)
    # Distinct within a user: every 15th of the 300 places of the user's own items, from a start of its own.
    nth = np.arange(len(row)) - offsets[row]
    picked = items[row, (nth * 15 + rng.integers(0, 300, n_users)[row]) % (3 * WIDTH)]
    return World(items[:, :WIDTH], offsets, picked)


def from_arrays(world: World) -> list[float]:
    """Return the three metrics from CSR arrays."""
    n, width = world.items.shape
    matched = MatchedLists.from_arrays(
        np.arange(n + 1) * width, world.items.ravel(), world.truth_offsets, world.truth_items
    )
    return [figure.value for figure in figures(matched, METRICS).values()]


def from_frames(lists: Any, truth: Any) -> list[float]:
    """Return the three metrics from dataframes."""
    return [figure.value for figure in figures(MatchedLists.from_frames(lists, truth), METRICS).values()]


def by_hand(items: NDArray[np.int64], offsets: NDArray[np.int64], relevant: NDArray[np.int64]) -> list[float]:
    """Return the three metrics as one would write them for this input alone: distinct items, equal lists, no ties."""
    n, width = len(items), N_ITEMS + 1
    keys = np.sort(np.repeat(np.arange(n), np.diff(offsets)) * width + relevant)
    wanted = (np.arange(n)[:, None] * width + items[:, :50]).ravel()
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    hit = (keys[place] == wanted).reshape(n, 50)
    n_relevant = np.diff(offsets)
    top, best = hit[:, :10], np.minimum(n_relevant, 10)
    discount = 1.0 / np.log2(np.arange(2, 12))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    precision = np.cumsum(top, axis=1) / np.arange(1, 11)
    return [
        float((top @ discount / ideal[best]).mean()),
        float((hit.sum(axis=1) / n_relevant).mean()),
        float(((precision * top).sum(axis=1) / best).mean()),
    ]


def by_hand_from_rows(lists: Any, truth: Any) -> list[float]:
    """Return the three metrics from frames that are known to be sorted, in equal lists."""
    user, item = (np.asarray(truth[name]) for name in ("user_id", "item_id"))
    offsets = np.searchsorted(user, np.arange(user[-1] + 2))
    return by_hand(np.asarray(lists["item_id"]).reshape(-1, WIDTH), offsets, item)


def chunks(n_users: int, size: int = 8192) -> Iterator[MatchedLists]:
    """Yield users chunk by chunk; the same few thousand lists again and again, so that making them costs nothing."""
    world = made(size)
    offsets = np.arange(size + 1) * WIDTH
    for start in range(0, n_users, size):
        n = min(size, n_users - start)
        m = world.truth_offsets[n]
        yield MatchedLists.from_arrays(
            offsets[: n + 1], world.items[:n].ravel(), world.truth_offsets[: n + 1], world.truth_items[:m]
        )


def streamed(n_users: int) -> tuple[float, float]:
    """Return the seconds for so many users, and the peak of memory in GB, in a process of its own."""
    code = (
        "import resource, time; from recokit.metrics import Stream;"
        "from benchmarks.metrics import METRICS, chunks; start = time.perf_counter();"
        f"stream = Stream(METRICS); [stream.add(part) for part in chunks({n_users})]; stream.report();"
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def _best(call: Callable[[], Any], repeat: int) -> float:
    best = np.inf
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def peers(world: World, repeat: int) -> tuple[list[Check], float, float]:
    """Return each peer's time, and the fastest: conversion included, and the evaluation alone."""
    absent = _metric_peers.missing()
    lists, truth = world.frames
    checks, whole, alone = [], np.inf, np.inf
    if "rectools" not in absent:
        import pandas as pd
        from rectools.metrics import MAP, NDCG, Recall, calc_metrics

        reco, test = pd.DataFrame(lists), pd.DataFrame(truth)
        asked = {"NDCG": NDCG(10, divide_by_achievable=True), "Recall": Recall(50), "MAP": MAP(10)}
        seconds = _best(lambda: calc_metrics(asked, reco, test), repeat)
        checks.append(Check.info("RecTools, from frames", seconds, "s"))
        whole, alone = min(whole, seconds), min(alone, seconds)
    if "pytrec_eval" not in absent:
        import pytrec_eval

        rows = {"user": lists["user_id"], "item": lists["item_id"], "score": -lists["rank"].astype(float)}
        wanted = {"user": truth["user_id"], "item": truth["item_id"], "gain": np.ones(len(truth["item_id"]))}
        start = time.perf_counter()
        run, qrels = _metric_peers.nested(rows, "score", float), _metric_peers.nested(wanted, "gain", int)
        build = time.perf_counter() - start
        judge = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.50", "map_cut.10"})
        seconds = _best(lambda: judge.evaluate(run), 1)
        checks += [
            Check.info("pytrec_eval, dictionaries", build, "s"),
            Check.info("pytrec_eval, evaluation alone", seconds, "s"),
        ]
        whole, alone = min(whole, build + seconds), min(alone, seconds)
    if "ranx" not in absent:
        from ranx import Qrels, Run, evaluate

        start = time.perf_counter()
        made_run, made_qrels = Run(run), Qrels(qrels)
        build = time.perf_counter() - start
        names = ["ndcg@10", "recall@50", "map@10"]
        seconds = _best(lambda: evaluate(made_qrels, made_run, names), 2)
        checks += [
            Check.info("ranx, from dictionaries", build, "s"),
            Check.info("ranx, second call", seconds, "s"),
        ]
        whole, alone = min(whole, build + seconds), min(alone, seconds)
    missed = np.nan if not checks else 1.0  # no peer, no ratio
    return checks, whole * missed, alone * missed


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    _metric_peers.use_peers_python("benchmarks.metrics")
    few, few_peak = streamed(options.many // 10)
    many, many_peak = streamed(options.many)
    world = made(options.users)
    lists, truth = world.frames
    try:
        import pandas as pd

        lists, truth = pd.DataFrame(lists), pd.DataFrame(truth)
    except ImportError:
        print("no pandas here: frames are mappings of arrays")
    expected = by_hand(world.items, world.truth_offsets, world.truth_items)
    gap = max(
        float(np.abs(np.subtract(expected, found)).max())
        for found in (from_arrays(world), from_frames(lists, truth), by_hand_from_rows(lists, truth))
    )
    arrays = _best(lambda: from_arrays(world), options.repeat)
    frames = _best(lambda: from_frames(lists, truth), options.repeat)
    floor = _best(lambda: by_hand(world.items, world.truth_offsets, world.truth_items), options.repeat)
    row_floor = _best(lambda: by_hand_from_rows(lists, truth), options.repeat)
    others, whole, alone = peers(world, 3)
    report(
        "metrics",
        [
            Check.info("three metrics from arrays", arrays, "s"),
            Check.info("three metrics from frames", frames, "s"),
            Check.info("by hand in numpy, from arrays", floor, "s"),
            *others,
            Check.at_least("fastest peer, conversion included, over ours from arrays", whole / arrays, 8.0),
            Check.at_least("fastest peer, conversion included, over ours from frames", whole / frames, 8.0),
            Check.info("fastest peer, evaluation alone, over ours from arrays", alone / arrays),
            Check.at_most("ours from arrays over numpy by hand", arrays / floor, 1.5),
            Check.at_most(
                "ours from frames over numpy by hand, rows known to be sorted", frames / row_floor, 1.5
            ),
            Check.at_most("largest difference to numpy by hand", gap, 1e-9),
            Check.at_most(f"{options.many:,} users in chunks", many, 30.0, "s"),
            Check.at_most(f"{options.many:,} users in chunks: peak memory", many_peak, 2.0, "GB"),
            Check.at_most("its peak over that of a tenth of the users", many_peak / few_peak, 1.05),
            Check.info("a tenth of the users in chunks", few, "s"),
            Check.info(
                "peak memory of this process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "GB"
            ),
        ],
    )


if __name__ == "__main__":
    main()
