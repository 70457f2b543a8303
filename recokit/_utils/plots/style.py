"""One style for all pictures: readable on a phone, safe for the colour-blind, labels beside what they name."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Any

from recokit.errors import ConfigurationError

#: Okabe and Ito's palette, in the order in which series take it: told apart with any colour vision, and in grey.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MAIN, ACCENT, GOOD = PALETTE[:3]
QUIET, INK, SOFT = "#C9CED4", "#24292F", "#59636E"
#: Inches of a figure, and points of its text: on a phone of 400 px the smallest text has 10 px.
WIDTH, TEXT, SMALL = 5.6, 11.0, 10.0
#: Characters of a line of the heading: more would leave the picture where names of rows are long.
_HEADING = 44


def axes(ax: Any, width: float = WIDTH, height: float = 3.6) -> Any:
    """Return the axes of the caller, or those of a new figure, in the style.

    Raises
    ------
    ConfigurationError
        Without matplotlib.
    """
    if ax is None:
        ax = figure(width, height).add_subplot()
        # A notebook asks the last value of a cell how to show it.
        ax._repr_png_ = partial(png, ax.figure)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(QUIET)
    ax.tick_params(labelsize=SMALL, length=0, colors=INK)
    return ax


def figure(width: float = WIDTH, height: float = 3.6) -> Any:
    """Return a new figure that shows itself in a notebook; of its own, not of pyplot: nothing is kept behind it.

    Raises
    ------
    ConfigurationError
        Without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError(
            "found no matplotlib; expected it for plots; hint: pip install 'recokit[plots]'"
        ) from error
    made = Figure(figsize=(width, height), layout="constrained")
    made._repr_png_ = partial(png, made)  # type: ignore[attr-defined]
    return made


def png(made: Any) -> bytes:
    """Return a figure as an image."""
    image = BytesIO()
    made.savefig(image, format="png", dpi=120)
    return image.getvalue()


def title(ax: Any, text: str) -> None:
    """Say on top, from the left edge, what the picture shows."""
    import textwrap

    lines = textwrap.fill(text, _HEADING)
    ax.set_title(lines, loc="left", fontsize=TEXT, color=INK, fontweight="bold", pad=10)


def rows(ax: Any, names: Any, size: float = SMALL) -> None:
    """Name the rows of a picture, from top to bottom."""
    ax.set_yticks(range(len(names)), [shortened(name) for name in names], fontsize=size)
    ax.set_ylim(len(names) - 0.5, -0.5)


def bare(ax: Any) -> None:
    """Take the axis of values away, where each value stands beside its bar."""
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)


def shortened(text: Any, length: int = 26) -> str:
    """Return text that leaves room for the picture; lines of several stay."""
    return "\n".join(
        line if len(line) <= length else f"{line[: length - 1]}\u2026" for line in str(text).split("\n")
    )


def number(value: float) -> str:
    """Return a number with three digits that count.

    Examples
    --------
    >>> number(1234.5), number(0.31234), number(7.0), number(float("nan"))
    ('1,234', '0.312', '7', '-')
    """
    if value != value:
        return "-"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
