"""Tables in the terminal: with rich where it is installed, plain text elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["show_evaluations", "show_table"]


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a titled table."""
    cells = [[str(cell) for cell in row] for row in rows]
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        _plain(title, header, cells)
        return
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in cells:
        table.add_row(*row)
    Console().print(table)


def _plain(title: str, header: Sequence[str], cells: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    print(title)
    for row in [list(header), *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def show_evaluations(title: str, result: Any) -> None:
    """Print one row for each segment and one column for each subject."""
    names = list(result)
    segments = list(dict.fromkeys(record["segment"] for record in result[names[0]].to_records()))
    rows = []
    for segment in segments:
        scores = [result[name]["NDCG@10", segment] for name in names]
        cells = [f"{score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]" for score in scores]
        rows.append((segment, scores[0].n, *cells))
    show_table(title, ("segment", "users", *names), rows)
