"""The whole funnel on a year of grocery baskets: assemble, fit, evaluate, serve, explain, break, diagnose.

Run it with ``make quickstart``, or ``python examples/quickstart.py --json figures.json``.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from _show import show_evaluations, show_table

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules

CUT = "2017-12-01"
METRICS = ["NDCG@10"]


def sources() -> list[Any]:
    """Return the three sources: what a household buys again, what goes with it, what everybody buys."""
    return [
        candidates.History(half_life="30D"),
        rk.Step(candidates.ItemKNN(n_neighbors=100, half_life="30D", max_history=100), limit=100),
        rk.Step(candidates.Popular(half_life="14D"), limit=200),
    ]


def build_pipeline() -> rk.Pipeline:
    """Return the funnel: three sources, two hard rules, features, trees, two caps, diversity, disclosure."""
    return rk.Pipeline(
        [
            candidates.Merge(sources(), limit=600),
            rules.InStock("in_stock"),
            rules.NotOwned(except_for="consumable"),
            features.Standard(),
            rankers.GradientBoosting(n_estimators=80, early_stopping=False),
            rules.MaxShare("category", 0.4),
            rules.MaxPerGroup("seller", 3, within=10),
            diversity.MMR(0.9),
            rules.Disclose("sponsored"),
        ],
        fallback=candidates.Popular(half_life=None),
    )


SOURCES = ("merge.history", "merge.item_knn", "merge.popular")
CAPS = ("max_share", "max_per_group", "mmr")
LEARNED = ("standard", "gradient_boosting")


def only(pipeline: rk.Pipeline, source: str) -> rk.Pipeline:
    """Return the pipeline with one source and no ranker: same rules, same caps, same fitted parts."""
    return pipeline.without(*(name for name in SOURCES if name != source), *LEARNED)


def evaluate_all(pipeline: rk.Pipeline, train: rk.Dataset, test: rk.Dataset) -> dict[str, Any]:
    """Compare the pipeline with each of its sources, without the caps and under the same caps, by segment."""
    figures: dict[str, Any] = {}
    for title, one in (("without caps", pipeline.without(*CAPS)), ("under the same caps and MMR", pipeline)):
        subjects = {"pipeline": one} | {name.removeprefix("merge."): only(one, name) for name in SOURCES}
        result = rk.evaluate(subjects, test, METRICS, by="activity", history=train)
        best = max(list(subjects)[1:], key=lambda name: result[name]["NDCG@10"].mean)
        gain = result.compare("pipeline", best, "NDCG@10")
        show_evaluations(f"NDCG@10 {title}, with 95% intervals", result)
        print(f"pipeline minus {best}: {gain}\n")
        figures[title] = {
            "NDCG@10": {name: result[name].to_dict() for name in subjects},
            "best source": best,
            "paired difference": [gain.mean, gain.low, gain.high],
        }
    return figures


def source_recall(pipeline: rk.Pipeline, train: rk.Dataset, test: rk.Dataset) -> dict[str, Any]:
    """Measure what each source finds at all, asked alone for 500: the ceiling of any ranker behind it."""
    wanted = ["Recall@50", "Recall@500"]
    subjects = {"all three": pipeline.without(*CAPS, *LEARNED, "in_stock", "not_owned", "disclose")}
    for source in sources():
        stage = source.stage if isinstance(source, rk.Step) else source
        alone = rk.Pipeline([stage]).fit(train)
        subjects[alone.names[-1]] = alone
    result = rk.evaluate(subjects, test, wanted, history=train)
    rows = [(name, *(f"{result[name][metric].mean:.3f}" for metric in wanted)) for name in subjects]
    show_table("What each source finds", ("source", *wanted), rows)
    return {name: {metric: result[name][metric].mean for metric in wanted} for name in subjects}


def rules_at_work(pipeline: rk.Pipeline, users: list[Any], now: float) -> dict[str, int]:
    """Count what each rule did to the lists of some households."""
    ranked = pipeline.without(*CAPS, "disclose").recommend(users, now=now)
    ruled = pipeline.recommend(users, now=now)
    removed: dict[str, int] = {}
    for trace in ruled.traces:
        for event in trace.events:
            if event.role == "filter":
                removed[event.name] = removed.get(event.name, 0) + event.removed
    for name in CAPS:
        without = pipeline.without(name).recommend(users, now=now)
        removed[name] = changed_items(without, ruled)
    labels = ruled.columns["labels"]
    removed["disclose (labelled)"] = int(sum(bool(label) for label in labels))
    removed["all caps together (items exchanged)"] = changed_items(ranked, ruled)
    rows = [(name, f"{count:,}") for name, count in removed.items()]
    show_table(
        f"What each rule removed, exchanged or labelled for {len(users)} households", ("rule", "items"), rows
    )
    return removed


def changed_items(a: rk.Recommendations, b: rk.Recommendations) -> int:
    """Count items of the first lists that the second lists lack."""
    return sum(len(np.setdiff1d(a.codes(row), b.codes(row))) for row in range(len(a)))


def show_list(pipeline: rk.Pipeline, dataset: rk.Dataset, user: Any, now: float) -> None:
    """Show one household's list with names, sources and labels, and the funnel it came through."""
    result = pipeline.recommend([user], k=10, now=now, budget_ms=100, capture="full")
    names, department = dataset.items.column("name"), dataset.items.categorical["category"]
    rows = []
    for record, code in zip(result.to_records()[0], result.codes(0), strict=True):
        category = department.labels.decode(department.codes[[code]])[0]
        label = ", ".join(record["labels"])
        rows.append(
            (
                record["rank"],
                names[code],
                category,
                f"{record['score']:.3f}",
                ", ".join(record["sources"]),
                label,
            )
        )
    show_table(f"Household {user}", ("rank", "product", "category", "score", "sources", "labels"), rows)
    funnel = [
        (step["name"], step["role"], step["n_in"], step["n_out"], f"{step['ms']:.2f}")
        for step in result.trace.funnel()
    ]
    show_table("Its funnel", ("stage", "role", "in", "out", "ms"), funnel)


def sabotaged(pipeline: rk.Pipeline, dataset: rk.Dataset) -> dict[str, tuple[rk.Pipeline, str]]:
    """Return broken copies of the pipeline, each with the verdict that the debugger should reach."""
    old = dataset.before("2017-03-01")
    stale = pipeline.replace("merge.item_knn", candidates.ItemKNN(max_history=100).fit(old))
    stale = stale.replace("merge.popular", candidates.Popular(half_life="14D").fit(old))
    nothing_in_stock = rules.InStock(np.zeros(dataset.n_items + 1))
    return {
        "stale index": (stale, "STALE_INDEX"),
        "dropped features": (
            pipeline.replace("standard", Dropped(pipeline["standard"])),
            "FEATURE_QUALITY_ISSUE",
        ),
        "flat ranker": (pipeline.replace("gradient_boosting", Flat()), "RANKING_DIFFERENTIATION_FAILURE"),
        "over-aggressive rule": (
            pipeline.replace("in_stock", nothing_in_stock),
            "BUSINESS_RULES_TOO_AGGRESSIVE",
        ),
    }


class Dropped:
    """A feature store that answers nothing."""

    def __init__(self, block: Any) -> None:
        self.block, self.names = block, block.names

    def featurize(self, candidates: rk.Candidates) -> np.ndarray:
        return np.full((len(candidates), len(self.names)), np.nan, np.float32)


class Flat:
    """A ranker that learned nothing."""

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        return np.full(len(candidates), 0.5, np.float32)


def debug(
    pipeline: rk.Pipeline, dataset: rk.Dataset, test: rk.Dataset, user: Any, now: float
) -> dict[str, Any]:
    """Diagnose a household as it is, and under each sabotage."""
    verdicts = {}
    for name, (broken, expected) in {
        "healthy": (pipeline, "NO_OBVIOUS_ISSUE"),
        **sabotaged(pipeline, dataset),
    }.items():
        debugger = rk.RecommendationDebugger(broken, known_good=test, baseline=pipeline)
        diagnosis = debugger.diagnose(user, now=now)
        report = diagnosis.to_dict()
        verdicts[name] = {"diagnosis": report["diagnosis"], "expected": expected, "action": report["action"]}
        if name == "healthy":
            print(diagnosis, "\n")
    rows = [(name, found["diagnosis"], found["action"]) for name, found in verdicts.items()]
    show_table(
        f"The debugger on household {user}, healthy and sabotaged", ("case", "diagnosis", "action"), rows
    )
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    target = parser.parse_args().json
    started = time.perf_counter()
    data = rk.datasets.load_complete_journey(as_of=CUT)
    train, test = data.split_at(CUT, horizon="7D")
    print(f"{data}; train {train}; test {test}\n")

    pipeline = build_pipeline().fit(train, label_window="7D")
    print(f"{pipeline.training_report_}\n")

    households = test.user_ids.decode(np.unique(test.interactions.user)).tolist()
    household, now = households[3], train.until
    figures: dict[str, Any] = {"accuracy": evaluate_all(pipeline, train, test)}
    figures["recall"] = source_recall(pipeline, train, test)
    figures["rules"] = rules_at_work(pipeline, households[:400], now)
    show_list(pipeline, data, household, now)
    figures["debugger"] = debug(pipeline, data, test, household, now)

    figures["seconds"] = round(time.perf_counter() - started, 1)
    figures["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    print(f"{figures['seconds']} s, {figures['peak_gb']} GB at most")
    if target:
        target.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
