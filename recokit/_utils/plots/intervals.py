"""Means with their intervals, group by group: quality by segment, effects of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recokit._utils.plots.style import INK, PALETTE, QUIET, SMALL, SOFT, WIDTH, axes, rows
from recokit.typing import FloatArray


def draw_intervals(
    series: Mapping[str, FloatArray],
    groups: Sequence[str],
    label: str,
    ax: Any,
    *,
    reference: float | None = None,
    form: str = ".3g",
) -> Any:
    """Draw means with their intervals, groups from top to bottom, series side by side, the mean beside each.

    Parameters
    ----------
    series : mapping of str to ndarray of float64, shape (G, 3)
        Mean, low and high of each group; NaN where there is no interval.
    groups : sequence of str, length G
    label : str
        Of the axis of values.
    ax : matplotlib Axes or None
    reference : float, optional
        A value that others are held against, such as no effect at all.
    form : str, default ".3g"
        How a mean is written.
    """
    n = max(1, len(series))
    height = 1.0 + len(groups) * (0.3 + 0.24 * n)
    ax = axes(ax, WIDTH, height)
    if reference is not None:
        ax.axvline(reference, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    for i, (name, values) in enumerate(series.items()):
        colour, mean = PALETTE[i % len(PALETTE)], values[:, 0]
        reach = np.nan_to_num(np.abs(values[:, 1:] - mean[:, None])).T
        y = np.arange(len(groups)) + (i - (n - 1) / 2) * 0.7 / n
        ax.errorbar(mean, y, xerr=reach, fmt="o", color=colour, markersize=6, linewidth=2, label=name)
        for place, value in zip(y.tolist(), mean.tolist(), strict=True):
            if np.isfinite(value):
                ax.annotate(
                    f"{value:{form}}", (value, place), (0, 5), textcoords="offset points", ha="center",
                    fontsize=SMALL - 1, color=colour,
                )  # fmt: skip
    rows(ax, groups)
    for line in range(1, len(groups)):
        ax.axhline(line - 0.5, color=QUIET, linewidth=0.5, zorder=0)
    ax.set_xlabel(label, fontsize=SMALL, color=INK)
    if n > 1:
        _named(ax, series)
    return ax


def _named(ax: Any, series: Mapping[str, FloatArray]) -> None:
    """Name the series in their colours above the picture: a legend without boxes to look up."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", linewidth=2, color=PALETTE[i % len(PALETTE)]) for i in range(len(series))
    ]
    legend = ax.legend(
        handles, list(series), frameon=False, fontsize=SMALL, loc="lower left", bbox_to_anchor=(0.0, 1.0),
        ncols=min(len(series), 3), handlelength=1.2, columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip
    for i, text in enumerate(legend.get_texts()):
        text.set_color(PALETTE[i % len(PALETTE)])
