"""The debugger: from "recommendations look bad" to the stage, the cause and the action.

:class:`RecommendationDebugger` runs a request again and has every :class:`Check` look at the :class:`Evidence`; what
they find is a :class:`Finding` each, ranked in a :class:`Diagnosis`.
"""

from recokit.debugger.checks import (
    CHECKS,
    CandidateRecall,
    Check,
    FeatureCoverage,
    FeatureFreshness,
    HardRules,
    ListChanges,
    Outcome,
    Scores,
    ScoreSpread,
    SourceAge,
    StageErrors,
    StageTimes,
)
from recokit.debugger.debugger import Comparison, RecommendationDebugger
from recokit.debugger.diagnosis import HEALTHY, Diagnosis, PopulationDiagnosis
from recokit.debugger.evidence import Evidence, Runnable
from recokit.debugger.finding import Finding, Severity

__all__ = [
    "CHECKS",
    "HEALTHY",
    "CandidateRecall",
    "Check",
    "Comparison",
    "Diagnosis",
    "Evidence",
    "FeatureCoverage",
    "FeatureFreshness",
    "Finding",
    "HardRules",
    "ListChanges",
    "Outcome",
    "PopulationDiagnosis",
    "RecommendationDebugger",
    "Runnable",
    "ScoreSpread",
    "Scores",
    "Severity",
    "SourceAge",
    "StageErrors",
    "StageTimes",
]
