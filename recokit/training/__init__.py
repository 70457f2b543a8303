"""Training: rows for rankers without leakage. Generic over the protocols; ``Pipeline.fit`` is built on it.

:func:`plan_windows`, :func:`eligible_users` and :func:`plan_requests` say when and for whom; :func:`window_truth` and
:func:`label_candidates` what happened next; :class:`Negatives` and :func:`sample_negatives` what to keep;
:func:`build_training_set` and :func:`train_ranker` do all of it; :class:`TrainingReport` tells.
:class:`HardNegatives` and the other samplers find negatives, :func:`audit` judges them, :func:`search` looks for
options, :func:`detect_leakage` for features that know the answer.

Bias: :class:`PositionModel`, :func:`propensity_from_swaps` and :func:`intervention_harvest` tell how much each
place is looked at, :func:`impression_rows` makes rows of what was shown, :func:`inverse_propensity` and
:func:`doubly_robust` correct them; :func:`popularity_front` measures what less popularity costs.
"""

from recokit.training.audit import SamplerAudit, audit
from recokit.training.impressions import ImpressionLog, ImpressionReport, ImpressionSet, impression_rows
from recokit.training.labels import label_candidates, label_events, window_events, window_truth
from recokit.training.leakage import LeakageReport, detect_leakage
from recokit.training.negatives import Negatives, sample_negatives
from recokit.training.popularity_front import PopularityFront, popularity_front
from recokit.training.position_bias import Clicks, PositionBias
from recokit.training.propensity import PositionModel, intervention_harvest, propensity_from_swaps
from recokit.training.report import TrainingReport, WindowReport
from recokit.training.samplers import HardNegatives, ImpressedNotClicked, MixedNegatives, Shown
from recokit.training.search import search
from recokit.training.search_result import SearchResult, Trial
from recokit.training.shift import feature_shift, population_stability_index
from recokit.training.two_stage import (
    FittedPrefix,
    TrainingSet,
    assemble,
    build_training_set,
    require_fitted_before,
    train_ranker,
)
from recokit.training.unbiased import UnbiasedSet, WeightReport, doubly_robust, inverse_propensity
from recokit.training.windows import TrainingWindow, eligible_users, plan_requests, plan_windows

__all__ = [
    "Clicks",
    "FittedPrefix",
    "HardNegatives",
    "ImpressedNotClicked",
    "ImpressionLog",
    "ImpressionReport",
    "ImpressionSet",
    "LeakageReport",
    "MixedNegatives",
    "Negatives",
    "PopularityFront",
    "PositionBias",
    "PositionModel",
    "SamplerAudit",
    "SearchResult",
    "Shown",
    "TrainingReport",
    "TrainingSet",
    "TrainingWindow",
    "Trial",
    "UnbiasedSet",
    "WeightReport",
    "WindowReport",
    "assemble",
    "audit",
    "build_training_set",
    "detect_leakage",
    "doubly_robust",
    "eligible_users",
    "feature_shift",
    "impression_rows",
    "intervention_harvest",
    "inverse_propensity",
    "label_candidates",
    "label_events",
    "plan_requests",
    "plan_windows",
    "popularity_front",
    "population_stability_index",
    "propensity_from_swaps",
    "require_fitted_before",
    "sample_negatives",
    "search",
    "train_ranker",
    "window_events",
    "window_truth",
]
