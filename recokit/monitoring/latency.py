"""LatencyMonitor: how long runs and their stages take, against a baseline and the time budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from recokit._stats.quantile_sketch import QuantileSketch
from recokit._utils.options import between, check_options
from recokit.budget import PHASE_BUDGET_MS, PHASE_OF_ROLE, TOTAL_BUDGET_MS
from recokit.monitoring.counters import Counters, Key, MetricSpec
from recokit.monitoring.monitor import Monitor
from recokit.trace import Trace

#: Where histogram buckets end, seconds: the budgets of the phases among them.
EDGES = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

_RUN = MetricSpec("recokit_request_duration_seconds", "histogram", "Duration of a run, a request or a batch.")
_STAGE = MetricSpec(
    "recokit_stage_duration_seconds", "histogram", "Duration of a stage in a run.", ("stage",)
)
_OVER = MetricSpec(
    "recokit_budget_overruns", "counter", "Runs in which a phase took more than its budget.", ("phase",)
)
_BASE = MetricSpec(
    "recokit_baseline_duration_seconds", "gauge", "Quantiles of the baseline.", ("stage", "percentile")
)
_SLOW = MetricSpec(
    "recokit_slow_runs",
    "counter",
    "Runs in which a stage, or the whole (total), took more than twice the p95 of the baseline.",
    ("stage",),
)
_RUN_KEY: Key = (_RUN.name,)
#: The whole run among the stages.
_TOTAL = "total"
#: Times the baseline that are slow.
SLOWER = 2.0


class LatencyMonitor(Monitor):
    """Quantiles of the duration of runs and of each stage.

    Parameters
    ----------
    baseline : mapping, optional
        ``{stage: {"p50": seconds, "p95": ..., "p99": ...}}``, with ``"total"`` for the whole run; as
        :meth:`quantiles` gives it. :meth:`set_baseline` takes it from the runs so far.
    budget_ms : float, default 100
        Total that the phases' budgets belong to, for runs without a budget of their own.
    relative_error : float, default 0.005
        Of quantiles.

    Notes
    -----
    p95 is above twice the baseline's where more than 5% of the runs take longer than that, so these are counted: a
    quantile read from the buckets of a histogram may be off by more than twice. A run counts once, be it one request or
    a batch. Sources that wait for others count the time that the run waited for them.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> data = rk.testing.toy_dataset()
    >>> latency = LatencyMonitor()
    >>> pipeline = rk.Pipeline([candidates.Popular()], observers=[latency]).fit(data)
    >>> for user in ["user-1", "user-2"]:
    ...     _ = pipeline.recommend([user], now=data.until)
    >>> figures = latency.quantiles(latency.total())
    >>> figures["total"]["n"], figures["total"]["p50"] <= figures["total"]["p99"]
    (2.0, True)
    """

    metrics = (_RUN, _STAGE, _OVER, _SLOW, _BASE)
    edges = EDGES

    def __init__(
        self,
        *,
        baseline: Mapping[str, Mapping[str, float]] | None = None,
        budget_ms: float = TOTAL_BUDGET_MS,
        relative_error: float = 0.005,
    ) -> None:
        super().__init__()
        self.baseline, self.budget_ms, self.relative_error = baseline, budget_ms, relative_error
        check_options(self, {"budget_ms": between(0, math.inf, open_low=True)})
        self._empty = QuantileSketch(relative_error=relative_error, edges=EDGES)
        self._limits = _slow_limits(baseline)
        self._keys: dict[str, Key] = {}
        self._budget = {
            phase: ms * budget_ms / TOTAL_BUDGET_MS / 1e3 for phase, ms in PHASE_BUDGET_MS.items()
        }

    def _count(self, counters: Counters, trace: Trace) -> None:
        spent = dict.fromkeys(self._budget, 0.0)
        for event in trace.events:
            if event.skipped:
                continue
            spent[PHASE_OF_ROLE.get(event.role, "post")] += event.seconds
            key = self._keys.get(event.name) or self._key(event.name)
            self._count_duration(counters, key, event.name, event.seconds)
        self._count_duration(counters, _RUN_KEY, _TOTAL, trace.seconds)
        for phase in trace.overruns if trace.budget < math.inf else self._late(spent, trace.seconds):
            counters.add((_OVER.name, phase))

    def _count_duration(self, counters: Counters, key: Key, stage: str, seconds: float) -> None:
        sketch = counters.sketches.get(key)
        if sketch is None:
            sketch = counters.sketches[key] = self._empty.empty()
        sketch.add(seconds)
        if seconds > self._limits.get(stage, math.inf):
            counters.add((_SLOW.name, stage))

    def _key(self, stage: str) -> Key:
        key = (_STAGE.name, self._bounded("stage", stage))
        if len(self._keys) < 1000:
            self._keys[stage] = key
        return key

    def _late(self, spent: Mapping[str, float], seconds: float) -> list[str]:
        late = [phase for phase, limit in self._budget.items() if spent[phase] > limit]
        return [*late, "total"] if seconds > self.budget_ms / 1e3 else late

    def quantiles(self, counters: Counters) -> dict[str, dict[str, float]]:
        """Return ``n``, ``p50``, ``p95`` and ``p99`` in seconds, by stage and for ``"total"``."""
        return {
            key[1] if len(key) > 1 else _TOTAL: {
                "n": float(sketch.count),
                **dict(zip(QUANTILES, sketch.quantiles(list(QUANTILES.values())), strict=True)),
            }
            for key, sketch in counters.sketches.items()
        }

    def set_baseline(self, baseline: Mapping[str, Mapping[str, float]] | None = None) -> None:
        """Set the baseline, by default to all runs so far; do so when serving is known to be healthy."""
        self.baseline = self.quantiles(self.total()) if baseline is None else baseline
        self._limits = _slow_limits(self.baseline)

    def counters(self, counters: Counters) -> Mapping[Key, float]:
        """Return the counts; 0 slow runs of each stage that has a baseline, so that the first one is seen."""
        return {**{(_SLOW.name, stage): 0.0 for stage in self._limits}, **counters.counts}

    def gauges(self, now: float) -> dict[Key, float]:
        """Return the baseline's quantiles."""
        return {
            (_BASE.name, stage, name): figures[name]
            for stage, figures in (self.baseline or {}).items()
            for name in QUANTILES
            if name in figures
        }

    def figures(self, counters: Counters) -> dict[str, Any]:
        """Return the quantiles by stage, and the overruns by phase."""
        return {
            "seconds": self.quantiles(counters),
            "overruns": {key[1]: int(n) for key, n in counters.counts.items() if key[0] == _OVER.name},
        }


def _slow_limits(baseline: Mapping[str, Mapping[str, float]] | None) -> dict[str, float]:
    """Return the seconds above which a run of a stage is slow, by stage."""
    return {stage: SLOWER * figures["p95"] for stage, figures in (baseline or {}).items() if "p95" in figures}
