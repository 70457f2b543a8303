"""Similar items: the lists of product pages, on the way that every list takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recokit.budget import Deadline
from recokit.compose.merge import Merge
from recokit.data import Candidates, Requests, Retrieved
from recokit.errors import ConfigurationError
from recokit.pipeline.finish import finish
from recokit.pipeline.plan import Node, Plan
from recokit.pipeline.ranking import rank
from recokit.pipeline.retrieval import retrieve
from recokit.pipeline.run import Run, Settings
from recokit.protocols import Role, SimilarItems
from recokit.trace import Status
from recokit.typing import IntArray

#: The context column with the codes of the items that others are to be like.
GIVEN = "similar_to"
#: Items asked for at first, for each place of the list; more where rules leave it short.
_PER_PLACE, _AT_LEAST = 4, 50


class AlikeSource:
    """A source of the items most like that of the request, by another source's ``similar``."""

    def __init__(self, source: SimilarItems) -> None:
        self.source = source

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return at most ``limit`` items like that of each request."""
        return self.source.similar(requests.column(GIVEN), limit)


def similar_plan(plan: Plan) -> Plan:
    """Return the stages that hold for similar items: one source, filters, hard limits and annotators.

    Rankers, boosts, soft limits and the objective are made for a person's list; here the likeness alone decides.

    Raises
    ------
    ConfigurationError
        If no source knows similar items.
    """
    node = next((node for node in plan.sources if isinstance(node.stage, SimilarItems)), None)
    if node is None:
        names = ", ".join(plan.source_names)
        raise ConfigurationError(f"found no source with similar() among {names}; hint: candidates.ItemKNN()")
    alike = replace(node, stage=AlikeSource(node.stage), limit=None, when=None, on_error="raise")
    kept = [alike if other is node else other for other in plan if other is node or _holds(other)]
    wanted = {name for other in kept for name in other.traits.requires if name.startswith("feature.")}
    if not wanted:
        kept = [other for other in kept if other.role is not Role.FEATURIZER]
    return plan.with_nodes(kept)


def _holds(node: Node) -> bool:
    if node.part == "fallback":
        return False
    if node.role is Role.CONSTRAINT:
        return node.traits.hard
    return node.role in (Role.HYDRATOR, Role.FILTER, Role.FEATURIZER, Role.ANNOTATOR)


def similar_lists(settings: Settings, requests: Requests, item: IntArray) -> tuple[Run, Candidates]:
    """Return the lists of the items most like given ones, and the run that they come from.

    Parameters
    ----------
    settings : Settings
        With a plan as of :func:`similar_plan`, bound.
    requests : Requests
        One for each item, with live values pinned.
    item : ndarray of int64 (B,)
        Item codes, 0 for unknown ones.
    """
    plan = settings.plan
    asked = replace(requests, columns={**requests.columns, GIVEN: item})
    most = max(settings.n_items, 1)
    limit = min(max(_PER_PLACE * int(requests.k.max(initial=1)), _AT_LEAST), most)
    while True:
        part = replace(settings, plan=_asking_for(plan, limit))
        run = Run(part, asked, Deadline.after(np.inf))
        found = retrieve(run)
        ranked = rank(run, _by_likeness(found, plan.sources[0].leaf))
        shown = finish(run, ranked)
        more = (shown.counts < run.k) & (found.counts >= limit) & (run.status != Status.FAILED)
        if limit == most or not more.any():
            break
        limit = min(_PER_PLACE * limit, most)
    for row in np.flatnonzero((found.counts == 0) & (run.status == Status.EMPTY)).tolist():
        run.reasons[row] = ["no similar item" if item[row] else "unknown item"]
    return run, shown


def _asking_for(plan: Plan, limit: int) -> Plan:
    return replace(plan, merge=Merge([plan.sources[0].stage], limit=limit))


def _by_likeness(found: Candidates, source: str) -> Candidates:
    return found.with_score(found.columns[f"{source}_score"])
