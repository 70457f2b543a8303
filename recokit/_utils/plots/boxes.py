"""A pipeline as a diagram: stages in boxes, from top to bottom, with what passed between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recokit._utils.plots.style import GOOD, INK, MAIN, PALETTE, SMALL, SOFT, WIDTH, axes, shortened

#: Characters of a name of which three boxes fit side by side.
_ROOM = 16
_TINT = {"retrieve": PALETTE[5], "fallback": PALETTE[4], "select": GOOD}


def draw_boxes(groups: Sequence[tuple[str, Sequence[str]]], counts: Mapping[str, str], ax: Any) -> Any:
    """Draw groups of stages below each other, the stages of a group side by side.

    Parameters
    ----------
    groups : sequence of (label, names of stages)
        In order of execution.
    counts : mapping of str to str
        What is said in a box below the name of its stage.
    ax : matplotlib Axes or None
    """
    longest = max((len(_leaf(name)) for _, names in groups for name in names), default=0)
    n = 3 if longest <= _ROOM else 2
    lines = [
        (label if first == 0 else "", names[first : first + n])
        for label, names in groups
        for first in range(0, len(names), n)
    ]
    ax = axes(ax, WIDTH, 0.3 + 0.78 * max(len(lines), 1))
    for row, (label, names) in enumerate(lines):
        y = -float(row)
        ax.text(0.0, y, label, fontsize=SMALL, color=SOFT, va="center", ha="left")
        width = 0.8 / max(len(names), 1) - 0.02 if len(names) > 1 else 0.5
        start = 0.2 + (0.8 - len(names) * (width + 0.02)) / 2 if len(names) == 1 else 0.2
        for place, name in enumerate(names):
            _box(
                ax,
                (start + place * (width + 0.02), y),
                width,
                (name, counts.get(name, "")),
                _TINT.get(label, MAIN),
            )
        if row + 1 < len(lines) and lines[row + 1][0] != "fallback":
            ax.annotate("", (0.6, y - 0.62), (0.6, y - 0.38), arrowprops={"arrowstyle": "-|>", "color": SOFT})
    ax.set(xlim=(-0.01, 1.02), ylim=(-len(lines) + 0.45, 0.55), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _leaf(name: str) -> str:
    """Return the last part of a path: the group says the rest."""
    return name.rpartition(".")[2]


def _box(ax: Any, corner: tuple[float, float], width: float, words: tuple[str, str], colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = corner
    ax.add_patch(
        FancyBboxPatch(
            (x, y - 0.33),
            width,
            0.66,
            boxstyle="round,pad=0,rounding_size=0.03",
            facecolor=f"{colour}22",
            edgecolor=colour,
            linewidth=1.2,
            mutation_aspect=4.0,
        )
    )
    name, said = words
    room = max(8, int(width * 66))
    ax.text(x + width / 2, y + (0.13 if said else 0.0), shortened(_leaf(name), room), fontsize=SMALL, color=INK,
            ha="center", va="center", fontweight="bold")  # fmt: skip
    if said:
        ax.text(
            x + width / 2,
            y - 0.16,
            shortened(said, room + 2),
            fontsize=SMALL - 1,
            color=INK,
            ha="center",
            va="center",
        )
