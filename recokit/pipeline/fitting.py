"""Fitting: clones of the stages learn, in the order of the plan, and no stage sees the labels of the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit._utils.params import clone
from recokit._utils.progress import say
from recokit.budget import Deadline
from recokit.compose.alone.sources import within_pipeline
from recokit.data import Candidates, Dataset, Requests, Schema
from recokit.data.by_id import user_ids_of
from recokit.data.dataset import require_dataset
from recokit.errors import ConfigurationError, RecokitError
from recokit.pipeline.contracts import check_disclosed
from recokit.pipeline.plan import Node, Plan, bind_plan
from recokit.pipeline.ranking import rank
from recokit.pipeline.retrieval import retrieve
from recokit.pipeline.run import Run, Settings
from recokit.pipeline.trial import try_out
from recokit.protocols import Refittable, Role, Trainable
from recokit.training import (
    FittedPrefix,
    TrainingReport,
    TrainingSet,
    build_training_set,
    eligible_users,
    feature_shift,
    usual_shift,
)
from recokit.training.leakage import leaking_features

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
    plan = _fitted(plan, dataset, as_of=True)
    learners = _learners(plan)
    for node in learners:
        training = _rows_for(node, plan, dataset, options)
        plan = plan.with_stages({node.name: _learned(node, training)})
    bound = bind_plan(_fitted(plan, dataset, as_of=False), dataset.schema)
    try_out(bound, dataset, options.get("context", {}))
    if not learners:
        return bound, None
    say("report")
    prefix = bound.before(learners[-1].name, live=False)
    context = options.get("context", {})
    now = _collect(prefix, dataset.schema, _sample(dataset, options["seed"]), context)
    report = training.report.with_shift(feature_shift(training.data, now), usual_shift(training.data))
    return bound, report.with_leaks(leaking_features(training.data, dataset))


def _learned(node: Node, training: TrainingSet) -> Any:
    """Return a clone of a ranker that has learned; one that learns from nothing says what is missing."""
    say(f"{node.name} learns from {len(training.data):,} rows")
    try:
        return clone(node.stage).fit(training.data)
    except ValueError as error:
        if isinstance(error, RecokitError) or training.data.feature_names:
            raise
        raise ConfigurationError(
            f"found the ranker {node.name} and no features before it ({str(error)[:200]}); "
            "expected some; hint: features.Standard() before the ranker"
        ) from error


def training_rows(plan: Plan, dataset: Dataset, options: Mapping[str, Any]) -> TrainingSet:
    """Return the rows that the last trainable ranker would learn from; earlier ones are trained for it."""
    require_dataset(dataset, "dataset")
    plan = _fitted(plan, dataset, as_of=True)
    learners = _learners(plan)
    if not learners:
        raise ConfigurationError(
            "found no trainable ranker; expected one, such as rankers.GradientBoosting()"
        )
    for node in learners[:-1]:
        rows = _rows_for(node, plan, dataset, options)
        plan = plan.with_stages({node.name: clone(node.stage).fit(rows.data)})
    return _rows_for(learners[-1], plan, dataset, options)


def fitted_prefix(pipeline: Any, context: Mapping[str, Any]) -> FittedPrefix:
    """Return the stages of a fitted pipeline before its last ranker that learns, as training runs them.

    Raises
    ------
    ConfigurationError
        If no ranker learns.
    """
    plan, schema = pipeline._ready().plan, pipeline.schema
    learners = _learners(plan)
    if not learners:
        raise ConfigurationError(
            "found no trainable ranker; expected one, such as rankers.GradientBoosting()"
        )
    prefix, skipped = _prefix_of(plan, learners[-1])
    stages = {node.name: node.stage for node in (*prefix.hydrators, *prefix.sources)}
    return _Prefix(stages, skipped, prefix, schema, context)


def _prefix_of(plan: Plan, ranker: Node) -> tuple[Plan, tuple[str, ...]]:
    """Return what runs before a ranker in training, and the paths of what is left out there."""
    prefix = plan.before(ranker.name, live=False)
    kept = {part.name for part in prefix}
    return prefix, tuple(part.name for part in plan.before(ranker.name) if part.name not in kept)


def with_events(plan: Plan, dataset: Dataset) -> Plan:
    """Return a fitted plan whose stages that evaluate as of each request's own time know another dataset's events."""
    stages: dict[str, Any] = {}
    for node in plan:
        if node.traits.as_of and isinstance(node.stage, Refittable):
            stages[node.name] = node.stage.refit(dataset)
        elif node.traits.as_of and _learns(node):
            stages[node.name] = _fit(node, dataset)
    return plan.with_stages(stages)


def _learners(plan: Plan) -> list[Node]:
    """Return the rankers that learn, in order."""
    return [node for node in plan if node.role is Role.SCORER and isinstance(node.stage, Trainable)]


def _learns(node: Node) -> bool:
    """Tell whether a stage learns from a dataset; a scorer learns from labelled candidates."""
    return node.role is not Role.SCORER and isinstance(node.stage, Trainable)


def _fitted(plan: Plan, dataset: Dataset, *, as_of: bool) -> Plan:
    """Return a plan with clones fitted of the stages that evaluate as of each request's own time, or of all others."""
    return plan.with_stages(
        {node.name: _fit(node, dataset) for node in plan if _learns(node) and node.traits.as_of is as_of}
    )


def _fit(node: Node, dataset: Dataset) -> Any:
    """Return a fitted clone that does not hold on to the data: the pipeline knows its users and items."""
    say(f"{node.name} learns from {len(dataset.interactions):,} events")
    with within_pipeline():
        return clone(node.stage).fit(dataset)


def _rows_for(node: Node, plan: Plan, dataset: Dataset, options: Mapping[str, Any]) -> TrainingSet:
    if options.get("label_window") is None:
        raise ConfigurationError(
            f"found the trainable ranker {node.name} and no label_window; expected one, such as label_window='7D'"
        )
    prefix, skipped = _prefix_of(plan, node)
    rest = {name: value for name, value in options.items() if name != "context"}
    return build_training_set(_prefix_fitter(prefix, skipped, options.get("context", {})), dataset, **rest)


@dataclass(eq=False)
class _Prefix:
    """A fitted prefix, see :class:`recokit.training.FittedPrefix`."""

    stages: Mapping[str, Any]
    skipped: tuple[str, ...]
    plan: Plan
    schema: Schema
    context: Mapping[str, Any]

    def run(self, requests: Requests) -> Candidates:
        return _collect(self.plan, self.schema, requests, self.context)


def _prefix_fitter(
    plan: Plan, skipped: tuple[str, ...], context: Mapping[str, Any]
) -> Callable[[Dataset], FittedPrefix]:
    def fit_prefix(before: Dataset) -> FittedPrefix:
        bound = bind_plan(_fitted(plan, before, as_of=False), before.schema)
        stages = {node.name: node.stage for node in (*bound.hydrators, *bound.sources)}
        return _Prefix(stages, skipped, bound, before.schema, context)

    return fit_prefix


def _collect(plan: Plan, schema: Schema, requests: Requests, context: Mapping[str, Any]) -> Candidates:
    """Return the candidates of some requests, with features; any failure is raised."""
    # Without dependencies even waiting stages run inline: threads serve deadlines, and training has none.
    settings = Settings(plan.raising(), schema, validate=True, dependencies={}, context=context)
    asked = replace(requests, user_ids=user_ids_of(requests, schema.user_ids))
    run = Run(settings, asked, Deadline.after(np.inf))
    return rank(run, retrieve(run))


def _sample(dataset: Dataset, seed: int) -> Requests:
    """Return requests of some users at the end of the data."""
    users = eligible_users(dataset, max_users=SHIFT_SAMPLE, seed=seed)
    return Requests.build(users, now=dataset.until, seed=seed)
