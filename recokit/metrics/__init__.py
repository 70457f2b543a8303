"""Metrics of ranked lists, usable alone on plain lists and arrays.

Accuracy: :class:`NDCG`, :class:`Recall`, :class:`Precision`, :class:`MAP`, :class:`MRR`, :class:`HitRate`;
beyond it: :class:`CatalogCoverage`, :class:`IntraListDiversity`. Of probabilities:
:func:`expected_calibration_error`, :func:`reliability`. :func:`parse` makes a metric from its name,
:class:`Judged` matches lists and truth once for many metrics. Rankings are full (no sampled negatives), means
are over all users with a relevant item, a missing list counts 0, ties are by position, and relevant items
outside the catalogue count in the denominator. Own metrics derive from :class:`RelevanceMetric`,
:class:`UserMetric` or :class:`CatalogueMetric`.
"""

from recokit.metrics.accuracy import MAP, MRR, NDCG, HitRate, Precision, Recall
from recokit.metrics.base import CatalogueMetric, Metric, RelevanceMetric, UserMetric
from recokit.metrics.beyond import CatalogCoverage, IntraListDiversity
from recokit.metrics.calibration import Reliability, expected_calibration_error, reliability
from recokit.metrics.judged import Judged
from recokit.metrics.names import parse

__all__ = [
    "MAP",
    "MRR",
    "NDCG",
    "CatalogCoverage",
    "CatalogueMetric",
    "HitRate",
    "IntraListDiversity",
    "Judged",
    "Metric",
    "Precision",
    "Recall",
    "RelevanceMetric",
    "Reliability",
    "UserMetric",
    "expected_calibration_error",
    "parse",
    "reliability",
]
