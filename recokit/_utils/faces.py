"""Lazy faces of packages: a public name loads its module when it is first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from recokit._moved import moved_from

__all__ = ["lazy_face"]


def lazy_face(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package whose names load when they are used.

    A name must not be that of the module it lies in: once that is imported, the package has it as the name.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    homes : mapping of str to str
        The module, below the package or by its full path, of each public name; empty for a module of the package.

    Examples
    --------
    >>> get, names = lazy_face("recokit", {"Dataset": ".data.dataset"})
    >>> get("Dataset").__name__, "Dataset" in names()
    ('Dataset', True)
    """
    moved = moved_from(package, frames=3)

    def get(name: str) -> Any:
        if name not in homes:
            return moved(name)
        if not homes[name]:
            return importlib.import_module(f".{name}", package)
        value = getattr(importlib.import_module(homes[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted({*homes, *vars(sys.modules[package])})
