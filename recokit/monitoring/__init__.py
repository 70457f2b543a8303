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

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit._stats.quantile_sketch import QuantileSketch as QuantileSketch
    from recokit.monitoring.alerts.alerts import Alert as Alert
    from recokit.monitoring.alerts.alerts import AlertRule as AlertRule
    from recokit.monitoring.alerts.alerts import Alerts as Alerts
    from recokit.monitoring.alerts.alerts import Reading as Reading
    from recokit.monitoring.alerts.rules import CoverageDrop as CoverageDrop
    from recokit.monitoring.alerts.rules import DeadSource as DeadSource
    from recokit.monitoring.alerts.rules import FeatureTrouble as FeatureTrouble
    from recokit.monitoring.alerts.rules import OutcomeDrop as OutcomeDrop
    from recokit.monitoring.alerts.rules import SegmentDrop as SegmentDrop
    from recokit.monitoring.alerts.rules import ShareAbove as ShareAbove
    from recokit.monitoring.alerts.rules import SlowStage as SlowStage
    from recokit.monitoring.alerts.rules import standard_rules as standard_rules
    from recokit.monitoring.counters import Metric as Metric
    from recokit.monitoring.counters import Tally as Tally
    from recokit.monitoring.drift._tests import DriftLimits as DriftLimits
    from recokit.monitoring.drift.monitor import DriftMonitor as DriftMonitor
    from recokit.monitoring.drift.monitor import DriftReport as DriftReport
    from recokit.monitoring.drift.profile import CategoryProfile as CategoryProfile
    from recokit.monitoring.drift.profile import NumberProfile as NumberProfile
    from recokit.monitoring.drift.profile import ReferenceProfile as ReferenceProfile
    from recokit.monitoring.drift.skew import SkewReport as SkewReport
    from recokit.monitoring.drift.skew import skew as skew
    from recokit.monitoring.export.background import Background as Background
    from recokit.monitoring.export.grafana import dashboard as dashboard
    from recokit.monitoring.export.json_lines import JsonLines as JsonLines
    from recokit.monitoring.export.opentelemetry import Spans as Spans
    from recokit.monitoring.export.prometheus import PrometheusCollector as PrometheusCollector
    from recokit.monitoring.export.prometheus_rules import prometheus_rules as prometheus_rules
    from recokit.monitoring.feature_log.log import FeatureLog as FeatureLog
    from recokit.monitoring.feature_log.requests import LoggedRequests as LoggedRequests
    from recokit.monitoring.feature_monitor import FeatureMonitor as FeatureMonitor
    from recokit.monitoring.funnel import FunnelMonitor as FunnelMonitor
    from recokit.monitoring.health import HealthMonitor as HealthMonitor
    from recokit.monitoring.latency import LatencyMonitor as LatencyMonitor
    from recokit.monitoring.lists import Catalog as Catalog
    from recokit.monitoring.lists import ListMonitor as ListMonitor
    from recokit.monitoring.monitor import Monitor as Monitor
    from recokit.monitoring.outcomes import OutcomeMonitor as OutcomeMonitor
    from recokit.monitoring.rates import Rates as Rates

_HOMES = {
    "Alert": ".alerts.alerts",
    "AlertRule": ".alerts.alerts",
    "Alerts": ".alerts.alerts",
    "Background": ".export.background",
    "Catalog": ".lists",
    "CategoryProfile": ".drift.profile",
    "CoverageDrop": ".alerts.rules",
    "DeadSource": ".alerts.rules",
    "DriftLimits": ".drift._tests",
    "DriftMonitor": ".drift.monitor",
    "DriftReport": ".drift.monitor",
    "FeatureLog": ".feature_log.log",
    "FeatureMonitor": ".feature_monitor",
    "FeatureTrouble": ".alerts.rules",
    "FunnelMonitor": ".funnel",
    "HealthMonitor": ".health",
    "JsonLines": ".export.json_lines",
    "LatencyMonitor": ".latency",
    "ListMonitor": ".lists",
    "LoggedRequests": ".feature_log.requests",
    "Metric": ".counters",
    "Monitor": ".monitor",
    "NumberProfile": ".drift.profile",
    "OutcomeDrop": ".alerts.rules",
    "OutcomeMonitor": ".outcomes",
    "PrometheusCollector": ".export.prometheus",
    "QuantileSketch": "recokit._stats.quantile_sketch",
    "Rates": ".rates",
    "Reading": ".alerts.alerts",
    "ReferenceProfile": ".drift.profile",
    "SegmentDrop": ".alerts.rules",
    "ShareAbove": ".alerts.rules",
    "SkewReport": ".drift.skew",
    "SlowStage": ".alerts.rules",
    "Spans": ".export.opentelemetry",
    "Tally": ".counters",
    "dashboard": ".export.grafana",
    "prometheus_rules": ".export.prometheus_rules",
    "skew": ".drift.skew",
    "standard_rules": ".alerts.rules",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy_face(__name__, _HOMES)
