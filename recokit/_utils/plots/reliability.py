"""Observed against predicted rates."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit._utils.plots.style import INK, MAIN, SMALL, SOFT, axes
from recokit.typing import FloatArray


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
    ax.plot([low, high], [low, high], color=SOFT, linestyle=(0, (4, 3)), linewidth=1)
    ax.plot(predicted, observed, color=MAIN, linewidth=1.5)
    size = 16 + 80 * weight / weight.max()
    ax.scatter(predicted, observed, s=size, color=MAIN, alpha=0.8, clip_on=False, zorder=3)
    ax.set(xlim=(low, high), ylim=(low, high))
    ax.set_xlabel("predicted", fontsize=SMALL, color=INK)
    ax.set_ylabel("observed", fontsize=SMALL, color=INK)
    for where, text in (
        ((0.03, 0.95), "more happened\nthan promised"),
        ((0.97, 0.1), "less happened\nthan promised"),
    ):
        side = "left" if where[0] < 0.5 else "right"
        ax.text(*where, text, transform=ax.transAxes, ha=side, va="center", fontsize=SMALL - 1, color=SOFT)
    ax.grid(alpha=0.2)
    return ax
