"""Checks of what rules let pass: hard rules that remove less than they did, are gone, or were passed by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from recokit.data import Candidates
from recokit.debugger.captured import same_stage
from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import Evidence
from recokit.debugger.facts import caps_of, relaxed_limits, stage_of_limit
from recokit.debugger.finding import Finding, Severity
from recokit.protocols import Discloses, Role, traits_of
from recokit.slates import Selection, broken_limits
from recokit.typing import AnyArray, BoolArray, IntArray

#: Items of the catalogue that a rule and the baseline's are both asked about, besides the candidates.
SAMPLED = 400


class RuleAudit:
    """Hard rules against their own tables, and against the baseline's: what they let pass, and should not.

    What is shown is put before each filter again: what it refuses has come past it. A rule, and the baseline's of the
    same name, are asked about the candidates of both and a sample of the catalogue, both with the user's lists as the
    baseline has them, so that a wrong history does not look like a wrong rule.

    Parameters
    ----------
    less : float, default 0.5
        Share of what the baseline's rule refuses that the rule may let pass; more is critical.
    partly : float, default 0.2
        Share from which on it is a warning, where the rule does not refuse about as much of something else: tables
        change from day to day.
    """

    def __init__(self, less: float = 0.5, partly: float = 0.2) -> None:
        self.less, self.partly = less, partly

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        findings = list(self._shown(evidence))
        if evidence.baseline is not None:
            named = {one.stage for one in findings}
            asked = audited(evidence)
            weaker = [
                *_gone(evidence),
                *self._weaker(evidence, *asked),
                *_loosened(evidence),
                *_unlabelled(evidence, *asked),
            ]
            findings += [one for one in weaker if one.stage not in named]
        return findings

    def _shown(self, evidence: Evidence) -> Iterator[Finding]:
        """Give the rules that refuse what is shown."""
        shown = evidence.of_row(evidence.trace.selected)
        failed = {event.name for event in evidence.events("filter") if evidence.failed_here(event)}
        for node in evidence.captured.nodes if len(shown) else ():
            if node.role is not Role.FILTER or node.name in failed or getattr(node, "when", None) is not None:
                continue
            kept = _decision(node.stage, shown)
            if kept is not None and not kept.all():
                figures = {"shown": int(np.count_nonzero(~kept)), "of": len(shown)}
                yield finding("RULE_BROKEN", node.name, figures, items=evidence.ids(shown.item[~kept]))

    def _weaker(self, evidence: Evidence, here: Candidates, there: Candidates) -> Iterator[Finding]:
        """Give the rules that let pass what the baseline's of that name refuses."""
        assert evidence.baseline is not None
        usual = {node.name: node for node in evidence.baseline.captured.nodes if node.role is Role.FILTER}
        for node in evidence.captured.nodes:
            before = usual.get(node.name)
            if node.role is not Role.FILTER or before is None or same_stage(node.stage, before.stage):
                continue
            kept, usually_kept = _asked(node, here), _asked(before, there)
            alike = evidence.baseline.codes is None
            if kept is None or usually_kept is None:
                kept, usually_kept = _of_run(evidence, node.name)
                alike = False
                items = evidence.retrieved_items
            else:
                items = here.item
            refused = ~usually_kept
            passed = kept & refused
            share = float(passed.sum() / max(refused.sum(), 1))
            new = int(np.count_nonzero(~kept & ~refused))
            if share <= self.partly or (share <= self.less and 2 * new >= passed.sum()):
                continue
            figures = {"passed": int(passed.sum()), "refused": int(refused.sum()), "share": share}
            is_other = type(node.stage).__name__ != type(before.stage).__name__
            other = f"{type(node.stage).__name__} in place of {type(before.stage).__name__}"
            yield finding(
                "RULE_REMOVES_LESS",
                node.name,
                figures,
                items=evidence.ids(items[passed]),
                severity=Severity.CRITICAL if share > self.less else Severity.WARNING,
                relative=None if not alike else False,  # asked about the same, it is the rule itself
                other=other if is_other else "",
            )


class RelaxedLimits:
    """Soft limits that yield: a note for one user, a warning where the baseline's does not for the same user."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        names = relaxed_limits(evidence)
        if not names:
            return []
        usual = evidence.baseline
        new = [] if usual is None else [name for name in names if name not in relaxed_limits(usual)]
        limit = (new or names)[0]
        return [
            finding(
                "LIMIT_RELAXED",
                stage_of_limit(evidence, limit),
                {"limits": names, "places": len(evidence.selected), "candidates": _n_ranked(evidence)},
                severity=Severity.WARNING if new else Severity.NOTE,
                relative=bool(new),
                limit=limit,
            )
        ]


def _n_ranked(evidence: Evidence) -> int:
    return 0 if evidence.ranked is None else len(evidence.ranked)


# -- asking a rule again -------------------------------------------------------------------------------


def audited(evidence: Evidence) -> tuple[Candidates, Candidates]:
    """Return items to ask rules about, as candidates here and in the baseline, in the same order.

    Those that either run retrieved, and a sample of the catalogue. Where both have the same codes, both have the
    baseline's requests, with the user's lists as they should be.
    """
    usual = evidence.baseline
    assert usual is not None
    n_items = len(evidence.schema.item_ids)
    sample = np.unique(np.linspace(1, n_items, min(SAMPLED, n_items)).round().astype(np.int64))
    items = np.unique(np.concatenate([sample, evidence.retrieved_items, usual.retrieved_items]))
    if usual.codes is None:
        batch = _batch(usual, items)
        return batch, batch
    theirs = usual.schema.item_ids.encode(evidence.schema.item_ids.decode(items[items > 0]))
    items = items[items > 0][theirs > 0]
    return _batch(evidence, items), _batch(usual, theirs[theirs > 0])


def _batch(evidence: Evidence, items: IntArray) -> Candidates:
    return Candidates.from_lists([items.tolist()], requests=evidence.requests)


def _asked(node: Any, batch: Candidates) -> BoolArray | None:
    """Return a rule's decisions; None for one that is a user's own code, which is not asked out of turn."""
    return None if traits_of(node.stage).own_code else _decision(node.stage, batch)


def _decision(stage: Any, batch: Candidates) -> BoolArray | None:
    try:
        kept = np.asarray(stage.keep(batch))
    except Exception:  # it needs more than an item and a request: the run itself has recorded what fails
        return None
    return kept.astype(np.bool_) if kept.shape == (len(batch),) else None


def _of_run(evidence: Evidence, name: str) -> tuple[BoolArray, BoolArray]:
    """Return the decisions on the retrieved candidates in both runs; what is not known counts as kept."""
    assert evidence.baseline is not None
    items = evidence.retrieved_items
    gone, usually_gone = _removed_by(evidence, name), _removed_by(evidence.baseline, name)
    return ~np.isin(items, gone), ~np.isin(items, usually_gone)


def _removed_by(evidence: Evidence, name: str) -> IntArray:
    for event in evidence.events("filter"):
        if event.name == name and event.before is not None and event.kept is not None:
            here = evidence.place_in(event.before)
            gone = event.before.item[here][~event.kept[here]]
            mapped: IntArray = gone if evidence.codes is None else evidence.codes[gone]
            return mapped
    return np.zeros(0, np.int64)


# -- rules that are gone, limits that are looser, labels that are missing ------------------------------


def _gone(evidence: Evidence) -> Iterator[Finding]:
    """Give the rules of the baseline that this pipeline does not have."""
    assert evidence.baseline is not None
    roles = (Role.FILTER, Role.CONSTRAINT, Role.ANNOTATOR)
    names = {node.name for node in evidence.captured.nodes}
    for node in evidence.baseline.captured.nodes:
        if node.role in roles and node.name not in names:
            yield finding("RULE_BYPASSED", node.name, {"role": str(node.role)})


def _loosened(evidence: Evidence) -> Iterator[Finding]:
    """Give the limits of the baseline that the list breaks, though its own list under them did not have to."""
    usual = evidence.baseline
    shown = evidence.of_row(evidence.trace.selected)
    if usual is None or usual.codes is not None or not len(shown):
        return
    mine = {node.name: node.stage for node in evidence.captured.nodes if node.role is Role.CONSTRAINT}
    yielded = {*relaxed_limits(evidence), *relaxed_limits(usual)}
    whole = Selection(shown.offsets, np.arange(len(shown)), {}, np.zeros(0, np.int64), np.zeros(0, np.int64))
    for node in usual.captured.nodes:
        if node.role is not Role.CONSTRAINT or mine.get(node.name) in (None, node.stage):
            continue
        # Minimums and pins depend on what there is to choose from.
        caps = [cap for cap in caps_of(node.stage, shown) if not cap.minimum and cap.name not in yielded]
        broken = [name for name, rows in broken_limits(shown, whole, caps).items() if rows.any()]
        if broken:
            yield finding("LIMIT_LOST", node.name, {"limits": broken}, limit=broken[0])


def _unlabelled(evidence: Evidence, here: Candidates, there: Candidates) -> Iterator[Finding]:
    """Give the annotators that label fewer items than the baseline's of that name."""
    usual = evidence.baseline
    assert usual is not None
    before = {
        node.name: node.stage
        for node in usual.captured.nodes
        if node.role is Role.ANNOTATOR and isinstance(node.stage, Discloses)
    }
    for node in evidence.captured.nodes:
        stage = before.get(node.name)
        if stage is None or same_stage(node.stage, stage):
            continue
        labelled, usually = _labelled(node.stage, here), _labelled(stage, there)
        lost = usually & ~labelled
        if lost.any() and 2 * lost.sum() > usually.sum():
            figures = {"labelled": int(labelled.sum()), "usual": int(usually.sum())}
            yield finding("LABELS_LOST", node.name, figures, items=evidence.ids(here.item[lost]))


def _labelled(stage: Any, batch: Candidates) -> BoolArray:
    try:
        labels: AnyArray = np.asarray(stage.annotate(batch).get("labels", ()), object)
    except Exception:  # the run itself has recorded what fails
        labels = np.zeros(0, object)
    if labels.shape != (len(batch),):
        return np.zeros(len(batch), np.bool_)
    return np.array([bool(label) for label in labels.tolist()], np.bool_)
