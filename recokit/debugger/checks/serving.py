"""Checks of the run itself: failures, times, and what the user got."""

from __future__ import annotations

from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.trace import Status

__all__ = ["Outcome", "Snapshot", "StageErrors", "StageTimes"]


#: What a row gets while a stage of a role fails, see docs/errors.md.
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
        """Return what there is to say, nothing if all is well."""
        found: dict[str, Finding] = {}
        for event in evidence.trace.events:
            parts = event.detail.get("part_errors", "")
            if event.name not in found and (evidence.failed_here(event) or parts):
                error = event.error or parts
                found[event.name] = Finding(
                    "STAGE_FAILED",
                    Severity.CRITICAL,
                    event.name,
                    f"{event.name} failed: {error}",
                    f"Mend {event.name}; until then {_UNTIL.get(event.role, 'lists are made without it')}.",
                    "serving",
                    "serving",
                    evidence={"error": error, "role": event.role},
                )
            elif event.skipped and event.name not in found:
                found[event.name] = Finding(
                    "STAGE_SKIPPED",
                    Severity.WARNING,
                    event.name,
                    event.skipped,
                    "Give the request more time, or make the stages before this one faster.",
                    "serving",
                    "serving",
                    evidence={"role": event.role},
                )
        return list(found.values())


class StageTimes:
    """Whether the run kept to its budget, and each stage to its usual time.

    Times are judged where a request ran alone.

    Parameters
    ----------
    times : float, default 2.0
        How many times the baseline's a stage may take (R18) ...
    least : float, default 0.2
        ... if that is at least this share of the budget more.
    """

    def __init__(self, times: float = 2.0, least: float = 0.2) -> None:
        self.times, self.least = times, least

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
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
            Finding(
                "STAGE_SLOW",
                Severity.CRITICAL if over else Severity.WARNING,
                slow,
                f"the run took {1e3 * total:.0f} ms of {1e3 * evidence.budget:.0f} ms, "
                f"{slow} alone {1e3 * taken[slow]:.0f} ms"
                + (f", in the baseline {usual:.1f} ms" if usual else ""),
                f"Make {slow} faster, give it fewer candidates, or make it optional: Step(..., optional=True).",
                "serving",
                "serving",
                evidence={"ms": 1e3 * total, "stage_ms": 1e3 * taken[slow], "baseline_stage_ms": usual},
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
        """Return what there is to say, nothing if all is well."""
        if evidence.baseline is None:
            return []
        usual = evidence.baseline.trace.versions
        old = {
            name: (version, usual[name])
            for name, version in evidence.trace.versions.items()
            if usual.get(name, version) > version
        }
        return [
            Finding(
                "STALE_SNAPSHOT",
                Severity.WARNING,
                "",
                f"the live value {name!r} is read in version {mine}, in the baseline in version {theirs}",
                f"Check what updates {name!r}: this process has missed {theirs - mine} updates.",
                "serving",
                "data",
                evidence={"version": mine, "baseline": theirs},
                relative=True,
            )
            for name, (mine, theirs) in old.items()
        ]


class Outcome:
    """What the user got: nothing, the fallback, or the list of a user without a history."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        status = Status(evidence.status)
        reasons = "; ".join(evidence.trace.reasons[evidence.row])
        found = []
        if status in (Status.EMPTY, Status.FAILED):
            found.append(
                Finding(
                    "EMPTY_LIST",
                    Severity.SYMPTOM,
                    "",
                    f"the list is empty ({status.name}): {reasons}",
                    "Look at the other findings; give the pipeline a fallback that passes its hard rules.",
                    "serving",
                    "serving",
                    evidence={"status": status.name},
                )
            )
        elif status is Status.FALLBACK:
            usual = evidence.baseline is not None and evidence.baseline.status == Status.FALLBACK
            found.append(
                Finding(
                    "FALLBACK_SERVED",
                    Severity.NOTE if usual else Severity.SYMPTOM,
                    "",
                    f"the fallback filled the list: {reasons}",
                    "Look at why the sources left the list short.",
                    "serving",
                    "serving",
                    evidence={"status": status.name},
                )
            )
        if evidence.cold:
            found.append(
                Finding(
                    "COLD_START",
                    Severity.NOTE,
                    "",
                    "the user has no history at this time",
                    "Offer onboarding choices as a history, or a source that needs none.",
                    "candidates",
                    "data",
                    evidence={"by_source": evidence.candidate_sources},
                )
            )
        return found
