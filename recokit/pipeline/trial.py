"""Trial: fit tries functions of a user's own on a few requests, so that they fail there and not in serving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from recokit.budget import Deadline
from recokit.data import Dataset, Requests
from recokit.data.by_id import user_ids_of
from recokit.errors import ConfigurationError, StageError
from recokit.pipeline.finish import finish
from recokit.pipeline.plan import Node, Plan
from recokit.pipeline.ranking import rank
from recokit.pipeline.retrieval import retrieve
from recokit.pipeline.run import Run, Settings
from recokit.training import eligible_users

_N_USERS = 2


def try_out(plan: Plan, dataset: Dataset, context: Mapping[str, Any]) -> None:
    """Run a fitted and bound plan on a few single requests, if a function of a user's own is in it.

    Sources that wait for input and output are left out, and what the network does is no fault of a function.

    Raises
    ------
    ContractError
        If an answer has the wrong shape or type, or a score is not finite.
    StageError
        If a function raises.
    """
    plan = plan.without([node.name for node in plan if _is_own(node) and node.io_bound])
    if not plan.sources or not any(map(_is_own, plan)):
        return
    strict = plan.with_nodes(replace(node, on_error="raise") if _is_own(node) else node for node in plan)
    schema = dataset.schema
    settings = Settings(strict, schema, validate=True, dependencies={}, context=context)
    now = dataset.until if np.isfinite(dataset.until) else 0.0
    users = np.append(eligible_users(dataset, max_users=_N_USERS, seed=0), 0)
    requests = Requests.build(users, now=now, k=5)
    requests = replace(requests, user_ids=user_ids_of(requests, schema.user_ids))
    try:
        for row in range(len(requests)):
            run = Run(settings, requests.take(np.array([row])), Deadline.after(np.inf))
            finish(run, rank(run, retrieve(run)))
    except StageError as error:
        if not isinstance(error.cause, OSError):
            raise
    except ConfigurationError as error:
        if "context column" not in str(error):  # that comes with each request
            raise


def _is_own(node: Node) -> bool:
    return node.traits.own_code
