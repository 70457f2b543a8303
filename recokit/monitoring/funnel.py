"""FunnelMonitor: what every source found and every rule removed."""

from __future__ import annotations

from typing import Any

from recokit.monitoring.counters import Metric, Tally
from recokit.monitoring.monitor import Monitor
from recokit.trace import Trace

__all__ = ["FunnelMonitor"]

_CALLS = Metric("recokit_source_calls", "counter", "Runs in which a source was asked.", ("source",))
_ANSWERS = Metric(
    "recokit_source_answers", "counter", "Runs in which a source found at least one candidate.", ("source",)
)
_FOUND = Metric("recokit_source_candidates", "counter", "Candidates that a source found.", ("source",))
_IN = Metric("recokit_rule_candidates", "counter", "Candidates that a rule looked at.", ("stage",))
_REMOVED = Metric("recokit_rule_removed", "counter", "Candidates that a rule removed.", ("stage",))
_RANKED = Metric("recokit_ranked_candidates", "counter", "Candidates that selection chose from.")
_ITEMS = Metric("recokit_items_shown", "counter", "Items in the lists.")
_RELAXED = Metric(
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

    def _count(self, tally: Tally, trace: Trace) -> None:
        for event in trace.events:
            role = event.role
            if role == "source":
                if "by_source" not in event.detail and not event.skipped:
                    self._count_source(tally, self._bounded("source", event.name), event.n_out or event.n_in)
            elif role in _ROLES:
                name = self._bounded("stage", event.name)
                tally.add((_IN.name, name), event.n_in)
                if event.n_out < event.n_in:
                    tally.add((_REMOVED.name, name), event.n_in - event.n_out)
            elif role == "selection":
                tally.add((_RANKED.name,), event.n_in)
                for limit, rows in event.detail.get("relaxed", {}).items():
                    tally.add((_RELAXED.name, self._bounded("limit", limit)), rows)
        tally.add((_ITEMS.name,), len(trace.selected))

    def _count_source(self, tally: Tally, source: str, found: int) -> None:
        tally.add((_CALLS.name, source))
        if found:
            tally.add((_ANSWERS.name, source))
            tally.add((_FOUND.name, source), found)

    def answered(self, tally: Tally) -> dict[str, tuple[float, float]]:
        """Return in how many calls, of how many, each source found something."""
        return {
            key[1]: (tally.counts.get((_ANSWERS.name, key[1]), 0.0), n)
            for key, n in tally.counts.items()
            if key[0] == _CALLS.name
        }

    def figures(self, tally: Tally) -> dict[str, Any]:
        """Return calls, the share of them with an answer, and candidates by source; candidates and removals by rule."""
        counts = tally.counts

        def of(metric: Metric, label: str) -> int:
            return int(counts.get((metric.name, label), 0))

        def labels(metric: Metric) -> list[str]:
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
