"""HealthMonitor: how requests were answered, what failed and why, and what caches missed (R21)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from recokit.monitoring.counters import Key, Metric, Tally
from recokit.monitoring.monitor import Monitor
from recokit.trace import Status, Trace

__all__ = ["HealthMonitor"]

_REQUESTS = Metric("recokit_requests", "counter", "Requests by how they were answered.", ("status",))
_RUNS = Metric("recokit_runs", "counter", "Runs, of one request or a batch.")
_ERRORS = Metric(
    "recokit_stage_errors",
    "counter",
    "Requests that a stage failed on, by the type of the error; "
    "degraded: served with less, part: a part of a source failed.",
    ("stage", "reason"),
)
_SKIPPED = Metric(
    "recokit_stage_skipped", "counter", "Runs that a stage was skipped in, for want of time.", ("stage",)
)
_READS = Metric("recokit_cache_reads", "counter", "Rows read from a store.", ("store",))
_MISSES = Metric(
    "recokit_cache_misses", "counter", "Rows that a store had not, by reason: missing, expired, failed.",
    ("store", "reason"),
)  # fmt: skip

_STATUS_KEYS = {int(status): (_REQUESTS.name, status.name.lower()) for status in Status}
_RUN_KEY: Key = (_RUNS.name,)
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

    def _count(self, tally: Tally, trace: Trace) -> None:
        tally.add(_RUN_KEY)
        status = trace.status
        if len(status) == 1:
            tally.add(_STATUS_KEYS[int(status[0])])
        else:
            for value in status.tolist():
                tally.add(_STATUS_KEYS[value])
        told = set()
        for event in trace.events:
            if event.error:
                tally.add(self._error(event.name, event.error), max(len(event.failed_rows), 1))
                told.add(event.name)
            if event.skipped:
                tally.add((_SKIPPED.name, self._bounded("stage", event.name)))
                told.add(event.name)
            if event.detail.get("part_errors"):
                tally.add((_ERRORS.name, self._bounded("stage", event.name), "part"), event.n_rows)
                told.add(event.name)
        if any(trace.reasons):
            self._count_notes(tally, trace, told)
        for name, store in (self.stores or {}).items():
            self._count_store(tally, name, store.counts)

    def _count_notes(self, tally: Tally, trace: Trace, told: set[str]) -> None:
        """Count what stages said of rows that they served with less than they should have."""
        stages = {event.name for event in trace.events} - told
        for status, reasons in zip(trace.status.tolist(), trace.reasons, strict=True):
            if status in (Status.DEGRADED, Status.FALLBACK):
                for stage in {reason.partition(": ")[0] for reason in reasons} & stages:
                    if not stage.startswith("fallback."):
                        tally.add((_ERRORS.name, self._bounded("stage", stage), "degraded"))

    def _error(self, stage: str, error: str) -> Key:
        found = _TYPE_NAME.match(error)
        reason = found[0] if found and error[found.end() :].startswith(":") else "error"
        return _ERRORS.name, self._bounded("stage", stage), self._bounded("reason", reason)

    def _count_store(self, tally: Tally, name: str, counts: Mapping[str, int]) -> None:
        seen = self._seen[name]
        if counts["rows"] == seen["rows"]:
            return
        tally.add((_READS.name, name), counts["rows"] - seen["rows"])
        for reason in ("missing", "expired", "failed"):
            if counts[reason] != seen[reason]:
                tally.add((_MISSES.name, name, reason), counts[reason] - seen[reason])
        self._seen[name] = dict(counts)

    def shares(self, tally: Tally) -> dict[tuple[str, str], tuple[float, float]]:
        """Return how many requests, of how many, met with what.

        By (kind, subject): ``("status", "fallback")``, ``("error", stage)``, ``("miss", store)``.
        """
        requests = sum(n for key, n in tally.counts.items() if key[0] == _REQUESTS.name)
        found: dict[tuple[str, str], tuple[float, float]] = {}
        for key, n in tally.counts.items():
            if key[0] == _REQUESTS.name:
                found["status", key[1]] = n, requests
            elif key[0] == _ERRORS.name:
                found["error", key[1]] = found.get(("error", key[1]), (0.0, 0.0))[0] + n, requests
            elif key[0] == _MISSES.name:
                rows = tally.counts[_READS.name, key[1]]
                found["miss", key[1]] = found.get(("miss", key[1]), (0.0, 0.0))[0] + n, rows
        return found

    def figures(self, tally: Tally) -> dict[str, Any]:
        """Return requests, shares by status, errors by stage and reason, and miss rates of stores."""
        counts = tally.counts
        by_status = {key[1]: n for key, n in counts.items() if key[0] == _REQUESTS.name}
        n = sum(by_status.values())
        errors: dict[str, dict[str, int]] = {}
        for key, count in counts.items():
            if key[0] == _ERRORS.name:
                errors.setdefault(key[1], {})[key[2]] = int(count)
        misses = {name: n / of for (kind, name), (n, of) in self.shares(tally).items() if kind == "miss"}
        return {
            "requests": int(n),
            "runs": int(counts.get(_RUN_KEY, 0)),
            "status": {status: count / n for status, count in sorted(by_status.items())},
            "errors": errors,
            "skipped": {key[1]: int(count) for key, count in counts.items() if key[0] == _SKIPPED.name},
            "cache_misses": misses,
        }
