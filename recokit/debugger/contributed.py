"""What the features of the best items add to their scores: evidence of a finding about the ranking."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.debugger.evidence import Evidence

__all__ = ["contributed"]

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
