"""Check of the ranker's model: the cause that the scan found, for the users whose order it changes."""

from __future__ import annotations

import numpy as np

from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding
from recokit.debugger.model_scan import correlation, scored


class RankerModel:
    """Why a ranker orders the same candidates, with the same features, in another way than the baseline's.

    The cause is the scan's, of many users together: one user's candidates are too few to tell causes apart.

    Parameters
    ----------
    same : float, default 0.98
        Rank correlation of one user's scores with those of the baseline's model above which nothing has changed for
        this user.
    """

    def __init__(self, same: float = 0.98) -> None:
        self.same = same

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        findings = []
        for event in evidence.events("scorer"):
            scan = evidence.scan.models.get(event.name)
            if scan is None or not scan.cause or event.before is None or event.after is None:
                continue
            if evidence.failed_here(event):
                continue
            usual = None if evidence.baseline is None else evidence.baseline.stages.get(event.name)
            if usual is not None:
                mine = event.after.score[evidence.place_in(event.after)].astype(np.float64)
                if correlation(mine, scored(usual, evidence.of_row(event.before))) > self.same:
                    continue
            items = evidence.ids(evidence.best)
            findings.append(finding(scan.cause, event.name, scan.figures, items=items))
        return findings
