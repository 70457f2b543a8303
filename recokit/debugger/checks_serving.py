"""Checks of the run itself: failures, times, and what the user got."""

from __future__ import annotations

from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.trace import Status

__all__ = ["Outcome", "StageErrors", "StageTimes"]


class StageErrors:
    """Stages that failed or were skipped."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        found = []
        for event in evidence.trace.events:
            if event.error or event.detail.get("part_errors"):
                error = event.error or event.detail["part_errors"]
                found.append(
                    Finding(
                        "STAGE_FAILED",
                        Severity.CRITICAL,
                        event.name,
                        "serving",
                        f"{event.name} failed: {error}",
                        f"Mend {event.name}; until then its rows are served as its role says.",
                        {"error": error, "role": event.role},
                    )
                )
            elif event.skipped:
                found.append(
                    Finding(
                        "STAGE_SKIPPED",
                        Severity.WARNING,
                        event.name,
                        "serving",
                        event.skipped,
                        "Give the request more time, or make the stages before this one faster.",
                        {"role": event.role},
                    )
                )
        return found


class StageTimes:
    """Whether the run kept to its budget."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        slowest = evidence.slowest()
        if slowest is None or evidence.trace.seconds <= evidence.budget:
            return []
        return [
            Finding(
                "STAGE_SLOW",
                Severity.WARNING,
                slowest.name,
                "serving",
                f"the run took {1e3 * evidence.trace.seconds:.0f} ms of {1e3 * evidence.budget:.0f} ms, "
                f"{slowest.name} alone {1e3 * slowest.seconds:.0f} ms",
                f"Make {slowest.name} faster, give it fewer candidates, or make it optional: Step(..., optional=True).",
                {"seconds": evidence.trace.seconds, "slowest_seconds": slowest.seconds},
            )
        ]


class Outcome:
    """What the user got: nothing, the fallback, or too little."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        status = Status(int(evidence.trace.status[0]))
        reasons = "; ".join(evidence.trace.reasons[0])
        if status in (Status.EMPTY, Status.FAILED):
            return [
                Finding(
                    "EMPTY_LIST",
                    Severity.SYMPTOM,
                    "",
                    "serving",
                    f"the list is empty ({status.name}): {reasons}",
                    "Look at the other findings; give the pipeline a fallback that passes its hard rules.",
                    {"status": status.name},
                )
            ]
        if status is Status.FALLBACK:
            return [
                Finding(
                    "FALLBACK_SERVED",
                    Severity.SYMPTOM,
                    "",
                    "serving",
                    f"the fallback filled the list: {reasons}",
                    "Look at why the sources left the list short.",
                    {"status": status.name},
                )
            ]
        if evidence.cold:
            return [
                Finding(
                    "COLD_START",
                    Severity.NOTE,
                    "",
                    "candidates",
                    "the user has no history at this time",
                    "Offer onboarding choices as a history, or a source that needs none.",
                    {"by_source": evidence.candidate_sources},
                )
            ]
        return []
