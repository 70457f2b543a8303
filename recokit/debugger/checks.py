"""Checks: one small class each. Users add their own with the same method."""

from __future__ import annotations

from typing import Protocol

from recokit.debugger.checks_candidates import CandidateRecall, SourceAge, SourceMix
from recokit.debugger.checks_features import FeatureCoverage, FeatureFreshness
from recokit.debugger.checks_ranking import HardRules, ListChanges, Scores, ScoreSpread
from recokit.debugger.checks_serving import Outcome, StageErrors, StageTimes
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding

__all__ = ["CHECKS", "Check"]


class Check(Protocol):
    """Looks at one user's run."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        ...


#: What ``diagnose`` runs by default, top-down.
CHECKS: tuple[Check, ...] = (
    StageErrors(),
    CandidateRecall(),
    SourceAge(),
    SourceMix(),
    FeatureCoverage(),
    FeatureFreshness(),
    Scores(),
    ScoreSpread(),
    HardRules(),
    ListChanges(),
    StageTimes(),
    Outcome(),
)
