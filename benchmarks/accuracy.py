"""Accuracy on the public fixed splits: `python -m benchmarks.accuracy --data gowalla [--sources GraphFilter,IALS]`.

The protocol of the published tables: all items ranked for every user but those of train, recall over all test items,
the ideal of NDCG over min(k, test items). Options were chosen on a validation part cut from train, see
`_data.holdout`; each source is fitted in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import _data
from benchmarks._harness import Check, report
from benchmarks.sequential import GOALS as SEQUENTIAL, sequential
from recokit.data import Requests
from recokit.typing import FloatArray

__all__ = ["GOALS", "OPTIONS", "Found", "judge", "measured"]

#: Cut-offs of recall and NDCG, the first for the goals.
CUTOFFS = {"gowalla": (20,), "citeulike-a": (50, 100, 300)}

OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "gowalla": {
        "GraphFilter": {
            "user_exponent": 0.6,
            "item_exponent": 0.7,
            "target_exponent": 0.2,
            "response": [0.4, -0.4],
            "n_factors": 1024,
        },
        "IALS": {"n_factors": 256, "unobserved_weight": 0.01, "regularization": 0.002, "n_iterations": 10},
        "ItemKNN": {"n_neighbors": 300, "weighting": "tfidf", "asymmetry": 0.75},
        "EASE": {"regularization": 100.0},
        "SLIM": {"n_neighbors": 200, "regularization": 50.0},
        "PureSVD": {"n_factors": 128},
        "Blend": {"weights": {"GraphFilter": 0.5, "SLIM": 0.3, "IALS": 0.2}},
    },
    "citeulike-a": {
        "GraphFilter": {"item_exponent": 0.5, "target_exponent": 0.5, "response": [0.3]},
        "EASE": {"regularization": 100.0},
        "PureSVD": {"n_factors": 64},
    },
}

#: Recall and NDCG that a source should reach at the first cut-off.
GOALS = {
    "gowalla": {
        "EASE": (0.99 * 0.1765, 0.99 * 0.1467),
        "ItemKNN": (0.1570, 0.1214),
        "IALS": (0.1700, 0.1400),
    },
    "citeulike-a": {},
}

#: What the best of all should reach, and the highest published.
BEST = {"gowalla": ((0.1900, 0.1580), (0.1941, 0.1616)), "citeulike-a": ((0.1255, None), (None, None))}

#: Not run unless named: ten minutes and 7 GB.
LONG = {"gowalla": ("EASE",)}


@dataclass(frozen=True)
class Found:
    """What one source reached."""

    recall: dict[int, float]
    ndcg: dict[int, float]
    fit_seconds: float
    users_per_second: float
    peak_bytes: float


def judge(source: Any, split: _data.Split, cutoffs: tuple[int, ...]) -> tuple[FloatArray, FloatArray, float]:
    """Return recall and NDCG at each cut-off, the means over the users, and the seconds it took to answer."""
    users = split.users
    history = split.history.take(users - 1)
    requests = Requests.build(
        users, now=split.train.until + 1, ragged={"history": history, "exclude": history}
    )
    start = time.perf_counter()
    found = source.retrieve(requests, max(cutoffs))
    seconds = time.perf_counter() - start
    row = np.repeat(np.arange(len(users)), np.diff(found.offsets))
    rank = np.arange(len(row)) - found.offsets[row]
    wanted = split.test.take(users - 1)
    hit = np.isin(
        row * (split.train.n_items + 1) + found.item,
        wanted.rows * (split.train.n_items + 1) + wanted.values,
    )
    discount = 1 / np.log2(np.arange(max(cutoffs)) + 2)
    recall, ndcg = [], []
    for k in cutoffs:
        here = hit & (rank < k)
        gain = np.bincount(row[here], discount[rank[here]], minlength=len(users))
        ideal = np.cumsum(discount)[np.minimum(wanted.counts, k) - 1]
        recall.append(np.mean(np.bincount(row[here], minlength=len(users)) / wanted.counts))
        ndcg.append(np.mean(gain / ideal))
    return np.array(recall), np.array(ndcg), seconds


def measured(data: str, name: str, *, validation: bool = False, **options: Any) -> Found:
    """Fit a source of recokit.candidates by its name and judge it."""
    split = _data.holdout(_data.read(data)) if validation else _data.read(data)
    start = time.perf_counter()
    source = _source(data, name, options).fit(split.train)
    fit_seconds = time.perf_counter() - start
    recall, ndcg, seconds = judge(source, split, CUTOFFS[data])
    # Kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Found(
        recall=dict(zip(CUTOFFS[data], recall.tolist(), strict=True)),
        ndcg=dict(zip(CUTOFFS[data], ndcg.tolist(), strict=True)),
        fit_seconds=fit_seconds,
        users_per_second=len(split.users) / seconds,
        peak_bytes=float(peak),
    )


def _source(data: str, name: str, options: Mapping[str, Any]) -> Any:
    """Return an unfitted source with the options chosen for the data; a Blend is of others, by their names."""
    from recokit import candidates

    chosen = {**OPTIONS[data].get(name, {}), **options}
    if name == "Blend":
        weights = chosen.pop("weights")
        chosen["sources"] = [_source(data, part, {}) for part in weights]
        chosen["weights"] = list(weights.values())
    return getattr(candidates, name)(**chosen)


def _alone(data: str, name: str) -> Found:
    # Raises where the process is killed, for its memory say; a multiprocessing.Pool would wait for ever.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measured, data, name).result()


def _checks(data: str, found: dict[str, Found]) -> list[Check]:
    checks = []
    for name, one in found.items():
        goals = GOALS[data].get(name, (None, None))
        for title, values, goal in (("Recall", one.recall, goals[0]), ("NDCG", one.ndcg, goals[1])):
            for k, value in values.items():
                label = f"{data} {name} {title}@{k}"
                wanted = goal if k == CUTOFFS[data][0] else None
                checks.append(
                    Check.info(label, value) if wanted is None else Check.at_least(label, value, wanted)
                )
        checks.append(Check.info(f"{data} {name} fit", one.fit_seconds, "s"))
        checks.append(Check.info(f"{data} {name} answers", one.users_per_second, "users/s"))
        checks.append(Check.info(f"{data} {name} peak memory", one.peak_bytes / 1e9, "GB"))
    return checks + _best(data, found)


def _best(data: str, found: dict[str, Found]) -> list[Check]:
    first = CUTOFFS[data][0]
    name = max(found, key=lambda name: found[name].recall[first])
    best, checks = found[name], []
    for title, goals in zip(("", ", aim"), BEST[data], strict=True):
        for metric, value, goal in (
            ("Recall", best.recall[first], goals[0]),
            ("NDCG", best.ndcg[first], goals[1]),
        ):
            if goal is not None:
                checks.append(Check.at_least(f"{data} best ({name}) {metric}@{first}{title}", value, goal))
    checks.append(Check.at_most(f"{data} best ({name}) fit", best.fit_seconds, 600, "s"))
    return checks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=[*OPTIONS, *SEQUENTIAL], default="citeulike-a")
    parser.add_argument("--sources", help="names, with commas between them; all that take minutes by default")
    given = parser.parse_args()
    if given.data in SEQUENTIAL:
        report("accuracy", sequential(given.data))
        return
    usual = [name for name in OPTIONS[given.data] if name not in LONG.get(given.data, ())]
    names = given.sources.split(",") if given.sources else usual
    report("accuracy", _checks(given.data, {name: _alone(given.data, name) for name in names}))


if __name__ == "__main__":
    main()
