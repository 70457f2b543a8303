"""Lazy faces of packages: a public name loads its module when it is first used."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from recokit._utils.moved import moved_from


def lazy_face(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package whose names load when they are used.

    The names are those that its ``__init__`` imports under ``if TYPE_CHECKING``: one list, which type checkers and this
    function read. ``__all__`` is that list too. A function must not have the name of the module it lies in, since the
    import of a module puts it into the package under its name; ``preflight`` is such a module, and can be called.

    Parameters
    ----------
    package : str
        The package's ``__name__``.

    Examples
    --------
    >>> get, names = lazy_face("recokit")
    >>> get("Dataset").__name__, "Dataset" in names()
    ('Dataset', True)
    """
    moved = moved_from(package, frames=3)

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(_homes(package))
        if name not in _homes(package):
            return moved(name)
        home, module = _homes(package)[name], sys.modules[package]
        if home == package:
            return importlib.import_module(f"{package}.{name}")
        value = getattr(importlib.import_module(home), name)
        if isinstance(vars(module).get(name), ModuleType):
            return vars(module)[name]
        setattr(module, name, value)
        return value

    def names() -> list[str]:
        # What the package imports for its own use is none of its names.
        special = [name for name in vars(sys.modules[package]) if name.startswith("__")]
        return sorted({*_homes(package), *special})

    return get, names


@functools.cache
def _homes(package: str) -> dict[str, str]:
    """Return the module of each public name, read from the source of the package's ``__init__``."""
    import ast

    # The module's own loader: inspect would ask the module for attributes, and so end here again.
    loader: Any = vars(sys.modules[package])["__spec__"].loader
    tree = ast.parse(loader.get_source(package))
    typed = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imports = [node for block in typed for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: node.module or "" for node in imports for alias in node.names}
