"""Training: rows for rankers without leakage. Generic over the protocols; ``Pipeline.fit`` is built on it.

:func:`plan_windows`, :func:`eligible_users` and :func:`plan_requests` choose times and users; :func:`window_truth` and
:func:`label_candidates` label by the events that followed; :class:`Negatives` and :func:`sample_negatives` sample;
:func:`build_training_set` and :func:`train_ranker` do all of it, with a :class:`TrainingReport`.
:class:`HardNegatives` and the other samplers find negatives, :func:`audit` checks them; :func:`detect_leakage` finds
features that know the labels. Options are searched in :mod:`recokit.tuning`, clicks are corrected in
:mod:`recokit.debias`; both stand on this package.
"""

from recokit._stats.stability import population_stability_index
from recokit._utils.moved import moved_from
from recokit.training.audit import SamplerAudit, audit
from recokit.training.labels import label_candidates, label_events, window_events, window_truth
from recokit.training.leakage import LeakageReport, detect_leakage
from recokit.training.negatives import Negatives, sample_negatives
from recokit.training.report import TrainingReport, WindowReport, feature_shift, usual_shift
from recokit.training.samplers import HardNegatives, ImpressedNotClicked, MixedNegatives, Shown
from recokit.training.two_stage import (
    FittedPrefix,
    TrainingSet,
    assemble,
    build_training_set,
    require_fitted_before,
    train_ranker,
)
from recokit.training.windows import TrainingWindow, eligible_users, plan_requests, plan_windows

__all__ = [
    "FittedPrefix",
    "HardNegatives",
    "ImpressedNotClicked",
    "LeakageReport",
    "MixedNegatives",
    "Negatives",
    "SamplerAudit",
    "Shown",
    "TrainingReport",
    "TrainingSet",
    "TrainingWindow",
    "WindowReport",
    "assemble",
    "audit",
    "build_training_set",
    "detect_leakage",
    "eligible_users",
    "feature_shift",
    "label_candidates",
    "label_events",
    "plan_requests",
    "plan_windows",
    "population_stability_index",
    "require_fitted_before",
    "sample_negatives",
    "train_ranker",
    "usual_shift",
    "window_events",
    "window_truth",
]

__getattr__ = moved_from(__name__)
