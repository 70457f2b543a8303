"""The debugger: from "recommendations look bad" to the stage, the cause and the action.

:class:`RecommendationDebugger` runs a request again and has every :class:`Check` look at the :class:`Evidence`; what
they find is a :class:`Finding` each, ranked in a :class:`Diagnosis`.
"""

from recokit.debugger.checks import CHECKS, Check
from recokit.debugger.checks_candidates import CandidateRecall, SourceAge, SourceMix
from recokit.debugger.checks_features import FeatureCoverage, FeatureFreshness
from recokit.debugger.checks_ranking import HardRules, ListChanges, Scores, ScoreSpread
from recokit.debugger.checks_serving import Outcome, StageErrors, StageTimes
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
    "SourceMix",
    "StageErrors",
    "StageTimes",
]
