"""A funnel: how many candidates each step had, and what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recokit._utils.plots.style import (
    ACCENT,
    GOOD,
    INK,
    MAIN,
    PALETTE,
    SMALL,
    WIDTH,
    axes,
    bare,
    number,
    rows,
)


class Step(NamedTuple):
    """One step: its name, what it kept, what it took, and what else is to be said."""

    name: str
    kept: float
    taken: float = 0.0
    kind: str = "filter"
    note: str = ""


_COLOURS = {"source": PALETTE[5], "list": GOOD}


def draw_funnel(steps: Sequence[Step], ax: Any) -> Any:
    """Draw the steps from top to bottom: what stays, beside it what was taken.

    Parameters
    ----------
    steps : sequence of Step
        Sources lie above, each with what it found; ``"list"`` is the last.
    ax : matplotlib Axes or None
    """
    ax = axes(ax, WIDTH, 0.7 + 0.36 * max(len(steps), 3))
    places = range(len(steps))
    kept = [step.kept for step in steps]
    colours = [ACCENT if step.kind == "failed" else _COLOURS.get(step.kind, MAIN) for step in steps]
    ax.barh(places, kept, color=colours, height=0.7)
    for row, step in enumerate(steps):
        if step.taken:
            ax.barh(
                row, step.taken, left=step.kept, height=0.7, color="white", edgecolor=ACCENT, hatch="////"
            )
    reach = max((step.kept + step.taken for step in steps), default=0.0) or 1.0
    for row, step in enumerate(steps):
        end = step.kept + step.taken + 0.015 * reach
        ax.text(end, row, _said(step), va="center", fontsize=SMALL, color=INK)
    longest = max((len(_said(step)) for step in steps), default=0)
    ax.set_xlim(0, reach * (1.05 + 0.028 * longest))
    rows(ax, [step.name for step in steps])
    for row, step in enumerate(steps):
        if step.kind == "failed":
            ax.get_yticklabels()[row].set_color(ACCENT)
    bare(ax)
    return ax


def _said(step: Step) -> str:
    parts = [number(step.kept)]
    if step.taken:
        parts.append(f"took {number(step.taken)}")
    return ", ".join([*parts, step.note] if step.note else parts)


#: Roles that choose the list: what they leave is no candidate that was taken.
_CHOOSING = ("selection", "reranker", "objective")


def steps_of(records: Sequence[Mapping[str, Any]], n_items: float) -> list[Step]:
    """Return the steps of a funnel from its events, without stages that take nothing and fail nowhere.

    Parameters
    ----------
    records : sequence of mapping
        As ``Trace.funnel`` has them: name, role, n_in, n_out, removed, error, skipped.
    n_items : float
        Items in the lists at the end.
    """
    steps: list[Step] = []
    side_by_side = 0
    for record in records:
        if record["role"] != "filter":
            if side_by_side > 1:  # each saw all candidates: what they left together is no one's own count
                steps.append(Step("all filters", record["n_in"]))
            side_by_side = 0
        if (step := _step(record)) is not None:
            steps.append(step)
            side_by_side += record["role"] == "filter"
    return [*steps, Step("list", n_items, kind="list")]


def _step(record: Mapping[str, Any]) -> Step | None:
    name, role = record["name"], record["role"]
    if record["error"] or record["skipped"]:
        return Step(name, record["n_out"], kind="failed", note="failed" if record["error"] else "skipped")
    if role == "source" and not record["n_in"]:
        asked = record["n_out"] or not name.startswith("fallback")
        return Step(name, record["n_out"], kind="source") if asked else None
    if role == "source":  # the fusion of several: what two of them found is one candidate
        return Step("candidates", record["n_out"])
    if record["removed"] and role not in _CHOOSING:
        return Step(name, record["n_out"], record["removed"])
    return None


def mean_records(funnels: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return one funnel of many: mean counts by stage, in the order of the longest; an error where any has one."""
    longest: Sequence[Mapping[str, Any]] = max(funnels, key=len, default=())
    n = max(len(funnels), 1)
    merged: dict[str, dict[str, Any]] = {
        record["name"]: {**record, "n_in": 0.0, "n_out": 0.0, "removed": 0.0, "error": "", "skipped": ""}
        for record in longest
    }
    for funnel in funnels:
        for record in funnel:
            sums = merged.setdefault(record["name"], {**record, "n_in": 0.0, "n_out": 0.0, "removed": 0.0})
            for name in ("n_in", "n_out", "removed"):
                sums[name] += record[name] / n
            sums["error"] = sums["error"] or record["error"]
    return list(merged.values())
