"""Captured: a run with everything kept, and what it would have given with rules or diversity off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit.data import Candidates
from recokit.protocols import Role
from recokit.slates import select
from recokit.trace import Trace
from recokit.typing import IntArray

__all__ = ["Captured", "captured_rows", "listed", "ranked_batch", "retrieved_batch"]


@dataclass(frozen=True, eq=False)
class Captured:
    """A captured run of some requests, and what it would have given otherwise.

    Parameters
    ----------
    trace : Trace
        With ``capture="full"``.
    stages, roles : mapping of str
        The pipeline's fitted stages and their roles, by path.
    removed : Candidates, optional
        What the hard rules removed, described and scored as if they had not; None where they removed nothing.
    limited : Candidates, optional
        The lists under the limits alone, without diversity; None where these are the lists as served.
    usually_limited, usually_listed : Candidates, optional
        Of the same candidates and scores: the lists under the limits of the baseline, and those under the limits of
        this pipeline with the diversity of the baseline. None without a baseline whose stages can tell.
    freshness : mapping of str to float
        Until when the data of each feature is known, where a stage tells.
    """

    trace: Trace
    stages: Mapping[str, Any]
    roles: Mapping[str, Role]
    removed: Candidates | None
    limited: Candidates | None
    freshness: Mapping[str, float]
    usually_limited: Candidates | None = None
    usually_listed: Candidates | None = None

    @classmethod
    def of(cls, trace: Trace, nodes: Any, usual: Any = ()) -> Captured:
        """Complete a captured trace of the pipeline with these nodes; runs no source again.

        ``usual`` are the nodes of a baseline with the same codes, if there is one.
        """
        stages = {node.name: node.stage for node in nodes}
        roles = {node.name: node.role for node in nodes}
        freshness: dict[str, float] = {}
        for stage in stages.values():
            if hasattr(stage, "freshness"):
                freshness |= stage.freshness()
        limits, steering = _of_role(nodes, Role.CONSTRAINT), _steering(nodes)
        ranked = ranked_batch(trace)
        limited = usually_limited = usually_listed = None
        if ranked is not None:
            limited = listed(ranked, limits) if steering else None
            if usual:
                usually_limited = listed(ranked, _of_role(usual, Role.CONSTRAINT))
                usually_listed = listed(ranked, limits, _steering(usual)) if steering else None
        removed = _removed(trace, stages)
        return cls(trace, stages, roles, removed, limited, freshness, usually_limited, usually_listed)


def retrieved_batch(trace: Trace) -> Candidates | None:
    """Return the candidates as fused, before any rule."""
    return next(
        (event.after for event in trace.events if event.role == "source" and event.after is not None), None
    )


def ranked_batch(trace: Trace) -> Candidates | None:
    """Return the candidates as they were scored, before selection."""
    return next((event.before for event in trace.events if event.role == "selection"), None)


def captured_rows(batch: Candidates, row: int) -> IntArray:
    """Return one row's items."""
    return batch.item[int(batch.offsets[row]) : int(batch.offsets[row + 1])]


def listed(batch: Candidates, limits: Sequence[Any], steering: Sequence[Any] = ()) -> Candidates | None:
    """Return the lists of a ranked batch under some constraints, and an objective or a reranker if there is one.

    None where one of them fails.
    """
    try:
        stated = [limit for stage in limits for limit in stage.limit(batch)]
        order = objective = None
        for stage in steering:
            if hasattr(stage, "rerank"):
                order = stage.rerank(batch)
            else:
                objective = stage
        chosen = select(
            batch,
            batch.requests.k,
            limits=stated,
            objective=objective,
            order=order,
            pool=getattr(objective, "pool", None),
        )
    except Exception:  # the run itself has recorded that, or the baseline's stage does not fit
        return None
    return batch.take(chosen.offsets, chosen.index)


def _of_role(nodes: Any, *roles: Role) -> list[Any]:
    return [node.stage for node in nodes if node.role in roles]


def _steering(nodes: Any) -> list[Any]:
    return _of_role(nodes, Role.OBJECTIVE, Role.RERANKER)


def _removed(trace: Trace, stages: Mapping[str, Any]) -> Candidates | None:
    before, after = retrieved_batch(trace), ranked_batch(trace)
    if before is None or after is None or len(before) <= len(after):
        return None
    n_codes = int(before.item.max(initial=0)) + 1
    out = ~np.isin(before.row * n_codes + before.item, after.row * n_codes + after.item)
    batch = before.compress(out)
    for event in trace.events:
        stage = stages.get(event.name)
        if event.role == "selection":
            break
        if stage is None or event.error or event.skipped or event.n_rows < len(trace.requests):
            continue
        try:
            if event.role == "featurizer":
                batch = batch.with_features(stage.featurize(batch), tuple(stage.names))
            elif event.role == "scorer":
                batch = batch.with_score(stage.score(batch))
        except Exception:  # a stage that cannot do without the others: the order so far has to serve
            break
    return batch
