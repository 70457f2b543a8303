"""Checks of the run itself: failures, times, and how the request ended."""

from __future__ import annotations

from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.recorded import Recorded, error_on
from recokit.trace import Status

#: The answer while a stage of a role fails, see docs/reference/errors.md.
_UNTIL = {
    "source": "the other sources serve alone",
    "filter": "its rows show nothing, since a rule that cannot be checked lets nothing pass",
    "featurizer": "its features are missing",
    "scorer": "the order before it stands",
    "constraint": "its rows show nothing if it is hard, and lists are made without it if it is soft",
}


class StageErrors:
    """Stages that failed or were skipped: in the run, and in the live run whose trace was given."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        findings: dict[str, Finding] = {}
        for event in evidence.trace.events:
            error = error_on(event, evidence.row)
            self._note(findings, event.name, event.role, error, event.skipped)
        recorded = evidence.recorded
        for stage in () if recorded is None else recorded.stages:
            # What happened then, happened, whatever the run again says.
            self._note(findings, stage.name, stage.role, stage.error, stage.skipped, then=True)
        return list(findings.values())

    def _note(
        self,
        findings: dict[str, Finding],
        name: str,
        role: str,
        error: str,
        skipped: str,
        *,
        then: bool = False,
    ) -> None:
        if name in findings:
            return
        when = {"when": "when it was served"} if then else {}
        if error:
            figures = {"error": error, "role": role, **when}
            until = _UNTIL.get(role, "lists are made without it")
            findings[name] = finding("STAGE_FAILED", name, figures, until=until)
        elif skipped:
            findings[name] = finding("STAGE_SKIPPED", name, {"role": role, **when}, reason=skipped)


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
        recorded = evidence.recorded
        if recorded is not None and recorded.is_timed and recorded.seconds > evidence.budget:
            return [self._recorded(evidence, recorded)]
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

    def _recorded(self, evidence: Evidence, recorded: Recorded) -> Finding:
        """Return the finding that the live request was slow, whatever the run again took."""
        slowest = recorded.slowest
        figures = {
            "ms": 1e3 * recorded.seconds,
            "stage_ms": 1e3 * slowest.seconds,
            "when": "when it was served",
        }
        return finding(
            "STAGE_SLOW",
            slowest.name,
            {**figures, "again_ms": 1e3 * evidence.seconds()},
            severity=Severity.CRITICAL,
            budget_ms=1e3 * evidence.budget,
            baseline_stage_ms=None,
        )

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
    """An empty list, one that the fallback filled, a degraded one, or one for a user without a history."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        status, reasons = Status(evidence.status), evidence.trace.reasons[evidence.row]
        recorded = evidence.recorded
        if recorded is not None and recorded.status > status:
            status, reasons = Status(recorded.status), recorded.reasons
        figures, said = {"status": status.name}, "; ".join(reasons)
        is_usual = evidence.baseline is not None and evidence.baseline.status == status
        severity = Severity.NOTE if is_usual else Severity.SYMPTOM
        findings = []
        if status in (Status.EMPTY, Status.FAILED):
            findings.append(finding("EMPTY_LIST", evidence=figures, severity=severity, reasons=said))
        elif status is Status.FALLBACK:
            findings.append(finding("FALLBACK_SERVED", evidence=figures, severity=severity, reasons=said))
        elif status is Status.DEGRADED and not is_usual:
            stage = next((name for name in evidence.stages if said.startswith(f"{name}: ")), "")
            findings.append(finding("ANSWER_DEGRADED", stage, figures, reasons=said))
        if evidence.cold:
            findings.append(finding("COLD_START", evidence={"by_source": evidence.candidate_sources}))
        return findings
