"""Metrics of ranked lists, usable alone on plain lists, arrays and frames.

Accuracy: :class:`NDCG`, :class:`Recall`, :class:`Precision`, :class:`RPrecision`, :class:`MAP`, :class:`MRR`,
:class:`HitRate`, :class:`RBP`, :class:`ERR`, :class:`AUC`. Of the catalogue: :class:`CatalogCoverage`, :class:`Gini`,
:class:`Entropy`, :class:`Personalization`, :class:`ExposureGap`. Of each list: :class:`UserCoverage`,
:class:`IntraListDiversity`, :class:`Miscalibration`, :class:`Novelty`, :class:`ARP`, :class:`APLT`,
:class:`PopularityLift`, :class:`Unexpectedness`, :class:`Serendipity`, :class:`RepeatShare`, :class:`Staleness`. Of
scored rows: :func:`auc`, :func:`gauc`, :func:`rmse`, :func:`mae`; of probabilities: :func:`expected_calibration_error`,
:func:`reliability`; of groups of items: :func:`exposure_by_group`, :func:`exposure_gap`.

:func:`evaluate` takes lists and truth in any form, :func:`report` computes several at once, :class:`Stream` chunk by
chunk, :func:`preset` has the definitions of other
libraries, :func:`parse` makes a metric from its name, :class:`MatchedLists` matches lists and truth for all metrics.
Rankings are full (no sampled negatives), means are over all users with a relevant item, a missing list counts 0, ties
are by position, and relevant items outside the catalogue count in the denominator. Own metrics derive from
:class:`RelevanceMetric`, :class:`UserMetric` or :class:`CatalogueMetric`.
"""

from recokit._utils.moved import moved_from
from recokit.metrics.accuracy import MAP, MRR, NDCG, HitRate, Precision, Recall, RPrecision
from recokit.metrics.base import CatalogueMetric, Exposure, Metric, RelevanceMetric, UserMetric
from recokit.metrics.by_user import evaluate
from recokit.metrics.calibration import Reliability, expected_calibration_error, reliability
from recokit.metrics.cascade import AUC, ERR, RBP
from recokit.metrics.catalogue import CatalogCoverage, Entropy, Gini, Personalization
from recokit.metrics.diversity import IntraListDiversity, Miscalibration, UserCoverage
from recokit.metrics.fairness import ExposureGap, exposure_by_group, exposure_gap
from recokit.metrics.matched_lists import MatchedLists
from recokit.metrics.popularity import (
    APLT,
    ARP,
    Novelty,
    PopularityLift,
    RepeatShare,
    Serendipity,
    Staleness,
    Unexpectedness,
)
from recokit.metrics.registry import Preset, parse, preset
from recokit.metrics.report import Figure, Report, Stream, report
from recokit.metrics.scored import auc, auc_per_user, error_per_user, gauc, mae, rmse

__all__ = [
    "APLT",
    "ARP",
    "AUC",
    "ERR",
    "MAP",
    "MRR",
    "NDCG",
    "RBP",
    "CatalogCoverage",
    "CatalogueMetric",
    "Entropy",
    "Exposure",
    "ExposureGap",
    "Figure",
    "Gini",
    "HitRate",
    "IntraListDiversity",
    "MatchedLists",
    "Metric",
    "Miscalibration",
    "Novelty",
    "Personalization",
    "PopularityLift",
    "Precision",
    "Preset",
    "RPrecision",
    "Recall",
    "RelevanceMetric",
    "Reliability",
    "RepeatShare",
    "Report",
    "Serendipity",
    "Staleness",
    "Stream",
    "Unexpectedness",
    "UserCoverage",
    "UserMetric",
    "auc",
    "auc_per_user",
    "error_per_user",
    "evaluate",
    "expected_calibration_error",
    "exposure_by_group",
    "exposure_gap",
    "gauc",
    "mae",
    "parse",
    "preset",
    "reliability",
    "report",
    "rmse",
]

__getattr__ = moved_from(__name__)
