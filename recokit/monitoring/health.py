"""HealthMonitor: answers by status, errors by stage and reason, and misses of caches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from recokit.monitoring.counters import Counters, Key, MetricSpec
from recokit.monitoring.monitor import Monitor
from recokit.trace import Status, Trace

_REQUESTS = MetricSpec("recokit_requests", "counter", "Requests by how they were answered.", ("status",))
_RUNS = MetricSpec("recokit_runs", "counter", "Runs, of one request or a batch.")
_ERRORS = MetricSpec(
    "recokit_stage_errors",
    "counter",
    "Requests that a stage failed on, by the type of the error; "
    "degraded: served with less, part: a part of a source failed.",
    ("stage", "reason"),
)
_SKIPPED = MetricSpec(
    "recokit_stage_skipped", "counter", "Runs that a stage was skipped in, for want of time.", ("stage",)
)
_READS = MetricSpec("recokit_cache_reads", "counter", "Rows read from a store.", ("store",))
_MISSES = MetricSpec(
    "recokit_cache_misses", "counter", "Rows that a store had not, by reason: missing, expired, failed.",
    ("store", "reason"),
)  # fmt: skip

_STATUS_KEYS = {int(status): (_REQUESTS.name, status.name.lower()) for status in Status}
_RUN_KEY: Key = (_RUNS.name,)
_KINDS = {_REQUESTS.name: "status", _ERRORS.name: "error", _MISSES.name: "miss"}
_TYPE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class HealthMonitor(Monitor):
    """Counts of answers by status, errors by stage and reason, skipped stages, cache misses.

    Parameters
    ----------
    stores : mapping of str to object, optional
        Feature stores or caches by name: anything whose ``counts`` has the running totals ``rows``, ``missing``,
        ``expired`` and ``failed``, as those of :mod:`recokit.stores`.

    Notes
    -----
    Reasons are types of errors, never their texts, so that their number is bounded.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> data = rk.testing.toy_dataset()
    >>> health = HealthMonitor()
    >>> broken = rk.Step(rk.testing.failing(candidates.Popular()), name="broken")
    >>> pipeline = rk.Pipeline(
    ...     [candidates.Merge([candidates.Popular(half_life="7D"), broken])], observers=[health]
    ... ).fit(data)
    >>> _ = pipeline.recommend(["user-1"], k=3, now=data.until)
    >>> health.figures(health.total())["errors"]
    {'merge.broken': {'RuntimeError': 1}}
    """

    metrics = (_REQUESTS, _RUNS, _ERRORS, _SKIPPED, _READS, _MISSES)

    def __init__(self, *, stores: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.stores = stores
        # Totals of a store count from when it was opened, this monitor from when it began.
        self._seen = {name: dict(store.counts) for name, store in (stores or {}).items()}

    def _count(self, counters: Counters, trace: Trace) -> None:
        counters.add(_RUN_KEY)
        status = trace.status
        if len(status) == 1:
            counters.add(_STATUS_KEYS[int(status[0])])
        else:
            for value in status.tolist():
                counters.add(_STATUS_KEYS[value])
        counted = set()
        for event in trace.events:
            if event.error:
                counters.add(self._error(event.name, event.error), max(len(event.failed_rows), 1))
                counted.add(event.name)
            if event.skipped:
                counters.add((_SKIPPED.name, self._bounded("stage", event.name)))
                counted.add(event.name)
            if event.detail.get("part_errors"):
                counters.add((_ERRORS.name, self._bounded("stage", event.name), "part"), event.n_rows)
                counted.add(event.name)
        if any(trace.reasons):
            self._count_degraded(counters, trace, counted)
        for name, store in (self.stores or {}).items():
            self._count_store(counters, name, store.counts)

    def _count_degraded(self, counters: Counters, trace: Trace, counted: set[str]) -> None:
        """Count the rows that other stages, by their reasons, served with less than they should have."""
        stages = {event.name for event in trace.events} - counted
        for status, reasons in zip(trace.status.tolist(), trace.reasons, strict=True):
            if status in (Status.DEGRADED, Status.FALLBACK):
                for stage in {reason.partition(": ")[0] for reason in reasons} & stages:
                    if not stage.startswith("fallback."):
                        counters.add((_ERRORS.name, self._bounded("stage", stage), "degraded"))

    def _error(self, stage: str, error: str) -> Key:
        name = _TYPE_NAME.match(error)
        reason = name[0] if name and error[name.end() :].startswith(":") else "error"
        return _ERRORS.name, self._bounded("stage", stage), self._bounded("reason", reason)

    def _count_store(self, counters: Counters, name: str, counts: Mapping[str, int]) -> None:
        seen = self._seen[name]
        if counts["rows"] == seen["rows"]:
            return
        counters.add((_READS.name, name), counts["rows"] - seen["rows"])
        for reason in ("missing", "expired", "failed"):
            if counts[reason] != seen[reason]:
                counters.add((_MISSES.name, name, reason), counts[reason] - seen[reason])
        self._seen[name] = dict(counts)

    def shares(self, counters: Counters) -> dict[tuple[str, str], tuple[float, float]]:
        """Return how many requests (of a store: rows), and of how many, had each kind of trouble.

        By (kind, subject): ``("status", "fallback")``, ``("error", stage)``, ``("miss", store)``.
        """
        requests = sum(n for key, n in counters.counts.items() if key[0] == _REQUESTS.name)
        shares: dict[tuple[str, str], tuple[float, float]] = {}
        for (metric, *labels), n in counters.counts.items():
            if metric not in _KINDS:
                continue
            kind, subject = _KINDS[metric], labels[0]
            total = counters.counts[_READS.name, subject] if kind == "miss" else requests
            shares[kind, subject] = shares.get((kind, subject), (0.0, 0.0))[0] + n, total
        return shares

    def figures(self, counters: Counters) -> dict[str, Any]:
        """Return requests, shares by status, errors by stage and reason, and miss rates of stores."""
        counts = counters.counts
        by_status = {key[1]: n for key, n in counts.items() if key[0] == _REQUESTS.name}
        n = sum(by_status.values())
        errors: dict[str, dict[str, int]] = {}
        for key, count in counts.items():
            if key[0] == _ERRORS.name:
                errors.setdefault(key[1], {})[key[2]] = int(count)
        misses = {name: n / of for (kind, name), (n, of) in self.shares(counters).items() if kind == "miss"}
        return {
            "requests": int(n),
            "runs": int(counts.get(_RUN_KEY, 0)),
            "status": {status: count / n for status, count in sorted(by_status.items())},
            "errors": errors,
            "skipped": {key[1]: int(count) for key, count in counts.items() if key[0] == _SKIPPED.name},
            "cache_misses": misses,
        }
