"""Prometheus: the counts of monitors, for a scraper."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from recokit.errors import ConfigurationError
from recokit.monitoring.counters import Counters, MetricSpec
from recokit.monitoring.latency import EDGES
from recokit.monitoring.monitor import Monitor


class PrometheusCollector:
    """A collector of ``prometheus_client`` over monitors. Needs the extra ``monitoring``.

    Scraping reads the counts; requests never wait for a scraper, beyond the moment in which sums are copied.
    There is no label with ids of users or items.

    Parameters
    ----------
    monitors : sequence of Monitor
        Each metric belongs to one of them.
    clock : callable, default time.time
        Tells the time of a scrape, for gauges such as ages.

    Raises
    ------
    ConfigurationError
        If two monitors count the same metric: merge them first.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> from recokit.monitoring import HealthMonitor
    >>> data = rk.testing.toy_dataset()
    >>> health = HealthMonitor()
    >>> pipeline = rk.Pipeline([candidates.Popular()], observers=[health]).fit(data)
    >>> _ = pipeline.recommend(["user-1"], now=data.until)
    >>> text = PrometheusCollector([health]).text()
    >>> [line for line in text.splitlines() if line.startswith("recokit_requests")]
    ['recokit_requests_total{status="ok"} 1.0']
    """

    def __init__(self, monitors: Sequence[Monitor], *, clock: Callable[[], float] = time.time) -> None:
        if not isinstance(monitors, Sequence) or not all(isinstance(one, Monitor) for one in monitors):
            raise ConfigurationError(
                f"found {type(monitors).__name__} as monitors; expected a list of monitors; hint: "
                "PrometheusCollector([monitor])"
            )
        names = [metric.name for monitor in monitors for metric in monitor.metrics]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigurationError(
                f"found two monitors that count {twice}; expected one of each class; hint: merge them"
            )
        self.monitors, self.clock = monitors, clock

    def collect(self) -> Iterator[Any]:
        """Give the metric families, as ``prometheus_client`` asks for them."""
        for monitor in self.monitors:
            yield from _families(monitor, self.clock())

    def describe(self) -> Iterable[Any]:
        """Give the families, by whose names a registry refuses a second collector of the same metrics."""
        return list(self.collect())

    def text(self, *, openmetrics: bool = False) -> str:
        """Return the exposition text, in Prometheus' format or OpenMetrics."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        text: bytes = (generate_openmetrics if openmetrics else generate_latest)(registry)
        return text.decode()


def _families(monitor: Monitor, now: float) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    counters = monitor.total()
    values: dict[str, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
    for key, value in sorted((*monitor.counters(counters).items(), *monitor.gauges(now).items())):
        values[key[0]].append((key[1:], value))
    for metric in monitor.metrics:
        if metric.kind == "histogram":
            yield _histogram(metric, counters)
        elif metric.kind == "summary":
            yield _summary(metric, values)
        else:
            of_kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = of_kind(metric.name, metric.help, labels=metric.labels)
            for labels, value in values[metric.name]:
                family.add_metric(labels, value)
            yield family


def _histogram(metric: MetricSpec, counters: Counters) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for key in sorted(key for key in counters.sketches if key[0] == metric.name):
        sketch = counters.sketches[key]
        counts = [*sketch.cumulative(EDGES), sketch.count]
        buckets = [(bound, float(n)) for bound, n in zip((*map(repr, EDGES), "+Inf"), counts, strict=True)]
        family.add_metric(key[1:], buckets, sketch.sum)
    return family


def _summary(metric: MetricSpec, values: Mapping[str, list[tuple[tuple[str, ...], float]]]) -> Any:
    from prometheus_client.core import SummaryMetricFamily

    family = SummaryMetricFamily(metric.name, metric.help, labels=metric.labels)
    sums = dict(values.get(f"{metric.name}_sum", ()))
    for labels, n in values.get(f"{metric.name}_count", ()):
        family.add_metric(labels, int(n), sums[labels])
    return family


def series_names(metric: MetricSpec) -> tuple[str, ...]:
    """Return the names under which a metric can be queried."""
    suffixes = {
        "counter": ("_total",),
        "gauge": ("",),
        "summary": ("_count", "_sum"),
        "histogram": ("_bucket", "_count", "_sum"),
    }
    return tuple(f"{metric.name}{suffix}" for suffix in suffixes[metric.kind])
