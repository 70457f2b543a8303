"""Checks of the features: whether they are there, how old they are, and whether they mean the same as before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit.data import DAY
from recokit.debugger.checks.causes import CAUSES, finding
from recokit.debugger.evidence import MIN_VALUES, Evidence, FeaturePair
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.isolated import features_differ
from recokit.protocols import Explainer
from recokit.typing import BoolArray, FloatArray

#: Share of its values that must differ for a feature to have changed.
CHANGED = 0.2
#: Share of its values that must be another feature's for the two to have changed places.
SWAPPED = 0.95
#: How far the logarithms of the factors may spread, from the 10th to the 90th percentile, to be one factor.
ONE_FACTOR = 0.2
#: Power of the option ``scaled`` that one value for all candidates must reach: it may as well be shifted.
ONE_VALUE_POWER = 2.5
#: Numbers that stand for a missing one where people do not leave it missing.
USUAL_DEFAULTS = (0.0, -1.0)
#: Names of features that evidence lists, and that a text gives.
LISTED, NAMED = 20, 3
#: Items that are explained, and features that are named for them.
EXPLAINED_ITEMS, EXPLAINED_FEATURES = 10, 5


class FeatureCoverage:
    """Missing features: of the items at the top, and of any candidate that has them in the baseline.

    Parameters
    ----------
    minimum : float, default 0.8
        Share of values that must be there; of those that the baseline has of the same items, where there is one.
    lost : float, default 0.5
        Share of the values of one feature that the baseline has, and that may be missing here.
    """

    def __init__(self, minimum: float = 0.8, lost: float = 0.5) -> None:
        self.minimum, self.lost = minimum, lost

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        coverage = evidence.feature_coverage
        if not coverage:
            return []
        share = float(np.mean(list(coverage.values())))
        pair = evidence.paired_features
        expected = self._expected(evidence)
        if pair is None:
            names = [name for name, part in coverage.items() if part < self.minimum]
            return self._issue(evidence, share, expected, names) if share < expected else []
        lost = self._lost(evidence, pair)
        if not lost:
            return []
        # Of the same candidates, the values that the baseline has are those to expect.
        kept = float(pair.there.sum() / pair.there_usual.sum())
        if kept < self.minimum:
            return self._issue(evidence, share, expected, lost)
        return [features_finding("FEATURES_LOST", evidence, lost, {"coverage": share})]

    def _expected(self, evidence: Evidence) -> float:
        """Return the share of the values that must be there: of those that the baseline has, where there is one."""
        usual = {} if evidence.baseline is None else evidence.baseline.feature_coverage
        return self.minimum * (float(np.mean(list(usual.values()))) if usual else 1.0)

    def _lost(self, evidence: Evidence, pair: FeaturePair) -> list[str]:
        n_usual = pair.there_usual.sum(axis=0)
        n_missing = (pair.there_usual & ~pair.there).sum(axis=0)
        is_lost = (n_usual >= MIN_VALUES) & (n_missing > self.lost * n_usual)
        if is_lost.any():
            # A source that finds other items has no score for these: its features are lost where none has a value.
            is_lost &= own_features(evidence, pair) | np.isin(pair.names, evidence.dead_features)
        return [pair.names[column] for column in np.flatnonzero(is_lost)]

    def _issue(self, evidence: Evidence, share: float, expected: float, names: list[str]) -> list[Finding]:
        figures = {"coverage": share, "expected": expected}
        top = len(evidence.top)
        return [features_finding("FEATURE_QUALITY_ISSUE", evidence, names, figures, top=top)]


class FeatureFreshness:
    """Features older than a day, and older than the baseline's.

    Parameters
    ----------
    max_age : float, default 86400
        Seconds.
    spoiled : float, default 7 days
        Seconds after which they spoil the list.
    """

    def __init__(self, max_age: float = DAY, spoiled: float = 7 * DAY) -> None:
        self.max_age, self.spoiled = max_age, spoiled

    def stale(self, evidence: Evidence) -> list[str]:
        """Return the names of the stale features."""
        return sorted(name for name, age in evidence.feature_age.items() if age > self.max_age)

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        stale = self.stale(evidence)
        usual = {} if evidence.baseline is None or not stale else evidence.baseline.feature_age
        # The baseline's may be as old: that is how they are meant.
        stale = [
            name for name in stale if evidence.feature_age[name] > usual.get(name, -np.inf) + self.max_age
        ]
        if not stale:
            return []
        oldest = max(evidence.feature_age[name] for name in stale)
        return [
            finding(
                "STALE_FEATURES",
                stage_of(evidence, stale),
                {"features": stale[:LISTED], "oldest_days": round(oldest / DAY, 2)},
                severity=Severity.CRITICAL if oldest > self.spoiled else Severity.WARNING,
                stale=len(stale),
                dated=len(evidence.feature_age),
                oldest=oldest / DAY,
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
        Mean change, in standard deviations of the feature, that counts as drift.
    """

    def __init__(self, scaled: float = 8.0, shift: float = 2.0) -> None:
        self.scaled, self.shift = scaled, shift

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        pair = evidence.paired_features
        if pair is None:
            return []
        differs = (pair.both.sum(axis=0) >= MIN_VALUES) & _has_changed(pair) & own_features(evidence, pair)
        kinds: dict[str, list[str]] = {}
        for column in np.flatnonzero(differs).tolist():
            kind = self._kind(pair, column, evidence.scale)
            if kind:
                kinds.setdefault(kind, []).append(pair.names[column])
        return [features_finding(kind, evidence, names) for kind, names in kinds.items()]

    def _kind(self, pair: FeaturePair, column: int, scale: Mapping[str, float]) -> str:
        both = pair.both[:, column]
        here, usual = pair.here[both, column], pair.usual[both, column]
        moved = pair.changed[both, column]
        if _swapped(pair, column):
            return "FEATURES_SWAPPED"
        if _by_one_factor(here, usual, self.scaled):
            return "FEATURES_SCALED"
        one_value = moved.sum() >= MIN_VALUES and np.ptp(here[moved]) == 0
        # Of a feature of the user, which is one value anyway, only the usual defaults count.
        if one_value and (np.ptp(usual[moved]) > 0 or here[moved][0] in USUAL_DEFAULTS):
            return "FEATURES_DEFAULTED"
        spread = scale.get(pair.names[column], 0.0) or float(usual.std()) or float(np.abs(usual).mean())
        if spread > 0 and abs(float(here.mean() - usual.mean())) > self.shift * spread:
            return "FEATURES_DRIFTED"
        return ""


def _has_changed(pair: FeaturePair) -> BoolArray:
    return np.asarray(pair.changed.sum(axis=0) > CHANGED * np.maximum(pair.both.sum(axis=0), 1))


def _swapped(pair: FeaturePair, column: int) -> bool:
    """Whether the values are those that another feature has in the baseline, and that feature changed too."""
    here = pair.here[:, column]
    known = np.isfinite(here)
    if known.sum() < MIN_VALUES:
        return False
    with np.errstate(invalid="ignore"):
        alike = np.abs(pair.usual - here[:, None]) <= 1e-4 * (np.abs(here[:, None]) + 1e-6)
    alike |= ~np.isfinite(pair.usual) & ~known[:, None]
    others = _has_changed(pair) & (alike.mean(axis=0) > SWAPPED)
    others[column] = False
    return bool(others.any())


def _by_one_factor(here: FloatArray, usual: FloatArray, min_factor: float) -> bool:
    used = (np.abs(usual) > 1e-9) & (np.abs(here) > 1e-12)
    if used.sum() < 3:
        return False
    low, middle, high = np.percentile(np.log(np.abs(here[used] / usual[used])), (10, 50, 90))
    if np.ptp(usual) == 0:
        min_factor **= ONE_VALUE_POWER
    return bool(abs(middle) > np.log(min_factor) and high - low < ONE_FACTOR)


def features_finding(
    row: str,
    evidence: Evidence,
    names: list[str],
    figures: Mapping[str, Any] | None = None,
    **more: Any,
) -> Finding:
    """Return a finding that concerns features, which its texts name as ``{names}`` and count as ``{n}``."""
    names = sorted(names)
    stage = stage_of(evidence, names)
    # What the block also says of the baseline's candidates is its own doing.
    own = CAUSES[row].relative and features_differ(evidence, stage, names)
    return finding(
        row,
        stage,
        {"features": names[:LISTED], **(figures or {})},
        items=evidence.ids(evidence.best),
        relative=False if own else None,
        n=len(names),
        names=named(names),
        **more,
    )


def own_features(evidence: Evidence, pair: FeaturePair) -> BoolArray:
    """Return which features are no ranks, scores and counts of sources: those follow the source, whatever it finds."""
    sources = (*(f"{name}_" for name in evidence.candidate_sources), "source_count")
    return np.array([not name.startswith(sources) for name in pair.names], np.bool_)


def stage_of(evidence: Evidence, names: list[str]) -> str:
    """Return the stage that most of the features come from."""
    stages = [evidence.feature_stage[name] for name in names if name in evidence.feature_stage]
    return max(sorted(set(stages)), key=stages.count) if stages else ""


def named(names: list[str]) -> str:
    """Return the first of some names, as a text gives them."""
    return ", ".join(names[:NAMED]) + (" and others" if len(names) > NAMED else "")


def contributed(evidence: Evidence) -> dict[str, float]:
    """Return the contributions of features to the scores of the ten best, by the first scorer that explains them.

    On average, the five that add or take most. Empty where no scorer explains, and where the request did not run alone:
    trees take a millisecond for each item.
    """
    if not evidence.alone or evidence.ranked is None:
        return {}
    best = evidence.ranked.item[evidence.top[:EXPLAINED_ITEMS]]
    for event in evidence.events("scorer"):
        stage = evidence.stages.get(event.name)
        if isinstance(stage, Explainer) and event.before is not None and not event.error:
            try:
                parts = stage.contributions(event.before.compress(np.isin(event.before.item, best)))
            except Exception:  # the run itself has recorded what fails
                return {}
            return _largest(stage.feature_names_, np.asarray(parts, np.float64).mean(axis=0))
    return {}


def _largest(names: tuple[str, ...], added: FloatArray) -> dict[str, float]:
    known = np.flatnonzero(np.isfinite(added) & (added != 0))
    first = known[np.argsort(-np.abs(added[known]), kind="stable")[:EXPLAINED_FEATURES]]
    return {names[place]: float(added[place]) for place in first.tolist()}
