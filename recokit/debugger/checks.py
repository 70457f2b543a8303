"""Checks: one small class each, from the top of the funnel down. Users add their own with the same method."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from recokit.debugger.evidence import TOP, Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.trace import Status

__all__ = [
    "CHECKS",
    "CandidateRecall",
    "Check",
    "FeatureCoverage",
    "FeatureFreshness",
    "HardRules",
    "ListChanges",
    "Outcome",
    "ScoreSpread",
    "Scores",
    "SourceAge",
    "StageErrors",
    "StageTimes",
]


class Check(Protocol):
    """Looks at one user's run."""

    def look(self, evidence: Evidence) -> list[Finding]: ...


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


class CandidateRecall:
    """Items known to be good, among the candidates."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        if evidence.retrieved is None or not len(evidence.retrieved):
            return [
                Finding(
                    "CANDIDATE_GENERATION_FAILURE",
                    Severity.CRITICAL,
                    "",
                    "candidates",
                    "no source found anything",
                    "Look at the sources: are they fitted, and do they know this kind of user?",
                    {"by_source": evidence.candidate_sources},
                )
            ]
        good = evidence.known_good
        if good is None or not len(good):
            return []
        hits = int(np.isin(good, evidence.retrieved.item).sum())
        if hits:
            return []
        return [
            Finding(
                "CANDIDATE_GENERATION_FAILURE",
                Severity.CRITICAL,
                "",
                "candidates",
                f"none of {len(good)} items known to be good is among {len(evidence.retrieved)} candidates",
                "No ranker can mend this: refresh or add sources, or raise their limits.",
                {"known_good": evidence.ids(good), "by_source": evidence.candidate_sources},
            )
        ]


class SourceAge:
    """Sources that have not seen recent events.

    Parameters
    ----------
    max_age : float, default 7 days
        Seconds.
    """

    def __init__(self, max_age: float = 7 * 86_400.0) -> None:
        self.max_age = max_age

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        ages = {
            event.name: evidence.now - getattr(evidence.stages[event.name], "fitted_until_", np.inf)
            for event in evidence.trace.events
            if event.role == "source" and event.name in evidence.stages
        }
        stale = {name: age for name, age in ages.items() if np.isfinite(age) and age > self.max_age}
        if not stale:
            return []
        oldest = max(stale, key=lambda name: stale[name])
        days = {name: round(age / 86_400, 1) for name, age in stale.items()}
        return [
            Finding(
                "STALE_INDEX",
                Severity.WARNING,
                oldest,
                "data",
                f"{', '.join(stale)} last saw events {max(days.values())} days before the request",
                "Fit these sources on recent events and swap them in: pipeline.replace(name, fitted_source).",
                {"age_days": days, "max_age_days": self.max_age / 86_400},
            )
        ]


class FeatureCoverage:
    """Missing features of the items at the top.

    Parameters
    ----------
    minimum : float, default 0.8
        Share of values that must be there (R38).
    """

    def __init__(self, minimum: float = 0.8) -> None:
        self.minimum = minimum

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        coverage = evidence.feature_coverage
        if not coverage:
            return []
        share = float(np.mean(list(coverage.values())))
        before = evidence.baseline.feature_coverage if evidence.baseline is not None else {}
        lost = sorted(name for name, part in coverage.items() if before.get(name, 0.0) - part > 0.5)
        # With a baseline the question is what is missing that was there; without one, what is missing at all.
        expected = self.minimum * float(np.mean(list(before.values()))) if before else self.minimum
        if share >= expected:
            return []
        missing = lost or sorted(name for name, part in coverage.items() if part < self.minimum)
        return [
            Finding(
                "FEATURE_QUALITY_ISSUE",
                Severity.CRITICAL,
                "",
                "data",
                f"{share:.0%} of the features of the top {len(evidence.top)} items have a value, "
                f"expected {expected:.0%}",
                f"Mend what computes or serves {', '.join(missing[:3])}{' and others' if len(missing) > 3 else ''}.",
                {"coverage": share, "expected": expected, "features": missing[:20]},
            )
        ]


class FeatureFreshness:
    """Features older than a day (R38).

    Parameters
    ----------
    max_age : float, default 86400
        Seconds.
    """

    def __init__(self, max_age: float = 86_400.0) -> None:
        self.max_age = max_age

    def stale(self, evidence: Evidence) -> list[str]:
        """Return the names of the stale features."""
        return sorted(name for name, age in evidence.feature_age.items() if age > self.max_age)

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        stale = self.stale(evidence)
        if not stale:
            return []
        oldest = max(evidence.feature_age[name] for name in stale) / 86_400
        return [
            Finding(
                "STALE_FEATURES",
                Severity.WARNING,
                "",
                "data",
                f"{len(stale)} of {len(evidence.feature_age)} features are stale, the oldest by {oldest:.1f} days",
                "Refresh the event log behind the features, or fit the pipeline on recent data.",
                {"features": stale[:20], "oldest_days": round(oldest, 2)},
            )
        ]


class Scores:
    """Scores that are not finite."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        if evidence.ranked is None or not evidence.has_scorer or not len(evidence.ranked):
            return []
        bad = ~np.isfinite(evidence.ranked.score)
        scorer = next(event.name for event in evidence.trace.events if event.role == "scorer")
        failed = any(event.error and event.role == "scorer" for event in evidence.trace.events)
        given = [
            event
            for event in evidence.trace.events
            if event.role == "scorer" and event.detail.get("nan_share")
        ]
        share = max((float(event.detail["nan_share"]) for event in given), default=float(bad.mean()))
        if failed or share == 0:
            return []
        return [
            Finding(
                "SCORES_NOT_FINITE",
                Severity.CRITICAL if share > 0.1 else Severity.WARNING,
                scorer,
                "model",
                f"{share:.0%} of {len(evidence.ranked)} scores are NaN or infinite; they rank last",
                f"Look at the inputs of {scorer}: a score that is not finite comes from features or a broken model.",
                {"share": share},
            )
        ]


class ScoreSpread:
    """Whether the ranker tells the best candidates apart, free of its scale.

    Parameters
    ----------
    minimum : float, default 0.01
        Least range of the ten best, as a share of the range of all scores (R38).
    """

    def __init__(self, minimum: float = 0.01) -> None:
        self.minimum = minimum

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        spread = evidence.relative_spread
        if not evidence.has_scorer or not np.isfinite(spread) or spread >= self.minimum:
            return []
        scorer = [event.name for event in evidence.trace.events if event.role == "scorer"][-1]
        return [
            Finding(
                "RANKING_DIFFERENTIATION_FAILURE",
                Severity.CRITICAL,
                scorer,
                "ranking",
                f"the ten best scores span {spread:.2%} of the range of all: {scorer} hardly tells them apart",
                "Look at the ranker's features and training: a constant score means that it learned or got nothing.",
                {"spread": evidence.spread, "relative_spread": spread},
            )
        ]


class HardRules:
    """What hard rules remove from the top.

    Parameters
    ----------
    maximum : int, default 10
        Most of the top 20 that rules may remove (R38).
    """

    def __init__(self, maximum: int = 10) -> None:
        self.maximum = maximum

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        removed = {item for items in evidence.removed.values() for item in items}
        # With fewer than 20 candidates the same half counts.
        limit = self.maximum * min(1.0, max(evidence.n_open, 1) / TOP)
        if len(removed) <= limit:
            return []
        counts = {name: len(items) for name, items in evidence.removed.items() if items}
        worst = max(counts, key=lambda name: counts[name])
        return [
            Finding(
                "BUSINESS_RULES_TOO_AGGRESSIVE",
                Severity.CRITICAL,
                worst,
                "rules",
                f"hard rules remove {len(removed)} of the top {min(TOP, evidence.n_open)}, {worst} most of them",
                f"Check what feeds {worst}, and whether the rule should be that strict.",
                {"removed_by": counts, "items": evidence.ids(sorted(removed))},
            )
        ]


class ListChanges:
    """How much limits and diversity change the list that the scores ask for.

    Parameters
    ----------
    maximum : float, default 0.7
        Largest share of the top k that may be kept off the list.
    """

    def __init__(self, maximum: float = 0.7) -> None:
        self.maximum = maximum

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        size = min(evidence.k, len(evidence.top))
        if not size or not evidence.exchanged:
            return []
        share = evidence.exchanged / size
        selection = [event for event in evidence.trace.events if event.role == "selection"]
        strong = share > self.maximum and len(evidence.selected) > 0
        return [
            Finding(
                "LIST_CHANGED_TOO_MUCH" if strong else "LIST_CHANGED",
                Severity.WARNING if strong else Severity.NOTE,
                selection[0].name,
                "rules",
                f"limits and diversity keep {evidence.exchanged} of the top {size} by score off the list",
                "Loosen the limits or give relevance more weight."
                if strong
                else "Nothing, if that is what they are for.",
                {"exchanged": evidence.exchanged, "relaxed": dict(selection[0].detail.get("relaxed", {}))},
            )
        ]


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


#: What ``diagnose`` runs by default, top-down.
CHECKS: tuple[Check, ...] = (
    StageErrors(),
    CandidateRecall(),
    FeatureCoverage(),
    Scores(),
    ScoreSpread(),
    HardRules(),
    SourceAge(),
    FeatureFreshness(),
    ListChanges(),
    StageTimes(),
    Outcome(),
)
