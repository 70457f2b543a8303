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
    from recokit.monitoring.alerts.alerts import (
        Alert as Alert,
        AlertRule as AlertRule,
        Alerts as Alerts,
        Reading as Reading,
    )
    from recokit.monitoring.alerts.rules import (
        CoverageDrop as CoverageDrop,
        DeadSource as DeadSource,
        FeatureTrouble as FeatureTrouble,
        OutcomeDrop as OutcomeDrop,
        SegmentDrop as SegmentDrop,
        ShareAbove as ShareAbove,
        SlowStage as SlowStage,
        standard_rules as standard_rules,
    )
    from recokit.monitoring.counters import Counters as Counters, MetricSpec as MetricSpec
    from recokit.monitoring.drift._tests import DriftLimits as DriftLimits
    from recokit.monitoring.drift.monitor import DriftMonitor as DriftMonitor, DriftReport as DriftReport
    from recokit.monitoring.drift.profile import (
        CategoryProfile as CategoryProfile,
        NumberProfile as NumberProfile,
        ReferenceProfile as ReferenceProfile,
    )
    from recokit.monitoring.drift.skew import SkewReport as SkewReport, skew as skew
    from recokit.monitoring.erasure import Erasure as Erasure, erase_user as erase_user
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
    from recokit.monitoring.lists import Catalog as Catalog, ListMonitor as ListMonitor
    from recokit.monitoring.monitor import Monitor as Monitor
    from recokit.monitoring.outcomes import OutcomeMonitor as OutcomeMonitor
    from recokit.monitoring.rates import Rates as Rates

__getattr__, __dir__ = lazy_face(__name__)
