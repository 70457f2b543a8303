"""Check of what numbers the scores are: too large, too small or too steep for what holds them."""

from __future__ import annotations

import numpy as np

from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding
from recokit.typing import AnyArray

#: The step of float16 near 0, and the largest value that has no finer one than twice it.
STEP, SMALL = 2.0**-24, 2.0**-13
#: Share of the scores that must be at an end of their range, or infinite, or on the coarse steps.
AT_END, INFINITE = 0.3, 0.02


class ScoreValues:
    """Scores that have run out of numbers: infinite, a few steps above zero, or nearly all 0 or 1.

    The first scorer's own scores; what the baseline has too is how its scores are.
    """

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        events = evidence.events("scorer")
        after = events[0].after if events else None
        if after is None or evidence.failed_here(events[0]):
            return []
        event, usual = events[0], evidence.baseline
        row, figures = _trouble(after.score[evidence.place_in(after)])
        if not row:
            return []
        if usual is not None and row in _usual_trouble(usual):
            return []
        return [finding(row, event.name, figures, items=evidence.ids(evidence.best))]


def _usual_trouble(usual: Evidence) -> set[str]:
    """Return which numbers have run out in the baseline's first scores too."""
    scored = [event.after for event in usual.events("scorer")[:1] if event.after is not None]
    return {_trouble(after.score[usual.place_in(after)])[0] for after in scored}


def _trouble(score: AnyArray) -> tuple[str, dict[str, float]]:
    """Return which numbers have run out, and how many scores that concerns."""
    if len(score) < 10:
        return "", {}
    score = score.astype(np.float64)
    infinite, finite = float(np.isinf(score).mean()), score[np.isfinite(score)]
    if infinite > INFINITE:
        return "SCORES_OVERFLOW", {"share": infinite}
    if len(finite) < 10 or np.isnan(score).any():
        return "", {}
    largest = float(np.abs(finite).max())
    steps = finite / STEP
    if 0 < largest < SMALL and np.abs(steps - np.round(steps)).max() < 1e-6:
        return "SCORES_UNDERFLOW", {"distinct": float(len(np.unique(finite))), "largest": largest}
    ends = np.isin(finite, (0.0, 1.0))
    if (
        finite.min() < finite.max() == 1.0
        and finite.min() >= 0.0
        and (finite == 1.0).mean() > AT_END
        and ends.mean() > AT_END
    ):
        return "SCORES_SATURATED", {"share": float(ends.mean())}
    return "", {}
