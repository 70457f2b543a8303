"""Diagram: a pipeline as a notebook shows it."""

from __future__ import annotations

from recokit._utils.report import page, text
from recokit.pipeline.plan import Node, Plan
from recokit.protocols import Role


def diagram(plan: Plan, *, fitted: bool) -> str:
    """Return the stages as boxes in order of execution, sources and fallback as groups."""
    selection = plan.of(Role.CONSTRAINT, Role.OBJECTIVE, Role.RERANKER)
    rows = [
        ("hydrate", plan.hydrators),
        ("retrieve", plan.sources),
        *((group.role.value, group.nodes) for group in plan.body),
        ("select", selection),
        ("annotate", (*plan.annotators, *plan.late)),
        ("fallback", () if plan.fallback is None else (plan.fallback,)),
    ]
    body = "".join(
        f'<div class="flow"><small class="what">{text(label)}</small>{"".join(map(_box, nodes))}</div>'
        for label, nodes in rows
        if nodes
    )
    return page("Pipeline", body, "fitted" if fitted else "not fitted")


def _box(node: Node) -> str:
    when = f"<small>when {text(node.when)}</small>" if node.when is not None else ""
    return f'<div class="stage"><b>{text(node.name)}</b><small>{text(repr(node.stage))}</small>{when}</div>'
