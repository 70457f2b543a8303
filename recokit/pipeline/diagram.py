"""Diagram: a pipeline as a notebook shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recokit._utils.report import page, text
from recokit.pipeline.plan import Node, Plan
from recokit.protocols import Role
from recokit.trace import StageEvent


def groups_of(plan: Plan) -> list[tuple[str, Sequence[Node]]]:
    """Return the stages by what they do, in order of execution."""
    return [
        ("hydrate", plan.hydrators),
        ("retrieve", plan.sources),
        *((group.role.value, group.nodes) for group in plan.body),
        ("select", plan.of(Role.CONSTRAINT, Role.OBJECTIVE, Role.RERANKER)),
        ("annotate", (*plan.annotators, *plan.late)),
        ("fallback", () if plan.fallback is None else (plan.fallback,)),
    ]


def diagram(plan: Plan, *, fitted: bool) -> str:
    """Return the stages as boxes in order of execution, sources and fallback as groups."""
    rows = groups_of(plan)
    body = "".join(
        f'<div class="flow"><small class="what">{text(label)}</small>{"".join(map(_box, nodes))}</div>'
        for label, nodes in rows
        if nodes
    )
    return page("Pipeline", body, "fitted" if fitted else "not fitted")


def picture(plan: Plan, events: Sequence[StageEvent], ax: Any) -> Any:
    """Draw the stages as boxes, with what passed through each in a run, and return the matplotlib axes."""
    from recokit._utils.plots.boxes import draw_boxes

    counts: dict[str, str] = {}
    for event in events:
        if event.role == Role.HYDRATOR:
            continue
        took = f", took {event.removed:,}" if event.removed and event.role == "filter" else ""
        counts.setdefault(event.name, event.error or event.skipped or f"{event.n_out:,}{took}")
    groups = [(label, [node.name for node in nodes]) for label, nodes in groups_of(plan) if nodes]
    return draw_boxes(groups, counts, ax)


def _box(node: Node) -> str:
    when = f"<small>when {text(node.when)}</small>" if node.when is not None else ""
    return f'<div class="stage"><b>{text(node.name)}</b><small>{text(repr(node.stage))}</small>{when}</div>'
