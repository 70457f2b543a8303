"""Items about the data that the model learns from and the features that it is served."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from recokit.data.validation.report import Check, CheckReport
from recokit.monitoring import DriftMonitor
from recokit.preflight.context import Item, LaunchContext
from recokit.training import audit

#: Ages and counts move in any log that grows: a change of distribution alone asks for a look.
_WARNING_ONLY = ("drift.psi", "drift.new_labels")
#: Tests of drift that need columns which not every model has.
_OPTIONAL = ("drift.modes", "drift.new_labels")
#: Findings that a message gives in full.
_IN_FULL = 3
#: From the strongest signal to the weakest.
HIERARCHY = ("purchase", "add_to_cart", "click", "view")


def training_data(launch: LaunchContext) -> Check:
    """Check that events are fresh, labels join and columns are filled."""
    parts = [
        check
        for check in launch.validation
        if not check.name.startswith("duplicates.") and check.name != "sufficiency"
    ]
    return _together(Item("data.valid", "fresh events, labels that join, columns that are filled"), parts)


def drift(launch: LaunchContext) -> Check:
    """Check that features served now look like those of training."""
    item = Item("data.drift", "served features like those that the model was trained on")
    if launch.profile is None:
        hint = "profile=ReferenceProfile.of(pipeline.training_data(train, label_window=...).data)"
        return item.unchecked("no profile of the training features was given", hint)
    batch = launch.pipeline.candidates(launch.pipeline.requests(launch.users, now=launch.now))
    checks = [
        replace(check, status="warn") if check.name in _WARNING_ONLY and check.status == "fail" else check
        for check in DriftMonitor(launch.profile).check(batch)
        if check.status != "not checked" or check.name not in _OPTIONAL
    ]
    return _together(item, checks)


def duplicates(launch: LaunchContext) -> Check:
    """Check that no interaction counts twice."""
    names = ["duplicates.retries"] + (["duplicates.event_id"] if launch.event_ids is not None else [])
    parts = [check for check in launch.validation if check.name in names]
    return _together(Item("data.duplicates", "each interaction once"), parts)


def negatives(launch: LaunchContext) -> Check:
    """Check that sampled negatives are no positives and do not know the test part."""
    item = Item(
        "data.negatives",
        "no known positive among the negatives, no leak of held-out ones",
        hint="draw from what the user did not take, and fit the sampler on train only",
    )
    if launch.negatives is None or launch.test is None:
        return item.unchecked("no sampler of negatives was given", "negatives=your sampler")
    result = audit(launch.negatives, launch.train, launch.test)
    message = "; ".join(result.findings) or f"{result.n_drawn:,} negatives, none of them a positive"
    return item.check("pass" if result.ok else "fail", message, evidence=result.to_dict())


def event_weights(launch: LaunchContext) -> Check:
    """Check that stronger signals weigh more."""
    item = Item(
        "data.events",
        "weights in the order " + " > ".join(HIERARCHY),
        hint="Dataset.from_frame(..., event_weights={...})",
    )
    log = launch.train.interactions
    kinds = {kind: log.of(kind).weight for kind in HIERARCHY}
    means = {kind: float(weight.mean()) for kind, weight in kinds.items() if len(weight)}
    types = "; ".join(map(str, launch.train.event_types))
    if len(means) < 2:
        return item.unchecked(f"found events {types}: nothing to compare")
    ordered = bool((np.diff(list(means.values())) < 0).all())
    message = f"weights: {types}"
    return item.check("pass" if ordered else "fail", message, evidence=means)


def amount(launch: LaunchContext) -> Check:
    """Check that there is enough data for collaborative methods."""
    check = launch.validation["sufficiency"]
    limits, least = launch.limits.validation, launch.limits.least_data
    needed = {"interactions": limits.interactions, "users": limits.users, "items": limits.items}
    short = [name for name, n in needed.items() if check.evidence[name] < least * n]
    if not short:
        return replace(check, name="data.amount", subject="")
    message = f"{check.message}; far too few {' and '.join(short)}"
    return replace(check, name="data.amount", subject="", status="fail", message=message)


def _together(item: Item, checks: Iterable[Check]) -> Check:
    """Return several checks as one item: as bad as the worst, with the messages of all that did not pass."""
    report = CheckReport(item.name, tuple(checks))
    open_ = (*report.findings, *report.unchecked)
    messages = [f"{check.name}: {check.message}" for check in open_[:_IN_FULL]]
    messages += [f"and {len(open_) - _IN_FULL} more"] if len(open_) > _IN_FULL else []
    return item.check(
        report.status,
        "; ".join(messages) or f"all of {', '.join(report.names)}",
        "; ".join(dict.fromkeys(check.hint for check in open_ if check.hint)),
        evidence={name: report[name].status for name in report.names},
    )
