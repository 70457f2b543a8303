"""FunnelMonitor: candidates by source, removals by rule."""

from __future__ import annotations

from typing import Any

from recokit.monitoring.counters import Counters, MetricSpec
from recokit.monitoring.monitor import Monitor
from recokit.trace import Trace

_CALLS = MetricSpec("recokit_source_calls", "counter", "Runs in which a source was called.", ("source",))
_ANSWERS = MetricSpec(
    "recokit_source_answers", "counter", "Runs in which a source found at least one candidate.", ("source",)
)
_FOUND = MetricSpec("recokit_source_candidates", "counter", "Candidates that a source found.", ("source",))
_IN = MetricSpec("recokit_rule_candidates", "counter", "Candidates that a rule looked at.", ("stage",))
_REMOVED = MetricSpec("recokit_rule_removed", "counter", "Candidates that a rule removed.", ("stage",))
_RANKED = MetricSpec("recokit_ranked_candidates", "counter", "Candidates that selection chose from.")
_ITEMS = MetricSpec("recokit_items_shown", "counter", "Items in the lists.")
_RELAXED = MetricSpec(
    "recokit_limits_relaxed", "counter", "Lists for which a soft limit was relaxed.", ("limit",)
)
_ROLES = ("filter", "annotator")


class FunnelMonitor(Monitor):
    """Candidates by source, removals by rule, relaxed limits, items shown.

    A filter of several in a row looks at what the first of them got, so two of them may count the same candidate.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates, rules
    >>> data = rk.testing.toy_dataset()
    >>> funnel = FunnelMonitor()
    >>> stages = [candidates.Popular(), rules.Blocked([101, 102])]
    >>> pipeline = rk.Pipeline(stages, observers=[funnel]).fit(data)
    >>> _ = pipeline.recommend(["user-1", "user-2"], k=3, now=data.until)
    >>> figures = funnel.figures(funnel.total())
    >>> figures["sources"]["popular"]["calls"], figures["rules"]["blocked"]["removed"], figures["items"]
    (1, 4, 6)
    """

    metrics = (_CALLS, _ANSWERS, _FOUND, _IN, _REMOVED, _RANKED, _ITEMS, _RELAXED)

    def __init__(self) -> None:
        super().__init__()

    def _count(self, counters: Counters, trace: Trace) -> None:
        for event in trace.events:
            role = event.role
            if role == "source":
                if "by_source" not in event.detail and not event.skipped:
                    self._count_source(
                        counters, self._bounded("source", event.name), event.n_out or event.n_in
                    )
            elif role in _ROLES:
                name = self._bounded("stage", event.name)
                counters.add((_IN.name, name), event.n_in)
                if event.n_out < event.n_in:
                    counters.add((_REMOVED.name, name), event.n_in - event.n_out)
            elif role == "selection":
                counters.add((_RANKED.name,), event.n_in)
                for limit, rows in event.detail.get("relaxed", {}).items():
                    counters.add((_RELAXED.name, self._bounded("limit", limit)), rows)
        counters.add((_ITEMS.name,), len(trace.selected))

    def _count_source(self, counters: Counters, source: str, n: int) -> None:
        counters.add((_CALLS.name, source))
        if n:
            counters.add((_ANSWERS.name, source))
            counters.add((_FOUND.name, source), n)

    def answered(self, counters: Counters) -> dict[str, tuple[float, float]]:
        """Return the calls in which each source found something, and all its calls."""
        return {
            key[1]: (counters.counts.get((_ANSWERS.name, key[1]), 0.0), n)
            for key, n in counters.counts.items()
            if key[0] == _CALLS.name
        }

    def figures(self, counters: Counters) -> dict[str, Any]:
        """Return calls, the share of them with an answer, and candidates by source; candidates and removals by rule."""
        counts = counters.counts

        def of(metric: MetricSpec, label: str) -> int:
            return int(counts.get((metric.name, label), 0))

        def labels(metric: MetricSpec) -> list[str]:
            return sorted(key[1] for key in counts if key[0] == metric.name)

        return {
            "sources": {
                name: {
                    "calls": of(_CALLS, name),
                    "answered": of(_ANSWERS, name) / of(_CALLS, name),
                    "candidates": of(_FOUND, name),
                }
                for name in labels(_CALLS)
            },
            "rules": {
                name: {"candidates": of(_IN, name), "removed": of(_REMOVED, name)} for name in labels(_IN)
            },
            "relaxed": {name: of(_RELAXED, name) for name in labels(_RELAXED)},
            "ranked": int(counts.get((_RANKED.name,), 0)),
            "items": int(counts.get((_ITEMS.name,), 0)),
        }
