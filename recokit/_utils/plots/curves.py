"""Curves: an effect at each look, with the boundary that stops it; values in an order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._utils.plots.style import ACCENT, INK, MAIN, PALETTE, QUIET, SMALL, SOFT, WIDTH, axes
from recokit.typing import FloatArray


def draw_boundary(x: Sequence[float], value: FloatArray, reach: FloatArray, label: str, ax: Any) -> Any:
    """Draw an effect at each look inside the boundary at which it would count: outside, it is told apart from 0.

    Parameters
    ----------
    x : sequence of float, length L
        Days since the start.
    value, reach : ndarray of float64, shape (L,)
        The effect, and how far from 0 it has to be.
    label : str
        Of the effect.
    ax : matplotlib Axes or None
    """
    ax = axes(ax, WIDTH, 3.4)
    shown = np.isfinite(reach)
    far = max(
        float(np.abs(value).max(initial=0.0)), float(reach[shown].min(initial=np.inf)) if shown.any() else 0.0
    )
    top = 2.2 * (far or 1.0)
    capped = np.where(shown, np.minimum(reach, top), top)
    ax.fill_between(x, -capped, capped, color=QUIET, alpha=0.45, linewidth=0)
    ax.plot(x, capped, color=SOFT, linewidth=1)
    ax.plot(x, -capped, color=SOFT, linewidth=1)
    ax.axhline(0.0, color=SOFT, linewidth=0.8)
    ax.plot(x, value, color=MAIN, linewidth=2, marker="o", markersize=4)
    out = np.flatnonzero(np.abs(value) > reach)
    if len(out):
        first = int(out[0])
        ax.scatter([x[first]], [value[first]], color=ACCENT, s=70, zorder=4)
        ax.annotate(
            f"crossed on day {x[first]:.0f}", (x[first], value[first]), (6, 8), textcoords="offset points",
            fontsize=SMALL, color=ACCENT,
        )  # fmt: skip
    ax.set_ylim(-top, top)
    ax.text(0.98, 0.06, "inside: cannot be told from no effect", transform=ax.transAxes, ha="right",
            fontsize=SMALL - 1, color=SOFT)  # fmt: skip
    ax.set_xlabel("days", fontsize=SMALL, color=INK)
    ax.set_ylabel(label, fontsize=SMALL, color=INK)
    return ax


def draw_line(x: Sequence[float], y: Sequence[float], words: tuple[str, str], ax: Any) -> Any:
    """Draw values in an order, the first and the last with their numbers.

    Parameters
    ----------
    x, y : sequence of float, length L
    words : tuple of str
        What x and y are.
    ax : matplotlib Axes or None
    """
    ax = axes(ax, WIDTH, 3.2)
    ax.plot(x, y, color=MAIN, linewidth=2, marker="o", markersize=5)
    for place in {0, len(x) - 1} if len(x) else ():
        ax.annotate(f"{y[place]:.3g}", (x[place], y[place]), (0, 7), textcoords="offset points", ha="center",
                    fontsize=SMALL, color=MAIN)  # fmt: skip
    ax.set_xlabel(words[0], fontsize=SMALL, color=INK)
    ax.set_ylabel(words[1], fontsize=SMALL, color=INK)
    ax.margins(y=0.18)
    ax.grid(alpha=0.2)
    return ax


def draw_shares(values: FloatArray, label: str, ax: Any) -> Any:
    """Draw a histogram of values between 0 and 1 beside the even one.

    Parameters
    ----------
    values : ndarray of float64
    label : str
    ax : matplotlib Axes or None
    """
    ax = axes(ax, WIDTH, 3.0)
    ax.hist(values, bins=20, range=(0, 1), color=PALETTE[5], edgecolor="white")
    ax.axhline(len(values) / 20, color=ACCENT, linewidth=1.5)
    ax.text(0.99, len(values) / 20, "even", color=ACCENT, fontsize=SMALL, ha="right", va="bottom")
    ax.set_xlabel(label, fontsize=SMALL, color=INK)
    return ax
