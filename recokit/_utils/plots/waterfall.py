"""Waterfalls: what makes up a score, and what makes up the time of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recokit._utils.plots.style import ACCENT, INK, MAIN, QUIET, SMALL, SOFT, WIDTH, axes, bare, number, rows


def draw_contributions(
    names: Sequence[str], values: Sequence[float], base: float, ax: Any, *, most: int = 8
) -> Any:
    """Draw how a score comes from the base: each feature's contribution, the largest first.

    Parameters
    ----------
    names : sequence of str, length F
    values : sequence of float, length F
        They add up to the score less the base.
    base : float
        The score of a candidate that nothing is said of.
    ax : matplotlib Axes or None
    most : int, default 8
        Features that are named; the others are one row.
    """
    order = sorted(range(len(names)), key=lambda place: -abs(values[place]))
    parts = [(names[place], float(values[place])) for place in order[:most]]
    rest = float(sum(values[place] for place in order[most:]))
    if order[most:]:
        parts.append((f"{len(order) - most} others", rest))
    ax = axes(ax, WIDTH, 1.0 + 0.36 * (len(parts) + 2))
    at, left, texts = base, [], []
    for row, (_, value) in enumerate(parts, 1):
        ax.barh(row, value, left=at, height=0.66, color=MAIN if value >= 0 else ACCENT)
        ax.vlines(at + value, row, row + 1, color=SOFT, linewidth=0.8)
        left.append(max(at, at + value))
        texts.append(f"{value:+.3g}")
        at += value
    ends = [base, *left, at]
    for row, (end, text) in enumerate(zip(ends, [number(base), *texts, number(at)], strict=True)):
        ax.annotate(
            text, (end, row), (7, 0), textcoords="offset points", va="center", fontsize=SMALL, color=INK
        )
    ax.scatter([base, at], [0, len(parts) + 1], color=SOFT, s=36, zorder=3)
    rows(ax, ["base", *(name for name, _ in parts), "score"])
    low, high = min([base, at, *ends]), max(ends)
    low = min([low, *(end - abs(value) for end, (_, value) in zip(left, parts, strict=True))])
    margin = 0.05 * (high - low or 1.0)
    ax.set_xlim(low - margin, high + 4.5 * margin)
    bare(ax)
    return ax


def draw_spans(
    names: Sequence[str],
    started: Sequence[float],
    taken: Sequence[float],
    ax: Any,
    *,
    whole: float,
    limit: float | None = None,
) -> Any:
    """Draw when each stage ran, in milliseconds, with its time beside it; a limit as a line.

    Parameters
    ----------
    names : sequence of str, length G
    started, taken : sequence of float, length G
        Milliseconds.
    whole : float
        Milliseconds of all.
    ax : matplotlib Axes or None
    limit : float, optional
        Milliseconds that there were.
    """
    ax = axes(ax, WIDTH, 0.9 + 0.33 * max(len(names), 2))
    longest = max(taken, default=0.0)
    colours = [ACCENT if value == longest and len(taken) > 1 else MAIN for value in taken]
    least = 0.004 * (whole or 1.0)
    ax.barh(
        range(len(names)), [max(value, least) for value in taken], left=started, height=0.68, color=colours
    )
    for row, (start, value) in enumerate(zip(started, taken, strict=True)):
        ax.text(
            start + value + 0.012 * whole,
            row,
            f"{value:.{2 if value < 10 else 0}f} ms",
            va="center",
            fontsize=SMALL,
            color=INK,
        )
    rows(ax, names)
    ax.set_xlim(0, whole * 1.22)
    if limit is not None and limit <= whole * 1.2:
        ax.axvline(limit, color=ACCENT, linewidth=1.5)
        side = -1 if limit > 0.5 * whole else 1
        ax.annotate(
            f"budget {limit:g} ms", (limit, 0), (4 * side, 0), textcoords="offset points", color=ACCENT,
            fontsize=SMALL, ha="right" if side < 0 else "left", va="center",
        )  # fmt: skip
    ax.grid(axis="x", color=QUIET, alpha=0.5)
    ax.set_axisbelow(True)
    ax.set_xlabel("ms since the request began", fontsize=SMALL, color=INK)
    return ax
