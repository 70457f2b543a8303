"""Bars with their values beside them: recall by source, exposure by seller, what each rule took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recokit._utils.plots.style import (
    ACCENT,
    INK,
    MAIN,
    PALETTE,
    QUIET,
    SMALL,
    SOFT,
    WIDTH,
    axes,
    bare,
    number,
    rows,
)


def draw_bars(
    names: Sequence[str],
    values: Sequence[float],
    ax: Any,
    *,
    inner: Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
    colours: Sequence[str] | None = None,
) -> Any:
    """Draw bars from top to bottom, each with its value.

    Parameters
    ----------
    names : sequence of str, length G
    values : sequence of float, length G
        Lengths; NaN leaves a bar out.
    ax : matplotlib Axes or None
    inner : sequence of float, length G, optional
        The part of each that is drawn in a stronger colour.
    labels : sequence of str, length G, optional
        What stands beside each bar; its value by default.
    colours : sequence of str, length G, optional
    """
    ax = axes(ax, WIDTH, 0.7 + 0.36 * max(len(names), 2))
    known = [0.0 if value != value else float(value) for value in values]
    texts = [number(value) for value in values] if labels is None else labels
    shown = colours or [PALETTE[5] if inner is not None else MAIN] * len(names)
    ax.barh(range(len(names)), known, color=shown, height=0.68)
    if inner is not None:
        ax.barh(range(len(names)), inner, color=MAIN, height=0.68)
    reach = max((abs(value) for value in known), default=0.0) or 1.0
    for row, (value, text) in enumerate(zip(known, texts, strict=True)):
        side = -1 if value < 0 else 1
        ax.text(
            value + side * 0.015 * reach, row, text, va="center", ha="left" if side > 0 else "right",
            fontsize=SMALL, color=INK,
        )  # fmt: skip
    longest = max((len(text) for text in texts), default=0)
    low, high = min([0.0, *known]), max([0.0, *known])
    ax.set_xlim(low * (1.1 + 0.025 * longest), max(high, 1e-12) * (1.08 + 0.028 * longest))
    if low < 0:
        ax.axvline(0.0, color=SOFT, linewidth=1)
    rows(ax, names)
    bare(ax)
    return ax


def draw_paired(
    names: Sequence[str], values: Sequence[float], others: Sequence[float], words: tuple[str, str], ax: Any
) -> Any:
    """Draw two values of each group, joined: what it has, and what it should have.

    Parameters
    ----------
    names : sequence of str, length G
    values, others : sequence of float, length G
    words : tuple of str
        What the two are.
    ax : matplotlib Axes or None
    """
    ax = axes(ax, WIDTH, 1.0 + 0.34 * max(len(names), 2))
    places = list(range(len(names)))
    ax.hlines(places, others, values, color=QUIET, linewidth=4, zorder=1)
    for points, colour, marker in ((others, ACCENT, "|"), (values, MAIN, "o")):
        ax.scatter(
            points,
            places,
            color=colour,
            marker=marker,
            s=60 if marker == "o" else 160,
            linewidth=2.5,
            zorder=2,
        )
    rows(ax, names)
    ax.set_xlabel(f"\u25cf {words[0]}    | {words[1]}", fontsize=SMALL, color=INK)
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    return ax
