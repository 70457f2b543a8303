"""What CONTRIBUTING says of functions and calls, read from the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES, MAX_PARAMETERS, MAX_ARGUMENTS = 60, 8, 5
#: Variadic ones; besides them calls into C and FAISS, which know no names.
VARIADIC = ("context.by_row", "context.by_item")


def breaches(code: str) -> Iterator[tuple[int, str]]:
    """Return the lines of functions that are too long or take too much, and of calls that name too little."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if _code_lines(node) > MAX_LINES:
                yield node.lineno, f"{node.name} is longer than {MAX_LINES} lines"
            positional = [*node.args.posonlyargs, *node.args.args]
            taken = len([one for one in positional if one.arg not in ("self", "cls")])
            private = node.name.startswith("_") and not node.name.startswith("__")
            if private and taken + len(node.args.kwonlyargs) > MAX_PARAMETERS:
                yield node.lineno, f"{node.name} takes more than {MAX_PARAMETERS} parameters"
        if isinstance(node, ast.Call) and len(node.args) > MAX_ARGUMENTS and _takes_names(node):
            yield node.lineno, f"more than {MAX_ARGUMENTS} arguments without a name"


def _takes_names(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    into_c = name.rpartition(".")[2].startswith("rk_") or name.startswith("faiss.")
    return not into_c and name not in VARIADIC


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function below its signature and docstring."""
    first = node.body[0]
    described = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = first.end_lineno if described else first.lineno - 1
    return (node.end_lineno or 0) - (start or 0)


def test_functions_fit_a_screen_and_calls_name_their_arguments() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in sorted((ROOT / "recokit").rglob("*.py"))
        for line, what in breaches(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "n"),
    [
        ("f(1, 2, 3, 4, 5)", 0),
        ("f(1, 2, 3, 4, 5, 6)", 1),
        ("f(1, 2, 3, 4, 5, last=6)", 0),
        ("native.rk_f(1, 2, 3, 4, 5, 6)", 0),
        ("work_f(1, 2, 3, 4, 5, 6)", 1),
        ("def _f(a, b, c, d, e, f, g, h): ...", 0),
        ("def _f(a, b, c, d, e, f, g, h, *, i): ...", 1),
        ("def f():\n" + "    x = 1\n" * 60, 0),
        ("def f():\n" + "    x = 1\n" * 61, 1),
    ],
    ids=["five", "six", "named", "C", "nearly C", "eight", "nine", "sixty", "sixty-one"],
)
def test_the_edges_of_the_rules(code: str, n: int) -> None:
    assert len(list(breaches(code))) == n
