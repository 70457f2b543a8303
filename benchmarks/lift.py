"""What a second stage is worth: `python -m benchmarks.lift [--data complete-journey ml-100k ...]`.

On each data set, at each of four weekly cuts, a pipeline learns from what was before the cut and answers all users of
the week after. Beside it stands each of its sources alone, behind the same rules: the best of them in that week, by the
test itself, is what the pipeline is compared with, so the comparison favours the source. Once without caps, once
with the same caps and diversity on both sides. All options were chosen on weeks before the first cut.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._data import folder
from benchmarks._harness import Check, report
from recokit import candidates, diversity, features, rankers, rules
from recokit._stats.intervals import mean_interval
from recokit.data import Dataset

__all__ = ["CASES", "Case", "Week", "checks_of", "compare", "judge", "weeks"]

METRIC = "NDCG@10"
#: Users that a segment needs before it is judged.
SEGMENT = 200


@dataclass(frozen=True, eq=False)
class Case:
    """A data set, the weeks it is judged on, and the funnel for it."""

    load: Callable[[str], Dataset]
    cuts: tuple[str, ...]
    build: Callable[[], rk.Pipeline]
    caps: tuple[str, ...]
    fit: dict[str, Any]

    def split(self, cut: str) -> tuple[Dataset, Dataset]:
        """Return what was before a cut, and the week after it."""
        return self.load(cut).split_at(cut, horizon="7D")


@dataclass(frozen=True, eq=False)
class Week:
    """One cut: the metric of each user with something to be told, from the pipeline and the best source."""

    cut: str
    best: str
    user: np.ndarray
    ours: np.ndarray
    theirs: np.ndarray
    segment: np.ndarray

    @property
    def gain(self) -> float:
        """How much higher the pipeline's mean is, as a share of the source's."""
        return float(self.ours.mean() / self.theirs.mean() - 1.0)


def complete_journey() -> rk.Pipeline:
    return rk.Pipeline(
        [
            candidates.Merge(
                [
                    candidates.History(half_life="30D"),
                    rk.Step(candidates.ItemKNN(n_neighbors=100, half_life="30D", max_history=100), limit=100),
                    rk.Step(candidates.Popular(half_life="14D"), limit=200),
                ],
                limit=600,
            ),
            rules.InStock("in_stock"),
            rules.NotOwned(except_for="consumable"),
            features.Standard(),
            rankers.LambdaMART(n_estimators=120, learning_rate=0.06, early_stopping=False),
            rules.MaxShare("category", 0.4),
            rules.MaxPerGroup("seller", 3, within=10),
            diversity.MMR(0.9),
        ],
        fallback=candidates.Popular(half_life=None),
    )


def movies(sources: Sequence[Any], weights: Sequence[float], *, limit: int) -> rk.Pipeline:
    """Return a funnel for ratings; the first source is the strongest, and its score stands beside the trees'."""
    learned = rankers.LambdaMART(
        n_estimators=80, learning_rate=0.05, max_leaf_nodes=7, min_samples_leaf=50, early_stopping=False
    )
    return rk.Pipeline(
        [
            candidates.Merge(sources, limit=limit),
            rules.NotSeen(),
            features.Standard(),
            rankers.Blend([learned, rankers.Weighted({f"{sources[0].name}_score": 1.0})], weights=weights),
            rules.MaxShare("category", 0.4),
            diversity.MMR(0.9),
        ],
        fallback=candidates.Popular(half_life=None),
    )


def popular(half_life: str) -> rk.Step:
    return rk.Step(candidates.Popular(half_life=half_life), name=f"popular_{half_life.lower()}")


def of_movielens() -> rk.Pipeline:
    sources = [
        popular("7D"),
        popular("2D"),
        popular("30D"),
        candidates.ItemKNN(n_neighbors=100),
        candidates.EASE(),
    ]
    return movies(sources, [2.0, 1.0], limit=300)


def of_movietweetings() -> rk.Pipeline:
    neighbours = candidates.ItemKNN(n_neighbors=100, half_life="30D")
    sources = [popular("2D"), popular("7D"), neighbours, candidates.PopularInCategory()]
    return movies(sources, [1.0, 1.0], limit=200)


def of_marketplace() -> rk.Pipeline:
    return rk.Pipeline(
        [
            candidates.Merge(
                [
                    candidates.GraphFilter(),
                    candidates.History(half_life="30D"),
                    candidates.ItemKNN(),
                    popular("7D"),
                ],
                limit=200,
            ),
            rules.NotOwned(except_for="consumable"),
            features.Standard(),
            rankers.LambdaMART(n_estimators=60, learning_rate=0.05, max_leaf_nodes=7, early_stopping=False),
            rules.MaxShare("category", 0.4),
            diversity.MMR(0.9),
        ],
        fallback=candidates.Popular(half_life=None),
    )


def movietweetings(cut: str) -> Dataset:
    """Return the ratings with each film's first genre as its category."""
    data = rk.datasets.load_movielens(folder() / "movietweetings-100k")
    with (folder() / "movietweetings-100k" / "movies.dat").open(encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("::") for line in file]
    genre = {int(row[0]): row[2].split("|")[0] for row in rows if len(row) > 2}
    log, ids = data.interactions, data.item_ids.decode(np.arange(1, data.n_items + 1))
    frame = {
        "user_id": data.user_ids.decode(log.user),
        "item_id": data.item_ids.decode(log.item),
        "weight": log.weight,
        "timestamp": log.timestamp,
    }
    return Dataset.from_frame(frame, items={"item_id": ids, "category": [genre.get(int(i), "") for i in ids]})


def movielens(cut: str) -> Dataset:
    return rk.datasets.load_movielens(folder() / "ml-100k")


def weeks(first: str, n: int = 4) -> tuple[str, ...]:
    """Return n weekly cuts from the first one on."""
    start = np.datetime64(first)
    return tuple(str(start + 7 * week) for week in range(n))


def marketplace(seed: int, n_users: int = 2_500, n_weeks: int = 4) -> Case:
    """Return the case of a made marketplace of 90 days, judged on the last of its weeks."""

    @cache
    def load() -> Dataset:
        return rk.datasets.make_marketplace(n_users=n_users, seed=seed).dataset

    return Case(
        lambda cut: load(),
        weeks("2025-03-04")[-n_weeks:],
        of_marketplace,
        ("max_share", "mmr"),
        {"label_window": "7D", "windows": 4, "requests_at": "auto"},
    )


CASES = {
    "complete-journey": Case(
        lambda cut: rk.datasets.load_complete_journey(as_of=cut),
        weeks("2017-12-01"),
        complete_journey,
        ("max_share", "max_per_group", "mmr"),
        {"label_window": "7D", "windows": 4},
    ),
    "ml-100k": Case(
        movielens,
        weeks("1998-03-15"),
        of_movielens,
        ("max_share", "mmr"),
        {"label_window": "7D", "windows": 12},
    ),
    "movietweetings-100k": Case(
        movietweetings,
        weeks("2013-08-04"),
        of_movietweetings,
        ("max_share", "mmr"),
        {"label_window": "7D", "windows": 4, "max_requests": 4000},
    ),
    **{f"marketplace-{seed}": marketplace(seed) for seed in (1, 2, 3)},
}


def alone(pipeline: rk.Pipeline) -> dict[str, rk.Pipeline]:
    """Return the pipeline with one source each and no ranker: same rules, same caps, same fitted parts."""
    sources = [name for name in pipeline.names if name.startswith("merge.")]
    learned = [name for name in pipeline.names if name in ("standard", "lambda_mart", "blend")]
    return {
        name.removeprefix("merge."): pipeline.without(
            *(other for other in sources if other != name), *learned
        )
        for name in sources
    }


def compare(pipeline: rk.Pipeline, cut: str, train: Dataset, test: Dataset) -> Week:
    """Evaluate the pipeline and its sources on one week."""
    sources = alone(pipeline)
    found = rk.evaluate(
        {"pipeline": pipeline, **sources}, test, [METRIC], by="activity", history=train, now=train.until
    )
    best = max(sources, key=lambda name: found[name][METRIC].mean)
    mine = found["pipeline"]
    label = np.array(mine.segments)[mine.segment]
    user = mine.users.decode(np.arange(1, len(mine) + 1))
    return Week(cut, best, user, mine.values(METRIC), found[best].values(METRIC), label)


def checks_of(title: str, found: Sequence[Week]) -> list[Check]:
    """Return the checks of a data set: the mean gain, the interval of the difference, and no segment that falls."""
    user, segment, ours, theirs = (
        np.concatenate([getattr(week, side) for week in found])
        for side in ("user", "segment", "ours", "theirs")
    )
    # A user that comes back the week after is not another one: each counts once, by the mean over its weeks.
    _, who = np.unique(user, return_inverse=True)
    difference = np.bincount(who, ours - theirs) / np.bincount(who)
    mean, low, high, n = mean_interval(difference)
    gain = float(np.mean([week.gain for week in found]))
    print(
        f"{title}: {gain:+.1%} over the best source; difference {mean:+.4f} [{low:+.4f}, {high:+.4f}], {n} users"
    )
    checks = [
        Check.at_least(f"{title}: gain over the best source, mean of {len(found)} weeks", gain, 0.08),
        Check.at_least(f"{title}: paired difference, lower end", low, 0.0),
    ]
    for label in np.unique(segment):
        inside = segment == label
        size = np.count_nonzero(inside)
        if size >= SEGMENT:
            worth = float(ours[inside].mean() - theirs[inside].mean())
            checks.append(Check.at_least(f"{title}: {label}, {size} users, difference", worth, 0.0))
    return checks


def judge(name: str, case: Case, n_weeks: int | None = None) -> list[Check]:
    """Fit and compare at each cut, or the first few, without the caps and under them."""
    found: dict[str, list[Week]] = {"without caps": [], "under the same caps": []}
    for cut in case.cuts[:n_weeks]:
        started = time.perf_counter()
        train, test = case.split(cut)
        pipeline = case.build().fit(train, **case.fit)
        for kind, one in (("without caps", pipeline.without(*case.caps)), ("under the same caps", pipeline)):
            week = compare(one, cut, train, test)
            found[kind].append(week)
            print(
                f"{name} {cut} {kind}: {week.ours.mean():.4f}, {week.best} {week.theirs.mean():.4f}, "
                f"{week.gain:+.1%}, {len(week.user)} users, {time.perf_counter() - started:.0f} s",
                flush=True,
            )
    return [check for kind, weeks in found.items() for check in checks_of(f"{name}, {kind}", weeks)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--weeks", type=int, help="so many of the weeks, all by default")
    options = parser.parse_args()
    report("lift", [check for name in options.data for check in judge(name, CASES[name], options.weeks)])


if __name__ == "__main__":
    main()
