"""Monitoring: what is served, held against what was trained on.

:class:`ReferenceProfile` is what features looked like in training; :class:`DriftMonitor` counts what comes in, in
chunks and little space, and its :class:`DriftReport` says which features moved, by limits that know the number of
rows. :class:`FeatureLog` records what was served, to be trained on; :func:`skew` computes it again as of each request
and says which features training would see otherwise.
"""

from recokit.monitoring.drift import DriftLimits, DriftMonitor, DriftReport
from recokit.monitoring.feature_log import FeatureLog
from recokit.monitoring.logged import LoggedRequests
from recokit.monitoring.profile import CategoryProfile, NumberProfile, ReferenceProfile
from recokit.monitoring.skew import SkewReport, skew

__all__ = [
    "CategoryProfile",
    "DriftLimits",
    "DriftMonitor",
    "DriftReport",
    "FeatureLog",
    "LoggedRequests",
    "NumberProfile",
    "ReferenceProfile",
    "SkewReport",
    "skew",
]
