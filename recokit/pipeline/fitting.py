"""Fitting: clones of the stages learn, in the order of the plan, and no stage sees the labels of the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit._utils.params import clone
from recokit.budget import Deadline
from recokit.data import Candidates, Dataset, Requests
from recokit.data.dataset import require_dataset
from recokit.errors import ConfigurationError
from recokit.pipeline.contracts import check_disclosed
from recokit.pipeline.plan import Node, Plan, bind_plan
from recokit.pipeline.ranking import rank
from recokit.pipeline.retrieval import retrieve
from recokit.pipeline.run import Run, Settings
from recokit.protocols import Role
from recokit.training import (
    FittedPrefix,
    TrainingReport,
    TrainingSet,
    build_training_set,
    eligible_users,
    feature_shift,
)
from recokit.training.leakage import leaking_features

__all__ = ["fit_plan", "training_rows", "with_events_of"]

#: Users run again after the refit, to measure how far their features moved.
SHIFT_SAMPLE = 256


def fit_plan(plan: Plan, dataset: Dataset, options: Mapping[str, Any]) -> tuple[Plan, TrainingReport | None]:
    """Fit clones of all stages and return the bound plan with the report of the last ranker's training.

    Stages that evaluate as of each request's own time (``as_of``) learn once, from everything; others learn, for each
    training window, from what was before its cut, and at the end from everything. Rankers learn in the order of the
    plan, each on its own prefix.
    """
    require_dataset(dataset, "dataset")
    check_disclosed(plan)
    once = plan.map(lambda node: _fitted(node, dataset) if _as_of(node) else node)
    report: TrainingReport | None = None
    trained: dict[str, Any] = {}
    for node in _learners(once):
        training = _rows_for(node, _replaced(once, trained), dataset, options)
        trained[node.name] = clone(node.stage).fit(training.data)
        report = training.report
        last = training.data
    final = _replaced(once, trained)
    final = final.map(lambda node: node if _as_of(node) or node.name in trained else _fitted(node, dataset))
    bound = bind_plan(final, dataset.schema)
    if report is not None:
        prefix = bound.upto(list(trained)[-1], live=False)
        report = report.with_shift(feature_shift(last, _sample_run(prefix, dataset, options["seed"])))
        report = report.with_leaks(leaking_features(last, dataset))
    return bound, report


def training_rows(plan: Plan, dataset: Dataset, options: Mapping[str, Any]) -> TrainingSet:
    """Return the rows that the last trainable ranker would learn from; earlier ones are trained for it."""
    require_dataset(dataset, "dataset")
    once = plan.map(lambda node: _fitted(node, dataset) if _as_of(node) else node)
    learners = _learners(once)
    if not learners:
        raise ConfigurationError(
            "found no trainable ranker; expected one, such as rankers.GradientBoosting()"
        )
    for node in learners[:-1]:
        ranker = clone(node.stage).fit(_rows_for(node, once, dataset, options).data)
        once = _replaced(once, {node.name: ranker})
    return _rows_for(learners[-1], once, dataset, options)


def with_events_of(node: Node, dataset: Dataset) -> Node:
    """Return a fitted node with another dataset's events, if its stage evaluates as of each request's own time."""
    if not _as_of(node) or not hasattr(node.stage, "fit"):
        return node
    refit = getattr(node.stage, "refit", None)
    return _fitted(node, dataset) if refit is None else replace(node, stage=refit(dataset))


def _learners(plan: Plan) -> list[Node]:
    return [node for node in plan if node.role is Role.SCORER and hasattr(node.stage, "fit")]


def _rows_for(node: Node, plan: Plan, dataset: Dataset, options: Mapping[str, Any]) -> TrainingSet:
    if options.get("label_window") is None:
        raise ConfigurationError(
            f"found the trainable ranker {node.name} and no label_window; expected one, such as label_window='7D'"
        )
    prefix = plan.upto(node.name, live=False)
    whole = plan.upto(node.name)
    parts = [*whole.hydrators, *(part for group in whole.body for part in group.nodes)]
    skipped = tuple(part.name for part in parts if part.live)
    return build_training_set(_prefix_fitter(prefix, skipped), dataset, **options)


@dataclass(eq=False)
class _Prefix:
    """What training runs: see :class:`recokit.training.FittedPrefix`."""

    stages: Mapping[str, Any]
    skipped: tuple[str, ...]
    settings: Settings

    def run(self, requests: Requests) -> Candidates:
        return _collect(self.settings, requests)


def _prefix_fitter(plan: Plan, skipped: tuple[str, ...]) -> Callable[[Dataset], FittedPrefix]:
    def fit_prefix(before: Dataset) -> FittedPrefix:
        fitted = plan.map(
            lambda node: node if _as_of(node) or node.role is Role.SCORER else _fitted(node, before)
        )
        bound = bind_plan(fitted, before.schema)
        settings = _settings(bound, before.n_items)
        stages = {node.name: node.stage for node in (*bound.hydrators, *bound.sources)}
        return _Prefix(stages, skipped, settings)

    return fit_prefix


def _collect(settings: Settings, requests: Requests) -> Candidates:
    strict = replace(settings, plan=settings.plan.map(lambda node: replace(node, on_error="raise")))
    run = Run(strict, requests, Deadline.after(np.inf), full=False)
    return rank(run, retrieve(run))


def _settings(plan: Plan, n_items: int) -> Settings:
    # Without bulkheads even waiting sources run inline: threads serve deadlines, and training has none.
    return Settings(plan, n_items, validate=True, bulkheads={})


def _as_of(node: Node) -> bool:
    return bool(getattr(node.stage, "as_of", False))


def _fitted(node: Node, dataset: Dataset) -> Node:
    if not hasattr(node.stage, "fit") or node.role is Role.SCORER:
        return node
    return replace(node, stage=clone(node.stage).fit(dataset))


def _replaced(plan: Plan, stages: Mapping[str, Any]) -> Plan:
    return plan.map(lambda node: replace(node, stage=stages[node.name]) if node.name in stages else node)


def _sample_run(plan: Plan, dataset: Dataset, seed: int) -> Candidates:
    users = eligible_users(dataset, max_users=SHIFT_SAMPLE, seed=seed)
    return _collect(_settings(plan, dataset.n_items), Requests.build(users, now=dataset.until, seed=seed))
