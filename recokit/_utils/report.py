"""Reports: one content, shown as text, as Markdown and as small, self-contained HTML for notebooks."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np

from recokit._utils.options import shortened

_STYLE = """<style>
.rk{font:13px/1.5 system-ui,sans-serif;color:light-dark(#1b1f24,#e6e8eb);text-align:left}
.rk{color-scheme:light dark;max-width:72em;overflow-x:auto;container-type:inline-size}
.rk h4{margin:.2em 0 .5em;font-size:1.1em}.rk small{color:light-dark(#59636e,#9aa4af)}
.rk h4,.rk p,.rk small,.rk caption{text-align:left}
.rk table{font:inherit;color:inherit;border-collapse:collapse;font-variant-numeric:tabular-nums;margin:0 0 .6em}
.rk th,.rk td{padding:.25em .8em;text-align:left;vertical-align:top;border-bottom:1px solid light-dark(#d5d9de,#3a4047)}
.rk .number{text-align:right}
.rk .flow{display:flex;flex-wrap:wrap;gap:.4em;align-items:center;margin:.35em 0}
.rk .what{width:7em}
.rk .stage{border:1px solid light-dark(#c3c9d0,#4a525b);border-radius:.5em;padding:.3em .7em}
.rk .stage b{display:block}
.rk .bad{color:light-dark(#b3261e,#ff8a80)}.rk .good{color:light-dark(#1a7f37,#6fdd8b)}
.rk .warn{color:light-dark(#8a5a00,#f2c14e)}
@container (max-width:40em){
.rk .wide,.rk .wide tbody,.rk .wide tr,.rk .wide caption{display:block}.rk .wide thead{display:none}
.rk .wide tr{border-bottom:1px solid light-dark(#c3c9d0,#4a525b);padding:.35em 0}.rk .wide tr[hidden]{display:none}
.rk .wide td{display:grid;grid-template-columns:8em 1fr;gap:.6em;border:0;padding:.05em 0;text-align:left}
.rk .wide td{overflow-wrap:anywhere}.rk .wide td:empty{display:none}
.rk .wide td::before{content:attr(data-label);color:light-dark(#59636e,#9aa4af)}}
</style>"""

#: What a cell says by its first word, in colour: statuses of rows, severities and outcomes of checks.
_TOLD = {
    "good": ("OK", "pass", "passed"),
    "warn": ("DEGRADED", "FALLBACK", "warning", "unchecked"),
    "bad": ("EMPTY", "FAILED", "MISSING", "critical", "error", "fail", "failed"),
}
_KIND = {word: kind for kind, words in _TOLD.items() for word in words}
#: Characters that a table may have side by side on a phone, the gap of two columns, and the least of a column of prose.
_PHONE, _GAP, _PROSE = 50, 3, 20

_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?%?|-|nan|inf|")


#: Characters of a repr.
_LINE = 160


class Table(NamedTuple):
    """Rows below a header; pairs of a name and a value need none."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Content:
    """The content of a report.

    Parameters
    ----------
    title : str
        The heading; text leads with the summary, if there is one.
    tables : sequence of Table
    summary : str
        The figures or the verdict in a line.
    notes, warnings : sequence of str
        Lines below the tables.
    good : bool, optional
        Whether the summary is good news, which HTML shows in colour.
    """

    title: str
    tables: Sequence[Table] = ()
    summary: str = ""
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    good: bool | None = None


class Report(ABC):
    """Mixin of reports: a subclass gives its content once, and has it as text, Markdown and HTML."""

    @abstractmethod
    def _content(self) -> Content:
        """Return the content, from which every form is made."""

    def __str__(self) -> str:
        content = self._content()
        grids = "\n\n".join(grid(*part) for part in content.tables)
        parts = (content.summary or content.title, grids, *content.warnings, *content.notes)
        return "\n".join(filter(None, parts))

    def __repr__(self) -> str:
        content = self._content()
        return f"{type(self).__name__}({shortened(content.summary or content.title, _LINE)})"

    def to_markdown(self) -> str:
        """Return the report in Markdown, such as for a pull request."""
        content = self._content()
        lines = filter(None, [content.summary, *content.warnings, *content.notes])
        blocks = [f"**{content.title}**", *(markdown(*part) for part in content.tables)]
        return "\n\n".join(filter(None, [*blocks, "\n".join(f"- {line}" for line in lines)]))

    def _repr_html_(self) -> str:
        return html(self._content())


def html(content: Content) -> str:
    """Return content as HTML."""
    body = "".join(table(*part) for part in content.tables)
    body += "".join(_paragraph(line, good=False) for line in content.warnings)
    if content.good is None:
        return page(content.title, body, "; ".join(filter(None, [content.summary, *content.notes])))
    return page(content.title, _paragraph(content.summary, content.good) + body, "; ".join(content.notes))


def _paragraph(line: str, good: bool) -> str:
    return f'<p class="{"good" if good else "bad"}">{text(line)}</p>'


def text(value: Any) -> str:
    """Return a value as escaped text."""
    return escape(str(value))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return an HTML table; every cell is escaped, columns of numbers are flush right, statuses coloured.

    One that is too wide for a phone is shown there row by row, each cell with its column's name.
    """
    rows = list(rows)
    numeric = _numeric(rows) or [False] * len(header)
    wide = bool(header) and _is_wide(header, rows)
    kinds = [' class="number"' if number else "" for number in numeric]
    head = "".join(
        f'<th scope="col"{kind}>{text(name)}</th>' for name, kind in zip(header, kinds, strict=False)
    )
    labels = [f' data-label="{text(name)}"' for name in header] if wide else [""] * len(numeric)
    lines = (
        "".join(
            f"<td{_class(cell, number)}{label}>{text(cell)}</td>"
            for cell, number, label in zip(row, numeric, labels, strict=True)
        )
        for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    start = '<table class="wide">' if wide else "<table>"
    return f"{start}{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def _class(cell: Any, number: bool) -> str:
    kind = "number" if number else _KIND.get(str(cell).partition(":")[0], "")
    return f' class="{kind}"' if kind else ""


def _is_wide(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Tell whether a phone has no room for the columns side by side; prose may wrap, but not to single words."""
    columns = zip(header, *rows, strict=False) if rows else ((name,) for name in header)
    widths = [min(max(len(str(cell)) for cell in column), _PROSE) + _GAP for column in columns]
    return sum(widths) > _PHONE


def page(title: str, body: str, note: str = "") -> str:
    """Return a titled fragment around ready HTML."""
    small = f"<small>{text(note)}</small>" if note else ""
    return f'{_STYLE}<div class="rk"><h4>{text(title)}</h4>{body}{small}</div>'


def json_number(value: float) -> float | None:
    """Return the number, None where JSON has none for it."""
    return float(value) if math.isfinite(value) else None


def json_ready(value: Any) -> Any:
    """Return plain JSON values: arrays as lists, numbers that JSON lacks as None, anything else as text.

    Examples
    --------
    >>> json_ready({"value": float("nan"), "shape": (np.int64(2), 3)})
    {'value': None, 'shape': [2, 3]}
    """
    if isinstance(value, Mapping):
        return {str(key): json_ready(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_ready(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return json_ready(value.tolist())
    if isinstance(value, float):
        return json_number(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def grid(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return columns of equal width, those of numbers flush right; without a header, indented.

    Examples
    --------
    >>> print(grid(["source", "users"], [["popular", "1,200"], ["ease", "90"]]))
    source   users
    popular  1,200
    ease        90
    """
    cells = [[str(cell) for cell in row] for row in rows]
    lines = [list(header), *cells] if header else cells
    numeric = _numeric(cells) or [False] * len(header)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    start = "" if header else "  "
    shown = (
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numeric, strict=True)
        )
        for line in lines
    )
    return "\n".join(f"{start}{line}".rstrip() for line in shown)


def _numeric(rows: Sequence[Sequence[Any]]) -> list[bool]:
    """Return which columns hold numbers only, and at least one."""
    columns = ([str(cell) for cell in column] for column in zip(*rows, strict=True))
    return [any(map(str.strip, column)) and all(map(_NUMBER.fullmatch, column)) for column in columns]


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    header = header or [""] * max((len(row) for row in rows), default=1)
    return "\n".join([_line(header), _line(["---"] * len(header)), *map(_line, rows)])


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
