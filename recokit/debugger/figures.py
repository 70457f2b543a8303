"""Figures: the numbers of R38, the funnel of one user, and what could not be assessed."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.debugger.captured import n_shared
from recokit.debugger.checks_features import FeatureFreshness
from recokit.debugger.evidence import Evidence
from recokit.trace import StageEvent

__all__ = ["figures_of", "funnel_of", "gaps_of"]


def figures_of(evidence: Evidence) -> dict[str, Any]:
    """Return the figures of R38, ready for JSON."""
    coverage = evidence.feature_coverage
    return {
        "candidate_count": 0 if evidence.retrieved is None else len(evidence.retrieved),
        "candidate_sources": evidence.candidate_sources,
        "known_good_in_candidates": _n_good(evidence),
        "known_good_total": None if evidence.known_good is None else len(evidence.known_good),
        "known_good_in_baseline": None if evidence.baseline is None else _n_good(evidence.baseline),
        "feature_coverage": float(np.mean(list(coverage.values()))) if coverage else None,
        "feature_freshness": {
            "stale_features": len(FeatureFreshness().stale(evidence)),
            "total": 0 if evidence.ranked is None else len(evidence.ranked.feature_names),
        },
        "top_10_scores": [float(score) if np.isfinite(score) else None for score in evidence.top_scores],
        "score_spread": None if np.isnan(evidence.spread) else evidence.spread,
        "items_removed_by_rules": len({item for items in evidence.removed.values() for item in items}),
        "items_moved_by_limits": evidence.exchanged_by_limits,
        "items_moved_by_diversity": evidence.exchanged_by_diversity,
        "items_moved_by_limits_and_diversity": evidence.exchanged,
        "list_length": len(evidence.selected),
        "status": evidence.status,
        "cold": evidence.cold,
    }


def _n_good(evidence: Evidence) -> int | None:
    if evidence.known_good is None:
        return None
    return n_shared(evidence.known_good, evidence.retrieved_items)


def funnel_of(evidence: Evidence) -> tuple[dict[str, Any], ...]:
    """Return the user's own funnel: one record for each event; times are those of the whole run."""
    return tuple(
        {
            "name": event.name,
            "role": event.role,
            "n_in": n_in,
            "n_out": n_out,
            "removed": max(n_in - n_out, 0),
            "ms": round(1e3 * event.seconds, 3),
            "error": event.error if evidence.failed_here(event) else "",
            "skipped": event.skipped,
        }
        for event in evidence.trace.events
        for n_in, n_out in [_counts(evidence, event)]
    )


def _counts(evidence: Evidence, event: StageEvent) -> tuple[int, int]:
    if evidence.alone:
        return event.n_in, event.n_out
    n_in = 0 if event.before is None else _n_of_row(event.before.offsets, evidence.row)
    if event.role == "filter" and event.before is not None and event.kept is not None:
        here = slice(int(event.before.offsets[evidence.row]), int(event.before.offsets[evidence.row + 1]))
        return n_in, int(np.count_nonzero(event.kept[here]))
    if event.after is not None:
        return n_in, _n_of_row(event.after.offsets, evidence.row)
    return n_in, evidence.candidate_sources.get(event.name.rpartition(".")[2], 0)


def _n_of_row(offsets: Any, row: int) -> int:
    return int(offsets[row + 1] - offsets[row])


def gaps_of(evidence: Evidence) -> tuple[str, ...]:
    """Return what could not be assessed, and why."""
    gaps = []
    if evidence.known_good is None:
        gaps.append("recall of the candidates: no known-good items were given")
    elif not len(evidence.known_good):
        gaps.append("recall of the candidates: this user has no known-good item")
    if evidence.baseline is None:
        gaps.append("changes of sources, features, scores and rules: no baseline was given")
    if not evidence.scan:
        gaps.append("self-test of the indexes: debugger.scan() was not run")
    if evidence.ranked is not None and evidence.ranked.feature_names and not evidence.feature_age:
        gaps.append("freshness of features: no stage tells")
    if not evidence.has_scorer:
        gaps.append("spread of the scores: nothing scores")
    if not evidence.alone:
        gaps.append("times: the request did not run alone")
    return tuple(gaps)
