"""The debugger: from "recommendations look bad" to the stage, the cause and the action.

:class:`RecommendationDebugger` runs a request again and has every :class:`Check` look at the :class:`Evidence`; a
:class:`Diagnosis` ranks their :class:`Finding` objects.
"""

from recokit._utils.moved import moved_from
from recokit.debugger.captured import load_trace, save_trace
from recokit.debugger.checks import CHECKS, POPULATION_CHECKS, Check, PopulationCheck
from recokit.debugger.checks.candidates import CandidateRecall, IndexHealth, SourceAge, SourceMix
from recokit.debugger.checks.causes import Cause
from recokit.debugger.checks.clocks import Clocks
from recokit.debugger.checks.features import FeatureCoverage, FeatureFreshness, FeatureValues
from recokit.debugger.checks.funnel import FunnelLimits
from recokit.debugger.checks.hydration import Hydration
from recokit.debugger.checks.lists import HardRules, ListChanges, RuleChanges
from recokit.debugger.checks.logged import Calibration, FeatureSkew
from recokit.debugger.checks.online import OnlineGap
from recokit.debugger.checks.population import FallbackCarries, MostlyRelaxed, Personalization, ShortAnswers
from recokit.debugger.checks.ranking import RankerInputs, ScoreOrder, Scores, ScoreSpread
from recokit.debugger.checks.rules import RelaxedLimits, RuleAudit
from recokit.debugger.checks.serving import Outcome, Snapshot, StageErrors, StageTimes
from recokit.debugger.checks.tables import ItemColumns, MissingEvents, RepeatedEvents
from recokit.debugger.checks.users import UserChange
from recokit.debugger.compare import Comparison
from recokit.debugger.confirm import Confirmation
from recokit.debugger.debugger import RecommendationDebugger
from recokit.debugger.diagnosis import HEALTHY, Diagnosis
from recokit.debugger.evidence import Evidence
from recokit.debugger.facts import Facts
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.item_fate import Answer
from recokit.debugger.population import PopulationDiagnosis
from recokit.debugger.report_page import RequestPage
from recokit.debugger.scan import RankerScan, Scan, SourceScan, Vectors
from recokit.debugger.segments import Segment, find_segment
from recokit.debugger.time_scan import TimeScan
from recokit.debugger.traffic_sample import TrafficSample
from recokit.protocols import Runnable

__all__ = [
    "CHECKS",
    "HEALTHY",
    "POPULATION_CHECKS",
    "Answer",
    "Calibration",
    "CandidateRecall",
    "Cause",
    "Check",
    "Clocks",
    "Comparison",
    "Confirmation",
    "Diagnosis",
    "Evidence",
    "Facts",
    "FallbackCarries",
    "FeatureCoverage",
    "FeatureFreshness",
    "FeatureSkew",
    "FeatureValues",
    "Finding",
    "FunnelLimits",
    "HardRules",
    "Hydration",
    "IndexHealth",
    "ItemColumns",
    "ListChanges",
    "MissingEvents",
    "MostlyRelaxed",
    "OnlineGap",
    "Outcome",
    "Personalization",
    "PopulationCheck",
    "PopulationDiagnosis",
    "RankerInputs",
    "RankerScan",
    "RecommendationDebugger",
    "RelaxedLimits",
    "RepeatedEvents",
    "RequestPage",
    "RuleAudit",
    "RuleChanges",
    "Runnable",
    "Scan",
    "ScoreOrder",
    "ScoreSpread",
    "Scores",
    "Segment",
    "Severity",
    "ShortAnswers",
    "Snapshot",
    "SourceAge",
    "SourceMix",
    "SourceScan",
    "StageErrors",
    "StageTimes",
    "TimeScan",
    "TrafficSample",
    "UserChange",
    "Vectors",
    "find_segment",
    "load_trace",
    "save_trace",
]

__getattr__ = moved_from(__name__)
