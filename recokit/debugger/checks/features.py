"""Checks of the features: whether they are there, how old they are, and whether they mean what they did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit.debugger.evidence import FEWEST, Evidence, FeaturePair
from recokit.debugger.finding import Finding, Severity
from recokit.typing import FloatArray

__all__ = ["FeatureCoverage", "FeatureFreshness", "FeatureValues", "contributed"]


#: What stands for a missing number where people do not leave it missing.
USUAL_DEFAULTS = (0.0, -1.0)


class FeatureCoverage:
    """Missing features: of the items at the top, and of any candidate that has them in the baseline.

    Parameters
    ----------
    minimum : float, default 0.8
        Share of values that must be there (R38); of what the baseline has of the same items, where there is one.
    lost : float, default 0.5
        Share of the values of one feature that the baseline has, and that may be missing here.
    """

    def __init__(self, minimum: float = 0.8, lost: float = 0.5) -> None:
        self.minimum, self.lost = minimum, lost

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        coverage = evidence.feature_coverage
        if not coverage:
            return []
        share = float(np.mean(list(coverage.values())))
        pair = evidence.paired_features
        names = sorted(name for name, part in coverage.items() if part < self.minimum)
        if pair is None:
            expected = self.minimum
            return [self._issue(evidence, share, expected, names)] if share < expected else []
        n_usual = pair.there_usual.sum(axis=0)
        missing = (pair.there_usual & ~pair.there).sum(axis=0)
        lost = [pair.names[i] for i in np.flatnonzero((n_usual >= FEWEST) & (missing > self.lost * n_usual))]
        if not lost:
            return []
        # Of the same candidates, what the baseline has is what can be expected.
        kept = float(pair.there.sum() / max(pair.there_usual.sum(), 1))
        if kept < self.minimum:
            return [self._issue(evidence, share, share / max(kept, 1e-9) * self.minimum, sorted(lost))]
        return [
            Finding(
                "FEATURES_LOST",
                Severity.CRITICAL,
                stage_of(evidence, lost),
                f"{len(lost)} features that the baseline has are missing: {_some(sorted(lost))}",
                f"Mend what computes or serves {_some(sorted(lost))}.",
                "ranking",
                "data",
                evidence={"features": sorted(lost)[:20], "coverage": share},
                items=evidence.ids(evidence.best),
                relative=True,
            )
        ]

    def _issue(self, evidence: Evidence, share: float, expected: float, names: list[str]) -> Finding:
        return Finding(
            "FEATURE_QUALITY_ISSUE",
            Severity.CRITICAL,
            stage_of(evidence, names),
            f"{share:.0%} of the features of the top {len(evidence.top)} items have a value, "
            f"expected {min(expected, 1.0):.0%}",
            f"Mend what computes or serves {_some(names)}.",
            "ranking",
            "data",
            evidence={"coverage": share, "expected": min(expected, 1.0), "features": names[:20]},
            items=evidence.ids(evidence.best),
        )


class FeatureFreshness:
    """Features older than a day (R38).

    Parameters
    ----------
    max_age : float, default 86400
        Seconds.
    spoiled : float, default 7 days
        Seconds after which they spoil the list.
    """

    def __init__(self, max_age: float = 86_400.0, spoiled: float = 7 * 86_400.0) -> None:
        self.max_age, self.spoiled = max_age, spoiled

    def stale(self, evidence: Evidence) -> list[str]:
        """Return the names of the stale features."""
        return sorted(name for name, age in evidence.feature_age.items() if age > self.max_age)

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        stale = self.stale(evidence)
        if not stale:
            return []
        seconds = max(evidence.feature_age[name] for name in stale)
        oldest = seconds / 86_400
        return [
            Finding(
                "STALE_FEATURES",
                Severity.CRITICAL if seconds > self.spoiled else Severity.WARNING,
                stage_of(evidence, stale),
                f"{len(stale)} of {len(evidence.feature_age)} features are stale, the oldest by {oldest:.1f} days",
                "Refresh the event log behind the features, or fit the pipeline on recent data.",
                "ranking",
                "data",
                evidence={"features": stale[:20], "oldest_days": round(oldest, 2)},
            )
        ]


class FeatureValues:
    """Features that mean something else than in the baseline: of the same candidates, at the same time.

    Features with the name of a source in front, its ranks and scores, follow the source and are left to its checks.

    Parameters
    ----------
    scaled : float, default 8.0
        How many times larger or smaller values must be, all alike, to count as scaled.
    shift : float, default 2.0
        Mean change, in standard deviations of the feature, that counts as drift (R2).
    """

    def __init__(self, scaled: float = 8.0, shift: float = 2.0) -> None:
        self.scaled, self.shift = scaled, shift

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        pair = evidence.paired_features
        if pair is None:
            return []
        enough = pair.both.sum(axis=0) >= FEWEST
        differing = enough & (pair.changed.sum(axis=0) > 0.2 * pair.both.sum(axis=0))
        sources = tuple(f"{name}_" for name in evidence.candidate_sources)
        suspects = [i for i in np.flatnonzero(differing) if not pair.names[i].startswith(sources)]
        kinds: dict[str, list[str]] = {}
        for column in suspects:
            kind = self._kind(pair, int(column), evidence.scale)
            if kind:
                kinds.setdefault(kind, []).append(pair.names[column])
        return [_finding(evidence, kind, sorted(names)) for kind, names in kinds.items()]

    def _kind(self, pair: FeaturePair, column: int, scale: Mapping[str, float]) -> str:
        both = pair.both[:, column]
        here, usual = pair.here[both, column], pair.usual[both, column]
        moved = pair.changed[both, column]
        if _swapped(pair, column):
            return "FEATURES_SWAPPED"
        if _by_one_factor(here, usual, self.scaled):
            return "FEATURES_SCALED"
        one_value = moved.sum() >= FEWEST and np.ptp(here[moved]) == 0
        # Of a feature of the user, which is one value anyway, only the usual defaults tell.
        if one_value and (np.ptp(usual[moved]) > 0 or here[moved][0] in USUAL_DEFAULTS):
            return "FEATURES_DEFAULTED"
        spread = scale.get(pair.names[column], 0.0) or float(usual.std()) or float(np.abs(usual).mean())
        if spread > 0 and abs(float(here.mean() - usual.mean())) > self.shift * spread:
            return "FEATURES_DRIFTED"
        return ""


def _swapped(pair: FeaturePair, column: int) -> bool:
    """Whether the values are those that another feature has in the baseline, and that feature changed too."""
    here = pair.here[:, column]
    known = np.isfinite(here)
    if known.sum() < FEWEST:
        return False
    with np.errstate(invalid="ignore"):
        alike = np.abs(pair.usual - here[:, None]) <= 1e-4 * (np.abs(here[:, None]) + 1e-6)
    alike |= ~np.isfinite(pair.usual) & ~known[:, None]
    others = np.flatnonzero(alike.mean(axis=0) > 0.95)
    return any(
        other != column and pair.changed[:, other].sum() > 0.2 * max(pair.both[:, other].sum(), 1)
        for other in others
    )


def _by_one_factor(here: FloatArray, usual: FloatArray, least: float) -> bool:
    used = (np.abs(usual) > 1e-9) & (np.abs(here) > 1e-12)
    if used.sum() < 3:
        return False
    factor = np.log(np.abs(here[used] / usual[used]))
    low, middle, high = np.percentile(factor, (10, 50, 90))
    # One value for all candidates may as well be shifted: only a large factor tells.
    least = least if np.ptp(usual) > 0 else least**2.5
    return bool(abs(middle) > np.log(least) and high - low < 0.2)


_SAID = {
    "FEATURES_SWAPPED": (
        "have each other's values",
        "Check the order of columns where they are written and where they are read",
    ),
    "FEATURES_SCALED": (
        "are all larger or smaller by one factor than in the baseline",
        "Check the unit in which they are computed",
    ),
    "FEATURES_DEFAULTED": (
        "are one and the same value where the baseline has different ones",
        "Check why a default stands in their place; missing values should be missing, not a number",
    ),
    "FEATURES_DRIFTED": (
        "have moved by more than two standard deviations from the baseline's values",
        "Check what computes them, and train the ranker again if the change is meant",
    ),
}


def _finding(evidence: Evidence, kind: str, names: list[str]) -> Finding:
    what, action = _SAID[kind]
    return Finding(
        kind,
        Severity.CRITICAL,
        stage_of(evidence, names),
        f"{len(names)} features {what}: {_some(names)}",
        f"{action}: {_some(names)}.",
        "ranking",
        "data",
        evidence={"features": names[:20]},
        items=evidence.ids(evidence.best),
        relative=True,
    )


def stage_of(evidence: Evidence, names: list[str]) -> str:
    """Return the stage that most of the features come from."""
    stages = [evidence.feature_stage[name] for name in names if name in evidence.feature_stage]
    return max(sorted(set(stages)), key=stages.count) if stages else ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")


#: Items that are explained, and features that are named.
ITEMS, FEATURES = 10, 5


def contributed(evidence: Evidence) -> dict[str, float]:
    """Return what features add to the scores of the ten best, on average, by the first scorer that tells.

    The five that add or take most. Empty where no scorer tells, and where the request did not run alone: trees take
    a millisecond for each item.
    """
    if not evidence.alone or evidence.ranked is None:
        return {}
    best = evidence.ranked.item[evidence.top[:ITEMS]]
    for event in evidence.events("scorer"):
        stage: Any = evidence.stages.get(event.name)
        if hasattr(stage, "contributions") and event.before is not None and not event.error:
            try:
                parts = stage.contributions(event.before.compress(np.isin(event.before.item, best)))
            except Exception:  # the run itself has recorded what fails
                return {}
            return _largest(stage.feature_names_, np.asarray(parts, np.float64).mean(axis=0))
    return {}


def _largest(names: Any, added: Any) -> dict[str, float]:
    known = np.flatnonzero(np.isfinite(added) & (added != 0))
    first = known[np.argsort(-np.abs(added[known]), kind="stable")[:FEATURES]]
    return {names[place]: float(added[place]) for place in first.tolist()}
