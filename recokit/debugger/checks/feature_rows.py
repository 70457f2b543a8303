"""Check of whose features they are: those of another candidate, or of another user."""

from __future__ import annotations

import numpy as np

from recokit._stats.ranks import rank_correlation
from recokit.debugger.checks.features import USUAL_DEFAULTS, features_finding, own_features
from recokit.debugger.evidence import Evidence, FeaturePair
from recokit.debugger.finding import Finding
from recokit.typing import AnyArray, IntArray

#: Features that must be another's for it to be no accident.
MIN_FEATURES, MIN_OF_USER = 3, 2
#: Standard deviations that a user's value may lie from another's, and how near factors are that are one.
ORDINARY, ONE_FACTOR = 4.0, 1.1


class FeatureRows:
    """Features that are right, and stand in the wrong row: a join with the wrong key, or rows that have slipped.

    Of another candidate: the same values as in the baseline, at other candidates. Of another user: what is one value
    for all candidates is another one, in nearly all such features, and nothing else has changed.

    Parameters
    ----------
    moved : float, default 0.3
        Share of the values of one feature that must differ.
    same_values : float, default 0.85
        Share of the values that must be there, in other rows.
    others : float, default 0.15
        Largest share of the features of candidates that may have changed where those of users are another's.
    """

    def __init__(self, moved: float = 0.3, same_values: float = 0.85, others: float = 0.15) -> None:
        self.moved, self.same_values, self.others = moved, same_values, others

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        pair = evidence.paired_features
        if pair is None:
            return []
        changed = pair.changed.sum(axis=0) / np.maximum(pair.both.sum(axis=0), 1)
        moved = (changed > self.moved) & own_features(evidence, pair)
        if moved.sum() < MIN_OF_USER:
            return []
        constant = _spread(pair.usual, pair.both) <= 1e-9
        slipped = [place for place in np.flatnonzero(moved & ~constant) if self._slipped(pair, int(place))]
        if len(slipped) >= max(MIN_FEATURES, 0.5 * int((moved & ~constant).sum())):
            names = [pair.names[place] for place in slipped]
            return [features_finding("FEATURES_OF_ANOTHER", evidence, names, {"whose": "candidate"})]
        return self._of_user(evidence, pair, moved, constant)

    def _slipped(self, pair: FeaturePair, place: int) -> bool:
        """Whether a feature has the baseline's values, at other candidates."""
        known = pair.both[:, place]
        usual = pair.usual[known, place]
        if len(usual) < 10 or len(np.unique(_rounded(usual))) < 5:
            return False
        return _in_common(pair.here[known, place], usual) >= self.same_values * len(usual)

    def _of_user(
        self, evidence: Evidence, pair: FeaturePair, moved: AnyArray, constant: AnyArray
    ) -> list[Finding]:
        known = pair.both.any(axis=0)
        still = _spread(pair.here, pair.both) <= 1e-9
        of_user = known & constant & still
        if (moved & ~of_user).sum() > self.others * max(int((known & ~of_user).sum()), 1):
            return []
        another = moved & of_user
        if another.sum() < MIN_OF_USER or not self._likely(evidence, pair, np.flatnonzero(another)):
            return []
        names = [pair.names[place] for place in np.flatnonzero(another)]
        return [features_finding("FEATURES_OF_ANOTHER", evidence, names, {"whose": "user"})]

    def _likely(self, evidence: Evidence, pair: FeaturePair, places: IntArray) -> bool:
        """Whether values may be another user's: not far off, no default, and not all larger by one factor."""
        known = [pair.both[:, place].argmax() for place in places]
        here, usual = (values[known, places] for values in (pair.here, pair.usual))
        scale = np.array([evidence.scale.get(pair.names[place], np.inf) for place in places])
        if (np.abs(here - usual) > ORDINARY * np.where(scale > 0, scale, np.inf)).any():
            return False
        if np.isin(here, USUAL_DEFAULTS).mean() > 0.5:
            return False
        both = (np.abs(here) > 1e-9) & (np.abs(usual) > 1e-9)
        factor = np.abs(here[both] / usual[both])
        return len(factor) < 2 or bool(factor.max() > ONE_FACTOR * factor.min())


def _spread(values: AnyArray, known: AnyArray) -> AnyArray:
    """Return the range of the known values of each feature, 0 where none is known."""
    high = np.where(known, values, -np.inf).max(axis=0, initial=-np.inf)
    low = np.where(known, values, np.inf).min(axis=0, initial=np.inf)
    return np.where(known.any(axis=0), high - low, 0.0)


class FeatureNoise:
    """Features that are right on average, and far off item by item: a sketch or a hash that is too small.

    Parameters
    ----------
    off : float, default 1.0
        Standard deviation of the differences from the baseline's values, in those of the values themselves.
    """

    def __init__(self, off: float = 1.0) -> None:
        self.off = off

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        pair = evidence.paired_features
        if pair is None:
            return []
        n_known = pair.both.sum(axis=0)
        moved = own_features(evidence, pair) & (n_known >= 20) & (pair.changed.sum(axis=0) >= 0.9 * n_known)
        names = [
            pair.names[place]
            for place in np.flatnonzero(moved).tolist()
            if self._is_noisy(evidence, pair, place)
        ]
        return [features_finding("FEATURES_NOISY", evidence, names)] if names else []

    def _is_noisy(self, evidence: Evidence, pair: FeaturePair, place: int) -> bool:
        known = pair.both[:, place]
        here, usual = pair.here[known, place], pair.usual[known, place]
        apart = here - usual
        spread = float(apart.std())
        scale = max(float(usual.std()), evidence.scale.get(pair.names[place], 0.0))
        # Values that went up with the others' are of another unit, and those that stand elsewhere are another row's.
        if scale == 0 or spread <= self.off * scale or abs(float(apart.mean())) >= 0.5 * spread:
            return False
        if len(np.unique(here)) < 0.8 * len(here) or _in_common(here, usual) > 0.5 * len(here):
            return False
        return np.ptp(usual) == 0 or abs(float(rank_correlation(apart, usual))) < 0.5


def _in_common(one: AnyArray, other: AnyArray) -> int:
    """Return how many values two columns have in common, each as often as both have it."""
    a, n = np.unique(_rounded(one), return_counts=True)
    b, m = np.unique(_rounded(other), return_counts=True)
    _, here, there = np.intersect1d(a, b, assume_unique=True, return_indices=True)
    return int(np.minimum(n[here], m[there]).sum())


def _rounded(values: AnyArray) -> AnyArray:
    """Return values to four digits, as whole numbers that are equal where these digits and the size are."""
    size = np.floor(np.log10(np.maximum(np.abs(values), 1e-30)))
    digits = np.rint(values / 10.0 ** (size - 3.0)).astype(np.int64)
    return np.where(values == 0, 0, digits * 128 + size.astype(np.int64))
