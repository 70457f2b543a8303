"""Check of answers that a stage itself reports as less than they should be, without an error."""

from __future__ import annotations

from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding


class DegradedSources:
    """Sources that reported that they answered with a part: what a trace says beside errors and timeouts."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        reasons = evidence.trace.reasons[evidence.row]
        usual = () if evidence.baseline is None else evidence.baseline.trace.reasons[evidence.baseline.row]
        failed = {event.name for event in evidence.trace.events if event.error or event.skipped}
        findings = []
        for event in evidence.events("source", "hydrator"):
            if event.name.startswith("fallback."):
                continue  # that it filled up a list is no part of an answer
            if event.name in failed or event.detail.get("part_errors") or event.name not in evidence.stages:
                continue
            said = [
                reason for reason in reasons if reason.startswith(f"{event.name}: ") and reason not in usual
            ]
            if said:
                figures = {"reason": said[0].removeprefix(f"{event.name}: ")}
                findings.append(finding("SOURCE_DEGRADED", event.name, figures))
        return findings
