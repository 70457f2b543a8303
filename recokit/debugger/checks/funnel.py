"""Checks of the funnel's limits: whether candidates are cut before anything has judged them."""

from __future__ import annotations

from collections.abc import Collection

from recokit.debugger.captured import n_shared
from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import Evidence
from recokit.debugger.facts import raw_count
from recokit.debugger.finding import Finding
from recokit.trace import StageEvent


class FunnelLimits:
    """Sources, or their fusion, that end where the baseline's go on: a limit that is too small.

    Parameters
    ----------
    left : float, default 0.5
        Share of the baseline's number of items from which on an answer is not cut.
    prefix : float, default 0.5
        Share of the items that must be among the first of the baseline's answer: what is cut begins alike.
    """

    def __init__(self, left: float = 0.5, prefix: float = 0.5) -> None:
        self.left, self.prefix = left, prefix

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        usual = evidence.baseline
        if usual is None:
            return []
        cut: dict[str, Finding] = {}
        fusion, fused = "", 0
        before = {event.name: event for event in usual.events("source")}
        for event in evidence.events("source"):
            other = before.get(event.name)
            if other is None or event.name.startswith("fallback.") or evidence.failed_here(event):
                continue
            n, n_usual = _found(evidence, event), _found(usual, other)
            if not 0 < n <= self.left * n_usual:
                continue
            if event.after is not None:
                fusion, fused = event.name, n
            elif not self._is_cut(evidence, event, n):
                continue
            cut[event.name] = finding("FUNNEL_CUT", event.name, _figures(evidence, usual, n, n_usual))
        if fusion and all(
            _found(evidence, event) >= fused for event in _those(evidence, cut) if event.after is None
        ):
            # Sources are asked for no more than fusion keeps: it is its limit that they end at.
            return [cut[fusion]]
        return [one for name, one in cut.items() if name != fusion]

    def _is_cut(self, evidence: Evidence, event: StageEvent, n: int) -> bool:
        """Whether a source's answer begins as the baseline's does, and ends early."""
        assert evidence.baseline is not None
        leaf = event.name.rpartition(".")[2]
        mine, first = evidence.found_by(leaf), evidence.baseline.found_by(leaf)[: 2 * n]
        return len(mine) == 0 or n_shared(mine, first) >= self.prefix * len(mine)


def _figures(evidence: Evidence, usual: Evidence, n: int, n_usual: int) -> dict[str, int]:
    good, lost = evidence.known_good, 0
    if good is not None:
        lost = n_shared(good, usual.retrieved_items) - n_shared(good, evidence.retrieved_items)
    return {"found": n, "usual": n_usual, "known_good_lost": max(lost, 0)}


def _those(evidence: Evidence, names: Collection[str]) -> list[StageEvent]:
    return [event for event in evidence.events("source") if event.name in names]


def _found(evidence: Evidence, event: StageEvent) -> int:
    """Return how many items a source, or fusion, gave for this user."""
    if event.after is None:
        return raw_count(evidence, event)
    here = evidence.place_in(event.after)
    return int(here.stop - here.start)
