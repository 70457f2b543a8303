"""Small, self-contained HTML for notebooks: light and dark, no script, no network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["grid", "json_number", "markdown", "page", "table", "text"]


_STYLE = """<style>
.rk{font:13px/1.5 system-ui,sans-serif;color:light-dark(#1b1f24,#e6e8eb)}
.rk{color-scheme:light dark;max-width:72em}
.rk h4{margin:.2em 0 .5em;font-size:1.1em}.rk small{color:light-dark(#59636e,#9aa4af)}
.rk table{font:inherit;color:inherit;border-collapse:collapse;font-variant-numeric:tabular-nums}
.rk th,.rk td{padding:.25em .8em;text-align:left;border-bottom:1px solid light-dark(#d5d9de,#3a4047)}
.rk .flow{display:flex;flex-wrap:wrap;gap:.4em;align-items:center;margin:.35em 0}
.rk .what{width:7em}
.rk .stage{border:1px solid light-dark(#c3c9d0,#4a525b);border-radius:.5em;padding:.3em .7em}
.rk .stage b{display:block}
.rk .bad{color:light-dark(#b3261e,#ff8a80)}.rk .good{color:light-dark(#1a7f37,#6fdd8b)}
</style>"""


def text(value: Any) -> str:
    """Return a value as escaped text."""
    return escape(str(value))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return an HTML table; every cell is escaped."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def page(title: str, body: str, note: str = "") -> str:
    """Return a titled fragment around ready HTML."""
    small = f"<small>{text(note)}</small>" if note else ""
    return f'{_STYLE}<div class="rk"><h4>{text(title)}</h4>{body}{small}</div>'


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
