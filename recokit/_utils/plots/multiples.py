"""Small multiples: the distribution of each column in training and now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit._utils.plots.style import (
    ACCENT,
    INK,
    PALETTE,
    QUIET,
    SMALL,
    TEXT,
    WIDTH,
    axes,
    figure,
    shortened,
)
from recokit.typing import FloatArray

_COLUMNS = 2


def draw_multiples(columns: Mapping[str, tuple[FloatArray, FloatArray]], drifted: Any, heading: str) -> Any:
    """Draw shares by bin: grey is training, the line is now, in another colour where it has drifted.

    Parameters
    ----------
    columns : mapping of str to (shares in training, shares now)
        Each pair of one length.
    drifted : collection of str
    heading : str
    """
    n_rows = max(1, -(-len(columns) // _COLUMNS))
    made = figure(WIDTH, 0.7 + 1.5 * n_rows)
    made.suptitle(
        f"{heading}; grey: training, line: now",
        fontsize=TEXT,
        color=INK,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    for place, (name, (before, now)) in enumerate(columns.items()):
        ax = axes(made.add_subplot(n_rows, _COLUMNS, place + 1))
        colour = ACCENT if name in drifted else PALETTE[0]
        ax.bar(range(len(before)), before, color=QUIET, width=1.0)
        edges = np.arange(len(now) + 1) - 0.5
        ax.stairs(now, edges, color=colour, linewidth=2)
        ax.set_title(
            f"{shortened(name, 22)}{', drifted' if name in drifted else ''}",
            loc="left",
            fontsize=SMALL,
            color=colour,
        )
        ax.set(xticks=[], yticks=[])
    return made
