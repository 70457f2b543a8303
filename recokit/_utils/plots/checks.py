"""Checks: one mark each, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recokit._utils.plots.style import ACCENT, GOOD, INK, PALETTE, SMALL, SOFT, WIDTH, axes, bare, rows

#: Shape and colour of a verdict: the shape alone tells it.
_MARKS = {"pass": ("o", GOOD), "warn": ("^", PALETTE[4]), "fail": ("X", ACCENT), "not checked": ("_", SOFT)}
_FOUND = 46


def draw_checks(checks: Sequence[tuple[str, str, str]], ax: Any) -> Any:
    """Draw a mark for each check, worst first, with what it found.

    Parameters
    ----------
    checks : sequence of (name, status, message)
        Status is ``"pass"``, ``"warn"``, ``"fail"`` or ``"not checked"``.
    ax : matplotlib Axes or None
    """
    order = ("fail", "warn", "pass", "not checked")
    listed = sorted(checks, key=lambda check: order.index(check[1]))
    ax = axes(ax, WIDTH + 1.2, 0.6 + 0.31 * max(len(listed), 2))
    for row, (_, status, message) in enumerate(listed):
        marker, colour = _MARKS[status]
        ax.scatter([0], [row], marker=marker, color=colour, s=70, linewidth=2 if marker == "_" else 0.5)
        text = message if len(message) <= _FOUND else f"{message[: _FOUND - 1]}\u2026"
        ax.text(
            0.05, row, text, va="center", fontsize=SMALL - 1, color=INK if status != "not checked" else SOFT
        )
    rows(ax, [name for name, _, _ in listed])
    ax.set_xlim(-0.05, 1.0)
    ax.spines["left"].set_visible(False)
    bare(ax)
    return ax
