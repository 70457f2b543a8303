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
.rk{font:13px/1.5 system-ui,sans-serif;color:light-dark(#1b1f24,#e6e8eb)}
.rk{color-scheme:light dark;max-width:72em;overflow-x:auto}
.rk h4{margin:.2em 0 .5em;font-size:1.1em}.rk small{color:light-dark(#59636e,#9aa4af)}
.rk table{font:inherit;color:inherit;border-collapse:collapse;font-variant-numeric:tabular-nums;margin:0 0 .6em}
.rk th,.rk td{padding:.25em .8em;text-align:left;border-bottom:1px solid light-dark(#d5d9de,#3a4047)}
.rk .number{text-align:right}
.rk .flow{display:flex;flex-wrap:wrap;gap:.4em;align-items:center;margin:.35em 0}
.rk .what{width:7em}
.rk .stage{border:1px solid light-dark(#c3c9d0,#4a525b);border-radius:.5em;padding:.3em .7em}
.rk .stage b{display:block}
.rk .bad{color:light-dark(#b3261e,#ff8a80)}.rk .good{color:light-dark(#1a7f37,#6fdd8b)}
</style>"""

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
    """Return an HTML table; every cell is escaped, and columns of numbers are flush right."""
    rows = list(rows)
    kinds = [' class="number"' if number else "" for number in _numeric(rows)] or [""] * len(header)
    head = "".join(
        f'<th scope="col"{kind}>{text(name)}</th>' for name, kind in zip(header, kinds, strict=False)
    )
    lines = (
        "".join(f"<td{kind}>{text(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


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
