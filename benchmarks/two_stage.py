"""Two stages against RecTools' CandidateRankingModel: `python -m benchmarks.two_stage [--sources item_knn popular]`.

Both get the same events, the same sources (cosine item neighbours, ALS, popularity of 30 days; 100 candidates of each),
LightGBM with the same options, one label window, and answer all users of the test part. Seconds are of fit and
recommend, from a dataset in memory, after the libraries are loaded. RecTools gets counts, ages, decayed counts,
category and price as features, written in pandas; recokit `features.Standard()`.

RecTools needs numpy 1, so it runs in an environment of its own:

    python3 -m venv .venv-rectools
    .venv-rectools/bin/pip install -r benchmarks/requirements-rectools.txt
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._data import folder
from benchmarks._harness import Check, report
from recokit import candidates, features, rankers, rules
from recokit.data import Dataset
from recokit.typing import IntArray

__all__ = ["OPTIONS", "Answer", "Task", "compared", "complete_journey", "movielens", "ours", "theirs"]

ROOT = Path(__file__).resolve().parents[1]

#: The same on both sides, by the names of RecTools, implicit and LightGBM.
OPTIONS: dict[str, Any] = {
    "sources": ["item_knn", "ials", "popular"],
    "n_neighbors": 100,
    "n_factors": 64,
    "n_iterations": 15,
    "popular_days": 30,
    "n_candidates": 100,
    "n_negatives": 3,  # RecTools' default; recokit has its own sampler
    "lightgbm": {"n_estimators": 100, "learning_rate": 0.05, "num_leaves": 31},
}


@dataclass(frozen=True, eq=False)
class Task:
    """A dataset cut in time; `unseen_only` where nothing is taken twice."""

    name: str
    train: Dataset
    test: Dataset
    label_window: str
    unseen_only: bool

    @property
    def users(self) -> IntArray:
        """Codes of the users with something to be told."""
        return np.unique(self.test.interactions.user)


@dataclass(frozen=True, eq=False)
class Answer:
    """Lists, and what they took."""

    found: rk.Recommendations
    fit_seconds: float
    recommend_seconds: float

    @property
    def seconds(self) -> float:
        """Both together."""
        return self.fit_seconds + self.recommend_seconds


def complete_journey() -> Task:
    data = rk.datasets.load_complete_journey(as_of="2017-12-01")
    return Task("complete-journey", *data.split_at("2017-12-01", horizon="7D"), "7D", False)


def movielens() -> Task:
    data = rk.datasets.load_movielens(folder() / "ml-100k")
    return Task("ml-100k", *data.split_at("1998-03-15", horizon="14D"), "14D", True)


TASKS = {"complete-journey": complete_journey, "ml-100k": movielens}


def build(task: Task, options: Mapping[str, Any]) -> rk.Pipeline:
    """Return recokit's funnel."""
    sources = {
        "item_knn": candidates.ItemKNN(n_neighbors=options["n_neighbors"]),
        "ials": candidates.IALS(options["n_factors"], n_iterations=options["n_iterations"]),
        "popular": candidates.Popular(half_life=None, window=f"{options['popular_days']}D"),
    }
    return rk.Pipeline(
        [
            candidates.Merge(
                [rk.Step(sources[name], limit=options["n_candidates"]) for name in options["sources"]]
            ),
            *([rules.NotSeen()] if task.unseen_only else []),
            features.Standard(),
            # What LGBMClassifier has by default.
            rankers.LightGBM(
                **options["lightgbm"], min_child_samples=20, reg_lambda=0.0, early_stopping_rounds=None
            ),
        ]
    )


def ours(task: Task, options: Mapping[str, Any]) -> Answer:
    """Return recokit's lists."""
    users = task.train.user_ids.decode(task.users)
    started = time.perf_counter()
    pipeline = build(task, options).fit(task.train, label_window=task.label_window, windows=1)
    fitted = time.perf_counter()
    found = pipeline.recommend(users, k=10, now=task.train.until)
    ended = time.perf_counter()
    return Answer(found, fitted - started, ended - fitted)


def theirs(task: Task, options: Mapping[str, Any], python: Path) -> Answer:
    """Return RecTools' lists, computed by another interpreter."""
    log, items = task.train.interactions, task.train.items
    price = "price" in items.numeric_names
    with TemporaryDirectory() as name:
        exchange = Path(name)
        np.savez(
            exchange / "given.npz",
            user=log.user,
            item=log.item,
            weight=np.ones(len(log)),
            timestamp=log.timestamp,
            asked=task.users,
            category=items.categorical["category"].codes,
            price=items.column("price") if price else np.full(task.train.n_items + 1, np.nan),
        )
        given = {**options, "label_window": task.label_window, "unseen_only": task.unseen_only}
        (exchange / "options.json").write_text(json.dumps(given))
        script = Path(__file__).with_name("_two_stage_peer.py")
        subprocess.run([python, script, exchange], check=True)
        found, seconds = np.load(exchange / "found.npz"), json.loads((exchange / "seconds.json").read_text())
        lists = as_lists(task, found["user"], found["item"], found["rank"])
    return Answer(lists, seconds["fit"], seconds["recommend"])


def as_lists(task: Task, user: IntArray, item: IntArray, rank: IntArray) -> rk.Recommendations:
    """Return lists of the users of a task; one that has none has an empty one."""
    order = np.lexsort((rank, user))
    counts = np.bincount(user, minlength=task.train.n_users + 1)[task.users]
    return rk.Recommendations(
        users=task.train.user_ids.decode(task.users),
        offsets=np.append(0, np.cumsum(counts)),
        item=item[order],
        score=-rank[order].astype(np.float32),
        columns={},
        sources=((),) * len(item),
        status=np.zeros(len(counts), np.int64),
        reasons=((),) * len(counts),
        item_ids=task.train.item_ids,
    )


def compared(task: Task, options: Mapping[str, Any], python: Path) -> list[Check]:
    warm_up()
    answers = {"recokit": ours(task, options), "RecTools": theirs(task, options, python)}
    lists = {name: answer.found for name, answer in answers.items()}
    found = rk.evaluate(lists, task.test, ["NDCG@10"])
    gain = found.compare("recokit", "RecTools", "NDCG@10")
    mine, other = answers.values()
    return [
        Check.at_least(f"{task.name}: NDCG@10", found["recokit"]["NDCG@10"].mean, found["RecTools"]["NDCG@10"].mean),
        Check.info(f"{task.name}: paired difference, low", gain.low),
        Check.info(f"{task.name}: paired difference, high", gain.high),
        Check.at_least(f"{task.name}: RecTools' seconds over recokit's", other.seconds / mine.seconds, 5, "x"),
        *(
            Check.info(f"{task.name}: {name} {part}", seconds, "s")
            for name, answer in answers.items()
            for part, seconds in (("fit", answer.fit_seconds), ("recommend", answer.recommend_seconds))
        ),
    ]  # fmt: skip


def alone(task: Task, options: Mapping[str, Any]) -> list[Check]:
    """Fit and judge recokit's side only: no goals."""
    answer = ours(task, options)
    ndcg = rk.evaluate({"recokit": answer.found}, task.test, ["NDCG@10"])["recokit"]["NDCG@10"].mean
    return [
        Check.info(f"{task.name}: NDCG@10", ndcg),
        Check.info(f"{task.name}: seconds", answer.seconds, "s"),
    ]


def warm_up() -> None:
    """Load what a fit loads: the other side loads its libraries before its seconds too."""
    data = rk.testing.toy_dataset()
    task = Task("toy", data, data, "7D", False)
    ours(task, {**OPTIONS, "n_iterations": 1, "lightgbm": {"n_estimators": 2}})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=list(TASKS), nargs="*", default=list(TASKS))
    parser.add_argument("--sources", choices=OPTIONS["sources"], nargs="*", default=OPTIONS["sources"])
    parser.add_argument("--rectools", type=Path, default=ROOT / ".venv-rectools" / "bin" / "python")
    parser.add_argument("--alone", action="store_true", help="without RecTools")
    given = parser.parse_args()
    options = {**OPTIONS, "sources": given.sources}
    if given.alone:
        report("two_stage", [check for name in given.data for check in alone(TASKS[name](), options)])
        return
    if not given.rectools.exists():
        sys.exit(f"found no {given.rectools}; expected an interpreter with RecTools:\n{parser.description}")
    checks = [check for name in given.data for check in compared(TASKS[name](), options, given.rectools)]
    report("two_stage", checks, {"sources": given.sources})


if __name__ == "__main__":
    main()
