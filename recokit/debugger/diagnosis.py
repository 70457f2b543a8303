"""Diagnosis: the verdict on one user's list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recokit._utils.report import Content, Report, Table
from recokit.debugger.captured import n_shared
from recokit.debugger.checks.features import FeatureFreshness
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.errors import ConfigurationError
from recokit.trace import StageEvent

#: The verdict where no check found a cause or a symptom.
HEALTHY = "NO_OBVIOUS_ISSUE"


#: The roles whose stages do the work of each part: a finding without a stage stands behind the last of them.
_PARTS = {
    "candidates": ("hydrator", "source"),
    "ranking": ("featurizer", "scorer"),
    "list": ("selection", "objective", "reranker", "constraint", "annotator"),
    "serving": (),
}


@dataclass(frozen=True, repr=False)
class Diagnosis(Report):
    """The findings of all checks for one user, and their verdict.

    Parameters
    ----------
    user : object
        External id.
    findings : tuple of Finding
        All of them, the worst first; of equal ones the one that stands earlier in the funnel.
    figures : mapping
        Numbers of the run, such as ``candidate_count`` and ``score_spread``.
    funnel : tuple of mapping
        One record for each stage: name, role, n_in, n_out, removed, ms, error, skipped.
    not_assessed : tuple of str
        Checks that could not run, and why.
    timed : bool
        Whether the run had this user only, so that its times are those of a request.
    again : Again, optional
        What :meth:`confirm` runs again.
    """

    user: Any
    findings: tuple[Finding, ...]
    figures: Mapping[str, Any]
    funnel: tuple[Mapping[str, Any], ...] = field(repr=False)
    not_assessed: tuple[str, ...] = ()
    timed: bool = True
    again: Any = field(default=None, repr=False, compare=False)

    def confirm(self, stage: str | None = None, *, max_ms: float | None = None) -> Any:
        """Run the request again with the suspected part from the baseline, and say whether the list heals.

        Parameters
        ----------
        stage : str, optional
            The suspected stage, by path; that of the verdict by default.
        max_ms : float, optional
            Time after which no further run is begun, as for the diagnosis itself by default.

        Returns
        -------
        Confirmation
            ``healed`` only where the finding is there as it is, and with the exchange no cause is left.

        Raises
        ------
        ConfigurationError
            If there is no baseline, or nothing is suspected.
        """
        return asked_again(self.again).confirmed(self.findings[0] if self.is_ill else None, stage, max_ms)

    @property
    def verdict(self) -> str:
        """Code of the worst finding that is more than a note, or ``"NO_OBVIOUS_ISSUE"``."""
        return self.findings[0].code if self.is_ill else HEALTHY

    @property
    def stage(self) -> str:
        """Path of the stage that the verdict concerns, empty if it is none in particular."""
        return self.findings[0].stage if self.is_ill else ""

    @property
    def action(self) -> str:
        """What to do first; where nothing is wrong and the user has changed, what follows from that."""
        if self.is_ill:
            return self.findings[0].action
        changed = (one.action for one in self.findings if one.code == "USER_CHANGED")
        return next(changed, "Nothing: no check found a cause.")

    @property
    def is_ill(self) -> bool:
        """Whether any finding is more than a note."""
        return bool(self.findings) and self.findings[0].severity > Severity.NOTE

    def plot(self, ax: Any = None) -> Any:
        """Draw the funnel of the user's request, under the verdict.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.funnel import draw_funnel, steps_of
        from recokit._utils.plots.style import title

        ax = draw_funnel(steps_of(self.funnel, int(self.figures["list_length"])), ax)
        title(ax, f"{self.verdict}{f' at {self.stage}' if self.stage else ''}")
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Return the figures with the verdict and the findings, as plain values ready for JSON."""
        return {
            "user": self.user.item() if isinstance(self.user, np.generic) else self.user,
            **self.figures,
            "diagnosis": self.verdict,
            "action": self.action,
            "stage": self.stage,
            "findings": [finding.to_dict() for finding in self.findings],
            "funnel": [dict(step) for step in self.funnel],
            "not_assessed": list(self.not_assessed),
        }

    def __str__(self) -> str:
        lines = [f"{self.verdict} for user {self.user}", f"  {self.action}", ""]
        for step in self.funnel:
            note = step["error"] or step["skipped"]
            lines.append(
                f"  {step['name']:<24} {step['role']:<11} "
                f"{step['n_in']:>7,} -> {step['n_out']:>7,} {step['ms']:>8.2f} ms"
                f"{'  ' + note if note else ''}"
            )
        lines.append("")
        lines += [
            f"  {finding.severity.name.lower():<9}{finding.code}: {finding.message}"
            for finding in self.findings
        ]
        lines += [f"  not assessed: {reason}" for reason in self.not_assessed]
        return "\n".join(lines)

    def _content(self) -> Content:
        findings = [
            (one.severity.name.lower(), one.code, one.stage, one.place, one.origin, one.message, one.action)
            for one in self.findings
        ]
        names = ("name", "role", "n_in", "n_out", "ms")
        steps = [(*(step[name] for name in names), step["error"] or step["skipped"]) for step in self.funnel]
        return Content(
            f"Diagnosis of user {self.user}",
            [
                Table(("severity", "finding", "stage", "where", "of what", "what", "action"), findings),
                Table(("stage", "role", "in", "out", "ms", "note"), steps),
            ],
            summary=f"{self.verdict}: {self.action}",
            notes=self.not_assessed,
            good=not self.is_ill,
        )


def asked_again(again: Any) -> Any:
    """Return what runs again; ConfigurationError for a diagnosis that was made by hand."""
    if again is None:
        raise ConfigurationError(
            "found a diagnosis without its debugger; expected one by RecommendationDebugger, with a baseline"
        )
    return again


#: Causes in the data that every stage reads: they come first.
OF_ALL_STAGES = frozenset(
    {
        "BOT_TRAFFIC",
        "EVENTS_DUPLICATED",
        "EVENTS_LATE",
        "EVENT_TYPE_LOST",
        "ITEMS_DUPLICATED",
        "ITEM_COLUMN_LOST",
        "TIME_SHIFTED",
        "TIME_UNIT",
    }
)


def ranked_findings(
    findings: Iterable[Finding], place_of: Mapping[str, int], roles: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """Order findings: the worst first, of equal ones the one earlier in the funnel, then in the order found.

    A difference from the baseline is a symptom where an earlier stage, or an earlier check of the same stage, has a
    cause already. A finding without a stage stands behind the stages of its part: candidates, then features and scores,
    then the list. A slow stage comes after all that changes the list: it explains no other list, and a cause that does,
    such as a cap that nothing fits under, may well be why it is slow.

    Parameters
    ----------
    findings : iterable of Finding
    place_of : mapping of str to int
        Place of each stage in the funnel, by path.
    roles : mapping of str to str, optional
        Role of each stage.
    """
    last, roles = max(place_of.values(), default=0), roles or {}
    behind: dict[str, float] = {}
    for part, of_part in _PARTS.items():
        places = [place for name, place in place_of.items() if roles.get(name) in of_part]
        behind[part] = max([*places, *behind.values()], default=-1 if roles else last) + 0.5 / len(_PARTS)

    def place(finding: Finding) -> float:
        if finding.code in OF_ALL_STAGES and not finding.stage:
            return -1.0
        if finding.code == "STAGE_SLOW":
            return last + 2.0
        if not finding.stage:
            return last + 1.0 if finding.place == "serving" else behind[finding.place]
        # Answers that are all alike follow from whatever else is wrong with their stage.
        after = 0.1 if finding.code == "PERSONALIZATION_LOST" else 0.0
        return after + place_of.get(finding.stage, behind[finding.place])

    ordered = sorted(findings, key=place)
    ranked: list[Finding] = []
    explained = False
    for finding in ordered:
        symptom = explained and finding.relative and finding.severity > Severity.SYMPTOM
        ranked.append(replace(finding, severity=Severity.SYMPTOM) if symptom else finding)
        explained |= finding.severity >= Severity.WARNING and finding.code != "STAGE_SLOW"
    return tuple(sorted(ranked, key=lambda one: -one.severity))


def figures_of(evidence: Evidence) -> dict[str, Any]:
    """Return the numbers of a run, ready for JSON."""
    coverage = evidence.feature_coverage
    return {
        "candidate_count": 0 if evidence.retrieved is None else len(evidence.retrieved),
        "candidate_sources": evidence.candidate_sources,
        "known_good_in_candidates": _n_good(evidence),
        "known_good_total": None if evidence.known_good is None else len(evidence.known_good),
        "known_good_in_baseline": None if evidence.baseline is None else _n_good(evidence.baseline),
        "feature_coverage": float(np.mean(list(coverage.values()))) if coverage else None,
        "feature_freshness": {
            "stale_features": len(FeatureFreshness().stale(evidence)),
            "total": 0 if evidence.ranked is None else len(evidence.ranked.feature_names),
        },
        "top_10_scores": [float(score) if np.isfinite(score) else None for score in evidence.top_scores],
        "score_spread": None if np.isnan(evidence.spread) else evidence.spread,
        "items_removed_by_rules": len({item for items in evidence.removed.values() for item in items}),
        "items_moved_by_limits": evidence.exchanged_by_limits,
        "items_moved_by_diversity": evidence.exchanged_by_diversity,
        "items_moved_by_limits_and_diversity": evidence.exchanged,
        "list_length": len(evidence.selected),
        "alike": _alike(evidence),
        "status": evidence.status,
        "cold": evidence.cold_by_data,
    }


def _alike(evidence: Evidence) -> float | None:
    """Return the share of the baseline's list that is on the list; None without one."""
    usual = evidence.baseline
    if usual is None or not len(usual.selected):
        return None
    theirs = usual.selected if usual.codes is None else usual.codes[usual.selected]
    return n_shared(theirs, evidence.selected) / len(theirs)


def _n_good(evidence: Evidence) -> int | None:
    if evidence.known_good is None:
        return None
    return n_shared(evidence.known_good, evidence.retrieved_items)


def funnel_of(evidence: Evidence) -> tuple[dict[str, Any], ...]:
    """Return the user's own funnel: one record for each event; times are those of the whole run."""
    return tuple(
        {
            "name": event.name,
            "role": event.role,
            "n_in": n_in,
            "n_out": n_out,
            "removed": max(n_in - n_out, 0),
            "ms": round(1e3 * event.seconds, 3),
            "error": event.error if evidence.failed_here(event) else "",
            "skipped": event.skipped,
        }
        for event in evidence.trace.events
        for n_in, n_out in [_counts(evidence, event)]
    )


def _counts(evidence: Evidence, event: StageEvent) -> tuple[int, int]:
    if evidence.alone:
        return event.n_in, event.n_out
    n_in = 0 if event.before is None else _n_of_row(event.before.offsets, evidence.row)
    if event.role == "filter" and event.before is not None and event.kept is not None:
        here = slice(int(event.before.offsets[evidence.row]), int(event.before.offsets[evidence.row + 1]))
        return n_in, int(np.count_nonzero(event.kept[here]))
    if event.after is not None:
        return n_in, _n_of_row(event.after.offsets, evidence.row)
    return n_in, evidence.candidate_sources.get(event.name.rpartition(".")[2], 0)


def _n_of_row(offsets: Any, row: int) -> int:
    return int(offsets[row + 1] - offsets[row])


def gaps_of(evidence: Evidence) -> tuple[str, ...]:
    """Return the checks that could not run, and why."""
    gaps = []
    if evidence.known_good is None:
        gaps.append("recall of the candidates: no known-good items were given")
    elif not len(evidence.known_good):
        gaps.append("recall of the candidates: this user has no known-good item")
    if evidence.baseline is None:
        gaps.append("changes of sources, features, scores and rules: no baseline was given")
    if not evidence.scan:
        gaps.append("self-test of the indexes: debugger.scan() was not run")
    if evidence.ranked is not None and evidence.ranked.feature_names and not evidence.feature_age:
        gaps.append("freshness of features: no stage tells")
    if not evidence.has_scorer:
        gaps.append("spread of the scores: nothing scores")
    if not evidence.alone:
        gaps.append("times: the request did not run alone")
    return tuple(gaps)
