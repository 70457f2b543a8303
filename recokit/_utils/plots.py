"""Plots of evaluations; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit.errors import ConfigurationError
from recokit.evaluation.report import Evaluation

if TYPE_CHECKING:
    from recokit.metrics.calibration import Reliability

__all__ = ["axes", "draw_reliability", "draw_scores"]


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


def axes(ax: Any, width: float, height: float) -> Any:
    """Return the given axes, or those of a new figure."""
    if ax is not None:
        return ax
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError(
            "found no matplotlib; expected it for plots; hint: pip install 'recokit[plots]'"
        ) from error
    # A figure of its own, not of pyplot: nothing is shown, kept or leaked behind the caller's back.
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def draw_reliability(found: Reliability, ax: Any) -> Any:
    """Draw observed against predicted rates, the ideal beside them."""
    ax = axes(ax, 5.0, 4.6)
    p, o = found.predicted, found.observed
    both = np.concatenate([p, o])
    positive = both[both > 0]
    wide = len(positive) > 0 and positive.max() / positive.min() > 100
    if wide:
        low, high = positive.min() / 1.5, min(1.0, positive.max() * 1.5)
        ax.set(xscale="log", yscale="log")
        # A bin in which nothing happened has no logarithm: it stands on the lower edge.
        p, o = np.maximum(p, low), np.maximum(o, low)
    else:
        low, high = 0.0, min(1.0, float(both.max(initial=0.0)) * 1.08 or 1.0)
    ax.plot([low, high], [low, high], color="0.55", linestyle="--", linewidth=1, label="as predicted")
    size = 12 + 60 * found.weight / found.weight.max()
    ax.plot(p, o, color="#1f5fa8", linewidth=1.2)
    ax.scatter(
        p, o, s=size, color="#1f5fa8", alpha=0.75, label="bins, area by weight", clip_on=False, zorder=3
    )
    ax.set(xlim=(low, high), ylim=(low, high), xlabel="predicted", ylabel="observed")
    ax.set_title(f"{found.name or 'Reliability'}: calibration error {found.ece:.4f}", fontsize=11)
    ax.legend(loc="upper left", frameon=False, fontsize=9)
    ax.grid(alpha=0.25)
    return ax
