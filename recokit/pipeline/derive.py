"""Derive: the stages of a fitted plan as steps again, to build another pipeline from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recokit.compose import Merge
from recokit.errors import ConfigurationError
from recokit.pipeline.plan import Node, Plan
from recokit.pipeline.step import Step

__all__ = ["steps_of"]


def _same(node: Node) -> Node:
    return node


def steps_of(plan: Plan, change: Callable[[Node], Node | None] = _same) -> tuple[list[Any], Step | None]:
    """Return the stages and the fallback of a plan as the constructor of Pipeline takes them.

    Parameters
    ----------
    plan : Plan
        The plan.
    change : callable, optional
        Gives another node for a node, or None to leave it out.

    Raises
    ------
    ConfigurationError
        If no source is left.
    """
    fallback = None if plan.fallback is None else change(plan.fallback)
    sources = [_step(node) for node in map(change, plan.sources) if node is not None]
    if not sources:
        raise ConfigurationError("found no source left; expected at least one")
    stages = [_step(node) for node in map(change, plan.hydrators) if node is not None]
    stages.append(_merged(plan, sources))
    aside = {node.name for node in (*plan.hydrators, *plan.sources)}
    rest = [node for node in plan if node.name not in aside and node is not plan.fallback]
    stages += [_step(node) for node in map(change, rest) if node is not None]
    return stages, None if fallback is None else _step(fallback)


def _step(node: Node) -> Step:
    return Step(
        node.stage,
        name=node.leaf,
        when=node.when,
        on_error=node.on_error,
        optional=node.optional,
        limit=node.limit,
    )


def _merged(plan: Plan, sources: list[Step]) -> Step:
    """Return the plan's merge around its sources or others, under its own name; a bare source stays bare."""
    bare = len(plan.sources) == 1 and "." not in plan.sources[0].name
    if bare:
        return sources[0]
    merge, quotas = plan.merge, plan.merge.quotas
    if quotas is not None:
        left = {step.path for step in sources}
        quotas = {name: share for name, share in quotas.items() if name in left}
    around = Merge(sources, by=merge.by, limit=merge.limit, quotas=quotas, per_source=merge.per_source)
    return Step(around, name=plan.merge_name)
