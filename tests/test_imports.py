"""The import graph of the package: no circles, not even for types or inside functions."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "recokit").rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in FILES}
FACES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def imports_of(source: str, modules: Mapping[str, object]) -> set[str]:
    """Return the modules that a file imports anywhere: at its top, for types, inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in modules}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                deep = f"{node.module}.{alias.name}"
                found |= {deep} if deep in modules else {node.module} & set(modules)
    return found


def circle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """Return one circle of imports, nothing without any."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_through_others() -> None:
    graph = {
        # A face only hands names on: what a module takes from its own package's face is the other module.
        name: {
            other
            for other in imports_of(path.read_text(encoding="utf-8"), MODULES) - {name}
            if not (other in FACES and name.startswith(f"{other}."))
        }
        for name, path in MODULES.items()
        if name not in FACES
    }
    assert not circle_in(graph)


@pytest.mark.parametrize(
    "line",
    [
        "from pkg.b import thing",
        "if TYPE_CHECKING:\n    from pkg.b import thing",
        "def f():\n    import pkg.b",
        "from pkg import b",
    ],
)
def test_a_circle_is_found_wherever_the_import_stands(line: str) -> None:
    modules = {"pkg": None, "pkg.a": None, "pkg.b": None}
    graph = {"pkg.a": imports_of(line, modules), "pkg.b": imports_of("from pkg.a import other", modules)}
    assert set(circle_in(graph)) == {"pkg.a", "pkg.b"}


def test_relative_imports_would_be_overlooked_so_there_are_none() -> None:
    relative = [
        path.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative
