"""Small plots as inline SVG: horizontal bars, spans in time, and points by rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recokit._html import text
from recokit.typing import BoolArray, FloatArray

__all__ = ["bars", "points", "spans"]

_ROW = 22
_NAME = 210
_WIDTH = 760
_SPACE = _WIDTH - _NAME - 130


def bars(title: str, names: Sequence[str], values: Sequence[float], notes: Sequence[str]) -> str:
    """Return one bar a name, from zero; negative values go to the left of a line in the middle."""
    signed = min(values, default=0.0) < 0
    most = max((abs(value) for value in values if np.isfinite(value)), default=0.0) or 1.0
    zero, space = (_NAME + _SPACE / 2, _SPACE / 2) if signed else (float(_NAME), float(_SPACE))
    marks = []
    for row, (name, value, note) in enumerate(zip(names, values, notes, strict=True)):
        length = space * abs(value) / most if np.isfinite(value) else 0.0
        marks.append(_line(row, name, zero - (length if value < 0 else 0.0), length, note))
    return _svg(title, "".join(marks), len(names))


def spans(
    title: str, names: Sequence[str], start: Sequence[float], length: Sequence[float], notes: Sequence[str]
) -> str:
    """Return one bar a name, from its start to its end: a waterfall."""
    end = max((a + b for a, b in zip(start, length, strict=True)), default=0.0) or 1.0
    marks = [
        _line(row, name, _NAME + _SPACE * a / end, _SPACE * b / end, note)
        for row, (name, a, b, note) in enumerate(zip(names, start, length, notes, strict=True))
    ]
    return _svg(title, "".join(marks), len(names))


def points(title: str, values: FloatArray, marked: BoolArray) -> str:
    """Return values (N,) in falling order as points; marked ones are filled and larger."""
    height = 180.0
    order = np.argsort(-values, kind="stable")
    values, marked = values[order], marked[order]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    x = 60 + (_WIDTH - 90) * np.arange(len(values)) / max(len(values) - 1, 1)
    y = 10 + (height - 20) * (high - values) / (high - low if high > low else 1.0)
    dots = "".join(
        f'<circle class="{"hit" if hit else "other"}" cx="{a:.1f}" cy="{b:.1f}" r="{4 if hit else 2}"/>'
        for a, b, hit in zip(x.tolist(), y.tolist(), marked.tolist(), strict=True)
    )
    axis = f'<text x="0" y="16">{high:.4g}</text><text x="0" y="{height - 6}">{low:.4g}</text>'
    return _frame(title, axis + dots, height + 10)


def _line(row: int, name: str, x: float, length: float, note: str) -> str:
    y = row * _ROW
    return (
        f'<text x="0" y="{y + 15}">{text(name[:32])}</text>'
        f'<rect x="{x:.1f}" y="{y + 4}" width="{max(length, 1.0):.1f}" height="{_ROW - 8}"/>'
        f'<text x="{_NAME + _SPACE + 8}" y="{y + 15}">{text(note)}</text>'
    )


def _svg(title: str, marks: str, n: int) -> str:
    return _frame(title, marks, n * _ROW + 6.0)


def _frame(title: str, marks: str, height: float) -> str:
    return f'<svg role="img" aria-label="{text(title)}" viewBox="0 0 {_WIDTH} {height:.0f}" width="100%">{marks}</svg>'
