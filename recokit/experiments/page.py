"""The page of an experiment: what to do, and the figures that say why, in one file that needs nothing else."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._utils.report import Table, page, table, text
from recokit.experiments.decision import moved
from recokit.experiments.effects import Curve, Effect

#: Nothing may be loaded from anywhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """<style>
:root{color-scheme:light dark}
body{margin:0 auto;padding:1.5em;max-width:60em;background:light-dark(#fff,#14171a);color:light-dark(#1b1f24,#e6e8eb)}
.rk{max-width:none}.rk h2{font-size:1.15em;margin:1.6em 0 .4em;text-align:left}
.rk .verdict{font-size:1.3em;border-left:.3em solid;padding:.1em .7em;margin:.6em 0}
.rk .verdict small{display:block;font-size:.72em;margin-top:.2em}
.rk svg{display:block;width:100%;max-width:52em;overflow:visible;margin:.2em 0 .8em}
.rk svg text{font:12px system-ui,sans-serif;fill:currentColor}
.rk svg .axis{stroke:light-dark(#8a939d,#7d8791);stroke-width:1}.rk svg .grid{stroke:light-dark(#e3e6ea,#2b3138)}
.rk svg .better{stroke:light-dark(#1a7f37,#6fdd8b);fill:light-dark(#1a7f37,#6fdd8b)}
.rk svg .worse{stroke:light-dark(#b3261e,#ff8a80);fill:light-dark(#b3261e,#ff8a80)}
.rk svg .unclear{stroke:light-dark(#3b6fb6,#7fb0f0);fill:light-dark(#3b6fb6,#7fb0f0)}
.rk svg .bar{stroke-width:2.5}.rk svg .band{stroke:none;opacity:.16}.rk svg .line{fill:none;stroke-width:2}
.rk svg .edge{fill:none;stroke-width:1;stroke-dasharray:4 3}
.rk .scroll{overflow-x:auto}
@media print{body{max-width:none;padding:0}.rk svg,.rk tr{break-inside:avoid}}
</style>"""

#: Units of the drawings.
_WIDTH, _ROW, _LEFT, _RIGHT = 720.0, 26.0, 215.0, 505.0
_CURVE_HEIGHT = 230.0
_CLASS = {"better": "better", "worse": "worse", "no difference seen": "unclear"}
_TONE = {"ship": "good", "cannot tell yet": "warn"}


def page_of(report: Any) -> str:
    """Return the page of a report as HTML."""
    decision = report.decision
    reasons = "".join(f"<small>{text(reason)}</small>" for reason in decision.reasons)
    words = str(decision).partition(", because ")[0]
    tone = _TONE.get(decision.verdict, "bad")
    body = f'<div class="verdict {tone}" role="status">{text(words)}{reasons}</div>'
    if not report.is_broken:
        body += _effects(report)
    body += _section("Split", table(*report.split_table()))
    content = report._content()
    remarks = "".join(f"<li>{text(note)}</li>" for note in content.notes)
    body += _section("Notes", f"<ul>{remarks}</ul>")
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(content.title)}</title>{_STYLE}</head><body><main>"
    )
    data = json.dumps(report.to_dict(), allow_nan=False).replace("<", "\\u003c")
    kept = f'<script type="application/json" id="report">{data}</script>'
    return f"{head}{page(content.title, body)}</main>{kept}</body></html>"


def _effects(report: Any) -> str:
    every = (*report.effects, *report.others)
    names = [_row_name(effect, len(report.arms) > 2) for effect in every]
    parts = [_section("Effects", forest(names, every) + _scroll(report.effect_table()))]
    for curve in report.curves:
        drawn = daily(curve, report.effects[0].lower_is_better)
        if drawn:
            parts.append(_section(f"{report.primary} of {curve.arm}, look by look", drawn))
    if report.guarded:
        parts.append(_section("Guardrails", _scroll(report.guard_table())))
    if report.spreads:
        effects = [effect for spread in report.spreads for effect in spread.effects]
        rows = [f"{effect.part}" + (f", {effect.arm}" if len(report.arms) > 2 else "") for effect in effects]
        parts.append(_section("Segments", forest(rows, effects) + _scroll(report.segment_table())))
    if report.forecast:
        parts.append(_section("Forecast and measured", _scroll(report.forecast_table())))
    return "".join(parts)


def _row_name(effect: Effect, several: bool) -> str:
    return f"{effect.metric}, {effect.arm}" if several else effect.metric


def _section(title: str, inner: str) -> str:
    return f"<section><h2>{text(title)}</h2>{inner}</section>"


def _scroll(content: Table) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Table">{table(*content)}</div>'


def forest(names: Sequence[str], effects: Sequence[Effect]) -> str:
    """Return effects with their intervals, one below the other, as SVG; relative ones, in percent."""
    spans = [(effect.relative, *effect.relative_interval) for effect in effects]
    ends = [end for span in spans for end in span if math.isfinite(end)]
    if not ends:
        return ""
    ticks = nice_ticks(min(0.0, *ends), max(0.0, *ends))
    low, high = ticks[0], ticks[-1]

    def x(value: float) -> float:
        inside = min(max(value, low), high)
        return _LEFT + (_RIGHT - _LEFT) * (inside - low) / (high - low)

    height = _ROW * len(names) + 26
    marks = "".join(_tick(x(tick), height, tick) for tick in ticks)
    for row, (name, effect, span) in enumerate(zip(names, effects, spans, strict=True)):
        y, kind = _ROW * row + 14, _CLASS[effect.finding]
        label = name if len(name) <= 32 else f"{name[:30]}..."
        marks += f'<text x="0" y="{y + 4:.0f}">{text(label)}</text>'
        if math.isfinite(span[0]):
            marks += (
                f'<line class="bar {kind}" x1="{x(span[1]):.1f}" x2="{x(span[2]):.1f}" y1="{y:.0f}" y2="{y:.0f}"/>'
                f'<circle class="{kind}" cx="{x(span[0]):.1f}" cy="{y:.0f}" r="4.5"/>'
            )
        marks += f'<text x="{_WIDTH:.0f}" y="{y + 4:.0f}" text-anchor="end">{text(moved(effect))}</text>'
    return _frame("Effects with their intervals", marks, height)


def _tick(at: float, height: float, value: float) -> str:
    return (
        f'<line class="{"axis" if value == 0 else "grid"}" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height - 22:.0f}"/>'
        f'<text x="{at:.1f}" y="{height - 6:.0f}" text-anchor="middle">{_percent(value)}</text>'
    )


def daily(curve: Curve, lower_is_better: bool = False) -> str:
    """Return the difference at each look as SVG: the line, its interval, and the boundary that a stop needs.

    Nothing where there is one look only.
    """
    values = np.array([one.value for one in curve.differences])
    errors = np.array([one.error for one in curve.differences])
    reach = np.where(np.isfinite(curve.reaches), curve.reaches, np.nan)
    known = np.isfinite(values) & np.isfinite(errors)
    if known.sum() < 2:
        return ""
    times, values, bounds = np.array(curve.times)[known], values[known], (reach * errors)[known]
    # Early intervals are wider than anything worth seeing.
    last = bounds[np.isfinite(bounds)]
    widest = 3.0 * float(last[-1]) if len(last) else 3.0 * float(errors[known][-1])
    most = max(widest, float(np.abs(values[-max(1, len(values) // 2) :]).max()))
    ticks = nice_ticks(-most, most)
    top, bottom = ticks[-1], ticks[0]

    def y(value: float) -> float:
        inside = min(max(float(value), bottom), top)
        return float(8 + (_CURVE_HEIGHT - 40) * (top - inside) / (top - bottom))

    def x(time: float) -> float:
        return float(60 + (_WIDTH - 70) * (time - times[0]) / max(times[-1] - times[0], 1.0))

    better = (values[-1] > 0) != lower_is_better
    kind = ("better" if better else "worse") if curve.crossed is not None else "unclear"
    marks = "".join(
        f'<line class="{"axis" if tick == 0 else "grid"}" x1="60" x2="{_WIDTH - 10:.0f}" y1="{y(tick):.1f}" '
        f'y2="{y(tick):.1f}"/><text x="54" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.3g}</text>'
        for tick in ticks
    )
    banded = np.isfinite(bounds)
    if banded.sum() >= 2:
        upper = [
            f"{x(t):.1f},{y(v + b):.1f}" for t, v, b in zip(times, values, bounds, strict=True) if b == b
        ]
        lower = [
            f"{x(t):.1f},{y(v - b):.1f}" for t, v, b in zip(times, values, bounds, strict=True) if b == b
        ]
        marks += f'<polygon class="band {kind}" points="{" ".join([*upper, *lower[::-1]])}"/>'
        for sign in (1, -1):
            edge = [f"{x(t):.1f},{y(sign * b):.1f}" for t, b in zip(times, bounds, strict=True) if b == b]
            marks += f'<polyline class="edge axis" points="{" ".join(edge)}"/>'
    line = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in zip(times, values, strict=True))
    marks += f'<polyline class="line {kind}" style="fill:none" points="{line}"/>'
    marks += "".join(
        f'<text x="{x(t):.1f}" y="{_CURVE_HEIGHT - 12:.0f}" text-anchor="middle">{_day(t)}</text>'
        for t in times[np.unique(np.linspace(0, len(times) - 1, min(len(times), 6)).astype(int))]
    )
    drawn = _frame("Difference at each look with its interval", marks, _CURVE_HEIGHT)
    note = "difference with its interval; one may stop where the line leaves the dashed boundary"
    return drawn + (f"<small>{note}</small>" if banded.sum() >= 2 else "")


def nice_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Return round numbers from at most low to at least high, about n of them.

    Examples
    --------
    >>> nice_ticks(-0.013, 0.021)
    [-0.02, -0.01, 0.0, 0.01, 0.02, 0.03]
    """
    width = (high - low) / n or 1.0
    power = 10.0 ** math.floor(math.log10(width))
    step = power * next((size for size in (1, 2, 5) if size * power >= width), 10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _day(time: float) -> str:
    return dt.datetime.fromtimestamp(float(time), dt.UTC).strftime("%d %b")


def _frame(title: str, marks: str, height: float) -> str:
    return f'<svg role="img" aria-label="{text(title)}" viewBox="0 0 {_WIDTH:.0f} {height:.0f}">{marks}</svg>'


def _percent(value: float) -> str:
    return f"{100 * value:+.3g}%" if value else "0%"
