"""Rankers on one core, 1,000 candidates of 30 features: `python -m benchmarks.rankers`.

Every ranker is timed beside the model that it learned with: scikit-learn, LightGBM or torch predict from the same rows,
in the same turns. Their answers are compared first. What the peers get is ready for them: linear models and networks
the transformed inputs, while recokit's seconds begin at the features of a request.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import sklearn.ensemble
import sklearn.linear_model
import torch
from numpy.typing import NDArray

from benchmarks._harness import Check, pin_to_core, report
from benchmarks.request import interleaved
from recokit import rankers
from recokit._neural.training import to_tensors
from recokit.data import Candidates, RankingData, Schema, Table, Vocabulary
from recokit.rankers._neural import Torch
from recokit.rankers.light_gbm import LightGBM

__all__ = ["main", "run"]

N_FEATURES, N_CANDIDATES = 30, 1_000
NAMES = tuple(f"feature_{i}" for i in range(N_FEATURES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows learned from")
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--calls", type=int, default=200, help="requests timed")
    parser.add_argument("--batch", type=int, default=200, help="requests of the batch")
    options = parser.parse_args()
    report("rankers", run(**vars(options)), vars(options))


@dataclass(frozen=True)
class Contest:
    """A fitted ranker and its training framework's own prediction of rows (M, 30)."""

    name: str
    ranker: Any
    peer: str
    predict: Callable[[NDArray[np.float32]], NDArray[Any]]
    #: What the peer gets, made of the features outside the seconds.
    prepare: Callable[[NDArray[np.float32]], Any] = np.asarray
    #: The peer's sums of leaves, which recokit's equal in every bit.
    raw: Callable[[NDArray[np.float32]], NDArray[np.float64]] | None = None


def run(rows: int, trees: int, calls: int, batch: int) -> list[Check]:
    data = make_data(rows, seed=0)
    pin_to_core()
    contests = [
        logistic(data),
        *networks(data),
        boosting(data, trees),
        light_gbm(data, trees, 31),
        light_gbm(data, trees, 63),
    ]
    return [check for contest in contests for check in compared(contest, calls, batch)]


def make_features(n: int, seed: int) -> NDArray[np.float32]:
    """Return features as a funnel has them: counts with heavy tails, scores with gaps, the rest dense."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, N_FEATURES)).astype(np.float32)
    x[:, :5] = rng.lognormal(0, 2, (n, 5)).astype(np.int64)
    x[:, 5:8][rng.random((n, 3)) < 0.3] = np.nan
    return x


def make_data(n: int, seed: int) -> RankingData:
    x = make_features(n, seed)
    rng = np.random.default_rng(seed + 1)
    raw = np.log1p(x[:, 0]) + np.nan_to_num(x[:, 5]) + x[:, 8] * x[:, 9] + x[:, 10] - 3.0
    label = (raw + rng.logistic(size=n) > 0).astype(np.float32)
    return RankingData(
        x, NAMES, label, np.ones(n, np.float32), np.append(np.arange(0, n, 100), n), np.ones(n, np.int64),
        np.arange(1, n + 1), np.zeros(n),
    )  # fmt: skip


def as_batch(x: NDArray[np.float32], n_requests: int) -> Candidates:
    lists = [list(range(1, N_CANDIDATES + 1))] * n_requests
    return Candidates.from_lists(lists, features=x, feature_names=NAMES)


@contextmanager
def recorded(module: Any, name: str) -> Iterator[list[Any]]:
    """Keep what is made by a class or function of a library inside the block."""
    made: list[Any] = []
    original = getattr(module, name)

    def keep(*args: Any, **options: Any) -> Any:
        made.append(original(*args, **options))
        return made[-1]

    setattr(module, name, keep)
    try:
        yield made
    finally:
        setattr(module, name, original)


def logistic(data: RankingData) -> Contest:
    with recorded(sklearn.linear_model, "LogisticRegression") as made:
        ranker = rankers.LogisticRegression().fit(data)
    model = made[-1]

    def prepare(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return design(x, ranker.feature_names_, ranker.transform_, 3)

    return Contest(
        "LogisticRegression", ranker, "scikit-learn", lambda x: model.predict_proba(x)[:, 1], prepare
    )


def design(
    x: NDArray[np.float32], names: tuple[str, ...], transform: Any, n_gaps: int
) -> NDArray[np.float32]:
    """Return the inputs of a linear model or a network, computed by hand in float64."""
    values = x[:, [NAMES.index(name) for name in names]].astype(np.float64)
    missing = ~np.isfinite(values)
    values[:, : transform.n_log] = np.log1p(np.maximum(values[:, : transform.n_log], 0.0))
    values = np.where(missing, 0.0, (values - transform.mean) / transform.scale)
    gaps = [i for i, name in enumerate(names) if name in NAMES[5 : 5 + n_gaps]]
    return np.concatenate([values, missing[:, gaps]], axis=1).astype(np.float32)


def networks(data: RankingData) -> Iterator[Contest]:
    for name, ranker in (
        ("NeuralNet 64-32", rankers.NeuralNet(n_epochs=2)),
        ("CrossNetwork 2, 64-32", rankers.CrossNetwork(n_epochs=2)),
    ):
        fitted = ranker.fit(data)
        weights = to_tensors(fitted.weights_)

        def predict(inputs: torch.Tensor, fitted: Any = fitted, weights: Any = weights) -> NDArray[Any]:
            with torch.inference_mode():
                found: NDArray[Any] = torch.sigmoid(fitted._network(inputs, weights, Torch())).numpy()
                return found

        def prepare(x: NDArray[np.float32], fitted: Any = fitted) -> torch.Tensor:
            return torch.from_numpy(np.clip(design(x, fitted.feature_names_, fitted.transform_, 3), -8, 8))

        yield Contest(name, fitted, "torch", predict, prepare)


def boosting(data: RankingData, n_trees: int) -> Contest:
    with recorded(sklearn.ensemble, "HistGradientBoostingClassifier") as made:
        ranker = rankers.GradientBoosting(n_estimators=n_trees).fit(data)
    model = made[-1]
    return Contest(
        f"GradientBoosting {n_trees}", ranker, "scikit-learn", lambda x: model.predict_proba(x)[:, 1]
    )


def light_gbm(data: RankingData, n_trees: int, num_leaves: int) -> Contest:
    with recorded(lightgbm, "train") as made:
        ranker = LightGBM(n_estimators=n_trees, num_leaves=num_leaves, num_threads=1).fit(data)
    booster = made[-1]
    return Contest(
        f"LightGBM {n_trees} x {num_leaves}",
        ranker,
        "LightGBM",
        lambda x: booster.predict(x, num_threads=1),
        raw=lambda x: booster.predict(x, raw_score=True, num_threads=1),
    )


#: Goals for one request, by the names without the number of trees: milliseconds, and times the peer's own.
GOALS_MS = {"LogisticRegression": 0.1, "NeuralNet": 0.5, "LightGBM 31": 1.0}
GOALS_RATIO = {"LightGBM 31": 0.1, "LightGBM 63": 0.25}


def compared(contest: Contest, calls: int, batch: int) -> list[Check]:
    ids = Vocabulary([1])
    schema = Schema(ids, ids, Table.empty(1), Table.empty(1), feature_names=NAMES)
    ranker, words = contest.ranker.bind(schema), contest.name.split()
    kind = f"{words[0]} {words[-1]}" if contest.raw else words[0]
    sets = [make_features(N_CANDIDATES, seed) for seed in range(10, 20)]
    requests, prepared = [as_batch(x, 1) for x in sets], [contest.prepare(x) for x in sets]
    gap = max(
        float(np.abs(ranker.score(request) - contest.predict(x)).max())
        for request, x in zip(requests, prepared, strict=True)
    )
    turns = np.arange(calls) % len(sets)
    ways = (lambda i: ranker.score(requests[i]), lambda i: contest.predict(prepared[i]))
    ours, theirs = np.percentile(interleaved(ways, turns), 50, axis=1) * 1e3
    x = make_features(batch * N_CANDIDATES, seed=99)
    whole, ready = as_batch(x, batch), contest.prepare(x)
    big = (lambda _: ranker.score(whole), lambda _: contest.predict(ready))
    fast, own = len(x) / np.median(interleaved(big, np.zeros(3, np.int64), warmup=1), axis=1)
    time = Check.at_most(f"{contest.name}: p50", ours, GOALS_MS[kind], "ms") if kind in GOALS_MS else None
    ratio = f"{contest.name}: p50 over {contest.peer}'s own"
    return [
        time or Check.info(f"{contest.name}: p50", ours, "ms"),
        Check.info(f"{contest.name}: p50 of {contest.peer}'s own", theirs, "ms"),
        Check.at_most(ratio, ours / theirs, GOALS_RATIO[kind], "x")
        if kind in GOALS_RATIO
        else Check.info(ratio, ours / theirs, "x"),
        Check.at_most(f"{contest.name}: difference from {contest.peer}'s own", gap, 1e-5),
        *raw_checks(contest, sets),
        Check.info(f"{contest.name}: batch", fast / 1e6, "M rows/s"),
        Check.info(f"{contest.name}: batch of {contest.peer}'s own", own / 1e6, "M rows/s"),
    ]


def raw_checks(contest: Contest, sets: list[NDArray[np.float32]]) -> Iterator[Check]:
    """Count sums of leaves that are not the peer's, bit for bit."""
    if contest.raw is not None:
        forest = contest.ranker.forest_
        differ = sum(int(np.count_nonzero(forest.raw_score(x) != contest.raw(x))) for x in sets)
        yield Check.at_most(f"{contest.name}: raw scores that differ", differ, 0)


if __name__ == "__main__":
    main()
