"""Checks of time: events from the future, clocks that stand still, answers of another time than asked."""

from __future__ import annotations

import numpy as np

from recokit.data import DAY
from recokit.debugger.checks.causes import finding
from recokit.debugger.checks.features import own_features
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.time_scan import CHANGED, TimeScan, of_features

#: Share of a stage's answers that must follow the time in the baseline, and the share of that which a frozen one has.
FOLLOWS, STILL = 0.3, 0.35
#: How much more the answers must be like the baseline's of another time than like those of now.
OTHER_TIME = 0.2
#: Share of a source's items that the baseline's answers as well, from which on they are not those of another time;
#: and of a hydrator's from which on they are this user's.
OTHERS, OWN = 0.6, 0.8
#: Seconds that a model may have seen beyond the request, and beyond which its events are in another unit.
SLACK, ABSURD = 60.0, 365 * DAY
#: Features that must differ from the baseline's for the clock of their block to be looked at.
SUSPECT = 4


class Clocks:
    """Whether stages answer as of the time that they are asked about.

    By the scan (:meth:`RecommendationDebugger.scan`) hydrators, sources and features are asked as of twelve weeks ago
    too: what follows the time in the baseline and stands still here reads a clock that stands still, or a cache.
    Without a scan, blocks of features are asked where their values differ from the baseline's. And a model that has
    seen events from after the request has them with wrong times.
    """

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        return [*_from_the_future(evidence), *self._still(evidence)]

    def _still(self, evidence: Evidence) -> list[Finding]:
        findings = []
        times = {**evidence.scan.times, **_probed(evidence)}
        for name, scan in times.items():
            if name not in evidence.stages:
                continue
            figures = {"changed": scan.changed, "usual": scan.usual_changed, "lag_days": scan.lag}
            if scan.ahead > ABSURD:
                code = "TIME_UNIT.future" if evidence.cold else "TIME_SHIFTED.future"
                findings.append(finding(code, name, {"hours": scan.ahead / 3_600.0}))
            is_source = name.rpartition(".")[2] in evidence.candidate_sources
            if is_source and scan.differs and scan.lag and scan.same_then - scan.same > OTHER_TIME:
                figures |= {"same": scan.same, "same_then": scan.same_then}
                findings.append(finding("LISTS_STALE", name, figures))
            elif scan.usual_changed >= FOLLOWS and scan.changed <= STILL * scan.usual_changed:
                findings += _stands_still(name, scan, figures, is_source=is_source)
            elif (
                np.isnan(scan.usual_changed)
                and not scan.changed
                and scan.differs
                and _must_follow(evidence, name)
            ):
                findings.append(finding("CLOCK_FROZEN.alone", name, figures))
        return findings


def _stands_still(name: str, scan: TimeScan, figures: dict[str, float], *, is_source: bool) -> list[Finding]:
    """Return the finding that a stage stands still, unless its answers are wrong in another way."""
    if not scan.differs:
        return []  # nothing, or one and the same for everyone
    if is_source:
        return [finding("LISTS_STALE.still", name, figures)] if scan.contained < OTHERS else []
    # What a hydrator gives of now is what it gave before: events of the right user, without the newest.
    return [finding("CLOCK_FROZEN", name, figures)] if not scan.contained < OWN else []


def _must_follow(evidence: Evidence, name: str) -> bool:
    """Whether a stage says of itself that it answers as of the request's time, with features that are dated."""
    return evidence.traits(name).as_of and name in set(evidence.feature_stage.values())


def _probed(evidence: Evidence) -> dict[str, TimeScan]:
    """Ask the blocks whose features differ from the baseline's about another time, where there was no scan."""
    usual = evidence.baseline
    if evidence.scan.times or usual is None or usual.codes is not None or usual.ranked is None:
        return {}
    found = {}
    suspects = _suspects(evidence)
    for name in sorted(set(suspects)):
        before = usual.stages.get(name)
        if suspects.count(name) >= SUSPECT and before is not None:
            try:
                found[name] = of_features(evidence.stages[name], before, usual.ranked)
            except Exception:  # the run itself has recorded what fails
                continue
    return found


def _suspects(evidence: Evidence) -> list[str]:
    """Return the stage of each feature that differs from the baseline's, but for those that follow the sources."""
    pair = evidence.paired_features
    if pair is None:
        return []
    differs = pair.changed.sum(axis=0) + (pair.there != pair.there_usual).sum(axis=0)
    moved = own_features(evidence, pair) & (differs > CHANGED * len(pair.here))
    return [evidence.feature_stage.get(pair.names[place], "") for place in np.flatnonzero(moved).tolist()]


def _from_the_future(evidence: Evidence) -> list[Finding]:
    """Give the stages that have seen events from after the request, where the baseline's has not."""
    usual = evidence.baseline
    ahead: dict[str, float] = {}
    for node in evidence.captured.nodes:
        beyond = evidence.fitted_until(node.name) - evidence.now
        usually = -np.inf if usual is None else usual.fitted_until(node.name) - evidence.now
        if np.isfinite(beyond) and beyond > SLACK and beyond > usually + SLACK:
            ahead[node.name] = beyond
    if not ahead:
        return []
    most = max(ahead.values())
    # All stages of one fit are ahead alike, and then none in particular is to blame.
    stage = next(iter(ahead)) if len(ahead) == 1 else ""
    # Alone it says little: a request may well be of an earlier time than the model.
    severity = Severity.NOTE if usual is None and most < ABSURD else Severity.CRITICAL
    figures = {"hours": most / 3_600.0, "stages": sorted(ahead)}
    code = "TIME_UNIT.future" if most > ABSURD else "TIME_SHIFTED.future"
    return [finding(code, stage, figures, severity=severity)]
