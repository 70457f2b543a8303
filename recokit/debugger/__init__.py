"""The debugger: from "recommendations look bad" to the stage, the cause and the action.

:class:`RecommendationDebugger` runs a request again and has every :class:`Check` look at the :class:`Evidence`; what
they find is a :class:`Finding` each, ranked in a :class:`Diagnosis`.
"""

from recokit.debugger.checks import CHECKS, Check
from recokit.debugger.checks_candidates import CandidateRecall, IndexHealth, SourceAge, SourceMix
from recokit.debugger.checks_features import FeatureCoverage, FeatureFreshness, FeatureValues
from recokit.debugger.checks_list import HardRules, ListChanges, RuleChanges
from recokit.debugger.checks_logged import Calibration, FeatureSkew
from recokit.debugger.checks_ranking import RankerInputs, ScoreOrder, Scores, ScoreSpread
from recokit.debugger.checks_serving import Outcome, Snapshot, StageErrors, StageTimes
from recokit.debugger.compare import Comparison
from recokit.debugger.debugger import RecommendationDebugger
from recokit.debugger.diagnosis import HEALTHY, Diagnosis
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.localise import Segment, localise
from recokit.debugger.population import PopulationDiagnosis
from recokit.debugger.request_page import RequestPage
from recokit.debugger.runnable import Runnable
from recokit.debugger.saved import load_trace, save_trace
from recokit.debugger.scan import RankerScan, Scan, SourceScan, Vectors
from recokit.debugger.watch import Watch
from recokit.debugger.why import Answer

__all__ = [
    "CHECKS",
    "HEALTHY",
    "Answer",
    "Calibration",
    "CandidateRecall",
    "Check",
    "Comparison",
    "Diagnosis",
    "Evidence",
    "FeatureCoverage",
    "FeatureFreshness",
    "FeatureSkew",
    "FeatureValues",
    "Finding",
    "HardRules",
    "IndexHealth",
    "ListChanges",
    "Outcome",
    "PopulationDiagnosis",
    "RankerInputs",
    "RankerScan",
    "RecommendationDebugger",
    "RequestPage",
    "RuleChanges",
    "Runnable",
    "Scan",
    "ScoreOrder",
    "ScoreSpread",
    "Scores",
    "Segment",
    "Severity",
    "Snapshot",
    "SourceAge",
    "SourceMix",
    "SourceScan",
    "StageErrors",
    "StageTimes",
    "Vectors",
    "Watch",
    "load_trace",
    "localise",
    "save_trace",
]
