"""The gallery's order and look: colours that the colour-blind tell apart, no frame, letters that a phone shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: Scripts in the order in which a reader would want them.
ORDER = (
    "own_csv", "sources", "two_stages", "funnel", "cold_start", "leakage", "calibration", "query", "mmr_cost",
    "fairness", "debugger", "drift", "feature_log", "hot_swap", "experiment", "off_policy", "processes", "shop_week",
)  # fmt: skip


def by_purpose(file: str) -> int:
    """Return the place of a script by its file name."""
    return ORDER.index(Path(file).stem.removeprefix("plot_"))


def style(conf: dict[str, Any], file: str) -> None:
    """Set the look of the pictures before each script."""
    from cycler import cycler
    from matplotlib import rcParams

    rcParams.update(
        {
            "axes.prop_cycle": cycler(
                color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
            ),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 13,
            "axes.titleweight": "bold",
            "axes.labelsize": 11,
            "font.size": 11,
            "figure.dpi": 110,
            "savefig.facecolor": "white",
        }
    )
