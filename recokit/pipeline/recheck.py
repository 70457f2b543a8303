"""Recheck: lists made earlier, held against the rules as they are now."""

from __future__ import annotations

import numpy as np

from recokit._kernels.segments import rank_in_row
from recokit._utils.copies import with_fields
from recokit.budget import Deadline
from recokit.compose.fusion import fuse
from recokit.data import Candidates, Ragged, Requests, Retrieved
from recokit.pipeline.finish import checked_late, finish
from recokit.pipeline.plan import Plan
from recokit.pipeline.ranking import exclude, featurize, keep
from recokit.pipeline.retrieval import hydrate
from recokit.pipeline.run import Run, Settings
from recokit.pipeline.scatter import without
from recokit.protocols import Role
from recokit.trace import FALLBACK
from recokit.typing import IntArray

#: Name of the source of items that fill up.
FILLER = "precomputed"
_DECIDE = (Role.FILTER, Role.CONSTRAINT, Role.ANNOTATOR)


def recheck_plan(plan: Plan) -> Plan:
    """Return the stages that decide what may be shown, and how labelled, with those that they need."""
    deciding = [node for node in plan if node.role in _DECIDE and node.part != "fallback"]
    needed = {name for node in deciding for name in node.traits.requires}
    featurizers = [
        node
        for node in plan
        if node.role is Role.FEATURIZER and any(name.startswith("feature.") for name in needed)
    ]
    needed |= {name for node in featurizers for name in node.traits.requires}
    needed |= {f"context.{node.when}" for node in deciding if isinstance(node.when, str)}
    # A condition that is a function may read whatever a hydrator provides.
    everything = any(callable(node.when) for node in deciding)
    hydrators = [node for node in plan.hydrators if everything or not needed.isdisjoint(node.traits.provides)]
    kept = {id(node) for node in (*deciding, *featurizers, *hydrators)}
    return plan.with_nodes(node for node in plan if id(node) in kept)


def recheck(
    settings: Settings,
    requests: Requests,
    listed: Candidates | None,
    filler: IntArray,
    deadline: Deadline,
) -> tuple[Run, Candidates]:
    """Return for each request what may be shown of a list now, and the run that tells.

    Parameters
    ----------
    settings : Settings
        With a plan as of :func:`recheck_plan`, bound.
    requests : Requests
        With live values pinned.
    listed : Candidates, optional
        The lists, as a trace has them in ``selected``.
    filler : ndarray of int64
        Item codes that fill up lists which are short, for every request.
    deadline : Deadline
        When it must be over.
    """
    run = Run(settings, requests, deadline)
    hydrate(run)
    if listed is None:
        pool = _filler(run, filler)
    else:
        # Filters see the values of now: features are computed again where any of them reads one.
        again = with_fields(
            listed, requests=run.requests, features=np.zeros((len(listed), 0), np.float32), feature_names=()
        )
        if not any(group.role is Role.FEATURIZER for group in run.plan.body):
            kept = _filtered(run, again)
            late = run.plan.late
            if len(kept) == len(listed) and all(checked_late(run, node, kept).all() for node in late):
                return run, _first(kept, run.k)
            again = kept
        pool = again.append(without(_filler(run, filler), again))
    run.ordered = Ragged(pool.offsets, pool.item)
    shown = finish(run, _filtered(run, pool))
    names = shown.source_names
    if FILLER in names:
        used = (shown.sources >> np.uint64(names.index(FILLER))) & np.uint64(1) == 1
        run.mark(np.unique(shown.row[used]), FALLBACK, f"{FILLER}: filled up")
    return run, shown


def _filler(run: Run, codes: IntArray) -> Candidates:
    """Return the items that fill up as candidates of every row; of its own items only where a row has any."""
    n_rows = len(run.everyone)
    offsets = len(codes) * np.arange(n_rows + 1, dtype=np.int64)
    items = np.tile(codes, n_rows)
    answer = Retrieved(offsets, items, np.full(len(items), np.nan, np.float32))
    batch = fuse((FILLER,), [answer], run.requests, limit=max(len(codes), 1))
    bound = run.requests.from_caller.get("items")
    return batch if bound is None else batch.compress(~bound[batch.row])


def _filtered(run: Run, batch: Candidates) -> Candidates:
    batch = exclude(run, batch)
    for group in run.plan.body:
        batch = keep(run, group, batch) if group.role is Role.FILTER else featurize(run, group, batch)
    return batch


def _first(batch: Candidates, k: IntArray) -> Candidates:
    return batch.compress(rank_in_row(batch.row, batch.offsets) < k[batch.row])
