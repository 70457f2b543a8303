"""Checks of scores, hard rules and the final order."""

from __future__ import annotations

import numpy as np

from recokit.debugger.evidence import TOP, Evidence
from recokit.debugger.finding import Finding, Severity

__all__ = ["HardRules", "ListChanges", "ScoreSpread", "Scores"]


class Scores:
    """Scores that are not finite."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        if evidence.ranked is None or not evidence.has_scorer or not len(evidence.ranked):
            return []
        bad = ~np.isfinite(evidence.ranked.score)
        failed = any(event.error and event.role == "scorer" for event in evidence.trace.events)
        given = [
            event
            for event in evidence.trace.events
            if event.role == "scorer" and event.detail.get("nan_share")
        ]
        share = max((float(event.detail["nan_share"]) for event in given), default=float(bad.mean()))
        if failed or share == 0:
            return []
        # The first that gives them: later scorers build on its scores.
        scorers = given or [event for event in evidence.trace.events if event.role == "scorer"]
        scorer = scorers[0].name
        return [
            Finding(
                "SCORES_NOT_FINITE",
                Severity.CRITICAL if share > 0.1 else Severity.WARNING,
                scorer,
                "model",
                f"{share:.0%} of {len(evidence.ranked)} scores are NaN or infinite; they rank last",
                f"Look at the inputs of {scorer}: a score that is not finite comes from features or a broken model.",
                {"share": share},
            )
        ]


class ScoreSpread:
    """Whether the ranker tells the best candidates apart, free of its scale.

    Parameters
    ----------
    minimum : float, default 0.01
        Least range of the ten best, as a share of the range of the upper half of all scores (R38).
    """

    def __init__(self, minimum: float = 0.01) -> None:
        self.minimum = minimum

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        spread = evidence.relative_spread
        if not evidence.has_scorer or not np.isfinite(spread) or spread >= self.minimum:
            return []
        scorer = [event.name for event in evidence.trace.events if event.role == "scorer"][-1]
        return [
            Finding(
                "RANKING_DIFFERENTIATION_FAILURE",
                Severity.CRITICAL,
                scorer,
                "ranking",
                f"the ten best scores span {spread:.2%} of the upper half's range: {scorer} hardly tells them apart",
                "Look at the ranker's features and training: a constant score means that it learned or got nothing.",
                {"spread": evidence.spread, "relative_spread": spread},
            )
        ]


class HardRules:
    """What hard rules remove from the top.

    Parameters
    ----------
    maximum : int, default 10
        Most of the top 20 that rules may remove (R38).
    """

    def __init__(self, maximum: int = 10) -> None:
        self.maximum = maximum

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        removed = {item for items in evidence.removed.values() for item in items}
        # With fewer than 20 candidates the same half counts.
        limit = self.maximum * min(1.0, max(evidence.n_open, 1) / TOP)
        if len(removed) <= limit:
            return []
        counts = {name: len(items) for name, items in evidence.removed.items() if items}
        worst = max(counts, key=lambda name: counts[name])
        return [
            Finding(
                "BUSINESS_RULES_TOO_AGGRESSIVE",
                Severity.CRITICAL,
                worst,
                "rules",
                f"hard rules remove {len(removed)} of the top {min(TOP, evidence.n_open)}, {worst} most of them",
                f"Check what feeds {worst}, and whether the rule should be that strict.",
                {"removed_by": counts, "items": evidence.ids(sorted(removed))},
            )
        ]


class ListChanges:
    """How much limits and diversity change the list that the scores ask for.

    Parameters
    ----------
    maximum : float, default 0.7
        Largest share of the top k that may be kept off the list.
    """

    def __init__(self, maximum: float = 0.7) -> None:
        self.maximum = maximum

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        size = min(evidence.k, len(evidence.top))
        if not size or not evidence.exchanged:
            return []
        share = evidence.exchanged / size
        selection = [event for event in evidence.trace.events if event.role == "selection"]
        strong = share > self.maximum and len(evidence.selected) > 0
        return [
            Finding(
                "LIST_CHANGED_TOO_MUCH" if strong else "LIST_CHANGED",
                Severity.WARNING if strong else Severity.NOTE,
                selection[0].name,
                "rules",
                f"limits and diversity keep {evidence.exchanged} of the top {size} by score off the list",
                "Loosen the limits or give relevance more weight."
                if strong
                else "Nothing, if that is what they are for.",
                {"exchanged": evidence.exchanged, "relaxed": dict(selection[0].detail.get("relaxed", {}))},
            )
        ]
