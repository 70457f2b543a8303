"""Checks of the run itself: failures, times, and how the request ended."""

from __future__ import annotations

from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.trace import Status

#: The answer while a stage of a role fails, see docs/errors.md.
_UNTIL = {
    "source": "the other sources serve alone",
    "filter": "its rows show nothing, since a rule that cannot be checked lets nothing pass",
    "featurizer": "its features are missing",
    "scorer": "the order before it stands",
    "constraint": "its rows show nothing if it is hard, and lists are made without it if it is soft",
}


class StageErrors:
    """Stages that failed or were skipped."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        findings: dict[str, Finding] = {}
        for event in evidence.trace.events:
            if event.name in findings:
                continue
            parts = event.detail.get("part_errors", "")
            if evidence.failed_here(event) or parts:
                figures = {"error": event.error or parts, "role": event.role}
                until = _UNTIL.get(event.role, "lists are made without it")
                findings[event.name] = finding("STAGE_FAILED", event.name, figures, until=until)
            elif event.skipped:
                figures = {"role": event.role}
                findings[event.name] = finding("STAGE_SKIPPED", event.name, figures, reason=event.skipped)
        return list(findings.values())


class StageTimes:
    """Whether the run kept to its budget, and each stage to its usual time.

    Only of a request that ran alone.

    Parameters
    ----------
    times : float, default 2.0
        How many times the baseline's a stage may take ...
    least : float, default 0.2
        ... if that is at least this share of the budget more.
    """

    def __init__(self, times: float = 2.0, least: float = 0.2) -> None:
        self.times, self.least = times, least

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        if not evidence.alone or not evidence.trace.events:
            return []
        names = list(dict.fromkeys(event.name for event in evidence.trace.events))
        taken = {name: evidence.seconds(name) for name in names}
        slow = self._slower(evidence, taken)
        total = evidence.seconds()
        over = total > evidence.budget
        if evidence.baseline is None and over:
            slow = max(taken, key=lambda name: taken[name])
        if not slow:
            return []
        usual = None if evidence.baseline is None else 1e3 * evidence.baseline.seconds(slow)
        return [
            finding(
                "STAGE_SLOW",
                slow,
                {"ms": 1e3 * total, "stage_ms": 1e3 * taken[slow], "baseline_stage_ms": usual},
                severity=Severity.CRITICAL if over else Severity.WARNING,
                budget_ms=1e3 * evidence.budget,
            )
        ]

    def _slower(self, evidence: Evidence, taken: dict[str, float]) -> str:
        if evidence.baseline is None:
            return ""
        more = {name: seconds - evidence.baseline.seconds(name) for name, seconds in taken.items()}
        worst = max(more, key=lambda name: more[name])
        beyond = more[worst] > self.least * evidence.budget
        return worst if beyond and taken[worst] > self.times * evidence.baseline.seconds(worst) else ""


class Snapshot:
    """Live values that this pipeline reads in an older version than the baseline."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        if evidence.baseline is None:
            return []
        usual = evidence.baseline.trace.versions
        return [
            finding(
                "STALE_SNAPSHOT",
                evidence={"version": version, "baseline": usual[name]},
                name=name,
                missed=usual[name] - version,
            )
            for name, version in evidence.trace.versions.items()
            if usual.get(name, version) > version
        ]


class Outcome:
    """An empty list, one that the fallback filled, or one for a user without a history."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        status = Status(evidence.status)
        figures, reasons = {"status": status.name}, "; ".join(evidence.trace.reasons[evidence.row])
        findings = []
        if status in (Status.EMPTY, Status.FAILED):
            findings.append(finding("EMPTY_LIST", evidence=figures, reasons=reasons))
        elif status is Status.FALLBACK:
            is_usual = evidence.baseline is not None and evidence.baseline.status == Status.FALLBACK
            severity = Severity.NOTE if is_usual else Severity.SYMPTOM
            findings.append(finding("FALLBACK_SERVED", evidence=figures, severity=severity, reasons=reasons))
        if evidence.cold:
            findings.append(finding("COLD_START", evidence={"by_source": evidence.candidate_sources}))
        return findings
