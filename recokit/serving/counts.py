"""Service monitor: what a service did, as counts beside those of the pipeline's monitors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recokit.monitoring.counters import Counters, Key, MetricSpec
from recokit.monitoring.monitor import Monitor
from recokit.trace import Trace

_METRICS = (
    MetricSpec("recokit_service_answers", "counter", "Answers by where they came from.", ("source",)),
    MetricSpec("recokit_service_shed", "counter", "Requests turned away."),
    MetricSpec("recokit_service_list_misses", "counter", "Requests for which no list was kept."),
    MetricSpec("recokit_service_batches", "counter", "Batches that ran."),
    MetricSpec("recokit_service_rows", "counter", "Rows of these batches."),
    MetricSpec("recokit_service_run_seconds", "counter", "Seconds that these batches took."),
    MetricSpec("recokit_service_queue_seconds", "counter", "Seconds that their rows waited."),
    MetricSpec("recokit_service_hung_batches", "counter", "Batches that another thread took over from."),
    MetricSpec("recokit_service_swaps", "counter", "Models swapped in."),
    MetricSpec("recokit_service_swap_failures", "counter", "Versions that could not serve."),
    MetricSpec("recokit_service_waiting", "gauge", "Rows that wait."),
    MetricSpec("recokit_service_effort", "gauge", "Effort of the next run, from 0 to 1."),
    MetricSpec("recokit_service_ready", "gauge", "Whether the model answers."),
    MetricSpec("recokit_service_dependency_open", "gauge", "Whether a stage is not asked.", ("stage",)),
)


class ServiceMonitor(Monitor):
    """Counts what a service did: answers by source, batches, waiting, shedding, swaps.

    Parameters
    ----------
    service : Service
        Whose gauges it reads.
    """

    metrics = _METRICS

    def __init__(self, service: Any) -> None:
        super().__init__()
        self.service = service

    def _count(self, counters: Counters, trace: Trace) -> None:
        """Count nothing of a run: the pipeline's monitors do."""

    def add(self, metric: str, *labels: str, n: float = 1.0) -> None:
        """Add to a count, as of the wall clock."""
        with self._lock:
            self._now().add((metric, *labels), n)

    def ran(self, rows: int, seconds: float, waited: Sequence[float]) -> None:
        """Count a batch."""
        with self._lock:
            now = self._now()
            now.add(("recokit_service_batches",))
            now.add(("recokit_service_rows",), rows)
            now.add(("recokit_service_run_seconds",), seconds)
            now.add(("recokit_service_queue_seconds",), sum(waited))

    def _now(self) -> Counters:
        import time

        return self._timeline.at(time.time())

    def gauges(self, now: float) -> dict[Key, float]:
        """Return the service's state."""
        health: Mapping[str, Any] = self.service.health()
        gauges: dict[Key, float] = {
            ("recokit_service_waiting",): float(health["waiting"]),
            ("recokit_service_effort",): float(health["effort"]),
            ("recokit_service_ready",): float(health["ready"]),
        }
        for stage, state in health["dependencies"].items():
            gauges["recokit_service_dependency_open", stage] = float(state != "closed")
        return gauges
