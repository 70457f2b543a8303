"""Isolated: one stage asked about what the baseline's stage was asked about, so that nothing before it has a say.

A stage that still answers otherwise is wrong by itself, and no symptom of what is wrong before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recokit._stats.ranks import rank_correlation
from recokit.debugger.captured import n_shared
from recokit.debugger.evidence import TOP, Evidence

#: Share of the values of a feature that must differ for it to be another one.
OTHER = 0.2


def features_differ(evidence: Evidence, stage: str, names: Sequence[str]) -> bool:
    """Tell whether most of the named features are others for the baseline's candidates and requests too."""
    usual = _comparable(evidence, stage)
    if usual is None or usual.ranked is None or not len(usual.ranked):
        return False
    block, batch = evidence.stages[stage], usual.ranked
    try:
        features = np.asarray(block.featurize(batch), np.float64)
    except Exception:  # the run itself has recorded what fails
        return False
    own = list(block.names)
    places = [
        (own.index(name), batch.feature_names.index(name))
        for name in names
        if name in own and name in batch.feature_names
    ]
    differ = [
        not np.isclose(features[:, a], batch.features[:, b], rtol=1e-3, atol=1e-6, equal_nan=True).mean()
        >= 1 - OTHER
        for a, b in places
    ]
    return bool(differ) and sum(differ) >= len(differ) / 2


def correlation_of_scores(evidence: Evidence, stage: str) -> float:
    """Return the rank correlation of a scorer's scores of the baseline's candidates with its own; NaN if unknown."""
    usual = _comparable(evidence, stage)
    for event in () if usual is None else usual.events("scorer"):
        if event.name == stage and event.before is not None and event.after is not None:
            here = usual.place_in(event.before) if usual is not None else slice(0)
            try:
                mine = np.asarray(evidence.stages[stage].score(event.before), np.float64)[here]
            except Exception:  # the run itself has recorded what fails
                return float("nan")
            theirs = event.after.score[here].astype(np.float64)
            finite = np.isfinite(mine) & np.isfinite(theirs)
            if finite.sum() > 2 and np.ptp(mine[finite]) > 0 and np.ptp(theirs[finite]) > 0:
                return float(rank_correlation(mine[finite], theirs[finite]))
    return float("nan")


def shared_of_source(evidence: Evidence, stage: str) -> float:
    """Return the share of the baseline's first items that a source finds for the baseline's request; NaN if unknown."""
    usual = _comparable(evidence, stage)
    wanted = np.zeros(0, np.int64) if usual is None else usual.found_by(stage.rpartition(".")[2])[:TOP]
    if usual is None or not len(wanted):
        return float("nan")
    try:
        requests = replace(usual.requests, pinned=evidence.trace.requests.pinned)
        found = evidence.stages[stage].retrieve(requests, TOP).item
    except Exception:  # the run itself has recorded what fails
        return float("nan")
    return n_shared(wanted, found) / len(wanted)


def _comparable(evidence: Evidence, stage: str) -> Evidence | None:
    """Return the baseline where its codes mean the same here, and both have the stage."""
    usual = evidence.baseline
    there = usual is not None and usual.codes is None and stage in evidence.stages and stage in usual.stages
    return usual if there else None
