"""Items about the data that the model learns from and what it is served."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from recokit.data.validation.report import Check, CheckReport
from recokit.monitoring import DriftMonitor
from recokit.preflight.launch import Launch, unchecked
from recokit.training import audit

__all__ = ["amount", "drift", "duplicates", "event_weights", "negatives", "training_data"]

#: Ages and counts move in any log that grows: a change of distribution alone asks for a look.
_WARNING_ONLY = ("drift.psi", "drift.new_labels")
#: Tests of drift that need columns which not every model has.
_OPTIONAL = ("drift.modes", "drift.new_labels")
#: Findings that a message tells in full.
_TOLD = 3
#: From the strongest signal to the weakest (R5).
HIERARCHY = ("purchase", "add_to_cart", "click", "view")


def training_data(launch: Launch) -> Check:
    """R1: fresh, with labels that join and features that are there."""
    parts = [
        check
        for check in launch.validation
        if not check.name.startswith("duplicates.") and check.name != "sufficiency"
    ]
    return _together("data.valid", parts, "fresh events, labels that join, columns that are filled")


def drift(launch: Launch) -> Check:
    """R2: features served now look like those of training."""
    name, expected = "data.drift", "served features like those that the model was trained on"
    if launch.profile is None:
        hint = "profile=ReferenceProfile.of(pipeline.training_data(train, label_window=...).data)"
        return unchecked(name, "no profile of the training features was given", expected, hint)
    batch = launch.pipeline.candidates(launch.pipeline.requests(launch.users, now=launch.now))
    found = [check for check in DriftMonitor(launch.profile).check(batch) if _counts(check)]
    soft = [replace(c, status="warn") if c.name in _WARNING_ONLY and c.status == "fail" else c for c in found]
    return _together(name, soft, expected)


def duplicates(launch: Launch) -> Check:
    """R3: no interaction counts twice."""
    parts = [check for check in launch.validation if check.name == "duplicates.retries"]
    return _together("data.duplicates", parts, "each interaction once")


def negatives(launch: Launch) -> Check:
    """R4: sampled negatives are no positives and do not know the test part."""
    name, expected = "data.negatives", "no known positive among the negatives, no leak of held-out ones"
    if launch.negatives is None or launch.test is None:
        return unchecked(name, "no sampler of negatives was given", expected, "negatives=your sampler")
    found = audit(launch.negatives, launch.train, launch.test)
    message = "; ".join(found.findings) or f"{found.n_drawn:,} negatives, none of them a positive"
    hint = "" if found.ok else "draw from what the user did not take, and fit the sampler on train only"
    return Check(name, "pass" if found.ok else "fail", message, expected, hint, evidence=found.to_dict())


def event_weights(launch: Launch) -> Check:
    """R5: stronger signals weigh more."""
    name, expected = "data.events", "weights in the order " + " > ".join(HIERARCHY)
    log = launch.train.interactions
    codes = {kind: log.event_names.index(kind) for kind in HIERARCHY if kind in log.event_names}
    mean = {
        kind: float(log.weight[log.event == code].mean())
        for kind, code in codes.items()
        if (log.event == code).any()
    }
    if len(mean) < 2:
        return unchecked(name, f"found events {', '.join(log.event_names)}: nothing to compare", expected)
    shown = ", ".join(f"{kind} {weight:g}" for kind, weight in mean.items())
    ordered = bool((np.diff(list(mean.values())) < 0).all())
    hint = "" if ordered else "Dataset.from_frame(..., event_weights={...})"
    return Check(name, "pass" if ordered else "fail", f"mean weights: {shown}", expected, hint, evidence=mean)


def amount(launch: Launch) -> Check:
    """R6: enough data for what is built."""
    found = launch.validation["sufficiency"]
    limits, least = launch.limits.validation, launch.limits.least_data
    needed = {"interactions": limits.interactions, "users": limits.users, "items": limits.items}
    short = [what for what, want in needed.items() if found.evidence[what] < least * want]
    status = "fail" if short else found.status
    message = found.message + (f"; far too few {' and '.join(short)}" if short else "")
    return Check("data.amount", status, message, found.expected, found.hint, evidence=found.evidence)


def _counts(check: Check) -> bool:
    """Tell whether a test of drift says anything: one that no column is made for does not."""
    return check.status != "not checked" or check.name not in _OPTIONAL


def _together(name: str, checks: Iterable[Check], expected: str) -> Check:
    """Return several checks as one item: as bad as the worst, with the messages of all that did not pass."""
    report = CheckReport(name, tuple(checks))
    told = (*report.findings, *report.unchecked)
    message = "; ".join(f"{check.name}: {check.message}" for check in told[:_TOLD])
    message += f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    hint = "; ".join(dict.fromkeys(check.hint for check in told if check.hint))
    evidence = {part: report[part].status for part in report.names}
    return Check(
        name, report.status, message or f"all of {', '.join(report.names)}", expected, hint, evidence=evidence
    )
