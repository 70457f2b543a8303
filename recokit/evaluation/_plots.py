"""Plots of evaluations; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit.errors import ConfigurationError
from recokit.evaluation.report import Evaluation

__all__ = ["draw_scores"]


def draw_scores(parts: Mapping[str, Evaluation], metric: str, ax: Any) -> Any:
    """Draw a metric's mean and interval, segments from top to bottom, recommenders side by side."""
    first = next(iter(parts.values()))
    scores = {name: [part[metric, segment] for segment in first.segments] for name, part in parts.items()}
    if ax is None:
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ConfigurationError(
                "found no matplotlib; expected it for plots; hint: pip install 'recokit[plots]'"
            ) from error
        # A figure of its own, not of pyplot: nothing is shown, kept or leaked behind the caller's back.
        height = 1.4 + 0.3 * len(first.segments) * max(2, len(parts))
        ax = Figure(figsize=(6.4, height), layout="constrained").add_subplot()
    place = np.arange(len(first.segments), dtype=np.float64)
    for i, (name, found) in enumerate(scores.items()):
        mean = np.array([score.mean for score in found])
        ends = np.array([(score.low, score.high) for score in found])
        reach = np.nan_to_num(np.abs(ends - mean[:, None])).T
        offset = (i - (len(scores) - 1) / 2) * 0.6 / len(scores)
        ax.errorbar(
            mean, place + offset, xerr=reach, fmt="o", markersize=5, capsize=3, linewidth=1.4, label=name
        )
    users = [np.count_nonzero(first.of_segment(segment)) for segment in first.segments]
    ax.set_yticks(
        place, [f"{segment}\n{n:,} users" for segment, n in zip(first.segments, users, strict=True)]
    )
    ax.invert_yaxis()
    ax.set(
        xlabel=f"{metric}, mean and {first.confidence:.0%} interval", xlim=(min(0.0, ax.get_xlim()[0]), None)
    )
    if len(scores) > 1:
        ax.legend(
            frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=len(scores)
        )
    ax.grid(axis="x", alpha=0.25)
    return ax
