"""Checks of the features: whether they are there, and how old they are."""

from __future__ import annotations

import numpy as np

from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding, Severity

__all__ = ["FeatureCoverage", "FeatureFreshness"]


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
        alive = set(before) - set(evidence.baseline.dead_features if evidence.baseline is not None else ())
        dead = sorted(alive & set(evidence.dead_features))
        # With a baseline the question is what is missing that was there; without one, what is missing at all.
        expected = self.minimum * float(np.mean(list(before.values()))) if before else self.minimum
        if share >= expected:
            return [_lost_features(dead)] if dead else []
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


def _lost_features(names: list[str]) -> Finding:
    return Finding(
        "FEATURES_LOST",
        Severity.WARNING,
        "",
        "data",
        f"{len(names)} features that the baseline has are missing for every candidate",
        f"Mend what computes or serves {', '.join(names[:3])}{' and others' if len(names) > 3 else ''}.",
        {"features": names[:20]},
    )


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
