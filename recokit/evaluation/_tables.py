"""Tables of evaluations, as text and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["grid", "json_number", "markdown"]


def json_number(value: float) -> float | None:
    """Return the number, None where JSON has none for it."""
    return float(value) if math.isfinite(value) else None


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns of equal width."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (header, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """Return a Markdown table, and the notes as a list below it."""
    lines = [_line(header), _line(["---"] * len(header)), *map(_line, rows)]
    return "\n".join([*lines, *([""] if notes else []), *(f"- {note}" for note in notes)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
