"""Checks of the scores: finite, telling apart, in the order that the baseline's scores give."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from recokit._stats.ranks import rank_correlation
from recokit.debugger.captured import n_shared
from recokit.debugger.checks.features import contributed
from recokit.debugger.evidence import TOP, Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.trace import StageEvent

__all__ = ["RankerInputs", "ScoreOrder", "ScoreSpread", "Scores"]

#: Cosine of the shares of features from which on two rankers go by the same.
SAME_MODEL = 0.5


class Scores:
    """Scores that are not finite."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
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
                return [
                    Finding(
                        "SCORES_NOT_FINITE",
                        Severity.CRITICAL if share > 0.1 else Severity.WARNING,
                        event.name,
                        f"{share:.0%} of {len(after)} scores are NaN or infinite; they rank last",
                        f"Look at the inputs of {event.name}: a score that is not finite comes from features or "
                        "a broken model.",
                        "ranking",
                        "model",
                        evidence={"share": share},
                        items=evidence.ids(after.item[bad]),
                    )
                ]
        return []


class ScoreSpread:
    """Whether the ranker tells the best candidates apart, free of its scale.

    Parameters
    ----------
    minimum : float, default 0.01
        Least range of the ten best, as a share of the range of the upper half of all scores (R38).
    tied : float, default 0.5
        How much larger a share of the top 20 may have the score of another one than in the baseline.
    """

    def __init__(self, minimum: float = 0.01, tied: float = 0.5) -> None:
        self.minimum, self.tied = minimum, tied

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        spread = evidence.relative_spread
        if not evidence.has_scorer or not np.isfinite(spread):
            return []
        usual = evidence.baseline
        flat = spread < self.minimum
        more_ties = usual is not None and evidence.tied - usual.tied > self.tied
        if not flat and not more_ties:
            return []
        # Where the baseline's are as flat, that is what there is to tell of this user.
        always = not more_ties and usual is not None and usual.relative_spread < 2 * self.minimum
        scorer = self._blamed(evidence)
        return [
            Finding(
                "RANKING_DIFFERENTIATION_FAILURE",
                Severity.NOTE if always else Severity.CRITICAL,
                scorer,
                f"the ten best scores span {spread:.2%} of the upper half's range: {scorer} hardly tells them apart"
                if flat
                else f"{evidence.tied:.0%} of the top 20 scores are tied: {scorer} does not tell them apart",
                "Look at the ranker's features and training: a constant score means that it learned or got nothing.",
                "ranking",
                "model",
                evidence={
                    "spread": evidence.spread,
                    "relative_spread": spread,
                    "tied": evidence.tied,
                    "baseline_relative_spread": None if usual is None else usual.relative_spread,
                    **_explained(evidence),
                },
                items=evidence.ids(evidence.best),
            )
        ]

    def _blamed(self, evidence: Evidence) -> str:
        """Return the first scorer whose own scores are as flat: later ones only add to it."""
        events = [event for event in evidence.events("scorer") if event.after is not None]
        for event in events[:-1]:
            assert event.after is not None
            score = event.after.score[evidence.place_in(event.after)]
            best = np.sort(score[np.isfinite(score)])[::-1][:20]
            _, counts = np.unique(best, return_counts=True)
            if len(best) > 1 and counts[counts > 1].sum() > 0.5 * len(best):
                return event.name
        return evidence.events("scorer")[-1].name


class RankerInputs:
    """What the ranker goes by, as the scan found: features that mattered to the baseline's ranker and not to this one.

    Parameters
    ----------
    minimum : float, default 0.5
        Least cosine of the features' shares in what the two rankers say.
    """

    def __init__(self, minimum: float = SAME_MODEL) -> None:
        self.minimum = minimum

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        return [
            Finding(
                "RANKING_CHANGED",
                Severity.CRITICAL,
                name,
                f"{name} goes by other features than the baseline's: {_first(scan.importance)} instead of "
                f"{_first(scan.usual)}",
                f"Check which version of the model {name} has, and the order of its features.",
                "ranking",
                "model",
                evidence={
                    "alike": scan.alike,
                    "importance": _largest(scan.importance),
                    "usual": _largest(scan.usual),
                },
                relative=True,
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

    The first scorer is judged by its scores of the candidates that both runs have; a later one, such as a boost, by how
    far it changes the order that it gets.

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
        """Return what there is to say, nothing if all is well."""
        if evidence.baseline is None:
            return []
        usual = {event.name: event for event in evidence.baseline.events("scorer")}
        found: list[Finding] = []
        for place, event in enumerate(evidence.events("scorer")):
            before = usual.get(event.name)
            if before is None or event.after is None or before.after is None:
                continue
            if evidence.failed_here(event) or evidence.baseline.failed_here(before):
                continue
            found += (
                self._first(evidence, event, before) if not place else self._later(evidence, event, before)
            )
        return found

    def _first(self, evidence: Evidence, event: StageEvent, usual: StageEvent) -> list[Finding]:
        assert evidence.baseline is not None and event.after is not None and usual.after is not None
        mine, theirs = evidence.place_in(event.after), evidence.baseline.place_in(usual.after)
        there = usual.after.item[theirs]
        there = there if evidence.baseline.codes is None else evidence.baseline.codes[there]
        _, at, other = np.intersect1d(event.after.item[mine], there, assume_unique=True, return_indices=True)
        here, before = event.after.score[mine][at], usual.after.score[theirs][other]
        fine = np.isfinite(here) & np.isfinite(before)
        here, before = here[fine], before[fine]
        if len(here) < 10 or np.ptp(here) == 0 or np.ptp(before) == 0:
            return []
        alike = rank_correlation(here, before)
        if alike >= self.minimum:
            return []
        figures = {"rank_correlation": alike, "candidates": len(here), **_explained(evidence)}
        say = partial(
            Finding,
            stage=event.name,
            place="ranking",
            origin="model",
            evidence=figures,
            items=evidence.ids(evidence.best),
            relative=True,
        )
        if alike < self.inverted:
            return [
                say(
                    "RANKING_INVERTED",
                    Severity.CRITICAL,
                    message=f"{event.name} orders the candidates the other way round than the baseline's "
                    f"(rank correlation {alike:.2f})",
                    action=f"Check the sign of the scores of {event.name}, and that its labels are not turned round.",
                )
            ]
        # A ranker that goes by the same features was trained again; it is no other model.
        known = evidence.scan.rankers.get(event.name)
        same = known is not None and known.alike >= SAME_MODEL
        return [
            say(
                "RANKING_CHANGED",
                Severity.NOTE if same else Severity.WARNING,
                message=f"{event.name} orders the candidates in another way than the baseline's from the same "
                f"features (rank correlation {alike:.2f})",
                action=f"Check which version of the model {event.name} has, and the order of its features.",
            )
        ]

    def _later(self, evidence: Evidence, event: StageEvent, usual: StageEvent) -> list[Finding]:
        assert evidence.baseline is not None
        kept = _order_kept(evidence, event)
        # No baseline can leave more than all of it, so most need not be looked at.
        if not kept < 1.0 - self.moves:
            return []
        before = _order_kept(evidence.baseline, usual)
        if not before - kept > self.moves:
            return []
        return [
            Finding(
                "SCORER_DOMINATES",
                Severity.CRITICAL,
                event.name,
                f"{event.name} leaves little of the order before it ({kept:.0%}, in the baseline "
                f"{before:.0%})",
                f"Check the weight of {event.name}: it should tip the balance, not decide alone.",
                "ranking",
                "settings",
                evidence={"order_kept": kept, "baseline": before},
                items=evidence.ids(evidence.best),
                relative=True,
            )
        ]


def _explained(evidence: Evidence) -> dict[str, dict[str, float]]:
    """Return what features add to the scores of the best, here and in the baseline, where that can be told."""
    usual = {} if evidence.baseline is None else contributed(evidence.baseline)
    found = {"contributions": contributed(evidence), "baseline_contributions": usual}
    return {name: parts for name, parts in found.items() if parts}


def _order_kept(evidence: Evidence, event: StageEvent) -> float:
    if event.before is None or event.after is None:
        return float("nan")
    before = event.before.score[evidence.place_in(event.before)]
    after = event.after.score[evidence.place_in(event.after)]
    fine = np.isfinite(before) & np.isfinite(after)
    if fine.sum() < 10 or np.ptp(before[fine]) == 0:
        return float("nan")
    # What counts is at the top: of a long tail no boost moves much.
    top = np.argsort(-after[fine], kind="stable")[:TOP]
    first = np.argsort(-before[fine], kind="stable")[:TOP]
    shared = n_shared(top, first) / len(top)
    return min(rank_correlation(before[fine], after[fine]), shared)
