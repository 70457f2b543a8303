"""Contracts: each answer of a stage checked against its protocol. A breach is a ContractError, always raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit.compose.composed import Composed
from recokit.compose.step import stage_of
from recokit.data import Candidates, Cap, Pin, Ragged, Requests
from recokit.data.context import SEARCH, WHERE
from recokit.data.requests import Hydrated
from recokit.errors import ConfigurationError, ContractError
from recokit.pipeline.plan import Node, Plan
from recokit.protocols import Discloses, HoldsRules, MovesItems, Role
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

_LIMITS = (Cap, Pin)


def check_disclosed(plan: Plan) -> None:
    """Check that items which rules move are labelled in the end.

    Raises
    ------
    ConfigurationError
        If a scorer or limit moves items (``touches``) under a ``label``, here or in a pipeline that is a source here,
        and no annotator discloses that very rule.
    """
    disclosing = [node.stage for node in plan.annotators if isinstance(node.stage, Discloses)]
    for node in plan:
        for rule in _moving_rules(node.stage):
            if rule.label is not None and not any(stage.discloses(rule) for stage in disclosing):
                raise ConfigurationError(
                    f"found {node.name}, which moves items, and nothing that labels them {rule.label!r}; "
                    "expected an annotator that does; hint: rules.Disclose(the same rule)"
                )


def with_disclosed(plan: Plan, old: Any, new: Any) -> dict[str, Any]:
    """Return the annotators that label what an old rule touches, by path, with a new rule in its place."""
    if not (isinstance(old, MovesItems) and isinstance(new, MovesItems) and new.label is not None):
        return {}
    return {
        node.name: node.stage.disclosing(old, new)
        for node in plan.annotators
        if isinstance(node.stage, Discloses) and node.stage.discloses(old)
    }


def moving_rules(plan: Plan) -> tuple[Any, ...]:
    """Return the rules of a plan that move items, those inside its sources too."""
    return tuple(rule for node in plan for rule in _moving_rules(node.stage))


def _moving_rules(stage: Any) -> tuple[Any, ...]:
    if isinstance(stage, MovesItems):
        return (stage,)
    if isinstance(stage, HoldsRules):
        return stage.moving_rules()
    if isinstance(stage, Composed):
        return tuple(rule for part in stage.sources for rule in _moving_rules(stage_of(part)))
    return ()


def check_searchable(plan: Plan, requests: Requests) -> None:
    """Check that the plan reads a call's queries, and holds the conditions that are read from them.

    Raises
    ------
    ConfigurationError
        If no stage reads the query, or conditions come of it and no filter does.
    """
    reading = {name for node in plan for name in node.traits.requires}
    if not reading & {f"context.{name}" for name in SEARCH}:
        raise ConfigurationError(
            "found query=..., which no stage reads; expected one that does; hint: candidates.Text() among the sources"
        )
    where = f"context.{WHERE}"
    made = WHERE in requests.columns or any(where in node.traits.provides for node in plan.hydrators)
    if made and not any(node.role is Role.FILTER and where in node.traits.requires for node in plan):
        raise ConfigurationError(
            "found a query with conditions and no filter that holds them; expected one; hint: rules.Asked()"
        )


def checked_hydrated(node: Node, requests: Requests) -> Hydrated:
    """Return the hydrator's columns and lists, each with one entry for each request."""
    hydrated = node.stage.hydrate(requests)
    if not isinstance(hydrated, Hydrated):
        raise ContractError(_breach(node, "hydrate", hydrated, "Hydrated(columns, ragged)"))
    n_rows = len(requests.user)
    expected = f"one entry for each of {n_rows} requests"
    for name, column in hydrated.columns.items():
        if not isinstance(column, np.ndarray) or column.shape != (n_rows,):
            raise ContractError(_breach(node, "hydrate", column, expected, name))
    for name, lists in hydrated.ragged.items():
        if not isinstance(lists, Ragged) or len(lists.offsets) != n_rows + 1:
            raise ContractError(_breach(node, "hydrate", lists, f"a Ragged with {expected}", name))
    return hydrated


def checked_mask(node: Node, batch: Candidates) -> BoolArray:
    """Return the filter's decisions, a copy."""
    mask = node.stage.keep(batch)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != batch.item.shape:
        raise ContractError(_breach(node, "keep", mask, f"bool ({len(batch)},)"))
    return mask.copy()


def checked_verdict(node: Node, batch: Candidates) -> BoolArray:
    """Return which candidates an annotator's hard check lets through."""
    mask = node.stage.verify(batch)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != batch.item.shape:
        raise ContractError(_breach(node, "verify", mask, f"bool ({len(batch)},)"))
    return mask


def checked_features(node: Node, batch: Candidates, width: int) -> Float32Array:
    """Return the featurizer's block, one column for each of its names."""
    block = node.stage.featurize(batch)
    shape = (len(batch.item), width)
    if not isinstance(block, np.ndarray) or block.dtype.kind != "f" or block.shape != shape:
        raise ContractError(_breach(node, "featurize", block, f"float32 {shape}, one column for each name"))
    return block.astype(np.float32, copy=False)


def checked_score(node: Node, batch: Candidates) -> Float32Array:
    """Return the scores; whether they are finite is for the runner to see."""
    score = node.stage.score(batch)
    if not isinstance(score, np.ndarray) or score.dtype.kind != "f" or score.shape != batch.item.shape:
        raise ContractError(_breach(node, "score", score, f"float32 ({len(batch)},)"))
    return score.astype(np.float32)


def checked_columns(node: Node, batch: Candidates) -> Mapping[str, AnyArray]:
    """Return the annotator's columns."""
    columns = node.stage.annotate(batch)
    if not isinstance(columns, Mapping):
        raise ContractError(_breach(node, "annotate", columns, "a mapping of names to columns"))
    for name, values in columns.items():
        if not isinstance(values, np.ndarray) or values.shape != batch.item.shape:
            raise ContractError(_breach(node, "annotate", values, f"({len(batch)},)", name))
    return columns


def checked_limits(node: Node, batch: Candidates) -> tuple[Cap | Pin, ...]:
    """Return the constraint's limits, each with one entry for each candidate."""
    limits = node.stage.limit(batch)
    if not isinstance(limits, tuple):
        raise ContractError(_breach(node, "limit", limits, "a tuple of Cap and Pin"))
    for limit in limits:
        if not isinstance(limit, _LIMITS):
            raise ContractError(_breach(node, "limit", limits, "a tuple of Cap and Pin"))
        if len(limit) != len(batch.item):
            raise ContractError(
                f"found limit {limit.name!r} for {len(limit)} candidates from {node.name}.limit; expected {len(batch)}"
            )
    return limits


def checked_order(node: Node, batch: Candidates) -> IntArray:
    """Return the reranker's order: rows together and ascending, no position twice."""
    order = node.stage.rerank(batch)
    if not isinstance(order, np.ndarray) or order.dtype.kind != "i" or order.ndim != 1:
        raise ContractError(_breach(node, "rerank", order, "int64 positions"))
    order = order.astype(np.int64, copy=False)
    outside = order[(order < 0) | (order >= len(batch))]
    if len(outside):
        raise ContractError(
            f"found position {outside[0]} from {node.name}.rerank; expected 0 to {len(batch) - 1}"
        )
    times = np.bincount(order, minlength=len(batch))
    if (times > 1).any():
        raise ContractError(
            f"found position {times.argmax()} twice from {node.name}.rerank; expected distinct positions"
        )
    if (np.diff(batch.row[order]) < 0).any():
        raise ContractError(
            f"found rows mixed in the order from {node.name}.rerank; expected each row's positions together, "
            "rows ascending"
        )
    return order


def _breach(node: Node, verb: str, value: Any, expected: str, part: str = "") -> str:
    kind = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
    of_part = f" for {part!r}" if part else ""
    return f"found {kind}{of_part} from {node.name}.{verb}; expected {expected}"
