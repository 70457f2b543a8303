"""Plots of arrays with names; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np

from recokit.errors import ConfigurationError
from recokit.typing import FloatArray


def axes(ax: Any, width: float, height: float) -> Any:
    """Return the axes of the caller, or those of a new figure.

    Raises
    ------
    ConfigurationError
        Without matplotlib.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError(
            "found no matplotlib; expected it for plots; hint: pip install 'recokit[plots]'"
        ) from error
    # A figure of its own, not of pyplot: nothing is kept or leaked behind the caller's back.
    made = Figure(figsize=(width, height), layout="constrained").add_subplot()
    # A notebook asks the last value of a cell how to show it.
    made._repr_png_ = partial(_png, made.figure)  # type: ignore[attr-defined]
    return made


def _png(figure: Any) -> bytes:
    """Return a figure as an image."""
    image = BytesIO()
    figure.savefig(image, format="png", dpi=110)
    return image.getvalue()


def draw_intervals(series: Mapping[str, FloatArray], groups: Sequence[str], label: str, ax: Any) -> Any:
    """Draw means with their intervals, groups from top to bottom, series side by side.

    Parameters
    ----------
    series : mapping of str to ndarray of float64, shape (G, 3)
        Mean, low and high of each group; NaN where there is no interval.
    groups : sequence of str, length G
    label : str
        Of the axis of values.
    ax : matplotlib Axes or None
    """
    ax = axes(ax, 6.4, 1.4 + 0.3 * len(groups) * max(2, len(series)))
    places = np.arange(len(groups), dtype=np.float64)
    for i, (name, values) in enumerate(series.items()):
        mean = values[:, 0]
        reach = np.nan_to_num(np.abs(values[:, 1:] - mean[:, None])).T
        y = places + (i - (len(series) - 1) / 2) * 0.6 / len(series)
        ax.errorbar(mean, y, xerr=reach, fmt="o", markersize=5, capsize=3, linewidth=1.4, label=name)
    ax.set_yticks(places, groups)
    ax.invert_yaxis()
    ax.set(xlabel=label, xlim=(min(0.0, ax.get_xlim()[0]), None))
    if len(series) > 1:
        ax.legend(
            frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=len(series)
        )
    ax.grid(axis="x", alpha=0.25)
    return ax


def draw_reliability(predicted: FloatArray, observed: FloatArray, weight: FloatArray, ax: Any) -> Any:
    """Draw observed against predicted rates, the ideal beside them, on logarithmic axes over two powers of ten."""
    ax = axes(ax, 5.0, 4.6)
    rates = np.concatenate([predicted, observed])
    positive = rates[rates > 0]
    if len(positive) and positive.max() / positive.min() > 100:
        low, high = positive.min() / 1.5, min(1.0, positive.max() * 1.5)
        ax.set(xscale="log", yscale="log")
        # A bin in which nothing happened has no logarithm: it stands on the lower edge.
        predicted, observed = np.maximum(predicted, low), np.maximum(observed, low)
    else:
        low, high = 0.0, min(1.0, float(rates.max(initial=0.0)) * 1.08 or 1.0)
    ax.plot([low, high], [low, high], color="0.55", linestyle="--", linewidth=1, label="as predicted")
    ax.plot(predicted, observed, color="#1f5fa8", linewidth=1.2)
    size = 12 + 60 * weight / weight.max()
    bins = "bins, area by weight"
    ax.scatter(predicted, observed, s=size, color="#1f5fa8", alpha=0.75, label=bins, clip_on=False, zorder=3)
    ax.set(xlim=(low, high), ylim=(low, high), xlabel="predicted", ylabel="observed")
    ax.legend(loc="upper left", frameon=False, fontsize=9)
    ax.grid(alpha=0.25)
    return ax
