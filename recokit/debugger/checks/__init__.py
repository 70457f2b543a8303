"""Checks: one small class each. Users add their own with the same method."""

from __future__ import annotations

from typing import Protocol

from recokit.debugger.checks.candidates import CandidateRecall, IndexHealth, SourceAge, SourceMix
from recokit.debugger.checks.clocks import Clocks
from recokit.debugger.checks.degraded import DegradedSources
from recokit.debugger.checks.feature_rows import FeatureNoise, FeatureRows
from recokit.debugger.checks.features import FeatureCoverage, FeatureFreshness, FeatureValues
from recokit.debugger.checks.funnel import FunnelLimits
from recokit.debugger.checks.hydration import Hydration
from recokit.debugger.checks.items import BotTraffic, DelistedItems, DuplicateItems
from recokit.debugger.checks.lists import HardRules, ListChanges, RuleChanges
from recokit.debugger.checks.population import (
    FallbackCarries,
    MostlyRelaxed,
    Personalization,
    PopulationCheck,
    ShortAnswers,
)
from recokit.debugger.checks.ranker_model import RankerModel
from recokit.debugger.checks.ranking import RankerInputs, ScoreOrder, Scores, ScoreSpread
from recokit.debugger.checks.rules import RelaxedLimits, RuleAudit
from recokit.debugger.checks.score_values import ScoreValues
from recokit.debugger.checks.serving import Outcome, Snapshot, StageErrors, StageTimes
from recokit.debugger.checks.tables import ItemColumns, MissingEvents, RepeatedEvents
from recokit.debugger.checks.users import UserChange
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding

__all__ = ["CHECKS", "POPULATION_CHECKS", "Check", "PopulationCheck"]


class Check(Protocol):
    """Looks at one user's run."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        ...


#: The checks of ``diagnose`` by default, top-down; of one stage, causes before the symptoms that they explain.
CHECKS: tuple[Check, ...] = (
    StageErrors(),
    ItemColumns(),
    Clocks(),
    Hydration(),
    DegradedSources(),
    BotTraffic(),
    DuplicateItems(),
    DelistedItems(),
    SourceAge(),
    IndexHealth(),
    FunnelLimits(),
    SourceMix(),
    CandidateRecall(),
    FeatureFreshness(),
    FeatureCoverage(),
    FeatureRows(),
    FeatureNoise(),
    FeatureValues(),
    ScoreValues(),
    Scores(),
    RankerModel(),
    RankerInputs(),
    ScoreOrder(),
    ScoreSpread(),
    HardRules(),
    RuleChanges(),
    RuleAudit(),
    RelaxedLimits(),
    ListChanges(),
    StageTimes(),
    Snapshot(),
    Outcome(),
    UserChange(),
)

#: The checks of ``diagnose_many`` that need many users at once.
POPULATION_CHECKS: tuple[PopulationCheck, ...] = (
    MissingEvents(),
    RepeatedEvents(),
    Personalization(),
    MostlyRelaxed(),
    FallbackCarries(),
    ShortAnswers(),
)
