"""Monitoring: what serving does, held against budgets, baselines and training.

Monitors are observers of a pipeline that count, in fixed memory, by slots of seconds and by days:
:class:`LatencyMonitor`, :class:`HealthMonitor`, :class:`FunnelMonitor`, :class:`ListMonitor`, :class:`FeatureMonitor`
and :class:`OutcomeMonitor`. Rules over them make :class:`Alerts`; :class:`PrometheusCollector`, :func:`dashboard` and
:func:`prometheus_rules` are for Prometheus and Grafana, :class:`Spans` for OpenTelemetry, :class:`JsonLines` for logs.

:class:`ReferenceProfile` is what features looked like in training; :class:`DriftMonitor` counts what comes in, in
chunks and little space, and its :class:`DriftReport` says which features moved, by limits that know the number of
rows. :class:`FeatureLog` records what was served, to be trained on; :func:`skew` computes it again as of each request
and says which features training would see otherwise.
"""

from recokit._stats.quantile_sketch import QuantileSketch
from recokit.monitoring.alerts.alerts import Alert, AlertRule, Alerts, Reading
from recokit.monitoring.alerts.rules import (
    CoverageDrop,
    DeadSource,
    FeatureTrouble,
    OutcomeDrop,
    SegmentDrop,
    ShareAbove,
    SlowStage,
    standard_rules,
)
from recokit.monitoring.counters import Metric, Tally
from recokit.monitoring.drift._tests import DriftLimits
from recokit.monitoring.drift.monitor import DriftMonitor, DriftReport
from recokit.monitoring.drift.profile import CategoryProfile, NumberProfile, ReferenceProfile
from recokit.monitoring.drift.skew import SkewReport, skew
from recokit.monitoring.export.background import Background
from recokit.monitoring.export.grafana import dashboard
from recokit.monitoring.export.json_lines import JsonLines
from recokit.monitoring.export.opentelemetry import Spans
from recokit.monitoring.export.prometheus import PrometheusCollector
from recokit.monitoring.export.prometheus_rules import prometheus_rules
from recokit.monitoring.feature_log.log import FeatureLog
from recokit.monitoring.feature_log.requests import LoggedRequests
from recokit.monitoring.feature_monitor import FeatureMonitor
from recokit.monitoring.funnel import FunnelMonitor
from recokit.monitoring.health import HealthMonitor
from recokit.monitoring.latency import LatencyMonitor
from recokit.monitoring.lists import Catalog, ListMonitor
from recokit.monitoring.monitor import Monitor
from recokit.monitoring.outcomes import OutcomeMonitor
from recokit.monitoring.rates import Rates

__all__ = [
    "Alert",
    "AlertRule",
    "Alerts",
    "Background",
    "Catalog",
    "CategoryProfile",
    "CoverageDrop",
    "DeadSource",
    "DriftLimits",
    "DriftMonitor",
    "DriftReport",
    "FeatureLog",
    "FeatureMonitor",
    "FeatureTrouble",
    "FunnelMonitor",
    "HealthMonitor",
    "JsonLines",
    "LatencyMonitor",
    "ListMonitor",
    "LoggedRequests",
    "Metric",
    "Monitor",
    "NumberProfile",
    "OutcomeDrop",
    "OutcomeMonitor",
    "PrometheusCollector",
    "QuantileSketch",
    "Rates",
    "Reading",
    "ReferenceProfile",
    "SegmentDrop",
    "ShareAbove",
    "SkewReport",
    "SlowStage",
    "Spans",
    "Tally",
    "dashboard",
    "prometheus_rules",
    "skew",
    "standard_rules",
]
