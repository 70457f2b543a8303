"""Checks of the scores: finite, telling apart, in the order that the baseline's scores give."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recokit._stats.ranks import rank_correlation
from recokit.debugger.captured import n_shared
from recokit.debugger.checks.causes import finding
from recokit.debugger.checks.features import contributed
from recokit.debugger.evidence import TOP, Evidence, share_tied
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.isolated import correlation_of_scores
from recokit.trace import StageEvent
from recokit.typing import AnyArray

#: Cosine of the shares of features from which on two rankers go by the same.
SAME_MODEL = 0.5
#: Share of scores that are not finite above which they spoil the list.
MANY_NOT_FINITE = 0.1
#: Share of the best scores of an earlier scorer that must be tied for it to be the flat one.
FLAT = 0.5
#: Scores that two runs must share for their orders to be compared.
MIN_SCORES = 10


class Scores:
    """Scores that are not finite."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        if evidence.ranked is None or not len(evidence.ranked):
            return []
        for event in evidence.events("scorer"):
            # The first that gives them: later scorers build on its scores.
            if event.after is None or evidence.failed_here(event) or not event.detail.get("not_finite", 1):
                continue
            after = evidence.of_row(event.after)
            bad = ~np.isfinite(after.score)
            if bad.any():
                share = float(bad.mean())
                # Where as many of the baseline's are not finite, that is how this user's are.
                is_usual = share <= _not_finite(evidence.baseline, event.name) + MANY_NOT_FINITE
                many = Severity.CRITICAL if share > MANY_NOT_FINITE else Severity.WARNING
                return [
                    finding(
                        "SCORES_NOT_FINITE",
                        event.name,
                        {"share": share},
                        items=evidence.ids(after.item[bad]),
                        severity=Severity.NOTE if is_usual else many,
                        scores=len(after),
                    )
                ]
        return []


def _not_finite(usual: Evidence | None, name: str) -> float:
    """Return the share of the baseline's scores that are not finite; where there are none, what no share is near."""
    for event in () if usual is None else usual.events("scorer"):
        if usual is not None and event.name == name and event.after is not None and not event.error:
            score = event.after.score[usual.place_in(event.after)]
            bad = ~np.isfinite(score)
            return float(bad.mean()) if bad.any() else -1.0
    return -1.0


class ScoreSpread:
    """Whether the ranker tells the best candidates apart, free of its scale.

    Parameters
    ----------
    minimum : float, default 0.01
        Least range of the ten best, as a share of the range of the upper half of all scores.
    tied : float, default 0.5
        How much larger a share of the top 20 may have the score of another one than in the baseline.
    """

    def __init__(self, minimum: float = 0.01, tied: float = 0.5) -> None:
        self.minimum, self.tied = minimum, tied

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        spread = evidence.relative_spread
        if not evidence.has_scorer or not np.isfinite(spread):
            return []
        usual = evidence.baseline
        is_flat = spread < self.minimum
        has_more_ties = usual is not None and evidence.tied - usual.tied > self.tied
        if not is_flat and not has_more_ties:
            return []
        # Where the baseline's are as flat, this user's always are.
        is_usual = not has_more_ties and usual is not None and usual.relative_spread < 2 * self.minimum
        return [
            finding(
                "RANKING_DIFFERENTIATION_FAILURE" + ("" if is_flat else ".tied"),
                self._blamed(evidence),
                {
                    "spread": evidence.spread,
                    "relative_spread": spread,
                    "tied": evidence.tied,
                    "baseline_relative_spread": None if usual is None else usual.relative_spread,
                    **_contributions(evidence),
                },
                items=evidence.ids(evidence.best),
                severity=Severity.NOTE if is_usual else Severity.CRITICAL,
            )
        ]

    def _blamed(self, evidence: Evidence) -> str:
        """Return the first scorer whose own scores are as flat: later ones only add to it."""
        events = [event for event in evidence.events("scorer") if event.after is not None]
        for event in events[:-1]:
            assert event.after is not None
            score = event.after.score[evidence.place_in(event.after)]
            if share_tied(np.sort(score[np.isfinite(score)])[::-1][:TOP]) > FLAT:
                return event.name
        return evidence.events("scorer")[-1].name


class RankerInputs:
    """Rankers that go by other features than the baseline's, as the scan found.

    Parameters
    ----------
    minimum : float, default 0.5
        Least cosine of the features' shares in the scores of the two rankers.
    """

    def __init__(self, minimum: float = SAME_MODEL) -> None:
        self.minimum = minimum

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        return [
            finding(
                "RANKING_CHANGED.other_features",
                name,
                {
                    "alike": scan.alike,
                    "importance": _largest(scan.importance),
                    "usual": _largest(scan.usual),
                },
                first=_first(scan.importance),
                usually_first=_first(scan.usual),
            )
            for name, scan in evidence.scan.rankers.items()
            if scan.alike < self.minimum
        ]


def _largest(share: Mapping[str, float]) -> dict[str, float]:
    return {name: share[name] for name in sorted(share, key=lambda name: -share[name])[:5]}


def _first(share: Mapping[str, float]) -> str:
    return ", ".join(list(_largest(share))[:2])


class ScoreOrder:
    """Whether each scorer orders the candidates as the baseline's does.

    The first scorer is compared by its scores of the candidates that both runs have; a later one, such as a boost, by
    how far it changes the order that it gets.

    Parameters
    ----------
    minimum : float, default 0.3
        Least rank correlation with the baseline's scores.
    inverted : float, default -0.7
        A correlation below this is an order turned round.
    moves : float, default 0.4
        How much less of the order before it a later scorer may leave than the baseline's does.
    """

    def __init__(self, minimum: float = 0.3, inverted: float = -0.7, moves: float = 0.4) -> None:
        self.minimum, self.inverted, self.moves = minimum, inverted, moves

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        if evidence.baseline is None:
            return []
        usual = {event.name: event for event in evidence.baseline.events("scorer")}
        findings: list[Finding] = []
        for place, event in enumerate(evidence.events("scorer")):
            before = usual.get(event.name)
            if before is None or event.after is None or before.after is None:
                continue
            if evidence.failed_here(event) or evidence.baseline.failed_here(before):
                continue
            findings += (
                self._first(evidence, event, before) if not place else self._later(evidence, event, before)
            )
        return findings

    def _first(self, evidence: Evidence, event: StageEvent, usual: StageEvent) -> list[Finding]:
        here, before = _paired_scores(evidence, event, usual)
        if len(here) < MIN_SCORES or np.ptp(here) == 0 or np.ptp(before) == 0:
            return []
        alike = rank_correlation(here, before)
        if alike >= self.minimum:
            return []
        figures = {"rank_correlation": alike, "candidates": len(here), **_contributions(evidence)}
        items = evidence.ids(evidence.best)
        by_itself = correlation_of_scores(evidence, event.name)
        own = False if by_itself < self.minimum else None
        if alike < self.inverted:
            return [finding("RANKING_INVERTED", event.name, figures, items=items, relative=own)]
        # A ranker that goes by the same features was trained again; it is no other model.
        known = evidence.scan.rankers.get(event.name)
        is_same = known is not None and known.alike >= SAME_MODEL
        severity = Severity.NOTE if is_same else Severity.WARNING
        return [finding("RANKING_CHANGED", event.name, figures, items=items, severity=severity, relative=own)]

    def _later(self, evidence: Evidence, event: StageEvent, usual: StageEvent) -> list[Finding]:
        assert evidence.baseline is not None
        kept = _order_kept(evidence, event)
        # No baseline can leave more than all of it, so most need not be looked at.
        if not kept < 1.0 - self.moves:
            return []
        before = _order_kept(evidence.baseline, usual)
        if not before - kept > self.moves:
            return []
        figures = {"order_kept": kept, "baseline": before}
        return [finding("SCORER_DOMINATES", event.name, figures, items=evidence.ids(evidence.best))]


def _paired_scores(evidence: Evidence, event: StageEvent, usual: StageEvent) -> tuple[AnyArray, AnyArray]:
    """Return the finite scores that a scorer, and the baseline's, gave to the same candidates."""
    assert evidence.baseline is not None and event.after is not None and usual.after is not None
    mine, theirs = evidence.place_in(event.after), evidence.baseline.place_in(usual.after)
    items = usual.after.item[theirs]
    items = items if evidence.baseline.codes is None else evidence.baseline.codes[items]
    _, at, other = np.intersect1d(event.after.item[mine], items, assume_unique=True, return_indices=True)
    here, before = event.after.score[mine][at], usual.after.score[theirs][other]
    finite = np.isfinite(here) & np.isfinite(before)
    return here[finite], before[finite]


def _contributions(evidence: Evidence) -> dict[str, dict[str, float]]:
    """Return what features add to the best scores, here and in the baseline, where scorers explain them."""
    usual = {} if evidence.baseline is None else contributed(evidence.baseline)
    parts = {"contributions": contributed(evidence), "baseline_contributions": usual}
    return {name: added for name, added in parts.items() if added}


def _order_kept(evidence: Evidence, event: StageEvent) -> float:
    if event.before is None or event.after is None:
        return float("nan")
    before = event.before.score[evidence.place_in(event.before)]
    after = event.after.score[evidence.place_in(event.after)]
    finite = np.isfinite(before) & np.isfinite(after)
    before, after = before[finite], after[finite]
    if len(before) < MIN_SCORES or np.ptp(before) == 0:
        return float("nan")
    # The top counts: of a long tail no boost moves much.
    best, best_before = (np.argsort(-score, kind="stable")[:TOP] for score in (after, before))
    return min(rank_correlation(before, after), n_shared(best, best_before) / len(best))
